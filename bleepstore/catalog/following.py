"""The command of backends that keep one object under each key. See `bleepstore.store.keyed_engine`."""

from __future__ import annotations

from bleepstore.catalog.objects import record_removal, remove_version, write_version
from bleepstore.catalog.port import Tables
from bleepstore.catalog.uploads import end_upload
from bleepstore.commands import FollowProvider, Removed, Result, Written
from bleepstore.errors import NoSuchBucket, OperationAborted
from bleepstore.model import BlobRef


def follow_provider(tables: Tables, command: FollowProvider) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if command.origin is None:
        bucket = bucket._replace(is_watched=False)
    bucket_id = bucket.bucket_id
    current = tables.current_version(bucket_id, command.key)
    handle = None if current is None else current.handle
    written = command.written
    stored = written.data.handle if written is not None and isinstance(written.data, BlobRef) else None
    is_known = handle is not None and handle == stored
    if handle != command.expected_current and not is_known:
        return OperationAborted("Another write of this key ended meanwhile.")
    if written is None:
        if current is not None:
            remove_version(tables, bucket, command.key, current, is_garbage=False)
            if bucket.is_watched:
                record_removal(tables, bucket, command, command.key, None)
        return Removed(command.key)
    if command.upload_id is not None:
        completed = tables.find_completed(bucket_id, command.upload_id, command.key)
        if completed is not None and completed.etag == written.etag and is_known:  # the completion was sent again
            return Written(completed.version_id, completed.modified_ms)
        initiator_id = tables.initiator_of(bucket_id, command.key, command.upload_id)
        if initiator_id is not None:
            end_upload(tables, bucket, command.upload_id, initiator_id)
            tables.keep_completed(bucket_id, command.upload_id, written, None)
    return write_version(tables, bucket, written, current, is_garbage=False)
