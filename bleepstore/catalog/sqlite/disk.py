"""What the disk of a catalog has left."""

from __future__ import annotations

import math
import os
from pathlib import Path

import apsw

from bleepstore.catalog.sqlite.checkpoints import Checkpoints
from bleepstore.catalog.sqlite.connection import CHECKPOINT_PAGES, PAGE_SIZE
from bleepstore.catalog.sqlite.life import Life
from bleepstore.catalog.sqlite.refusals import classify
from bleepstore.catalog.sqlite.writer import Writer, WriterLock
from bleepstore.errors import SlowDown, StorageFull, refusal_of

#: How many free bytes within the database file count as free. What is written there goes through the log, which needs
#: as many on the disk.
MAX_UNUSED_BYTES = 2 * 1024 * 1024
#: Free bytes from which on the longest log, and what its copying adds to the database file, may fill the disk.
_LOW_SPACE = 3 * CHECKPOINT_PAGES * PAGE_SIZE


class DiskSpace:
    """Asks the file system of the lock's file. A catalog in memory, or one that is closed, has no limit."""

    def __init__(self, lock: WriterLock, life: Life, writer: Writer, checkpoints: Checkpoints) -> None:
        self._lock = lock
        self._life = life
        self._writer = writer
        self._checkpoints = checkpoints
        self._is_low = False

    def spare_bytes(self) -> float:
        """See `bleepstore.catalog.port.CatalogPort.spare_bytes`.

        Free bytes of the file system, without what the database file will grow by when the log is copied to it, and
        with some of those that are free within that file: what is written there adds to the log alone.

        On a disk that is nearly full it also begins to keep the log short.
        """
        file = self._lock.file
        if file is None or not self._life.is_ours:
            return math.inf
        try:
            found = os.fstatvfs(file)
            free = found.f_bavail * found.f_frsize
            if free < _LOW_SPACE or self._is_low:
                return self._spare_of_little(free)
        except (OSError, apsw.Error) as error:
            raise classify(error, self._writer.connection) from error
        return free

    def _spare_of_little(self, free: int) -> int:
        connection = self._writer.connection
        with self._lock.threads:
            is_low = free < _LOW_SPACE
            if is_low is not self._is_low:
                change = self._checkpoints.keep_short if is_low else self._checkpoints.watch
                change(connection)
                self._is_low = is_low
            if not is_low:
                return free
            page, pages, unused = map(connection.pragma, ("page_size", "page_count", "freelist_count"))
        growth: int = max(pages * page - Path(connection.filename).stat().st_size, 0)
        reusable: int = min(unused * page, MAX_UNUSED_BYTES)
        return free - growth + reusable

    def check(self, reserve: int) -> None:
        """See `bleepstore.catalog.port.CatalogPort.check_disk`."""
        file = self._lock.file
        if file is None or not self._life.is_ours:
            return
        if self._lock.is_stalled():
            raise SlowDown("Another process keeps the catalog to itself. Reads go on; try again later.")
        try:
            # statvfs does not tell of a file system that an error has made read-only (ext4's emergency_ro).
            os.utime(file)
        except OSError as error:
            raise refusal_of(error) or error from error
        if self.spare_bytes() < reserve:
            raise StorageFull
