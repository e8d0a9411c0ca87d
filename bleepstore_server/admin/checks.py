"""Whether the server is well: each check by itself, none of which can hang the answer.

A failure means that requests fail, and the answer is 503; a warning tells of what may become one, and is no reason to
send requests elsewhere. /healthz asks nothing: the process answers. /readyz asks what a write needs.
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

import attrs

import bleepstore
from bleepstore.backends.base import Gateway
from bleepstore.errors import BleepStoreError
from bleepstore.store import Store
from bleepstore_server.audit import AuditLog
from bleepstore_server.monitoring import is_ready

_log = logging.getLogger("bleepstore.server")

#: A check that takes longer has failed, as on a disk that hangs.
TIMEOUT_SECONDS = 5.0
#: Free bytes of a disk below which somebody should do something about it.
LOW_SPACE = 1024 * 1024 * 1024
#: Clocks of machines that are kept right differ by less.
_CLOCK_MS = 2000


class State(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@attrs.frozen(kw_only=True)
class Check:
    """What one check found. `detail` is a sentence where there is something to say."""

    state: State
    detail: str = ""
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Health:
    """The worst of the checks, and each of them by its name."""

    state: State
    version: str
    checks: Mapping[str, Check]


def _check_catalog(store: Store) -> Check:
    store.engine.check_catalog()
    return Check(state=State.OK)


def _check_space(store: Store) -> Check:
    folder = store.engine.folder
    if folder is None:
        return Check(state=State.OK, detail="in memory")
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    detail = f"{free // (1024 * 1024)} MiB are free"
    return Check(state=State.WARNING if free < LOW_SPACE else State.OK, detail=detail)


def _check_clock(store: Store) -> Check:
    ahead = store.engine.clock() - store.wall_time_ms()
    if ahead > _CLOCK_MS:
        detail = f"the system's clock was set back: it is {ahead / 1000:.0f} s behind what the store has seen"
        return Check(state=State.WARNING, detail=detail)
    return Check(state=State.OK)


def _check_jobs(store: Store) -> Check:
    failed = [f"{job.name}: {job.error}" for job in store.jobs.status() if job.error is not None]
    return Check(state=State.WARNING if failed else State.OK, detail="; ".join(failed))


def _check_backend(store: Store) -> Check:
    backend = store.engine.backend
    if isinstance(backend, Gateway):
        backend.check()
        return Check(state=State.OK, detail=backend.url)
    if store.path is not None and not store.path.is_dir():
        return Check(state=State.FAILURE, detail=f"the folder {store.path} is gone")
    return Check(state=State.OK)


def _check_cluster(store: Store) -> Check:
    status = store.cluster_status()
    if status is None:
        return Check(state=State.OK, detail="none")
    if status.trouble is not None:
        return Check(state=State.FAILURE, detail=status.trouble)
    if status.leader is None:
        return Check(state=State.FAILURE, detail=f"no leader of the cluster is known to the node {status.node}")
    silent = [member.id for member in status.members if member.is_heard_of is False]
    full = [member.id for member in status.members if member.is_low_on_space]
    found = [f"{what}: {', '.join(ids)}" for what, ids in (("silent", silent), ("low on space", full)) if ids]
    return Check(
        state=State.WARNING if found else State.OK, detail="; ".join(found) or f"{status.role} of {len(status.members)}"
    )


def _check_audit(audit: AuditLog | None) -> Check:
    if audit is None or not audit.is_failing():
        return Check(state=State.OK, detail="none is kept" if audit is None else "")
    detail = "the audit log cannot be written" + (", so changes are refused" if audit.refuses else "")
    return Check(state=State.FAILURE if audit.refuses else State.WARNING, detail=detail)


_CHECKS: Mapping[str, Callable[[Store], Check]] = {
    "catalog": _check_catalog,
    "free_space": _check_space,
    "clock": _check_clock,
    "jobs": _check_jobs,
    "backend": _check_backend,
}


class HealthChecks:
    """The checks of one store. Each runs in a thread of its own; one that still hangs is not begun again."""

    def __init__(self, store: Store, audit: AuditLog | None = None) -> None:
        self._store = store
        self._audit = audit
        self._checks = {**_CHECKS, "audit_log": lambda _store: _check_audit(audit)}
        if store.cluster_status() is not None:
            self._checks["cluster"] = _check_cluster
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def run(self) -> Health:
        """All checks, once; never longer than the timeout."""
        with self._lock:
            for name, check in self._checks.items():
                known = self._running.get(name)
                if known is None or known.found is not None:
                    self._running[name] = _Running(check, self._store)
            running = dict(self._running)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        checks = {name: one.wait(max(0.0, deadline - time.monotonic())) for name, one in running.items()}
        states = [check.state for check in checks.values()]
        worst = next((state for state in (State.FAILURE, State.WARNING) if state in states), State.OK)
        return Health(state=worst, version=bleepstore.__version__, checks=checks)

    def is_ready(self) -> bool:
        """Whether a write can be expected to succeed."""
        return is_ready(self._store, self._audit)


class _Running:
    """A check under way."""

    def __init__(self, check: Callable[[Store], Check], store: Store) -> None:
        self.found: Check | None = None
        self._begun = time.monotonic()
        self._done = threading.Event()
        thread = threading.Thread(target=self._run, args=(check, store), name="bleepstore-health", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # there is none to be had, which is worth knowing too
            self.found = Check(state=State.FAILURE, detail=str(error))
            self._done.set()

    def _run(self, check: Callable[[Store], Check], store: Store) -> None:
        try:
            found = check(store)
        except (BleepStoreError, OSError) as error:
            found = Check(state=State.FAILURE, detail=str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what the check found
            _log.error("a health check failed", exc_info=error)
            found = Check(state=State.FAILURE, detail=type(error).__name__)
        self.found = attrs.evolve(found, seconds=round(time.monotonic() - self._begun, 6))
        self._done.set()

    def wait(self, seconds: float) -> Check:
        if self._done.wait(seconds) and self.found is not None:
            return self.found
        waited = time.monotonic() - self._begun
        return Check(state=State.FAILURE, detail=f"no answer for {waited:.0f} s", seconds=round(waited, 6))
