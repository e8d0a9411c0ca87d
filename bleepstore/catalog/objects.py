"""Commands on objects."""

from __future__ import annotations

from bleepstore.attributes import COLUMNS, columns_of
from bleepstore.catalog.rows import dump_acl, dump_parts
from bleepstore.catalog.transaction import Transaction
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
from bleepstore.errors import NoSuchBucket, NoSuchKey, NoSuchVersion, OperationAborted, PreconditionFailed, S3Error
from bleepstore.model import NULL_VERSION, BlobRef, Inline, Replaced, WriteCondition
from bleepstore.names import is_version_id

_OWN_COLUMNS = (
    "bucket_id, key, sequence, version_id, is_current, is_delete_marker, modified_ms, etag, size, owner_id, "
    "checksum_algorithm, checksum_type, checksum_value, crc64nvme, handle, inline_id, parts_count, parts"
)
_INSERT = (
    f"INSERT INTO object_version ({', '.join((_OWN_COLUMNS, *COLUMNS))}) "
    f"VALUES (?, ?, ?, ?, 1, 0, {', '.join('?' * (12 + len(COLUMNS)))})"
)


def current_version(tx: Transaction, bucket_id: int, key: str) -> tuple[int, str, str | None, int | None] | None:
    """(sequence, etag, handle, inline_id) of the version that a read without a version id sees."""
    return tx.row(
        "SELECT sequence, etag, handle, inline_id FROM object_version "
        "WHERE bucket_id = ? AND key = ? AND is_current = 1",
        (bucket_id, key),
    )


def check_write(condition: WriteCondition, etag: str | None, bucket: str, key: str) -> S3Error | None:
    """Judge a write's condition against the current version's ETag (None: there is no such object).

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


def write_version(tx: Transaction, bucket_id: int, command: PutObject) -> Written:
    """Make `command`'s object the current version; the one it replaces becomes garbage. Nothing is judged here."""
    replaced = current_version(tx, bucket_id, command.key)
    inline_id = tx.index if isinstance(command.data, Inline) else None
    handle = command.data.handle if isinstance(command.data, BlobRef) else None
    if replaced is not None and replaced[3] is not None and isinstance(command.data, Inline):
        # In the place of the bytes that it replaces: fewer pages change than by a delete and an insert.
        sequence, etag, _, inline_id = replaced
        tx.run("UPDATE inline_data SET data = ? WHERE inline_id = ?", (command.data.data, inline_id))
        replaced = (sequence, etag, None, None)
    elif isinstance(command.data, Inline):
        tx.run("INSERT INTO inline_data VALUES (?, ?)", (inline_id, command.data.data))
    if replaced is not None:
        # An adoption may have brought in this very blob before the command of the write came.
        _remove(tx, bucket_id, command.key, replaced, is_garbage=command.over is None and replaced[2] != handle)
    checksum = command.checksum
    tx.remember_owner(command.owner)
    tx.run(
        _INSERT,
        (
            bucket_id,
            command.key,
            -tx.index,
            command.version_id,
            command.time_ms,
            command.etag,
            command.size,
            command.owner.id,
            checksum and checksum.algorithm.value,
            checksum and checksum.type.value,
            checksum and checksum.value,
            command.crc64nvme,
            handle,
            inline_id,
            len(command.parts) or None,
            dump_parts(command.parts),
            *columns_of(command.attributes),
        ),
    )
    return Written(command.version_id, command.time_ms)


def put_object(tx: Transaction, command: PutObject) -> Result:
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    if refusal := tx.swept_away(command.stored_ms):
        return refusal
    handle = command.data.handle if isinstance(command.data, BlobRef) else None
    if refused := check_over(tx, bucket_id, command.key, command.over, handle):
        return refused
    if command.condition and command.over is None:
        current = current_version(tx, bucket_id, command.key)
        refused = check_write(command.condition, current[1] if current else None, command.bucket, command.key)
        if refused is not None:
            return refused
    return write_version(tx, bucket_id, command)


def check_over(
    tx: Transaction, bucket_id: int, key: str, over: Replaced | None, written: str | None = None
) -> S3Error | None:
    """Refuse a write if the blob that it replaced at the backend is no longer the one that the catalog knows.

    If the catalog knows already what was `written`, somebody read it there before this command came.
    """
    if over is None:
        return None
    current = current_version(tx, bucket_id, key)
    handle = None if current is None else current[2]
    if handle == over.handle or (handle is not None and handle == written):
        return None
    return OperationAborted("Another write of this key ended meanwhile.")


def _remove(
    tx: Transaction,
    bucket_id: int,
    key: str,
    version: tuple[int, str, str | None, int | None],
    *,
    is_garbage: bool = True,
) -> None:
    sequence, _etag, handle, inline_id = version
    tx.run("DELETE FROM object_version WHERE bucket_id = ? AND key = ? AND sequence = ?", (bucket_id, key, sequence))
    if inline_id is not None:
        tx.run("DELETE FROM inline_data WHERE inline_id = ?", (inline_id,))
    if handle is not None and is_garbage:
        tx.discard(handle)


def _delete(
    tx: Transaction, bucket: str, bucket_id: int, entry: DeleteEntry, *, is_garbage: bool = True
) -> Removed | S3Error:
    if entry.version_id not in (None, NULL_VERSION):
        if not is_version_id(entry.version_id or ""):
            # What S3 says of one entry among many; a delete of one object is refused before it comes here.
            return NoSuchVersion(bucket, entry.key, entry.version_id or "")
        # An unversioned bucket has no such version, and removing what is not there succeeds.
        return Removed(entry.key, entry.version_id)
    current = current_version(tx, bucket_id, entry.key)
    if entry.condition:
        refused = check_write(entry.condition, current[1] if current else None, bucket, entry.key)
        if refused is not None:
            return refused
    if current is not None:
        _remove(tx, bucket_id, entry.key, current, is_garbage=is_garbage)
    return Removed(entry.key, entry.version_id)


def delete_object(tx: Transaction, command: DeleteObject) -> Result:
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    if refused := check_over(tx, bucket_id, command.key, command.over):
        return refused
    condition = command.condition if command.over is None else WriteCondition()
    entry = DeleteEntry(key=command.key, version_id=command.version_id, condition=condition)
    return _delete(tx, command.bucket, bucket_id, entry, is_garbage=command.over is None)


def delete_objects(tx: Transaction, command: DeleteObjects) -> Result:
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    return RemovedMany(tuple(_delete(tx, command.bucket, bucket_id, entry) for entry in command.entries))


def put_object_acl(tx: Transaction, command: PutObjectAcl) -> Result:
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    if command.version_id not in (None, NULL_VERSION):
        return NoSuchVersion(command.bucket, command.key, command.version_id or "")
    row = tx.row(
        "SELECT sequence, owner_id FROM object_version WHERE bucket_id = ? AND key = ? AND is_current = 1",
        (bucket_id, command.key),
    )
    if row is None:
        return NoSuchKey(command.bucket, command.key)
    tx.run(
        "UPDATE object_version SET grants = ? WHERE bucket_id = ? AND key = ? AND sequence = ?",
        (dump_acl(command.acl, row[1]), bucket_id, command.key, row[0]),
    )
    return Done()
