"""The conditions of writes, which are evaluated on the current version."""

from __future__ import annotations

from bleepstore.catalog.records import StoredVersion
from bleepstore.errors import AccessDenied, NoSuchKey, PreconditionFailed, S3Error
from bleepstore.preconditions import WriteCondition


def check_write(condition: WriteCondition, etag: str | None, bucket: str, key: str) -> S3Error | None:
    """Evaluate a write's condition on the current version's ETag (None: there is no such object).

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


def check_owner(condition: WriteCondition, owner_id: str | None) -> S3Error | None:
    """Refuse to replace or delete the object of an account that it must not be of. None: there is no object."""
    if condition.replaces_only_of is None or owner_id in (None, condition.replaces_only_of):
        return None
    return AccessDenied()


def check_current(condition: WriteCondition, current: StoredVersion | None, bucket: str, key: str) -> S3Error | None:
    """Evaluate a write's condition, first of all whether the caller may touch what is there."""
    if current is None:
        return check_write(condition, None, bucket, key)
    return check_owner(condition, current.owner_id) or check_write(condition, current.etag, bucket, key)
