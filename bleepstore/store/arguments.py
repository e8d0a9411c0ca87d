"""What a caller may pass to the methods of a store, judged in one place before any of them runs.

The annotations of the methods say what each option is. Only what was passed is looked at.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

import attrs

from bleepstore.acl import CannedAcl
from bleepstore.digests import Algorithm
from bleepstore.errors import InvalidRequest
from bleepstore.model import (
    Acl,
    ByteRange,
    Checksum,
    ChecksumType,
    Owner,
    Permission,
    ReadCondition,
    SystemMetadata,
    WriteCondition,
)

_Class = TypeVar("_Class", bound=type)
_NONE = type(None)

#: By the annotation of a parameter: what it may be an instance of, and how an error says so.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a str"),
    "str | None": ((str, _NONE), "a str or None"),
    "int": ((int,), "a whole number"),
    "int | None": ((int, _NONE), "a whole number or None"),
    "bool": ((bool,), "True or False"),
    "Mapping[str, str] | None": ((dict, _NONE, Mapping), "a mapping of str to str, or None"),
    "SystemMetadata": ((SystemMetadata,), "a SystemMetadata"),
    "Owner | None": ((Owner, _NONE), "an Owner or None"),
    "AclRequest | None": ((CannedAcl, tuple, _NONE), "a CannedAcl, a tuple of Grant, or None"),
    "AclRequest | Acl": ((CannedAcl, tuple, Acl), "a CannedAcl, a tuple of Grant, or an Acl"),
    "Checksum | None": ((Checksum, _NONE), "a Checksum or None"),
    "Algorithm | None": ((Algorithm, _NONE), "an Algorithm or None"),
    "ChecksumType | None": ((ChecksumType, _NONE), "a ChecksumType or None"),
    "ByteRange | None": ((ByteRange, _NONE), "a ByteRange or None"),
    "WriteCondition": ((WriteCondition,), "a WriteCondition"),
    "ReadCondition | None": ((ReadCondition, _NONE), "a ReadCondition or None"),
    "Callable[[], Checksum | None] | None": ((Callable, _NONE), "a function that gives a Checksum or None"),  # type: ignore[dict-item]  # isinstance takes it
    "Callable[[float], object]": ((Callable,), "a function of a number of seconds"),  # type: ignore[dict-item]  # as above
    "float | None": ((int, float, _NONE), "a number or None"),
    "Permission": ((Permission,), "a Permission"),
    "Collection[str] | None": ((list, tuple, set, frozenset, _NONE), "a set or list of str, or None"),
    "Sequence[str]": ((list, tuple), "a list of str"),
    "Sequence[CompletedPart]": ((list, tuple), "a list of CompletedPart"),
    "Sequence[DeleteEntry]": ((list, tuple), "a list of DeleteEntry"),
}
#: Whatever uses these judges them: names have rules of their own, and a body may be nearly anything.
JUDGED_ELSEWHERE = frozenset({"bucket", "key", "source_bucket", "source_key", "body"})


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with TypeError for an option of a wrong type, which names it and says what it should be."""
    names = list(inspect.signature(function).parameters)[1:]
    kinds = {
        name: KINDS[kind]
        for name, kind in function.__annotations__.items()
        if kind in KINDS and name not in JUDGED_ELSEWHERE
    }
    if not kinds:
        return function

    @functools.wraps(function)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        if len(args) > 2:
            for name, value in zip(names, args, strict=False):
                if name in kinds and not isinstance(value, kinds[name][0]):
                    raise _wrong(name, kinds[name][1], value)
        for name, value in options.items():
            if name in kinds and not isinstance(value, kinds[name][0]):
                raise _wrong(name, kinds[name][1], value)
        return function(self, *args, **options)

    return call


def _wrong(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} is {wanted}, not {type(value).__name__}: {reprlib.repr(value)}")


def with_checked_arguments(store: _Class) -> _Class:
    """A class decorator: every public method of the class judges what it is given."""
    for name, member in inspect.getmembers(store, inspect.isfunction):
        if not name.startswith("_"):
            setattr(store, name, checked(member))
    return store


class SystemHeaders(TypedDict, total=False):
    """The fields of `SystemMetadata` as keywords: `put_object(..., content_type="text/plain")`."""

    content_type: str | None
    content_encoding: str | None
    content_language: str | None
    content_disposition: str | None
    cache_control: str | None
    expires: str | None
    website_redirect_location: str | None


_FIELDS = frozenset(field.name for field in attrs.fields(SystemMetadata))


def with_headers(system: SystemMetadata, headers: SystemHeaders, method: str) -> SystemMetadata:
    """`system` with those of its fields that were given as keywords of `method`. Raises TypeError for any other."""
    if not headers:
        return system
    for name, value in headers.items():
        if name not in _FIELDS:
            raise TypeError(f"{method}() has no option {name!r}")
        if not isinstance(value, str | None):
            raise _wrong(name, "a str or None", value)
    return attrs.evolve(system, **headers)


def copied_headers(system: SystemMetadata, headers: SystemHeaders, *, replaces: bool) -> SystemMetadata:
    """As `with_headers` for a copy, whose metadata are the source's unless it replaces them."""
    kept = headers.keys() - {"website_redirect_location"}
    found = with_headers(system, headers, "copy_object")
    if kept and not replaces:
        raise InvalidRequest(f"{min(kept)} of a copy is the source's: replace_metadata=True gives the copy its own.")
    return found
