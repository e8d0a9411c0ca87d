"""Bytes on their way to a provider and back."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Protocol

from awscrt import checksums

from bleepstore.backends.base import CHUNK
from bleepstore.backends.gateway.retry import Retry
from bleepstore.errors import BlobNotFound, ServiceUnavailable, StorageFull


class Crc32c:
    """A CRC32C as bytes pass by."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = checksums.crc32c(data, self._value)

    @property
    def text(self) -> str:
        """Base64 of the four bytes, big-endian, as all providers write it."""
        return base64.b64encode(self._value.to_bytes(4, "big")).decode()


def combined_crc32c(parts: Iterable[tuple[str, int]]) -> str:
    """The CRC32C of all bytes together, from (CRC32C, length) of each of their parts."""
    value = 0
    for text, size in parts:
        value = checksums.combine_crc32c(value, int.from_bytes(base64.b64decode(text), "big"), size)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


class Md5:
    """An MD5 as bytes pass by."""

    def __init__(self) -> None:
        self._digest = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        self._digest.update(data)

    @property
    def text(self) -> str:
        return self._digest.hexdigest()


class Check:
    """What all bytes of a blob must have: a CRC32C or an MD5. `accept` may let another one pass."""

    def __init__(self, digest: Crc32c | Md5, wanted: str, accept: Callable[[str], bool] = lambda _found: False) -> None:
        self._digest = digest
        self._wanted = wanted
        self._accept = accept

    def update(self, data: bytes) -> None:
        self._digest.update(data)

    def end(self) -> None:
        found = self._digest.text
        if found != self._wanted and not self._accept(found):
            raise ServiceUnavailable(
                f"The storage provider sent bytes with the checksum {found}; stored were {self._wanted}. Read it again."
            )


class Doubts:
    """Checksums that were found where a note of ours says another. Bytes that change on their way hardly change the
    same way twice; so a checksum that is found again is that of what is stored, and it is the note that is wrong."""

    _MOST = 1000

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()

    def accept(self, handle: str, found: str) -> bool:
        with self._lock:
            again = self._found.pop(handle, None) == found
            self._found[handle] = found
            if len(self._found) > self._MOST:
                del self._found[next(iter(self._found))]
            return again


class ChunkReader(io.RawIOBase):
    """An iterable of bytes as a file that is read once, for SDKs that take files.

    An error that the iterable raises is kept in `failure`: an SDK may hide it behind one of its own. The last chunk is
    held back until the iterable has ended, for the store's last checks are made there, and a provider stores what it
    was sent as soon as it has every byte. `crc32c` is of all bytes once they were read.
    """

    def __init__(self, chunks: Iterable[bytes], length: int | None = None) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self._next: bytes | None = None
        self._begun = False
        self._position = 0
        self.length = length
        self.failure: BaseException | None = None
        self.crc32c = Crc32c()

    def __len__(self) -> int:
        """The declared length, for SDKs that ask for it so."""
        if self.length is None:
            raise TypeError("the length of this stream is not known")
        return self.length

    def __bool__(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end, so that an SDK's blocks are full."""
        wanted = -1 if size is None else size
        found = io.BytesIO()  # whose value is not copied once more, as by joining a list
        while wanted < 0 or found.tell() < wanted:
            if not self._rest and not self._fill():
                break
            taken = self._rest if wanted < 0 else self._rest[: wanted - found.tell()]
            self._rest = self._rest[len(taken) :]
            found.write(taken)
        self._position += found.tell()
        return found.getvalue()

    def _fill(self) -> bool:
        if not self._begun:
            self._begun = True
            self._next = self._pull()
        if self._next is None:
            return False
        self._rest = memoryview(self._next)
        self._next = self._pull()
        return True

    def _pull(self) -> bytes | None:
        try:
            for chunk in self._chunks:
                if chunk:
                    self.crc32c.update(chunk)
                    return chunk
        except BaseException as error:
            self.failure = error
            raise
        return None

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer`; less only at the end."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and (self._rest or self._fill()):
            taken = self._rest[: len(view) - filled]
            view[filled : filled + len(taken)] = taken
            self._rest = self._rest[len(taken) :]
            filled += len(taken)
        self._position += filled
        return filled

    @property
    def at_end(self) -> bool:
        """Whether all bytes were read and the iterable has ended in order."""
        return self._begun and not self._rest and self._next is None


def head_of(chunks: Iterable[bytes], limit: int) -> tuple[bytes, Iterator[bytes] | None]:
    """The whole body and None if it has at most `limit` bytes; else nothing and the
    iterator of all of it."""
    iterator = iter(chunks)
    head: list[bytes] = []
    length = 0
    for chunk in iterator:
        head.append(chunk)
        length += len(chunk)
        if length > limit:
            return b"", _chained(head, iterator)
    whole = io.BytesIO()
    for piece in _chained(head, iterator):
        whole.write(piece)
    return whole.getvalue(), None


def _chained(head: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    """Each piece is let go of once it was given."""
    while head:
        yield head.pop(0)
    yield from rest


def blocks_of(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The bytes in blocks of `size` bytes, of which only the last is shorter. An empty body has no block.

    Let go of each before the next is taken, and one is held at a time."""
    reader = ChunkReader(chunks)
    while block := reader.read(size):
        yield block
        del block


def spool(file: BinaryIO, chunk: bytes) -> int:
    """Write to a temporary file, TMPDIR's, what does not fit in memory; the number of bytes. Raises StorageFull."""
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise
    return len(chunk)


class Stream(Protocol):
    """The body of a provider's answer."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class ResumingReader(io.RawIOBase):
    """Bytes `start` to `stop` (exclusive) of a blob. A connection that breaks or ends early is opened again where it
    ended, under the same pin: if the blob was replaced meanwhile reading fails, and never goes on with other bytes.

    `open_at` gives the stream of the bytes from a position to `stop`, or raises BlobNotFound. `check` judges all bytes,
    where the whole blob is read and a checksum is known; the last of them are given only if it passes.
    """

    def __init__(
        self,
        open_at: Callable[[int], Stream],
        start: int,
        stop: int,
        retry: Retry,
        *,
        first: Stream | None = None,
        check: Check | None = None,
    ) -> None:
        self._open_at = open_at
        self._position = start
        self._stop = stop
        self._retry = retry
        self._stream: Stream | None = first
        self._check = check

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if self.closed:
            raise ValueError("read of a closed blob")
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        wanted = min(size, self._stop - self._position)
        if wanted <= 0:
            return b""
        data = self._retry.run(lambda: self._read_some(wanted))
        self._position += len(data)
        if self._check is not None:
            self._check.update(data)
            if self._position == self._stop:
                self._check.end()
        return data

    def _read_some(self, size: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = self._open_at(self._position)
            data = self._stream.read(size)
            if not data:
                raise EOFError(f"the connection ended {self._stop - self._position} bytes too early")
        except BlobNotFound as error:
            raise ServiceUnavailable("The object was replaced while it was being read: read it again.") from error
        except BaseException:
            self._drop()
            raise
        return data

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()
