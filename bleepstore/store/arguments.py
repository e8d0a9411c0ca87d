"""What a caller may pass to the methods of a store: options that are keywords, and the checks of all arguments, made
here before a method runs.

The annotations of the methods say what each option is. Only what was passed is looked at.
"""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar

import attrs

from bleepstore.access import AclRequest, Action, Caller, CannedAcl, LiveSession, WebIdentity
from bleepstore.commands import DeleteEntry
from bleepstore.configurations import ConfigurationKind
from bleepstore.cors import CorsRule
from bleepstore.digests import Algorithm
from bleepstore.encryption import BucketEncryption, CustomerKey, EncryptionRequest, NamedKey, StoreKey
from bleepstore.errors import InvalidArgument, InvalidBucketName, InvalidURI, S3Error
from bleepstore.lifecycle import LifecycleRule, TransitionMinimum
from bleepstore.model import (
    Acl,
    ByteRange,
    Checksum,
    ChecksumType,
    CompletedPart,
    Credential,
    Grant,
    ObjectAttributes,
    Owner,
    RestoreTier,
    SystemMetadata,
    Versioning,
)
from bleepstore.object_lock import ObjectLock, Retention
from bleepstore.ownership import ObjectOwnership, Payer, PublicAccessBlock
from bleepstore.preconditions import ReadCondition, WriteCondition
from bleepstore.store.snapshots import Snapshot


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


class ReadOptions(TypedDict, total=False):
    """The options of get_object and head_object: which bytes of the object, if it is as it should be. `customer_key` is
    the key that it is encrypted with, if it is the caller's."""

    range: ByteRange | None
    part_number: int | None
    condition: ReadCondition | None
    customer_key: CustomerKey | None


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


_P = ParamSpec("_P")
_R = TypeVar("_R")
_NONE = type(None)

#: By the annotation of a parameter: what it may be an instance of, and how an error says so.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a str"),
    "str | None": ((str, _NONE), "a str or None"),
    "int": ((int,), "a whole number"),
    "float | None": ((int, float, _NONE), "a number or None"),
    "int | None": ((int, _NONE), "a whole number or None"),
    "bool": ((bool,), "True or False"),
    "Mapping[str, str] | None": ((dict, _NONE, Mapping), "a mapping of str to str, or None"),
    "Mapping[str, str]": ((dict, Mapping), "a mapping of str to str"),
    "ObjectAttributes": ((ObjectAttributes,), "an ObjectAttributes"),
    "SystemMetadata": ((SystemMetadata,), "a SystemMetadata"),
    "Versioning": ((Versioning,), "a Versioning"),
    "Action": ((Action,), "an Action"),
    "Caller | None": ((Caller, _NONE), "a Caller or None"),
    "Credential": ((Credential,), "a Credential"),
    "Signer": ((Credential, LiveSession), "a Credential or a LiveSession"),
    "WebIdentity": ((WebIdentity,), "a WebIdentity"),
    "FindCredential | None": ((_NONE, Callable), "a function that finds a Credential, or None"),  # type: ignore[dict-item]  # isinstance takes it
    "Owner | None": ((Owner, _NONE), "an Owner or None"),
    "AclRequest | None": ((CannedAcl, tuple, _NONE), "a CannedAcl, a tuple of Grant, or None"),
    "AclRequest | Acl": ((CannedAcl, tuple, Acl), "a CannedAcl, a tuple of Grant, or an Acl"),
    "Retention | None": ((Retention, _NONE), "a Retention or None"),
    "ObjectLock": ((ObjectLock,), "an ObjectLock"),
    "ObjectOwnership": ((ObjectOwnership,), "an ObjectOwnership"),
    "ObjectOwnership | None": ((ObjectOwnership, _NONE), "an ObjectOwnership or None"),
    "Payer": ((Payer,), "a Payer"),
    "PublicAccessBlock": ((PublicAccessBlock,), "a PublicAccessBlock"),
    "bool | None": ((bool, _NONE), "True, False or None"),
    "EncryptionRequest | None": ((StoreKey, NamedKey, CustomerKey, _NONE), "a StoreKey, NamedKey, CustomerKey or None"),
    "NamedKey": ((NamedKey,), "a NamedKey"),
    "CustomerKey | None": ((CustomerKey, _NONE), "a CustomerKey or None"),
    "BucketEncryption": ((BucketEncryption,), "a BucketEncryption"),
    "RestoreTier": ((RestoreTier,), "a RestoreTier"),
    "Checksum | None": ((Checksum, _NONE), "a Checksum or None"),
    "Algorithm | None": ((Algorithm, _NONE), "an Algorithm or None"),
    "ChecksumType | None": ((ChecksumType, _NONE), "a ChecksumType or None"),
    "ByteRange | None": ((ByteRange, _NONE), "a ByteRange or None"),
    "WriteCondition": ((WriteCondition,), "a WriteCondition"),
    "ReadCondition | None": ((ReadCondition, _NONE), "a ReadCondition or None"),
    "Callable[[], Checksum | None] | None": ((_NONE, Callable), "a function that gives a Checksum or None"),  # type: ignore[dict-item]  # isinstance takes it
    "Sequence[LifecycleRule]": ((list, tuple), "a list of LifecycleRule"),
    "Sequence[CorsRule]": ((list, tuple), "a list of CorsRule"),
    "ConfigurationKind": ((ConfigurationKind,), "a ConfigurationKind"),
    "Mapping[str, Any]": ((dict, Mapping), "a mapping of str to what a configuration has"),
    "TransitionMinimum": ((TransitionMinimum,), "a TransitionMinimum"),
    "Sequence[str]": ((list, tuple), "a list of str"),
    "Sequence[CompletedPart]": ((list, tuple), "a list of CompletedPart"),
    "Sequence[DeleteEntry]": ((list, tuple), "a list of DeleteEntry"),
    "Iterable[ListedObject] | Iterable[ListedVersion]": ((Iterable,), "the rows of a listing"),
    "Collection[str] | None": ((list, tuple, set, frozenset, _NONE), "a list or a set of str, or None"),
    "dt.timedelta": ((dt.timedelta,), "a datetime.timedelta"),
    "dt.timedelta | None": ((dt.timedelta, _NONE), "a datetime.timedelta or None"),
    "Callable[[float], object]": ((Callable,), "a function of seconds"),  # type: ignore[dict-item]  # as above
    "Callable[[Event], object]": ((Callable,), "a function of an Event"),  # type: ignore[dict-item]  # as above
    "Callable[[], int] | None": ((_NONE, Callable), "a function that gives milliseconds, or None"),  # type: ignore[dict-item]  # as above
    "Snapshot": ((Snapshot,), "what snapshot() gave"),
}
#: What is in a list or a tuple, by the annotation of the parameter.
ITEMS: dict[str, tuple[type, str]] = {
    "AclRequest | None": (Grant, "a CannedAcl, a tuple of Grant, or None; it has"),
    "AclRequest | Acl": (Grant, "a CannedAcl, a tuple of Grant, or an Acl; it has"),
    "Sequence[str]": (str, "a list of str; it has"),
    "Collection[str] | None": (str, "a list or a set of str, or None; it has"),
    "Sequence[CompletedPart]": (CompletedPart, "a list of CompletedPart; it has"),
    "Sequence[LifecycleRule]": (LifecycleRule, "a list of LifecycleRule; it has"),
    "Sequence[CorsRule]": (CorsRule, "a list of CorsRule; it has"),
    "Sequence[DeleteEntry]": (DeleteEntry, "a list of DeleteEntry; it has"),
}
#: Whatever uses these checks them: names have rules of their own, and a body may be nearly anything.
CHECKED_ELSEWHERE = frozenset({"bucket", "key", "source_bucket", "source_key", "body"})
_NAMES = CHECKED_ELSEWHERE - {"body"}
_KEYS = frozenset({"key", "source_key"})


def checked(function: Callable[Concatenate[Any, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """The method, with TypeError for an option of a wrong type, which names it and says what it should be."""
    return _with_checks(function, None)


def method_of(part: str, function: Callable[Concatenate[Any, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """For the class of a store: the method of its `part`, with the checks of `checked`, in one call."""
    return _with_checks(function, part)


def _with_checks(function: Callable[..., Any], part: str | None) -> Callable[..., Any]:
    annotations = annotations_of(function)
    names = list(inspect.signature(function).parameters)[1:]
    kinds = {name: KINDS[kind] for name, kind in annotations.items() if kind in KINDS and name not in CHECKED_ELSEWHERE}
    items = {name: ITEMS[kind] for name, kind in annotations.items() if kind in ITEMS}
    #: Those of which one look says that they are right. What may be a list or a tuple is looked into.
    types: dict[str, Any] = {name: _without_lists(kinds[name][0], name in items) for name in kinds}
    types |= dict.fromkeys({*names, *annotations} - types.keys(), object)
    # Of a method with **options Python does not refuse a name that is unknown.
    others: Any = () if "options" in names else object
    names_kinds = {name: KINDS.get(annotations.get(name, "str"), KINDS["str"]) for name in _NAMES}
    first_checked = next((at for at, name in enumerate(names) if name in kinds), len(names))

    def check(given: Iterable[tuple[str, object]]) -> None:
        for name, value in given:
            if not others and name not in types:
                raise TypeError(f"{function.__name__}() has no option {name!r}")
            if name in kinds and not isinstance(value, kinds[name][0]):
                raise _wrong(name, kinds[name][1], value)
            if name in items and isinstance(value, list | tuple | set | frozenset):
                kind, wanted = items[name]
                for item in value:
                    if not isinstance(item, kind):
                        raise TypeError(f"{name} is {wanted} {type(item).__name__}: {reprlib.repr(item)}")

    @functools.wraps(function)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        for name, value in options.items():
            if not isinstance(value, types.get(name, others)):
                check([(name, value)])
        if len(args) > first_checked:
            check(zip(names, args, strict=False))
        try:
            return function(self if part is None else getattr(self, part), *args, **options)
        except UnicodeEncodeError:
            # So is whether they are text: Python shows bytes that are no UTF-8 as lone surrogates.
            for name, value in (*zip(names, args, strict=False), *options.items()):
                if not _is_text(value):
                    raise _no_text(name, value) from None
            raise
        except (TypeError, OverflowError, S3Error):
            # Every call has names, and nearly all are right: they are checked once something was wrong with them.
            for name, value in (*zip(names, args, strict=False), *options.items()):
                if name in _NAMES and not isinstance(value, names_kinds[name][0]):
                    raise _wrong(name, names_kinds[name][1], value) from None
            raise

    return call


def annotations_of(function: Callable[..., Any]) -> dict[str, str]:
    """The annotations of the parameters of a method, and of what its `**options` may hold, each as it is written."""
    found = dict(inspect.get_annotations(inspect.unwrap(function)))
    found.pop("return", None)
    kind = found.pop("options", None)
    if kind is not None:
        declared = inspect.unwrap(function).__globals__[kind.removeprefix("Unpack[").removesuffix("]")]
        found |= {name: option.__forward_arg__ for name, option in declared.__annotations__.items()}
    return found


def _without_lists(types: tuple[type, ...], holds_items: bool) -> tuple[type, ...]:
    """None is the first of them, as it is what most options are."""
    types = tuple(sorted(types, key=lambda kind: kind is not _NONE))
    return tuple(kind for kind in types if kind not in (list, tuple, set, frozenset)) if holds_items else types


def _is_text(value: object) -> bool:
    """Whether all texts in an argument can be stored."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, Mapping):
        return all(_is_text(key) and _is_text(one) for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_text, value))
    if attrs.has(type(value)):
        kind: Any = type(value)
        return all(_is_text(getattr(value, field.name)) for field in attrs.fields(kind))
    return True


def _no_text(name: str, value: object) -> S3Error:
    if name in _KEYS:
        return InvalidURI("A key must be valid UTF-8.")
    if name in _NAMES:
        return InvalidBucketName(ascii(value), "A bucket name is text.")
    return InvalidArgument(f"{name} is text that is valid UTF-8.", name, ascii(value)[:64])


def _wrong(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} is {wanted}, not {type(value).__name__}: {reprlib.repr(value)}")
