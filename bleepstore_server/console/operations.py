"""How the store is: figures, quotas, jobs and the cluster. For the administrator alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time

import attrs
from werkzeug.wrappers import Response

import bleepstore
from bleepstore.errors import BleepStoreError
from bleepstore.quotas import QuotaScope
from bleepstore_server.console.answers import json_answer
from bleepstore_server.console.pages import shown_count, shown_size
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

_STARTED = time.time()


@attrs.frozen(kw_only=True)
class Figures:
    """What the status page shows, and asks for again every few seconds. `free` and `total` are bytes of the file
    system of the store; None: it has none."""

    is_ready: bool
    free: int | None
    total: int | None
    catalog_bytes: int | None
    buckets: int
    damaged_reads: int
    jobs_failed: int
    uptime: int


def _figures(visit: Visit) -> Figures:
    store = visit.store
    try:
        store.ping()
        is_ready = True
    except (BleepStoreError, OSError):
        is_ready = False
    free = total = catalog = None
    if store.path is not None:
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(store.path)
            free, total = usage.free, usage.total
            catalog = sum(file.stat().st_size for file in store.path.glob("catalog.db*"))
    return Figures(
        is_ready=is_ready,
        free=free,
        total=total,
        catalog_bytes=catalog,
        buckets=sum(1 for _ in store.iter_buckets()),
        damaged_reads=store.damaged_reads,
        jobs_failed=sum(1 for job in store.jobs.status() if job.error is not None),
        uptime=round(time.time() - _STARTED),
    )


def _shown(visit: Visit, figures: Figures) -> dict[str, str]:
    texts = visit.pages.texts["status"]
    unknown = texts["unknown"]
    return {
        "is_ready": texts["ready"] if figures.is_ready else texts["not_ready"],
        "free": unknown if figures.free is None else shown_size(figures.free),
        "catalog_bytes": unknown if figures.catalog_bytes is None else shown_size(figures.catalog_bytes),
        "buckets": shown_count(figures.buckets),
        "damaged_reads": shown_count(figures.damaged_reads),
        "jobs_failed": shown_count(figures.jobs_failed),
        "uptime": _duration(figures.uptime),
    }


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    return f"{days} d {rest // 3600} h" if days else f"{rest // 3600} h {rest % 3600 // 60} min"


def show_status(visit: Visit) -> Response:
    visit.check_administrator()
    figures = _figures(visit)
    store = visit.store
    facts = {
        "version": bleepstore.__version__,
        "python": sys.version.split()[0],
        "process": str(os.getpid()),
        "store": repr(store),
        "region": visit.config.region,
        "read_only": visit.pages.texts["status"]["yes" if store.read_only else "no"],
    }
    return visit.page(
        "status.html",
        shown=_shown(visit, figures),
        facts=facts,
        destinations=store.event_destinations(),
        section="status",
    )


def status_figures(visit: Visit) -> Response:
    visit.check_administrator()
    return json_answer(_shown(visit, _figures(visit)))


# -- quotas


def show_quotas(visit: Visit) -> Response:
    visit.check_administrator()
    return visit.page(
        "quotas.html",
        quotas=visit.store.list_quotas(),
        rates=visit.store.list_rate_limits(),
        section="quotas",
    )


def put_quota(visit: Visit) -> Response:
    visit.check_administrator()
    name = visit.field("name").strip()
    target = {"bucket": name} if visit.field("scope") == QuotaScope.BUCKET else {"account": name}
    if visit.field("do") == "remove":
        visit.store.delete_quota(**target)
        return visit.go("quotas", done="quota_removed")
    visit.store.put_quota(**target, max_bytes=visit.number("max_bytes"), max_objects=visit.number("max_objects"))
    return visit.go("quotas", done="quota_saved")


# -- jobs


def show_jobs(visit: Visit) -> Response:
    visit.check_administrator()
    return visit.page("jobs.html", jobs=visit.store.jobs.status(), section="jobs")


def run_job(visit: Visit) -> Response:
    visit.check_administrator()
    name = visit.field("job")
    if name not in {job.name for job in visit.store.jobs.status()}:
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["choice"].format(name="job"))
    visit.store.jobs.run(name)
    return visit.go("jobs", done="job_ran")


# -- cluster


def show_cluster(visit: Visit) -> Response:
    """A store on one node says so; more is shown once stores on several can be opened."""
    visit.check_administrator()
    return visit.page("cluster.html", section="cluster")
