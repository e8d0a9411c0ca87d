"""`bleepstore replication`: what waits to be copied to other buckets, and copies of what was there before."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

from bleepstore.store.facade import open_replications
from bleepstore.store.replications import Replications
from bleepstore_server.app_config import ConfigError


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replication = commands.add_parser(
        "replication",
        help="show what waits to be copied to other buckets, and have copied what was there before",
        description="Replication of buckets that have rules for it. All of it works while a server runs, which copies.",
    )
    actions = replication.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    data = os.environ.get("BLEEPSTORE_DATA", "bleepstore-data")
    common.add_argument("--data", default=data, metavar="DIR", help=f"the folder of the store (default: {data})")

    show = actions.add_parser("show", parents=[common], help="list the destinations that versions wait for")
    show.set_defaults(run=_show)

    existing = actions.add_parser(
        "existing",
        parents=[common],
        help="have all versions of a bucket copied that are not: older than its rules, failed, or copies themselves",
    )
    existing.add_argument("bucket", metavar="BUCKET")
    existing.add_argument("--prefix", default="", metavar="PREFIX", help="only of keys that begin so")
    existing.set_defaults(run=_existing)


def _open_existing(data: str) -> AbstractContextManager[Replications]:
    if not (Path(data) / "catalog.db").exists():
        raise ConfigError(f"data: there is no store in {data}; `bleepstore serve --data {data}` makes one")
    return open_replications(data)


def _show(arguments: argparse.Namespace) -> None:
    with _open_existing(arguments.data) as replications:
        for one in replications.replication_destinations():
            seconds = max(time.time() - one.oldest_ms / 1000, 0)
            print(f"{one.name}\t{one.waiting} versions\tthe oldest for {seconds:.0f} s")


def _existing(arguments: argparse.Namespace) -> None:
    with _open_existing(arguments.data) as replications:
        count = replications.replicate_existing(arguments.bucket, prefix=arguments.prefix)
    print(f"{count} versions of {arguments.bucket} were looked at; a server copies those that were not copied yet")
