"""`bleepstore backup` and `bleepstore restore`: a store as one file, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

import bleepstore
from bleepstore_server.config import ConfigError
from bleepstore_server.progress import shown_progress


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser(
        "backup",
        help="write a store to one file",
        description="Write all of a store, as of now, to a tar file; a name that ends in .gz compresses it. A server "
        "may run meanwhile. The file has its name only once it is whole.",
    )
    backup.add_argument("data", metavar="DATA", type=Path, help="the folder of the store")
    backup.add_argument("archive", metavar="ARCHIVE", type=Path, help="the new file")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser(
        "restore",
        help="make a store of such a file",
        description="Make a store of what `bleepstore backup` wrote. The size, the ETag and the checksum of each "
        "object are verified; the folder appears only once all of it is right.",
    )
    restore.add_argument("archive", metavar="ARCHIVE", type=Path, help="the file")
    restore.add_argument("data", metavar="DATA", type=Path, help="the folder, which must be new or empty")
    restore.set_defaults(run=_restore)


def _backup(arguments: argparse.Namespace) -> None:
    if not (arguments.data / "catalog.db").exists():
        raise ConfigError(f"data: there is no store in {arguments.data}")
    with bleepstore.open(arguments.data) as store, shown_progress("backup") as progress:
        store.backup(arguments.archive, progress)
    print(f"{arguments.archive}: {arguments.archive.stat().st_size:,} bytes")


def _restore(arguments: argparse.Namespace) -> None:
    with shown_progress("restore") as progress:
        bleepstore.restore(arguments.archive, arguments.data, progress)
    print(f"{arguments.data} is a store: bleepstore serve --data {arguments.data}")
