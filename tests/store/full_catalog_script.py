"""Fills the file system of the folder in argv[1] with objects that are kept in the catalog, and empties it again.

Run by test_full_disk.py. argv[2]: "restart", "crash" or "stay", what happens while the disk is full.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import bleepstore
from bleepstore import DeleteEntry, Store
from bleepstore.errors import StorageFull

SIZE = 15_000


def fill(store: Store) -> int:
    number = 0
    while True:
        try:
            store.put_object("photos", f"{number:06d}", os.urandom(SIZE))
        except StorageFull:
            return number
        number += 1


def empty(store: Store, count: int) -> None:
    for number in range(count):
        store.delete_object("photos", f"{number:06d}")


def main(root: Path, how: str) -> dict[str, int]:
    store = bleepstore.open(root / "store")
    store.create_bucket("photos")
    count = fill(store)
    if how == "crash":
        # Nothing is closed and no checkpoint is made.
        os.execv(sys.executable, [sys.executable, __file__, str(root), "after-crash", str(count)])
    if how == "restart":
        store.close()
        store = bleepstore.open(root / "store")
    return finish(store, count)


def finish(store: Store, count: int) -> dict[str, int]:
    with store:
        empty(store, count)
        again = fill(store)
        store.delete_objects("photos", [DeleteEntry(key=f"{number:06d}") for number in range(min(again, 1000))])
        store.put_object("photos", "last", b"x" * SIZE)
        return {"first": count, "again": again}


if __name__ == "__main__":
    root = Path(sys.argv[1])
    if sys.argv[2] == "after-crash":
        report = finish(bleepstore.open(root / "store"), int(sys.argv[3]))
    else:
        report = main(root, sys.argv[2])
    print(json.dumps(report))  # noqa: T201  # how it reports to the test
