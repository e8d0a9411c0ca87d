"""What the settings of a bucket say of access control lists in it, whether there may be one, and whose an object is;
and what they say of a policy."""

from __future__ import annotations

from collections.abc import Iterable

from bleepstore.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidBucketAclWithObjectOwnership,
    S3Error,
)
from bleepstore.model import Acl, BucketSettings, Grant, Group, Permission
from bleepstore.ownership import ObjectOwnership

#: "Amazon S3 considers a bucket or object ACL public if it grants any permissions to members of the predefined
#: AllUsers or AuthenticatedUsers groups."
PUBLIC_GROUPS = (Group.ALL_USERS, Group.AUTHENTICATED_USERS)


def is_public(grants: Iterable[Grant]) -> bool:
    return any(isinstance(grant.grantee, Group) and grant.grantee in PUBLIC_GROUPS for grant in grants)


def is_enforced(settings: BucketSettings) -> bool:
    """Whether all objects are the bucket's owner's, and no list counts."""
    return settings.ownership is ObjectOwnership.BUCKET_OWNER_ENFORCED


def check_acl(settings: BucketSettings, acl: Acl, bucket_owner_id: str) -> S3Error | None:
    """The refusal to set the list of a bucket, or of an object in it."""
    if is_enforced(settings) and acl.grants != (Grant(bucket_owner_id, Permission.FULL_CONTROL),):
        return AccessControlListNotSupported()
    return check_public(settings, acl.grants)


def check_public(settings: BucketSettings, grants: Iterable[Grant] | None) -> S3Error | None:
    """The refusal of grants that the bucket does not let be public."""
    block = settings.public_access_block
    if grants is not None and block is not None and block.block_public_acls and is_public(grants):
        return AccessDenied("Public ACLs are prevented by the BlockPublicAcls setting in S3 Block Public Access.")
    return None


def check_policy(settings: BucketSettings, is_public: bool) -> S3Error | None:
    """The refusal of a policy that makes the bucket public, where its settings do not let it be."""
    block = settings.public_access_block
    if is_public and block is not None and block.block_public_policy:
        return AccessDenied("Public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.")
    return None


def check_enforceable(acl: Acl) -> S3Error | None:
    """The refusal to disable access control lists in a bucket with this one, or to make it so: it grants something to
    others than the owner."""
    if any(grant.grantee != acl.owner_id or isinstance(grant.grantee, Group) for grant in acl.grants):
        return InvalidBucketAclWithObjectOwnership()
    return None


def is_given_away(settings: BucketSettings, writer_id: str, bucket_owner_id: str, acl: Acl) -> bool:
    """Whether a new object of this writer with this list is the bucket's owner's."""
    if writer_id == bucket_owner_id or settings.ownership is None:
        return False
    if settings.ownership is ObjectOwnership.BUCKET_OWNER_PREFERRED:
        full = Permission.FULL_CONTROL  # as the canned list bucket-owner-full-control
        return acl.grants == (Grant(writer_id, full), Grant(bucket_owner_id, full))
    return settings.ownership is ObjectOwnership.BUCKET_OWNER_ENFORCED
