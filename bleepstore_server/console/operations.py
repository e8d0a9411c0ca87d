"""How the store is: figures, quotas, jobs and the cluster. For the administrator alone."""

from __future__ import annotations

import os
import sys

import attrs
from werkzeug.wrappers import Response

import bleepstore
from bleepstore.quotas import QuotaScope
from bleepstore_server.console.answers import json_answer
from bleepstore_server.console.figures import figures_of
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError


def show_status(visit: Visit) -> Response:
    visit.check_administrator()
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
        first=attrs.asdict(figures_of(visit)),
        facts=facts,
        destinations=store.event_destinations(),
        section="status",
    )


def status_figures(visit: Visit) -> Response:
    visit.check_administrator()
    return json_answer(attrs.asdict(figures_of(visit)))


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
    scope = visit.field("scope")
    target = {scope if scope in set(QuotaScope) else QuotaScope.BUCKET.value: visit.field("name").strip()}
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
    """What the node of this store is at, and what it knows of the others. A store on one node says so."""
    visit.check_administrator()
    return visit.page("cluster.html", status=visit.store.cluster_status(), section="cluster")
