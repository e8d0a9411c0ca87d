"""Commands on buckets."""

from __future__ import annotations

from bleepstore.catalog.rows import dump_acl
from bleepstore.catalog.transaction import Transaction
from bleepstore.commands import CreateBucket, DeleteBucket, Done, PutBucketAcl, Result
from bleepstore.errors import BucketAlreadyExists, BucketAlreadyOwnedByYou, BucketNotEmpty, NoSuchBucket


def create_bucket(tx: Transaction, command: CreateBucket) -> Result:
    taken = tx.row("SELECT owner_id FROM bucket WHERE name = ?", (command.bucket,))
    if taken is not None:
        own = taken[0] == command.owner.id
        return BucketAlreadyOwnedByYou(command.bucket) if own else BucketAlreadyExists(command.bucket)
    tx.remember_owner(command.owner)
    tx.run(
        "INSERT INTO bucket (name, owner_id, created_ms, location, acl) VALUES (?, ?, ?, ?, ?)",
        (
            command.bucket,
            command.owner.id,
            command.time_ms,
            command.location,
            dump_acl(command.acl, command.owner.id),
        ),
    )
    return Done()


def delete_bucket(tx: Transaction, command: DeleteBucket) -> Result:
    """Uploads under way do not keep a bucket alive: they end with it, and their parts become garbage."""
    bucket_id = tx.bucket_id(command.bucket)
    if bucket_id is None:
        return NoSuchBucket(command.bucket)
    if tx.row("SELECT 1 FROM object_version WHERE bucket_id = ? LIMIT 1", (bucket_id,)) is not None:
        return BucketNotEmpty(command.bucket)
    tx.run(
        "INSERT INTO garbage (handle, token) SELECT p.handle, u.backend_token FROM upload u JOIN part p "
        "ON p.upload_id = u.upload_id WHERE u.bucket_id = ? ORDER BY u.upload_id, p.number",
        (bucket_id,),
    )
    tx.run(
        "DELETE FROM part WHERE upload_id IN (SELECT upload_id FROM upload WHERE bucket_id = ?)",
        (bucket_id,),
    )
    tx.run("DELETE FROM upload WHERE bucket_id = ?", (bucket_id,))
    tx.before_bucket_change()
    tx.run("DELETE FROM bucket WHERE bucket_id = ?", (bucket_id,))
    return Done()


def put_bucket_acl(tx: Transaction, command: PutBucketAcl) -> Result:
    row = tx.row("SELECT bucket_id, owner_id FROM bucket WHERE name = ?", (command.bucket,))
    if row is None:
        return NoSuchBucket(command.bucket)
    tx.before_bucket_change()
    tx.run("UPDATE bucket SET acl = ? WHERE bucket_id = ?", (dump_acl(command.acl, row[1]), row[0]))
    return Done()
