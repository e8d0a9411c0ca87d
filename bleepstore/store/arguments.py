"""What a caller may pass to the methods of a store, judged in one place before any of them runs.

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

from bleepstore.access import AclRequest, Action, Caller, CannedAcl, make_acl
from bleepstore.commands import DeleteEntry
from bleepstore.digests import Algorithm
from bleepstore.errors import InvalidArgument, InvalidRequest, MetadataTooLarge, S3Error
from bleepstore.model import (
    MAX_METADATA_BYTES,
    NO_ATTRIBUTES,
    STORAGE_CLASSES,
    Acl,
    ByteRange,
    Checksum,
    ChecksumType,
    CompletedPart,
    Grant,
    ObjectAttributes,
    Owner,
    ReadCondition,
    SystemMetadata,
    WriteCondition,
)
from bleepstore.store.snapshots import Snapshot

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
    "ObjectAttributes": ((ObjectAttributes,), "an ObjectAttributes"),
    "SystemMetadata": ((SystemMetadata,), "a SystemMetadata"),
    "Action": ((Action,), "an Action"),
    "Caller | None": ((Caller, _NONE), "a Caller or None"),
    "Owner | None": ((Owner, _NONE), "an Owner or None"),
    "AclRequest | None": ((CannedAcl, tuple, _NONE), "a CannedAcl, a tuple of Grant, or None"),
    "AclRequest | Acl": ((CannedAcl, tuple, Acl), "a CannedAcl, a tuple of Grant, or an Acl"),
    "Checksum | None": ((Checksum, _NONE), "a Checksum or None"),
    "Algorithm | None": ((Algorithm, _NONE), "an Algorithm or None"),
    "ChecksumType | None": ((ChecksumType, _NONE), "a ChecksumType or None"),
    "ByteRange | None": ((ByteRange, _NONE), "a ByteRange or None"),
    "WriteCondition": ((WriteCondition,), "a WriteCondition"),
    "ReadCondition | None": ((ReadCondition, _NONE), "a ReadCondition or None"),
    "Callable[[], Checksum | None] | None": ((_NONE, Callable), "a function that gives a Checksum or None"),  # type: ignore[dict-item]  # isinstance takes it
    "Sequence[str]": ((list, tuple), "a list of str"),
    "Sequence[CompletedPart]": ((list, tuple), "a list of CompletedPart"),
    "Sequence[DeleteEntry]": ((list, tuple), "a list of DeleteEntry"),
    "Collection[str] | None": ((list, tuple, set, frozenset, _NONE), "a list or a set of str, or None"),
    "dt.timedelta": ((dt.timedelta,), "a datetime.timedelta"),
    "dt.timedelta | None": ((dt.timedelta, _NONE), "a datetime.timedelta or None"),
    "Callable[[float], object]": ((Callable,), "a function of seconds"),  # type: ignore[dict-item]  # as above
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
    "Sequence[DeleteEntry]": (DeleteEntry, "a list of DeleteEntry; it has"),
}
#: Whatever uses these judges them: names have rules of their own, and a body may be nearly anything.
JUDGED_ELSEWHERE = frozenset({"bucket", "key", "source_bucket", "source_key", "body"})
_NAMES = JUDGED_ELSEWHERE - {"body"}


def checked(function: Callable[Concatenate[Any, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """The method, with TypeError for an option of a wrong type, which names it and says what it should be."""
    return _with_checks(function, None)


def method_of(part: str, function: Callable[Concatenate[Any, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """For the class of a store: the method of its `part`, with the checks of `checked`, in one call."""
    return _with_checks(function, part)


def _with_checks(function: Callable[..., Any], part: str | None) -> Callable[..., Any]:
    annotations = annotations_of(function)
    names = list(inspect.signature(function).parameters)[1:]
    kinds = {name: KINDS[kind] for name, kind in annotations.items() if kind in KINDS and name not in JUDGED_ELSEWHERE}
    items = {name: ITEMS[kind] for name, kind in annotations.items() if kind in ITEMS}
    #: Those of which one look says that they are right. What may be a list or a tuple is looked into.
    types = {name: _without_lists(kinds[name][0], name in items) for name in kinds}
    # Of a method with **options Python does not refuse a name that is unknown.
    others: Any = () if "options" in names else object
    known = {*names, *annotations}

    def judge(given: Iterable[tuple[str, object]]) -> None:
        for name, value in given:
            if not others and name not in known:
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
                judge([(name, value)])
        if len(args) > 2:
            judge(zip(names, args, strict=False))
        try:
            return function(self if part is None else getattr(self, part), *args, **options)
        except (TypeError, OverflowError, S3Error):
            # Every call has names, and nearly all are right: they are judged once something was wrong with them.
            for name, value in (*zip(names, args, strict=False), *options.items()):
                if name in _NAMES and not isinstance(value, str):
                    raise _wrong(name, "a str", value) from None
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
    return tuple(kind for kind in types if kind not in (list, tuple, set, frozenset)) if holds_items else types


def _wrong(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} is {wanted}, not {type(value).__name__}: {reprlib.repr(value)}")


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
    for the owner of the new object."""

    system: SystemMetadata
    metadata: Mapping[str, str] | None
    storage_class: str | None
    acl: AclRequest | None


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


class UploadOptions(AttributeOptions, total=False):
    """The options of create_upload: which checksum the object will have."""

    checksum_algorithm: Algorithm | None
    checksum_type: ChecksumType | None


class CopyOptions(AttributeOptions, total=False):
    """The options of copy_object. `checksum_algorithm` asks for another checksum than the source's."""

    source_version_id: str | None
    source_condition: ReadCondition | None
    replace_metadata: bool
    checksum_algorithm: Algorithm | None
    allow_unchanged: bool


_HEADERS = frozenset(SystemHeaders.__annotations__)
_ATTRIBUTE_OPTIONS = frozenset(AttributeOptions.__annotations__)


def given_attributes(attributes: ObjectAttributes, options: AttributeOptions) -> ObjectAttributes:
    """`attributes` with what was given as keywords, but for the ACL, which depends on the owner. Raises
    MetadataTooLarge, InvalidArgument."""
    if not _ATTRIBUTE_OPTIONS.isdisjoint(options):
        system = options.get("system", attributes.system)
        headers: dict[str, Any] = {name: value for name, value in options.items() if name in _HEADERS}
        metadata = options.get("metadata")
        attributes = attrs.evolve(
            attributes,
            system=attrs.evolve(system, **headers) if headers else system,
            metadata=attributes.metadata if metadata is None else metadata,
            storage_class=options.get("storage_class") or attributes.storage_class,
        )
    if attributes.metadata:
        check_metadata(attributes.metadata)
    if attributes.storage_class not in STORAGE_CLASSES:
        raise InvalidArgument("The storage class is not one of S3's.", "storage_class", attributes.storage_class)
    return attributes


def with_acl(attributes: ObjectAttributes, acl: AclRequest, owner: Owner, bucket_owner: Owner) -> ObjectAttributes:
    """`attributes` with the grants that are asked for, of a new object of `owner`."""
    made = make_acl(acl, owner.id, bucket_owner.id)
    return attrs.evolve(attributes, grants=None if made == Acl.private(owner.id) else made.grants)


def check_copied_headers(options: CopyOptions) -> None:
    """Raises InvalidRequest for what a copy cannot have of its own unless it replaces the source's metadata."""
    if not options.get("replace_metadata") and (kept := (options.keys() & _HEADERS) - {"website_redirect_location"}):
        raise InvalidRequest(f"{min(kept)} of a copy is the source's: replace_metadata=True gives the copy its own.")


def copied_attributes(source: ObjectAttributes, given: ObjectAttributes = NO_ATTRIBUTES) -> ObjectAttributes:
    """What a copy has of its source, and what it has only if it is given.

    "x-amz-website-redirect-location is not copied; it must be given with the request." Nor are the storage class and
    the ACL.
    """
    return attrs.evolve(
        source,
        system=attrs.evolve(source.system, website_redirect_location=given.system.website_redirect_location),
        storage_class=given.storage_class,
        grants=given.grants,
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
