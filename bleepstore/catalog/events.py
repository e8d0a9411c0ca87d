"""What apply records of what happens to objects, in buckets that somebody watches."""

from __future__ import annotations

from typing import Unpack

from bleepstore.catalog.port import EventDetails, Tables
from bleepstore.catalog.records import StoredBucket
from bleepstore.commands import Done, ForgetEvents, Result
from bleepstore.events import UNKNOWN_ORIGIN, Event, Origin

#: How many events may wait for a destination. Of more the oldest of the account that has most are dropped, and counted.
MAX_WAITING = 100_000


def record_event(
    tables: Tables,
    bucket: StoredBucket,
    name: str,
    key: str,
    time_ms: int,
    origin: Origin | None,
    **details: Unpack[EventDetails],
) -> None:
    """Keep an event for each destination that the bucket's rules name for it, in the transaction of the change. Call it
    where the bucket `is_watched`."""
    rules = [rule for rule in bucket.settings.events or () if rule.matches(name, key)]
    event = Event(
        name=name,
        time_ms=time_ms,
        bucket=bucket.name,
        owner_id=bucket.owner_id,
        location=bucket.location,
        key=key,
        sequencer=tables.next_sequencer(time_ms, is_kept=bool(rules)),
        origin=origin or UNKNOWN_ORIGIN,
        **details,
    )
    tables.add_event(event, [(rule.destination, rule.id) for rule in rules], MAX_WAITING)


def forget_events(tables: Tables, command: ForgetEvents) -> Result:
    tables.forget_events(command.destination, command.through)
    return Done()
