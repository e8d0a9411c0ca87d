"""Quotas: the commands on them, and the refusal of what would exceed one.

What a bucket holds is counted where it changes, if the bucket `keeps_usage`: no other bucket pays for it."""

from __future__ import annotations

from collections.abc import Iterable

from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredBucket, StoredVersion
from bleepstore.commands import Done, PutObject, PutQuota, RecountUsage, Result
from bleepstore.errors import NoSuchBucket, NoSuchRole, NoSuchUser, QuotaExceeded, S3Error
from bleepstore.model import NULL_VERSION, Versioning, account_of, user_of
from bleepstore.quotas import CountedQuota, Growth, QuotaScope
from bleepstore.roles import parse_role_arn


def put_quota(tables: Tables, command: PutQuota) -> Result:
    scope, name = command.scope, command.name
    if scope is QuotaScope.BUCKET and tables.find_bucket(name) is None:
        return NoSuchBucket(name)
    if scope is QuotaScope.USER and command.quota is not None and (refused := _check_user(tables, name)):
        return refused
    tables.put_quota(scope, name, command.quota)
    tables.recount(scope, name)
    return Done()


def _check_user(tables: Tables, arn: str) -> S3Error | None:
    if role := parse_role_arn(arn):
        return None if tables.has_role(*role) else NoSuchRole(role[1])
    account_id, name = account_of(arn), user_of(arn)
    user = tables.find_user(account_id, name)
    return None if user is not None and user.arn == arn else NoSuchUser(account_id, name)


def recount_usage(tables: Tables, command: RecountUsage) -> Result:
    for counted in tables.list_quotas():
        tables.recount(counted.scope, counted.name)
    return Done()


def check_quota(tables: Tables, bucket: StoredBucket, growth: Growth) -> QuotaExceeded | None:
    """The refusal of a change in a bucket that `keeps_usage`."""
    return refusal_of(tables.quotas_of(bucket.bucket_id, growth.creator_id), bucket.name, growth)


def refusal_of(quotas: Iterable[CountedQuota], bucket: str, growth: Growth) -> QuotaExceeded | None:
    """The refusal of a change in a bucket of this name, for which these quotas are."""
    for counted in quotas:
        if exceeded := counted.exceeded_by(growth):
            return QuotaExceeded(bucket, counted.scope.value, *exceeded)
    return None


def growth_by_write(tables: Tables, bucket: StoredBucket, command: PutObject, current: StoredVersion | None) -> Growth:
    """What a write makes more of, of a key that has this current version."""
    if bucket.versioning is None:
        replaced = current
    elif bucket.versioning == Versioning.SUSPENDED:
        replaced = tables.find_version(bucket.bucket_id, command.key, NULL_VERSION)
    else:
        replaced = None
    return Growth.by_write(command.creator_id, command.size, replaced and (replaced.creator_id, replaced.size))


def count_replacement(tables: Tables, bucket: StoredBucket, command: PutObject, replaced: StoredVersion | None) -> None:
    """Count what was written in a bucket that `keeps_usage`, instead of what was `replaced`."""
    creator_id, bucket_id = command.creator_id, bucket.bucket_id
    if replaced is not None and replaced.creator_id == creator_id:
        tables.add_usage(bucket_id, creator_id, 0, command.size - replaced.size)
        return
    if replaced is not None:
        tables.add_usage(bucket_id, replaced.creator_id, -1, -replaced.size)
    tables.add_usage(bucket_id, creator_id, 1, command.size)
