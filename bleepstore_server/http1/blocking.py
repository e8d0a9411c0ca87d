"""What a disk may hold for long, such as opening a blob and reading it.

The task that wants it pauses, and another thread of the pool does it: so a file that hangs holds the request that needs
it, and none that is paused in the same thread, which is the loop's or was. Where none is, and nothing hangs, the task
does it by itself: two threads that take the interpreter from each other cost as much as half of the request. But not
where that is slow, as on a disk that turns: all requests of the loop would wait for one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from bleepstore.errors import SlowDown
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.pace import Pace
from bleepstore_server.http1.tasks import Pool, Task, current_task

#: How long others make the calls, where the loop's thread was slow, before it tries again.
_SLOW_SECONDS = 1.0


class BlockingCalls:
    """Makes calls that tasks wait for, in the threads of a pool."""

    def __init__(self, loop: Loop, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._pool = pool
        self._clock = clock
        #: Of the calls in the loop's thread since others made them.
        self._pace = Pace()
        self._slow_until = 0.0

    def run(self, call: Callable[[], object]) -> None:
        """Return once `call` has; raises what it raises, and SlowDown if all threads are held for too long."""
        task, loop = current_task(), self._loop
        if task is None or (task.hub.task_count == 1 and task.hub is not loop.leader):
            call()
            return
        if task.hub.task_count == 1 and not loop.careful and (begun := self._clock()) >= self._slow_until:
            call()
            self._measure(begun)
            return
        self._pool.start(partial(self._make, task, partial(copy_context().run, call)), partial(self._give_up, task))
        task.pause()

    def _measure(self, begun: float) -> None:
        now = self._clock()
        self._pace.note(now - begun)
        if self._pace.is_slow:
            self._pace = Pace()
            self._slow_until = now + _SLOW_SECONDS

    def _make(self, task: Task, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the task raises it
            self._end(task, error)
        else:
            self._end(task)

    def _end(self, task: Task, outcome: BaseException | None = None) -> None:
        self._loop.post(partial(self._loop.switch, task, outcome))

    def _give_up(self, task: Task) -> None:
        self._end(task, SlowDown("All threads wait for a disk that does not answer."))
