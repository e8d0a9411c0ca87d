"""The job that delivers events: in the process that has the lease, it keeps the threads running that do."""

from __future__ import annotations

from bleepstore.jobs.deliveries import Deliveries
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.lease import Lease

#: How often the outbox is looked at though nobody said that there is anything in it.
_POLL_MS = 2000


class EventsJob(Job):
    """A run wakes the threads and waits for none of them; a whole pass, that somebody asks for, returns once what waits
    was sent, or could not be. Where another process has the lease it does nothing."""

    name = "events"

    def __init__(self, deliveries: Deliveries, lease: Lease) -> None:
        self._deliveries = deliveries
        self._lease = lease
        self._is_asked = False
        self._sent = 0

    @property
    def left(self) -> int:
        return self._deliveries.waiting

    def restart(self) -> None:
        self._is_asked = True

    def run(self, budget: Budget) -> Ran:
        if self._lease.acquire():
            self._deliveries.start()
            if self._is_asked:
                self._deliveries.finish()
            else:
                self._deliveries.wake()
            sent = self._deliveries.carried
            budget.spend(items=sent - self._sent)
            budget.changed += sent - self._sent
            self._sent = sent
        self._is_asked = False
        return Ran(is_done=True, wait_ms=_POLL_MS)
