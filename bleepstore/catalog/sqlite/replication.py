"""Versions that are to be copied elsewhere, as statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw

from bleepstore.replication import ReplicationTask, WaitingReplication

_TASKS = (
    "SELECT t.destination, t.number, t.revision, t.bucket_id, b.name, t.key, t.version_id, t.queued_ms "
    "FROM replication_task t LEFT JOIN bucket b ON b.bucket_id = t.bucket_id WHERE t.destination = ?"
)
_WAITING = f"{_TASKS} AND t.number > ? ORDER BY t.number LIMIT ?"
_COUNTS = (
    "SELECT t.destination, count(*), (SELECT o.queued_ms FROM replication_task o WHERE o.destination = t.destination "
    "ORDER BY o.number LIMIT 1) FROM replication_task t GROUP BY t.destination ORDER BY t.destination"
)
#: The next destination after one, by a seek for each.
_NEXT_DESTINATION = "SELECT min(destination) FROM replication_task WHERE destination > ?"
_QUEUE = (
    "INSERT INTO replication_task VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6) "
    "ON CONFLICT (bucket_id, key, version_id, destination) DO UPDATE SET revision = excluded.revision"
)


class ReplicationQueries:
    """See `bleepstore.catalog.port.CatalogReader`."""

    connection: apsw.Connection

    def replication_destinations(self) -> list[str]:
        found: list[str] = []
        while (name := self.connection.execute(_NEXT_DESTINATION, (found[-1] if found else "",)).get) is not None:
            found.append(str(name))
        return found

    def waiting_replications(self, destination: str, after: int, limit: int) -> list[ReplicationTask]:
        return [_make_task(row) for row in self.connection.execute(_WAITING, (destination, after, limit)).fetchall()]

    def count_replications(self) -> list[WaitingReplication]:
        rows: Iterable[Any] = self.connection.execute(_COUNTS).fetchall()
        return [WaitingReplication(destination=name, count=count, oldest_ms=oldest) for name, count, oldest in rows]


class ReplicationTables:
    """See `bleepstore.catalog.port.Tables`."""

    connection: apsw.Connection
    next_sequencer: Callable[..., int]
    #: Whether the transaction has queued something.
    has_queued = False

    def queue_replication(self, destination: str, bucket_id: int, key: str, version_id: str, time_ms: int) -> None:
        number = self.next_sequencer(time_ms, is_kept=True)
        self.connection.execute(_QUEUE, (destination, number, bucket_id, key, version_id, time_ms))
        self.has_queued = True

    def find_replication(self, destination: str, number: int) -> ReplicationTask | None:
        row = self.connection.execute(f"{_TASKS} AND t.number = ?", (destination, number)).fetchone()
        return None if row is None else _make_task(row)

    def forget_replication(self, destination: str, number: int) -> None:
        sql = "DELETE FROM replication_task WHERE destination = ? AND number = ?"
        self.connection.execute(sql, (destination, number))


def _make_task(row: Any) -> ReplicationTask:
    destination, number, revision, bucket_id, bucket, key, version_id, queued_ms = row
    return ReplicationTask(
        destination=destination,
        number=number,
        revision=revision,
        bucket_id=bucket_id,
        bucket=bucket,
        key=key,
        version_id=version_id,
        queued_ms=queued_ms,
    )
