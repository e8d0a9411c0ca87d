"""Functions that wait for a client, or for a commit, without keeping a thread.

A task runs in the thread of its hub until it ends or pauses; the hub then goes on with others, and switches back when
somebody resumes the task. Each thread of the pool is a hub; one of them leads the event loop. A task never leaves its
thread, so that what it has locked stays its own: but it must not pause with a lock held that other tasks of its thread
may take.

Greenlets do this: an app that speaks WSGI can only wait within a call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

_log = logging.getLogger("bleepstore.server")

#: If no thread of the pool has taken anything for so long, they count as held by a disk or a provider: at once if all
#: together have used less than a part of a processor meanwhile, for who computes or is kept from it by others is merely
#: slow. Then there are as many more of them, up to so many times the number that was asked for.
_IDLE_SECONDS, _IDLE_PART = 0.1, 0.02
_HELD_SECONDS = 1.0
_MAX_TIMES = 8
#: So long a call waits for a thread once there are as many as there may be: if all of them hang, and if they are slow.
_WAIT_SECONDS, _PATIENT_SECONDS = 5.0, 60.0
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
        #: What `time.clock_gettime` tells its processor time by, once it runs.
        self.clock: int | None = None
        #: Whether it leads the loop.
        self.leads = False

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
        if hasattr(time, "pthread_getcpuclockid"):
            self.clock = time.pthread_getcpuclockid(threading.get_ident())
        while (call := self._pool.next_call(self)) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001  # a fault of ours ends one call, and no thread
                _log.exception("a call failed in a thread of the pool")


class Pool:
    """Threads for what may take long. Each has one thing to do at a time, and any number of tasks that wait."""

    def __init__(self, size: int) -> None:
        self.lock = threading.Lock()
        self._size = size
        #: Threads beside the `_size`: that of the loop, and those for threads that are held.
        self._extra = 0
        self._relief = 0
        self._threads: set[PoolThread] = set()
        self._idle: list[PoolThread] = []
        #: Calls that wait for a thread, what to call if none comes in time, and since when they wait.
        self._new: deque[tuple[Callable[[], object], Callable[[], object], float]] = deque()
        self._taken = 0
        #: What was taken, and since when it is no more; what the threads had computed, and when.
        self._looked_at = (0, 0.0)
        self._computed = (0.0, 0.0)
        #: When something was taken or computed last.
        self._busy_at = 0.0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._new)

    @property
    def thread_count(self) -> int:
        return len(self._threads)

    def start(self, call: Callable[[], object], give_up: Callable[[], object]) -> None:
        """Run `call` as a task in one of the threads. If all are held for too long, `relieve` calls `give_up`
        instead."""
        with self.lock:
            self._new.append((call, give_up, time.monotonic()))
            if self._idle:
                self._idle.pop().wake.notify()
            elif len(self._threads) < self._size + self._extra + self._relief:
                self._start_thread()

    def lead(self, call: Callable[[PoolThread], object]) -> None:
        """Have one thread more, and run `call` in it and in no task."""
        with self.lock:
            self._extra += 1
            thread = self._idle.pop() if self._idle else self._start_thread()
            thread.inbox.append(partial(self._lead, thread, call))
            thread.wake.notify()

    def _lead(self, thread: PoolThread, call: Callable[[PoolThread], object]) -> None:
        thread.leads = True
        try:
            call(thread)
        finally:
            thread.leads = False
            with self.lock:
                self._extra -= 1

    def _start_thread(self) -> PoolThread:
        thread = PoolThread(self)
        self._threads.add(thread)
        thread.start()
        return thread

    def relieve(self) -> None:
        """Have more threads if all seem to be held, or give up what has waited for too long for one where there may be
        no more. Called several times a second."""
        late: list[Callable[[], object]] = []
        with self.lock:
            now = time.monotonic()
            if self._relief and len(self._idle) > self._size:  # those that are not held are enough without them
                self._relief -= self._size
                for thread in self._idle:
                    thread.wake.notify()
            if not self._new or self._looked_at[0] != self._taken:
                self._look(now)
            elif self._are_held(now):
                if self._relief < self._size * (_MAX_TIMES - 1):
                    self._look(now)
                    self._relief += self._size
                    for _ in range(min(self._size, len(self._new))):
                        self._start_thread()
                else:
                    patience = _WAIT_SECONDS if now - self._busy_at > _WAIT_SECONDS else _PATIENT_SECONDS
                    while self._new and now - self._new[0][2] > patience:
                        late.append(self._new.popleft()[1])
        for give_up in late:
            give_up()

    def _look(self, now: float) -> None:
        self._looked_at = (self._taken, now)
        self._computed = (self._processor_time() if self._new else 0.0, now)
        self._busy_at = now

    def _are_held(self, now: float) -> bool:
        """Whether a disk or a provider seems to hold the threads, which have taken nothing since the last look."""
        before, since = self._computed
        if now - since < _IDLE_SECONDS:
            return False
        computed = self._processor_time()
        self._computed = (computed, now)
        if computed - before >= _IDLE_PART * (now - since):
            self._busy_at = now
        return self._busy_at < now or now - self._looked_at[1] > _HELD_SECONDS

    def _processor_time(self) -> float:
        """Seconds that the threads have computed, but for who leads the loop. Where the system does not tell, all of
        the process."""
        if not hasattr(time, "pthread_getcpuclockid"):
            return time.process_time()
        clocks = [thread.clock for thread in self._threads if not thread.leads]
        return sum(time.clock_gettime(clock) for clock in clocks if clock is not None)

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
                if len(self._threads) > self._size + self._extra + self._relief and not thread.task_count:
                    break
                self._idle.append(thread)
                thread.wake.wait()
                if thread in self._idle:
                    self._idle.remove(thread)
            self._threads.discard(thread)
        return None

    def close(self) -> None:
        """Have the threads end when they have nothing to do at the moment. Tasks that wait are dropped."""
        with self.lock:
            self._closed = True
            for thread in self._idle:
                thread.wake.notify()
