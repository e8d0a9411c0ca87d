"""The command of backends that keep one object under each key. See `bleepstore.store.keyed_engine`."""

from __future__ import annotations

from bleepstore.catalog.objects import write_version
from bleepstore.catalog.port import Tables
from bleepstore.commands import FollowProvider, Removed, Result
from bleepstore.errors import NoSuchBucket, OperationAborted
from bleepstore.model import BlobRef


def follow_provider(tables: Tables, command: FollowProvider) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    current = tables.current_version(bucket.bucket_id, command.key)
    handle = None if current is None else current.handle
    written = command.written
    stored = written.data.handle if written is not None and isinstance(written.data, BlobRef) else None
    is_known = handle is not None and handle == stored
    if handle != command.expected_current and not is_known:
        return OperationAborted("Another write of this key ended meanwhile.")
    if written is None:
        if current is not None:
            tables.remove_current(bucket.bucket_id, command.key, current)
        return Removed(command.key)
    upload_id = command.upload_id
    if upload_id is not None and tables.upload_token(bucket.bucket_id, command.key, upload_id) is not None:
        tables.discard_upload(upload_id)
    return write_version(tables, bucket.bucket_id, written, current, is_garbage=False)
