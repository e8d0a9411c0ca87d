"""The command of backends that keep one object under each key. See `bleepstore.store.keyed_engine`."""

from __future__ import annotations

from bleepstore.catalog.objects import current_version, remove_version, write_version
from bleepstore.catalog.transaction import Transaction
from bleepstore.catalog.uploads import end_completed
from bleepstore.commands import FollowProvider, Removed, Result, Written
from bleepstore.errors import NoSuchBucket, OperationAborted
from bleepstore.model import BlobRef


def follow_provider(tx: Transaction, command: FollowProvider) -> Result:
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    current = current_version(tx, bucket_id, command.key)
    handle = None if current is None else current[2]
    written = command.written
    stored = written.data.handle if written is not None and isinstance(written.data, BlobRef) else None
    is_known = handle is not None and handle == stored
    if handle != command.expected_current and not is_known:
        return OperationAborted("Another write of this key ended meanwhile.")
    if written is None:
        if current is not None:
            remove_version(tx, bucket_id, command.key, current, is_garbage=False)
        return Removed(command.key)
    if command.upload_id is not None:
        upload = (command.upload_id, bucket_id, command.key)
        ended = tx.row(
            "SELECT completed_ms FROM completed_upload WHERE upload_id = ? AND bucket_id = ? AND key = ?", upload
        )
        if ended is not None and is_known:  # the completion was sent again
            return Written(written.version_id, ended[0])
        is_under_way = "SELECT 1 FROM upload WHERE upload_id = ? AND bucket_id = ? AND key = ?"
        if tx.row(is_under_way, upload) is not None:
            end_completed(tx, bucket_id, command.upload_id, written)
    return write_version(tx, bucket_id, written, is_garbage=False)
