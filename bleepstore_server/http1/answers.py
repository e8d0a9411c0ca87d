"""Answers that something has to be written for before they leave: what the audit log gets of quick requests.

Each request is a task that pauses when its answer is ready. At the end of the round all that are ready are written
together, and then their answers are sent: what a client was told is in the log, whatever becomes of the worker.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.tasks import Task, current_task

_log = logging.getLogger("bleepstore.server")

T = TypeVar("T")


class GroupAnswers(Generic[T]):
    """Takes what is to be written of the tasks of a loop, and has it written by `write`."""

    def __init__(self, loop: Loop, write: Callable[[Sequence[T]], object]) -> None:
        self._loop = loop
        self._write = write
        self._queue: list[tuple[Task, T]] = []
        self._written: deque[Task] = deque()
        loop.after_round.append(self.flush)

    def add(self, item: T) -> bool:
        """Have an item written with those of others, for which the task of the loop pauses; False in every other
        thread."""
        task = current_task()
        if task is None or task.hub is not self._loop.leader:
            return False
        self._queue.append((task, item))
        task.pause()
        return True

    def flush(self) -> None:
        """Have what is queued written, and the tasks go on."""
        if self._queue:
            queue, self._queue = self._queue, []
            self._loop.offer(partial(self._write_all, queue))
        while self._written:
            self._loop.switch(self._written.popleft())

    def _write_all(self, queue: Sequence[tuple[Task, T]]) -> None:
        try:
            self._write([item for _task, item in queue])
        except Exception:  # noqa: BLE001  # a fault of ours keeps back no answer
            _log.exception("what goes before the answers of a round could not be written")
        self._written.extend([task for task, _item in queue])
        self._loop.post(_nothing)  # if it hung, another thread leads now: its rounds end with a flush


def _nothing() -> None: ...
