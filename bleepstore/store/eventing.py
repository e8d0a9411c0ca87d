"""What a program is told of the events of its store, and of their destinations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from bleepstore.catalog.records import RecordedEvent
from bleepstore.configurations import EVENT_NAMES
from bleepstore.errors import InvalidArgument
from bleepstore.events import Event, is_named
from bleepstore.jobs.deliveries import Deliveries, DestinationStatus, status_of
from bleepstore.store.engine import Engine
from bleepstore.store.listening import Listeners, Subscription


class Eventing:
    """The events of a store, beside the configurations of its buckets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: Listeners | None = None
        self._lock = threading.Lock()

    def on_event(
        self,
        callback: Callable[[Event], object],
        *,
        bucket: str | None = None,
        events: Sequence[str] = ("*",),
        prefix: str = "",
        suffix: str = "",
    ) -> Subscription:
        """Call `callback` with each `Event` of this process: after the commit, in the order of the commits, in a thread
        of its own. `events` are names as "ObjectCreated:Put", or patterns that end with "*". What it raises is logged.

        This needs no configuration of a bucket, and remembers nothing: what was committed and not told when the process
        ends is lost. Close what is returned to end it.

        Raises InvalidArgument for a name that no event has: the function would never be called.
        """
        for name in events:
            if not any(is_named(event, (name,)) for event in EVENT_NAMES):
                raise InvalidArgument(
                    'An event is named as "ObjectCreated:Put", without "s3:"; a pattern ends with "*".', "events", name
                )
        with self._lock:
            if self._listeners is None:
                self._listeners = listeners = Listeners(self._engine.catalog.watch_all)
                self._engine.closers.append(listeners.close)
                self._engine.catalog.watch(_hearer(self._engine.deliveries, listeners))
        return self._listeners.add(callback, bucket, tuple(events), prefix, suffix)

    def flush_events(self) -> None:
        """Return once the functions of `on_event` were called with all that this process has committed."""
        if self._listeners is not None:
            self._listeners.flush()

    def event_destinations(self) -> tuple[DestinationStatus, ...]:
        """What can be seen of each destination of events. `store.jobs.run("events")` sends what waits, now."""
        if self._engine.deliveries is not None:
            return self._engine.deliveries.status()
        with self._engine.catalog.read() as reader:
            return tuple(status_of(kept, None, is_configured=False) for kept in reader.outbox())


def _hearer(deliveries: Deliveries | None, listeners: Listeners) -> Callable[[Sequence[RecordedEvent]], None]:
    def hear(recorded: Sequence[RecordedEvent]) -> None:
        if deliveries is not None:
            deliveries.hear(recorded)
        listeners.put(recorded)

    return hear
