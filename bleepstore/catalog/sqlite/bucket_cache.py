"""Buckets that queries found, kept until any process changes one.

Every write begins with a look at its bucket, and SQLite reads that anew after each commit of another connection.

All processes share a counter in a file. It is odd while buckets change and another even number afterwards. A bucket is
kept under the even number that was seen before the query and counts for as long as the counter shows it. A writer
makes the counter odd before its commit, so nobody can keep what the commit replaces, nor find it kept once the commit
can be seen. A process that is killed in between leaves the counter odd: then every look is a query until the next
write of any kind ends.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Callable

from bleepstore.catalog.sqlite.life import Life
from bleepstore.model import Bucket

_SIZE = 8
_MAX_KEPT = 1024


class BucketCache:
    """`file` is a descriptor that stays open until `close`; None: no other process shares the catalog. `ask` is the
    query.

    Make the cache, and call `begin` and `end`, while no other thread or process writes the catalog.
    """

    def __init__(self, file: int | None, life: Life, ask: Callable[[str], Bucket | None]) -> None:
        self._file = file
        self._life = life
        self._ask = ask
        #: Of one number. It changes with every change of a bucket, and is odd while that is under way.
        self.counter: memoryview[int]
        self._kept: dict[str, tuple[int, Bucket]] = {}
        if file is None:
            self.counter = memoryview(bytearray(_SIZE)).cast("Q")
            return
        if os.fstat(file).st_size < _SIZE:
            os.pwrite(file, bytes(_SIZE), 0)
        self.counter = memoryview(mmap.mmap(file, _SIZE, prot=mmap.PROT_READ)).cast("Q")

    def find(self, name: str) -> Bucket | None:
        """A bucket, as the last commit left it. Raises StoreClosed."""
        count = self.counter[0]  # read before the query whose answer is to be kept
        kept = self._kept.get(name)
        if kept is not None and kept[0] == count and self._life.is_ours:
            return kept[1]
        bucket = self._ask(name)
        # There is nothing to keep of a bucket that was not found, so creating one is no change.
        if bucket is not None and not count % 2:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[name] = (count, bucket)
        return bucket

    def begin(self) -> None:
        """Call before the commit of anything that changes what a query for a bucket gives. Raises OSError."""
        if not self.counter[0] % 2:
            self._write(self.counter[0] + 1)

    def end(self) -> None:
        """Call after the commit or the rollback, whether something began or not."""
        if self.counter[0] % 2:
            # The commit stands whatever comes. A counter that stays odd keeps nothing.
            with contextlib.suppress(OSError):
                self._write(self.counter[0] + 1)

    def _write(self, count: int) -> None:
        if self._file is None:
            self.counter[0] = count
        else:
            # Not by the mapping, where a disk that is full would end the process with SIGBUS.
            os.pwrite(self._file, count.to_bytes(_SIZE, sys.byteorder), 0)

    def close(self) -> None:
        """Release the file. The mapping ends with its last reader, and nothing is kept any more."""
        self._file = None
        self.counter = memoryview((1).to_bytes(_SIZE, sys.byteorder)).cast("Q")
