"""How much may be stored: quotas of buckets, of accounts and of their users, and how much there is.

What counts is what Amazon's CloudWatch counts as BucketSizeBytes: "all objects in the bucket (both current and
noncurrent objects), including the size of all parts for all incomplete multipart uploads". A delete marker is an object
of no bytes; a part is none. A quota of an account counts all buckets that the account owns, whoever writes to them; one
of a user, or of a role with all its sessions, what that has made in them: what it wrote, copied or marked as deleted,
and the parts of uploads that it began.
"""

from __future__ import annotations

import enum

import attrs


class QuotaScope(enum.StrEnum):
    """What a quota is for."""

    BUCKET = "bucket"
    ACCOUNT = "account"
    USER = "user"


@attrs.frozen
class Usage:
    """What is stored: versions and delete markers, and the bytes of versions and of parts of uploads, as they were
    sent. Encrypted bytes are a little longer where they are stored."""

    objects: int = 0
    bytes: int = 0


@attrs.frozen
class Growth:
    """What a change makes more of: in its bucket, and of what `creator_id` has made, who makes it. The first is less
    where it replaces what somebody else has made."""

    creator_id: str | None
    bucket: Usage
    creator: Usage

    @classmethod
    def by(cls, creator_id: str | None, more: Usage) -> Growth:
        """By what replaces nothing of somebody else."""
        return cls(creator_id, more, more)

    @classmethod
    def by_write(cls, creator_id: str | None, size: int, replaced: tuple[str | None, int] | None) -> Growth:
        """By an object of `size` bytes instead of one that has the creator and the size `replaced`, if there is one."""
        one = Usage(1, size)
        if replaced is None:
            return cls(creator_id, one, one)
        more = Usage(0, size - replaced[1])
        return cls(creator_id, more, more if replaced[0] == creator_id else one)


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
    """A quota of a bucket, by its name, of an account, by its id, or of a user or a role, by its ARN, and what counts
    in it."""

    scope: QuotaScope
    name: str
    quota: Quota
    usage: Usage

    def exceeded_by(self, growth: Growth) -> tuple[str, int] | None:
        """What of it would be exceeded by a change, and the limit. Nothing is by one that makes it no larger: what
        exceeds a quota that was lowered can be replaced by less."""
        limits, usage = self.quota, self.usage
        more = growth.creator if self.scope is QuotaScope.USER else growth.bucket
        if limits.max_bytes is not None and more.bytes > 0 and usage.bytes + more.bytes > limits.max_bytes:
            return "bytes", limits.max_bytes
        if limits.max_objects is not None and more.objects > 0 and usage.objects + more.objects > limits.max_objects:
            return "objects", limits.max_objects
        return None
