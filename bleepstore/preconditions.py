"""What must hold of an object when it is written, deleted or read (RFC 9110 section 13)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import attrs

from bleepstore.errors import Condition


def bare_etag(etag: object, option: str = "if_match") -> str:
    """An ETag as a condition compares it: without the quotes around it, which S3's clients show. Raises TypeError."""
    if not isinstance(etag, str):
        raise TypeError(f"{option} is an ETag (a str), not {type(etag).__name__}: {etag!r}")
    return etag[1:-1] if len(etag) > 1 and etag[0] == etag[-1] == '"' else etag


def _bare_or_none(etag: str | None) -> str | None:
    return None if etag is None else bare_etag(etag)


def _bare_etags(etags: str | Iterable[str] | None, option: str) -> tuple[str, ...] | None:
    if etags is None:
        return None
    if not isinstance(etags, str | tuple | list | set | frozenset):
        raise TypeError(f"{option} is one ETag or a tuple of them, not {type(etags).__name__}: {etags!r}")
    return tuple(bare_etag(etag, option) for etag in ([etags] if isinstance(etags, str) else etags))


def _if_match(etags: str | Iterable[str] | None) -> tuple[str, ...] | None:
    return _bare_etags(etags, "if_match")


def _if_none_match(etags: str | Iterable[str] | None) -> tuple[str, ...] | None:
    return _bare_etags(etags, "if_none_match")


def _if_range(wanted: object) -> str | dt.datetime | None:
    if wanted is None or (isinstance(wanted, dt.datetime) and wanted.tzinfo is not None):
        return wanted
    if isinstance(wanted, dt.datetime):
        raise TypeError(f"if_range is an ETag or a datetime with a time zone, not {wanted!r}")
    return bare_etag(wanted, "if_range")


def _check_time(_condition: object, field: attrs.Attribute[dt.datetime | None], value: object) -> None:
    if value is not None and (not isinstance(value, dt.datetime) or value.tzinfo is None):
        raise TypeError(f"{field.name} is a datetime with a time zone, not {value!r}")


@attrs.frozen(kw_only=True)
class WriteCondition:
    """What must hold of the current version when a write is committed.

    `if_none_match` asks that there be none; `if_match` that its ETag be this one. `if_match="*"`, for deletes
    only, asks that there be one. `replaces_only_of` asks that it be owned by this account if there is one: S3 lets who
    may write into the bucket of another replace and delete its own objects alone, and a store asks it for them.
    """

    if_match: str | None = attrs.field(default=None, converter=_bare_or_none)
    if_none_match: bool = attrs.field(default=False)
    replaces_only_of: str | None = None

    @if_none_match.validator
    def _check_switch(self, _field: attrs.Attribute[bool], value: object) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"if_none_match of a write is True (there must be no object) or False, not {value!r}")

    def __attrs_post_init__(self) -> None:
        if self.if_match is not None and self.if_none_match:
            raise ValueError("if_match and if_none_match exclude each other")

    def __bool__(self) -> bool:
        return self.if_none_match or self.if_match is not None or self.replaces_only_of is not None

    @property
    def is_of_etag(self) -> bool:
        """Whether it asks for an ETag, or that there be no object: what a client asks."""
        return self.if_none_match or self.if_match is not None

    @property
    def kind(self) -> Condition:
        """Which of these two it is."""
        return Condition.IF_NONE_MATCH if self.if_none_match else Condition.IF_MATCH


#: The same instance wherever nothing is asked, so that it is quickly told.
UNCONDITIONAL = WriteCondition()


@attrs.frozen(kw_only=True)
class ReadCondition:
    """What must hold of the version that is read (RFC 9110 section 13): one ETag or several, with or without quotes,
    where "*" matches any, and times with a time zone.

    `if_range` is the ETag or the time of the version that the caller has a part of: a read of any other is not cut to
    its range, but is of the whole.
    """

    if_match: tuple[str, ...] | None = attrs.field(default=None, converter=_if_match)
    if_none_match: tuple[str, ...] | None = attrs.field(default=None, converter=_if_none_match)
    if_modified_since: dt.datetime | None = attrs.field(default=None, validator=_check_time)
    if_unmodified_since: dt.datetime | None = attrs.field(default=None, validator=_check_time)
    if_range: str | dt.datetime | None = attrs.field(default=None, converter=_if_range)
