"""Commands on buckets."""

from __future__ import annotations

from bleepstore.acl_rules import check_acl, check_enforceable, check_policy
from bleepstore.catalog.configurations import configurations_of
from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredBucket
from bleepstore.commands import (
    CreateBucket,
    DeleteBucket,
    Done,
    PutBucketAcl,
    PutBucketSetting,
    PutBucketVersioning,
    Result,
)
from bleepstore.configurations import ConfigurationKind
from bleepstore.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    InvalidBucketState,
    NoSuchBucket,
    S3Error,
)
from bleepstore.model import BucketSetting, Versioning
from bleepstore.ownership import ObjectOwnership


def create_bucket(tables: Tables, command: CreateBucket) -> Result:
    existing = tables.find_bucket(command.bucket)
    if existing is not None:
        own = existing.owner_id == command.owner.id
        return BucketAlreadyOwnedByYou(command.bucket) if own else BucketAlreadyExists(command.bucket)
    tables.remember_owner(command.owner)
    tables.insert_bucket(command)
    made = tables.find_bucket(command.bucket)
    assert made is not None
    for setting in command.settings:
        tables.set_bucket_setting(made, setting)
        if setting.name == "object_lock":
            tables.set_bucket_versioning(made, Versioning.ENABLED)
    return Done()


def delete_bucket(tables: Tables, command: DeleteBucket) -> Result:
    """Uploads under way do not keep a bucket alive: they end with it, and their parts become garbage."""
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if tables.has_versions(bucket.bucket_id):
        return BucketNotEmpty(command.bucket, bucket.versioning is not None)
    if bucket.keeps_usage:
        for initiator_id, size in tables.parts_by_initiator(bucket.bucket_id):
            tables.add_usage(bucket.bucket_id, initiator_id, 0, -size)
    tables.remove_bucket(bucket.bucket_id)
    return Done()


def put_bucket_acl(tables: Tables, command: PutBucketAcl) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if refused := check_acl(bucket.settings, command.acl, bucket.owner_id):
        return refused
    tables.set_bucket_acl(bucket, command.acl)
    return Done()


def put_bucket_setting(tables: Tables, command: PutBucketSetting) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if refused := _check_setting(tables, bucket, command):
        return refused
    tables.set_bucket_setting(bucket, command.setting)
    return Done()


def _check_setting(tables: Tables, bucket: StoredBucket, command: PutBucketSetting) -> S3Error | None:
    """The refusal of a setting by what else the bucket has."""
    setting = command.setting
    if setting.name == "object_lock":
        return _check_lock(bucket, setting)
    if setting.name == "ownership" and setting.value is ObjectOwnership.BUCKET_OWNER_ENFORCED:
        return check_enforceable(tables.bucket_acl(bucket))
    if setting.name == "policy":
        return check_policy(bucket.settings, command.makes_public)
    return None


def _check_lock(bucket: StoredBucket, setting: BucketSetting) -> S3Error | None:
    """ "After you enable Object Lock on a bucket, you can't disable Object Lock." """
    if setting.value is None:
        return InvalidBucketState("Object Lock cannot be disabled once it is enabled on a bucket.")
    if bucket.versioning != Versioning.ENABLED:
        return InvalidBucketState("Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
    return None


def put_bucket_versioning(tables: Tables, command: PutBucketVersioning) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    if bucket.object_lock is not None and command.versioning is not Versioning.ENABLED:
        return InvalidBucketState(
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        )
    if command.versioning is not Versioning.ENABLED and ConfigurationKind.REPLICATION in configurations_of(
        tables, bucket
    ):
        return InvalidBucketState(
            "A replication configuration is present on this bucket, so you cannot change the versioning state. To "
            "change the versioning state, first delete the replication configuration."
        )
    tables.set_bucket_versioning(bucket, command.versioning)
    return Done()
