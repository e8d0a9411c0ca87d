"""What copies versions to other buckets: couriers, and the job that keeps them running."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator

import attrs

from bleepstore.catalog.port import CatalogReader
from bleepstore.commands import EndReplications, ReplicationOutcome
from bleepstore.errors import S3Error, StoreClosed, StoreError
from bleepstore.jobs.couriers import Courier, Couriers, pause_after
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.lease import Lease
from bleepstore.jobs.parts import Parts
from bleepstore.model import DAY_MS
from bleepstore.replication import ReplicationStatus, ReplicationTask

_log = logging.getLogger("bleepstore.replication")

#: How many tasks are read at once, in how many pages one that can be done is looked for, and how many are done before
#: that is noted.
_PAGE, _MAX_PAGES, _BATCH = 200, 50, 50
#: So many that fail one after the other are no matter of the objects.
_MAX_FAILURES = 3
#: How long it is tried to copy a version to a destination that is not there.
GIVE_UP_MS = DAY_MS
#: How often the tasks are looked at though nobody said that there are any.
_POLL_MS = 1000
#: What shows why a copy failed.
_MAX_ERROR = 500


@attrs.define
class _Aside:
    """A key whose oldest task failed: how often, and until when it waits, by the monotonic clock."""

    failures: int
    until: float


class ReplicationCourier(Courier):
    """Copies what waits for some destinations, of each key in the order of its versions.

    `destinations` gives their names. `copy` copies one version, or raises what may be over later. A key whose task
    fails waits, and others go on. `close` releases connections.
    """

    def __init__(
        self,
        parts: Parts,
        destinations: Callable[[CatalogReader], Collection[str]],
        copy: Callable[[ReplicationTask], ReplicationOutcome],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts = parts
        self._destinations = destinations
        self._copy = copy
        self._close = close
        self._aside: dict[tuple[str, int, str], _Aside] = {}

    def carry(self) -> float | None:
        with self._parts.catalog.read() as reader:
            names = self._destinations(reader)
        waits = [self._carry_to(name) for name in names]
        return min((wait for wait in waits if wait is not None), default=None)

    def _carry_to(self, destination: str) -> float | None:
        outcomes: list[ReplicationOutcome] = []
        blocked: set[tuple[str, int, str]] = set()
        failed = 0
        for task in self._waiting(destination):
            task_key = (destination, task.bucket_id, task.key)
            aside = self._aside.get(task_key)
            if task_key in blocked or (aside is not None and aside.until > time.monotonic()):
                blocked.add(task_key)
                continue
            outcome = self._try(task, task_key)
            if outcome is None:
                blocked.add(task_key)
                failed += 1
                if failed == _MAX_FAILURES:
                    break
            else:
                failed = 0
                outcomes.append(outcome)
                if len(outcomes) == _BATCH:
                    break
        if outcomes:
            stamp = self._parts.stamp()
            self._parts.submit(EndReplications(**stamp, destination=destination, outcomes=tuple(outcomes)))
            self.carried += len(outcomes)
            return 0
        if not blocked:
            return None
        waits = [one.until for task_key, one in self._aside.items() if task_key in blocked]
        return max(min(waits) - time.monotonic(), 0.01)

    def _waiting(self, destination: str) -> Iterator[ReplicationTask]:
        """The tasks of a destination, from the first: those of keys that wait may be many."""
        after = 0
        for _ in range(_MAX_PAGES):
            with self._parts.catalog.read() as reader:
                page = reader.waiting_replications(destination, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number

    def _try(self, task: ReplicationTask, task_key: tuple[str, int, str]) -> ReplicationOutcome | None:
        """None if it is to be tried again."""
        try:
            outcome = self._copy(task)
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a client raises, it is tried again
            reason = reason_of(error)
            self.error, self.failures = reason, self.failures + 1
            if self._parts.clock() - task.queued_ms < GIVE_UP_MS:
                known = self._aside.get(task_key)
                failures = 1 if known is None else known.failures + 1
                wait = pause_after(failures)
                self._aside[task_key] = _Aside(failures, time.monotonic() + wait)
                text = "%s/%s cannot be copied to %s, again in %.1f s: %s"
                _log.warning(text, task.bucket, task.key, task.destination, wait, reason)
                return None
            outcome = failed(task, reason)
        self._aside.pop(task_key, None)
        if outcome.status is ReplicationStatus.FAILED:
            text = "%s/%s is not copied to %s: %s"
            _log.warning(text, task.bucket, task.key, task.destination, outcome.error)
        return outcome

    def close(self) -> None:
        self._close()


def reason_of(error: BaseException) -> str:
    """Why a copy failed, as it is kept."""
    return (str(error) if isinstance(error, S3Error | StoreError) else f"{type(error).__name__}: {error}")[:_MAX_ERROR]


def failed(task: ReplicationTask, reason: str) -> ReplicationOutcome:
    return ReplicationOutcome(number=task.number, revision=task.revision, status=ReplicationStatus.FAILED, error=reason)


class ReplicationJob(Job):
    """A run wakes the couriers, in the process that has the lease; a whole pass, that somebody asks for, returns once
    what waits was copied, or could not be. Where nothing was ever to be copied no thread is started."""

    name = "replication"

    def __init__(self, couriers: Couriers, parts: Parts, lease: Lease) -> None:
        self._couriers = couriers
        self._parts = parts
        self._lease = lease
        self._is_asked = False
        self._carried = 0

    @property
    def first_wait_ms(self) -> int:
        return _POLL_MS

    @property
    def left(self) -> int:
        with self._parts.catalog.read() as reader:
            return sum(one.count for one in reader.count_replications())

    def restart(self) -> None:
        self._is_asked = True

    def run(self, budget: Budget) -> Ran:
        couriers = self._couriers
        if (couriers.is_running or self._has_work()) and self._lease.acquire():
            couriers.start()
            if self._is_asked:
                couriers.finish()
            else:
                couriers.wake()
            carried = couriers.carried
            budget.spend(items=carried - self._carried)
            budget.changed += carried - self._carried
            self._carried = carried
        self._is_asked = False
        return Ran(is_done=True, wait_ms=_POLL_MS)

    def _has_work(self) -> bool:
        with self._parts.catalog.read() as reader:
            return bool(reader.replication_destinations())
