"""Quotas: the commands on them, and the refusal of what would exceed one.

What a bucket holds is counted where it changes, if the bucket `keeps_usage`: no other bucket pays for it."""

from __future__ import annotations

from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredBucket, StoredVersion
from bleepstore.commands import Done, PutQuota, RecountUsage, Result
from bleepstore.errors import NoSuchBucket, QuotaExceeded
from bleepstore.model import NULL_VERSION, Versioning
from bleepstore.quotas import QuotaScope, Usage


def put_quota(tables: Tables, command: PutQuota) -> Result:
    scope, name = command.scope, command.name
    if scope is QuotaScope.BUCKET and tables.find_bucket(name) is None:
        return NoSuchBucket(name)
    tables.put_quota(scope, name, command.quota)
    tables.recount(scope, name)
    return Done()


def recount_usage(tables: Tables, command: RecountUsage) -> Result:
    for counted in tables.list_quotas():
        tables.recount(counted.scope, counted.name)
    return Done()


def check_quota(tables: Tables, bucket: StoredBucket, name: str, more: Usage) -> QuotaExceeded | None:
    """The refusal of a change by which a bucket of this name, which `keeps_usage`, would hold so much more."""
    for counted in tables.quotas_of(bucket.bucket_id):
        if exceeded := counted.exceeded_by(more):
            return QuotaExceeded(name, counted.scope is QuotaScope.ACCOUNT, *exceeded)
    return None


def more_by_write(tables: Tables, bucket: StoredBucket, key: str, size: int, current: StoredVersion | None) -> Usage:
    """How much more a bucket holds once an object of `size` bytes was written under a key that has this current
    version."""
    if bucket.versioning is None:
        replaced = current
    elif bucket.versioning == Versioning.SUSPENDED:
        replaced = tables.find_version(bucket.bucket_id, key, NULL_VERSION)
    else:
        replaced = None
    return Usage(1, size) if replaced is None else Usage(0, size - replaced.size)
