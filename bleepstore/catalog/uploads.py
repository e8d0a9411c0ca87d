"""Commands on multipart uploads."""

from __future__ import annotations

import attrs

from bleepstore.acl_rules import check_public
from bleepstore.catalog.conditions import check_current
from bleepstore.catalog.objects import check_lockable, write_version
from bleepstore.catalog.port import Tables
from bleepstore.catalog.quotas import check_quota, growth_by_write
from bleepstore.catalog.records import CompletedUpload, StoredBucket, StoredVersion
from bleepstore.catalog.sweeps import check_fence
from bleepstore.commands import (
    AbortUpload,
    CompleteUpload,
    CreateUpload,
    Done,
    PutObject,
    RegisterPart,
    Result,
    Written,
)
from bleepstore.errors import ConditionalRequestConflict, NoSuchBucket, NoSuchUpload, OperationAborted, S3Error
from bleepstore.events import Origin
from bleepstore.model import NULL_VERSION, BlobRef, ObjectAttributes, Upload, is_arn
from bleepstore.preconditions import UNCONDITIONAL
from bleepstore.quotas import Growth, Usage

_BY_COMPLETION = Origin(event="ObjectCreated:CompleteMultipartUpload")


def create_upload(tables: Tables, command: CreateUpload) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if refused := check_lockable(tables, bucket, command.attributes, command.time_ms):
        return refused
    if refused := check_public(bucket.settings, command.attributes.grants):
        return refused
    tables.remember_owner(command.owner)
    if not is_arn(command.initiator.id):
        tables.remember_owner(command.initiator)
    current = tables.current_version(bucket.bucket_id, command.key)
    tables.insert_upload(bucket.bucket_id, command, current and current.sequence)
    return Done()


def register_part(tables: Tables, command: RegisterPart) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    initiator_id = tables.initiator_of(bucket.bucket_id, command.key, command.upload_id)
    if initiator_id is None:
        return NoSuchUpload(command.upload_id, command.bucket, command.key)
    if refusal := check_fence(tables, command.stored_ms):
        return refusal
    previous = tables.find_part(command.upload_id, command.number)
    more = command.size - (0 if previous is None else previous[1])
    if bucket.keeps_usage:
        growth = Growth.by(initiator_id, Usage(0, more))
        if exceeded := check_quota(tables, bucket, growth):
            return exceeded
    if previous is not None and previous[0] != command.handle:
        tables.discard_part(command.upload_id, command.number)
    tables.put_part(command)
    if bucket.keeps_usage:
        tables.add_usage(bucket.bucket_id, initiator_id, 0, more)
    return Done()


def end_upload(tables: Tables, bucket: StoredBucket, upload_id: str, initiator_id: str) -> None:
    """Remove an upload and its parts, which become garbage."""
    if bucket.keeps_usage:
        tables.add_usage(bucket.bucket_id, initiator_id, 0, -tables.parts_size(upload_id))
    tables.discard_upload(upload_id)


def _check_quota(
    tables: Tables, bucket: StoredBucket, completed: PutObject, upload_id: str, current: StoredVersion | None
) -> S3Error | None:
    """The parts, which count too, go when the object comes."""
    if not bucket.keeps_usage:
        return None
    growth, parts = growth_by_write(tables, bucket, completed, current), tables.parts_size(upload_id)
    made = [Usage(more.objects, more.bytes - parts) for more in (growth.bucket, growth.creator)]
    return check_quota(tables, bucket, Growth(growth.creator_id, *made))


def _check_condition(tables: Tables, current: StoredVersion | None, command: CompleteUpload) -> S3Error | None:
    """A conditional Complete whose condition holds is refused when the key changed since the upload was created.

    "If a conflicting operation occurs during the upload S3 returns a 409 ConditionalRequestConflict response."
    """
    if command.condition is UNCONDITIONAL:
        return None
    if refused := check_current(command.condition, current, command.bucket, command.key):
        return refused
    if not command.condition.is_of_etag:
        return None
    if tables.replaced_sequence(command.upload_id) != (current and current.sequence):
        return ConditionalRequestConflict(command.bucket, command.key, command.condition.kind)
    return None


def _check_parts(tables: Tables, command: CompleteUpload) -> S3Error | None:
    handles = tables.part_handles(command.upload_id)
    for part in command.assembled:
        if handles.get(part.number) != part.handle:
            return OperationAborted("A part was uploaded again while the upload was completed. Try again.")
    return None


def complete_upload(tables: Tables, command: CompleteUpload) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    bucket_id = bucket.bucket_id
    upload = tables.find_upload(command.bucket, bucket_id, command.key, command.upload_id)
    if upload is None:
        # A Complete that is sent again gives the first answer, as long as the ETag that it would make is the same.
        done = tables.find_completed(bucket_id, command.upload_id, command.key)
        if done is not None and done.etag == command.etag:
            return _written_before(tables, bucket_id, command.key, done)
        return NoSuchUpload(command.upload_id, command.bucket, command.key)
    if command.stored_ms is not None and (fenced := check_fence(tables, command.stored_ms)):
        return fenced
    current = tables.current_version(bucket_id, command.key)
    if refusal := _check_condition(tables, current, command) or _check_parts(tables, command):
        return refusal
    completed = completed_object(command, upload)
    if refusal := _check_quota(tables, bucket, completed, command.upload_id, current):
        return refusal
    written = write_version(tables, bucket, completed, current)
    if isinstance(written, Written):
        end_upload(tables, bucket, command.upload_id, upload.initiator.id)
        tables.keep_completed(bucket_id, command.upload_id, completed, written.version_id)
    return written


def _written_before(tables: Tables, bucket_id: int, key: str, done: CompletedUpload) -> Written:
    """What a completion gave, with the retention that its version has."""
    version = tables.find_version(bucket_id, key, done.version_id or NULL_VERSION)
    retention = None if version is None else tables.object_attributes(bucket_id, key, version).retention
    return Written(done.version_id, done.modified_ms, retention)


def completed_object(command: CompleteUpload, upload: Upload) -> PutObject:
    """What a completion writes, as the command that would write it without the upload."""
    return PutObject(
        request_id=command.request_id,
        time_ms=command.time_ms,
        bucket=command.bucket,
        bucket_id=command.bucket_id,
        key=command.key,
        owner=upload.owner,
        creator_id=upload.creator_id,
        size=command.size,
        etag=command.etag,
        data=BlobRef(command.handle),
        attributes=_completed_attributes(command, upload),
        checksum=command.checksum,
        crc64nvme=command.crc64nvme,
        parts=command.parts,
        condition=command.condition,
        origin=command.origin or _BY_COMPLETION,
    )


def _completed_attributes(command: CompleteUpload, upload: Upload) -> ObjectAttributes:
    """Encrypted parts can only be read by the numbers under which they were uploaded."""
    attributes = upload.attributes
    if attributes.encryption is None:
        return attributes
    numbers = [part.number for part in command.assembled]
    return attrs.evolve(attributes, encryption=attributes.encryption.with_part_numbers(numbers))


def abort_upload(tables: Tables, command: AbortUpload) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    initiator_id = tables.initiator_of(bucket.bucket_id, command.key, command.upload_id)
    if initiator_id is None:
        return NoSuchUpload(command.upload_id, command.bucket, command.key)
    end_upload(tables, bucket, command.upload_id, initiator_id)
    return Done()
