"""What happened to the objects of a store, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, overload

from bleepstore.events import Event
from bleepstore.senders import record_of
from bleepstore.store import Store


class CollectedEvents:
    """The events of a store since this was made, in their order: a sequence of `Event`.

    To look at it waits for what is committed, so that nothing is missing; for what another thread is about to do there
    is `wait`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._subscription = store.on_event(self._add)

    def _add(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def wait(self, count: int, seconds: float = 10.0) -> list[Event]:
        """Return the events once there are so many of them. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._events) >= count, seconds):
                raise TimeoutError(f"{len(self._events)} events came within {seconds} seconds, not {count}")
            return list(self._events)

    def _seen(self) -> list[Event]:
        self._store.flush_events()
        with self._changed:
            return list(self._events)

    @property
    def names(self) -> list[tuple[str, str]]:
        """(name, key) of each: ("ObjectCreated:Put", "cat.jpg")."""
        return [(event.name, event.key) for event in self._seen()]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Each as one of the `Records` of S3's messages."""
        return [record_of(event, "s3_events") for event in self._seen()]

    def clear(self) -> None:
        """Forget those that came."""
        self._seen()
        with self._changed:
            self._events.clear()

    def __len__(self) -> int:
        return len(self._seen())

    def __iter__(self) -> Iterator[Event]:
        return iter(self._seen())

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._seen()[index]

    def close(self) -> None:
        """Collect no more."""
        self._subscription.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
