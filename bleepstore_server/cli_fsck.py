"""`bleepstore fsck`: whether the catalog and the blobs of a store fit together."""

from __future__ import annotations

import argparse

import bleepstore
from bleepstore_server.cli_data import add_data
from bleepstore_server.progress import shown_progress


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "fsck",
        help="compare the catalog of a store with its files",
        description="Compare the catalog of a store with the files beside it, both ways: missing blobs, wrong sizes, "
        "blobs that the catalog does not know, and leftovers. The store must not be in use. The bytes are not read. "
        "The status is 0 if all is well, 1 if something was found, 2 if the store cannot be checked.",
    )
    add_data(parser)
    parser.add_argument(
        "--repair", action="store_true", help="move what does not belong there to DIR/quarantine; nothing is removed"
    )
    parser.set_defaults(run=_fsck)


def _fsck(arguments: argparse.Namespace) -> int:
    with shown_progress("fsck", "blobs") as progress:
        findings = bleepstore.fsck(arguments.data, repair=arguments.repair, progress=progress)
    for finding in findings:
        print(finding)
    print(f"{arguments.data}: {len(findings)} found" if findings else f"{arguments.data}: all is well")
    return 1 if findings else 0
