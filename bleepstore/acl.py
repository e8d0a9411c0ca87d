"""Access control lists: the canned ones, and the one question asked of every list ("ACL overview" in the S3 guide)."""

from __future__ import annotations

import enum

from bleepstore.model import ANONYMOUS, Acl, Grant, Group, Owner, Permission


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


def allows(acl: Acl, caller: Owner | None, permission: Permission) -> bool:
    """Whether `caller` has `permission`. None is the application that embeds the store: it may do everything.

    An owner can always read and write the list itself, whatever it says.
    """
    if caller is None:
        return True
    if caller.id == acl.owner_id and permission in (Permission.READ_ACP, Permission.WRITE_ACP):
        return True
    for grant in acl.grants:
        if grant.permission not in (permission, Permission.FULL_CONTROL):
            continue
        if _includes(grant.grantee, caller):
            return True
    return False


def _includes(grantee: str | Group, caller: Owner) -> bool:
    if not isinstance(grantee, Group):  # asked first: a Group is a str, and an owner id may read like one
        return grantee == caller.id
    return grantee is Group.ALL_USERS or (grantee is Group.AUTHENTICATED_USERS and caller.id != ANONYMOUS.id)
