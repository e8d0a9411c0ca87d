"""The command by which a bucket's lifecycle ends, removes and changes versions."""

from __future__ import annotations

import attrs

from bleepstore.bucket_settings import digest_of
from bleepstore.catalog.events import record_event
from bleepstore.catalog.objects import add_delete_marker, check_removable, record_removal, remove_version
from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredBucket, StoredVersion
from bleepstore.commands import ApplyLifecycle, DeleteEntry, LifecycleApplied, LifecycleEntry, Result
from bleepstore.errors import NoSuchBucket, OperationAborted, S3Error
from bleepstore.lifecycle_due import Act


def apply_lifecycle(tables: Tables, command: ApplyLifecycle) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if digest_of(tables.setting_document(bucket.bucket_id, "lifecycle")) != command.rules_digest:
        return OperationAborted("The rules of the lifecycle were changed meanwhile.")
    changed = refused = 0
    for position, entry in enumerate(command.entries):
        version = tables.version_at(bucket.bucket_id, entry.key, entry.sequence)
        if version is None or not _is_as_decided(tables, bucket.bucket_id, entry, version):
            continue
        if _act(tables, bucket, command, position, version) is None:
            changed += 1
        else:
            refused += 1
    return LifecycleApplied(changed, refused)


def _is_as_decided(tables: Tables, bucket_id: int, entry: LifecycleEntry, version: StoredVersion) -> bool:
    """Whether what was decided for a version is still due for it."""
    key = entry.key
    expected = None if version.is_delete_marker else entry.expected_tags
    if expected is not None and tables.object_attributes(bucket_id, key, version).tags != expected:
        return False
    match entry.act:
        case Act.EXPIRE:
            return version.is_current
        case Act.REMOVE_NONCURRENT:
            latest = tables.latest_version(bucket_id, key)
            is_older = latest is not None and latest.sequence != version.sequence
            return is_older and tables.newer_noncurrent(bucket_id, key, entry.sequence, entry.newer) >= entry.newer
        case Act.REMOVE_MARKER:
            return version.is_delete_marker and tables.is_only_version(bucket_id, key, version)
        case Act.TRANSITION:
            if version.is_delete_marker:
                return False
            return tables.newer_noncurrent(bucket_id, key, entry.sequence, entry.newer) >= entry.newer


def _act(
    tables: Tables, bucket: StoredBucket, command: ApplyLifecycle, position: int, version: StoredVersion
) -> S3Error | None:
    """The refusal, if something forbids it."""
    entry, bucket_id = command.entries[position], bucket.bucket_id
    if entry.storage_class is not None:
        attributes = tables.object_attributes(bucket_id, entry.key, version)
        attributes = attrs.evolve(attributes, storage_class=entry.storage_class)
        tables.set_object_attributes(bucket_id, entry.key, version, attributes)
        if bucket.is_watched:
            _record_transition(tables, bucket, command, entry, version)
        return None
    if entry.act is Act.EXPIRE and bucket.versioning is not None:
        marked = add_delete_marker(tables, bucket, command, DeleteEntry(key=entry.key), position, version)
        return marked if isinstance(marked, S3Error) else None
    if refused := check_removable(tables, bucket, entry.key, version, command.time_ms):
        return refused
    remove_version(tables, bucket, entry.key, version)
    if bucket.is_watched:
        record_removal(tables, bucket, command, entry.key, version.version_id)
    return None


def _record_transition(
    tables: Tables, bucket: StoredBucket, command: ApplyLifecycle, entry: LifecycleEntry, version: StoredVersion
) -> None:
    record_event(
        tables,
        bucket,
        "LifecycleTransition",
        entry.key,
        command.time_ms,
        None,
        version_id=None if bucket.versioning is None else version.version_id,
        etag=version.etag,
        storage_class=entry.storage_class,
    )
