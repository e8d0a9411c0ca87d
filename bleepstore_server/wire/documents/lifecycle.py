"""The document of a bucket's lifecycle."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence

from bleepstore.errors import InvalidArgument, InvalidRequest
from bleepstore.lifecycle import (
    MAX_RULES,
    Expiration,
    Lifecycle,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    Transition,
)
from bleepstore.model import DAY_MS, to_datetime
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    INTEGER,
    TIME,
    TOKEN,
    child,
    choice,
    document,
    element,
    elements,
    malformed,
    parse,
)
from bleepstore_server.wire.documents.tagging import Tag

_EPOCH = dt.date(1970, 1, 1)


class Status(enum.StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


@document()
class LifecycleAnd:
    prefix: str | None = element("Prefix", default=None)
    tags: Sequence[Tag] = elements("Tag", Tag, default=())
    size_greater_than: int | None = element("ObjectSizeGreaterThan", INTEGER, default=None)
    size_less_than: int | None = element("ObjectSizeLessThan", INTEGER, default=None)


@document()
class LifecycleRuleFilter:
    prefix: str | None = element("Prefix", default=None)
    tag: Tag | None = child("Tag", Tag, default=None)
    size_greater_than: int | None = element("ObjectSizeGreaterThan", INTEGER, default=None)
    size_less_than: int | None = element("ObjectSizeLessThan", INTEGER, default=None)
    all_of: LifecycleAnd | None = child("And", LifecycleAnd, default=None)


@document()
class LifecycleExpiration:
    date_ms: int | None = element("Date", TIME, default=None)
    days: int | None = element("Days", INTEGER, default=None)
    expired_object_delete_marker: bool | None = element("ExpiredObjectDeleteMarker", BOOLEAN, default=None)


@document()
class LifecycleTransition:
    date_ms: int | None = element("Date", TIME, default=None)
    days: int | None = element("Days", INTEGER, default=None)
    storage_class: str = element("StorageClass", TOKEN)


@document()
class NoncurrentVersionTransition:
    days: int = element("NoncurrentDays", INTEGER)
    storage_class: str = element("StorageClass", TOKEN)
    newer_versions: int | None = element("NewerNoncurrentVersions", INTEGER, default=None)


@document()
class NoncurrentVersionExpiration:
    days: int = element("NoncurrentDays", INTEGER)
    newer_versions: int | None = element("NewerNoncurrentVersions", INTEGER, default=None)


@document()
class AbortIncompleteMultipartUpload:
    days: int = element("DaysAfterInitiation", INTEGER)


@document()
class RuleElement:
    expiration: LifecycleExpiration | None = child("Expiration", LifecycleExpiration, default=None)
    id: str | None = element("ID", default=None)
    prefix: str | None = element("Prefix", default=None)
    filter: LifecycleRuleFilter | None = child("Filter", LifecycleRuleFilter, default=None)
    status: Status = element("Status", choice(Status))
    transitions: Sequence[LifecycleTransition] = elements("Transition", LifecycleTransition, default=())
    noncurrent_transitions: Sequence[NoncurrentVersionTransition] = elements(
        "NoncurrentVersionTransition", NoncurrentVersionTransition, default=()
    )
    noncurrent_expiration: NoncurrentVersionExpiration | None = child(
        "NoncurrentVersionExpiration", NoncurrentVersionExpiration, default=None
    )
    abort: AbortIncompleteMultipartUpload | None = child(
        "AbortIncompleteMultipartUpload", AbortIncompleteMultipartUpload, default=None
    )


@document("LifecycleConfiguration")
class LifecycleConfiguration:
    rules: Sequence[RuleElement] = elements("Rule", RuleElement, at_least=1, at_most=MAX_RULES)


# -- what a client sends


def parse_lifecycle(body: bytes) -> tuple[LifecycleRule, ...]:
    """The rules. Raises RequestError: MalformedXML; InvalidArgument, InvalidRequest."""
    return tuple(map(_rule, parse(LifecycleConfiguration, body).rules))


def _rule(given: RuleElement) -> LifecycleRule:
    if (given.filter is None) == (given.prefix is None):
        raise malformed("A Rule has either a Filter or a Prefix.")
    end, older = given.expiration, given.noncurrent_expiration
    return LifecycleRule(
        id=given.id or "",
        enabled=given.status is Status.ENABLED,
        filter=LifecycleFilter(prefix=given.prefix) if given.filter is None else _filter(given.filter),
        is_prefix_form=given.filter is None,
        expiration=None
        if end is None
        else Expiration(
            days=end.days,
            date=_date(end.date_ms),
            expired_object_delete_marker=end.expired_object_delete_marker,
        ),
        transitions=tuple(
            Transition(storage_class=one.storage_class, days=one.days, date=_date(one.date_ms))
            for one in given.transitions
        ),
        noncurrent_expiration=None
        if older is None
        else NoncurrentExpiration(days=older.days, newer_versions=older.newer_versions),
        noncurrent_transitions=tuple(
            NoncurrentTransition(storage_class=one.storage_class, days=one.days, newer_versions=one.newer_versions)
            for one in given.noncurrent_transitions
        ),
        abort_uploads_days=None if given.abort is None else given.abort.days,
    )


def _filter(given: LifecycleRuleFilter) -> LifecycleFilter:
    """ "A Filter must have exactly one of Prefix, Tag, ObjectSizeGreaterThan, ObjectSizeLessThan, or And specified." An
    empty one is for all objects."""
    alone = (given.prefix, given.tag, given.size_greater_than, given.size_less_than)
    count = sum(one is not None for one in (*alone, given.all_of))
    if count > 1:
        raise malformed("A Filter has one of Prefix, Tag, ObjectSizeGreaterThan, ObjectSizeLessThan and And.")
    if given.all_of is None:
        tags = () if given.tag is None else (given.tag,)
        return LifecycleFilter(
            prefix=given.prefix,
            tags=_tags(tags),
            size_greater_than=given.size_greater_than,
            size_less_than=given.size_less_than,
        )
    wanted = given.all_of
    if wanted == LifecycleAnd():
        raise malformed("An And has Prefix, Tag, ObjectSizeGreaterThan or ObjectSizeLessThan.")
    return LifecycleFilter(
        prefix=wanted.prefix,
        tags=_tags(wanted.tags),
        size_greater_than=wanted.size_greater_than,
        size_less_than=wanted.size_less_than,
    )


def _tags(given: Sequence[Tag]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in given:
        if tag.key is None or tag.value is None:
            raise malformed("A Tag has a Key and a Value.")
        if tag.key in tags:
            raise InvalidRequest("Duplicate Tag Keys are not allowed.")
        tags[tag.key] = tag.value
    return tags


def _date(time_ms: int | None) -> dt.date | None:
    """ "The time is always midnight UTC." """
    if time_ms is None:
        return None
    if time_ms % DAY_MS:
        raise InvalidArgument("'Date' must be at midnight GMT", "Date", to_datetime(time_ms).isoformat())
    return to_datetime(time_ms).date()


# -- what it gets to see


def lifecycle_of(lifecycle: Lifecycle) -> LifecycleConfiguration:
    return LifecycleConfiguration(rules=[_element(rule) for rule in lifecycle.rules])


def _element(rule: LifecycleRule) -> RuleElement:
    end, older = rule.expiration, rule.noncurrent_expiration
    return RuleElement(
        id=rule.id,
        status=Status.ENABLED if rule.enabled else Status.DISABLED,
        prefix=(rule.filter.prefix or "") if rule.is_prefix_form else None,
        filter=None if rule.is_prefix_form else _filter_element(rule.filter),
        expiration=None
        if end is None
        else LifecycleExpiration(
            date_ms=_midnight(end.date),
            days=end.days,
            expired_object_delete_marker=end.expired_object_delete_marker,
        ),
        transitions=[
            LifecycleTransition(date_ms=_midnight(one.date), days=one.days, storage_class=one.storage_class)
            for one in rule.transitions
        ],
        noncurrent_transitions=[
            NoncurrentVersionTransition(
                days=one.days, storage_class=one.storage_class, newer_versions=one.newer_versions
            )
            for one in rule.noncurrent_transitions
        ],
        noncurrent_expiration=None
        if older is None
        else NoncurrentVersionExpiration(days=older.days, newer_versions=older.newer_versions),
        abort=None if rule.abort_uploads_days is None else AbortIncompleteMultipartUpload(days=rule.abort_uploads_days),
    )


def _filter_element(wanted: LifecycleFilter) -> LifecycleRuleFilter:
    tags = [Tag(key=key, value=value) for key, value in wanted.tags.items()]
    others = (wanted.prefix, wanted.size_greater_than, wanted.size_less_than)
    if len(tags) + sum(one is not None for one in others) <= 1:
        return LifecycleRuleFilter(
            prefix=wanted.prefix,
            tag=tags[0] if tags else None,
            size_greater_than=wanted.size_greater_than,
            size_less_than=wanted.size_less_than,
        )
    return LifecycleRuleFilter(
        all_of=LifecycleAnd(
            prefix=wanted.prefix,
            tags=tags,
            size_greater_than=wanted.size_greater_than,
            size_less_than=wanted.size_less_than,
        )
    )


def _midnight(date: dt.date | None) -> int | None:
    return None if date is None else (date - _EPOCH).days * DAY_MS
