"""The audit log: who did what to what, from where, and what became of it, one line of JSON for each.

It has what changes something, what was refused for want of rights, and, if it is told to, what reads. The lines go to
files, to syslog, or to whatever events can be sent to (a webhook, a queue).

What cannot be written is counted, and the server goes on; or, where the log must be whole, it refuses what would have
to be in the log until it can write again. What was done by then is kept and written first. Then each process begins
with a line of its own, for it would not know otherwise whether the first change could be written.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import logging.handlers
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bleepstore.senders import Message, open_sender
from bleepstore_server.config import AUDIT_URL, ServerConfig
from bleepstore_server.exchange import TRACE_ID, Exchange
from bleepstore_server.layers.record import Record, iso_time, principal_of, record_of
from bleepstore_server.wire.errors import RequestError

_log = logging.getLogger("bleepstore.server")

#: Lines that are kept while a target takes none.
_MAX_KEPT = 10_000
#: How often it is asked whether the file is too large, or somebody else has moved it.
_LOOK_SECONDS = 1.0
_MAX_USER_AGENT = 512
#: A client may call its method what it likes.
_MAX_METHOD = 32
#: Pieces of lines that are kept, of each kind.
_MAX_TEXTS = 1024
_RETRY_SECONDS = 1.0
_WARNING_SECONDS = 60.0
_SENT_AT_ONCE = 100

_quote = json.encoder.encode_basestring_ascii
_CLOSING_SECONDS = 5.0


class Target(Protocol):
    """Where lines go."""

    @property
    def has_failed(self) -> bool:
        """Whether it did not take what was written last."""

    def write(self, lines: Sequence[bytes]) -> int:
        """How many lines were lost: of these, or of earlier ones. What it keeps and writes later is not lost."""

    def is_failing(self) -> bool:
        """Whether it takes nothing now; asked before each request that would have to be in the log."""

    def close(self) -> None:
        """Write what is kept, if that takes no more than some seconds."""


class AuditLog:
    """`reads`: also what only reads. `refuses`: nothing is done that could not be written. `failed` is called for each
    write that failed, with how many lines were lost."""

    def __init__(
        self, targets: Sequence[Target], *, reads: bool, refuses: bool, failed: Callable[[int], object]
    ) -> None:
        self._targets = targets
        self.reads = reads
        self.refuses = refuses
        self._failed = failed
        self._warned = -_WARNING_SECONDS
        if refuses:
            self._write([_first_line()])

    def write(self, record: Record) -> None:
        """Write a record. Never raises."""
        self._write(audit_lines(record))

    def write_requests(self, finished: Sequence[tuple[Exchange, int]]) -> None:
        """Write requests whose answers are ready, with bodies of so many bytes, in one go."""
        now, clock = time.monotonic_ns(), time.time_ns()
        lines: list[bytes] = []
        for exchange, bytes_out in finished:
            age = now - exchange.started
            if exchange.deleted:
                lines += audit_lines(record_of(exchange, age / 1e9, bytes_out))
            else:
                lines.append(_request_line(exchange, (clock - age) // 1_000_000, bytes_out))
        self._write(lines)

    def _write(self, lines: Sequence[bytes]) -> None:
        for target in self._targets:
            lost = target.write(lines)
            if lost or target.has_failed:
                self._failed(lost)
                if time.monotonic() - self._warned > _WARNING_SECONDS:
                    self._warned = time.monotonic()
                    _log.error("the audit log cannot be written: is a disk full, does a receiver not answer?")

    def is_failing(self) -> bool:
        """Whether a target takes nothing now."""
        return any(target.is_failing() for target in self._targets)

    def write_kept(self) -> None:
        """Write what targets kept while they took nothing, if they do again. A process that gets no more requests would
        keep it until it ends."""
        for target in self._targets:
            target.is_failing()

    def check(self) -> None:
        """Raise RequestError if nothing may be done that the log could not take."""
        if not self.refuses:
            return
        for target in self._targets:
            if target.has_failed and target.is_failing():
                raise RequestError("ServiceUnavailable", "The audit log cannot be written.")

    def close(self) -> None:
        for target in self._targets:
            target.close()


def _first_line() -> bytes:
    time_ms = time.time_ns() // 1_000_000
    return f'{{"time":"{iso_time(time_ms)}","door":"audit","operation":"Begin","outcome":"success"}}\n'.encode()


def audit_lines(record: Record) -> list[bytes]:
    """The lines of a record, as JSON in ASCII. Keys that are deleted at once have one each."""
    agent, bucket, status = record.user_agent, record.bucket, record.status
    who = _who(record.door, record.principal, record.access_key, record.remote, agent and agent[:_MAX_USER_AGENT])
    objects = [(_object(bucket, record.key, record.version_id, record.source), status, record.error_code)]
    if record.deleted:
        objects = [(_object(bucket, key, version_id, None), 204, error) for key, version_id, error in record.deleted]
    return [
        _line(
            record.time_ms,
            record.request_id,
            record.trace_id,
            who,
            _what(record.operation, record.method[:_MAX_METHOD], status_of_key, status, error_code),
            object,
            record.bytes_in,
            record.bytes_out,
        )
        for object, status_of_key, error_code in objects
    ]


def _request_line(exchange: Exchange, time_ms: int, bytes_out: int) -> bytes:
    """What `audit_lines` makes of the record of a request that deletes no keys at once. Each change waits for its line,
    and to make the record alone would take as long."""
    request, environ, caller, source = exchange.request, exchange.environ, exchange.caller, exchange.source
    agent, status = request.headers.get("user-agent"), exchange.status
    copied = None if source is None else f"{source.bucket}/{source.key}"
    who = principal_of(caller), caller.access_key, environ.get("REMOTE_ADDR", ""), agent and agent[:_MAX_USER_AGENT]
    return _line(
        time_ms,
        exchange.request_id,
        environ.get(TRACE_ID),
        _who("s3", *who),
        _what(exchange.operation, environ["REQUEST_METHOD"][:_MAX_METHOD], status, status, exchange.error_code),
        _object(request.bucket, request.key, exchange.version_id, copied),
        request.bytes_in + exchange.drained,
        bytes_out,
    )


def _line(
    time_ms: int, request_id: str, trace_id: str | None, who: str, what: str, object: str, bytes_in: int, bytes_out: int
) -> bytes:
    trace = "" if trace_id is None else f',"trace_id":"{trace_id}"'
    return (
        f'{{"time":"{iso_time(time_ms)}","request_id":{_quote(request_id)}{trace}{who}{what}{object},'
        f'"bytes_in":{bytes_in},"bytes_out":{bytes_out}}}\n'
    ).encode()


# Who asks, and for what, is the same for many requests. What is kept of it is short, whatever clients send.


@functools.lru_cache(maxsize=_MAX_TEXTS)
def _who(door: str, principal: str | None, access_key: str | None, remote: str, user_agent: str | None) -> str:
    return _members(door=door, principal=principal, access_key=access_key, remote=remote, user_agent=user_agent)


@functools.lru_cache(maxsize=_MAX_TEXTS)
def _what(operation: str | None, method: str, status_of_key: int, status: int, error_code: str | None) -> str:
    outcome = "failure"
    if error_code == "AccessDenied" or status_of_key in (401, 403):
        outcome = "denied"
    elif status_of_key < 400 and error_code is None:
        outcome = "success"
    return _members(operation=operation, method=method, outcome=outcome, status=status, error_code=error_code)


def _object(bucket: str | None, key: str | None, version_id: str | None, source: str | None) -> str:
    text = "" if bucket is None else f',"bucket":{_quote(bucket)}'
    if key is not None:
        text += f',"key":{_quote(key)}'
    return text if version_id is None and source is None else text + _members(version_id=version_id, source=source)


def _members(**fields: str | int | None) -> str:
    """Members of a JSON object, each behind a comma; what is None is left out."""
    return "".join(
        f',"{name}":{_quote(value) if isinstance(value, str) else value}'
        for name, value in fields.items()
        if value is not None
    )


# -- targets


class FileTarget:
    """A file that grows to `max_bytes` and is then kept as FILE.1, and so on, up to `keep` of them. Any number of
    processes write to it. Whoever moves the file away by other means (logrotate) finds a new one a second later."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.has_failed = False
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._lock = threading.Lock()
        self._file = -1
        self._next_look = 0.0
        #: What is not written yet.
        self._kept: list[bytes] = []

    def write(self, lines: Sequence[bytes]) -> int:
        kept = self._kept
        with self._lock:
            kept += lines
            lost = max(0, len(kept) - _MAX_KEPT)
            if lost:
                del kept[:lost]
            try:
                if kept:
                    self._write_kept()
                self.has_failed = False
            except OSError as error:
                _log.debug("the audit log cannot be written: %s", error)
                self.has_failed = True
        return lost

    def _write_kept(self) -> None:
        data = b"".join(self._kept)
        written = self._append(data)
        if written == len(data):
            self._kept.clear()
            return
        whole = data.rfind(b"\n", 0, written) + 1
        del self._kept[: data.count(b"\n", 0, whole)]
        self._blank(written - whole)
        raise OSError("the disk is full")

    def _append(self, data: bytes) -> int:
        """How many bytes the disk took."""
        while True:
            if time.monotonic() > self._next_look:
                self._look()
            written = os.write(self._file, data)
            if os.fstat(self._file).st_nlink or self._is_current():
                return written
            self._close()  # another process has moved it on until it was gone

    def _blank(self, size: int) -> None:
        """Have so many bytes of a line that was written last, and not to its end, be spaces before the next line. To
        cut them off could take a line away that another process has written by now."""
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)  # what is opened to append to does nothing else
        try:
            if os.path.samestat(os.fstat(file), os.fstat(self._file)):
                os.pwrite(file, b" " * size, end - size)
        finally:
            os.close(file)

    def is_failing(self) -> bool:
        if self.has_failed and not self._lock.locked():  # whoever writes finds out, and may hang
            self.write(())
        return self.has_failed

    def _look(self) -> None:
        """Have the file open that lines belong into."""
        if self._file >= 0:
            if not self._is_current():
                self._close()
            elif self._max_bytes and os.fstat(self._file).st_size >= self._max_bytes:
                self._rotate()
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._next_look = time.monotonic() + _LOOK_SECONDS

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        """Move the files on by one, unless another process has just done so."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if self._is_current():
            for number in range(self._keep - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    self._numbered(number).rename(self._numbered(number + 1))
            self._path.rename(self._numbered(1)) if self._keep else self._path.unlink()
        self._close()  # and with it the lock

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        self.write(())
        with self._lock:
            if self._file >= 0:
                self._close()

    def _close(self) -> None:
        os.close(self._file)
        self._file, self._next_look = -1, 0.0


class _Syslog(logging.handlers.SysLogHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # the name is logging's
        raise  # noqa: PLE0704  # it is called where an exception is handled


class SyslogTarget:
    """The system's log, or one that is reached by UDP."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        address = (parts.hostname, parts.port or 514) if parts.hostname else parts.path or "/dev/log"
        self._address: Any = address
        self._handler: _Syslog | None = None
        self._lock = threading.Lock()
        self.has_failed = False

    def write(self, lines: Sequence[bytes]) -> int:
        with self._lock:
            sent = 0
            try:
                if self._handler is None:
                    self._handler = _Syslog(self._address, facility=_Syslog.LOG_AUTHPRIV)
                    self._handler.ident = "bleepstore-audit: "
                for line in lines:
                    text = line.decode().rstrip()
                    self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))
                    sent += 1
            except OSError:
                if self._handler is not None:
                    self._handler.close()
                self._handler = None
            self.has_failed = sent < len(lines)
            return len(lines) - sent

    def is_failing(self) -> bool:
        return self.has_failed and (self._lock.locked() or not self._try())

    def _try(self) -> bool:
        return self.write([b"the audit log goes on"]) == 0

    def close(self) -> None:
        with self._lock:
            if self._handler is not None:
                self._handler.close()
                self._handler = None


class SenderTarget:
    """Whatever events can be sent to. A thread sends; lines wait for it. Of one that `is_needed` it counts as failed
    until something was sent."""

    def __init__(self, url: str, *, is_needed: bool = False) -> None:
        self._url = url
        self._lines: queue.Queue[bytes | None] = queue.Queue(_MAX_KEPT)
        self.has_failed = is_needed
        self._thread = threading.Thread(target=self._run, name="bleepstore-audit", daemon=True)
        self._thread.start()

    def write(self, lines: Sequence[bytes]) -> int:
        lost = 0
        for line in lines:
            try:
                self._lines.put_nowait(line)
            except queue.Full:
                lost += 1
        return lost

    def is_failing(self) -> bool:
        return self.has_failed

    def close(self) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while batch := self._next_lines():
            message = Message(b'{"Records":[%s]}' % b",".join(line.rstrip() for line in batch), "audit")
            while not self._send(message):
                self.has_failed = True
                time.sleep(_RETRY_SECONDS)
            self.has_failed = False

    def _next_lines(self) -> list[bytes]:
        """Those that wait, up to a number of them; none at the end."""
        lines: list[bytes] = []
        while len(lines) < _SENT_AT_ONCE:
            if lines and self._lines.empty():
                break
            line = self._lines.get()
            if line is None:
                if lines:
                    self._lines.put(None)
                break
            lines.append(line)
        return lines

    def _send(self, message: Message) -> bool:
        try:
            with contextlib.closing(open_sender(self._url)) as sender:
                return sender.send([message]) == 1
        except Exception as error:  # noqa: BLE001  # whatever its client raises, it is tried again
            _log.debug("audit lines cannot be sent: %s", error)
            return False


def open_audit_log(config: ServerConfig, failed: Callable[[int], object]) -> AuditLog | None:
    """None if the configuration names no targets."""
    if not config.audit_log:
        return None
    targets = [_open(text, config) for text in config.audit_log]
    return AuditLog(targets, reads=config.audit_reads, refuses=config.audit_full == "refuse", failed=failed)


def _open(text: str, config: ServerConfig) -> Target:
    if not AUDIT_URL.match(text):
        return FileTarget(Path(text).absolute(), config.audit_max_bytes, config.audit_keep)
    if text.startswith("syslog:"):
        return SyslogTarget(text)
    return SenderTarget(text, is_needed=config.audit_full == "refuse")
