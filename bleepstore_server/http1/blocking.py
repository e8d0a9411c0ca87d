"""What a disk may hold for long, such as opening a blob and reading it.

The task that wants it pauses, and another thread of the pool does it: so a file that hangs holds the request that needs
it, and none that is paused in the same thread, which is the loop's or was. Where none is, and nothing hangs, the task
does it by itself: two threads that take the interpreter from each other cost as much as half of the request.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from bleepstore.errors import SlowDown
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.tasks import Pool, Task, current_task


class BlockingCalls:
    """Makes calls that tasks wait for, in the threads of a pool."""

    def __init__(self, loop: Loop, pool: Pool) -> None:
        self._loop = loop
        self._pool = pool

    def run(self, call: Callable[[], object]) -> None:
        """Return once `call` has; raises what it raises, and SlowDown if all threads are held for too long."""
        task, loop = current_task(), self._loop
        if task is None or (task.hub.task_count == 1 and not (loop.careful and task.hub is loop.leader)):
            call()
            return
        self._pool.start(partial(self._make, task, partial(copy_context().run, call)), partial(self._give_up, task))
        task.pause()

    def _make(self, task: Task, call: Callable[[], object]) -> None:
        outcome: BaseException | None = None
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the task raises it
            outcome = error
        self._loop.post(partial(self._loop.switch, task, outcome))

    def _give_up(self, task: Task) -> None:
        refusal = SlowDown("All threads wait for a disk that does not answer.")
        self._loop.post(partial(self._loop.switch, task, refusal))
