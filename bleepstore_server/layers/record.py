"""What became of each request: one record for each, made when the body of its answer is done.

The bytes that were sent and the time that it took are known only then. A program gets the records from
`create_app(store, record=...)`; `bleepstore serve --access-log` writes each as a line.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

import attrs

from bleepstore.access import Caller
from bleepstore.model import DeletedObject, to_datetime
from bleepstore.store import DeleteFailure
from bleepstore_server.exchange import TRACE_ID, Exchange
from bleepstore_server.layers.bucket_logs import Sent, log_to_buckets
from bleepstore_server.metrics.counting import RequestCounts
from bleepstore_server.response import ObjectBody

_log = logging.getLogger("bleepstore.server")
access_log = logging.getLogger("bleepstore.access")

_SECOND = 1_000_000_000
#: How long a pipe may be full before what is logged is dropped.
_PATIENCE_MS = 100


@attrs.define(kw_only=True)  # to make a frozen one takes three times as long
class Record:
    """One request and its answer."""

    #: When the request began, in milliseconds since the epoch.
    time_ms: int
    #: The address that the connection came from, or the one that a trusted proxy says its own came from.
    remote: str
    method: str
    #: As S3 names it; None where the request is none that S3 has, or could not be read so far.
    operation: str | None = None
    bucket: str | None = None
    key: str | None = None
    #: Whose signature was right; None where nobody signed, or none was right.
    access_key: str | None = None
    status: int
    #: Of a refusal. With a status of success: of an answer that had to be broken off, as the bytes of the object turned
    #: out to be damaged, or could not be read, while they were sent.
    error_code: str | None = None
    #: Bytes of the request's body that were read, as they were sent.
    bytes_in: int = 0
    #: Bytes of the answer's body that the server could send.
    bytes_out: int = 0
    #: Seconds from the first look at the request to the end of the answer's body.
    duration: float = 0.0
    request_id: str
    #: Of OpenTelemetry, in hex; None: the request is not followed.
    trace_id: str | None = None
    #: Where the request came in: "s3", "admin", "console".
    door: str = "s3"
    #: Who asked: the id of an account, or the ARN of its user or of a session of its role; None: nobody signed.
    principal: str | None = None
    version_id: str | None = None
    user_agent: str | None = None
    #: What was copied: bucket/key.
    source: str | None = None
    #: Of keys that are deleted at once, each: the key, its version, the code of its error.
    deleted: tuple[tuple[str, str | None, str | None], ...] = ()

    @property
    def time(self) -> dt.datetime:
        """When the request began, in UTC."""
        return to_datetime(self.time_ms)


Recorder = Callable[[Record], None]


@functools.lru_cache(maxsize=1024)  # requests that are done together began together
def iso_time(time_ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601 has them, in UTC."""
    seconds, millis = divmod(time_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{millis:03}Z"


class RecordedBytes:
    """A WSGI body that tells `done`, once, how many of its bytes were sent. A piece counts as sent when the server asks
    for the next one."""

    def __init__(self, pieces: Iterable[bytes], done: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._done: Callable[[int], None] | None = done
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            self._sent += len(piece)
        self.close()

    def close(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self._sent)


def recorded(
    exchange: Exchange, body: Iterable[bytes], recorders: Sequence[Recorder], counts: RequestCounts | None
) -> Iterable[bytes]:
    """The body of the answer, at whose end `finish` is called."""
    done = functools.partial(finish, exchange, recorders, counts, time.monotonic_ns())
    if isinstance(body, ObjectBody):
        body.done = done
        return body
    return RecordedBytes(body, done)


def finish(
    exchange: Exchange,
    recorders: Sequence[Recorder],
    counts: RequestCounts | None,
    answered: int,
    bytes_out: int,
    error_code: str | None = None,
) -> None:
    """Count a request whose answer is done, give its record to the recorders, and the logs of buckets their lines.
    `answered` is when the body of the answer began (time.monotonic_ns)."""
    if counts is not None:
        counts.count(exchange, bytes_out, error_code)
    duration = (time.monotonic_ns() - exchange.started) / _SECOND
    source, logged = exchange.source, exchange.store.engine.logged_buckets
    try:
        if exchange.bucket in logged or (source is not None and source.bucket in logged):
            turnaround = (answered - exchange.started) / _SECOND
            log_to_buckets(exchange, Sent(bytes_out, error_code, turnaround, duration))
        if recorders:
            record = record_of(exchange, duration, bytes_out, error_code)
            for recorder in recorders:
                recorder(record)
    except Exception:  # noqa: BLE001  # the answer is on its way, whatever a program's own function does
        of = {"request_id": exchange.request_id}
        _log.exception("the record of request %s could not be taken", exchange.request_id, extra=of)


def record_of(exchange: Exchange, duration: float, bytes_out: int, error_code: str | None = None) -> Record:
    """The record of a request that began so many seconds ago."""
    request, environ, caller, source = exchange.request, exchange.environ, exchange.caller, exchange.source
    return Record(
        time_ms=int((time.time() - duration) * 1000),
        remote=environ.get("REMOTE_ADDR", ""),
        method=environ["REQUEST_METHOD"],
        operation=exchange.operation,
        bucket=request.bucket,
        key=request.key,
        access_key=caller.access_key,
        status=exchange.status,
        error_code=exchange.error_code or error_code,
        bytes_in=request.bytes_in + exchange.drained,
        bytes_out=bytes_out,
        duration=duration,
        request_id=exchange.request_id,
        trace_id=environ.get(TRACE_ID),
        principal=principal_of(caller),
        version_id=exchange.version_id,
        user_agent=request.headers.get("user-agent"),
        source=None if source is None else f"{source.bucket}/{source.key}",
        deleted=tuple(map(_deleted, exchange.deleted)) if exchange.deleted else (),
    )


def principal_of(caller: Caller) -> str | None:
    """What `Caller.requester` says of who has signed; None: nobody has."""
    if caller.access_key is None:
        return None
    return caller.account.id if caller.user is None else caller.requester


def _deleted(one: DeletedObject | DeleteFailure) -> tuple[str, str | None, str | None]:
    return one.key, one.version_id, one.error.code if isinstance(one, DeleteFailure) else None


# -- the access log


#: What the audit log alone has (`bleepstore_server.audit`).
_OF_AUDITS = frozenset({"door", "principal", "version_id", "user_agent", "source", "deleted"})


def access_line(record: Record) -> str:
    """A record as one line of JSON in ASCII: whatever a key has in it, it cannot begin another line."""
    fields = attrs.asdict(record, filter=lambda field, _value: field.name not in _OF_AUDITS)
    fields = {"time": iso_time(fields.pop("time_ms")), **fields}
    if record.trace_id is None:
        del fields["trace_id"]
    fields["duration"] = round(record.duration, 6)
    return json.dumps(fields, separators=(",", ":"))


def log_access(record: Record) -> None:
    """Write a record to the logger `bleepstore.access`."""
    access_log.info("%s", access_line(record))


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream as long as somebody takes them. A pipe that is full for a moment is waited for; then
    lines are dropped until there is space again, and the log says how many: a server goes on although nobody reads what
    it writes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        #: How many lines were dropped since the last one that was written.
        self._lost = 0
        #: Whether that one was written in part.
        self._is_cut = False
        try:
            self._descriptor = stream.fileno()
        except (OSError, ValueError):
            self._descriptor = -1

    def emit(self, record: logging.LogRecord) -> None:
        if self._descriptor < 0 or not hasattr(select, "poll"):
            super().emit(record)
            return
        try:
            line = (self.terminator * self._is_cut + self.format(record) + self.terminator).encode()
            for start in range(0, len(line), select.PIPE_BUF):  # so many bytes a pipe takes whole
                if not self._has_space():
                    self._lost += 1
                    return
                os.write(self._descriptor, line[start : start + select.PIPE_BUF])
                self._is_cut = start + select.PIPE_BUF < len(line)
        except Exception:  # noqa: BLE001  # as every handler: it is said on standard error
            self.handleError(record)
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            _log.warning("%d lines of the access log were dropped, for nobody read standard output", lost)

    def _has_space(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(0 if self._lost else _PATIENCE_MS))


def start_access_log() -> Recorder:
    """Have `bleepstore.access` write to standard output, unless it has a handler already."""
    if not access_log.handlers:
        handler = LineHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        access_log.addHandler(handler)
        access_log.propagate = False
    access_log.setLevel(logging.INFO)
    return log_access
