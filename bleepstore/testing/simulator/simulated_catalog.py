"""The real catalog as the state machine of simulated nodes: commands as bytes through the codec, hashes compared."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.copying import copy_database
from bleepstore.catalog.sqlite.snapshot import hash_of
from bleepstore.codec import decode_command, encode_command
from bleepstore.commands import Command, CreateBucket, DeleteBucket, DeleteObject, PutObject
from bleepstore.model import Acl, Inline, Owner
from bleepstore.preconditions import WriteCondition
from bleepstore.raft.messages import Entry, EntryKind

#: A catalog is hashed whole, so only at every so many indexes.
HASH_EVERY = 20
BUCKETS = ("red", "green", "blue")
KEYS = tuple(f"key-{number}" for number in range(12))
_OWNER = Owner("owner-id", "Owner")
_ETAG = hashlib.md5(b"data", usedforsecurity=False).hexdigest()


def catalog_command(rng: random.Random, number: int) -> bytes:
    """A random command: few names, so that preconditions, overwrites and refusals are frequent."""
    return encode_command(_draw(rng, number))


def _draw(rng: random.Random, number: int) -> Command:
    stamp: dict[str, Any] = {"request_id": f"{number:012x}", "time_ms": rng.randrange(10**12)}
    bucket = BUCKETS[rng.randrange(len(BUCKETS))]
    kind = rng.randrange(10)
    if kind == 0:
        return CreateBucket(**stamp, bucket=bucket, owner=_OWNER, location="", acl=Acl.private(_OWNER.id))
    if kind == 1:
        return DeleteBucket(**stamp, bucket=bucket)
    key = KEYS[rng.randrange(len(KEYS))]
    if kind < 4:
        return DeleteObject(**stamp, bucket=bucket, key=key)
    conditions = (WriteCondition(), WriteCondition(), WriteCondition(if_none_match=True), WriteCondition(if_match="*"))
    condition = conditions[rng.randrange(len(conditions))]
    return PutObject(
        **stamp, bucket=bucket, key=key, owner=_OWNER, size=4, etag=_ETAG, data=Inline(b"data"), condition=condition
    )


class SimulatedCatalog:
    """A catalog in memory, and a copy of it as it was when it was last made durable: where a crash leads back to."""

    __slots__ = ("_catalog", "_durable", "applied", "durable")

    def __init__(self) -> None:
        self.applied = 0
        self.durable = 0
        self._catalog = Catalog(None)
        self._durable = Catalog(None)

    def apply(self, entries: Sequence[Entry]) -> None:
        """One transaction."""
        commands = [
            (entry.index, entry.index, decode_command(entry.data))
            for entry in entries
            if entry.kind is EntryKind.COMMAND
        ]
        self._catalog.apply_log(commands, entries[-1].index)
        self.applied = entries[-1].index

    def digest(self) -> int | None:
        if self.applied % HASH_EVERY:
            return None
        return int(hash_of(self._catalog)[1][:16], 16)

    def copy(self) -> SimulatedCatalog:
        twin = type(self)()
        _copy(self._catalog, twin._catalog)
        twin.applied = self.applied
        twin.make_durable()
        return twin

    def make_durable(self) -> int:
        if self.durable != self.applied:
            _copy(self._catalog, self._durable)
            self.durable = self.applied
        return self.durable

    def crash(self, keep: int) -> None:
        """All of the tail is lost, or nothing of it."""
        if keep < self.applied:
            # Another one, as after a start: this one remembers buckets that were never there.
            self._catalog.close()
            self._catalog = Catalog(None)
            _copy(self._durable, self._catalog)
            self.applied = self.durable

    def close(self) -> None:
        self._catalog.close()
        self._durable.close()


def _copy(source: Catalog, target: Catalog) -> None:
    with source.read() as old, target.read() as new:
        copy_database(old.connection, new.connection)


#: Options of World for runs with the catalog. Nodes are compared with each other: a reference would double the work.
CATALOG_OPTIONS: dict[str, Any] = {
    "make_state_machine": SimulatedCatalog,
    "command": catalog_command,
    "with_reference": False,
}
