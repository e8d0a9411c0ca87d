"""Functions of the program that are called with what happens to objects."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import attrs

from bleepstore.catalog.records import RecordedEvent
from bleepstore.events import Event, is_named
from bleepstore.threads import Background

_log = logging.getLogger("bleepstore.events")

#: How many events may wait for the program's functions. Of more the oldest are dropped, and counted.
MAX_WAITING = 10_000
_END_SECONDS = 1.0


@attrs.define(eq=False)
class Subscription:
    """A function that is called with events, until this is closed, as at the end of a `with` block.

    `failures` is how often the function raised, `dropped` how many events of the store were given up because the
    functions took too long.
    """

    callback: Callable[[Event], object]
    bucket: str | None
    events: tuple[str, ...]
    prefix: str
    suffix: str
    _close: Callable[[Subscription], None] = attrs.field(repr=False)
    failures: int = attrs.field(default=0, init=False)
    dropped: int = attrs.field(default=0, init=False)

    def matches(self, event: Event) -> bool:
        return (
            self.bucket in (None, event.bucket)
            and event.key.startswith(self.prefix)
            and event.key.endswith(self.suffix)
            and is_named(event.name, self.events)
        )

    def close(self) -> None:
        """Call it no more, once this returns. Closing twice is allowed."""
        self._close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Listeners:
    """Calls the program's functions in a thread of its own, in the order of the commits of this process. `watch_all`
    says whether there are any."""

    def __init__(self, watch_all: Callable[[bool], None]) -> None:
        self._watch_all = watch_all
        self._subscriptions: tuple[Subscription, ...] = ()
        self._queue: deque[Event] = deque()
        self._state = threading.Condition()
        self._switching = threading.Lock()
        self._put = self._done = 0  # events, since the store was opened
        self._is_closed = False
        self._thread = Background("bleepstore-listeners")

    def add(
        self,
        callback: Callable[[Event], object],
        bucket: str | None,
        events: tuple[str, ...],
        prefix: str,
        suffix: str,
    ) -> Subscription:
        made = Subscription(callback, bucket, events, prefix, suffix, self._remove)
        with self._state:
            self._thread.start(self._run)
            self._subscriptions = (*self._subscriptions, made)
        self._switch()
        return made

    def _remove(self, subscription: Subscription) -> None:
        self.flush()
        with self._state:
            self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)
        if not self._is_closed:
            self._switch()

    def _switch(self) -> None:
        with self._switching:
            self._watch_all(bool(self._subscriptions))

    def put(self, events: Sequence[RecordedEvent]) -> None:
        """Called after each commit, before the next: it waits for nothing."""
        if not self._subscriptions:
            return
        with self._state:
            self._queue.extend(one.event for one in events)
            self._put += len(events)
            dropped = len(self._queue) - MAX_WAITING
            if dropped > 0:
                for _ in range(dropped):
                    self._queue.popleft()
                self._done += dropped
                for subscription in self._subscriptions:
                    subscription.dropped += dropped
                _log.error("on_event: %d events were dropped: the functions are too slow", dropped)
            self._state.notify_all()

    def flush(self) -> None:
        """Return once the functions were called with all that was committed before, but in one of them."""
        if not self._thread.is_started or self._thread.is_current:
            return
        with self._state:
            wanted = self._put
            self._state.wait_for(lambda: self._done >= wanted or self._is_closed)

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._queue or self._is_closed)
                if not self._queue:
                    return
                event = self._queue.popleft()
                subscriptions = self._subscriptions
            for one in subscriptions:
                if one.matches(event):
                    self._call(one, event)
            with self._state:
                self._done += 1
                self._state.notify_all()

    def _call(self, subscription: Subscription, event: Event) -> None:
        try:
            subscription.callback(event)
        except Exception:  # noqa: BLE001  # the others are called all the same
            subscription.failures += 1
            _log.exception(
                "on_event: %r failed with %s of %s/%s", subscription.callback, event.name, event.bucket, event.key
            )

    def close(self) -> None:
        """What was committed is still told. Closing twice is allowed."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        self._thread.end(_END_SECONDS)
