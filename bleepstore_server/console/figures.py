"""The figures of the status page, which are asked for again every few seconds."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs
from prometheus_client.samples import Sample

from bleepstore_server.console.pages import shown_count, shown_size
from bleepstore_server.console.visit import Visit
from bleepstore_server.monitoring import is_ready


@attrs.frozen(kw_only=True)
class Figures:
    """`shown` are texts by their names. `counters` only grow, over all processes: what they grow by in a second is what
    the page shows. `seconds` is the clock of it."""

    shown: Mapping[str, str]
    counters: Mapping[str, float]
    seconds: float


def figures_of(visit: Visit) -> Figures:
    found = _sums(visit.metrics.samples()) if visit.metrics is not None else {}
    texts = visit.pages.texts["status"]
    shown = {"is_ready": texts["ready" if is_ready(visit.store, visit.audit) else "not_ready"]}
    for name, sample, show in (
        ("buckets", "bleepstore_buckets_total", shown_count),
        ("objects", "bleepstore_objects_total", shown_count),
        ("stored", "bleepstore_stored_bytes", shown_size),
        ("free", "bleepstore_disk_free_bytes", shown_size),
        ("catalog", "bleepstore_catalog_size_bytes", shown_size),
        ("in_flight", "bleepstore_requests_in_flight", shown_count),
        ("connections", "bleepstore_connections", shown_count),
        ("workers", "bleepstore_workers", shown_count),
    ):
        if sample in found:
            shown[name] = show(round(found[sample]))
    shown["jobs_failed"] = shown_count(sum(job.error is not None for job in visit.store.jobs.status()))
    shown["damaged_reads"] = shown_count(visit.store.damaged_reads)
    counters = {
        name: found.get(sample, 0.0)
        for name, sample in (
            ("requests", "bleepstore_http_requests_total"),
            ("errors", _ERRORS),
            ("received", "bleepstore_bytes_received_total"),
            ("sent", "bleepstore_bytes_sent_total"),
        )
        if visit.metrics is not None
    }
    return Figures(shown=shown, counters=counters, seconds=time.monotonic())


_ERRORS = "errors"


def _sums(samples: Iterable[Sample]) -> Mapping[str, float]:
    """By the name of a sample what all of them add up to, whatever their labels; and requests that failed."""
    found: dict[str, float] = defaultdict(float, {_ERRORS: 0.0})
    for sample in samples:
        found[sample.name] += sample.value
        if sample.name == "bleepstore_http_requests_total" and sample.labels.get("status", "").startswith("5"):
            found[_ERRORS] += sample.value
    return found
