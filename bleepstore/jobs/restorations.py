"""Tells of archived objects when they can be read."""

from __future__ import annotations

from bleepstore.commands import MAX_RESTORATIONS, EndRestorations
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.parts import Parts

_INTERVAL_MS = 60_000


class RestorationsJob(Job):
    """Records the events of restorations that end some time after they were asked for."""

    name = "restorations"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def first_wait_ms(self) -> int:
        return _INTERVAL_MS

    def restart(self) -> None:
        """Each run is a whole pass."""

    def run(self, budget: Budget) -> Ran:
        now_ms = self._parts.clock()
        while (next_ms := self._next_ms()) is not None and next_ms <= now_ms:
            self._parts.submit(EndRestorations(**self._parts.stamp(), until_ms=now_ms))
            budget.spend(items=MAX_RESTORATIONS)
            budget.changed += 1
            if budget.is_spent:
                return Ran(is_done=False, wait_ms=0)
        wait_ms = _INTERVAL_MS if next_ms is None else min(next_ms - now_ms, _INTERVAL_MS)
        return Ran(is_done=True, wait_ms=wait_ms)

    def _next_ms(self) -> int | None:
        with self._parts.catalog.read() as reader:
            return reader.next_restoration_ms()
