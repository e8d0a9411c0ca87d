"""Commands on objects."""

from __future__ import annotations

from bleepstore.acl_rules import check_public
from bleepstore.catalog.conditions import check_current, check_owner, check_write
from bleepstore.catalog.port import Tables
from bleepstore.catalog.quotas import check_quota, growth_by_write
from bleepstore.catalog.records import StoredBucket
from bleepstore.catalog.sweeps import check_fence
from bleepstore.catalog.versions import (
    add_delete_marker,
    check_lockable,
    check_removable,
    record_removal,
    remove_row,
    remove_version,
    write_version,
)
from bleepstore.commands import (
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    PutObject,
    Removed,
    RemovedMany,
    Result,
)
from bleepstore.errors import NoSuchBucket, NoSuchVersion, S3Error
from bleepstore.model import UNCONDITIONAL
from bleepstore.names import is_version_id


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
