"""Commands on objects."""

from __future__ import annotations

from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredVersion
from bleepstore.catalog.sweeps import check_fence
from bleepstore.commands import (
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    Done,
    PutObject,
    PutObjectAcl,
    Removed,
    RemovedMany,
    Result,
    Written,
)
from bleepstore.errors import (
    AccessDenied,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    OperationAborted,
    PreconditionFailed,
    S3Error,
)
from bleepstore.model import NULL_VERSION, BlobRef, WriteCondition
from bleepstore.names import is_version_id

#: The sequence of no version, for uploads that began with one that was deleted since.
GONE = -1


def check_write(condition: WriteCondition, etag: str | None, bucket: str, key: str) -> S3Error | None:
    """Evaluate a write's condition on the current version's ETag (None: there is no such object).

    "If-Match on a key that does not exist: 404 Not Found" (S3 guide, "How to prevent object overwrites").
    """
    if condition.if_none_match and etag is not None:
        return PreconditionFailed(condition.kind, bucket, key)
    if condition.if_match is not None:
        if etag is None:
            return NoSuchKey(bucket, key)
        if condition.if_match not in ("*", etag):
            return PreconditionFailed(condition.kind, bucket, key)
    return None


def check_owner(condition: WriteCondition, owner_id: str | None) -> S3Error | None:
    """Refuse to replace or delete the object of an account that it must not be of. None: there is no object."""
    if condition.replaces_only_of is None or owner_id in (None, condition.replaces_only_of):
        return None
    return AccessDenied()


def check_current(condition: WriteCondition, current: StoredVersion | None, bucket: str, key: str) -> S3Error | None:
    """Evaluate a write's condition, first of all whether the caller may touch what is there."""
    if current is None:
        return check_write(condition, None, bucket, key)
    return check_owner(condition, current.owner_id) or check_write(condition, current.etag, bucket, key)


def write_version(
    tables: Tables, bucket_id: int, command: PutObject, current: StoredVersion | None, *, is_garbage: bool = True
) -> Written:
    """Make `command`'s object the current version instead of `current`, whose blob becomes garbage if it `is_garbage`.
    Nothing is checked.

    The versions of a key are in the order of a counter of its own, which goes on from the time: one that is deleted
    and written again does not begin anew.
    """
    sequence = command.time_ms
    if current is not None:
        sequence = max(sequence, current.sequence + 1)
        handle = command.data.handle if isinstance(command.data, BlobRef) else None
        # An adoption may have brought in this very blob before the command of the write came.
        if is_garbage and current.handle is not None and current.handle != handle:
            tables.discard(current.handle)
    tables.remember_owner(command.owner)
    tables.write_version(bucket_id, command, sequence, current)
    return Written(command.version_id, command.time_ms)


def remove_version(tables: Tables, bucket_id: int, key: str, current: StoredVersion) -> None:
    """Remove the current version of a key. Its blob is not looked at.

    The key may get this sequence again: where the clock was set back, or does not move. So uploads that began with this
    version remember that it is gone.
    """
    tables.remove_current(bucket_id, key, current)
    tables.set_replaced_sequence(bucket_id, key, current.sequence, GONE)


def put_object(tables: Tables, command: PutObject) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if command.stored_ms is not None and (refusal := check_fence(tables, command.stored_ms)):
        return refusal
    current = tables.current_version(bucket.bucket_id, command.key)
    refused = None
    if command.condition:
        refused = check_current(command.condition, current, command.bucket, command.key)
    return refused or write_version(tables, bucket.bucket_id, command, current)


def _delete(
    tables: Tables, command: DeleteObject | DeleteObjects, bucket_id: int, entry: DeleteEntry
) -> Removed | S3Error:
    if entry.version_id not in (None, NULL_VERSION):
        if not is_version_id(entry.version_id or ""):
            # What S3 says of one entry among many; a delete of one object is refused before it comes here.
            return NoSuchVersion(command.bucket, entry.key, entry.version_id or "")
        # An unversioned bucket has no such version, and removing what is not there succeeds.
        return Removed(entry.key, entry.version_id)
    current = tables.current_version(bucket_id, entry.key)
    if entry.condition:
        refused = check_current(entry.condition, current, command.bucket, entry.key)
        if refused is not None:
            return refused
    if current is not None:
        remove_version(tables, bucket_id, entry.key, current)
        if current.handle is not None:
            tables.discard(current.handle)
    return Removed(entry.key, entry.version_id)


def delete_object(tables: Tables, command: DeleteObject) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    entry = DeleteEntry(key=command.key, version_id=command.version_id, condition=command.condition)
    return _delete(tables, command, bucket.bucket_id, entry)


def delete_objects(tables: Tables, command: DeleteObjects) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    return RemovedMany(tuple(_delete(tables, command, bucket.bucket_id, entry) for entry in command.entries))


def put_object_acl(tables: Tables, command: PutObjectAcl) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if command.version_id not in (None, NULL_VERSION):
        return NoSuchVersion(command.bucket, command.key, command.version_id or "")
    current = tables.current_version(bucket.bucket_id, command.key)
    if current is None:
        return NoSuchKey(command.bucket, command.key)
    is_expected = command.expected_sequence in (None, current.sequence)
    if is_expected and command.expected_acl is not None:
        is_expected = command.expected_acl == tables.object_acl(bucket.bucket_id, command.key, current)
    if not is_expected:
        return OperationAborted("The object was replaced, or its ACL was changed, meanwhile. Try again.")
    tables.set_object_acl(bucket.bucket_id, command.key, current, command.acl)
    return Done()
