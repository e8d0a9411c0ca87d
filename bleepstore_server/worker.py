"""The gunicorn worker: what gunicorn's own does otherwise than S3 clients need.

- WSGI cannot tell `x-amz-meta-my_key` from `x-amz-meta-my-key`. The app gets the header fields as they were sent in
  `bleepstore.headers`, and names with "_" stay out of the environ, where they could pose as others.
- A client that waits for `100 Continue` is asked for its body when the app begins to read it: not for one that is
  refused by its header.
- A request that gunicorn itself refuses is answered with an S3 error document.
- A client that stalls gives its thread back after a timeout (SO_RCVTIMEO, SO_SNDTIMEO; with TLS, Python's); one that
  has sent nothing yet has no thread, and one that sends its header in drops, a body that was refused or the fields of a
  form, has it for some seconds only.
- A thread that has answered looks for the connection's next request before it hands the connection back.
- The Date of a response is formatted once a second.
- A worker that is told to end closes its listening sockets at once, so that nobody waits in their queues.
"""

from __future__ import annotations

import datetime as dt
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
import time
from typing import TYPE_CHECKING, Any

from gunicorn import sock, util
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.wsgi import base_environ, proxy_environ
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from bleepstore.errors import ObjectDamaged
from bleepstore_server.awaited_body import AwaitedBody
from bleepstore_server.config import TIMEOUT_VARIABLE, ServerConfig
from bleepstore_server.layers.record import Record, access_log, log_access
from bleepstore_server.sending import Answer
from bleepstore_server.wire.documents.errors import error_document
from bleepstore_server.wire.errors import ERRORS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: What gunicorn refuses -> (status line, S3 code, message). The first class that fits counts.
REFUSALS: tuple[tuple[type[Exception], str, str, str], ...] = (
    (errors.LimitRequestLine, "414 URI Too Long", "InvalidURI", "The request line is too long."),
    (
        errors.LimitRequestHeaders,
        "400 Bad Request",
        "RequestHeaderSectionTooLarge",
        ERRORS["RequestHeaderSectionTooLarge"].message,
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


#: How long a thread that has nothing else to do waits for the next request of a connection. The way through the poller
#: and back costs more than most requests do.
_LINGER_MS = 1


_PROTOCOLS = {(1, 1): "HTTP/1.1", (1, 0): "HTTP/1.0"}
#: What fields are called in the environ: the usual ones, for all others are computed.
_VARIABLES = {
    "CONTENT-LENGTH": "CONTENT_LENGTH",
    "CONTENT-TYPE": "CONTENT_TYPE",
    **{
        name: "HTTP_" + name.replace("-", "_")
        for name in (
            "ACCEPT", "ACCEPT-ENCODING", "AUTHORIZATION", "AMZ-SDK-INVOCATION-ID", "AMZ-SDK-REQUEST", "CONNECTION",
            "CONTENT-ENCODING", "EXPECT", "HOST", "IF-MATCH", "IF-NONE-MATCH", "RANGE", "TRANSFER-ENCODING",
            "USER-AGENT", "X-AMZ-CHECKSUM-CRC32", "X-AMZ-CHECKSUM-MODE", "X-AMZ-CONTENT-SHA256", "X-AMZ-DATE",
            "X-AMZ-DECODED-CONTENT-LENGTH", "X-AMZ-SDK-CHECKSUM-ALGORITHM", "X-AMZ-TRAILER",
        )
    },
}  # fmt: skip


#: Seconds for a request's header from its first byte on, and the longest pause in it or in a TLS handshake.
_HEADER_SECONDS = 5.0


class _Deadline:
    """Of a socket: past `deadline` (of time.monotonic) nothing more is received. When it blocks, each call ends after
    `patience` seconds; None is no limit but the kernel's."""

    deadline: float | None = None
    patience: float | None = None

    def setblocking(self, flag: bool) -> None:
        self.settimeout(self.patience if flag else 0.0)  # type: ignore[attr-defined]  # of the socket

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError("the header of the request came too slowly")
        return super().recv(buflen, flags)  # type: ignore[misc,no-any-return]  # the socket beside which it is a base


class TlsSocket(_Deadline, ssl.SSLSocket):
    """An accepted socket that speaks TLS. Its timeouts are Python's: after those of the kernel OpenSSL tries again."""


class _ClientSocket(_Deadline, socket.socket):
    """An accepted socket in blocking mode, whose timeouts are the kernel's."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no type information
    """gthread for S3."""

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # gunicorn has no field for settings of others; `bleepstore serve` sets this for its workers.
        self._timeout = float(os.environ.get(TIMEOUT_VARIABLE, ServerConfig().client_timeout))
        self._header_timeout = min(_HEADER_SECONDS, self._timeout)
        self._sends_files = not self.cfg.is_ssl and self.cfg.sendfile is not False
        util.http_date = _HttpDate()

    def init_process(self) -> None:
        for listener in self.sockets:
            # Accepted sockets inherit it.
            _set_timeout(listener, socket.SO_RCVTIMEO, self._header_timeout)
            _set_timeout(listener, socket.SO_SNDTIMEO, self._timeout)
        self.log.error_log.addFilter(_is_no_stall)
        # "MAY respond with a 417" (RFC 9110 section 10.1.1) to other expectations than 100-continue; S3 ignores them.
        Request._policy_expect_continue = False
        if self.cfg.accesslog:
            self.log.warning("gunicorn's own access log stays empty: set access_log of BleepStore")
        self._base_environ = {
            **base_environ(self.cfg),
            "wsgi.multithread": True,
            "SCRIPT_NAME": "",
        }
        if self.cfg.is_ssl:
            sock.ssl_context(self.cfg)  # the certificate of now, not of the worker's first connection
        super().init_process()

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
            conn.sock.patience = self._header_timeout
            conn.init = functools.partial(_begin_tls, conn)
        while True:
            conn.sock.deadline = time.monotonic() + _HEADER_SECONDS
            result = super().handle(conn)
            if result is not True or not self.alive or not self.tpool._work_queue.empty():
                return result
            if not conn.parser.unreader.buf.getvalue() and not _readable(conn.sock, _LINGER_MS):
                return result

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Have the app answer; whether the connection goes on. (What gunicorn does here, without its access log and its
        hooks, in half the time.)"""
        connection, buffered = conn.sock, conn.parser.unreader.buf
        connection.deadline = None
        if self.cfg.is_ssl:
            connection.settimeout(self._timeout)
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        closes = (
            not self.alive
            or not self.cfg.keepalive
            or len(self.keepalived_conns) >= self.max_keepalived
            or req.should_close()
        )
        environ = self._make_environ(req, conn)
        has_body = "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ
        if not has_body:
            answer = Answer(connection, req.method, req.version, closes, None)
            self._answer(answer, environ)
            conn.parser.mesg = None  # there is nothing left of it to drop
            return not answer.closes
        environ["bleepstore.hurry"] = functools.partial(self._hurry, connection)
        environ["bleepstore.received"] = functools.partial(_count_received, req.body, conn.parser.unreader)
        awaited = None
        # "A server MAY omit sending a 100 (Continue) response if it has already received some or all of the content."
        if req.version >= (1, 1) and _awaits_continue(environ) and not buffered.getvalue():
            body = AwaitedBody(req.body, connection.sendall)
            environ["wsgi.input"] = body
            environ["bleepstore.awaits_continue"] = awaited = body.is_awaited
        answer = Answer(connection, req.method, req.version, closes, awaited)
        _set_timeout(connection, socket.SO_RCVTIMEO, self._timeout)
        try:
            self._answer(answer, environ)
        finally:
            _set_timeout(connection, socket.SO_RCVTIMEO, self._header_timeout)
        if _is_read(req.body):
            conn.parser.mesg = None
        return not answer.closes

    def _answer(self, answer: Answer, environ: WSGIEnvironment) -> None:
        try:
            body = self.wsgi(environ, answer.start)
            try:
                answer.send(body, self._sends_files)
            finally:
                if hasattr(body, "close"):
                    body.close()
        except OSError:
            raise  # the client went away
        except (Exception, SystemExit) as error:
            if answer.is_begun:  # nothing else can be said on this connection
                if not isinstance(error, ObjectDamaged):  # which the library has logged
                    self.log.exception("Error handling request")
                util.close_graceful(environ["gunicorn.socket"])
                raise StopIteration from None
            raise

    def _make_environ(self, req: Any, conn: Any) -> WSGIEnvironment:
        """The request as WSGI has it (PEP 3333). Fields with "_" in their names stay out."""
        path = req.path
        server, client = (pair if isinstance(pair, tuple) else (pair, "") for pair in (conn.server, conn.client))
        environ: WSGIEnvironment = self._base_environ | {
            "REQUEST_METHOD": req.method,
            "RAW_URI": req.uri,
            "PATH_INFO": util.unquote_to_wsgi_str(path) if "%" in path else path,
            "QUERY_STRING": req.query,
            "SERVER_PROTOCOL": _PROTOCOLS.get(req.version) or f"HTTP/{req.version[0]}.{req.version[1]}",
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
            "wsgi.input": req.body,
            "wsgi.url_scheme": req.scheme,
            "gunicorn.socket": conn.sock,
            "bleepstore.headers": req.headers,
        }
        if req.proxy_protocol_info:
            environ |= proxy_environ(req)
        for name, value in req.headers:
            variable = _VARIABLES.get(name)
            if variable is None:
                if "_" in name:
                    continue
                variable = "HTTP_" + name.replace("-", "_")
            if variable in environ:
                environ[variable] += "," + value
            else:
                environ[variable] = value
        return environ

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if isinstance(exc, ssl.SSLError):
            self.log.debug("closing %s: %s", addr, exc)
            return
        refusal = next((answer for kind, *answer in REFUSALS if isinstance(exc, kind)), None)
        is_refusal = refusal is not None  # the app has its own records
        if refusal is None:
            self.log.error("request failed", exc_info=exc)
            refusal = ["500 Internal Server Error", "InternalError", "The server met an internal error."]
        status, code, message = refusal
        request_id = secrets.token_hex(8).upper()
        refused_at = dt.datetime.now(dt.UTC)
        body = error_document(code, message, str(getattr(req, "path", "") or ""), request_id, {})
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nx-amz-request-id: {request_id}\r\n\r\n"
        )
        if getattr(req, "method", None) == "HEAD":
            body = b""
        sent = 0
        try:
            client.setblocking(True)
            client.sendall(head.encode("latin-1") + body)
            sent = len(body)
        except OSError as error:
            self.log.debug("%s went away before its refusal: %s", addr, error)
        if is_refusal and access_log.isEnabledFor(logging.INFO):
            log_access(
                Record(
                    time=refused_at,
                    remote=addr[0] if isinstance(addr, tuple) else str(addr),
                    method=str(getattr(req, "method", None) or ""),
                    status=int(status[:3]),
                    error_code=code,
                    bytes_out=sent,
                    request_id=request_id,
                )
            )


def _is_read(body: Any) -> bool:
    """Whether a body of a declared length was read whole."""
    return getattr(body.reader, "length", 1) == 0 and not body.failed and not body.buf.tell()


def _count_received(body: Any, unreader: Any) -> int:
    """How many bytes of a body that stopped were received and given to nobody."""
    buffers = (body.buf, getattr(body.reader, "buf", None), unreader.buf)  # the second one is of chunks
    return sum(buffer.tell() for buffer in buffers if buffer is not None)


def _awaits_continue(environ: WSGIEnvironment) -> bool:
    return str(environ.get("HTTP_EXPECT", "")).lower() == "100-continue"


def _begin_tls(conn: Any) -> None:
    """What gunicorn does before a connection's first request, of which the TLS socket then has to hear too."""
    patience = conn.sock.patience
    type(conn).init(conn)
    conn.sock.patience = patience
    conn.sock.deadline = time.monotonic() + _HEADER_SECONDS


def _set_timeout(connection: socket.socket, direction: int, seconds: float) -> None:
    if isinstance(connection, TlsSocket):
        connection.settimeout(seconds)
        return
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
