"""What hands the events of the outbox to their destinations."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import attrs

from bleepstore.catalog.records import RecordedEvent
from bleepstore.commands import ForgetEvents
from bleepstore.events import WaitingEvents
from bleepstore.jobs.couriers import Courier, Couriers
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.waking import Waker
from bleepstore.senders import OpenSender, Sender, SendError, message_of

_BATCH = 100


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


class _EventCourier(Courier):
    """Sends what waits for one destination, in order, and forgets what was taken."""

    def __init__(self, name: str, open_sender: OpenSender, parts: Parts) -> None:
        self._name = name
        self._open = open_sender
        self._parts = parts
        self._sender: Sender | None = None

    def carry(self) -> float | None:
        with self._parts.catalog.read() as reader:
            waiting = reader.waiting_events(self._name, _BATCH)
        if not waiting:
            return None
        if self._sender is None:
            self._sender = self._open()
        taken = self._sender.send([message_of(one.event, one.rule_id) for one in waiting])
        if taken < 1:
            raise SendError("it took none of the messages")
        command = ForgetEvents(**self._parts.stamp(), destination=self._name, through=waiting[taken - 1].number)
        self._parts.submit(command)
        self.carried += taken
        return 0

    def close(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            with contextlib.suppress(Exception):  # whatever it, or a program's own, says of a lost one
                sender.close()


def status_of(kept: WaitingEvents, courier: Courier | None, *, is_configured: bool) -> DestinationStatus:
    return DestinationStatus(
        name=kept.destination,
        is_configured=is_configured,
        waiting=kept.count,
        oldest_ms=kept.oldest_ms,
        dropped=kept.dropped,
        failures=0 if courier is None else courier.failures,
        error=None if courier is None else courier.error,
    )


class Deliveries(Couriers):
    """The destinations of a store's events: by their names, what opens a sender for each."""

    def __init__(self, parts: Parts, destinations: Mapping[str, OpenSender], waker: Waker) -> None:
        couriers = {name: _EventCourier(name, one, parts) for name, one in destinations.items()}
        super().__init__("events", couriers, waker)
        self._parts = parts

    def hear(self, recorded: Sequence[RecordedEvent]) -> None:
        """What this process has committed. Never waits."""
        if names := {name for one in recorded for name in one.destinations}:
            self.wake(names)

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
                self.couriers.get(name),
                is_configured=name in self.couriers,
            )
            for name in sorted({*kept, *self.couriers})
        )
