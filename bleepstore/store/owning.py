"""Whose the objects of a bucket are, by its ownership controls: new ones, and those that are shown."""

from __future__ import annotations

from typing import TypeVar

import attrs

from bleepstore.access import AclRequest, Caller, is_full_control, make_acl
from bleepstore.acl_rules import check_public, is_enforced, is_given_away
from bleepstore.catalog.records import FoundObject
from bleepstore.errors import AccessControlListNotSupported
from bleepstore.model import Acl, Bucket, ObjectAttributes, Owner
from bleepstore.ownership import ObjectOwnership
from bleepstore.pages import ObjectPage, VersionPage

_ENFORCED = ObjectOwnership.BUCKET_OWNER_ENFORCED
_Page = TypeVar("_Page", bound=ObjectPage | VersionPage)


def owned(
    bucket: Bucket, caller: Caller | None, attributes: ObjectAttributes, acl: AclRequest | None
) -> tuple[Owner, ObjectAttributes]:
    """Whose a new object will be, and what goes with it, with its ACL. Whether that still holds is decided again when
    it is written. Raises AccessControlListNotSupported, AccessDenied for an ACL that the bucket does not allow."""
    settings, grants = bucket.settings, attributes.grants
    writer = bucket.owner if caller is None else caller.account
    if acl is None and grants is None:
        return (bucket.owner if settings.ownership is _ENFORCED else writer), attributes
    if settings.ownership is _ENFORCED:
        if not is_full_control(grants or () if acl is None else acl, bucket.owner.id):
            raise AccessControlListNotSupported
        return bucket.owner, attrs.evolve(attributes, grants=None)
    made = Acl(writer.id, grants or ()) if acl is None else make_acl(acl, writer.id, bucket.owner.id)
    if refused := check_public(settings, made.grants):
        raise refused
    if is_given_away(settings, writer.id, bucket.owner.id, made):
        return bucket.owner, attrs.evolve(attributes, grants=None)
    return writer, attrs.evolve(attributes, grants=None if made == Acl.private(writer.id) else made.grants)


def as_owned(found: FoundObject, bucket: Bucket) -> FoundObject:
    """An object as its bucket has it: where the bucket's owner owns all, it is not its writer's any more."""
    version = found.version
    if bucket.settings.ownership is not _ENFORCED:
        return found
    if version.attributes.grants is None and version.owner.id == bucket.owner.id:
        return found
    attributes = attrs.evolve(version.attributes, grants=None)
    return attrs.evolve(found, version=attrs.evolve(version, owner=bucket.owner, attributes=attributes))


def page_as_owned(page: _Page, bucket: Bucket) -> _Page:
    """A page of a listing, likewise."""
    owner_id, at = bucket.owner.id, page.OWNER
    if is_enforced(bucket.settings) and any(row[at] != owner_id for row in page.rows):
        owned_rows = [(*row[:at], owner_id, *row[at + 1 :]) for row in page.rows]
        return attrs.evolve(page, rows=owned_rows)
    return page
