"""Scrubs of a folder, again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import attrs

from bleepstore.errors import Damage
from bleepstore.jobs.job import Budget, Job, Ran

#: The interval of scrubs that are only done when somebody asks for one: a hundred years.
WHEN_ASKED_MS = 100 * 365 * 24 * 3600 * 1000
_log = logging.getLogger("bleepstore.scrub")


@attrs.frozen
class ScrubStep:
    """One step of a scrub: bytes that were read, the end of an object or a part of so many bytes, or damage."""

    read: int = 0
    ended: int | None = None
    damage: Damage | None = None


class ScrubJob(Job):
    """Reads everything whenever `interval_ms` has passed since the last scrub ended, `rate` bytes a second at the most.

    What is damaged is logged, not moved. A scrub that was cut off begins anew."""

    name = "scrub"
    writes = False
    is_remembered = True

    def __init__(self, steps: Callable[[], Iterator[ScrubStep]], interval_ms: int, rate: float | None) -> None:
        self._steps = steps
        self._rate = rate
        self._pass: Iterator[ScrubStep] | None = None
        self._found = 0
        self.interval_ms = interval_ms

    @property
    def first_wait_ms(self) -> int:
        return self.interval_ms if self.interval_ms == WHEN_ASKED_MS else 0

    def restart(self) -> None:
        self._pass = None

    def run(self, budget: Budget) -> Ran:
        if self._pass is None:
            self._pass, self._found = self._steps(), 0
        if self._rate is not None:
            budget.bytes = min(budget.bytes, self._rate)  # a second's worth
        read = 0
        for step in self._pass:
            read += step.read
            budget.spend(items=step.ended is not None, bytes=step.read)
            if step.damage is not None:
                _log.error("damaged: %s", step.damage)
                self._found += 1
                budget.changed += 1
            if budget.is_spent:
                return Ran(is_done=False, wait_ms=0 if self._rate is None else int(1000 * read / self._rate))
        self._pass = None
        _log.log(logging.ERROR if self._found else logging.INFO, "a scrub ended: %d damaged", self._found)
        return Ran(is_done=True, wait_ms=self.interval_ms)
