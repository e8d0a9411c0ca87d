"""Work in threads that has ended when who asked for it goes on, also if the wait for it is interrupted.

KeyboardInterrupt is raised in the main thread, anywhere. In `ThreadPoolExecutor.submit`, which waits for a new thread
to start, it leaves a thread that no executor waits for; in a Condition, of which executors and futures are made, it may
leave a lock held for ever. So here a call is known before its thread starts, and is waited for by a plain lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

R = TypeVar("R")
T = TypeVar("T")


class Call(Generic[R]):
    """A function that is called in a thread of its own."""

    _value: R

    def __init__(self, function: Callable[[], R]) -> None:
        self._function = function
        self._error: BaseException | None = None
        #: For what follows.
        self._lock = threading.Lock()
        self._has_begun = self._is_cancelled = False
        #: Locked until the function has returned.
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def start(self) -> None:
        threading.Thread(target=self._run, name="bleepstore-call", daemon=True).start()

    def _run(self) -> None:
        with self._lock:
            if self._is_cancelled:
                return
            self._has_begun = True
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
            self._error = error
        finally:
            del self._function  # and what it holds
            self._under_way.release()

    @property
    def has_ended(self) -> bool:
        return not self._under_way.locked()

    def result(self) -> R:
        """What the function returns or raises, once it has."""
        self._wait()
        if self._error is not None:
            raise self._error
        return self._value

    def _wait(self) -> None:
        with self._under_way:
            pass

    def cancel(self) -> None:
        """Do not call the function, unless that has begun."""
        with self._lock:
            self._is_cancelled = True

    def finish(self) -> None:
        """Return when the function is not being called, after `cancel`."""
        if self._has_begun:
            self._wait()


class Calls:
    """Functions that are called in threads of their own. When the block ends none is under way, whatever ends it: those
    that have not begun are not called. Interrupts of the wait are raised after it.

    But for one that comes as `__exit__` is being called, before its first line, where nothing can catch it. Then there
    is something under way only if the block was left by an error or by another interrupt. It goes on to its end in its
    daemon thread, unless the process ends before, and nobody learns what became of it.
    """

    def __init__(self) -> None:
        self._calls: list[Call[Any]] = []

    def start(self, function: Callable[[], R]) -> Call[R]:
        call = Call(function)
        self._calls = [*(one for one in self._calls if not one.has_ended), call]
        call.start()
        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        interrupt: KeyboardInterrupt | None = None
        while self._calls:
            try:
                for call in self._calls:
                    call.cancel()
                for call in self._calls:
                    call.finish()
                self._calls = []
            except KeyboardInterrupt as another:
                interrupt = another
        if interrupt is not None:
            raise interrupt


class Background:
    """Work that goes on in a daemon thread until its owner has it end. The owner keeps this before it starts it. An
    interrupt of the start, or a system that gives no thread, leaves none that works: it can be started again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_ended = False

    def start(self, work: Callable[[], object]) -> None:
        """Have `work` done, unless it was started, or `end` was called. Raises RuntimeError if there is no thread to be
        had."""
        with self._lock:
            if self._thread is None and not self._has_ended:
                thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
                thread.start()
                self._thread = thread

    def _run(self, work: Callable[[], object]) -> None:
        with self._lock:  # which `start` holds to its end
            if self._thread is not threading.current_thread():
                return
        work()

    @property
    def is_started(self) -> bool:
        return self._thread is not None

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        return self._thread is threading.current_thread()

    def join(self, seconds: float | None = None) -> None:
        """Wait until the work has ended, unless this is its thread."""
        if self._thread is not None and not self.is_current:
            self._thread.join(seconds)

    def end(self, seconds: float | None = None) -> None:
        """Never start it from now on, and wait until it has ended, of which the owner tells it before."""
        with self._lock:  # one that is just being started is waited for too
            self._has_ended = True
        self.join(seconds)


def call_uninterrupted(function: Callable[[], R], stop: Callable[[], None]) -> R:
    """Call a function in a thread of its own if this is the main one, where interrupts are raised. After an interrupt
    `stop` is called, which has the function end soon, and the interrupt is raised once it has ended."""
    if threading.current_thread() is not threading.main_thread():
        return function()
    with Calls() as calls:
        try:
            return calls.start(function).result()
        except BaseException:
            stop()
            raise


def map_in_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """What the function returns for each item, in their order; `threads` of them are worked on at a time, or as many as
    there are threads to be had. After an exception, which is raised, or an interrupt no further ones are begun."""
    waiting = deque(enumerate(items))
    results: dict[int, R] = {}

    def work() -> None:
        while waiting:
            try:
                number, item = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                results[number] = function(item)
            except BaseException:
                waiting.clear()
                raise

    count = len(waiting)
    with Calls() as calls:
        try:
            begun = []
            for _ in range(min(threads, count)):
                try:
                    begun.append(calls.start(work))
                except RuntimeError:  # the system gives no more: those that there are do it all, or this one
                    if not begun:
                        work()
                    break
            for call in begun:
                call.result()
        finally:
            waiting.clear()
    return [results[number] for number in range(count)]
