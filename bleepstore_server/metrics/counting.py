"""What is counted where it happens: a few additions to cells of the shared page, under a lock of the process."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bleepstore.backends.watching import CallOutcome
from bleepstore_server.exchange import Exchange

if TYPE_CHECKING:  # a program that counts nothing needs no shared memory
    from bleepstore_server.metrics.page import Cells, Slot

_SECOND = 1_000_000_000
#: Upper bounds of the histograms: nanoseconds, bytes, commands.
DURATIONS: Sequence[int] = tuple(
    round(seconds * _SECOND)
    for seconds in (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
)
SIZES: Sequence[int] = tuple(1 << bits for bits in (8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 33))
BATCH_SIZES: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)

#: The cells of a row of requests: three sums, then the buckets of three histograms with one more for what is larger.
#: Bodies without bytes are in no bucket of sizes: they are what is missing there of all requests.
IN, OUT, TIME = 0, 1, 2
_TIMES = 3
_INS = _TIMES + len(DURATIONS) + 1
_OUTS = _INS + len(SIZES) + 1
REQUEST_CELLS = _OUTS + len(SIZES) + 1

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
BUCKET, KEY = "/{bucket}", "/{bucket}/{key}"
#: What a row of requests is labelled with.
REQUESTS = "requests"
REFUSALS = "refusals"
COMMITS, BATCHES, SYNCS, QUEUED = "commits", "batches", "syncs", "queued"
GATEWAY_CALLS = "gateway-calls"
WORKER, TURNED_AWAY = "worker", "turned-away"
AUDIT_FAILURES = "audit-failures"
AUDIT_LOST = "audit-lost"
SPANS_SENT, SPANS_DROPPED = "spans-sent", "spans-dropped"


class RequestCounts:
    """Counts the requests of one process."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str, str | None, int], Cells] = {}
        self._refusals: dict[str, Cells] = {}

    def count(self, exchange: Exchange, bytes_out: int, error_code: str | None = None) -> None:
        """Count a request whose answer is done: the bytes of its body, and why it was broken off. This is called for
        each request, so it calls little itself."""
        request = exchange.request
        bytes_in = request.bytes_in + exchange.drained
        error_code = exchange.error_code or error_code
        if exchange.key:
            path = KEY
        elif exchange.bucket:
            path = BUCKET
        else:
            path = request.raw_path if exchange.operation == "HealthCheck" else "/"
        key = (exchange.environ["REQUEST_METHOD"], path, exchange.operation, exchange.status)
        row = self._rows.get(key)
        if row is None:
            row = self._add(key)
        duration = time.monotonic_ns() - exchange.started
        with self._lock:
            row[TIME] += duration
            row[_TIMES + bisect_left(DURATIONS, duration)] += 1
            if bytes_in:
                row[IN] += bytes_in
                row[_INS + bisect_left(SIZES, bytes_in)] += 1
            if bytes_out:
                row[OUT] += bytes_out
                row[_OUTS + bisect_left(SIZES, bytes_out)] += 1
            if error_code is not None:
                self._refusal(error_code)[0] += 1

    def count_refusal(self, code: str) -> None:
        """Count what was refused before it was a request."""
        with self._lock:
            self._refusal(code)[0] += 1

    def _add(self, key: tuple[str, str, str | None, int]) -> Cells:
        method, path, operation, status = key
        known = method if method in _METHODS else "OTHER"
        row = self._slot.row(REQUESTS, (known, path, operation or "None", str(status)), REQUEST_CELLS)
        if known == method:  # others are as many as clients think of
            self._rows[key] = row
        return row

    def _refusal(self, code: str) -> Cells:
        row = self._refusals.get(code)
        if row is None:
            row = self._refusals[code] = self._slot.row(REFUSALS, (code,), 1)
        return row


class Histogram:
    """A sum, and how many values there were up to each bound."""

    def __init__(self, slot: Slot, name: str, bounds: Sequence[int]) -> None:
        self._bounds = bounds
        self._cells = slot.row(name, (), 2 + len(bounds))
        self._lock = threading.Lock()

    def observe(self, value: int) -> None:
        with self._lock:
            self._cells[0] += value
            self._cells[1 + bisect_left(self._bounds, value)] += 1


class CommitCounts:
    """Counts the commits of one process (`bleepstore.committer`)."""

    def __init__(self, slot: Slot) -> None:
        self._times = Histogram(slot, COMMITS, DURATIONS)
        self._batches = Histogram(slot, BATCHES, BATCH_SIZES)
        self._syncs = Histogram(slot, SYNCS, DURATIONS)

    def committed(self, commands: int, seconds: float) -> None:
        self._times.observe(int(seconds * _SECOND))
        self._batches.observe(commands)

    def synced(self, seconds: float) -> None:
        self._syncs.observe(int(seconds * _SECOND))


class WorkerCounts:
    """What the worker of one process tells of itself, several times a second."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._queued = Histogram(slot, QUEUED, DURATIONS)
        self._now = slot.row(WORKER, (), 4)
        self._now[:] = memoryview(bytes(32)).cast("Q")  # of the process before
        self._turned_away = 0

    def waited(self, seconds: float) -> None:
        """A request waited so long for a thread."""
        self._queued.observe(int(seconds * _SECOND))

    def show(self, connections: int, busy: int, waiting: int, threads: int) -> None:
        """How many connections there are, how many of them have a request under way, how many requests wait for a
        thread, and how many threads there are."""
        for at, number in enumerate((connections, busy, waiting, threads)):
            self._now[at] = number

    def turned_away(self, total: int) -> None:
        """So many connections were turned away since this process began."""
        if total > self._turned_away:
            self._slot.add(TURNED_AWAY, total - self._turned_away)
            self._turned_away = total


class CallCounts:
    """Counts the calls to a provider."""

    def __init__(self, slot: Slot, provider: str) -> None:
        self._rows = {outcome: slot.row(GATEWAY_CALLS, (provider, outcome), 1) for outcome in CallOutcome}
        self._lock = threading.Lock()

    def count(self, outcome: CallOutcome) -> None:
        with self._lock:
            self._rows[outcome][0] += 1


def times_of(row: Sequence[int]) -> Sequence[int]:
    return row[_TIMES:_INS]


def sizes_in_of(row: Sequence[int]) -> Sequence[int]:
    return _with_empty(row, row[_INS:_OUTS])


def sizes_out_of(row: Sequence[int]) -> Sequence[int]:
    return _with_empty(row, row[_OUTS:])


def _with_empty(row: Sequence[int], sizes: Sequence[int]) -> Sequence[int]:
    """The smallest bucket has the bodies without bytes too."""
    return [sizes[0] + sum(times_of(row)) - sum(sizes), *sizes[1:]]
