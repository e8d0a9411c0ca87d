"""Bodies that are held until they are sent: whole, since a provider asks for their checksum first, or a block at a time
while the next one comes."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar

import attrs

from bleepstore.backends.base import CHUNK
from bleepstore.backends.gateway.streams import Crc32c, Md5
from bleepstore.errors import StorageFull
from bleepstore.threads import Call, Calls

T = TypeVar("T")

#: Bodies up to this many bytes are sent from memory: the part size of most clients. Larger ones are sent from disk.
IN_MEMORY = 8 * 1024 * 1024


class FileBody(io.RawIOBase):
    """Bytes `start` to `stop` (exclusive) of a file, as the body of a request. HTTP clients ask for 16 KiB at a time;
    they are given more, for each piece is a call to the system and may be a packet."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file = file
        self._start = start
        self._size = stop - start
        file.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        left = self._size - self.tell()
        return self._file.read(left if size is None or size < 0 else min(max(size, CHUNK), left))

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(self._start + base + position) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


def body_of(content: bytes | BinaryIO, start: int, stop: int) -> bytes | FileBody:
    """Bytes `start` to `stop` (exclusive) of what is in memory or in a file, for one request."""
    return content[start:stop] if isinstance(content, bytes) else FileBody(content, start, stop)


@attrs.frozen
class BufferedBody:
    """All of a body, which can be sent as often as need be, and what is known of it. `md5` is in hex."""

    content: bytes | BinaryIO = attrs.field(repr=False)
    size: int
    md5: str
    crc32c: str

    def body(self, start: int = 0, stop: int | None = None) -> bytes | FileBody:
        """The bytes from `start` to `stop` (exclusive), for one request."""
        return body_of(self.content, start, self.size if stop is None else stop)


class HashingReader:
    """Chunks that pass by once, and what is known of them when they have; their MD5 only if it is asked for before."""

    def __init__(self, chunks: Iterable[bytes], *, md5: bool = False) -> None:
        self._chunks = chunks
        self._crc32c = Crc32c()
        self._md5 = Md5() if md5 else None
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            self._crc32c.update(chunk)
            if self._md5 is not None:
                self._md5.update(chunk)
            yield chunk

    @property
    def crc32c(self) -> str:
        return self._crc32c.text

    @property
    def md5(self) -> str:
        """In hex."""
        assert self._md5 is not None
        return self._md5.text


class StreamingBody(io.RawIOBase):
    """A body of `size` bytes that is sent while it comes, and is in a file then. An error of the body's own is kept
    in `failure`, for SDKs may hide it behind theirs.

    The last chunk is held back until the body has ended, for the store's last checks are made there, and a provider
    stores what it was sent as soon as it has every byte."""

    def __init__(self, chunks: Iterable[bytes], size: int, file: BinaryIO) -> None:
        self._chunks = iter(chunks)
        self._size = size
        self._file = file
        self._given = 0
        self._next: bytes | None = None
        self.failure: BaseException | None = None

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._given

    def read(self, _size: int | None = -1) -> bytes:
        """A chunk as it comes. Raises EOFError if there are other bytes than were announced."""
        chunk = self._pull() if self._next is None else self._next
        self._next = self._pull() if chunk else b""
        self._given += len(chunk)
        if self._given > self._size or (not chunk and self._given < self._size):
            raise EOFError(f"{self._given} bytes came instead of {self._size}")
        return chunk

    def finish(self) -> None:
        """Take what has not come yet."""
        while self._pull():
            pass

    def _pull(self) -> bytes:
        try:
            chunk = next((one for one in self._chunks if one), b"")
            spool(self._file, chunk)
        except BaseException as error:
            self.failure = error
            raise
        return chunk


@contextlib.contextmanager
def buffered(
    chunks: Iterable[bytes],
    in_memory: int,
    etag: Callable[[], str] | None = None,
    *,
    size: int | None = None,
    early: Callable[[StreamingBody], None] | None = None,
) -> Iterator[BufferedBody]:
    """A whole body: in memory up to so many bytes, else on disk, where nothing is left of it when the process dies.

    `etag` gives the MD5 of all bytes once they have come, where that is computed already. `early` may read what goes to
    the disk while it comes, as far as it likes, if its `size` is known."""
    reader = HashingReader(chunks, md5=etag is None)
    # What is known to be large needs no look at its beginning, and `early` can begin at once.
    body, rest = head_of(reader, in_memory) if size is None or size <= in_memory else (b"", iter(reader))
    if rest is None:
        yield BufferedBody(body, reader.size, reader.md5 if etag is None else etag(), reader.crc32c)
        return
    with tempfile.TemporaryFile() as file:
        streaming = StreamingBody(rest, size or 0, file)
        try:
            if early is not None and size:
                early(streaming)
            streaming.finish()
        finally:
            # An error's traceback holds `streaming` and its last chunk, until a collection of garbage.
            streaming.failure = None
        yield BufferedBody(file, reader.size, reader.md5 if etag is None else etag(), reader.crc32c)


def head_of(chunks: Iterable[bytes], limit: int) -> tuple[bytes, Iterator[bytes] | None]:
    """The whole body and None if it has at most `limit` bytes; else nothing and the iterator of all of it."""
    iterator = iter(chunks)
    head: list[bytes] = []
    length = 0
    for chunk in iterator:
        head.append(chunk)
        length += len(chunk)
        if length > limit:
            return b"", _chained(head, iterator)
    whole = io.BytesIO()  # whose value is not copied once more, as by joining a list
    for piece in _chained(head, iterator):
        whole.write(piece)
    return whole.getvalue(), None


def _chained(head: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    """Each piece is released once it was given."""
    while head:
        yield head.pop(0)
    yield from rest


def blocks_of(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The bytes in blocks of `size` bytes, of which only the last is shorter. An empty body has no block."""
    block = io.BytesIO()
    for chunk, is_full in _cut(chunks, size):
        block.write(chunk)
        if is_full:
            yield block.getvalue()
            block = io.BytesIO()
    if block.tell():
        yield block.getvalue()


def files_of(chunks: Iterable[bytes], size: int, files: contextlib.ExitStack) -> Iterator[tuple[BinaryIO, bool]]:
    """The same for blocks that do not fit in memory, each with whether it is the last: then all chunks have come.
    `files` closes them, and who is done with one before."""
    file: BinaryIO | None = None
    full: BinaryIO | None = None
    for chunk, is_full in _cut(chunks, size):
        if full is not None:
            yield full, False
            full = None
        if file is None:
            file = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # `files` closes it
        spool(file, chunk)
        if is_full:
            full, file = file, None
    last = file or full
    if last is not None:
        yield last, True


def _cut(chunks: Iterable[bytes], size: int) -> Iterator[tuple[memoryview, bool]]:
    """The chunks, cut where a block of `size` bytes ends; and whether it ends there."""
    filled = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            piece, rest = rest[: size - filled], rest[size - filled :]
            filled = (filled + len(piece)) % size
            yield piece, filled == 0


def spool(file: BinaryIO, chunk: bytes | memoryview) -> None:
    """Write to a temporary file, TMPDIR's, what does not fit in memory. Raises StorageFull."""
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise


def send_behind(blocks: Iterable[T], send: Callable[[T], None]) -> None:
    """Call `send` with each block, in their order, while the next one comes: two are held at a time."""
    with Calls() as calls:
        under_way: Call[None] | None = None
        for block in blocks:
            if under_way is not None:
                under_way.result()
            under_way = calls.start(functools.partial(send, block))
            del block
        if under_way is not None:
            under_way.result()
