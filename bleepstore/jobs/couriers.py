"""Threads that carry what waits in the catalog to somewhere else: one for each courier, so none holds up another."""

from __future__ import annotations

import abc
import logging
import os
import random
import threading
from collections.abc import Iterable, Mapping

from bleepstore.errors import StoreClosed
from bleepstore.jobs.waking import Waker
from bleepstore.threads import Background

_log = logging.getLogger("bleepstore.jobs")

#: Seconds from one attempt that fails to the next: longer each time.
MIN_WAIT = 0.2
MAX_WAIT = 60.0
#: How long the end of a store waits for what is under way.
_END_SECONDS = 1.0


def pause_after(failures: int) -> float:
    """For how many seconds to wait after so many failures, the first of which is 1."""
    return float(min(MIN_WAIT * 2.0 ** min(failures - 1, 16), MAX_WAIT) * random.uniform(0.5, 1))


class Courier(abc.ABC):
    """What a thread does again and again, and no other."""

    #: How many things were carried.
    carried = 0
    #: How often it failed since it last succeeded, and why; set by the thread.
    failures = 0
    error: str | None = None

    @abc.abstractmethod
    def carry(self) -> float | None:
        """Carry some of what waits. Returns after how many seconds there is more to do, None if nothing waits. What it
        raises is tried again after a while."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release what is open, after a failure and at the end. It goes on afterwards, if it is asked to."""


class _CourierThread:
    """The thread of one courier."""

    def __init__(self, kind: str, name: str, courier: Courier) -> None:
        self._name = f"{kind} to {name}"
        self.courier = courier
        self._state = threading.Condition()
        self._is_woken = False
        self._is_stopped = False
        #: What was asked for, and up to which of it an attempt was made since.
        self._asked = self._answered = 0
        self._thread = Background(f"bleepstore-{kind}-{name}")

    def start(self) -> None:
        """Starting twice is allowed."""
        self._thread.start(self._run)

    def wake(self) -> None:
        """There is something to carry. One that waits after a failure goes on waiting."""
        with self._state:
            self._is_woken = True
            self._state.notify_all()

    def ask(self) -> int:
        """Have all that waits carried now; returns what `wait` takes."""
        with self._state:
            self._asked += 1
            self._is_woken = True
            self._state.notify_all()
            return self._asked

    def wait(self, asked: int) -> None:
        """Return once nothing waits any more, or an attempt failed that began after `ask`."""
        with self._state:
            self._state.wait_for(lambda: self._answered >= asked or self._is_stopped)

    def stop(self) -> None:
        """What is under way ends by itself: see `join`."""
        with self._state:
            self._is_stopped = True
            self._state.notify_all()

    def join(self) -> None:
        self._thread.end(_END_SECONDS)

    def _run(self) -> None:
        try:
            while not self._is_stopped:
                with self._state:
                    asked, self._is_woken = self._asked, False
                wait = self._attempt()
                if wait != 0:
                    self._rest(asked, wait)
        except StoreClosed:  # it ended while something was under way
            pass
        finally:
            self.courier.close()

    def _attempt(self) -> float | None:
        """For how many seconds to rest; None: until there is something to carry."""
        courier = self.courier
        try:
            wait = courier.carry()
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a client raises, it is tried again
            courier.close()
            courier.failures += 1
            courier.error = f"{type(error).__name__}: {error}"
            wait = pause_after(courier.failures)
            _log.warning("%s failed, again in %.1f s: %s", self._name, wait, courier.error)
            return wait
        if wait == 0:
            courier.failures, courier.error = 0, None
        return wait

    def _rest(self, asked: int, seconds: float | None) -> None:
        with self._state:
            self._answered = asked
            self._state.notify_all()
            if seconds is None:
                self._state.wait_for(lambda: self._is_woken or self._is_stopped)
            else:
                self._state.wait_for(lambda: self._asked > asked or self._is_stopped, seconds)


class Couriers:
    """The couriers of one kind of a store, by what they carry to. Nothing is carried before `start`."""

    def __init__(self, kind: str, couriers: Mapping[str, Courier], waker: Waker) -> None:
        self._kind = kind
        self.couriers = couriers
        self._waker = waker
        self._running: dict[str, _CourierThread] = {}
        self._pid = os.getpid()
        self._is_stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Carry, in this process, from now on: one of all that have the store open."""
        with self._lock:
            if self._is_stopped:
                return
            if not self._running:
                self._waker.listen(self.wake)
                self._running = {
                    name: _CourierThread(self._kind, name, courier) for name, courier in self.couriers.items()
                }
            for thread in self._running.values():  # of which another one may have been refused a thread
                thread.start()

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    def wake(self, names: Iterable[str] | None = None) -> None:
        """There is something for these couriers, or may be for any. Never waits."""
        if not self._running:
            self._waker.notify()
            return
        for name in self._running if names is None else names:
            if (thread := self._running.get(name)) is not None:
                thread.wake()

    def finish(self) -> None:
        """Return once all that waits was carried, or could not be."""
        asked = [(thread, thread.ask()) for thread in list(self._running.values())]
        for thread, number in asked:
            thread.wait(number)

    @property
    def carried(self) -> int:
        """How many things were carried, since the store was opened."""
        return sum(courier.carried for courier in self.couriers.values())

    def stop(self) -> None:
        """What is under way is done again by the next that carries. Stopping twice is allowed."""
        if self._pid != os.getpid():  # a forked child has its parent's object, not its threads
            return
        with self._lock:
            self._is_stopped = True
            running = list(self._running.values())
        for thread in running:
            thread.stop()
        for thread in running:
            thread.join()
        self._waker.close()
