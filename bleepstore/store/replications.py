"""Replication, as a program sees it: what waits to be copied, and copies of what was there before."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator
from functools import partial

import attrs

from bleepstore.access import Action, Caller
from bleepstore.catalog.port import CatalogReader
from bleepstore.commands import QueueReplications, ReplicationOutcome
from bleepstore.errors import NoSuchReplication, StoreClosed
from bleepstore.jobs.couriers import Courier, Couriers
from bleepstore.jobs.replication import ReplicationCourier, ReplicationJob
from bleepstore.jobs.waking import REPLICATION, Waker
from bleepstore.replication import ReplicationTask
from bleepstore.store.engine import Engine
from bleepstore.store.remote_copies import RemoteCopies
from bleepstore.store.replicating import Replicator
from bleepstore.store.stored_objects import StoredObjects

#: The courier to all buckets of the store, none of which has this name.
_OWN = "own buckets"
_PAGE = 1000


@attrs.frozen(kw_only=True)
class ReplicationDestinationStatus:
    """What can be seen of a destination of replication: `waiting` versions are not copied yet, the oldest since
    `oldest_ms` (milliseconds since the epoch). `error` is why the last attempt of this process failed: in another
    process than the one that copies it is not known."""

    name: str
    waiting: int
    oldest_ms: int
    error: str | None


class Replications:
    """The replication of a store's buckets. For `caller` see `Buckets`. Without `stored` this process copies none."""

    def __init__(self, engine: Engine, stored: StoredObjects | None) -> None:
        self._engine = engine
        self._couriers: Couriers | None = None
        if stored is not None and not engine.read_only and engine.object_engine.keeps_versions:
            self._add_couriers(engine, stored)

    def _add_couriers(self, engine: Engine, stored: StoredObjects) -> None:
        self._remotes = RemoteCopies(engine, stored, engine.settings.remotes)
        self._replicator = Replicator(engine, stored, self._remotes.copy)
        copy = _weakly(self._replicator)
        couriers: dict[str, Courier] = {
            _OWN: ReplicationCourier(engine.parts, _own_destinations(engine.settings.remotes), copy)
        }
        for name in engine.settings.remotes:
            close = partial(_close_remote, weakref.ref(self._remotes), name)
            couriers[name] = ReplicationCourier(engine.parts, _only(name), copy, close)
        self._couriers = made = Couriers("replication", couriers, Waker(engine.folder, REPLICATION))
        engine.closers.append(made.stop)
        engine.jobs.add(ReplicationJob(made, engine.parts, engine.lease))
        engine.catalog.watch_replications(_hearer(made, engine.jobs.notify))
        if engine.folder is not None:
            with engine.catalog.read() as reader:
                if reader.replication_destinations():
                    engine.jobs.start()

    def replication_destinations(self) -> tuple[ReplicationDestinationStatus, ...]:
        """What waits for each destination that something waits for. `store.jobs.run("replication")` copies it now."""
        with self._engine.catalog.read() as reader:
            waiting = reader.count_replications()
        return tuple(
            ReplicationDestinationStatus(
                name=one.destination, waiting=one.count, oldest_ms=one.oldest_ms, error=self._error_of(one.destination)
            )
            for one in waiting
        )

    def _error_of(self, destination: str) -> str | None:
        if self._couriers is None:
            return None
        couriers = self._couriers.couriers
        return couriers.get(destination, couriers[_OWN]).error

    def replicate_existing(self, bucket: str, *, prefix: str = "", caller: Caller | None = None) -> int:
        """Have all versions of a bucket copied that its rules are for, of each key the oldest first: those that were
        written before there were rules, that are copies themselves, or that could not be copied. Returns how many
        versions were looked at. Raises NoSuchReplication for a bucket without rules."""
        found = self._engine.bucket_for(bucket, Action.INITIATE_REPLICATION, caller)
        if found.settings.replication is None:
            raise NoSuchReplication(bucket)
        count = 0
        for page in self._pages(bucket, prefix):
            count += len(page)
            stamp = self._engine.stamp()
            command = QueueReplications(**stamp, bucket=bucket, bucket_id=found.id, versions=tuple(page))
            self._engine.submit(command)
        if self._couriers is None:
            waker = Waker(self._engine.folder, REPLICATION)
            waker.notify()
            waker.close()
        return count

    def _pages(self, bucket: str, prefix: str) -> Iterator[list[tuple[str, str]]]:
        """All versions, (key, version id). Those of one key are never in two pages."""
        after_key = after_version = ""
        held: list[tuple[str, str]] = []
        while True:
            with self._engine.catalog.read() as reader:
                page = reader.list_versions(bucket, prefix, "", after_key, after_version, _PAGE)
            held += [(row.key, row.version_id) for row in page.versions]
            if page.next_key is None:
                break
            after_key, after_version = page.next_key, page.next_version_id or ""
            whole = [one for one in held if one[0] != held[-1][0]]
            if whole:
                yield _oldest_first(whole)
                held = held[len(whole) :]
        if held:
            yield _oldest_first(held)


def _oldest_first(versions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A listing has the newest of each key first."""
    versions.reverse()
    return sorted(versions, key=lambda one: one[0])


def _own_destinations(remote: Collection[str]) -> Callable[[CatalogReader], Collection[str]]:
    return lambda reader: [name for name in reader.replication_destinations() if name not in remote]


def _only(name: str) -> Callable[[CatalogReader], Collection[str]]:
    return lambda _reader: [name]


def _close_remote(remotes: weakref.ref[RemoteCopies], name: str) -> None:
    found = remotes()
    if found is not None:
        found.close(name)


def _weakly(replicator: Replicator) -> Callable[[ReplicationTask], ReplicationOutcome]:
    """What does not keep the store from being dropped."""
    known = weakref.ref(replicator)

    def copy(task: ReplicationTask) -> ReplicationOutcome:
        found = known()
        if found is None:
            raise StoreClosed("The store was dropped.")
        return found.copy(task)

    return copy


def _hearer(couriers: Couriers, notify: Callable[[], None]) -> Callable[[], None]:
    def hear() -> None:
        couriers.wake()
        if not couriers.is_running:
            notify()

    return hear
