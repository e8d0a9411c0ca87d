"""Functions that wait for a client, or for a commit, without keeping a thread.

A task runs in the thread of its hub until it ends or pauses; the hub then goes on with others, and switches back when
somebody resumes the task. Each thread of the pool is a hub; one of them leads the event loop. A task never leaves its
thread, so that what it has locked stays its own: but it must not pause with a lock held that other tasks of its thread
may take.

Greenlets do this: an app that speaks WSGI can only wait within a call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

#: So long no thread of the pool has to have taken anything, before they count as held by a disk or a provider. Then
#: there are as many more of them, up to so many times the number that was asked for.
_HELD_SECONDS = 1.0
_MAX_TIMES = 8
#: So long a call waits for a thread once there are as many as there may be.
_WAIT_SECONDS = 5.0
#: How many tasks of a thread wait for another call.
_MAX_IDLE_TASKS = 32


class Task(greenlet):
    """Carries out a call that may pause: `PoolThread.make_task` has it begin with `switch()`, in the thread of its hub.
    When that has ended it waits for another: a new greenlet has the system give and take memory for its frames."""

    def __init__(self, hub: PoolThread) -> None:
        super().__init__()
        self.hub = hub
        self.call: Callable[[], object] | None = None

    def run(self) -> None:
        hub = self.hub
        while self.call is not None:
            hub.task_count += 1
            try:
                self.call()
            finally:
                hub.task_count -= 1
                self.call = None
            if len(hub.idle_tasks) < _MAX_IDLE_TASKS:
                hub.idle_tasks.append(self)
                self.pause()

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
    """None in a thread that is not of a pool."""
    current = getcurrent()
    return current if isinstance(current, Task) else None


class PoolThread(threading.Thread):
    """A thread of the pool, and the hub of its tasks."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(name="bleepstore-pool", daemon=True)
        self._pool = pool
        self.inbox: deque[Callable[[], object]] = deque()
        self.wake = threading.Condition(pool.lock)
        #: Tasks that have begun here and have not ended.
        self.task_count = 0
        self.idle_tasks: list[Task] = []

    def post(self, call: Callable[[], object]) -> None:
        """Have the thread call this soon. Any thread may post."""
        with self.wake:
            self.inbox.append(call)
            self.wake.notify()

    def make_task(self, call: Callable[[], object]) -> Task:
        """A task of this thread, called by itself, that has to begin."""
        task = self.idle_tasks.pop() if self.idle_tasks else Task(self)
        task.call = call
        return task

    def run(self) -> None:
        while (call := self._pool.next_call(self)) is not None:
            call()


class Pool:
    """Threads for what may take long. Each has one thing to do at a time, and any number of tasks that wait."""

    def __init__(self, size: int) -> None:
        self.lock = threading.Lock()
        self._size = size
        #: Threads beside the `_size`: that of the loop, and those for threads that are held.
        self._extra = 0
        self._relief = 0
        self._count = 0
        self._idle: list[PoolThread] = []
        #: Calls that wait for a thread, what to call if none comes in time, and since when they wait.
        self._new: deque[tuple[Callable[[], object], Callable[[], object], float]] = deque()
        self._taken = 0
        self._looked_at = (0, 0.0)
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._new)

    @property
    def thread_count(self) -> int:
        return self._count

    def start(self, call: Callable[[], object], give_up: Callable[[], object]) -> None:
        """Run `call` as a task in one of the threads. If all are held for too long, `relieve` calls `give_up`
        instead."""
        with self.lock:
            self._new.append((call, give_up, time.monotonic()))
            if self._idle:
                self._idle.pop().wake.notify()
            elif self._count < self._size + self._extra + self._relief:
                self._start_thread()

    def lead(self, call: Callable[[PoolThread], object]) -> None:
        """Have one thread more, and run `call` in it and in no task."""
        with self.lock:
            self._extra += 1
            thread = self._idle.pop() if self._idle else self._start_thread()
            thread.inbox.append(partial(self._lead, thread, call))
            thread.wake.notify()

    def _lead(self, thread: PoolThread, call: Callable[[PoolThread], object]) -> None:
        try:
            call(thread)
        finally:
            with self.lock:
                self._extra -= 1

    def _start_thread(self) -> PoolThread:
        self._count += 1
        thread = PoolThread(self)
        thread.start()
        return thread

    def relieve(self) -> None:
        """Have more threads if all seem to be held, or give up what has waited for too long for one where there may be
        no more. Called several times a second."""
        late: list[Callable[[], object]] = []
        with self.lock:
            now = time.monotonic()
            taken, since = self._looked_at
            if self._relief and len(self._idle) > self._size:  # those that are not held are enough without them
                self._relief -= self._size
                for thread in self._idle:
                    thread.wake.notify()
            is_full = self._relief >= self._size * (_MAX_TIMES - 1)
            if not self._new or taken != self._taken:
                self._looked_at = (self._taken, now)
            elif now - since > _HELD_SECONDS and not is_full:
                self._looked_at = (self._taken, now)
                self._relief += self._size
                for _ in range(min(self._size, len(self._new))):
                    self._start_thread()
            while is_full and self._new and now - self._new[0][2] > _WAIT_SECONDS:
                late.append(self._new.popleft()[1])
        for give_up in late:
            give_up()

    def next_call(self, thread: PoolThread) -> Callable[[], object] | None:
        """What a thread does next: what it has begun goes first. None ends it."""
        with self.lock:
            while not self._closed:
                if thread.inbox:
                    if self._new and self._idle:  # it may have been woken for that
                        self._idle.pop().wake.notify()
                    return thread.inbox.popleft()
                if self._new:
                    self._taken += 1
                    return thread.make_task(self._new.popleft()[0]).switch
                if self._count > self._size + self._extra + self._relief and not thread.task_count:
                    break
                self._idle.append(thread)
                thread.wake.wait()
                if thread in self._idle:
                    self._idle.remove(thread)
            self._count -= 1
        return None

    def close(self) -> None:
        """Have the threads end when they have nothing to do at the moment. Tasks that wait are dropped."""
        with self.lock:
            self._closed = True
            for thread in self._idle:
                thread.wake.notify()
