"""What the processes that have one catalog open know of each other beside the database.

`Life`: whether a catalog can be used here, which a child of the process that opened it cannot.

`BucketCache`: buckets that queries found, kept until any process changes one. Every write begins with a look at its
bucket, and SQLite reads that anew after each commit of another connection. All processes share a counter in a file. It
is odd while buckets change and another even number afterwards. A bucket is kept under the even number that was seen
before the query and counts for as long as the counter shows it. A writer makes the counter odd before its commit, so
nobody can keep what the commit replaces, nor find it kept once the commit can be seen. A process that is killed in
between leaves the counter odd: then every look is a query until the next write of any kind ends.

`MarkFile`: how far the catalog of a folder has got. A catalog that was restored from an older copy, or lost its
write-ahead log, does not know the newer blobs beside it, and would take them for what interrupted writes left behind.
The mark tells: it is written after each commit, so the catalog it belongs to is never behind it. It is not synced.
After a power cut it may be some seconds behind the catalog, which says nothing against that. It also lets the clocks of
all processes go on from the latest time that one of them has used.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from bleepstore.errors import StoreClosed
from bleepstore.model import Bucket
from bleepstore.posix import run_in_forks

_CLOSED = "The store was closed: open it again."
_FORKED = "The store was opened before this process was forked: open it after the fork."


class Life:
    """`is_ours` says whether this process opened the catalog and has not closed it."""

    __slots__ = ("__weakref__", "_why_not", "is_ours")

    def __init__(self) -> None:
        self.is_ours = True
        self._why_not = _CLOSED
        _lives.add(self)

    def check(self) -> None:
        """Raise StoreClosed unless the catalog can be used."""
        if not self.is_ours:
            raise StoreClosed(self._why_not)

    def end(self) -> None:
        """The catalog is closed."""
        self.is_ours = False

    def end_by_fork(self) -> None:
        """This process is a child of the one that opened the catalog."""
        self.is_ours = False
        self._why_not = _FORKED


# To ask for the number of the process at each read would cost more than all else that a `with` block of a reader does.
_lives: weakref.WeakSet[Life] = weakref.WeakSet()


def _end_all() -> None:
    for life in list(_lives):
        life.end_by_fork()


run_in_forks(_end_all)


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


MARK_FILE = "blobs.mark"
#: The catalog's id, its applied index, the time of that in milliseconds.
_FORM = struct.Struct("=32sQQ")


@attrs.frozen
class Mark:
    """`catalog_id` is 32 hexadecimal digits."""

    catalog_id: str
    index: int
    time_ms: int


def read_mark(folder: Path) -> Mark | None:
    """What was written last; None if there is nothing that can be read."""
    try:
        data = (folder / MARK_FILE).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != _FORM.size or not data[:32].isalnum():
        return None
    catalog_id, index, time_ms = _FORM.unpack(data)
    return Mark(catalog_id.decode("ascii", "replace"), index, time_ms)


def write_mark(folder: Path, mark: Mark) -> None:
    """The mark of a folder that was just filled and that nobody has open."""
    (folder / MARK_FILE).write_bytes(_FORM.pack(mark.catalog_id.encode(), mark.index, mark.time_ms))


class Clock(Protocol):
    """What has given the times of this process."""

    latest: int
    """The last of them, in milliseconds."""

    def follow(self, others: Sequence[int] | memoryview[int]) -> None:
        """Stay at or after the time that is in `others`."""


class MarkFile:
    """The mark of a folder that is in use. `write` is for who has the catalog's write lock; OSError if it is full."""

    def __init__(self, folder: Path, catalog_id: str, clock: Clock) -> None:
        self._catalog_id = catalog_id.encode()
        self._clock = clock
        self._file = os.open(folder / MARK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(self._file).st_size < _FORM.size:
                os.pwrite(self._file, bytes(_FORM.size), 0)
            shared = memoryview(mmap.mmap(self._file, _FORM.size, prot=mmap.PROT_READ)).cast("Q")
            #: One number: the latest time that any process has written.
            self.shared_time_ms: Sequence[int] | memoryview[int] = shared[-1:]
            clock.follow(self.shared_time_ms)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, index: int) -> None:
        time_ms = max(self._clock.latest, self.shared_time_ms[0])
        # What is committed is committed. A mark that is behind says nothing against its catalog.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, _FORM.pack(self._catalog_id, index, time_ms), 0)

    def close(self) -> None:
        os.close(self._file)
        # The mapping ends with the last who looks at it, and the clock may be kept for long.
        self.shared_time_ms = (self.shared_time_ms[0],)
        self._clock.follow(self.shared_time_ms)
