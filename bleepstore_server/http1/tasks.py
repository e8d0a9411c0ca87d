"""Functions that wait for a client, or for a commit, without keeping a thread.

A task runs in the thread of its hub until it ends or pauses; the hub then goes on with others, and switches back when
somebody resumes the task. The event loop is a hub; each thread of the pool is one. A task never leaves its thread, so
that what it has locked stays its own: but it must not pause with a lock held that other tasks of its thread may take.

Greenlets do this: an app that speaks WSGI can only wait within a call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from greenlet import getcurrent, greenlet


class Hub(Protocol):
    """A thread that runs tasks."""

    def post(self, call: Callable[[], object]) -> None:
        """Have the hub call this soon. Any thread may post."""


class Task(greenlet):
    """A call that may pause. It begins with `switch()`, in the thread of its hub."""

    hub: Hub

    def __init__(self, hub: Hub, call: Callable[..., object], parent: greenlet | None = None) -> None:
        super().__init__(call, parent)
        self.hub = hub

    def pause(self) -> Any:
        """Let others run until `resume`; returns its outcome, or raises it if it is an exception."""
        assert self.parent is not None
        outcome = self.parent.switch()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def resume(self, outcome: object = None) -> None:
        """Have a paused task go on, from any thread."""
        self.hub.post(partial(self.switch, outcome))


def current_task() -> Task | None:
    """None in a thread that no hub runs."""
    current = getcurrent()
    return current if isinstance(current, Task) else None


class _Thread(threading.Thread):
    """A thread of the pool."""

    def __init__(self, pool: Pool, number: int) -> None:
        super().__init__(name=f"bleepstore-pool-{number}", daemon=True)
        self._pool = pool
        self.inbox: deque[Callable[[], object]] = deque()
        self.wake = threading.Condition(pool.lock)

    def post(self, call: Callable[[], object]) -> None:
        with self.wake:
            self.inbox.append(call)
            self.wake.notify()

    def run(self) -> None:
        while (call := self._pool.next_call(self)) is not None:
            call()


class Pool:
    """Threads for what may take long. Each has one thing to do at a time, and any number of tasks that wait."""

    def __init__(self, size: int) -> None:
        self.lock = threading.Lock()
        self._size = size
        self._count = 0
        self._idle: list[_Thread] = []
        self._new: deque[Callable[..., object]] = deque()
        self._closed = False

    def start(self, call: Callable[[], object]) -> None:
        """Run `call` as a task in one of the threads."""
        with self.lock:
            self._new.append(call)
            if self._idle:
                self._idle.pop().wake.notify()
            elif self._count < self._size:
                self._count += 1
                _Thread(self, self._count).start()

    def next_call(self, thread: _Thread) -> Callable[[], object] | None:
        """What a thread does next: what it has begun goes first. None ends it."""
        with self.lock:
            while not self._closed:
                if thread.inbox:
                    if self._new and self._idle:  # it may have been woken for that
                        self._idle.pop().wake.notify()
                    return thread.inbox.popleft()
                if self._new:
                    return Task(thread, self._new.popleft()).switch
                self._idle.append(thread)
                thread.wake.wait()
                if thread in self._idle:
                    self._idle.remove(thread)
        return None

    def close(self) -> None:
        """Have the threads end when they have nothing to do at the moment. Tasks that wait are dropped."""
        with self.lock:
            self._closed = True
            for thread in self._idle:
                thread.wake.notify()
