"""All metrics as Prometheus reads them. The registry and the formats are those of prometheus_client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

import bleepstore
from bleepstore.backends.base import Gateway
from bleepstore.committer import DirectCommitter
from bleepstore.store import Store
from bleepstore_server.metrics import counting
from bleepstore_server.metrics.collecting import StoreCollector
from bleepstore_server.metrics.counting import CallCounts, CommitCounts, RequestCounts, WorkerCounts
from bleepstore_server.metrics.page import FoundRow, Page, Slot

_SECOND = 1e9
#: Of a process: what adds up over the workers, and what does not.
_LOWEST, _HIGHEST = "process_start_time_seconds", "process_max_fds"
_NO_OPERATIONS = frozenset({"None", "HealthCheck"})


class Metrics:
    """What one process counts, and what all processes of its server have counted."""

    def __init__(self, store: Store, page: Page | None = None) -> None:
        self._page = page or Page()
        self._slot = slot = self._page.claim()
        self.requests = RequestCounts(slot)
        self.worker = WorkerCounts(slot)
        _watch(store, slot)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(PageCollector(self._page, slot))
        self._registry.register(ProcessesCollector(self._page, slot))
        self._registry.register(StoreCollector(store))

    def audit_failed(self, lost: int) -> None:
        """The audit log could not be written, and so many of its lines were lost."""
        self._slot.add(counting.AUDIT_FAILURES, 1)
        if lost:
            self._slot.add(counting.AUDIT_LOST, lost)

    def spans_told(self, sent: int, dropped: int) -> None:
        """So many spans were sent to a collector, and so many dropped."""
        self._slot.add(counting.SPANS_SENT, sent)
        self._slot.add(counting.SPANS_DROPPED, dropped)

    def samples(self) -> Iterator[Sample]:
        """All that there is to read now."""
        for family in self._registry.collect():
            yield from family.samples

    def render(self, accept: str) -> tuple[bytes, str]:
        """(document, its content type), by the Accept header of who asks."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _watch(store: Store, slot: Slot) -> None:
    """Count the commits of a store, and its calls to a provider."""
    engine = store.engine
    commits = CommitCounts(slot)
    if isinstance(engine.committer, DirectCommitter):
        engine.committer.on_commit = commits.committed
    engine.catalog.time_syncs(commits.synced)
    if isinstance(engine.backend, Gateway):
        provider = engine.backend.url.partition(":")[0]
        engine.backend.calls.listener = CallCounts(slot, provider).count


class PageCollector(Collector):
    """What was counted by all processes, those that have ended too."""

    def __init__(self, page: Page, own: Slot) -> None:
        self._page = page
        self._own = own

    def collect(self) -> Iterator[Metric]:
        rows: dict[str, list[FoundRow]] = defaultdict(list)
        for row in self._page.read(self._own):
            rows[row.name].append(row)
        info = GaugeMetricFamily("bleepstore_build_info", "1, labelled with the version.", labels=["version"])
        info.add_metric([bleepstore.__version__], 1)
        yield info
        yield from _of_requests(rows[counting.REQUESTS])
        refusals = CounterMetricFamily("bleepstore_s3_errors", "Requests refused, by S3's code.", labels=["code"])
        for labels, (count,) in _summed((row.labels, row.cells) for row in rows[counting.REFUSALS]).items():
            refusals.add_metric(labels, count)
        yield refusals
        calls = CounterMetricFamily(
            "bleepstore_gateway_calls", "Attempts of calls to a provider.", labels=["provider", "outcome"]
        )
        for labels, (count,) in _summed((row.labels, row.cells) for row in rows[counting.GATEWAY_CALLS]).items():
            calls.add_metric(labels, count)
        yield calls
        yield from _of_histograms(rows)
        yield from _of_workers(rows)
        for name, text, row_name in (
            ("connections_turned_away", "Connections beyond the limit.", counting.TURNED_AWAY),
            ("audit_failures", "Writes to the audit log that failed.", counting.AUDIT_FAILURES),
            ("audit_lines_lost", "Lines of the audit log that were lost.", counting.AUDIT_LOST),
            ("spans_sent", "Spans that a collector has taken.", counting.SPANS_SENT),
            ("spans_dropped", "Spans that were dropped, as no collector took them.", counting.SPANS_DROPPED),
        ):
            yield CounterMetricFamily(f"bleepstore_{name}", text, sum(row.cells[0] for row in rows[row_name]))


def _of_requests(rows: Sequence[FoundRow]) -> Iterator[Metric]:
    """A row is of one method, path, operation and status; each metric has some of these labels."""
    by_path = _summed(((row.labels[0], row.labels[1]), row.cells) for row in rows)
    by_operation = _summed(((row.labels[2],), row.cells) for row in rows if row.labels[2] not in _NO_OPERATIONS)
    requests = CounterMetricFamily("bleepstore_http_requests", "Requests.", labels=["method", "path", "status"])
    for labels, cells in _summed(((*row.labels[:2], row.labels[3]), row.cells) for row in rows).items():
        requests.add_metric(labels, sum(counting.times_of(cells)))
    yield requests
    operations = CounterMetricFamily("bleepstore_s3_operations", "Operations of S3.", labels=["operation", "status"])
    for labels, cells in _summed((row.labels[2:], row.cells) for row in rows).items():
        if (labels[0],) in by_operation:
            operations.add_metric(labels, sum(counting.times_of(cells)))
    yield operations
    path_labels = ["method", "path"]
    times = _histogram("http_request_duration_seconds", "From the first look at a request to its end.", path_labels)
    sizes_in = _histogram("http_request_size_bytes", "Bodies of requests.", path_labels)
    sizes_out = _histogram("http_response_size_bytes", "Bodies of answers.", path_labels)
    for labels, cells in by_path.items():
        _add(times, labels, counting.DURATIONS, counting.times_of(cells), cells[counting.TIME], _SECOND)
        _add(sizes_in, labels, counting.SIZES, counting.sizes_in_of(cells), cells[counting.IN])
        _add(sizes_out, labels, counting.SIZES, counting.sizes_out_of(cells), cells[counting.OUT])
    latencies = _histogram("s3_operation_duration_seconds", "The same by operation.", ["operation"])
    for labels, cells in by_operation.items():
        _add(latencies, labels, counting.DURATIONS, counting.times_of(cells), cells[counting.TIME], _SECOND)
    yield from (times, sizes_in, sizes_out, latencies)
    received, sent = (sum(cells[at] for cells in by_path.values()) for at in (counting.IN, counting.OUT))
    yield CounterMetricFamily("bleepstore_bytes_received", "Bytes of bodies that were received.", received)
    yield CounterMetricFamily("bleepstore_bytes_sent", "Bytes of bodies that were sent.", sent)


def _of_histograms(rows: Mapping[str, Sequence[FoundRow]]) -> Iterator[Metric]:
    times, sizes = counting.DURATIONS, counting.BATCH_SIZES
    for name, text, row_name, bounds, unit in (
        ("commit_duration_seconds", "Until a batch of changes was durable.", counting.COMMITS, times, _SECOND),
        ("commit_batch_size", "Changes in a batch.", counting.BATCHES, sizes, 1),
        ("fsync_duration_seconds", "Of these, for the disk alone.", counting.SYNCS, times, _SECOND),
        ("queue_wait_seconds", "How long requests waited for a thread.", counting.QUEUED, times, _SECOND),
    ):
        family = _histogram(name, text, [])
        for labels, (total, *counts) in _summed(((), row.cells) for row in rows.get(row_name, ())).items():
            _add(family, labels, bounds, counts, total, unit)
        yield family


def _of_workers(rows: Mapping[str, Sequence[FoundRow]]) -> Iterator[Metric]:
    """What is now, of the processes that run."""
    alive = [row.cells for row in rows.get(counting.WORKER, ()) if row.is_alive]
    yield GaugeMetricFamily("bleepstore_workers", "Processes that serve.", len(alive))
    for at, (name, text) in enumerate(
        (
            ("connections", "Open connections."),
            ("requests_in_flight", "Requests under way."),
            ("requests_queued", "Requests that wait for a thread."),
            ("threads", "Threads that requests run in."),
        )
    ):
        yield GaugeMetricFamily(f"bleepstore_{name}", text, sum(cells[at] for cells in alive))


Labels = tuple[str, ...]


def _summed(rows: Iterable[tuple[Labels, Sequence[int]]]) -> dict[Labels, list[int]]:
    """Rows of the same labels as one, in the order of the labels."""
    found: dict[Labels, list[int]] = {}
    for labels, cells in rows:
        known = found.get(labels)
        found[labels] = list(cells) if known is None else [a + b for a, b in zip(known, cells, strict=True)]
    return dict(sorted(found.items()))


def _histogram(name: str, text: str, labels: Sequence[str]) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"bleepstore_{name}", text, labels=labels)


def _add(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    bounds: Sequence[int],
    counts: Sequence[int],
    total: int,
    unit: float = 1,
) -> None:
    """`bounds` and `total` are so many times the unit of the metric."""
    names = [*(f"{bound / unit:g}" for bound in bounds), "+Inf"]
    family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total / unit)


class ProcessesCollector(Collector):
    """The `process_...` of all workers together; the earliest start, and the limit of descriptors of one of them."""

    def __init__(self, page: Page, own: Slot) -> None:
        self._page = page
        self._own = own

    def collect(self) -> Iterator[Metric]:
        together: dict[str, Metric] = {}
        for pid in self._page.pids(self._own):
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = together.setdefault(family.name, family)
                if known is not family and family.samples:
                    ours, theirs = known.samples[0], family.samples[0]
                    combine = {_LOWEST: min, _HIGHEST: max}.get(family.name, _plus)
                    known.samples[0] = ours._replace(value=combine(ours.value, theirs.value))
        yield from together.values()


def _plus(ours: float, theirs: float) -> float:
    return ours + theirs
