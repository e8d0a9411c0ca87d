"""The answer to a request on its way into a connection, as the worker sends it.

The head and a small body leave in one piece; a stored object is sent by the descriptor of its file.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO

from bleepstore.errors import ObjectDamaged
from bleepstore.store.verifying import Comparison
from bleepstore_server.http1.connection import Connection
from bleepstore_server.response import Headers, ObjectBody
from bleepstore_server.wire.dates import http_date

_log = logging.getLogger("bleepstore.server")

#: Bytes that are compared before they are sent, and how many of them are read at a time.
_PIECE = 1024 * 1024
_COMPARED = 256 * 1024
#: How much is read at a time where the descriptor cannot be sent, as over TLS.
_COPIED = 64 * 1024
#: Up to this many bytes are copied behind the head, so that both are one packet.
_JOINED = 16 * 1024
_NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
#: Of the connection and not of the answer: "a sender MUST NOT generate" these but for its own (RFC 9110 section 7.6.1).
_OF_THE_CONNECTION = frozenset(
    {"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding",
     "Upgrade"}
)  # fmt: skip
#: Buffers for what is compared before its descriptor is sent. As nobody waits for a client between the two there are as
#: many as threads that run at a time, and not as threads. After many have hung no more than these are kept.
_buffers: deque[memoryview] = deque(maxlen=32)

_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Answer:
    """One answer. `closes`: the connection ends with it; `awaited` says whether the client still waits to be asked for
    its body: what comes next could be that body, or another request, so the connection ends too."""

    __slots__ = (
        "_awaited",
        "_connection",
        "_head",
        "_is_bodiless",
        "_left",
        "_minor",
        "closes",
        "is_begun",
        "method",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        minor: int,
        closes: bool,
        awaited: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self.method = method
        self._minor = minor
        self._awaited = awaited
        self._head: bytes | None = None
        self.closes = closes
        #: Whether bytes of it may have left.
        self.is_begun = False

    def start(self, status: str, headers: Headers, exc_info: _ErrorInfo | None = None) -> Callable[[bytes], object]:
        """What the app calls (PEP 3333). Nothing is sent before its body comes."""
        if exc_info is not None and exc_info[1] is not None and self.is_begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise AssertionError("the app began its answer twice")
        self._is_bodiless = self.method == "HEAD" or status[:3] in ("204", "304")
        self._left = -1
        lines = []
        for name, value in headers:
            if name in _OF_THE_CONNECTION:
                self.closes = self.closes or (name == "Connection" and value == "close")
                continue
            if name == "Content-Length":
                self._left = int(value)
            lines.append(f"{name}: {value}\r\n")
        if self._left < 0 and not self._is_bodiless:
            self.closes = True  # its end is that of the body
        if self._awaited():
            self.closes = True
        connection = "close" if self.closes else "keep-alive"
        fields = "".join(lines)
        if fields.count("\n") != len(lines) or fields.count("\r") != len(lines):
            raise ValueError("a header field of the answer has the end of a line in it")
        self._head = (
            f"HTTP/1.{self._minor} {status}\r\nServer: BleepStore\r\nDate: {http_date(int(time.time()))}\r\n"
            f"Connection: {connection}\r\n{fields}\r\n"
        ).encode("latin-1")
        return self._write

    def whole(self, body: Iterable[bytes]) -> Sequence[bytes]:
        """All bytes of an answer that has them, in one or two pieces; none of what has to be sent by `send`, as of an
        answer that is not as WSGI has it. Never raises."""
        if type(body) is not list or len(body) > 1 or self.closes or self.is_begun or self._head is None:
            return ()
        data = body[0] if body and not self._is_bodiless else b""
        if type(data) is not bytes or (self._left >= 0 and len(data) != self._left and not self._is_bodiless):
            return ()
        return (self._head + data,) if len(data) <= _JOINED else (self._head, data)

    def send(self, body: Iterable[bytes], by_descriptor: bool) -> None:
        """Send the whole answer. Raises what the body raises, and OSError if the client goes away or stalls."""
        if not self._is_bodiless and isinstance(body, ObjectBody):
            descriptor = body.descriptor()
            if descriptor is not None:
                try:
                    self._send_object(body, descriptor, by_descriptor)
                except ObjectDamaged:
                    body.error_code = "InternalError"
                    raise
                return
            if body.length and body.stored.file is not None:
                self._send_read(body, body.stored.file)
                return
        for piece in body:
            self._write(piece)
        if not self.is_begun:
            self._write(b"")
        if self._left > 0 and not self._is_bodiless:
            self.closes = True  # the client would take what comes next for the rest

    def _write(self, data: bytes) -> None:
        if self._is_bodiless:
            data = b""
        elif self._left >= 0:
            if len(data) > self._left:
                data = data[: self._left]
            self._left -= len(data)
        if self.is_begun:
            if data:
                self._connection.send(data)
            return
        assert self._head is not None, "the app has to begin its answer"
        self.is_begun = True
        if len(data) <= _JOINED:
            self._connection.send(self._head + data)
        else:
            self._connection.send(self._head, data)

    def _send_object(self, body: ObjectBody, descriptor: int, by_descriptor: bool) -> None:
        """Raises ObjectDamaged before the last byte is sent if the bytes are not those that were written, or if the
        file ends early. That ends the connection, whose client would take the next answer for the rest."""
        if not by_descriptor:
            self._send_copies(body, descriptor)
            return
        assert self._head is not None
        self.is_begun = True
        connection, comparison, count = self._connection, body.comparison, body.length
        connection.send(self._head)
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        if comparison is None:
            _send_file(connection, body, descriptor, offset, count)
            return
        for start in range(offset, offset + count, _PIECE):
            stop = min(start + _PIECE, offset + count)
            _compare(body, descriptor, comparison, stop - start)
            if stop == offset + count:
                comparison.finish()
            _send_file(connection, body, descriptor, start, stop - start)

    def _send_read(self, body: ObjectBody, file: BinaryIO) -> None:
        """Send what has no descriptor, as it is read: so much of it is kept for a client that reads slowly. If its
        first bytes are damaged the answer has not begun."""
        left, head = body.length, self._head
        assert head is not None
        buffer = memoryview(bytearray(min(left, _COMPARED)))
        while left:
            try:
                count = file.readinto(buffer[:left])  # type: ignore[attr-defined]  # every file of an object has it
            except Exception:
                body.error_code = "InternalError"
                raise
            self.is_begun = True
            self._connection.send(*((head, buffer[:count]) if head else (buffer[:count],)))
            body.sent += count
            left -= count
            head = b""

    def _send_copies(self, body: ObjectBody, descriptor: int) -> None:
        """Send a file a little at a time: so much of it is kept for a client that reads slowly. What is not large is
        compared before the answer begins."""
        comparison, left, head = body.comparison, body.length, self._head
        assert head is not None
        if comparison is not None and left <= _PIECE:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
            _compare(body, descriptor, comparison, left)
            comparison.finish()
            comparison = None
            os.lseek(descriptor, offset, os.SEEK_SET)
        self.is_begun = True
        while left or head:
            piece = memoryview(bytearray(min(left, _COPIED)))
            _read(body, descriptor, piece)
            left -= len(piece)
            if comparison is not None:
                comparison.update(piece)
                if not left:
                    comparison.finish()
            self._connection.send(*((head, piece) if head else (piece,)))
            body.sent += len(piece)
            head = b""


def _compare(body: ObjectBody, descriptor: int, comparison: Comparison, count: int) -> None:
    """Compare the next bytes of a file with what was written."""
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = memoryview(bytearray(_COMPARED))
    for done in range(0, count, _COMPARED):
        piece = buffer[: count - done]
        _read(body, descriptor, piece)
        comparison.update(piece)
    _buffers.append(buffer)


def _read(body: ObjectBody, descriptor: int, buffer: memoryview) -> None:
    """Fill a buffer, which stays in the processor's cache. (A mapping would be as fast, but a file that is cut off
    under a mapping ends the process by SIGBUS.)"""
    done = 0
    while done < len(buffer):
        count = os.readv(descriptor, [buffer[done:]])
        if not count:
            raise _too_short(body)
        done += count


def _send_file(connection: Connection, body: ObjectBody, descriptor: int, offset: int, count: int) -> None:
    stop = offset + count
    while offset < stop:
        sent = connection.send_file(descriptor, offset, min(stop - offset, 1 << 30))
        if not sent:
            raise _too_short(body)
        offset += sent
        body.sent += sent


def _too_short(body: ObjectBody) -> ObjectDamaged:
    version = body.stored.version
    error = ObjectDamaged(version.bucket, version.key, "their file was cut off while it was sent")
    _log.error("%s", error)
    return error
