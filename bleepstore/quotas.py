"""How much may be stored: quotas of buckets and of accounts, and how much there is.

What counts is what Amazon's CloudWatch counts as BucketSizeBytes: "all objects in the bucket (both current and
noncurrent objects), including the size of all parts for all incomplete multipart uploads". A delete marker is an object
of no bytes; a part is none. A quota of an account counts all buckets that the account owns, whoever writes to them.
"""

from __future__ import annotations

import enum

import attrs


class QuotaScope(enum.StrEnum):
    """What a quota is for."""

    BUCKET = "bucket"
    ACCOUNT = "account"


@attrs.frozen
class Usage:
    """What is stored: versions and delete markers, and the bytes of versions and of parts of uploads, as they were
    sent. Encrypted bytes are a little longer where they are stored."""

    objects: int = 0
    bytes: int = 0


@attrs.frozen(kw_only=True)
class Totals:
    """What is in a whole store. `objects` are those that a listing shows, `versions` all of them and delete markers.
    `bytes` are those of versions and of parts of uploads. `garbage` are blobs that a job has yet to remove."""

    buckets: int
    objects: int
    versions: int
    bytes: int
    uploads: int
    garbage: int


@attrs.frozen(kw_only=True)
class Quota:
    """The most that may be stored of each; None: any number. One without limits only counts."""

    max_bytes: int | None = None
    max_objects: int | None = None


@attrs.frozen(kw_only=True)
class CountedQuota:
    """A quota of a bucket, by its name, or of an account, by its id, and what counts in it."""

    scope: QuotaScope
    name: str
    quota: Quota
    usage: Usage

    def exceeded_by(self, more: Usage) -> tuple[str, int] | None:
        """What of it would be exceeded by so much more, and the limit. Nothing is by a change that makes it no larger:
        what exceeds a quota that was lowered can be replaced by less."""
        limits, usage = self.quota, self.usage
        if limits.max_bytes is not None and more.bytes > 0 and usage.bytes + more.bytes > limits.max_bytes:
            return "bytes", limits.max_bytes
        if limits.max_objects is not None and more.objects > 0 and usage.objects + more.objects > limits.max_objects:
            return "objects", limits.max_objects
        return None
