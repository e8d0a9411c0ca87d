"""How far the catalog of a folder has got, kept apart from it.

A catalog that was restored from an older copy, or lost its write-ahead log, does not know the newer blobs beside it,
and would take them for what interrupted writes left behind. The mark tells: it is written after each commit, so the
catalog it belongs to is never behind it. It is not synced. After a power cut it may be some seconds behind the catalog,
which says nothing against that.

The mark also lets the clocks of all processes go on from the latest time that one of them has used.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import attrs

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
