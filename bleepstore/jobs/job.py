"""What a job is, what it may spend in one run, and what can be seen of it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar

import attrs

#: What one run may look at, before the next job has its turn.
RUN_ITEMS = 1000
RUN_BYTES = 64 * 1024 * 1024


@attrs.define
class Budget:
    """What one run may spend. The job counts what it looks at, and ends its run once that is enough."""

    items: float = RUN_ITEMS
    bytes: float = RUN_BYTES
    is_stopped: Callable[[], bool] = lambda: False
    examined: int = attrs.field(default=0, init=False)
    changed: int = attrs.field(default=0, init=False)

    def spend(self, *, items: int = 0, bytes: int = 0) -> None:  # as the attribute
        """Count what was looked at."""
        self.examined += items
        self.items -= items
        self.bytes -= bytes

    @property
    def is_spent(self) -> bool:
        """Whether the run should end here, and go on later."""
        return self.items <= 0 or self.bytes <= 0 or self.is_stopped()


@attrs.frozen
class Ran:
    """What a run came to: whether the pass is over, and after how many milliseconds the next run is due."""

    is_done: bool
    wait_ms: int


class Job(abc.ABC):
    """Something that a store does again and again. The runs of all jobs of a store come one after the other."""

    #: What `Jobs.run` and the status call it.
    name: ClassVar[str]
    #: Whether only the process that holds the lease of the store runs it. One that works on what only its own process
    #: knows needs no lease.
    needs_lease: ClassVar[bool] = True
    #: Whether it changes anything, which a store that is read-only does not.
    writes: ClassVar[bool] = True
    #: Whether the end of a pass is remembered when the process ends, since `interval_ms` is long.
    is_remembered: ClassVar[bool] = False
    interval_ms: int = 0
    #: The job that gives this one work: it is due whenever that one has changed something.
    follows: ClassVar[str | None] = None

    @property
    def first_wait_ms(self) -> int:
        """How long after the store was opened the first run is due."""
        return 0

    @property
    def left(self) -> int:
        """How many things it knows that could not be done yet."""
        return 0

    @abc.abstractmethod
    def restart(self) -> None:
        """Begin a whole pass with the next run: somebody asked for it."""

    @abc.abstractmethod
    def run(self, budget: Budget) -> Ran:
        """Do some work. What it raises is logged, and the job is tried again."""


@attrs.frozen(kw_only=True)
class JobStatus:
    """What can be seen of a job. Times are milliseconds of the store's clock."""

    name: str
    last_run_ms: int | None
    """When it was last run; None if it was not yet."""
    next_run_ms: int
    """When it is due."""
    is_under_way: bool
    """Whether the last run ended in the middle of a pass."""
    examined: int
    """What the present or last pass has looked at: blobs, uploads, objects."""
    changed: int
    """What it has removed, or found."""
    left: int
    """What it knows and could not do yet."""
    error: str | None
    """Why the last run failed; None if it did not."""
