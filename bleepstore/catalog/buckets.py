"""Commands on buckets."""

from __future__ import annotations

from bleepstore.catalog.port import Tables
from bleepstore.commands import CreateBucket, DeleteBucket, Done, PutBucketAcl, PutBucketVersioning, Result
from bleepstore.errors import BucketAlreadyExists, BucketAlreadyOwnedByYou, BucketNotEmpty, NoSuchBucket


def create_bucket(tables: Tables, command: CreateBucket) -> Result:
    existing = tables.find_bucket(command.bucket)
    if existing is not None:
        own = existing.owner_id == command.owner.id
        return BucketAlreadyOwnedByYou(command.bucket) if own else BucketAlreadyExists(command.bucket)
    tables.remember_owner(command.owner)
    tables.insert_bucket(command)
    return Done()


def delete_bucket(tables: Tables, command: DeleteBucket) -> Result:
    """Uploads under way do not keep a bucket alive: they end with it, and their parts become garbage."""
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if tables.has_versions(bucket.bucket_id):
        return BucketNotEmpty(command.bucket, bucket.versioning is not None)
    tables.remove_bucket(bucket.bucket_id)
    return Done()


def put_bucket_acl(tables: Tables, command: PutBucketAcl) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    tables.set_bucket_acl(bucket, command.acl)
    return Done()


def put_bucket_versioning(tables: Tables, command: PutBucketVersioning) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    tables.set_bucket_versioning(bucket, command.versioning)
    return Done()
