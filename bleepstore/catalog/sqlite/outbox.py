"""Events that wait for their destinations, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from bleepstore import codec
from bleepstore.catalog.records import RecordedEvent
from bleepstore.events import Event, WaitingEvent, WaitingEvents

_WAITING = "SELECT number, rule_id, event FROM outbox WHERE destination = ? ORDER BY number LIMIT ?"
_OUTBOX = (
    "SELECT e.destination, e.last_number, e.dropped, o.number, o.time_ms FROM outbox_end e LEFT JOIN outbox o "
    "ON o.destination = e.destination "
    "AND o.number = (SELECT min(number) FROM outbox WHERE destination = e.destination) ORDER BY e.destination"
)
#: A number for events that goes on from the time and never goes back: microseconds, nearly.
_SEQUENCER_SHIFT = 10
_NEXT_SEQUENCER = "UPDATE state SET event_sequencer = max(event_sequencer + 1, ?) RETURNING event_sequencer"
_NEXT_NUMBER = (
    "INSERT INTO outbox_end VALUES (?, 1, 0) "
    "ON CONFLICT (destination) DO UPDATE SET last_number = last_number + 1 RETURNING last_number"
)
_DROP_EVENTS = "DELETE FROM outbox WHERE destination = ? AND number <= ?"
_COUNT_DROPPED = "UPDATE outbox_end SET dropped = dropped + ? WHERE destination = ?"


class OutboxQueries:
    """See `bleepstore.catalog.port.CatalogReader`."""

    connection: apsw.Connection

    def waiting_events(self, destination: str, limit: int) -> list[WaitingEvent]:
        rows: Iterable[Any] = self.connection.execute(_WAITING, (destination, limit)).fetchall()
        return [WaitingEvent(number, rule_id, codec.decode_event(text.encode())) for number, rule_id, text in rows]

    def outbox(self) -> list[WaitingEvents]:
        rows: Iterable[Any] = self.connection.execute(_OUTBOX).fetchall()
        return [
            WaitingEvents(
                destination=destination,
                count=0 if oldest is None else last - oldest + 1,
                oldest_ms=oldest_ms,
                dropped=dropped,
            )
            for destination, last, dropped, oldest, oldest_ms in rows
        ]


class OutboxTables:
    """See `bleepstore.catalog.port.Tables`."""

    connection: apsw.Connection
    #: Whether this process wants to know of all events.
    watches_all = False
    #: Those of the transaction, with their destinations.
    events: list[RecordedEvent]
    _last_sequencer = 0  # of the events that are not kept

    def next_sequencer(self, time_ms: int, *, is_kept: bool) -> int:
        sequencer = time_ms << _SEQUENCER_SHIFT
        if is_kept:
            kept: int = self.connection.execute(_NEXT_SEQUENCER, (sequencer,)).get
            return kept
        self._last_sequencer = max(sequencer, self._last_sequencer + 1)
        return self._last_sequencer

    def add_event(self, event: Event, rules: Sequence[tuple[str, str]], max_waiting: int) -> None:
        record = codec.encode_event(event).decode() if rules else ""
        for destination, rule_id in rules:
            number: int = self.connection.execute(_NEXT_NUMBER, (destination,)).get
            self.connection.execute(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", (destination, number, rule_id, event.time_ms, record)
            )
            if number > max_waiting:
                self.connection.execute(_DROP_EVENTS, (destination, number - max_waiting))
                if dropped := self.connection.changes():
                    self.connection.execute(_COUNT_DROPPED, (dropped, destination))
        self.events.append(RecordedEvent(event, tuple(destination for destination, _ in rules)))

    def forget_events(self, destination: str, through: int) -> None:
        self.connection.execute(_DROP_EVENTS, (destination, through))
