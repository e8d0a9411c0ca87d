"""The body of a request as the app reads it: framed by its length or in chunks (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

#: Up to so many bytes are taken from the socket at a time: each time costs a switch of threads or two.
PIECE = 1024 * 1024
_MAX_LINE = 4096
_MAX_TRAILERS = 16 * 1024
_CHUNK = re.compile(rb"(0*[0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n\0]*)?")
#: The end of a chunk's data, and how another begins.
_NEXT_CHUNK = re.compile(rb"\r\n(0*[1-9A-Fa-f][0-9A-Fa-f]{0,14})(?:[ \t]*;[^\r\n\0]*)?\r\n")
#: What has come of a line while its end has not.
_CHUNK_BEGUN = re.compile(rb"(?:0*[0-9A-Fa-f]{1,15}[ \t]*(?:;[^\r\n\0]*)?\r?)?")
_END_BEGUN = re.compile(rb"\r?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")
_TRAILER_BEGUN = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+(?::[^\r\n\0]*)?)?\r?")


class Source(Protocol):
    """Where bytes come from. `buffer` has those that came and nobody took; what is taken is deleted from it."""

    buffer: bytearray

    def receive(self, size: int, expected: int = 1) -> bytes:
        """Up to `size` bytes more, once there are some; b"" when the client has ended. So many are `expected` to come
        for sure. Raises OSError, and TimeoutError if they come too slowly."""


class MalformedBody(ValueError):
    """The framing of a body is not valid."""


class RequestBody:
    """`wsgi.input` (PEP 3333). `read` gives up to `size` bytes as soon as there are some, b"" at the end. Raises
    MalformedBody, OSError, TimeoutError.

    `ask` is called before anything is waited for: it sends "100 Continue" where the client awaits it."""

    def __init__(self, source: Source, length: int | None, ask: Callable[[], object] | None = None) -> None:
        self._source = source
        self._chunked = length is None
        #: Bytes that are left of the body, or of the chunk.
        self._left = length or 0
        #: Whether all of it was read, so that the next request follows.
        self.is_read = length == 0
        self._is_first = True
        self._ask = ask
        #: What is wrong with the framing: nobody knows where anything is behind that, and nothing more is waited for.
        self._fault = ""

    def is_awaited(self) -> bool:
        """Whether the client still waits to be asked for it."""
        return self._ask is not None

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        if self._ask is not None:
            ask, self._ask = self._ask, None
            ask()
        if not self._chunked:
            data = self._take(min(size, self._left)) if self._left and size else b""
            self.is_read = not self._left
            return data
        if self._fault:
            raise MalformedBody(self._fault)
        data = self._read_chunk(size) if size else b""
        if data and not self._left and self._source.buffer:
            return self._read_chunks(data, min(size, PIECE))  # each piece that is read has its price
        return data

    def _read_chunks(self, data: bytes, size: int) -> bytes:
        """Up to `size` bytes: `data`, which end a chunk, and those of the chunks behind it that are there as a whole. A
        client may send a million chunks of one byte each, so this does little for each of them. What else there is the
        next `read` takes."""
        buffer = self._source.buffer
        joined, at = bytearray(data), 0
        while chunk := _NEXT_CHUNK.match(buffer, at, at + 2 + _MAX_LINE):
            start = chunk.end()
            end = start + int(chunk[1], 16)
            if end > len(buffer) or len(joined) + end - start > size:
                break
            joined += buffer[start:end]
            at = end
        del buffer[:at]
        return bytes(joined)

    def _malformed(self, why: str) -> MalformedBody:
        self._fault = why
        return MalformedBody(why)

    def _read_chunk(self, size: int) -> bytes:
        """Up to `size` bytes of one chunk."""
        if self.is_read or (not self._left and not self._begin_chunk()):
            return b""
        data = self._take(min(size, self._left))
        if not data:
            raise self._malformed("the body ended within a chunk")
        return data

    def readline(self, limit: int = -1) -> bytes:
        line = bytearray()
        while len(line) != limit and not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def readlines(self, _hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def drop(self, limit: int) -> bool:
        """Read and forget up to `limit` bytes; whether that was all."""
        while limit > 0 and not self.is_read:
            data = self.read(min(limit, PIECE))
            if not data:
                break
            limit -= len(data)
        return self.is_read

    def _take(self, size: int) -> bytes:
        buffer = self._source.buffer
        if buffer:
            data = bytes(buffer[:size])
            del buffer[:size]
        else:
            size = min(size, PIECE)
            data = self._source.receive(size, size)
        self._left -= len(data)
        return data

    def _begin_chunk(self) -> bool:
        """Read the line of the next chunk's size; False if it is the last chunk, whose trailers are read and dropped:
        "A recipient that removes the chunked coding from a message MAY selectively retain or discard the received
        trailer fields" (RFC 9110 section 6.5.1)."""
        if not self._is_first and self._line(2, _END_BEGUN):
            raise self._malformed("the data of a chunk must end in CRLF")
        self._is_first = False
        size = _CHUNK.fullmatch(self._line(_MAX_LINE, _CHUNK_BEGUN))
        if size is None:
            raise self._malformed("a chunk must begin with its size in hexadecimal")
        self._left = int(size[1], 16)
        if self._left:
            return True
        allowed = _MAX_TRAILERS
        while line := self._line(_MAX_LINE, _TRAILER_BEGUN):
            allowed -= len(line)
            if allowed < 0:
                raise self._malformed("the trailers are too long")
            if not _TRAILER.fullmatch(line):
                raise self._malformed("a trailer must be a name, a colon and a value")
        self.is_read = True
        return False

    def _line(self, limit: int, begun: re.Pattern[bytes]) -> bytes:
        """The next line without its CRLF. As long as its end has not come it is `begun`."""
        buffer = self._source.buffer
        while (end := buffer.find(b"\n", 0, limit)) < 0:
            if len(buffer) >= limit:
                raise self._malformed("a line of the chunked body is too long")
            if not begun.fullmatch(buffer):
                raise self._malformed("a line of the chunked body is not valid")
            data = self._source.receive(PIECE)
            if not data:
                raise self._malformed("the body ended within a chunk")
            buffer += data
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise self._malformed("a line of a chunked body must end in CRLF")
        return line[:-2]
