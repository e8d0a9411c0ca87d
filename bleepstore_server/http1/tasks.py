"""Functions that wait for a client, or for a commit, without keeping others from running.

A task runs in the thread of its hub until it ends or pauses; the hub then goes on with others, and switches back when
somebody resumes the task. Each thread of the pool is a hub; one of them leads the event loop. A task never leaves its
thread, so that what it has locked stays its own: but it must not pause with a lock held that other tasks of its thread
may take.

So a call that hangs holds all tasks of its thread. That is why a thread with a paused task takes no other call, as long
as there may be more threads. How many of them run at a time is another matter, and bounded: a task that pauses has its
thread give its turn to another.

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

#: If all threads that may run have been at the same for so long, they count as held by a disk or a provider: at once if
#: together they have used less than a part of a processor meanwhile, for who computes or is kept from it by others is
#: merely slow. Then as many more may run, up to so many times the number that was asked for. One thread counts as held
#: by itself once it has used less than that part for the longer time.
_IDLE_SECONDS, _IDLE_PART = 0.1, 0.02
_HELD_SECONDS = 1.0
_MAX_TIMES = 8
#: So long a call waits for its turn once as many run as may: if all of them hang, and if they are slow.
_WAIT_SECONDS, _PATIENT_SECONDS = 5.0, 60.0
#: How many threads there may be beside those that lead. Once all have paused tasks, they get others to it.
_MAX_THREADS = 256
#: A thread that has had nothing to do for so long, and that nobody needs, ends.
_KEEP_SECONDS = 2.0
#: What has begun goes first; but a call that waits has its turn after so many of these.
_MAX_IN_A_ROW = 8
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
            try:
                raise outcome
            finally:
                del outcome  # it has this frame, and with it all that the call that failed had open
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
        #: What it has to do when it is its turn.
        self.inbox: deque[Callable[[], object]] = deque()
        #: Locked while it is not its turn.
        self.turn = threading.Lock()
        self.turn.acquire()
        #: Tasks that have begun here and have not ended.
        self.task_count = 0
        self.idle_tasks: list[Task] = []
        #: How many seconds it has computed, once it runs; where the system does not tell, the whole process.
        self.processor_time: Callable[[], float] | None = None

    def post(self, call: Callable[[], object]) -> None:
        """Have the thread call this soon. Any thread may post."""
        self._pool.post(self, call)

    def make_task(self, call: Callable[[], object]) -> Task:
        """A task of this thread, called by itself, that has to begin."""
        task = self.idle_tasks.pop() if self.idle_tasks else Task(self)
        task.call = call
        return task

    def begin(self, call: Callable[[], object]) -> None:
        self.make_task(call).switch()

    def run(self) -> None:
        clock = getattr(time, "pthread_getcpuclockid", None)
        self.processor_time = partial(time.clock_gettime, clock(self.ident)) if clock else time.process_time
        while (call := self._next_call()) is not None:
            try:
                call()
            except BaseException:  # noqa: BLE001  # a fault of ours ends one call, and no thread
                _log.exception("a call failed in a thread of the pool")
            self._pool.park(self)
        while self.idle_tasks:
            self.idle_tasks.pop().switch()  # without a call it ends; what is never switched to again is never freed

    def _next_call(self) -> Callable[[], object] | None:
        """What it does next, once it is its turn. None ends it."""
        self.turn.acquire()
        return self.inbox.popleft() if self.inbox else None


class Pool:
    """Threads for what may take long, of which `size` run at a time. A thread is

        idle      parked, without a task
        paused    parked, with tasks that all wait
        ready     parked, with something to do, until it is its turn
        running   at a call, for which it has a turn
        held      at a call that hangs: its turn is another's
        beside    at the loop, or at what else is to run without a turn

    `_dispatch` is the one who gives turns, and `relieve` finds out who hangs: all that run at the same time, or one.
    """

    def __init__(self, size: int) -> None:
        self.lock = threading.Lock()
        self._size = size
        #: How many more may run, for those that are held; and how many lead the loop, or did and still hang, which
        #: nobody counts among those that run.
        self._relief = 0
        self._extra = 0
        self._threads: set[PoolThread] = set()
        self._running: set[PoolThread] = set()
        #: Parked threads: those without tasks, and since when, the last one last; those whose tasks are all paused; and
        #: those that wait for their turn since one is resumed.
        self._idle: dict[PoolThread, float] = {}
        self._paused: set[PoolThread] = set()
        self._ready: deque[PoolThread] = deque()
        #: Calls that wait for a thread, what to call if none comes in time, and since when they wait.
        self._new: deque[tuple[Callable[[], object], Callable[[], object], float]] = deque()
        self._beside: deque[Callable[[PoolThread], object]] = deque()
        #: How many threads went before the first of the new calls.
        self._in_a_row = 0
        #: Whether the system may have another thread for us, and whether the log says that it had none once.
        self._may_start, self._is_told = True, False
        #: Threads at calls that hang, of which each has given its turn to another; and what those that run had computed
        #: when they were last seen to compute, and when that was.
        self._held: set[PoolThread] = set()
        self._seen: dict[PoolThread, tuple[float, float]] = {}
        #: What those had computed that ran at the last look, and have not parked since; and when that was.
        self._look: dict[PoolThread, float] = {}
        self._looked_at = 0.0
        #: When one of those that keep others waiting began with something, and when one did or computed.
        self._taken_at = self._busy_at = 0.0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._new)

    @property
    def thread_count(self) -> int:
        return len(self._threads)

    # -- what there is to do

    def start(self, call: Callable[[], object], give_up: Callable[[], object]) -> None:
        """Run `call` as a task in one of the threads. If all are held for too long, `relieve` calls `give_up`
        instead."""
        with self.lock:
            if not self._new:
                self._in_a_row = 0
            self._new.append((call, give_up, time.monotonic()))
            self._dispatch()

    def run_beside(self, call: Callable[[PoolThread], object]) -> None:
        """Run `call` in a thread and in no task, beside those that run."""
        with self.lock:
            self._extra += 1
            self._beside.append(call)
            self._dispatch()

    def _run_beside(self, thread: PoolThread, call: Callable[[PoolThread], object]) -> None:
        try:
            call(thread)
        finally:
            with self.lock:
                self._extra -= 1

    def post(self, thread: PoolThread, call: Callable[[], object]) -> None:
        """Have a thread call this when it is its turn."""
        with self.lock:
            thread.inbox.append(call)
            if thread in self._paused:
                self._paused.discard(thread)
            elif self._idle.pop(thread, None) is None:
                return  # it looks itself, or is ready already
            self._ready.append(thread)
            self._dispatch()

    def park(self, thread: PoolThread) -> None:
        """Take a thread's turn, which has done what it had to do at the moment. Called by itself."""
        with self.lock:
            self._running.discard(thread)
            self._held.discard(thread)
            self._look.pop(thread, None)
            self._seen.pop(thread, None)
            if self._closed:
                self._end(thread)
                return
            if thread.inbox:
                self._ready.append(thread)
            elif thread.task_count:
                self._paused.add(thread)
            else:
                self._idle[thread] = time.monotonic()
            self._dispatch()

    # -- who has to do it

    def _dispatch(self) -> None:
        """Have those run for whom there is something to do, as many as may. Called whenever either has changed."""
        if self._closed:
            return
        while self._beside and (thread := self._find_thread()) is not None:
            thread.inbox.append(partial(self._run_beside, thread, self._beside.popleft()))
            thread.turn.release()
        while len(self._running) < self._size + self._relief:
            is_new_turn = self._new and not (self._ready and self._in_a_row < _MAX_IN_A_ROW)
            if is_new_turn and len(self._running) < self._limit and (found := self._find_thread()) is not None:
                self._in_a_row = 0
                found.inbox.append(partial(found.begin, self._new.popleft()[0]))
                self._run(found)
            elif self._ready:
                self._in_a_row += 1
                self._run(self._ready.popleft())
            else:
                break

    @property
    def _limit(self) -> int:
        """How many may run so that a new call may begin. What has begun has its thread, and runs beyond that."""
        return min(self._size + self._relief, self._size * _MAX_TIMES - len(self._held))

    def _run(self, thread: PoolThread) -> None:
        self._running.add(thread)
        thread.turn.release()

    def _find_thread(self) -> PoolThread | None:
        """A parked thread for another call: one without tasks, or a new one, or where there may be no more one with as
        few tasks as there is. None if all run."""
        if self._idle:
            return self._idle.popitem()[0]
        if len(self._threads) < _MAX_THREADS + self._extra and self._may_start:
            thread = PoolThread(self)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no more
                self._may_start = False  # until `relieve`
                if not self._is_told:
                    _log.warning("the system gives a worker no more than %d threads: %s", len(self._threads), error)
                self._is_told = True
            else:
                self._threads.add(thread)
                return thread
        if not self._paused:
            return None
        thread = min(self._paused, key=lambda one: one.task_count)
        self._paused.discard(thread)
        return thread

    def _end(self, thread: PoolThread) -> None:
        """Have a parked thread end."""
        self._threads.discard(thread)
        thread.inbox.clear()
        thread.turn.release()

    # -- if they hang

    def relieve(self) -> None:
        """Have more threads run if all seem to be held, or give up what has waited for too long where no more may.
        Called several times a second."""
        late: list[Callable[[], object]] = []
        with self.lock:
            now = time.monotonic()
            self._may_start = True
            self._find_held(now)
            if not self._new and len(self._running) < self._relief:  # those that are not held are enough without them
                self._relief = max(0, self._relief - self._size)
            self._end_idle(now)
            limit, most = self._limit, self._size * _MAX_TIMES - len(self._held)
            is_all = len(self._look) >= self._size + self._relief
            if self._are_held(now):
                if limit < most or (self._ready and is_all):
                    self._relief += self._size
                if limit == most:
                    patience = _WAIT_SECONDS if now - self._busy_at > _WAIT_SECONDS else _PATIENT_SECONDS
                    while self._new and now - self._new[0][2] > patience:
                        late.append(self._new.popleft()[1])
            self._dispatch()
        for give_up in late:
            give_up()

    def _find_held(self, now: float) -> None:
        """Find who hangs while others go on, and who does no more."""
        for thread in (*self._running, *self._held):
            if thread.processor_time is None:
                continue
            computed = thread.processor_time()
            before, since = self._seen.setdefault(thread, (computed, now))
            if computed - before > _IDLE_PART * (now - since):
                self._seen[thread] = (computed, now)
                if thread in self._held:
                    self._held.discard(thread)
                    self._running.add(thread)
            elif now - since >= _HELD_SECONDS and thread in self._running:
                self._running.discard(thread)
                self._held.add(thread)
                self._look.pop(thread, None)
                self._relief = max(0, self._relief - 1)  # which it may have been given for

    def _are_held(self, now: float) -> bool:
        """Whether a disk or a provider seems to hold those that run, while others wait."""
        look, since = self._look, now - self._looked_at
        is_moving = not (self._new or self._ready) or len(look) < min(self._limit, len(self._running))
        if is_moving:
            self._taken_at = self._busy_at = now
        elif since < _IDLE_SECONDS:
            return False
        times = {thread: thread.processor_time() for thread in self._running if thread.processor_time is not None}
        self._look, self._looked_at = times, now
        if is_moving:
            return False
        if sum(times[thread] - before for thread, before in look.items()) >= _IDLE_PART * since:
            self._busy_at = now
        return self._busy_at < now or now - self._taken_at > _HELD_SECONDS

    def _end_idle(self, now: float) -> None:
        """Have those end that nobody has needed for some time."""
        idle = self._idle
        while idle and len(idle) + len(self._running) > self._size + self._relief:
            thread = next(iter(idle))
            if now - idle[thread] < _KEEP_SECONDS:
                break
            del idle[thread]
            self._end(thread)

    def close(self) -> None:
        """Have the threads end when they have nothing to do at the moment. Tasks that wait are dropped."""
        with self.lock:
            self._closed = True
            for thread in (*self._idle, *self._paused, *self._ready):
                self._end(thread)
            self._idle.clear()
            self._paused.clear()
            self._ready.clear()
