"""The gunicorn worker: an event loop, a pool of threads, and the WSGI app between them.

gunicorn gives the processes, the sockets, the signals and the settings; `bleepstore_server.http1` speaks HTTP. What S3
clients need beyond WSGI is in the environ: `bleepstore.headers`, the fields by their names in lower case (WSGI cannot
tell `x-amz-meta-my_key` from `x-amz-meta-my-key`), `bleepstore.awaits_continue`, `bleepstore.hurry`.

An app may say of a request that it is quick: that it waits for nothing but a commit and, as a rule, a disk that answers
at once. Quick requests run in the loop's thread; all others, and all of an app that says nothing, in the threads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import secrets
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from gunicorn import sock
from gunicorn.workers.base import Worker as GunicornWorker

from bleepstore.errors import ObjectDamaged
from bleepstore_server.allocator import collect_seldom, give_back_freed_memory, keep_freed_memory
from bleepstore_server.config import OF_WORKERS, PREFIX, ServerConfig
from bleepstore_server.http1.answers import GroupAnswers
from bleepstore_server.http1.blocking import BlockingCalls
from bleepstore_server.http1.bodies import RequestBody
from bleepstore_server.http1.commits import GroupCommits
from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.heads import Head, Limits, Refusal
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool, current_task
from bleepstore_server.layers.record import Record, access_log, log_access
from bleepstore_server.listeners import split
from bleepstore_server.response import ObjectBody
from bleepstore_server.sending import Answer
from bleepstore_server.wire.documents.errors import error_document

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from bleepstore_server.admin.app import AdminApp
    from bleepstore_server.audit import AuditLog
    from bleepstore_server.metrics.counting import RequestCounts, WorkerCounts

_INTERNAL = Refusal("500 Internal Server Error", "InternalError", "The server met an internal error.")
_SLOW_DOWN = Refusal("503 Service Unavailable", "SlowDown", "Please reduce your request rate.")
#: How often it is asked whether something hangs. What hangs for twice as long holds nobody else.
_RELIEF_SECONDS = 0.04
#: Threads for the admin address, begun when they are needed: what hangs at the other addresses holds no administrator.
_ADMIN_THREADS = 2
#: How often it is counted how much there is to do, and what the audit log has kept is tried again.
_LOOK_SECONDS = 1.0
#: How often freed memory that is of no use is given back.
_GIVE_BACK_SECONDS = 60.0
#: Descriptors that are kept for files, the catalog, and what else the app opens: a quarter of all, and at least these.
_MIN_RESERVED = 64


class Worker(GunicornWorker):  # type: ignore[misc]  # gunicorn has no type information
    """One process. `wsgi` is the app."""

    alive: bool
    #: Among the workers of `bleepstore serve`, which have one set of sockets. Under another gunicorn each has its own.
    number = 0
    wsgi: WSGIApplication

    def init_process(self) -> None:
        keep_freed_memory()
        collect_seldom()
        if self.cfg.accesslog:
            self.log.warning("gunicorn's own access log stays empty: set access_log of BleepStore")
        if self.cfg.proxy_protocol != "off":
            self.log.warning("the PROXY protocol is not spoken: proxies are believed by X-Forwarded-For")
        tls = sock.ssl_context(self.cfg) if self.cfg.is_ssl else None  # the certificate of now
        self._pool, self._admin_pool = Pool(self.cfg.threads), Pool(_ADMIN_THREADS)
        own, others = split(self.sockets, self.number, self.cfg.workers)
        self._loop = Loop(self._settings(), self._pool, own, tls, self._answer, self._refuse, others)
        self._is_quick: Callable[[WSGIEnvironment, bool], bool] = _never
        self._audit: AuditLog | None = None
        self._admin: AdminApp | None = None
        self._counts: WorkerCounts | None = None
        self._requests: RequestCounts | None = None
        self._next_look = 0.0
        self._next_giving = time.monotonic() + _GIVE_BACK_SECONDS
        self._heed: Callable[[], object] = _nothing
        self._admin_address: Any = None
        self._sends_files = tls is None and self.cfg.sendfile is not False
        self._keeps_alive = bool(self.cfg.keepalive)
        self._base_environ: WSGIEnvironment = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if tls else "http",
            "wsgi.errors": sys.stderr,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            "wsgi.multithread": True,
            "wsgi.multiprocess": self.cfg.workers > 1,
            "wsgi.run_once": False,
        }
        super().init_process()

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see `Arbiter.spawn_worker`

    def _settings(self) -> Settings:
        # gunicorn has no fields for settings of others; `bleepstore serve` sets these variables for its workers.
        defaults = ServerConfig()
        given = (float(os.environ.get(PREFIX + name.upper(), getattr(defaults, name))) for name in OF_WORKERS)
        stall, header, rate = given
        cfg = self.cfg
        return Settings(
            limits=Limits(cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size or 65536),
            header_seconds=min(header, stall),
            stall_seconds=stall,
            min_rate=rate,
            keepalive_seconds=float(cfg.keepalive),
            max_connections=min(cfg.worker_connections, _raise_descriptor_limit()),
        )

    # -- life

    def run(self) -> None:
        loop = self._loop
        commits = None
        app: Any = self.wsgi
        self._is_quick = getattr(app, "is_quick", _never)
        self._audit = getattr(app, "audit", None)
        self._answers = GroupAnswers(loop, self._pool, _nothing if self._audit is None else app.conclude)
        if self._audit is not None:
            app.gather = self._answers.add
        if (engine := getattr(app, "engine", None)) is not None:
            engine.run_blocking = BlockingCalls(loop, self._pool).run
        if (committer := getattr(app, "committer", None)) is not None:
            commits = GroupCommits(loop, committer)
        self._find_admin()
        loop.on_tick = self._tick
        loop.start()
        while self.alive and self.ppid == os.getppid() and not loop.has_ended:
            self._relieve()
        last = time.monotonic() + self.cfg.graceful_timeout
        while (loop.connections or not loop.is_ending) and time.monotonic() < last and not loop.has_ended:
            if not loop.is_ending:
                loop.post(loop.stop_accepting)  # again, should what hangs have kept it
            self._relieve()
        loop.post(loop.end)
        last = time.monotonic() + 1
        while not loop.has_ended and time.monotonic() < last:
            self._relieve()
        self._pool.close()
        self._admin_pool.close()
        if commits is not None:
            commits.close()

    def _tick(self) -> None:
        """Called several times a second."""
        self.notify()
        self._heed()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        if self._audit is not None:
            self._loop.offer(self._audit.write_kept)
        if self._counts is not None:
            connections, pool = self._loop.connections, self._pool
            busy = sum(connection.is_busy for connection in connections)
            self._counts.show(len(connections), busy, pool.waiting, pool.thread_count)
            self._counts.turned_away(self._loop.turned_away)

    def _find_admin(self) -> None:
        """The app of the admin address, and which of the listeners that is (`bleepstore_server.serving`)."""
        self._admin = getattr(self.app, "admin", None)
        self._heed = getattr(self.app, "on_tick", _nothing)
        port = getattr(self.app, "admin_port", None)
        addresses = [listener.getsockname() for listener in self.sockets]
        found = [address for address in addresses if isinstance(address, tuple) and address[1] == port]
        self._admin_address = self._loop.spare_address = found[0] if found and self._admin is not None else None
        if self._admin is not None:
            self._counts = self._admin.services.metrics.worker
            self._requests = self._admin.services.metrics.requests

    def _relieve(self) -> None:
        """See that no disk holds the loop. This thread does little else but wait, for signals too."""
        if select.select([self.PIPE[0]], [], [], _RELIEF_SECONDS)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self.PIPE[0], 4096)
        self._loop.relieve()
        self._pool.relieve()
        self._admin_pool.relieve()
        now = time.monotonic()
        if now >= self._next_giving:
            self._next_giving = now + _GIVE_BACK_SECONDS
            give_back_freed_memory()

    # -- a request

    def _answer(self, connection: Connection, head: Head, body: RequestBody) -> None:
        """Answer a quick request, or have a thread of the pool do it. Runs as a task of the loop's thread."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        environ = self._make_environ(connection, head, body)
        if connection.server == self._admin_address:
            assert self._admin is not None
            respond = partial(self._respond, self._admin, connection, head, body, environ)
            self._admin_pool.start(respond, partial(self._give_up, connection, head, None))
            return
        if self._is_quick(environ, self._loop.careful > 1):
            self._respond(self.wsgi, connection, head, body, environ)
            return
        respond = partial(self._respond, self.wsgi, connection, head, body, environ)
        if self._counts is not None:
            respond = partial(self._begin_queued, respond, time.monotonic())
        self._start(respond, connection, head)

    def _start(
        self, call: Callable[[], None], connection: Connection, head: Head, pieces: ObjectBody | None = None
    ) -> None:
        """Have a thread of the pool go on with a request, which may have the `pieces` of its answer."""
        self._pool.start(call, partial(self._give_up, connection, head, pieces))

    def _give_up(self, connection: Connection, head: Head, pieces: ObjectBody | None) -> None:
        """Refuse a request for which no thread has come free in time. Called by the thread that relieves."""
        self._loop.post(partial(self._refuse, connection, _SLOW_DOWN, head.method, pieces is not None))
        if pieces is not None:
            pieces.error_code = _SLOW_DOWN.code
            self._loop.post(partial(self._loop.begin, pieces.close))

    def _begin_queued(self, respond: Callable[[], None], since: float) -> None:
        if self._counts is not None:
            self._counts.waited(time.monotonic() - since)
        respond()

    def _make_environ(self, connection: Connection, head: Head, body: RequestBody) -> WSGIEnvironment:
        """The request as WSGI has it (PEP 3333)."""
        target = head.target
        path, _, query = target.partition("?")
        server, peer = connection.server, connection.peer
        environ: WSGIEnvironment = {
            **self._base_environ,
            **head.variables,
            "REQUEST_METHOD": head.method,
            "RAW_URI": target,
            "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1" if head.minor else "HTTP/1.0",
            "wsgi.input": body,
            "gunicorn.socket": connection.sock,
            "bleepstore.headers": head.fields,
        }
        if isinstance(peer, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer[0], str(peer[1])
            environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
        else:  # a socket of the file system
            environ["REMOTE_ADDR"] = environ["SERVER_PORT"] = ""
            environ["SERVER_NAME"] = str(server)
        if head.length != 0:
            environ["bleepstore.hurry"] = connection.hurry
            if body.is_awaited():
                environ["bleepstore.awaits_continue"] = body.is_awaited
        return environ

    def _respond(
        self, app: WSGIApplication, connection: Connection, head: Head, body: RequestBody, environ: WSGIEnvironment
    ) -> None:
        """Have an app answer. Runs as a task."""
        closes = not (self.alive and self._keeps_alive and head.keeps_alive)
        answer = Answer(connection, head.method, head.minor, closes, body.is_awaited)
        try:
            pieces = app(environ, answer.start)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it ends this request and no other
            self._leave(connection, (), partial(self._fail, connection, answer, error))
            return
        if isinstance(pieces, ObjectBody):  # what is sent from a file by a thread that has nothing else to do
            task = current_task()
            if task is not None and (task.hub is self._loop.leader or task.hub.task_count > 1):
                self._start(partial(self._send, connection, answer, pieces, body), connection, head, pieces)
                return
        whole = answer.whole(pieces) if body.is_read else ()
        self._leave(connection, whole, partial(self._send, connection, answer, pieces, body))

    def _leave(self, connection: Connection, pieces: Sequence[bytes], send: Callable[[], object]) -> None:
        """Send an answer, with others where that can be."""
        if not self._answers.take(connection, pieces, send):
            send()

    def _send(self, connection: Connection, answer: Answer, pieces: Iterable[bytes], body: RequestBody) -> None:
        """Send the answer. Runs as a task."""
        try:
            try:
                answer.send(pieces, self._sends_files)
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()
            keeps_alive = not answer.closes and (body.is_read or connection.drop_body(body))
        except BaseException as error:  # noqa: BLE001  # as above
            self._fail(connection, answer, error)
            return
        self._loop.post(connection.end_request if keeps_alive else connection.linger)

    def _fail(self, connection: Connection, answer: Answer, error: BaseException) -> None:
        """There is no whole answer."""
        if isinstance(error, OSError):  # the client went away, or is too slow
            self.log.debug("%s went away: %s", connection.peer, error)
            self._loop.post(connection.close)
            return
        if not isinstance(error, ObjectDamaged):  # which the library has logged
            self.log.error("Error handling request", exc_info=error)
        if answer.is_begun:  # nothing else can be said on this connection
            self._loop.post(connection.linger)
        else:
            self._loop.post(partial(self._refuse, connection, _INTERNAL, answer.method))

    def _refuse(
        self, connection: Connection, refusal: Refusal, method: str | None = None, is_recorded: bool = False
    ) -> None:
        """Answer what the app never sees, or has recorded, and end the connection. Without a `method` what there is of
        the head is in the connection's buffer. Called by the leader."""
        request_id = secrets.token_hex(8).upper()
        refused_ms = int(time.time() * 1000)
        document = error_document(refusal.code, refusal.message, "", request_id, {})
        retry = "Retry-After: 1\r\n" if refusal is _SLOW_DOWN else ""
        fields = (
            f"HTTP/1.1 {refusal.status}\r\nConnection: close\r\n{retry}Content-Type: application/xml\r\n"
            f"Content-Length: {len(document)}\r\nx-amz-request-id: {request_id}\r\n\r\n"
        ).encode("latin-1")
        is_head = connection.buffer.startswith(b"HEAD ") if method is None else method == "HEAD"
        body = b"" if is_head else document
        sent = 0
        with contextlib.suppress(OSError):  # it goes into the empty buffer of its socket, or nowhere
            sent = max(0, connection.sock.send(fields + body) - len(fields))
        connection.linger()
        if refusal is _INTERNAL or is_recorded:
            return
        if self._requests is not None:
            self._requests.count_refusal(refusal.code)
        if access_log.isEnabledFor(logging.INFO):
            peer = connection.peer
            record = Record(
                time_ms=refused_ms,
                remote=peer[0] if isinstance(peer, tuple) else str(peer),
                method=method or "",
                status=int(refusal.status[:3]),
                error_code=refusal.code,
                bytes_out=sent,
                request_id=request_id,
            )
            self._loop.begin(partial(log_access, record))


def _nothing(*_: object) -> None: ...


def _never(_environ: WSGIEnvironment, _careful: bool) -> bool:
    return False


def _raise_descriptor_limit() -> int:
    """Let this process open as many files as it may; returns how many of them may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # where "unlimited" is not to be had
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(soft - max(soft // 4, _MIN_RESERVED), soft // 2)
