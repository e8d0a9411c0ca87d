"""Replication as values: which versions of a bucket are copied to which other buckets, and how far these copies are.

A version that a rule is for has a `Replica` for each destination; what still has to be copied is a `ReplicationTask`.
The copy of a version has the state `REPLICA_STATE`, and is not copied on.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

import attrs


class ReplicationStatus(enum.StrEnum):
    """What S3 shows of a version ("Getting replication status information")."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REPLICA = "REPLICA"


@attrs.frozen(kw_only=True)
class ReplicationRule:
    """Versions of a bucket that are copied to `destination`: those whose keys begin with `prefix`, and that have all
    `tags` when they are written, but for those whose keys begin with one of `excluded_prefixes` or that have one of
    `excluded_tags`.

    One that is not `is_enabled` is kept and does nothing. `destination` is the name of a bucket of this store or, if it
    `is_remote`, of one of the store's remote destinations. Of the rules for one destination that one counts which has
    the highest `priority`.
    `actor` is who copies: the id of an account, or the ARN of a user or a role. `delete_markers`, `named_keys`
    (versions that are encrypted with a key that has a name) and `replica_changes` (changes of what is a copy itself)
    say what is copied beside. `storage_class`, `key_id` (of the encryption) and `takes_ownership` are for the copies.
    `account` is the id of the account that the bucket `destination` must belong to; None: any.
    """

    id: str
    destination: str
    actor: str
    is_enabled: bool = True
    is_remote: bool = False
    priority: int = 0
    prefix: str = ""
    tags: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    excluded_prefixes: tuple[str, ...] = ()
    excluded_tags: tuple[tuple[str, str], ...] = ()
    delete_markers: bool = False
    named_keys: bool = False
    replica_changes: bool = False
    storage_class: str | None = None
    key_id: str | None = None
    takes_ownership: bool = False
    account: str | None = None

    def matches(self, key: str, tags: Mapping[str, str]) -> bool:
        if not self.is_enabled or not key.startswith(self.prefix) or not self.tags.items() <= tags.items():
            return False
        return not key.startswith(self.excluded_prefixes) and tags.items().isdisjoint(self.excluded_tags)


def rules_for(rules: Iterable[ReplicationRule], key: str, tags: Mapping[str, str]) -> list[ReplicationRule]:
    """The rules that count for a version: one for each destination at the most."""
    chosen: dict[str, ReplicationRule] = {}
    for rule in rules:
        if rule.matches(key, tags):
            other = chosen.get(rule.destination)
            if other is None or other.priority < rule.priority:
                chosen[rule.destination] = rule
    return list(chosen.values())


@attrs.frozen
class Replica:
    """How far the copy of a version in one destination is. `version_id` is the one that it has there, if that is
    another than the version's own; `error` is why it failed."""

    destination: str
    status: ReplicationStatus
    version_id: str | None = None
    error: str | None = None


@attrs.frozen
class Replication:
    """Whether a version is a copy, and how far its own copies are."""

    replicas: tuple[Replica, ...] = ()
    is_replica: bool = False

    @property
    def status(self) -> ReplicationStatus:
        """Of all together. "FAILED ... if the object replication failed for one or more destinations", COMPLETED once
        they all are."""
        if self.is_replica:
            return ReplicationStatus.REPLICA
        found = {replica.status for replica in self.replicas}
        for status in (ReplicationStatus.FAILED, ReplicationStatus.PENDING):
            if status in found:
                return status
        return ReplicationStatus.COMPLETED

    def replica_in(self, destination: str) -> Replica | None:
        return next((one for one in self.replicas if one.destination == destination), None)

    def with_replicas(self, changed: Sequence[Replica]) -> Replication:
        """These instead of those in the same destinations."""
        by_destination = {one.destination: one for one in (*self.replicas, *changed)}
        return attrs.evolve(self, replicas=tuple(by_destination.values()))


#: Of a copy.
REPLICA_STATE = Replication(is_replica=True)


@attrs.frozen(kw_only=True)
class ReplicationTask:
    """A version, or a delete marker, that is to be copied to `destination`, since `queued_ms`.

    The tasks of a destination are done in the order of their numbers, so those of a key in the order of its versions.
    `revision` rises when the version is changed meanwhile. `bucket` is the name of the version's bucket: None if that
    is gone.
    """

    destination: str
    number: int
    revision: int
    bucket_id: int
    bucket: str | None
    key: str
    version_id: str
    queued_ms: int


@attrs.frozen(kw_only=True)
class WaitingReplication:
    """How many versions wait to be copied to a destination, and since when the oldest does."""

    destination: str
    count: int
    oldest_ms: int
