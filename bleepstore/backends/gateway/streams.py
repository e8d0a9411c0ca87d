"""Checksums of bytes on their way to a provider and back, and reading from one."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from awscrt import checksums

from bleepstore.backends.base import CHUNK
from bleepstore.backends.gateway.retry import Retry
from bleepstore.cleanup import on_error
from bleepstore.errors import BlobNotFound, ServiceUnavailable


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

    _MAX_NOTES = 1000

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()

    def accept(self, handle: str, found: str) -> bool:
        with self._lock:
            again = self._found.pop(handle, None) == found
            self._found[handle] = found
            if len(self._found) > self._MAX_NOTES:
                del self._found[next(iter(self._found))]
            return again


class Stream(Protocol):
    """The body of a provider's answer."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class ResumingReader(io.RawIOBase):
    """Bytes `start` to `stop` (exclusive) of a blob. A connection that breaks or ends early is opened again where it
    ended, under the same pin: if the blob was replaced meanwhile reading fails, and never goes on with other bytes.

    `open_at` gives the stream of the bytes from a position to `stop`, or raises BlobNotFound. `check` verifies all
    bytes, where the whole blob is read and a checksum is known; the last of them are given only if it passes.
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
            with on_error(self._drop):
                if self._stream is None:
                    self._stream = self._open_at(self._position)
                data = self._stream.read(size)
                if not data:
                    raise EOFError(f"the connection ended {self._stop - self._position} bytes too early")
        except BlobNotFound as error:
            raise ServiceUnavailable("The object was replaced while it was being read: read it again.") from error
        return data

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()
