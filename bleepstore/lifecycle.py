"""The rules of a bucket's lifecycle: what becomes of objects and uploads by their age ("Managing the lifecycle of
objects"). `bleepstore.lifecycle_due` says what they mean for an object, and when.

    rules = (LifecycleRule(filter=LifecycleFilter(prefix="tmp/"), expiration=Expiration(days=30)),)
"""

from __future__ import annotations

import datetime as dt
import enum
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from bleepstore.errors import InvalidArgument, InvalidRequest, MalformedLifecycle
from bleepstore.tags import check_object_tags

MAX_RULES = 1000
MAX_RULE_ID = 255
MAX_NEWER_VERSIONS = 100
_MAX_PREFIX_BYTES = 1024
_MAX_DAYS = 2**31 - 1
#: Classes change in this direction only.
CLASS_ORDER = {
    "STANDARD": 0,
    "REDUCED_REDUNDANCY": 0,
    "STANDARD_IA": 1,
    "INTELLIGENT_TIERING": 2,
    "ONEZONE_IA": 3,
    "GLACIER_IR": 4,
    "GLACIER": 5,
    "DEEP_ARCHIVE": 6,
}
#: What a rule may name as the class to change to.
TRANSITION_CLASSES = frozenset(name for name, order in CLASS_ORDER.items() if order > 0)


class TransitionMinimum(enum.StrEnum):
    """Which objects of less than 128 KiB change their class by rules that say nothing of a size: none, or those that
    change to GLACIER and DEEP_ARCHIVE."""

    ALL_STORAGE_CLASSES_128K = "all_storage_classes_128K"
    VARIES_BY_STORAGE_CLASS = "varies_by_storage_class"


@attrs.frozen(kw_only=True)
class LifecycleFilter:
    """Which objects a rule is for: those of which all holds that is given. Sizes are in bytes, and not included. The
    tags of an object must include `tags`. A `prefix` of None is as "", all keys."""

    prefix: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    size_greater_than: int | None = None
    size_less_than: int | None = None

    @property
    def has_size(self) -> bool:
        return self.size_greater_than is not None or self.size_less_than is not None

    def describe(self) -> str:
        """As errors name it."""
        parts = [] if self.prefix is None and (self.tags or self.has_size) else [f"prefix={self.prefix or ''}"]
        parts += [f"tag: key={key}, value={value}" for key, value in self.tags.items()]
        if self.size_greater_than is not None:
            parts.append(f"objectsizegreaterthan={self.size_greater_than}")
        if self.size_less_than is not None:
            parts.append(f"objectsizelessthan={self.size_less_than}")
        return f"filter '({' and '.join(parts)})'"


@attrs.frozen(kw_only=True)
class Expiration:
    """When objects end: so many days after they were written, or at midnight (UTC) of a date. Or, instead,
    `expired_object_delete_marker`: delete markers go that no older version is left of."""

    days: int | None = None
    date: dt.date | None = None
    expired_object_delete_marker: bool | None = None


@attrs.frozen(kw_only=True)
class Transition:
    """When objects change to a storage class: so many days after they were written, or at midnight (UTC) of a date."""

    storage_class: str
    days: int | None = None
    date: dt.date | None = None


@attrs.frozen(kw_only=True)
class NoncurrentExpiration:
    """Older versions go so many days after they were replaced, but for the newest `newer_versions` of them."""

    days: int
    newer_versions: int | None = None


@attrs.frozen(kw_only=True)
class NoncurrentTransition:
    """Older versions change to a storage class so many days after they were replaced, but for the newest
    `newer_versions` of them."""

    storage_class: str
    days: int
    newer_versions: int | None = None


@attrs.frozen(kw_only=True)
class LifecycleRule:
    """One rule: what it is for, and what becomes of that. One that is not `enabled` does nothing. Without an `id` it
    gets one. `abort_uploads_days` ends multipart uploads so many days after they were created.

    `is_prefix_form`: it was given in the older form of S3, where a prefix is all that a rule can say of objects. All
    rules of a bucket have the same form.
    """

    id: str = ""
    enabled: bool = True
    filter: LifecycleFilter = LifecycleFilter()
    expiration: Expiration | None = None
    transitions: tuple[Transition, ...] = ()
    noncurrent_expiration: NoncurrentExpiration | None = None
    noncurrent_transitions: tuple[NoncurrentTransition, ...] = ()
    abort_uploads_days: int | None = None
    is_prefix_form: bool = False

    @property
    def has_transitions(self) -> bool:
        return bool(self.transitions or self.noncurrent_transitions)


@attrs.frozen(kw_only=True)
class Lifecycle:
    """The rules of a bucket."""

    rules: tuple[LifecycleRule, ...]
    transition_minimum: TransitionMinimum = TransitionMinimum.ALL_STORAGE_CLASSES_128K


# -- what S3 refuses


def check_lifecycle(lifecycle: Lifecycle) -> None:
    """Raises MalformedLifecycle, InvalidArgument, InvalidRequest, InvalidTag for rules that S3 would not take;
    TypeError for what are no rules."""
    if not 1 <= len(lifecycle.rules) <= MAX_RULES:
        raise MalformedLifecycle(f"A lifecycle has 1 to {MAX_RULES} rules.")
    seen: set[str] = set()
    for rule in lifecycle.rules:
        if not isinstance(rule, LifecycleRule):
            raise TypeError(f"a lifecycle is made of LifecycleRule, not {type(rule).__name__}: {rule!r}")
        if rule.id in seen:
            raise _bad_argument("Rule ID must be unique. Found same ID for more than one rule", "ID", rule.id)
        if rule.id:
            seen.add(rule.id)
        _check_rule(rule)
    _check_forms(lifecycle.rules)


def _check_forms(rules: Sequence[LifecycleRule]) -> None:
    """All rules have the form of the first. In the older one, two rules that do the same are for different keys."""
    is_older = rules[0].is_prefix_form
    if any(rule.is_prefix_form is not is_older for rule in rules):
        if is_older:
            raise InvalidRequest("Filter element can only be used in Lifecycle V2.")
        raise InvalidRequest(
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."
        )
    if not is_older:
        return
    if any(rule.filter.tags or rule.filter.has_size for rule in rules):
        raise InvalidRequest("Filter element can only be used in Lifecycle V2.")
    prefixes: dict[str, list[str]] = {}
    for rule in rules:
        for action in _actions(rule):
            prefixes.setdefault(action, []).append(rule.filter.prefix or "")
    for action, found in prefixes.items():
        # What begins with a prefix follows it at once in the order of all.
        for shorter, longer in itertools.pairwise(sorted(found)):
            if longer.startswith(shorter):
                raise InvalidRequest(
                    f"Found overlapping prefixes '{longer}' and '{shorter}' for same action type '{action}'"
                )


def _actions(rule: LifecycleRule) -> Iterator[str]:
    """What a rule does, as errors name it."""
    if rule.expiration is not None:
        yield "Expiration"
    if rule.transitions:
        yield "Transition"
    if rule.noncurrent_expiration is not None:
        yield "NoncurrentVersionExpiration"
    if rule.noncurrent_transitions:
        yield "NoncurrentVersionTransition"
    if rule.abort_uploads_days is not None:
        yield "AbortIncompleteMultipartUpload"


def _check_rule(rule: LifecycleRule) -> None:
    _check_types(rule)
    if len(rule.id) > MAX_RULE_ID:
        raise _bad_argument(f"ID length should not exceed allowed limit of {MAX_RULE_ID}", "ID", rule.id)
    _check_filter(rule.filter)
    expires = rule.expiration is not None or rule.noncurrent_expiration is not None
    if not expires and not rule.has_transitions and rule.abort_uploads_days is None:
        raise InvalidRequest("At least one action needs to be specified in a rule")
    if rule.expiration is not None:
        _check_expiration(rule.expiration, rule.filter)
    _check_transitions(rule)
    _check_noncurrent(rule)
    if rule.abort_uploads_days is not None:
        _check_days(rule.abort_uploads_days)
        if rule.abort_uploads_days < 1:
            raise _not_positive("DaysAfterInitiation", "AbortIncompleteMultipartUpload", rule.abort_uploads_days)
        _check_is_by_key(rule.filter, "AbortIncompleteMultipartUpload")


def _check_filter(wanted: LifecycleFilter) -> None:
    least, most = wanted.size_greater_than, wanted.size_less_than
    if len((wanted.prefix or "").encode("utf-8", "surrogatepass")) > _MAX_PREFIX_BYTES:
        raise InvalidRequest(f"The maximum size of a prefix is {_MAX_PREFIX_BYTES}.")
    if wanted.tags:
        check_object_tags(wanted.tags)
    if least is not None and least < 0:
        raise _bad_argument("'ObjectSizeGreaterThan' must be nonnegative", "ObjectSizeGreaterThan", str(least))
    if most is not None and most < 1:
        raise _bad_argument("'ObjectSizeLessThan' must be a positive integer", "ObjectSizeLessThan", str(most))
    if least is not None and most is not None and least >= most:
        raise InvalidRequest("'ObjectSizeGreaterThan' must be less than 'ObjectSizeLessThan'")


def _check_expiration(expiration: Expiration, wanted: LifecycleFilter) -> None:
    """ "This cannot be specified with Days or Date in a Lifecycle Expiration Policy." "The rule cannot specify a
    tag-based filter." """
    given = (expiration.days, expiration.date, expiration.expired_object_delete_marker)
    if sum(one is not None for one in given) != 1:
        raise MalformedLifecycle("An Expiration has one of Days, Date and ExpiredObjectDeleteMarker.")
    if expiration.days is not None:
        _check_days(expiration.days)
        if expiration.days < 1:
            raise _not_positive("Days", "Expiration", expiration.days)
    _check_date(expiration.date)
    if expiration.expired_object_delete_marker is not None:
        _check_is_by_key(wanted, "ExpiredObjectDeleteMarker")


def _check_is_by_key(wanted: LifecycleFilter, action: str) -> None:
    """An upload and a delete marker have neither tags nor a size."""
    if wanted.tags:
        raise InvalidRequest(f"{action} cannot be specified with Tags.")
    if wanted.has_size:
        raise InvalidRequest(f"{action} cannot be specified with Object Size.")


def _check_transitions(rule: LifecycleRule) -> None:
    described = rule.filter.describe()
    _check_classes(rule.transitions, "Transition", described)
    for one in rule.transitions:
        if (one.days is None) == (one.date is None):
            raise MalformedLifecycle("A Transition has one of Days and Date.")
        if one.days is not None:
            _check_days(one.days)
            if one.days < 0:
                raise _bad_argument("'Days' in Transition action must be nonnegative", "Days", str(one.days))
        _check_date(one.date)
    if len({one.days is None for one in rule.transitions}) > 1:
        raise InvalidRequest(
            f"Found mixed 'Date' and 'Days' based Transition actions in lifecycle rule for {described}"
        )
    if rule.transitions and rule.transitions[0].days is None:
        _check_order([(one.storage_class, one.date) for one in rule.transitions], "Date", "Transition", described)
    else:
        _check_order([(one.storage_class, one.days) for one in rule.transitions], "Days", "Transition", described)
    end = rule.expiration
    if end is None or not rule.transitions or end.expired_object_delete_marker is not None:
        return
    if (end.days is None) != (rule.transitions[0].days is None):
        raise InvalidRequest(
            f"Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for {described}"
        )
    for one in rule.transitions:
        if end.days is not None and one.days is not None and end.days <= one.days:
            raise _ends_too_soon("Days", "Expiration", "Transition", described)
        if end.date is not None and one.date is not None and end.date <= one.date:
            raise _ends_too_soon("Date", "Expiration", "Transition", described)


def _check_noncurrent(rule: LifecycleRule) -> None:
    described, end = rule.filter.describe(), rule.noncurrent_expiration
    _check_classes(rule.noncurrent_transitions, "NoncurrentVersionTransition", described)
    if end is not None:
        _check_days(end.days)
        if end.days < 1:
            raise _not_positive("NoncurrentDays", "NoncurrentVersionExpiration", end.days)
        _check_newer(end.newer_versions, "NoncurrentVersionExpiration", rule)
    for one in rule.noncurrent_transitions:
        _check_days(one.days)
        if one.days < 0:
            message = "'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative"
            raise _bad_argument(message, "NoncurrentDays", str(one.days))
        _check_newer(one.newer_versions, "NoncurrentVersionTransition", rule)
        if end is not None and end.days <= one.days:
            raise _ends_too_soon(
                "NoncurrentDays", "NoncurrentVersionExpiration", "NoncurrentVersionTransition", described
            )
    changes = [(one.storage_class, one.days) for one in rule.noncurrent_transitions]
    _check_order(changes, "NoncurrentDays", "NoncurrentVersionTransition", described)


def _check_newer(count: int | None, action: str, rule: LifecycleRule) -> None:
    if count is None:
        return
    if rule.is_prefix_form:
        raise InvalidRequest("NewerNoncurrentVersions element can only be used in Lifecycle V2.")
    if not 1 <= count <= MAX_NEWER_VERSIONS:
        message = f"'NewerNoncurrentVersions' for {action} action must be between 1 and {MAX_NEWER_VERSIONS}"
        raise _bad_argument(message, "NewerNoncurrentVersions", str(count))


def _check_classes(transitions: Sequence[Transition | NoncurrentTransition], action: str, described: str) -> None:
    classes = [one.storage_class for one in transitions]
    if not TRANSITION_CLASSES.issuperset(classes):
        raise MalformedLifecycle(f"The StorageClass of a {action} is one of {', '.join(sorted(TRANSITION_CLASSES))}.")
    if len(set(classes)) < len(classes):
        raise InvalidRequest(f"'StorageClass' must be different for '{action}' actions in same 'Rule' with {described}")


def _check_order(changes: Sequence[tuple[str, Any]], name: str, action: str, described: str) -> None:
    """Of the classes of a rule, each comes after those from which it can be reached."""
    for (earlier, start), (later, end) in itertools.pairwise(sorted(changes, key=lambda one: CLASS_ORDER[one[0]])):
        if end <= start:
            raise InvalidArgument(
                f"'{name}' in the {action} action for StorageClass '{later}' for {described} must be greater than "
                f"'{name}' in the {action} action for StorageClass '{earlier}' for {described}"
            )


def _check_types(rule: LifecycleRule) -> None:
    """What a document cannot get wrong, and a program can: a rule that is not `enabled` must not remove anything."""
    wanted, end = rule.filter, rule.expiration
    marker = None if end is None else end.expired_object_delete_marker
    for name, value, kind in (
        ("id", rule.id, str),
        ("enabled", rule.enabled, bool),
        ("prefix", wanted.prefix, str),
        ("size_greater_than", wanted.size_greater_than, int),
        ("size_less_than", wanted.size_less_than, int),
        ("expired_object_delete_marker", marker, bool),
    ):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"the {name} of a rule is of {kind.__name__}, not {type(value).__name__}: {value!r}")


def _check_days(days: int) -> None:
    if not isinstance(days, int):
        raise TypeError(f"days are a whole number, not {days!r}")
    if days > _MAX_DAYS:
        raise MalformedLifecycle("A number of days is too large.")


def _check_date(date: dt.date | None) -> None:
    if date is not None and (not isinstance(date, dt.date) or isinstance(date, dt.datetime)):
        raise TypeError(f"a date is a datetime.date, not {date!r}")


def _bad_argument(message: str, name: str, value: str) -> InvalidArgument:
    return InvalidArgument(message, name, value)


def _not_positive(name: str, action: str, value: int) -> InvalidArgument:
    return _bad_argument(f"'{name}' for {action} action must be a positive integer", name, str(value))


def _ends_too_soon(name: str, end: str, change: str, described: str) -> InvalidArgument:
    return InvalidArgument(
        f"'{name}' in the {end} action for {described} must be greater than '{name}' in the {change} action"
    )
