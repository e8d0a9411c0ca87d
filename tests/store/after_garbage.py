"""An event for what a store's jobs did in their thread, so that no test need look again and again."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore.jobs.job import Budget, Job, Ran

#: Not by the clock.
_NEVER_MS = 1 << 42
#: How long a busy machine may take, in seconds.
PATIENCE = 60.0


class AfterGarbage(Job):
    """Runs whenever garbage was removed: by the process alone that holds the lease, and after the job that did it."""

    name = "after garbage"
    follows = "garbage"
    writes = False

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell

    @property
    def first_wait_ms(self) -> int:
        return _NEVER_MS

    def restart(self) -> None:
        """It has no passes."""

    def run(self, budget: Budget) -> Ran:
        self._tell()
        return Ran(is_done=True, wait_ms=_NEVER_MS)
