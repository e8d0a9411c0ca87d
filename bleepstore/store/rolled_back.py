"""Blobs that the catalog of their folder does not know: told from what an interrupted write left, and kept.

The blob of an interrupted write is removed, for no command ever brought it in. That can be said only if the catalog is
all that was ever committed here. The id of the catalog is kept among the blobs (`CATALOG_ID`): beside those of another
one a folder is not opened. And nothing unknown is removed, but moved to quarantine, when the folder is opened and

- the mark beside the catalog (`bleepstore.catalog.sqlite.shared`) is of another catalog or ahead of this one, or is
  missing, or
- the blob is younger than the last commit by more than a write may take: an older copy of the folder, mark included,
  was copied onto a newer one.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bleepstore.backends.local import LocalBackend, has_blobs, replace_file
from bleepstore.catalog.sqlite.shared import Mark, read_mark
from bleepstore.errors import BlobNotFound, StoreError
from bleepstore.jobs.orphans import GRACE_MS

_log = logging.getLogger("bleepstore.store")

#: Below the folder of a store: which catalog knows the blobs, as 32 hexadecimal digits.
CATALOG_ID = "blobs/catalog.id"


#: Where SQLite's file has how many entries the first page of its schema has, two bytes (sqlite.org/fileformat.html).
_ENTRIES = slice(103, 105)


def has_catalog(root: Path) -> bool:
    """Whether there is a catalog in the folder. A young one is all in its log, and its file has no table yet."""
    log = root / "catalog.db-wal"
    if log.exists() and log.stat().st_size:
        return True
    try:
        with (root / "catalog.db").open("rb") as file:
            return any(file.read(_ENTRIES.stop)[_ENTRIES])
    except FileNotFoundError:
        return False
    except OSError:
        return True  # what is wrong with it says who opens it as one


def check_catalog_is_there(root: Path) -> None:
    """Raises StoreError if the folder holds blobs and no catalog: a new catalog would know none of them."""
    if has_catalog(root) or not has_blobs(root):
        return
    raise StoreError(
        f"{root} holds the bytes of objects, but its catalog.db is missing or empty: without it nobody knows what "
        "they are, and nothing was changed. Put catalog.db back with the catalog.db-wal that was beside it, in which "
        "all of a young catalog is: a copy of an open store without that file is empty or old. Or restore a backup "
        f"into a new folder: `bleepstore restore ARCHIVE DIR`. `bleepstore fsck --data {root}` shows what is there; "
        "with --repair it moves all of it to the folder quarantine, and the store can begin anew."
    )


def is_of_others(root: Path, catalog_id: str) -> bool:
    """Whether the blobs of the folder are another catalog's. Of blobs without an id nobody knows."""
    try:
        found = (root / CATALOG_ID).read_bytes()
    except FileNotFoundError:
        return False
    return found != catalog_id.encode() and has_blobs(root)  # what is no id came from elsewhere, too


def check_blobs_belong(root: Path, catalog_id: str) -> None:
    """Raises StoreError if the blobs of the folder are another catalog's: this one would know none of them."""
    if is_of_others(root, catalog_id):
        raise StoreError(
            f"{root / 'catalog.db'} is the catalog of another store than the objects' bytes in {root / 'blobs'}, and "
            "nothing was removed. Put the catalog.db back that belongs to them (with its catalog.db-wal and "
            "blobs.mark, if there are such), or restore a backup into a new folder: `bleepstore restore ARCHIVE DIR`. "
            f"If this catalog.db is the one to go on with, `bleepstore fsck --data {root} --repair` moves what it does "
            "not know to the folder quarantine."
        )


def keep_id(root: Path, catalog_id: str) -> None:
    """From now on the blobs of the folder are this catalog's. Raises StorageFull, OSError."""
    path, data = root / CATALOG_ID, catalog_id.encode()
    if not path.exists() or path.read_bytes() != data:
        replace_file(path, data)


def is_of(mark: Mark | None, catalog_id: str, index: int) -> bool:
    """Whether a catalog at this index is all that was ever committed beside this mark."""
    return mark is not None and mark.catalog_id == catalog_id and mark.index <= index


class SetAside:
    """Takes unknown blobs that somebody may need to quarantine: those stored from `since_ms` on. 0: all of them."""

    def __init__(self, backend: LocalBackend, since_ms: int) -> None:
        self._backend = backend
        self.since_ms = since_ms
        self._moved = 0

    def __call__(self, handle: str) -> bool:
        """Whether the blob is one of those. Raises BlobBusy, StorageFull, OSError."""
        if LocalBackend.stored_ms(handle) < self.since_ms:
            return False
        try:
            self._backend.quarantine(handle)
        except BlobNotFound:
            return True
        self._moved += 1
        return True

    def report(self) -> None:
        if self._moved:
            _log.warning(
                "%s: catalog.db is older than the objects' bytes beside it, or another store's: %d files that it does "
                "not know were moved to %s, and nothing was removed. If you have a newer catalog.db, stop the store, "
                "put it back, with the catalog.db-wal that was beside it, and move the files back to where they were.",
                self._backend.root,
                self._moved,
                self._backend.root / "quarantine",
            )


def doubt(root: Path, backend: LocalBackend, catalog_id: str, index: int) -> SetAside:
    """What to do with unknown blobs while the folder is opened by its only process."""
    mark = read_mark(root)
    if mark is None or not is_of(mark, catalog_id, index):
        return SetAside(backend, 0)
    return SetAside(backend, mark.time_ms + GRACE_MS)
