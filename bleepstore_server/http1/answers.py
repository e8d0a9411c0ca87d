"""Answers that something has to be written for before they leave: what the audit log gets of quick requests.

The answers of a round that wait for it are held. At its end all is written together, and then they are sent: what a
client was told is in the log, whatever becomes of the worker.
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
        self._items: deque[T] = deque()
        self._held: deque[Callable[[], object]] = deque()
        self._ready: deque[Callable[[], object]] = deque()
        #: Of whom an item was added last, and no answer held yet.
        self.adder: Task | None = None
        loop.after_round.append(self.flush)

    def add(self, item: T) -> bool:
        """Have an item written with those of others, before the answer of the task that calls this; False, and it is
        not, in every thread but the loop's."""
        task = current_task()
        if task is None or task.hub is not self._loop.leader:
            return False
        self._items.append(item)
        self.adder = task
        return True

    def hold(self, send: Callable[..., object], *arguments: object) -> bool:
        """Have an answer sent later, by a task of its own, if its task has added something: whether that is so."""
        task = self.adder
        if task is None or task is not current_task():
            return False
        self.adder = None
        self._held.append(partial(send, *arguments))
        if task.hub is not self._loop.leader:  # it hung a moment ago
            self._loop.post(_nothing)
        return True

    def flush(self) -> None:
        """Have what was added written, and send the answers that were held for it."""
        if self._held:
            held = [self._held.popleft() for _ in range(len(self._held))]  # what these added is among the items
            items = [self._items.popleft() for _ in range(len(self._items))]
            self._loop.offer(partial(self._write_all, items, held))
        while self._ready:  # more than once, if one of them has to wait for its client
            self._loop.begin(self._send_ready)

    def _write_all(self, items: Sequence[T], held: Sequence[Callable[[], object]]) -> None:
        try:
            self._write(items)
        except Exception:  # noqa: BLE001  # a fault of ours keeps back no answer
            _log.exception("what goes before the answers of a round could not be written")
        self._ready.extend(held)
        self._loop.post(_nothing)  # if it hung, another thread leads now: its rounds end with a flush

    def _send_ready(self) -> None:
        while self._ready:
            self._ready.popleft()()


def _nothing() -> None: ...
