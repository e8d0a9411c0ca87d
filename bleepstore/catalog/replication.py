"""What apply does with the source of a copy: which versions are queued, and what is noted of their copies.

A version and its tasks are written in one transaction. Nothing but its state says that a version is to be copied: it
has a `Replica` for each destination from then on, so a later change of its tags or locks is copied to these alone.
"""

from __future__ import annotations

import attrs

from bleepstore.catalog.events import record_event
from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredBucket, StoredVersion
from bleepstore.commands import (
    Done,
    EndReplications,
    PutObject,
    QueueReplications,
    ReplicationOutcome,
    Result,
)
from bleepstore.encryption import EncryptionKind
from bleepstore.errors import NoSuchBucket
from bleepstore.events import FailedReplication
from bleepstore.model import NO_ATTRIBUTES, ObjectAttributes
from bleepstore.replication import (
    Replica,
    Replication,
    ReplicationRule,
    ReplicationStatus,
    ReplicationTask,
    rules_for,
)

_PENDING = ReplicationStatus.PENDING


def _rules_for(bucket: StoredBucket, key: str, attributes: ObjectAttributes) -> list[ReplicationRule]:
    rules = rules_for(bucket.settings.replication or (), key, attributes.tags)
    if attributes.encryption is not None and attributes.encryption.kind is EncryptionKind.NAMED:
        return [rule for rule in rules if rule.named_keys]
    return rules


def queue_write(tables: Tables, bucket: StoredBucket, command: PutObject, version_id: str) -> PutObject:
    """Queue what `command` writes as this version, and return the command with the state that the version has. A copy
    is not copied on."""
    attributes = command.attributes
    if attributes.replication is not None and attributes.replication.is_replica:
        return command
    rules = _rules_for(bucket, command.key, attributes)
    if not rules:
        return command
    made = _queue(tables, bucket, command.key, version_id, command.time_ms, attributes, rules)
    return attrs.evolve(command, attributes=made)


def queue_marker(tables: Tables, bucket: StoredBucket, key: str, version_id: str, time_ms: int) -> None:
    """Queue a delete marker that somebody made."""
    for rule in rules_for(bucket.settings.replication or (), key, NO_ATTRIBUTES.tags):
        if rule.delete_markers:
            tables.queue_replication(rule.destination, bucket.bucket_id, key, version_id, time_ms)


def queue_change(
    tables: Tables,
    bucket: StoredBucket,
    key: str,
    version: StoredVersion,
    attributes: ObjectAttributes,
    time_ms: int,
) -> ObjectAttributes:
    """Queue a version whose tags, ACL or locks become those of `attributes`, and return these with its new state. What
    was never copied to a destination is not copied there for a change; what is a copy itself, if a rule says so."""
    state, rules = attributes.replication, bucket.settings.replication
    if state is None or rules is None:
        return attributes
    if state.is_replica:
        chosen = [rule for rule in _rules_for(bucket, key, attributes) if rule.replica_changes]
        for rule in chosen:
            tables.queue_replication(rule.destination, bucket.bucket_id, key, version.version_id, time_ms)
        return attributes
    known = {one.destination for one in state.replicas}
    by_destination = {rule.destination: rule for rule in rules if rule.is_enabled and rule.destination in known}
    chosen = list(by_destination.values())
    return _queue(tables, bucket, key, version.version_id, time_ms, attributes, chosen)


def _queue(
    tables: Tables,
    bucket: StoredBucket,
    key: str,
    version_id: str,
    time_ms: int,
    attributes: ObjectAttributes,
    rules: list[ReplicationRule],
) -> ObjectAttributes:
    state = attributes.replication or Replication()
    changed = []
    for rule in rules:
        tables.queue_replication(rule.destination, bucket.bucket_id, key, version_id, time_ms)
        known = state.replica_in(rule.destination)
        changed.append(Replica(rule.destination, _PENDING, None if known is None else known.version_id))
    return attrs.evolve(attributes, replication=state.with_replicas(changed))


def queue_replications(tables: Tables, command: QueueReplications) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    for key, version_id in command.versions:
        version = tables.find_version(bucket.bucket_id, key, version_id)
        if version is None:
            continue
        if version.is_delete_marker:
            queue_marker(tables, bucket, key, version_id, command.time_ms)
            continue
        attributes = tables.object_attributes(bucket.bucket_id, key, version)
        state = attributes.replication or Replication()
        done = {one.destination for one in state.replicas if one.status is ReplicationStatus.COMPLETED}
        rules = [rule for rule in _rules_for(bucket, key, attributes) if rule.destination not in done]
        if rules:
            made = _queue(tables, bucket, key, version_id, command.time_ms, attributes, rules)
            tables.set_object_attributes(bucket.bucket_id, key, version, made)
    return Done()


def end_replications(tables: Tables, command: EndReplications) -> Result:
    for outcome in command.outcomes:
        task = tables.find_replication(command.destination, outcome.number)
        if task is None:
            continue
        is_changed = task.revision != outcome.revision
        if not is_changed:
            tables.forget_replication(command.destination, outcome.number)
        if task.bucket is not None and outcome.status is not None:
            _note(tables, command, task, outcome, _PENDING if is_changed else outcome.status)
    return Done()


def _note(
    tables: Tables,
    command: EndReplications,
    task: ReplicationTask,
    outcome: ReplicationOutcome,
    status: ReplicationStatus,
) -> None:
    assert task.bucket is not None
    bucket = tables.find_bucket(task.bucket, task.bucket_id)
    version = None if bucket is None else tables.find_version(task.bucket_id, task.key, task.version_id)
    if bucket is None or version is None:
        return
    if not version.is_delete_marker:
        attributes = tables.object_attributes(task.bucket_id, task.key, version)
        state = attributes.replication or Replication()
        replica = Replica(task.destination, status, outcome.version_id, outcome.error)
        if not state.is_replica or state.replica_in(task.destination) is not None:
            attributes = attrs.evolve(attributes, replication=state.with_replicas([replica]))
            tables.set_object_attributes(task.bucket_id, task.key, version, attributes)
    if status is ReplicationStatus.FAILED and bucket.is_watched:
        record_event(
            tables,
            bucket,
            "Replication:OperationFailedReplication",
            task.key,
            command.time_ms,
            None,
            version_id=task.version_id,
            size=version.size,
            etag=version.etag,
            replication=_failure(bucket, task, outcome),
        )


def _failure(bucket: StoredBucket, task: ReplicationTask, outcome: ReplicationOutcome) -> FailedReplication:
    rules = (rule.id for rule in bucket.settings.replication or () if rule.destination == task.destination)
    return FailedReplication(rule_id=next(rules, ""), destination=task.destination, reason=outcome.error or "")
