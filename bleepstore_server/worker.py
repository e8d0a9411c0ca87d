"""The gunicorn worker: what gunicorn's own does otherwise than S3 clients need.

- WSGI cannot tell `x-amz-meta-my_key` from `x-amz-meta-my-key`. The app gets the header fields as they were sent in
  `bleepstore.headers`, and names with "_" stay out of the environ, where they could pose as others.
- A client that waits for `100 Continue` is asked for its body when the app begins to read it: not for one that is
  refused by its header.
- A request that gunicorn itself refuses is answered with an S3 error document.
- A client that stalls gives its thread back after a timeout (SO_RCVTIMEO, SO_SNDTIMEO); one that has sent nothing yet
  has no thread, and one that sends its header in drops, a body that was refused or the
  fields of a form, has it for some seconds only.
- A thread that has answered looks for the connection's next request before it hands the connection back.
- The Date of a response is formatted once a second.
- A worker that is told to end closes its listening sockets at once, so that nobody waits in their queues.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import secrets
import select
import selectors
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from bleepstore.errors import ObjectDamaged
from bleepstore_server.awaited_body import AwaitedBody
from bleepstore_server.config import TIMEOUT_VARIABLE, ServerConfig
from bleepstore_server.response import COMPARES_FILES, SentFile
from bleepstore_server.wire.documents.errors import error_document

_log = logging.getLogger("bleepstore.server")

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: What gunicorn refuses -> (status line, S3 code, message). The first class that fits counts.
_REFUSALS: tuple[tuple[type[Exception], str, str, str], ...] = (
    (errors.LimitRequestLine, "414 URI Too Long", "InvalidURI", "The request line is too long."),
    (
        errors.LimitRequestHeaders,
        "400 Bad Request",
        "RequestHeaderSectionTooLarge",
        "Your request header section exceeds the maximum allowed size.",
    ),
    (errors.InvalidHeader, "400 Bad Request", "BadRequest", "A header field of the request is not valid HTTP."),
    (
        errors.UnsupportedTransferCoding,
        "501 Not Implemented",
        "NotImplemented",
        "Of transfer codings, chunked is known.",
    ),
    (errors.ParseException, "400 Bad Request", "BadRequest", "An error occurred when parsing the HTTP request."),
)


#: Bytes that are compared before they are sent, and how many of them are read at a time.
_PIECE = 1024 * 1024
_COMPARED = 256 * 1024


#: How long a thread that has nothing else to do waits for the next request of a connection. The way through the poller
#: and back costs more than most requests do.
_LINGER_MS = 1


#: Seconds for a request's header from its first byte on, and the longest pause in it or in a TLS handshake.
_HEADER_SECONDS = 5.0


class _Deadline:
    """Of a socket: past `deadline` (of time.monotonic) nothing more is received."""

    deadline: float | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError("the header of the request came too slowly")
        return super().recv(buflen, flags)  # type: ignore[misc,no-any-return]  # the socket beside which it is a base


class TlsSocket(_Deadline, ssl.SSLSocket):
    """An accepted socket that speaks TLS."""


class _ClientSocket(_Deadline, socket.socket):
    """An accepted socket in blocking mode, whose timeouts are the kernel's."""

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As `socket.sendfile`, which would wait without end for a client that stalls, of a `SentFile`.

        Raises ObjectDamaged before the last byte is sent if the bytes are not those that were written, or if the
        file ends early. That ends the connection, whose client would take the next answer for the rest."""
        assert count is not None
        if file.comparison is None:
            self._send_piece(file, offset, count)
            return count
        buffer = memoryview(bytearray(min(count, _COMPARED)))
        for start in range(offset, offset + count, _PIECE):
            stop = min(start + _PIECE, offset + count)
            _compare(file, buffer, start, stop)
            if stop == offset + count:
                file.comparison.finish()
            self._send_piece(file, start, stop - start)
        return count

    def _send_piece(self, file: SentFile, offset: int, count: int) -> None:
        sent = 0
        while sent < count:
            piece = os.sendfile(self.fileno(), file.fileno(), offset + sent, min(count - sent, 1 << 30))
            if not piece:
                raise _too_short(file)
            sent += piece


def _compare(file: SentFile, buffer: memoryview, start: int, stop: int) -> None:
    """Read through a buffer that stays in the processor's cache. (A mapping would be as fast, but a file that is cut
    off under a mapping ends the process by SIGBUS.)"""
    assert file.comparison is not None
    while start < stop:
        count = os.preadv(file.fileno(), [buffer[: stop - start]], start)
        if not count:
            raise _too_short(file)
        file.comparison.update(buffer[:count])
        start += count


def _too_short(file: SentFile) -> ObjectDamaged:
    bucket, _, key = file.name.partition("/")
    error = ObjectDamaged(bucket, key, "their file was cut off while it was sent")
    _log.error("%s", error)
    return error


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no type information
    """gthread for S3."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # gunicorn has no room for settings of others; `bleepstore serve` sets this for its workers.
        self._timeout = float(os.environ.get(TIMEOUT_VARIABLE, ServerConfig().client_timeout))
        self._header_timeout = min(_HEADER_SECONDS, self._timeout)
        self._sent = threading.local()
        util.http_date = _HttpDate()

    def init_process(self) -> None:
        for listener in self.sockets:
            # Accepted sockets inherit it.
            _set_timeout(listener, socket.SO_RCVTIMEO, self._header_timeout)
            _set_timeout(listener, socket.SO_SNDTIMEO, self._timeout)
        self.log.error_log.addFilter(_is_no_stall)
        # "MAY respond with a 417" (RFC 9110 section 10.1.1) to other expectations than 100-continue; S3 ignores them.
        Request._policy_expect_continue = False
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        app: WSGIApplication = self.wsgi  # type: ignore[has-type]  # gunicorn has no type information

        def with_headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ["bleepstore.headers"] = self._sent.headers
            environ[COMPARES_FILES] = True
            if not self._sent.has_body:
                return app(environ, start_response)
            environ["bleepstore.hurry"] = functools.partial(self._hurry, environ["gunicorn.socket"])
            body: AwaitedBody | None = None
            if self._sent.awaits_continue:
                body = AwaitedBody(environ["wsgi.input"], environ["gunicorn.socket"].sendall)
                environ["wsgi.input"] = body
                environ["bleepstore.awaits_continue"] = body.is_awaited

            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                # gunicorn ignores a Connection header of the app. Without its body a connection cannot go on: what
                # comes next could be the body, or another request.
                if ("Connection", "close") in headers or (body is not None and body.is_awaited()):
                    start_response.__self__.force_close()  # type: ignore[attr-defined]  # a method of gunicorn's answer
                return start_response(status, headers, *rest)

            return app(environ, start)

        self.wsgi = with_headers

    def _hurry(self, connection: Any, hurried: bool = True) -> None:
        """While nobody knows whether a body is wanted, what comes as quickly as a header has to is read, and no more:
        else whoever may do nothing here could keep a thread for hours by a byte now and then."""
        connection.deadline = time.monotonic() + _HEADER_SECONDS if hurried else None
        _set_timeout(connection, socket.SO_RCVTIMEO, self._header_timeout if hurried else self._timeout)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()
            # gunicorn lets kept-alive connections linger so long; those that never sent anything are no more.
            last = time.monotonic() + STOP_KEEPALIVE_LINGER
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, last)

    def enqueue_req(self, conn: Any) -> None:
        """A new connection waits for its first byte with the poller: many that send nothing would take all threads."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.timeout = time.monotonic() + self._timeout
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, functools.partial(self.on_pending_socket_readable, conn))

    def handle(self, conn: Any) -> Any:
        accepted = conn.sock
        if type(accepted) is socket.socket:
            conn.sock = _ClientSocket(accepted.family, accepted.type, accepted.proto, accepted.detach())
        if self.cfg.is_ssl and not conn.initialized:
            conn.init = functools.partial(_begin_tls, conn)
        while True:
            conn.sock.deadline = time.monotonic() + _HEADER_SECONDS
            result = super().handle(conn)
            if result is not True or not self.alive or not self.tpool._work_queue.empty():
                return result
            if not conn.parser.unreader.buf.getvalue() and not _readable(conn.sock, _LINGER_MS):
                return result

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._sent.headers = req.headers
        has_body = has_underscore = awaits = False
        for name, value in req.headers:
            if "_" in name:
                has_underscore = True
            elif name in ("CONTENT-LENGTH", "TRANSFER-ENCODING"):
                has_body = True
            elif name == "EXPECT" and value.lower() == "100-continue":
                awaits = req.version >= (1, 1)
        if has_underscore:
            req.headers = [(name, value) for name, value in req.headers if "_" not in name]
        # "A server MAY omit sending a 100 (Continue) response if it has already received some or all of the content."
        self._sent.awaits_continue = awaits and has_body and not conn.parser.unreader.buf.getvalue()
        self._sent.has_body = has_body
        conn.sock.deadline = None
        if not has_body:
            return super().handle_request(req, conn)
        _set_timeout(conn.sock, socket.SO_RCVTIMEO, self._timeout)
        try:
            return super().handle_request(req, conn)
        finally:
            _set_timeout(conn.sock, socket.SO_RCVTIMEO, self._header_timeout)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if isinstance(exc, ssl.SSLError):
            self.log.debug("closing %s: %s", addr, exc)
            return
        refusal = next((answer for kind, *answer in _REFUSALS if isinstance(exc, kind)), None)
        if refusal is None:
            self.log.error("request failed", exc_info=exc)
            refusal = ["500 Internal Server Error", "InternalError", "The server met an internal error."]
        status, code, message = refusal
        request_id = secrets.token_hex(8).upper()
        body = error_document(code, message, str(getattr(req, "path", "") or ""), request_id, {})
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nx-amz-request-id: {request_id}\r\n\r\n"
        )
        if getattr(req, "method", None) == "HEAD":
            body = b""
        try:
            client.setblocking(True)
            client.sendall(head.encode("latin-1") + body)
        except OSError as error:
            self.log.debug("%s went away before its refusal: %s", addr, error)


def _begin_tls(conn: Any) -> None:
    """What gunicorn does before a connection's first request, of which the TLS socket then has to hear too."""
    type(conn).init(conn)
    conn.sock.deadline = time.monotonic() + _HEADER_SECONDS


def _set_timeout(connection: socket.socket, direction: int, seconds: float) -> None:
    connection.setsockopt(socket.SOL_SOCKET, direction, struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000)))


class _HttpDate:
    """gunicorn's `http_date`, which takes a tenth of the time of a small response, asked once for each second."""

    def __init__(self) -> None:
        self._format = util.http_date
        self._last = (0, "")

    def __call__(self, timestamp: float | None = None) -> str:
        second = int(time.time() if timestamp is None else timestamp)
        known, text = self._last
        if known != second:
            text = self._format(second)
            self._last = (second, text)
        return text


def _readable(connection: socket.socket, wait_ms: int) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(wait_ms))


def _is_no_stall(record: logging.LogRecord) -> bool:
    """A client that stalls is no error of ours; gunicorn would log a traceback for each."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno == errno.EAGAIN))
