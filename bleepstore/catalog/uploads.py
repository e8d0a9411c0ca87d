"""Commands on multipart uploads."""

from __future__ import annotations

from bleepstore.attributes import COLUMNS, columns_of
from bleepstore.catalog.objects import check_over, check_write, current_version, write_version
from bleepstore.catalog.rows import UPLOAD_COLUMNS, UPLOAD_OWNERS, make_upload
from bleepstore.catalog.transaction import Transaction
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
from bleepstore.model import BlobRef, Upload

_OWN_COLUMNS = (
    "bucket_id, key, upload_id, initiated_ms, owner_id, initiator_id, checksum_algorithm, checksum_type, "
    "backend_token, replaced_sequence"
)
_INSERT = f"INSERT INTO upload ({', '.join((_OWN_COLUMNS, *COLUMNS))}) VALUES ({', '.join('?' * (10 + len(COLUMNS)))})"

Located = CompleteUpload | AbortUpload | RegisterPart


def _locate(tx: Transaction, command: Located) -> int | S3Error:
    """The bucket's id, if the upload belongs to this bucket and key."""
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    found = tx.row(
        "SELECT 1 FROM upload WHERE bucket_id = ? AND key = ? AND upload_id = ?",
        (bucket_id, command.key, command.upload_id),
    )
    return NoSuchUpload(command.upload_id, command.bucket, command.key) if found is None else bucket_id


def create_upload(tx: Transaction, command: CreateUpload) -> Result:
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    tx.remember_owner(command.owner)
    tx.remember_owner(command.initiator)
    replaced = current_version(tx, bucket_id, command.key)
    tx.run(
        _INSERT,
        (
            bucket_id,
            command.key,
            command.upload_id,
            command.time_ms,
            command.owner.id,
            command.initiator.id,
            command.checksum_algorithm and command.checksum_algorithm.value,
            command.checksum_type and command.checksum_type.value,
            command.backend_token,
            replaced and replaced[0],
            *columns_of(command.attributes),
        ),
    )
    return Done()


def register_part(tx: Transaction, command: RegisterPart) -> Result:
    located = _locate(tx, command)
    if isinstance(located, S3Error):
        return located
    if refusal := tx.swept_away(command.stored_ms):
        return refusal
    previous = tx.row(
        "SELECT p.handle, u.backend_token FROM part p JOIN upload u ON u.upload_id = p.upload_id "
        "WHERE p.upload_id = ? AND p.number = ?",
        (command.upload_id, command.number),
    )
    if previous is not None and previous[0] != command.handle:
        tx.discard(previous[0], previous[1])
    checksum = command.checksum
    tx.run(
        "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            command.upload_id,
            command.number,
            command.size,
            command.etag,
            command.time_ms,
            checksum and checksum.algorithm.value,
            checksum and checksum.value,
            command.crc64nvme,
            command.handle,
        ),
    )
    return Done()


def _condition_refused(tx: Transaction, bucket_id: int, command: CompleteUpload) -> S3Error | None:
    """A conditional Complete whose condition holds is refused when the key changed since the upload was created.

    "If a conflicting operation occurs during the upload S3 returns a 409 ConditionalRequestConflict response."
    """
    if not command.condition:
        return None
    current = current_version(tx, bucket_id, command.key)
    if refused := check_write(command.condition, current and current[1], command.bucket, command.key):
        return refused
    at_create = tx.row("SELECT replaced_sequence FROM upload WHERE upload_id = ?", (command.upload_id,))
    if at_create is not None and at_create[0] != (current and current[0]):
        return ConditionalRequestConflict(command.bucket, command.key, command.condition.kind)
    return None


def _parts_changed(tx: Transaction, command: CompleteUpload) -> S3Error | None:
    stored = tx.connection.execute("SELECT number, handle FROM part WHERE upload_id = ?", (command.upload_id,))
    handles: dict[int, str] = dict(stored.fetchall())  # type: ignore[arg-type]  # rows of two columns
    if any(handles.get(part.number) != part.handle for part in command.assembled):
        return OperationAborted("A part was uploaded again while the upload was completed. Try again.")
    return None


def complete_upload(tx: Transaction, command: CompleteUpload) -> Result:
    located = _locate(tx, command)
    if isinstance(located, S3Error):
        return _completed_before(tx, command) or located
    refusal = tx.swept_away(command.stored_ms) or check_over(tx, located, command.key, command.over, command.handle)
    if command.over is None:  # else the object lies under its key already: there is nothing more to ask
        refusal = refusal or _condition_refused(tx, located, command) or _parts_changed(tx, command)
    if refusal:
        return refusal
    row = tx.row(f"SELECT {UPLOAD_COLUMNS} FROM upload u {UPLOAD_OWNERS} WHERE upload_id = ?", (command.upload_id,))
    assert row is not None
    written = write_version(tx, located, completed_object(command, make_upload(command.bucket, row)))
    remove_upload(tx, command.upload_id)
    tx.run(
        "INSERT INTO completed_upload VALUES (?, ?, ?, ?, ?)",
        (command.upload_id, located, command.key, command.etag, command.time_ms),
    )
    return written


def completed_object(command: CompleteUpload, upload: Upload) -> PutObject:
    """What a completion writes, as the command that would write it without the upload."""
    return PutObject(
        request_id=command.request_id,
        time_ms=command.time_ms,
        bucket=command.bucket,
        key=command.key,
        version_id=command.version_id,
        owner=upload.owner,
        size=command.size,
        etag=command.etag,
        data=BlobRef(command.handle),
        attributes=upload.attributes,
        checksum=command.checksum,
        crc64nvme=command.crc64nvme,
        parts=command.parts,
        over=command.over,
    )


def _completed_before(tx: Transaction, command: CompleteUpload) -> Written | None:
    """A Complete that is sent again gives the first answer, as long as the ETag that it would make is the same."""
    bucket_id = tx.bucket_id(command.bucket)
    row = tx.row(
        "SELECT completed_ms FROM completed_upload WHERE upload_id = ? AND bucket_id = ? AND key = ? AND etag = ?",
        (command.upload_id, bucket_id, command.key, command.etag),
    )
    return None if row is None else Written(command.version_id, row[0])


def abort_upload(tx: Transaction, command: AbortUpload) -> Result:
    located = _locate(tx, command)
    if isinstance(located, S3Error):
        return located
    remove_upload(tx, command.upload_id)
    return Done()


def remove_upload(tx: Transaction, upload_id: str) -> None:
    tx.run(
        "INSERT INTO garbage (handle, token) SELECT p.handle, u.backend_token FROM part p JOIN upload u "
        "ON u.upload_id = p.upload_id WHERE p.upload_id = ? ORDER BY p.number",
        (upload_id,),
    )
    tx.run("DELETE FROM part WHERE upload_id = ?", (upload_id,))
    tx.run("DELETE FROM upload WHERE upload_id = ?", (upload_id,))
