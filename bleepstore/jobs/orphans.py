"""Orphans: the blobs that no command ever brought in, because a process died in between.

To tell an orphan from a blob whose command is on its way, a pass first commits `BeginSweep(until)`: from then on every
command with a blob from before `until` is refused. What is older than that and unreferenced is an orphan for good. The
next pass starts where this one ended, so its cost follows the activity since, not the size of the store.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import attrs

from bleepstore.backends.gateway.retry import Outage
from bleepstore.commands import BeginSweep, EndSweep
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.removing import Remover
from bleepstore.model import UploadToken

#: How long a write may take from the end of its bytes to its commit. Only a process that was stopped exceeds it.
GRACE_MS = 10 * 60 * 1000
#: A pass looks back a little beyond the end of the last one: clocks of several processes differ.
OVERLAP_MS = 5 * 60 * 1000
_INTERVAL_MS = 60_000
_END_OF_TIME = 1 << 62


#: Moves an orphan that may be needed, and says whether it did.
SetAside = Callable[[str], bool]


@attrs.define
class _Pass:
    until_ms: int
    found: Iterator[str | UploadToken]
    set_aside: SetAside | None
    outage: Outage = attrs.field(factory=Outage)
    all_gone: bool = True


class OrphansJob(Job):
    """Removes the blobs that no command brought in. If one is busy, the next pass looks from there again."""

    name = "orphans"

    def __init__(self, parts: Parts, remover: Remover) -> None:
        self._parts = parts
        self._remover = remover
        self._pass: _Pass | None = None
        self._begin: Callable[[], _Pass] = self._begin_pass
        self._keeps: Callable[[], bool] = lambda: False

    @property
    def first_wait_ms(self) -> int:
        return _INTERVAL_MS

    def keep_while(self, condition: Callable[[], bool]) -> None:
        """As long as it holds, remove no blob for the reason that this catalog does not know it: it may be another's,
        or about to be adopted."""
        self._keeps = condition

    def restart(self, grace_ms: int = GRACE_MS, *, set_aside: SetAside | None = None, everywhere: bool = False) -> None:
        """Begin a pass with the next run. Without other processes, a grace of 0 finds every orphan.

        Who has no write under way gives `set_aside`. `everywhere` looks at the blobs of all times.
        """
        self._pass = None
        self._begin = functools.partial(self._begin_pass, grace_ms, set_aside, everywhere)

    def run(self, budget: Budget) -> Ran:
        is_done = self._keeps()
        if not is_done:
            if self._pass is None:
                self._pass, self._begin = self._begin(), self._begin_pass
            is_done = self._run_pass(self._pass, budget)
        if is_done:
            self._pass = None
        return Ran(is_done, _INTERVAL_MS if is_done else 0)

    def _begin_pass(
        self, grace_ms: int = GRACE_MS, set_aside: SetAside | None = None, everywhere: bool = False
    ) -> _Pass:
        parts = self._parts
        until = parts.clock() - grace_ms
        parts.submit(BeginSweep(**parts.stamp(), until_ms=until))
        with parts.catalog.read() as reader:
            _begun, ended = reader.sweep_times()
        since = 0 if everywhere else max(ended - OVERLAP_MS, 0)
        before = until if set_aside is None else _END_OF_TIME
        return _Pass(until, parts.backend.iter_blobs(since, before), set_aside)

    def _run_pass(self, this: _Pass, budget: Budget) -> bool:
        """Whether it came to its end."""
        for found in this.found:
            budget.spend(items=1)
            with self._parts.catalog.read() as reader:
                referenced = reader.is_referenced(found)
            if not referenced:
                if self._keeps():
                    return True
                if isinstance(found, UploadToken):
                    is_gone = self._remover.remove([], found, this.outage)
                elif this.set_aside is not None and this.set_aside(found):
                    continue
                else:
                    is_gone = self._remover.remove([found], None, this.outage)
                this.all_gone = is_gone and this.all_gone
                budget.changed += is_gone
            if budget.is_spent:
                return False
        if this.all_gone:
            self._parts.submit(EndSweep(**self._parts.stamp(), until_ms=this.until_ms))
        return True
