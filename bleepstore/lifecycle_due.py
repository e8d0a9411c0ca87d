"""What the rules of a lifecycle mean for an object, and when.

"Amazon S3 calculates the time by adding the number of days specified in the rule to the object creation time and
rounding the resulting time to the next day midnight UTC."
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import attrs

from bleepstore.lifecycle import (
    CLASS_ORDER,
    Lifecycle,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    Transition,
    TransitionMinimum,
)
from bleepstore.model import ARCHIVED_CLASSES, DAY_MS, Bucket, Expiry, ObjectVersion, midnight_after

#: Objects below this do not change their class, unless a rule says something of a size.
TRANSITION_MIN_BYTES = 128 * 1024
_EPOCH = dt.date(1970, 1, 1)
_Change = TypeVar("_Change", Transition, NoncurrentTransition)
_UNSUPPORTED = frozenset({("ONEZONE_IA", "GLACIER_IR")})
#: Of several classes to which an object may change: "S3 Intelligent-Tiering is favored by S3 Lifecycle over any storage
#: class, aside from the S3 Glacier and S3 Glacier Deep Archive storage classes", else the one of the least cost.
_FAVOURED = ("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE")


class Act(enum.StrEnum):
    """What a rule does. EXPIRE ends a current version, as a delete without a version id does. The others remove an
    older version, or a delete marker of which no older version is left, or change the storage class."""

    EXPIRE = "expire"
    REMOVE_NONCURRENT = "remove-noncurrent"
    REMOVE_MARKER = "remove-marker"
    TRANSITION = "transition"


@attrs.frozen(kw_only=True)
class Decision:
    """What is to be done with a version. `newer` older versions must be newer than it by then."""

    act: Act
    storage_class: str | None = None
    newer: int = 0


class Aged(NamedTuple):
    """What rules ask of a version. `since_ms` is when it was written or, if it is an older one, replaced; `newer`
    counts the older versions that are newer than it, up to what is asked."""

    key: str
    sequence: int
    since_ms: int
    size: int
    storage_class: str
    tags: Mapping[str, str]
    is_delete_marker: bool = False
    newer: int = 0


def applies(wanted: LifecycleFilter, key: str, size: int, tags: Mapping[str, str]) -> bool:
    """Whether a rule with this filter is for an object."""
    return (
        key.startswith(wanted.prefix or "")
        and (wanted.size_greater_than is None or size > wanted.size_greater_than)
        and (wanted.size_less_than is None or size < wanted.size_less_than)
        and all(tags.get(name) == value for name, value in wanted.tags.items())
    )


def due_ms(since_ms: int, days: int | None, date: dt.date | None) -> int:
    """When what happens after `days`, or at `date`, is due: a midnight (UTC), in milliseconds since the epoch."""
    if days is not None:
        return midnight_after(since_ms, days)
    assert date is not None
    return (date - _EPOCH).days * DAY_MS


def written_until(now_ms: int, days: int | None, date: dt.date | None) -> int | None:
    """Up to when that must have been written for which it is due at `now_ms`; None: it is due for nothing."""
    if days is not None:
        return now_ms // DAY_MS * DAY_MS - days * DAY_MS
    return now_ms if due_ms(0, None, date) <= now_ms else None


def enabled(lifecycle: Lifecycle) -> Iterator[LifecycleRule]:
    return (rule for rule in lifecycle.rules if rule.enabled)


# -- what is shown of the future


def expiry_of(lifecycle: Lifecycle, key: str, size: int, tags: Mapping[str, str], modified_ms: int) -> Expiry | None:
    """When a current version expires, and by which rule: the first of those that are for it."""
    found: Expiry | None = None
    for rule in enabled(lifecycle):
        end = rule.expiration
        if end is not None and end.expired_object_delete_marker is None and applies(rule.filter, key, size, tags):
            time_ms = due_ms(modified_ms, end.days, end.date)
            if found is None or time_ms < found.time_ms:
                found = Expiry(time_ms, rule.id)
    return found


def expiry_in(bucket: Bucket, version: ObjectVersion) -> Expiry | None:
    """The same for what is current in a bucket."""
    lifecycle = bucket.settings.lifecycle
    if lifecycle is None:
        return None
    return expiry_of(lifecycle, version.key, version.size, version.attributes.tags, version.modified_ms)


def abort_of(lifecycle: Lifecycle, key: str, initiated_ms: int) -> Expiry | None:
    """The same for a multipart upload."""
    found: Expiry | None = None
    for rule in enabled(lifecycle):
        if rule.abort_uploads_days is not None and key.startswith(rule.filter.prefix or ""):
            time_ms = midnight_after(initiated_ms, rule.abort_uploads_days)
            if found is None or time_ms < found.time_ms:
                found = Expiry(time_ms, rule.id)
    return found


# -- what is due


def decide_current(lifecycle: Lifecycle, one: Aged, now_ms: int, *, is_versioned: bool) -> Decision | None:
    """What is due for a current version. "Permanent deletion takes precedence over transition. Transition takes
    precedence over creation of delete markers." """
    expiry = expiry_of(lifecycle, one.key, one.size, one.tags, one.since_ms)
    is_over = expiry is not None and expiry.time_ms <= now_ms
    if is_over and not is_versioned:
        return Decision(act=Act.EXPIRE)
    changes = [
        max(due, key=lambda change: CLASS_ORDER[change.storage_class])
        for rule in enabled(lifecycle)
        if applies(rule.filter, one.key, one.size, one.tags)
        and (due := [change for change in rule.transitions if _is_due(lifecycle, rule, change, one, now_ms)])
    ]
    if (change := _change(changes, one)) is not None:
        return Decision(act=Act.TRANSITION, storage_class=change.storage_class)
    return Decision(act=Act.EXPIRE) if is_over else None


def decide_noncurrent(lifecycle: Lifecycle, one: Aged, now_ms: int) -> Decision | None:
    """What is due for a version that is not the latest of its key, which may be a delete marker."""
    changes: list[NoncurrentTransition] = []
    for rule in enabled(lifecycle):
        if one.is_delete_marker and (rule.filter.tags or rule.filter.has_size):
            continue
        if not applies(rule.filter, one.key, one.size, one.tags):
            continue
        end = rule.noncurrent_expiration
        if end is not None and _is_over(end, one, now_ms):
            return Decision(act=Act.REMOVE_NONCURRENT, newer=end.newer_versions or 0)
        if not one.is_delete_marker:
            due = [
                change
                for change in rule.noncurrent_transitions
                if _is_over(change, one, now_ms) and _is_large_enough(lifecycle, rule, change, one)
            ]
            if due:
                changes.append(max(due, key=lambda change: CLASS_ORDER[change.storage_class]))
    if (change := _change(changes, one)) is None:
        return None
    return Decision(act=Act.TRANSITION, storage_class=change.storage_class, newer=change.newer_versions or 0)


def decide_marker(lifecycle: Lifecycle, one: Aged, now_ms: int) -> Decision | None:
    """What is due for a delete marker that is the only version of its key. A rule that expires objects expires it too:
    "Amazon S3 removes the expired object delete marker"."""
    for rule in enabled(lifecycle):
        end = rule.expiration
        if end is None or rule.filter.tags or rule.filter.has_size or not one.key.startswith(rule.filter.prefix or ""):
            continue
        if end.expired_object_delete_marker or (
            end.expired_object_delete_marker is None and due_ms(one.since_ms, end.days, end.date) <= now_ms
        ):
            return Decision(act=Act.REMOVE_MARKER)
    return None


def _is_over(action: NoncurrentExpiration | NoncurrentTransition, one: Aged, now_ms: int) -> bool:
    return midnight_after(one.since_ms, action.days) <= now_ms and one.newer >= (action.newer_versions or 0)


def _is_due(lifecycle: Lifecycle, rule: LifecycleRule, change: Transition, one: Aged, now_ms: int) -> bool:
    return due_ms(one.since_ms, change.days, change.date) <= now_ms and _is_large_enough(lifecycle, rule, change, one)


def _change(changes: Sequence[_Change], one: Aged) -> _Change | None:
    """Of the last changes that are due by each rule, the one that is favoured, if the class can change to it."""
    if not changes:
        return None
    change = max(changes, key=lambda change: _FAVOURED.index(change.storage_class))
    target, present = change.storage_class, one.storage_class
    may_change = CLASS_ORDER[target] > CLASS_ORDER[present] and (present, target) not in _UNSUPPORTED
    return change if may_change else None


def _is_large_enough(
    lifecycle: Lifecycle, rule: LifecycleRule, change: Transition | NoncurrentTransition, one: Aged
) -> bool:
    """ "To customize the minimum object size for any transition you can add a filter that specifies a custom
    ObjectSizeGreaterThan or ObjectSizeLessThan in the body of your transition rule. Custom filters always take
    precedence over the default transition behavior." """
    if one.size >= TRANSITION_MIN_BYTES or rule.filter.has_size:
        return True
    varies = lifecycle.transition_minimum is TransitionMinimum.VARIES_BY_STORAGE_CLASS
    return varies and change.storage_class in ARCHIVED_CLASSES
