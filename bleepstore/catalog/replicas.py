"""What apply does with copies of versions in other buckets."""

from __future__ import annotations

import attrs

from bleepstore.acl_rules import check_public, is_enforced
from bleepstore.catalog.objects import add_older_replica, add_replica_marker, write_version
from bleepstore.catalog.port import Tables
from bleepstore.catalog.quotas import check_quota
from bleepstore.catalog.records import StoredBucket
from bleepstore.catalog.sweeps import check_fence
from bleepstore.commands import Done, PutObject, PutReplica, PutReplicaAttributes, Result, Written
from bleepstore.errors import InvalidRequest, NoSuchBucket, NoSuchVersion, S3Error
from bleepstore.model import BlobRef, Versioning
from bleepstore.object_lock import check_change, no_lock
from bleepstore.quotas import Growth, Usage


def put_replica(tables: Tables, command: PutReplica) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    written = command.written
    if written is not None and written.stored_ms is not None and (fenced := check_fence(tables, written.stored_ms)):
        return fenced
    known = tables.find_version(bucket.bucket_id, command.key, command.version_id)
    if known is not None:
        # It came before, and nobody was told: the bytes that came again are not needed.
        if written is not None and isinstance(written.data, BlobRef) and written.data.handle != known.handle:
            tables.discard(written.data.handle)
        return Written(command.version_id, command.modified_ms)
    if bucket.versioning != Versioning.ENABLED:
        return InvalidRequest("Destination bucket must have versioning enabled.")
    if bucket.keeps_usage:
        growth = Growth.by(command.creator_id, Usage(1, 0 if written is None else written.size))
        if exceeded := check_quota(tables, bucket, growth):
            return exceeded
    if written is not None and (refused := _check(bucket, written)):
        return refused
    latest = tables.latest_version(bucket.bucket_id, command.key)
    if latest is not None and command.sequence <= latest.sequence:
        return add_older_replica(tables, bucket, command, latest)
    current = None if latest is None or not latest.is_current else latest
    if written is None:
        return add_replica_marker(tables, bucket, command, current)
    return write_version(tables, bucket, written, current, replica=command)


def _check(bucket: StoredBucket, written: PutObject) -> S3Error | None:
    """What is refused of a copy, whose locks may be over by now."""
    attributes = written.attributes
    if bucket.object_lock is None and (attributes.retention is not None or attributes.legal_hold):
        return no_lock()
    return check_public(bucket.settings, attributes.grants)


def put_replica_attributes(tables: Tables, command: PutReplicaAttributes) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    version = tables.find_version(bucket.bucket_id, command.key, command.version_id)
    if version is None or version.is_delete_marker:
        return NoSuchVersion(command.bucket, command.key, command.version_id)
    old, given = tables.object_attributes(bucket.bucket_id, command.key, version), command.attributes
    if command.keeps_acl:
        given = attrs.evolve(given, grants=old.grants)
    elif given.grants is not None and (refused := check_public(bucket.settings, given.grants)):
        return refused
    made = attrs.evolve(old, tags=given.tags)
    if not is_enforced(bucket.settings):
        made = attrs.evolve(made, grants=given.grants)
    if bucket.object_lock is not None:
        weakens = check_change(old.retention, given.retention, command.time_ms, bypasses=False) is not None
        made = attrs.evolve(
            made,
            retention=old.retention if weakens else given.retention,
            legal_hold=old.legal_hold or given.legal_hold,
        )
    tables.set_object_attributes(bucket.bucket_id, command.key, version, made)
    return Done()
