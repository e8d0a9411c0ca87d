"""The options of methods that are keywords: what they may be, and what becomes of those that say what goes with an
object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import attrs

from bleepstore.access import AclRequest
from bleepstore.commands import PutObject, Written
from bleepstore.digests import Algorithm
from bleepstore.encryption import CustomerKey, EncryptionRequest
from bleepstore.errors import InvalidArgument, InvalidRequest, MetadataTooLarge
from bleepstore.model import (
    MAX_METADATA_BYTES,
    NO_ATTRIBUTES,
    STORAGE_CLASSES,
    ByteRange,
    Checksum,
    ChecksumType,
    ObjectAttributes,
    ReadCondition,
    SystemMetadata,
    Upload,
)
from bleepstore.object_lock import Retention
from bleepstore.remotes import without_mark
from bleepstore.tags import check_object_tags


class SystemHeaders(TypedDict, total=False):
    """The fields of `SystemMetadata` as keywords: `put_object(..., content_type="text/plain")`."""

    content_type: str | None
    content_encoding: str | None
    content_language: str | None
    content_disposition: str | None
    cache_control: str | None
    expires: str | None
    website_redirect_location: str | None


class AttributeOptions(SystemHeaders, total=False):
    """The fields of `ObjectAttributes` as keywords, which count more than `attributes`. `acl` says what the grants are
    for the owner of the new object, `encryption` by whose key it is encrypted: without it, as its bucket's default
    says."""

    system: SystemMetadata
    metadata: Mapping[str, str] | None
    storage_class: str | None
    tags: Mapping[str, str] | None
    retention: Retention | None
    legal_hold: bool | None
    acl: AclRequest | None
    encryption: EncryptionRequest | None


class BodyOptions(TypedDict, total=False):
    """What the caller knows of the bytes to come: `size` in bytes and the digests are compared with what came.

    `content_md5` is base64. `checksum_algorithm` chooses what is computed and kept (CRC64NVME by default);
    `late_checksum` is called once the body has ended, for a value that comes behind it.
    """

    size: int | None
    content_md5: str | None
    checksum: Checksum | None
    checksum_algorithm: Algorithm | None
    late_checksum: Callable[[], Checksum | None] | None


class PutOptions(AttributeOptions, BodyOptions, total=False):
    """The options of put_object."""


class PartOptions(BodyOptions, total=False):
    """The options of put_part. `customer_key` is the key that the upload was created with, if it is the caller's."""

    customer_key: CustomerKey | None


class UploadOptions(AttributeOptions, total=False):
    """The options of create_upload: which checksum the object will have."""

    checksum_algorithm: Algorithm | None
    checksum_type: ChecksumType | None


class CopyOptions(AttributeOptions, total=False):
    """The options of copy_object. `checksum_algorithm` asks for another checksum than the source's;
    `source_customer_key` is the key that the source is encrypted with, if it is the caller's."""

    source_version_id: str | None
    source_condition: ReadCondition | None
    replace_metadata: bool
    replace_tags: bool
    checksum_algorithm: Algorithm | None
    allow_unchanged: bool
    source_customer_key: CustomerKey | None


class CopyPartOptions(TypedDict, total=False):
    """The options of copy_part: which version of the source, if it is as it should be, and which of its bytes. For
    `customer_key` see put_part, for `source_customer_key` copy_object."""

    source_version_id: str | None
    source_condition: ReadCondition | None
    source_range: ByteRange | None
    customer_key: CustomerKey | None
    source_customer_key: CustomerKey | None


class CompletionOptions(TypedDict, total=False):
    """The options of complete_upload: what the whole object should be."""

    checksum: Checksum | None
    checksum_type: ChecksumType | None
    object_size: int | None
    customer_key: CustomerKey | None


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
            metadata=attributes.metadata if metadata is None else metadata,
            storage_class=options.get("storage_class") or attributes.storage_class,
            tags=attributes.tags if tags is None else tags,
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


def with_default_lock(asked: PutObject | Upload, written: Written) -> ObjectAttributes:
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
