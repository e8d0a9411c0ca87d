"""Inventories that are due, of all buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from bleepstore.jobs.job import Budget, Job, Ran


@attrs.frozen
class InventoryStep:
    """Objects that were listed, or the end of an inventory: it was published, or why not."""

    listed: int = 0
    is_published: bool = False
    error: str | None = None


class InventoryJob(Job):
    """Makes, once an hour, the inventories that are due; somebody who asks for a pass gets all that are enabled.

    `steps` does the work, for all or for those that are due; None: the store is gone. A pass is cut off after any step,
    and goes on there. What the end of the process cuts off is made anew.
    """

    name = "inventory"
    interval_ms = 3600 * 1000

    def __init__(self, steps: Callable[[bool], Iterator[InventoryStep] | None]) -> None:
        self._steps = steps
        self._pass: Iterator[InventoryStep] | None = None
        self._is_for_all = False
        self._failed = 0

    @property
    def first_wait_ms(self) -> int:
        return 60_000

    @property
    def left(self) -> int:
        """How many inventories could not be published."""
        return self._failed

    def restart(self) -> None:
        self._pass, self._is_for_all = None, True

    def run(self, budget: Budget) -> Ran:
        if self._pass is None:
            self._pass, self._is_for_all, self._failed = self._steps(self._is_for_all), False, 0
        for step in self._pass or ():
            budget.spend(items=step.listed)
            budget.changed += step.is_published
            self._failed += step.error is not None
            if budget.is_spent:
                return Ran(is_done=False, wait_ms=0)
        self._pass = None
        return Ran(is_done=True, wait_ms=self.interval_ms)
