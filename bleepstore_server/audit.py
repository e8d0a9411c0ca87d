"""The audit log: who did what to what, from where, and what became of it, one line of JSON for each.

It has what changes something, what was refused for want of rights, and, if it is told to, what reads. The lines go to
files, to syslog, or to whatever events can be sent to (a webhook, a queue).

What cannot be written is counted, and the server goes on; or, where the log must be whole, it refuses what would have
to be in the log until it can write again. What was done by then is kept and written first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import logging.handlers
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bleepstore.senders import Message, open_sender
from bleepstore_server.config import AUDIT_URL, ServerConfig
from bleepstore_server.layers.record import Record
from bleepstore_server.wire.errors import RequestError

_log = logging.getLogger("bleepstore.server")

#: Lines that are kept while a target takes none.
_MAX_KEPT = 10_000
#: How often it is asked whether the file is too large, or somebody else has moved it.
_LOOK_SECONDS = 1.0
_MAX_USER_AGENT = 512
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

    def write(self, record: Record) -> None:
        """Write a record. Never raises."""
        lines = audit_lines(record)
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

    def check(self) -> None:
        """Raise RequestError if nothing may be done that the log could not take."""
        if self.refuses and self.is_failing():
            raise RequestError("ServiceUnavailable", "The audit log cannot be written.")

    def close(self) -> None:
        for target in self._targets:
            target.close()


def audit_lines(record: Record) -> list[bytes]:
    """The lines of a record. Keys that are deleted at once have one each."""
    fields: dict[str, str | int | None] = {
        "time": record.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "door": record.door,
        "principal": record.principal,
        "access_key": record.access_key,
        "remote": record.remote,
        "user_agent": None if record.user_agent is None else record.user_agent[:_MAX_USER_AGENT],
        "operation": record.operation,
        "method": record.method,
        "bucket": record.bucket,
        "key": record.key,
        "version_id": record.version_id,
        "source": record.source,
        "outcome": _outcome(record.status, record.error_code),
        "status": record.status,
        "error_code": record.error_code,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
    }
    if not record.deleted:
        return [_line(fields)]
    return [
        _line({**fields, "key": key, "version_id": version, "error_code": error, "outcome": _outcome(204, error)})
        for key, version, error in record.deleted
    ]


def _outcome(status: int, error_code: str | None) -> str:
    if error_code == "AccessDenied" or status in (401, 403):
        return "denied"
    return "success" if status < 400 and error_code is None else "failure"


def _line(fields: Mapping[str, str | int | None]) -> bytes:
    """As JSON in ASCII, of texts and whole numbers: a third of what json.dumps takes, at each change."""
    pieces = [
        f'"{name}":{_quote(value) if type(value) is str else int(value)}'
        for name, value in fields.items()
        if value is not None
    ]
    return f"{{{','.join(pieces)}}}\n".encode()


# -- targets


class FileTarget:
    """A file that grows to `max_bytes` and is then kept as FILE.1, and so on, up to `keep` of them. Any number of
    processes write to it. Whoever moves the file away by other means (logrotate) finds a new one a second later."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._lock = threading.Lock()
        self._file = -1
        self._looked = 0.0
        self._kept: deque[bytes] = deque()
        self._is_torn = False

    @property
    def has_failed(self) -> bool:
        return bool(self._kept)

    def write(self, lines: Sequence[bytes]) -> int:
        with self._lock:
            lost = max(0, len(self._kept) + len(lines) - _MAX_KEPT)
            self._kept.extend(lines)
            for _ in range(lost):
                self._kept.popleft()
            self._flush()
        return lost

    def is_failing(self) -> bool:
        if not self._kept:
            return False
        with self._lock:
            return not self._flush()

    def _flush(self) -> bool:
        """Write what is kept; whether that was all."""
        try:
            while self._kept:
                self._make_ready()
                data = b"".join(self._kept)
                if self._is_torn:  # the beginning of a line is there
                    data = b"\n" + data
                written = os.write(self._file, data)
                if written < len(data):
                    self._is_torn = True
                    raise OSError("the disk is full")
                self._is_torn = False
                self._kept.clear()
        except OSError as error:
            _log.debug("the audit log cannot be written: %s", error)
            return False
        return True

    def _make_ready(self) -> None:
        now = time.monotonic()
        if self._file >= 0 and now - self._looked > _LOOK_SECONDS:
            self._looked = now
            if not self._is_current():
                self._close()
            elif self._max_bytes and os.fstat(self._file).st_size >= self._max_bytes:
                self._rotate()
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._looked = now

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
        with self._lock:
            self._flush()
            if self._file >= 0:
                self._close()

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1


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
        return self.has_failed and not self._try()

    def _try(self) -> bool:
        return self.write([b"the audit log goes on"]) == 0

    def close(self) -> None:
        with self._lock:
            if self._handler is not None:
                self._handler.close()
                self._handler = None


class SenderTarget:
    """Whatever events can be sent to. A thread sends; lines wait for it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lines: queue.Queue[bytes | None] = queue.Queue(_MAX_KEPT)
        self.has_failed = False
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
    return SyslogTarget(text) if text.startswith("syslog:") else SenderTarget(text)
