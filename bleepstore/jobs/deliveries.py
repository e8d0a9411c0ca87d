"""What hands the events of the outbox to their destinations: a thread for each, so that none holds up another."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
from collections.abc import Iterable, Mapping, Sequence

import attrs

from bleepstore.catalog.records import RecordedEvent
from bleepstore.commands import ForgetEvents
from bleepstore.errors import StoreClosed
from bleepstore.events import WaitingEvents
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.waking import Waker
from bleepstore.senders import OpenSender, Sender, SendError, message_of

_log = logging.getLogger("bleepstore.events")

_BATCH = 100
#: Seconds from one attempt at a destination that fails to the next: longer each time.
_MIN_WAIT = 0.2
_MAX_WAIT = 60.0
#: How long the end of a store waits for a message that is under way.
_END_SECONDS = 1.0


@attrs.frozen(kw_only=True)
class DestinationStatus:
    """What can be seen of a destination of events. Times are milliseconds since the epoch.

    `waiting` events are not taken yet, the oldest since `oldest_ms`; `dropped` were given up, ever, because too many
    waited. `error` is why the last attempt of this process failed, `failures` how many did since one succeeded: in
    another process than the one that delivers it is not known. One that is not `is_configured` was, and its events wait
    until it is again.
    """

    name: str
    is_configured: bool
    waiting: int
    oldest_ms: int | None
    dropped: int
    failures: int
    error: str | None


class _Delivery:
    """The thread of one destination. It sends what waits, in order, and forgets what was taken."""

    def __init__(self, name: str, open_sender: OpenSender, parts: Parts) -> None:
        self._name = name
        self._open = open_sender
        self._parts = parts
        self._sender: Sender | None = None
        self._state = threading.Condition()
        self._is_woken = False
        self._is_stopped = False
        #: What was asked for, and up to which of it an attempt was made since.
        self._asked = self._answered = 0
        self.sent = 0
        self.failures = 0
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"bleepstore-events-{name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to send. One that waits after a failure goes on waiting."""
        with self._state:
            self._is_woken = True
            self._state.notify_all()

    def ask(self) -> int:
        """Have all that waits sent now; returns what `wait` takes."""
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
        if self._thread is not threading.current_thread():
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        try:
            while not self._is_stopped:
                with self._state:
                    asked, self._is_woken = self._asked, False
                wait = self._attempt()
                if wait != 0:
                    self._rest(asked, wait)
        except StoreClosed:  # it ended while a message was under way
            pass
        finally:
            self._close_sender()

    def _attempt(self) -> float | None:
        """Send a batch. Returns for how many seconds to rest; None: until something is to be sent."""
        try:
            return 0 if self._send_batch() else None
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a client raises, it is tried again
            self._close_sender()
            self.failures += 1
            self.error = f"{type(error).__name__}: {error}"
            wait = min(_MIN_WAIT * 2.0 ** min(self.failures - 1, 16), _MAX_WAIT) * random.uniform(0.5, 1)
            _log.warning("events cannot be sent to %s, again in %.1f s: %s", self._name, wait, self.error)
            return wait

    def _rest(self, asked: int, seconds: float | None) -> None:
        with self._state:
            self._answered = asked
            self._state.notify_all()
            if seconds is None:
                self._state.wait_for(lambda: self._is_woken or self._is_stopped)
            else:
                self._state.wait_for(lambda: self._asked > asked or self._is_stopped, seconds)

    def _send_batch(self) -> bool:
        """Whether there was anything to send."""
        with self._parts.catalog.read() as reader:
            waiting = reader.waiting_events(self._name, _BATCH)
        if not waiting:
            return False
        if self._sender is None:
            self._sender = self._open()
        taken = self._sender.send([message_of(one.event, one.rule_id) for one in waiting])
        if taken < 1:
            raise SendError("it took none of the messages")
        command = ForgetEvents(**self._parts.stamp(), destination=self._name, through=waiting[taken - 1].number)
        self._parts.submit(command)
        self.sent += taken
        self.failures, self.error = 0, None
        return True

    def _close_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            with contextlib.suppress(Exception):  # it failed already
                sender.close()


def status_of(kept: WaitingEvents, running: _Delivery | None, *, is_configured: bool) -> DestinationStatus:
    return DestinationStatus(
        name=kept.destination,
        is_configured=is_configured,
        waiting=kept.count,
        oldest_ms=kept.oldest_ms,
        dropped=kept.dropped,
        failures=0 if running is None else running.failures,
        error=None if running is None else running.error,
    )


class Deliveries:
    """The destinations of a store: by their names, what opens a sender for each. Nothing is sent before `start`."""

    def __init__(self, parts: Parts, destinations: Mapping[str, OpenSender], waker: Waker) -> None:
        self._parts = parts
        self._destinations = destinations
        self._waker = waker
        self._running: dict[str, _Delivery] = {}
        self._pid = os.getpid()
        self._is_stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Deliver, in this process, from now on: one of all that have the store open."""
        with self._lock:
            if self._running or self._is_stopped:
                return
            self._waker.listen(self.wake)
            for name, open_sender in self._destinations.items():
                self._running[name] = _Delivery(name, open_sender, self._parts)

    def hear(self, recorded: Sequence[RecordedEvent]) -> None:
        """What this process has committed. Never waits."""
        if names := {name for one in recorded for name in one.destinations}:
            self.wake(names)

    def wake(self, names: Iterable[str] | None = None) -> None:
        """There are events for these destinations, or may be for any. Never waits."""
        if not self._running:
            self._waker.notify()
            return
        for name in self._running if names is None else names:
            if (delivery := self._running.get(name)) is not None:
                delivery.wake()

    def finish(self) -> None:
        """Return once all that waits was sent, or could not be."""
        asked = [(delivery, delivery.ask()) for delivery in list(self._running.values())]
        for delivery, number in asked:
            delivery.wait(number)

    @property
    def sent(self) -> int:
        """How many messages were taken, since the store was opened."""
        return sum(delivery.sent for delivery in list(self._running.values()))

    @property
    def waiting(self) -> int:
        with self._parts.catalog.read() as reader:
            return sum(one.count for one in reader.outbox())

    def status(self) -> tuple[DestinationStatus, ...]:
        """Each destination that is configured, or for which events were ever kept, in the order of their names."""
        with self._parts.catalog.read() as reader:
            kept = {one.destination: one for one in reader.outbox()}
        return tuple(
            status_of(
                kept.get(name) or WaitingEvents(destination=name, count=0, oldest_ms=None, dropped=0),
                self._running.get(name),
                is_configured=name in self._destinations,
            )
            for name in sorted({*kept, *self._destinations})
        )

    def stop(self) -> None:
        """What is under way is sent again by the next that delivers. Stopping twice is allowed."""
        if self._pid != os.getpid():  # a forked child has its parent's object, not its threads
            return
        with self._lock:
            self._is_stopped = True
            running = list(self._running.values())
        for delivery in running:
            delivery.stop()
        for delivery in running:
            delivery.join()
        self._waker.close()
