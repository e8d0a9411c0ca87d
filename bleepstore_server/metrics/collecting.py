"""What is asked of the store when somebody reads the metrics. Nothing here may fail a scrape: what cannot be known now
is left out."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bleepstore.errors import BleepStoreError
from bleepstore.quotas import Totals
from bleepstore.store import Store
from bleepstore_server.metrics.cluster import metrics_of

_log = logging.getLogger("bleepstore.server")

#: To count takes as long as the catalog is large: so many times longer what was counted stays, unless that is quick.
_REST = 100
_QUICK_SECONDS = 0.05
#: A count that takes longer is not waited for.
_WAIT_SECONDS = 0.25


class KnownTotals:
    """What is in the store, counted anew when something has changed: at most for a hundredth of the time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Totals | None = None
        self._index = -1
        self._took = 0.0
        self._counted = 0.0
        self._lock = threading.Lock()

    def get(self) -> Totals | None:
        """None: they are counted for the first time, and that takes long."""
        if self._known is None or self._is_due():
            thread = threading.Thread(target=self._run, name="bleepstore-totals", daemon=True)
            with contextlib.suppress(RuntimeError):  # there is none to be had now: what is known is told
                thread.start()
                thread.join(_WAIT_SECONDS)
        return self._known

    def _is_due(self) -> bool:
        has_changed = self._applied_index() != self._index
        return has_changed and (self._took < _QUICK_SECONDS or time.monotonic() > self._counted + _REST * self._took)

    def _applied_index(self) -> int:
        with self._store.engine.catalog.read() as reader:
            return reader.applied_index()

    def _run(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            begun = time.monotonic()
            self._index = self._applied_index()
            self._known = self._store.totals()
            self._counted = time.monotonic()
            self._took = self._counted - begun
        except (BleepStoreError, OSError) as error:
            _log.warning("the objects could not be counted: %s", error)
        finally:
            self._lock.release()


class StoreCollector(Collector):
    """Gauges of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._totals = KnownTotals(store)

    def collect(self) -> Iterator[Metric]:
        for part in (self._of_totals, self._of_disk, self._of_jobs, self._of_events, self._of_cluster):
            try:
                yield from part()
            except (BleepStoreError, OSError) as error:
                _log.warning("a part of the metrics is left out: %s", error)

    def _of_totals(self) -> Iterator[Metric]:
        totals = self._totals.get()
        if totals is None:
            return
        for name, text, value in (
            ("buckets_total", "Buckets.", totals.buckets),
            ("objects_total", "Objects, as a listing shows them.", totals.objects),
            ("versions_total", "Versions and delete markers.", totals.versions),
            ("stored_bytes", "Bytes of all versions and parts, as they were sent.", totals.bytes),
            ("uploads_total", "Multipart uploads under way.", totals.uploads),
            ("garbage_blobs", "Blobs that a job has yet to remove.", totals.garbage),
        ):
            yield _gauge(name, text, value)

    def _of_disk(self) -> Iterator[Metric]:
        folder = self._store.engine.folder
        if folder is None:
            return
        found = os.statvfs(folder)
        yield _gauge("disk_free_bytes", "Bytes of the disk that are free.", found.f_bavail * found.f_frsize)
        yield _gauge("disk_size_bytes", "Bytes of the disk.", found.f_blocks * found.f_frsize)
        catalog = folder / "catalog.db"
        for name, text, path in (
            ("catalog_size_bytes", "Bytes of the catalog.", catalog),
            ("catalog_wal_bytes", "Bytes of the catalog's write-ahead log.", catalog.with_name("catalog.db-wal")),
        ):
            if path.exists():
                yield _gauge(name, text, path.stat().st_size)

    def _of_jobs(self) -> Iterator[Metric]:
        now_ms = self._store.wall_time_ms()
        last = GaugeMetricFamily(
            "bleepstore_job_last_run_timestamp_seconds", "When this process last ran a job.", labels=["name"]
        )
        lag = GaugeMetricFamily("bleepstore_job_lag_seconds", "How long a job has been due.", labels=["name"])
        left = GaugeMetricFamily("bleepstore_job_left", "What a job knows and could not do yet.", labels=["name"])
        failed = GaugeMetricFamily("bleepstore_job_failed", "1: the last run of a job failed.", labels=["name"])
        for job in self._store.jobs.status():
            if job.last_run_ms is None:
                continue  # another process's
            last.add_metric([job.name], job.last_run_ms / 1000)
            lag.add_metric([job.name], max(0, now_ms - job.next_run_ms) / 1000)
            left.add_metric([job.name], job.left)
            failed.add_metric([job.name], job.error is not None)
        yield from (last, lag, left, failed)

    def _of_events(self) -> Iterator[Metric]:
        now_ms = self._store.wall_time_ms()
        waiting = GaugeMetricFamily("bleepstore_events_waiting", "Events that wait.", labels=["destination"])
        lag = GaugeMetricFamily("bleepstore_events_lag_seconds", "Age of the oldest of them.", labels=["destination"])
        dropped = CounterMetricFamily(
            "bleepstore_events_dropped", "Events given up since too many waited.", labels=["destination"]
        )
        with self._store.engine.catalog.read() as reader:
            found = reader.outbox()
        for one in found:
            waiting.add_metric([one.destination], one.count)
            lag.add_metric([one.destination], 0 if one.oldest_ms is None else max(0, now_ms - one.oldest_ms) / 1000)
            dropped.add_metric([one.destination], one.dropped)
        yield from (waiting, lag, dropped)

    def _of_cluster(self) -> Iterator[Metric]:
        status = self._store.cluster_status()
        if status is not None:
            yield from metrics_of(status)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"bleepstore_{name}", text, value)
