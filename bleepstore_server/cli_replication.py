"""`bleepstore replication`: what waits to be copied to other buckets, and copies of what was there before."""

from __future__ import annotations

import argparse
import time

from bleepstore.store.facade import open_replications
from bleepstore_server.cli_data import data_parser, existing


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replication = commands.add_parser(
        "replication",
        help="show what waits to be copied to other buckets, and have copied what was there before",
        description="Replication of buckets that have rules for it. All of it works while a server runs, which copies.",
    )
    actions = replication.add_subparsers(required=True, metavar="ACTION")
    common = data_parser()

    show = actions.add_parser("show", parents=[common], help="list the destinations that versions wait for")
    show.set_defaults(run=_show)

    copy = actions.add_parser(
        "existing",
        parents=[common],
        help="have all versions of a bucket copied that are not: older than its rules, failed, or copies themselves",
    )
    copy.add_argument("bucket", metavar="BUCKET")
    copy.add_argument("--prefix", default="", metavar="PREFIX", help="only of keys that begin so")
    copy.set_defaults(run=_existing)


def _show(arguments: argparse.Namespace) -> None:
    with open_replications(existing(arguments.data)) as replications:
        for one in replications.replication_destinations():
            seconds = max(time.time() - one.oldest_ms / 1000, 0)
            print(f"{one.name}\t{one.waiting} versions\tthe oldest for {seconds:.0f} s")


def _existing(arguments: argparse.Namespace) -> None:
    with open_replications(existing(arguments.data)) as replications:
        count = replications.replicate_existing(arguments.bucket, prefix=arguments.prefix)
    print(f"{count} versions of {arguments.bucket} were looked at; a server copies those that were not copied yet")
