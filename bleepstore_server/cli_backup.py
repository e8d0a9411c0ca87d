"""`bleepstore backup` and `bleepstore restore`: a store as one file, and back."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bleepstore
from bleepstore_server.config import ConfigError

_SECONDS_BETWEEN_LINES = 5.0


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


@contextlib.contextmanager
def shown_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, if tqdm is installed (the extra `progress`); else a line now and then."""
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            with tqdm(desc=what, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr) as bar:

                def update(done: int, total: int) -> None:
                    bar.total = total
                    bar.update(done - bar.n)

                yield update
            return
    shown = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            sys.stderr.write(f"{what}: {done:,} of {total:,} bytes\n")

    yield say


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
