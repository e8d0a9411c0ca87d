"""Access logs: what was kept of them goes to the buckets where it belongs."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.log_spool import LogSpool, SpooledFile

_INTERVAL_MS = 300_000


class AccessLogsJob(Job):
    """Delivers what is complete, every five minutes. Each process delivers its own lines, and those of processes that
    ended without doing so. What cannot be delivered for now is kept, and tried again.

    `deliver` gives how many lines it could deliver; None: the store is gone.
    """

    name = "access-logs"
    needs_lease = False
    interval_ms = _INTERVAL_MS

    def __init__(self, spool: LogSpool, deliver: Callable[[SpooledFile], int | None]) -> None:
        self._spool = spool
        self._deliver = deliver

    @property
    def first_wait_ms(self) -> int:
        return _INTERVAL_MS

    def restart(self) -> None:
        """There is nothing to begin anew."""

    def run(self, budget: Budget) -> Ran:
        for file in self._spool.complete():
            if budget.is_spent:
                return Ran(is_done=False, wait_ms=0)
            delivered = self._deliver(file)
            if delivered is None:
                break
            budget.spend(items=len(file.lines), bytes=sum(len(one.line) for one in file.lines))
            budget.changed += delivered
        return Ran(is_done=True, wait_ms=_INTERVAL_MS)
