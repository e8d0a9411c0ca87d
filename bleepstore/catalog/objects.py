"""Commands on objects, and what writes and deletes make of the versions of a key.

What a read without a version id sees is the *current* version. It is stored apart from all others (older versions, and
all delete markers), so a key whose latest version is a delete marker has no current one. The latest version of a key is
the one with the highest sequence: the current one, if there is one.

A bucket that never kept versions replaces what is current. One that keeps them adds a version with an id of its own.
Where that is suspended, what is written has the id "null", and the version that had it goes. Only `check_removable`
may forbid that a version goes.
"""

from __future__ import annotations

import base64
import hashlib

import attrs

from bleepstore.acl_rules import check_public, is_enforced, is_given_away
from bleepstore.catalog.conditions import check_current, check_owner, check_write
from bleepstore.catalog.events import record_event
from bleepstore.catalog.port import Tables
from bleepstore.catalog.quotas import check_quota, count_replacement, growth_by_write
from bleepstore.catalog.records import DeleteMarker, StoredBucket, StoredVersion
from bleepstore.catalog.replication import queue_marker, queue_write
from bleepstore.catalog.sweeps import check_fence
from bleepstore.commands import (
    ApplyLifecycle,
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    FollowProvider,
    PutObject,
    PutReplica,
    Removed,
    RemovedMany,
    Result,
    Written,
)
from bleepstore.errors import NoSuchBucket, NoSuchKey, NoSuchVersion, ObjectLocked, S3Error
from bleepstore.events import UNKNOWN_ORIGIN
from bleepstore.model import NULL_VERSION, BlobRef, ObjectAttributes, Owner, Versioning
from bleepstore.names import is_version_id
from bleepstore.object_lock import ObjectLock, Retention, check_future, is_locked, no_lock
from bleepstore.preconditions import UNCONDITIONAL, WriteCondition

#: The sequence of no version, for uploads that began with one that was deleted since.
GONE = -1
_ID_BYTES = 24  # 32 characters of base64


# -- commands


def put_object(tables: Tables, command: PutObject) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if command.stored_ms is not None and (refusal := check_fence(tables, command.stored_ms)):
        return refusal
    current = tables.current_version(bucket.bucket_id, command.key)
    refused = None
    if command.condition is not UNCONDITIONAL:
        refused = check_current(command.condition, current, command.bucket, command.key)
    attributes = command.attributes
    if refused is None and (attributes.retention is not None or attributes.legal_hold is not None):
        refused = check_lockable(tables, bucket, attributes, command.time_ms)
    if refused is None and attributes.grants is not None:
        refused = check_public(bucket.settings, attributes.grants)
    if refused is None and bucket.keeps_usage:
        refused = check_quota(tables, bucket, growth_by_write(tables, bucket, command, current))
    return refused or write_version(tables, bucket, command, current)


def _delete(
    tables: Tables, command: DeleteObject | DeleteObjects, bucket: StoredBucket, entry: DeleteEntry, position: int
) -> Removed | S3Error:
    current = tables.current_version(bucket.bucket_id, entry.key)
    if entry.version_id is not None:
        # "Conditional delete evaluations only apply to the current version of the object."
        refused = None
        if entry.condition.is_of_etag:
            refused = check_write(entry.condition, current and current.etag, command.bucket, entry.key)
        return refused or _delete_version(tables, command, bucket, entry, entry.version_id)
    if entry.condition is not UNCONDITIONAL:
        refused = check_current(entry.condition, current, command.bucket, entry.key)
        if refused is not None:
            return refused
    if bucket.versioning is not None:
        return add_delete_marker(tables, bucket, command, entry, position, current)
    if current is not None:
        remove_row(tables, bucket, entry.key, current)
        if bucket.is_watched:
            record_removal(tables, bucket, command, entry.key, None)
    return Removed(entry.key)


def _delete_version(
    tables: Tables, command: DeleteObject | DeleteObjects, bucket: StoredBucket, entry: DeleteEntry, version_id: str
) -> Removed | S3Error:
    """Remove a version for good. Removing one that is not there succeeds."""
    if not is_version_id(version_id):
        # What S3 says of one entry among many; a delete of one object is refused before it comes here.
        return NoSuchVersion(command.bucket, entry.key, version_id)
    version = tables.find_version(bucket.bucket_id, entry.key, version_id)
    if version is None:
        return Removed(entry.key, version_id)
    bypasses = command.bypasses_governance
    refused = check_owner(entry.condition, version.owner_id) or check_removable(
        tables, bucket, entry.key, version, command.time_ms, bypasses=bypasses
    )
    if refused is not None:
        return refused
    remove_version(tables, bucket, entry.key, version)
    if bucket.is_watched:
        record_removal(tables, bucket, command, entry.key, version_id)
    return Removed(entry.key, version_id, version_id if version.is_delete_marker else None)


def delete_object(tables: Tables, command: DeleteObject) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    entry = DeleteEntry(key=command.key, version_id=command.version_id, condition=command.condition)
    return _delete(tables, command, bucket, entry, 0)


def delete_objects(tables: Tables, command: DeleteObjects) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    entries = enumerate(command.entries)
    return RemovedMany(tuple([_delete(tables, command, bucket, entry, position) for position, entry in entries]))


# -- versions


def new_version_id(request_id: str, position: int = 0) -> str:
    """The id of the version that a command makes, or its entry at `position`. It is as random as the request id, of
    whose time it tells nothing."""
    digest = hashlib.sha256(f"{request_id}/{position}".encode()).digest()
    return base64.b64encode(digest[:_ID_BYTES], b"._").decode()


def absent_version(bucket: str, key: str, version_id: str | None) -> S3Error:
    """What is said of a version that is not there."""
    return NoSuchKey(bucket, key) if version_id is None else NoSuchVersion(bucket, key, version_id)


def check_removable(
    tables: Tables, bucket: StoredBucket, key: str, version: StoredVersion, time_ms: int, *, bypasses: bool = False
) -> S3Error | None:
    """The refusal to remove a version for good in a command of this time, or None: it is locked. Every command by which
    a version of a bucket that keeps versions goes asks this before its first change: deletes of a version, and writes
    and deletes that replace one. A bucket without versioning has no locks.

    It is the command's own time: where a clock was ahead for a while, what it released is locked again afterwards."""
    if bucket.object_lock is None or version.is_delete_marker:
        return None
    attributes = tables.object_attributes(bucket.bucket_id, key, version)
    locked = is_locked(attributes.retention, attributes.legal_hold, time_ms, bypasses=bypasses)
    return ObjectLocked() if locked else None


def check_lockable(tables: Tables, bucket: StoredBucket, attributes: ObjectAttributes, time_ms: int) -> S3Error | None:
    """The refusal to write a version with locks of its own."""
    if attributes.retention is None and attributes.legal_hold is None:
        return None
    if bucket.object_lock is None:
        return no_lock()
    return None if attributes.retention is None else check_future(attributes.retention, tables.lock_time(time_ms))


def write_version(
    tables: Tables,
    bucket: StoredBucket,
    command: PutObject,
    current: StoredVersion | None,
    *,
    is_garbage: bool = True,
    replica: PutReplica | None = None,
) -> Written | S3Error:
    """Make `command`'s object the current version of its key, instead of `current`, for which its condition holds. What
    is replaced becomes garbage if it `is_garbage`. `replica` is the command that it is a copy by.

    The versions of a key are in the order of a counter of its own, which goes on from the time: one that is deleted
    and written again does not begin anew.
    """
    if bucket.settings.ownership is not None and (
        command.attributes.grants is not None or command.owner.id != bucket.owner_id
    ):
        command = _with_owner(bucket, command)
    if bucket.versioning is not None:
        return _add_version(tables, bucket, command, current, replica)
    sequence = command.time_ms
    if current is not None:
        sequence = max(sequence, current.sequence + 1)
        handle = command.data.handle if isinstance(command.data, BlobRef) else None
        # An adoption may have brought in this very blob before the command of the write came.
        if is_garbage and current.handle is not None and current.handle != handle:
            tables.discard(current.handle)
    tables.remember_owner(command.owner)
    tables.write_version(bucket.bucket_id, command, NULL_VERSION, sequence, current)
    if bucket.is_watched:
        _record_write(tables, bucket, command, None)
    if bucket.keeps_usage:
        count_replacement(tables, bucket, command, current)
    return Written(None, command.time_ms)


def _add_version(
    tables: Tables, bucket: StoredBucket, command: PutObject, current: StoredVersion | None, replica: PutReplica | None
) -> Written | S3Error:
    """As `write_version`, in a bucket that keeps versions, or once did."""
    default = None
    if bucket.object_lock is not None:
        command, default = _with_default_lock(tables, bucket.object_lock, command)
    version_id, since_ms = _next_id(bucket, command.request_id, 0), command.time_ms
    if replica is not None:
        version_id, since_ms = replica.version_id, replica.sequence
    sequence = _make_way(tables, bucket, command.key, version_id, since_ms, command.condition, current)
    if isinstance(sequence, S3Error):
        return sequence
    if bucket.settings.replication is not None:
        command = queue_write(tables, bucket, command, version_id)
    tables.remember_owner(command.owner)
    tables.write_version(bucket.bucket_id, command, version_id, sequence, None)
    if bucket.is_watched:
        _record_write(tables, bucket, command, version_id)
    if bucket.keeps_usage:
        tables.add_usage(bucket.bucket_id, command.creator_id, 1, command.size)
    return Written(version_id, command.time_ms, default)


def _record_write(tables: Tables, bucket: StoredBucket, command: PutObject, version_id: str | None) -> None:
    origin = command.origin or UNKNOWN_ORIGIN
    record_event(
        tables,
        bucket,
        origin.event or "ObjectCreated:Put",
        command.key,
        command.time_ms,
        origin,
        version_id=version_id,
        size=command.size,
        etag=command.etag,
    )


def record_removal(
    tables: Tables,
    bucket: StoredBucket,
    command: DeleteObject | DeleteObjects | ApplyLifecycle | FollowProvider,
    key: str,
    version_id: str | None,
    *,
    is_marked: bool = False,
) -> None:
    """Keep the event of a removal, for good or by a delete marker. Call it where the bucket `is_watched`."""
    origin = command.origin or UNKNOWN_ORIGIN
    name = f"{origin.event or 'ObjectRemoved'}:{'DeleteMarkerCreated' if is_marked else 'Delete'}"
    shown = None if bucket.versioning is None else version_id
    record_event(tables, bucket, name, key, command.time_ms, origin, version_id=shown)


def _with_owner(bucket: StoredBucket, command: PutObject) -> PutObject:
    """The command with the owner that the bucket has for its object, and what is left of its ACL."""
    writer_id, settings = command.owner.id, bucket.settings
    attributes = attrs.evolve(command.attributes, grants=None)
    if is_given_away(settings, writer_id, bucket.owner_id, command.attributes.acl(writer_id)):
        return attrs.evolve(command, owner=Owner(bucket.owner_id, ""), attributes=attributes)
    return attrs.evolve(command, attributes=attributes) if is_enforced(settings) else command


def _with_default_lock(tables: Tables, lock: ObjectLock, command: PutObject) -> tuple[PutObject, Retention | None]:
    """The command with the default retention of its bucket, if it has none of its own, and that."""
    if lock.default is None or command.attributes.retention is not None:
        return command, None
    default = lock.default.from_time(tables.lock_time(command.time_ms))
    return attrs.evolve(command, attributes=attrs.evolve(command.attributes, retention=default)), default


def add_delete_marker(
    tables: Tables,
    bucket: StoredBucket,
    command: DeleteObject | DeleteObjects | ApplyLifecycle,
    entry: DeleteEntry,
    position: int,
    current: StoredVersion | None,
) -> Removed | S3Error:
    """Make a delete marker the latest version of a key, in a bucket that keeps versions, instead of `current`, for
    which the condition of `entry` holds."""
    version_id = _next_id(bucket, command.request_id, position)
    sequence = _make_way(tables, bucket, entry.key, version_id, command.time_ms, entry.condition, current)
    if isinstance(sequence, S3Error):
        return sequence
    owner_id = bucket.owner_id
    if command.owner is not None:
        owner_id = command.owner.id
        tables.remember_owner(command.owner)
    marker = DeleteMarker(entry.key, version_id, sequence, owner_id, command.time_ms, command.creator_id)
    _insert_marker(tables, bucket, marker)
    if bucket.is_watched:
        record_removal(tables, bucket, command, entry.key, version_id, is_marked=True)
    # "The delete markers added by the S3 Lifecycle expiration rule won't be replicated."
    if bucket.settings.replication is not None and not isinstance(command, ApplyLifecycle):
        queue_marker(tables, bucket, entry.key, version_id, command.time_ms)
    return Removed(entry.key, None, version_id)


def add_replica_marker(
    tables: Tables, bucket: StoredBucket, command: PutReplica, current: StoredVersion | None
) -> Written | S3Error:
    """Make the copy of a delete marker, under its own id, the latest version of a key instead of `current`."""
    key, version_id, time_ms = command.key, command.version_id, command.modified_ms
    sequence = _make_way(tables, bucket, key, version_id, command.sequence, UNCONDITIONAL, current)
    if isinstance(sequence, S3Error):
        return sequence
    tables.remember_owner(command.owner)
    marker = DeleteMarker(key, version_id, sequence, command.owner.id, time_ms, command.creator_id)
    _insert_marker(tables, bucket, marker)
    if bucket.is_watched:
        name = "ObjectRemoved:DeleteMarkerCreated"
        record_event(tables, bucket, name, key, command.time_ms, None, version_id=version_id)
    return Written(version_id, time_ms)


def add_older_replica(
    tables: Tables, bucket: StoredBucket, command: PutReplica, latest: StoredVersion
) -> Written | S3Error:
    """Insert the copy of a version that is older than the `latest` of its key by the sequence that it has at its
    source: behind that, where it was replaced before it came. Of two versions with one sequence it is the newer one,
    unless it would become the latest."""
    bucket_id, key, version_id = bucket.bucket_id, command.key, command.version_id
    sequence = min(command.sequence, latest.sequence - 1)
    while sequence < latest.sequence - 1 and tables.version_at(bucket_id, key, sequence) is not None:
        sequence += 1
    while tables.version_at(bucket_id, key, sequence) is not None:
        sequence -= 1
    tables.remember_owner(command.owner)
    written = command.written
    if written is None:
        owner_id, creator_id = command.owner.id, command.creator_id
        marker = DeleteMarker(key, version_id, sequence, owner_id, command.modified_ms, creator_id)
        _insert_marker(tables, bucket, marker)
    else:
        if bucket.settings.ownership is not None:
            written = _with_owner(bucket, written)
        if bucket.object_lock is not None:
            written, _ = _with_default_lock(tables, bucket.object_lock, written)
        tables.write_version(bucket_id, written, version_id, sequence, None)
        if bucket.keeps_usage:
            tables.add_usage(bucket_id, written.creator_id, 1, written.size)
        if bucket.is_watched:
            _record_write(tables, bucket, written, version_id)
    inserted = tables.version_at(bucket_id, key, sequence)
    assert inserted is not None
    tables.make_noncurrent(bucket_id, key, inserted, command.time_ms)
    return Written(version_id, command.modified_ms)


def _insert_marker(tables: Tables, bucket: StoredBucket, marker: DeleteMarker) -> None:
    tables.insert_delete_marker(bucket.bucket_id, marker)
    if bucket.keeps_usage:
        tables.add_usage(bucket.bucket_id, marker.creator_id, 1, 0)


def _next_id(bucket: StoredBucket, request_id: str, position: int) -> str:
    return new_version_id(request_id, position) if bucket.versioning == Versioning.ENABLED else NULL_VERSION


def _make_way(
    tables: Tables,
    bucket: StoredBucket,
    key: str,
    version_id: str,
    since_ms: int,
    condition: WriteCondition,
    current: StoredVersion | None,
) -> int | S3Error:
    """Prepare a key for another latest version, whose sequence is returned. A version that has the id "null" goes for
    another one that gets it, and what is current otherwise becomes an older version: from `since_ms` on, which is when
    the new one was made. Of a replica that is the sequence that it has at its source."""
    bucket_id = bucket.bucket_id
    replaced = tables.find_version(bucket_id, key, NULL_VERSION) if version_id == NULL_VERSION else None
    if replaced is not None:
        refused = check_owner(condition, replaced.owner_id) or check_removable(tables, bucket, key, replaced, since_ms)
        if refused is not None:
            return refused
    latest = current or tables.latest_version(bucket_id, key)
    sequence = since_ms if latest is None else max(since_ms, latest.sequence + 1)
    if replaced is not None:
        remove_row(tables, bucket, key, replaced)
    if latest is not None and latest != replaced and (latest.is_current or latest.is_delete_marker):
        tables.make_noncurrent(bucket_id, key, latest, since_ms)
    return sequence


def remove_version(
    tables: Tables, bucket: StoredBucket, key: str, version: StoredVersion, *, is_garbage: bool = True
) -> None:
    """Remove a version for good. If it was the latest and the next one is an object, that is current again. Nothing is
    checked."""
    bucket_id = bucket.bucket_id
    remove_row(tables, bucket, key, version, is_garbage=is_garbage)
    if bucket.versioning is not None and (version.is_current or version.is_delete_marker):
        latest = tables.latest_version(bucket_id, key)
        if latest is not None and not latest.is_current:
            tables.make_latest(bucket_id, key, latest)


def remove_row(
    tables: Tables, bucket: StoredBucket, key: str, version: StoredVersion, *, is_garbage: bool = True
) -> None:
    """Remove a version, whose blob becomes garbage if it `is_garbage`.

    The key may get this sequence again: where the clock was set back, or does not move. So uploads that began with this
    version remember that it is gone.
    """
    bucket_id = bucket.bucket_id
    tables.remove_version(bucket_id, key, version)
    if bucket.keeps_usage:
        tables.add_usage(bucket_id, version.creator_id, -1, -version.size)
    tables.set_replaced_sequence(bucket_id, key, version.sequence, GONE)
    if is_garbage and version.handle is not None:
        tables.discard(version.handle)
