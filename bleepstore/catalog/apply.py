"""The state machine: what each command does to the catalog.

All that a command depends on is judged here, inside the transaction that makes the change: a condition holds at
the moment of the write or the write does not happen. A function returns its refusal before its first change.
"""

from __future__ import annotations

from typing import assert_never

from bleepstore import codec
from bleepstore.catalog import accounts, buckets, following, objects, sweeps, uploads
from bleepstore.catalog.transaction import Transaction
from bleepstore.commands import (
    AbortUpload,
    BeginSweep,
    Command,
    CompleteUpload,
    CreateBucket,
    CreateUpload,
    DeleteBucket,
    DeleteObject,
    DeleteObjects,
    DisableCredential,
    EndSweep,
    FollowProvider,
    ForgetGarbage,
    PutBucketAcl,
    PutCredential,
    PutObject,
    PutObjectAcl,
    RegisterPart,
    Result,
)
from bleepstore.errors import ServiceUnavailable

#: How many results of past commands are kept for retries, at least.
REMEMBERED_REQUESTS = 4096


def apply_once(tx: Transaction, command: Command, valid_to: int) -> Result:
    """As `apply`, for a log in which a command may come twice.

    A command that was applied before (by its request id) changes nothing and gives its first result. One that comes
    after the index `valid_to` is refused: it may be a repeat of one whose result is forgotten.
    """
    first = tx.row("SELECT result FROM applied_request WHERE request_id = ?", (command.request_id,))
    if first is not None:
        return codec.decode_result(first[0].encode())
    if tx.index > valid_to:
        return ServiceUnavailable("The command waited too long for its place in the log.")
    result = apply(tx, command)
    tx.run(
        "INSERT INTO applied_request VALUES (?, ?, ?)",
        (command.request_id, tx.index, codec.encode_result(result).decode()),
    )
    if tx.index % REMEMBERED_REQUESTS == 0:
        tx.run("DELETE FROM applied_request WHERE applied_index <= ?", (tx.index - REMEMBERED_REQUESTS,))
    return result


def apply(tx: Transaction, command: Command) -> Result:
    """Carry out `command` as the change number `tx.index`."""
    match command:
        case PutObject():
            return objects.put_object(tx, command)
        case DeleteObject():
            return objects.delete_object(tx, command)
        case DeleteObjects():
            return objects.delete_objects(tx, command)
        case PutObjectAcl():
            return objects.put_object_acl(tx, command)
        case RegisterPart():
            return uploads.register_part(tx, command)
        case CreateUpload():
            return uploads.create_upload(tx, command)
        case CompleteUpload():
            return uploads.complete_upload(tx, command)
        case AbortUpload():
            return uploads.abort_upload(tx, command)
        case FollowProvider():
            return following.follow_provider(tx, command)
        case CreateBucket():
            return buckets.create_bucket(tx, command)
        case DeleteBucket():
            return buckets.delete_bucket(tx, command)
        case PutBucketAcl():
            return buckets.put_bucket_acl(tx, command)
        case PutCredential():
            return accounts.put_credential(tx, command)
        case DisableCredential():
            return accounts.disable_credential(tx, command)
        case BeginSweep():
            return sweeps.begin_sweep(tx, command)
        case EndSweep():
            return sweeps.end_sweep(tx, command)
        case ForgetGarbage():
            return sweeps.forget_garbage(tx, command)
        case _:
            assert_never(command)
