"""Access control lists: the canned ones, and what a request for a list means ("ACL overview" in the S3 guide)."""

from __future__ import annotations

import enum

from bleepstore.errors import AccessDenied
from bleepstore.model import Acl, Grant, Group, Permission


class CannedAcl(enum.StrEnum):
    """The predefined grants of Amazon S3."""

    PRIVATE = "private"
    PUBLIC_READ = "public-read"
    PUBLIC_READ_WRITE = "public-read-write"
    AUTHENTICATED_READ = "authenticated-read"
    AWS_EXEC_READ = "aws-exec-read"
    BUCKET_OWNER_READ = "bucket-owner-read"
    BUCKET_OWNER_FULL_CONTROL = "bucket-owner-full-control"
    LOG_DELIVERY_WRITE = "log-delivery-write"


#: What a caller may ask for when it creates a resource: a canned list, or grants of its own choice.
AclRequest = CannedAcl | tuple[Grant, ...]


def _canned_grants(canned: CannedAcl, owner_id: str, bucket_owner_id: str) -> tuple[Grant, ...]:
    match canned:
        case CannedAcl.PRIVATE | CannedAcl.AWS_EXEC_READ:
            # aws-exec-read lets EC2 fetch a machine image; there is no EC2 here to grant it to.
            return ()
        case CannedAcl.PUBLIC_READ:
            return (Grant(Group.ALL_USERS, Permission.READ),)
        case CannedAcl.PUBLIC_READ_WRITE:
            return (Grant(Group.ALL_USERS, Permission.READ), Grant(Group.ALL_USERS, Permission.WRITE))
        case CannedAcl.AUTHENTICATED_READ:
            return (Grant(Group.AUTHENTICATED_USERS, Permission.READ),)
        case CannedAcl.BUCKET_OWNER_READ:
            return () if bucket_owner_id == owner_id else (Grant(bucket_owner_id, Permission.READ),)
        case CannedAcl.BUCKET_OWNER_FULL_CONTROL:
            return () if bucket_owner_id == owner_id else (Grant(bucket_owner_id, Permission.FULL_CONTROL),)
        case CannedAcl.LOG_DELIVERY_WRITE:
            return (Grant(Group.LOG_DELIVERY, Permission.WRITE), Grant(Group.LOG_DELIVERY, Permission.READ_ACP))


def make_acl(request: AclRequest | None, owner_id: str, bucket_owner_id: str) -> Acl:
    """The list that `request` means for a resource of `owner_id` in a bucket of `bucket_owner_id`.

    A canned list always begins with the owner's FULL_CONTROL; grants of one's own choice are taken as they are.
    """
    if isinstance(request, tuple):
        return Acl(owner_id, request)
    own = Grant(owner_id, Permission.FULL_CONTROL)
    return Acl(owner_id, (own, *_canned_grants(request or CannedAcl.PRIVATE, owner_id, bucket_owner_id)))


def resolve_acl(request: AclRequest | Acl, owner_id: str, bucket_owner_id: str) -> Acl:
    """What a request for a new ACL means for a resource of `owner_id`. Raises AccessDenied for an `Acl` of another."""
    if not isinstance(request, Acl):
        return make_acl(request, owner_id, bucket_owner_id)
    if request.owner_id != owner_id:
        raise AccessDenied("The owner of a resource cannot be changed by its ACL.")
    return request


def is_full_control(request: AclRequest | Acl, owner_id: str) -> bool:
    """Whether a request is for "the bucket-owner-full-control canned ACL or an equivalent form of this ACL": the one
    that there may be where lists are disabled."""
    if isinstance(request, CannedAcl):
        return request is CannedAcl.BUCKET_OWNER_FULL_CONTROL
    grants = request.grants if isinstance(request, Acl) else request
    return grants == (Grant(owner_id, Permission.FULL_CONTROL),)
