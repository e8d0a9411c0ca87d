"""Who owns what is written into a bucket, what of it may be public, and who pays: settings of buckets ("Controlling
ownership of objects and disabling ACLs for your bucket", "Blocking public access to your Amazon S3 storage")."""

from __future__ import annotations

import enum

import attrs


class ObjectOwnership(enum.StrEnum):
    """Whose the objects of a bucket are.

    BUCKET_OWNER_ENFORCED: the bucket's owner's, all of them, and access control lists are disabled.
    BUCKET_OWNER_PREFERRED: the bucket's owner's, if whoever writes them says bucket-owner-full-control.
    OBJECT_WRITER: those who wrote them, as where a bucket has no ownership controls.
    """

    BUCKET_OWNER_ENFORCED = "BucketOwnerEnforced"
    BUCKET_OWNER_PREFERRED = "BucketOwnerPreferred"
    OBJECT_WRITER = "ObjectWriter"


class Payer(enum.StrEnum):
    """Who pays for requests to a bucket: its owner, or whoever asks ("Using Requester Pays buckets")."""

    BUCKET_OWNER = "BucketOwner"
    REQUESTER = "Requester"


@attrs.frozen(kw_only=True)
class PublicAccessBlock:
    """What a bucket does not let be public. `block_public_acls` refuses lists that grant to everybody,
    `ignore_public_acls` heeds no such grant; `block_public_policy` refuses policies that are public, and
    `restrict_public_buckets` lets a public policy give access to the owner's account alone."""

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False

    def __or__(self, other: PublicAccessBlock) -> PublicAccessBlock:
        """What either of them blocks: S3 applies "the most restrictive combination"."""
        return PublicAccessBlock(
            block_public_acls=self.block_public_acls or other.block_public_acls,
            ignore_public_acls=self.ignore_public_acls or other.ignore_public_acls,
            block_public_policy=self.block_public_policy or other.block_public_policy,
            restrict_public_buckets=self.restrict_public_buckets or other.restrict_public_buckets,
        )


BLOCK_ALL = PublicAccessBlock(
    block_public_acls=True, ignore_public_acls=True, block_public_policy=True, restrict_public_buckets=True
)
