"""Rules that are refused, each with the error that S3 has for it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from bleepstore import (
    Caller,
    Expiration,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    Owner,
    Store,
    Transition,
    errors,
)
from tests.store.lifecycle.tools import (
    ALICE,
    expiring,
    put_rules,
    rule,
)

# -- what is refused

TAGGED = LifecycleFilter(tags={"a": "1"})
SIZED = LifecycleFilter(size_less_than=5)
END = Expiration(days=1)
GLACIER_10 = Transition(storage_class="GLACIER", days=10)

REFUSED: dict[str, tuple[tuple[LifecycleRule, ...], type[errors.S3Error], str]] = {
    "no rules": ((), errors.MalformedLifecycle, "1 to 1000"),
    "too many": (tuple(expiring() for _ in range(1001)), errors.MalformedLifecycle, "1 to 1000"),
    "an id twice": ((expiring(id="a"), expiring(id="a")), errors.InvalidArgument, "Rule ID must be unique"),
    "a long id": (
        (expiring(id="x" * 256),),
        errors.InvalidArgument,
        "ID length should not exceed allowed limit of 255",
    ),
    "nothing to do": ((rule(),), errors.InvalidRequest, "At least one action needs to be specified in a rule"),
    "no end": ((rule(expiration=Expiration()),), errors.MalformedLifecycle, "has one of"),
    "two ends": (
        (rule(expiration=Expiration(days=1, expired_object_delete_marker=True)),),
        errors.MalformedLifecycle,
        "has one of",
    ),
    "no days": (
        (expiring(0),),
        errors.InvalidArgument,
        "'Days' for Expiration action must be a positive integer",
    ),
    "too many days": ((expiring(2**31),), errors.MalformedLifecycle, "too large"),
    "no noncurrent days": (
        (rule(noncurrent_expiration=NoncurrentExpiration(days=0)),),
        errors.InvalidArgument,
        "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer",
    ),
    "no days for uploads": (
        (rule(abort_uploads_days=0),),
        errors.InvalidArgument,
        "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer",
    ),
    "uploads by tags": (
        (LifecycleRule(filter=TAGGED, abort_uploads_days=1),),
        errors.InvalidRequest,
        "AbortIncompleteMultipartUpload cannot be specified with Tags.",
    ),
    "uploads by size": (
        (LifecycleRule(filter=SIZED, abort_uploads_days=1),),
        errors.InvalidRequest,
        "AbortIncompleteMultipartUpload cannot be specified with Object Size.",
    ),
    "markers by tags": (
        (LifecycleRule(filter=TAGGED, expiration=Expiration(expired_object_delete_marker=True)),),
        errors.InvalidRequest,
        "ExpiredObjectDeleteMarker cannot be specified with Tags.",
    ),
    "negative days": (
        (rule(transitions=(Transition(storage_class="GLACIER", days=-1),)),),
        errors.InvalidArgument,
        "'Days' in Transition action must be nonnegative",
    ),
    "negative noncurrent days": (
        (rule(noncurrent_transitions=(NoncurrentTransition(storage_class="GLACIER", days=-1),)),),
        errors.InvalidArgument,
        "'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative",
    ),
    "an unknown class": (
        (rule(transitions=(Transition(storage_class="STANDARD", days=1),)),),
        errors.MalformedLifecycle,
        "StorageClass",
    ),
    "a change at no time": (
        (rule(transitions=(Transition(storage_class="GLACIER"),)),),
        errors.MalformedLifecycle,
        "Days and Date",
    ),
    "a class twice": (
        (rule("a", transitions=(GLACIER_10, Transition(storage_class="GLACIER", days=20))),),
        errors.InvalidRequest,
        "'StorageClass' must be different for 'Transition' actions in same 'Rule' with filter '(prefix=a)'",
    ),
    "days and dates": (
        (rule(transitions=(GLACIER_10, Transition(storage_class="DEEP_ARCHIVE", date=dt.date(2031, 1, 1)))),),
        errors.InvalidRequest,
        "Found mixed 'Date' and 'Days' based Transition actions in lifecycle rule for filter '(prefix=)'",
    ),
    "a class before one that comes earlier": (
        (rule("a", transitions=(Transition(storage_class="STANDARD_IA", days=60), GLACIER_10)),),
        errors.InvalidArgument,
        "'Days' in the Transition action for StorageClass 'GLACIER' for filter '(prefix=a)' must be greater than "
        "'Days' in the Transition action for StorageClass 'STANDARD_IA' for filter '(prefix=a)'",
    ),
    "two classes on one day": (
        (
            rule(
                noncurrent_transitions=(
                    NoncurrentTransition(storage_class="DEEP_ARCHIVE", days=5),
                    NoncurrentTransition(storage_class="GLACIER", days=5),
                ),
            ),
        ),
        errors.InvalidArgument,
        "'NoncurrentDays' in the NoncurrentVersionTransition action for StorageClass 'DEEP_ARCHIVE' for filter "
        "'(prefix=)' must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action for StorageClass "
        "'GLACIER' for filter '(prefix=)'",
    ),
    "two classes on one date": (
        (
            rule(
                transitions=(
                    Transition(storage_class="GLACIER", date=dt.date(2031, 1, 1)),
                    Transition(storage_class="ONEZONE_IA", date=dt.date(2031, 1, 1)),
                )
            ),
        ),
        errors.InvalidArgument,
        "'Date' in the Transition action for StorageClass 'GLACIER'",
    ),
    "an end by date": (
        (rule(transitions=(GLACIER_10,), expiration=Expiration(date=dt.date(2031, 1, 1))),),
        errors.InvalidRequest,
        "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
        "filter '(prefix=)'",
    ),
    "an end before a change": (
        (rule(transitions=(GLACIER_10,), expiration=Expiration(days=10)),),
        errors.InvalidArgument,
        "'Days' in the Expiration action for filter '(prefix=)' must be greater than 'Days' in the Transition action",
    ),
    "an end before a change of older versions": (
        (
            rule(
                noncurrent_expiration=NoncurrentExpiration(days=5),
                noncurrent_transitions=(NoncurrentTransition(storage_class="GLACIER", days=5),),
            ),
        ),
        errors.InvalidArgument,
        "'NoncurrentDays' in the NoncurrentVersionExpiration action for filter '(prefix=)' must be greater than "
        "'NoncurrentDays' in the NoncurrentVersionTransition action",
    ),
    "too many newer ones": (
        (rule(noncurrent_expiration=NoncurrentExpiration(days=5, newer_versions=101)),),
        errors.InvalidArgument,
        "must be between 1 and 100",
    ),
    "newer ones in the older form": (
        (rule("", is_prefix_form=True, noncurrent_expiration=NoncurrentExpiration(days=5, newer_versions=1)),),
        errors.InvalidRequest,
        "can only be used in Lifecycle V2",
    ),
    "tags in the older form": (
        (LifecycleRule(is_prefix_form=True, filter=LifecycleFilter(tags={"a": "1"}), expiration=END),),
        errors.InvalidRequest,
        "Filter element can only be used in Lifecycle V2.",
    ),
    "a size in the older form": (
        (LifecycleRule(is_prefix_form=True, filter=LifecycleFilter(size_less_than=5), expiration=END),),
        errors.InvalidRequest,
        "Filter element can only be used in Lifecycle V2.",
    ),
    "a bad tag": (
        (LifecycleRule(filter=LifecycleFilter(tags={"?": "1"}), expiration=END),),
        errors.InvalidTag,
        "TagKey",
    ),
    "sizes that exclude each other": (
        (LifecycleRule(filter=LifecycleFilter(size_greater_than=5, size_less_than=5), expiration=END),),
        errors.InvalidRequest,
        "must be less than",
    ),
    "a negative size": (
        (LifecycleRule(filter=LifecycleFilter(size_greater_than=-1), expiration=END),),
        errors.InvalidArgument,
        "nonnegative",
    ),
    "a long prefix": ((expiring(1, "x" * 1025),), errors.InvalidRequest, "maximum size of a prefix is 1024"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rules_that_are_refused_change_nothing(store: Store, name: str) -> None:
    rules, error, message = REFUSED[name]
    kept = put_rules(store, expiring(id="kept"))
    with pytest.raises(error) as refused:
        put_rules(store, *rules)
    assert message in refused.value.message
    assert store.get_bucket_lifecycle("photos") == kept


NO_RULES: dict[str, Any] = {
    "id": {"id": 1},
    "enabled": {"enabled": "no"},
    "prefix": {"filter": {"prefix": b"a"}},
    "size_greater_than": {"filter": {"size_greater_than": 1.5}},
    "size_less_than": {"filter": {"size_less_than": "5"}},
    "expired_object_delete_marker": {"expiration": {"expired_object_delete_marker": "yes"}},
}


@pytest.mark.parametrize("name", NO_RULES)
def test_a_value_of_another_type_changes_nothing(store: Store, name: str) -> None:
    given = {"expiration": {"days": 1}, **NO_RULES[name]}
    given["expiration"] = Expiration(**given["expiration"])
    if "filter" in given:
        given["filter"] = LifecycleFilter(**given["filter"])
    kept = put_rules(store, expiring(id="kept"))
    with pytest.raises(TypeError, match=f"the {name} of a rule"):
        put_rules(store, LifecycleRule(**given))
    assert store.get_bucket_lifecycle("photos") == kept


def test_only_the_owner_sets_rules(store: Store) -> None:
    bob = Caller(Owner("bob-id", "Bob"))
    for call in (
        lambda: store.put_bucket_lifecycle("photos", [expiring()], caller=bob),
        lambda: store.get_bucket_lifecycle("photos", caller=bob),
        lambda: store.delete_bucket_lifecycle("photos", caller=bob),
    ):
        with pytest.raises(errors.AccessDenied):
            call()
    store.put_bucket_lifecycle("photos", [expiring()], caller=ALICE)
    with pytest.raises(errors.NoSuchBucket):
        store.put_bucket_lifecycle("absent", [expiring()])
