"""What goes with an object that is written, by what the caller gives, its bucket and who writes it: attributes, owner,
the mark of a copy. And whose the objects are that are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from bleepstore.access import AclRequest, Action, Caller, is_allowed, is_full_control, make_acl
from bleepstore.acl_rules import check_public, is_enforced, is_given_away
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutObject, Written
from bleepstore.errors import AccessControlListNotSupported, InvalidArgument, InvalidRequest, MetadataTooLarge
from bleepstore.model import (
    MAX_METADATA_BYTES,
    NO_ATTRIBUTES,
    STORAGE_CLASSES,
    Acl,
    Bucket,
    ObjectAttributes,
    Owner,
)
from bleepstore.ownership import ObjectOwnership
from bleepstore.pages import ObjectPage, VersionPage
from bleepstore.remotes import MARK, without_mark
from bleepstore.replication import REPLICA_STATE
from bleepstore.store.arguments import AttributeOptions, CopyOptions, SystemHeaders
from bleepstore.tags import check_object_tags
from bleepstore.values import FrozenTexts

_ENFORCED = ObjectOwnership.BUCKET_OWNER_ENFORCED
_Page = TypeVar("_Page", bound=ObjectPage | VersionPage)
_HEADERS = frozenset(SystemHeaders.__annotations__)
_ATTRIBUTE_OPTIONS = frozenset(AttributeOptions.__annotations__) - {"acl", "encryption"}


def given_attributes(attributes: ObjectAttributes, options: AttributeOptions) -> ObjectAttributes:
    """`attributes` with what was given as keywords, but for the ACL, which depends on the owner. Raises
    MetadataTooLarge, InvalidArgument, InvalidTag, TooManyTags."""
    if not _ATTRIBUTE_OPTIONS.isdisjoint(options):
        system = options.get("system", attributes.system)
        headers: dict[str, Any] = {name: value for name, value in options.items() if name in _HEADERS}
        metadata, tags, legal_hold = options.get("metadata"), options.get("tags"), options.get("legal_hold")
        attributes = attrs.evolve(
            attributes,
            system=attrs.evolve(system, **headers) if headers else system,
            metadata=attributes.metadata if metadata is None else FrozenTexts(metadata),
            storage_class=options.get("storage_class") or attributes.storage_class,
            tags=attributes.tags if tags is None else FrozenTexts(tags),
            retention=options.get("retention") or attributes.retention,
            legal_hold=attributes.legal_hold if legal_hold is None else legal_hold,
        )
    if attributes.metadata:
        check_metadata(attributes.metadata)
    if attributes.tags:
        check_object_tags(attributes.tags)
    if attributes.restoration is not None:  # of another object
        attributes = attrs.evolve(attributes, restoration=None)
    if attributes.encryption is not None:  # of another object
        attributes = attrs.evolve(attributes, encryption=None)
    if attributes.replication is not None:  # of another object
        attributes = attrs.evolve(attributes, replication=None)
    if attributes.storage_class not in STORAGE_CLASSES:
        raise InvalidArgument("The storage class is not one of S3's.", "storage_class", attributes.storage_class)
    return attributes


def with_default_lock(asked: PutObject, written: Written) -> ObjectAttributes:
    """What goes with a version that was written as `asked`, and got the default retention of its bucket."""
    return attrs.evolve(asked.attributes, retention=written.retention)


def check_copied_headers(options: CopyOptions) -> None:
    """Raises InvalidRequest for what a copy cannot have of its own unless it replaces the source's metadata."""
    if not options.get("replace_metadata") and (kept := (options.keys() & _HEADERS) - {"website_redirect_location"}):
        raise InvalidRequest(f"{min(kept)} of a copy is the source's: replace_metadata=True gives the copy its own.")
    if options.get("tags") is not None and not options.get("replace_tags"):
        raise InvalidRequest("The tags of a copy are the source's: replace_tags=True gives the copy its own.")


_NO_OPTIONS: CopyOptions = {}


def copied_attributes(
    source: ObjectAttributes, given: ObjectAttributes = NO_ATTRIBUTES, options: CopyOptions = _NO_OPTIONS
) -> ObjectAttributes:
    """What goes with a copy: of its source what is copied, and what it is given instead.

    "x-amz-website-redirect-location is not copied; it must be given with the request." Nor are the storage class and
    the ACL.
    """
    made = attrs.evolve(given, tags=given.tags if options.get("replace_tags") else source.tags)
    if options.get("replace_metadata"):
        return made
    redirect = given.system.website_redirect_location
    return attrs.evolve(
        made,
        system=attrs.evolve(source.system, website_redirect_location=redirect),
        metadata=without_mark(source.metadata),
    )


def check_metadata(metadata: Mapping[str, str]) -> None:
    """ "The size of user-defined metadata is the sum of the bytes in the UTF-8 encoding of each key and value." """
    try:
        size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    except AttributeError:
        name, value = next(pair for pair in metadata.items() if not all(isinstance(text, str) for text in pair))
        raise TypeError(f"metadata is a mapping of str to str; it has {name!r}: {value!r}") from None
    if size > MAX_METADATA_BYTES:
        raise MetadataTooLarge(size, MAX_METADATA_BYTES)


def as_replica(attributes: ObjectAttributes, bucket: Bucket, key: str, caller: Caller | None) -> ObjectAttributes:
    """The attributes of a new object, which is a copy if it has the mark of one, and if `caller` may write copies: with
    the right to write objects alone nobody keeps one from being copied on."""
    if MARK not in attributes.metadata or not is_allowed(Action.REPLICATE_OBJECT, caller, bucket, key=key):
        return attributes
    return attrs.evolve(attributes, replication=REPLICA_STATE)


# -- owners, by the ownership controls of the bucket


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
    if is_enforced(bucket.settings) and not {row[at] for row in page.rows} <= {owner_id}:
        owned_rows = [(*row[:at], owner_id, *row[at + 1 :]) for row in page.rows]
        return attrs.evolve(page, rows=owned_rows)
    return page
