"""Readers of the bytes of blobs that are files (see `bleepstore.backends.local`)."""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bleepstore.errors import BlobBusy, BlobDamaged, BlobNotFound
from bleepstore.posix import fcntl


class FileSpan(io.RawIOBase):
    """Bytes of one open file up to a limit."""

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self._fd = fd
        self._start = start
        self._length = self._left = stop - start
        os.lseek(fd, start, os.SEEK_SET)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("a span seeks from its beginning")
        os.lseek(self._fd, self._start + offset, os.SEEK_SET)
        self._left = max(0, self._length - offset)
        return offset

    def fileno(self) -> int:
        return self._fd

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        count = os.readv(self._fd, [view]) if len(view) else 0
        self._left -= count
        return count

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        pieces = []
        while wanted and (piece := os.read(self._fd, wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self._left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class PartsSpan(io.RawIOBase):
    """Bytes of an assembled blob, one open part at a time, under a shared lock on its manifest. `stop` is where it
    ends."""

    def __init__(self, folder: Path, manifest: int, ends: list[int], start: int, stop: int) -> None:
        self._folder = folder
        self._manifest = manifest
        self._ends = ends
        self._position = start
        self.stop = stop
        self._part: FileSpan | None = None
        self._part_stop = start

    @property
    def sizes(self) -> list[int]:
        """Of all parts of the blob."""
        return [end - start for start, end in itertools.pairwise([0, *self._ends])]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while self._position < self.stop and len(view):
            count = self._open_part().readinto(view[: self.stop - self._position])
            self._position += count
            if count:
                return count
            self._end_part()
        return 0

    def read(self, size: int = -1) -> bytes:
        wanted = self.stop - self._position
        if size is not None and size >= 0:
            wanted = min(size, wanted)
        pieces = []
        while wanted:
            piece = self._open_part().read(wanted)
            pieces.append(piece)
            wanted -= len(piece)
            self._position += len(piece)
            if not piece:
                self._end_part()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end_part(self) -> None:
        """The part gives no more. Raises BlobDamaged if it should."""
        if self._part is not None:
            self._part.close()
            self._part = None
        if self._position < self._part_stop:
            raise BlobDamaged(self._folder.name, "a part was cut off while it was read")

    def _open_part(self) -> FileSpan:
        """The part that has the next byte."""
        if self._part is None:
            self._part = self._open_next()
        return self._part

    def _open_next(self) -> FileSpan:
        number = bisect.bisect_right(self._ends, self._position)
        begin = self._ends[number - 1] if number else 0
        size = self._ends[number] - begin
        try:
            fd = os.open(self._folder / f"{number + 1:05d}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobDamaged(self._folder.name, f"its part {number + 1} is missing") from None
        if (found := os.fstat(fd).st_size) != size:
            os.close(fd)
            raise BlobDamaged(self._folder.name, f"its part {number + 1} has {found} bytes instead of {size}")
        self._part_stop = min(self._ends[number], self.stop)
        return FileSpan(fd, self._position - begin, min(self._ends[number], self.stop) - begin)

    def close(self) -> None:
        if not self.closed:
            if self._part is not None:
                self._part.close()
            os.close(self._manifest)
        super().close()


def open_parts(folder: Path, start: int, stop: int | None) -> PartsSpan:
    """A reader of bytes `start` to `stop` (exclusive) of the assembled blob in `folder`. Raises BlobNotFound,
    BlobDamaged."""
    try:
        manifest = os.open(folder / "manifest", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BlobNotFound(folder.name) from None
    try:
        fcntl.flock(manifest, fcntl.LOCK_SH)
        if os.fstat(manifest).st_nlink == 0:  # deleted between the open and the lock
            raise BlobNotFound(folder.name)
        sizes = _sizes_in(os.read(manifest, os.fstat(manifest).st_size), folder.name)
    except BaseException:
        os.close(manifest)
        raise
    ends = list(itertools.accumulate(sizes))
    size = ends[-1] if ends else 0
    stop = size if stop is None else min(stop, size)
    return PartsSpan(folder, manifest, ends, start, max(start, stop))


def _sizes_in(manifest: bytes, handle: str) -> list[int]:
    """The sizes of the parts of an assembled blob. Raises BlobDamaged."""
    try:
        sizes = json.loads(manifest)
    except ValueError:
        sizes = None
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise BlobDamaged(handle, "the list of its parts cannot be read")
    return sizes


@contextlib.contextmanager
def locked_manifest(folder: Path) -> Iterator[None]:
    """A block in which nobody reads the assembled blob in `folder`. Raises BlobBusy, FileNotFoundError."""
    manifest = os.open(folder / "manifest", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BlobBusy(folder.name) from None
    finally:
        os.close(manifest)
