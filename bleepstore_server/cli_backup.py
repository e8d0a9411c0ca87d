"""`bleepstore backup`, `restore` and `scrub`: a store as one file, and back; and whether its bytes are sound."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import bleepstore
from bleepstore import Damage
from bleepstore.errors import BackupIncomplete
from bleepstore_server.cli_data import add_data, existing
from bleepstore_server.progress import shown_progress

#: The status of a command that did what it should, and found damaged objects.
DAMAGED = 1


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser(
        "backup",
        help="write a store to one file",
        description="Write all of a store, as of now, to a tar file; a name that ends in .gz compresses it. A server "
        "may run meanwhile. The file has its name only once it is whole. What is read is compared with what was "
        "written: damaged objects are named, and the status is then 1.",
    )
    backup.add_argument("data", metavar="DATA", type=Path, help="the folder of the store")
    backup.add_argument("archive", metavar="ARCHIVE", type=Path, help="the new file")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser(
        "restore",
        help="make a store of such a file",
        description="Make a store of what `bleepstore backup` wrote. The size, the ETag and the checksum of each "
        "object are verified; the folder appears only once all of it is right. The status is 1 if objects were left "
        "out.",
    )
    restore.add_argument("archive", metavar="ARCHIVE", type=Path, help="the file")
    restore.add_argument("data", metavar="DATA", type=Path, help="the folder, which must be new or empty")
    restore.add_argument(
        "--skip-damaged",
        action="store_true",
        help="leave out, and name, the objects whose bytes are damaged in the file, and restore the others",
    )
    restore.set_defaults(run=_restore)
    scrub = commands.add_parser(
        "scrub",
        help="read everything, and name what is damaged",
        description="Read all objects of a store, and all parts of uploads under way, and name those whose bytes are "
        "not what was written. A server may run meanwhile. The status is 1 if something is damaged, 2 after an error.",
    )
    add_data(scrub)
    scrub.add_argument("--rate", metavar="BYTES/s", type=_rate, help="read no faster than this: 50MB/s")
    scrub.add_argument(
        "--quarantine",
        action="store_true",
        help="move what is damaged into the folder quarantine of the store; reading it is then an error",
    )
    scrub.set_defaults(run=_scrub)


def _backup(arguments: argparse.Namespace) -> int | None:
    existing(arguments.data)
    try:
        with bleepstore.open(arguments.data) as store, shown_progress("backup") as progress:
            store.backup(arguments.archive, progress)
    except BackupIncomplete as error:
        _tell("damaged", error.damaged)
        print(f"bleepstore: {error}", file=sys.stderr)
        return DAMAGED
    print(f"{arguments.archive}: {arguments.archive.stat().st_size:,} bytes")
    return None


def _restore(arguments: argparse.Namespace) -> int | None:
    with shown_progress("restore") as progress:
        left_out = bleepstore.restore(arguments.archive, arguments.data, progress, skip_damaged=arguments.skip_damaged)
    _tell("left out", left_out)
    print(f"{arguments.data} is a store: bleepstore serve --data {arguments.data}")
    return DAMAGED if left_out else None


def _scrub(arguments: argparse.Namespace) -> int | None:
    data = Path(existing(arguments.data))
    found = moved = 0
    # A restored store that was never opened has no lock yet, and without one nothing can be opened for reading alone.
    read_only = not arguments.quarantine and (data / "store.lock").exists()
    with bleepstore.open(data, read_only=read_only) as store, shown_progress("scrub") as progress:
        for damage in store.scrub(rate=arguments.rate, quarantine=arguments.quarantine, progress=progress):
            found += 1
            moved += damage.quarantined
            _tell("quarantined" if damage.quarantined else "damaged", [damage])
    if found:
        print(f"{found:,} damaged, {moved:,} of them are in {data / 'quarantine'} now", file=sys.stderr)
        return DAMAGED
    print("nothing is damaged")
    return None


def _tell(what: str, damaged: Iterable[Damage]) -> None:
    for damage in damaged:
        print(f"{what}: {damage}", file=sys.stderr, flush=True)


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def _rate(text: str) -> float:
    """50MB/s, 50M, 50000000: bytes a second."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)B?(?:/s)?", text.strip(), re.IGNORECASE)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError("a number of bytes a second, such as 50MB/s")
    return float(found[1]) * _UNITS[found[2].upper()]
