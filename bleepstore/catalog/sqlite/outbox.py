"""Events that wait for their destinations, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from bleepstore import codec
from bleepstore.catalog.records import AwaitedRestoration, RecordedEvent
from bleepstore.events import Event, WaitingEvent, WaitingEvents

_WAITING = "SELECT number, rule_id, event FROM outbox WHERE destination = ? ORDER BY number LIMIT ?"
_OUTBOX = (
    "SELECT e.destination, e.waiting, e.dropped, o.time_ms FROM outbox_end e LEFT JOIN outbox o "
    "ON o.destination = e.destination "
    "AND o.number = (SELECT min(number) FROM outbox WHERE destination = e.destination) ORDER BY e.destination"
)
#: A number for events that goes on from the time and never goes back: microseconds, nearly.
_SEQUENCER_SHIFT = 10
_NEXT_SEQUENCER = "UPDATE state SET event_sequencer = max(event_sequencer + 1, ?) RETURNING event_sequencer"
_NEXT_NUMBER = (
    "INSERT INTO outbox_end VALUES (?, 1, 1, 0) ON CONFLICT (destination) DO UPDATE SET "
    "last_number = last_number + 1, waiting = waiting + 1 RETURNING last_number, waiting"
)
_ADD_TO_SHARE = "INSERT INTO outbox_share VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET waiting = waiting + 1"
_LARGEST_SHARE = "SELECT account_id FROM outbox_share WHERE destination = ? ORDER BY waiting DESC, account_id LIMIT 1"
_DROP_OLDEST = (
    "DELETE FROM outbox WHERE destination = ?1 AND number = "
    "(SELECT number FROM outbox WHERE destination = ?1 AND account_id = ?2 ORDER BY number LIMIT 1)"
)
_TAKE_FROM_SHARE = "UPDATE outbox_share SET waiting = waiting - ? WHERE destination = ? AND account_id = ?"
_COUNT_DROPPED = "UPDATE outbox_end SET waiting = waiting - 1, dropped = dropped + 1 WHERE destination = ?"
_COUNT_FORGOTTEN = "UPDATE outbox_end SET waiting = waiting - ? WHERE destination = ?"
_TAKEN = "SELECT account_id, count(*) FROM outbox WHERE destination = ? AND number <= ? GROUP BY account_id"
_FORGET_EVENTS = "DELETE FROM outbox WHERE destination = ? AND number <= ?"


class OutboxQueries:
    """See `bleepstore.catalog.port.CatalogReader`."""

    connection: apsw.Connection

    def waiting_events(self, destination: str, limit: int) -> list[WaitingEvent]:
        rows: Iterable[Any] = self.connection.execute(_WAITING, (destination, limit)).fetchall()
        return [WaitingEvent(number, rule_id, codec.decode_event(text.encode())) for number, rule_id, text in rows]

    def next_restoration_ms(self) -> int | None:
        next_ms: int | None = self.connection.execute("SELECT min(ready_ms) FROM restoration").get
        return next_ms

    def outbox(self) -> list[WaitingEvents]:
        rows: Iterable[Any] = self.connection.execute(_OUTBOX).fetchall()
        return [
            WaitingEvents(
                destination=destination,
                count=waiting,
                oldest_ms=oldest_ms,
                dropped=dropped,
            )
            for destination, waiting, dropped, oldest_ms in rows
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

    def await_restoration(self, awaited: AwaitedRestoration) -> None:
        self.connection.execute("INSERT OR IGNORE INTO restoration VALUES (?, ?, ?, ?, ?)", awaited)

    def take_restorations(self, until_ms: int, limit: int) -> list[AwaitedRestoration]:
        sql = "SELECT * FROM restoration WHERE ready_ms <= ? ORDER BY ready_ms, bucket_id, key, version_id LIMIT ?"
        found = [AwaitedRestoration._make(row) for row in self.connection.execute(sql, (until_ms, limit)).fetchall()]
        sql = "DELETE FROM restoration WHERE ready_ms = ? AND bucket_id = ? AND key = ? AND version_id = ?"
        self.connection.executemany(sql, [one[:4] for one in found])
        return found

    def add_event(self, event: Event, rules: Sequence[tuple[str, str]], max_waiting: int) -> None:
        record = codec.encode_event(event).decode() if rules else ""
        for destination, rule_id in rules:
            number, waiting = self.connection.execute(_NEXT_NUMBER, (destination,)).get
            row = (destination, number, event.owner_id, rule_id, event.time_ms, record)
            self.connection.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)", row)
            self.connection.execute(_ADD_TO_SHARE, (destination, event.owner_id))
            if waiting > max_waiting:
                self._drop_oldest(destination)
        self.events.append(RecordedEvent(event, tuple(destination for destination, _ in rules)))

    def _drop_oldest(self, destination: str) -> None:
        """Of the account of which most events wait, so that none crowds out the others."""
        account_id = self.connection.execute(_LARGEST_SHARE, (destination,)).get
        self.connection.execute(_DROP_OLDEST, (destination, account_id))
        self.connection.execute(_TAKE_FROM_SHARE, (1, destination, account_id))
        self.connection.execute(_COUNT_DROPPED, (destination,))

    def forget_events(self, destination: str, through: int) -> None:
        taken: list[Any] = self.connection.execute(_TAKEN, (destination, through)).fetchall()
        for account_id, count in taken:
            self.connection.execute(_TAKE_FROM_SHARE, (count, destination, account_id))
        self.connection.execute("DELETE FROM outbox_share WHERE destination = ? AND waiting = 0", (destination,))
        self.connection.execute(_FORGET_EVENTS, (destination, through))
        self.connection.execute(_COUNT_FORGOTTEN, (self.connection.changes(), destination))
