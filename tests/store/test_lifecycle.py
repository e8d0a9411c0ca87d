"""Lifecycles, by the Python API: what expires, changes its class and is aborted, and when."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bleepstore
from bleepstore import (
    Caller,
    CompletedPart,
    Expiration,
    Lifecycle,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    Owner,
    Store,
    Transition,
    TransitionMinimum,
    Versioning,
    errors,
)
from bleepstore.commands import ApplyLifecycle, LifecycleApplied
from bleepstore.jobs.job import Budget
from bleepstore.lifecycle_due import Act, applies, due_ms, written_until
from bleepstore.model import DAY_MS, Expiry
from bleepstore.testing.clock import Clock
from tests.catalog.test_listing import Steps

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
BIG = random.Random(5).randbytes(200_000)
ALICE = Caller(Owner("alice-id", "Alice"))


def at(day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
    """A time in January 2030. Days beyond it are of the months that follow."""
    return dt.datetime(2030, 1, 1, hour, minute, tzinfo=dt.UTC) + dt.timedelta(days=day - 1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """With a clock that stands at noon, and a bucket."""
    with bleepstore.open(None if request.param == "memory" else tmp_path / "store", clock=clock) as opened:
        opened.create_bucket("photos", caller=ALICE)
        yield opened


@pytest.fixture
def versioned(store: Store) -> Store:
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    return store


def run(store: Store) -> int:
    """How much a pass changed."""
    return store.jobs.run("lifecycle").changed


def put_rules(store: Store, *rules: LifecycleRule, **options: Any) -> Lifecycle:
    return store.put_bucket_lifecycle("photos", rules, **options)


def rule(prefix: str | None = None, **fields: Any) -> LifecycleRule:
    return LifecycleRule(filter=LifecycleFilter(prefix=prefix), **fields)


def expiring(days: int = 1, prefix: str | None = None, **fields: Any) -> LifecycleRule:
    return rule(prefix, expiration=Expiration(days=days), **fields)


def keys(store: Store) -> list[str]:
    return [found.key for found in store.list_objects("photos").objects]


def versions(store: Store) -> list[tuple[str, str]]:
    """(key, version id, or "marker"), in the order of the listing."""
    page = store.list_object_versions("photos")
    return [(one.key, "marker" if one.is_delete_marker else one.version_id) for one in page.versions]


def put(store: Store, key: str = "k", body: bytes = b"1", **options: Any) -> str:
    return store.put_object("photos", key, body, **options).version_id


# -- when


def test_an_object_expires_at_the_midnight_after_its_days(store: Store, clock: Clock) -> None:
    put_rules(store, expiring(1, "tmp/"))
    put(store, "tmp/a")
    put(store, "kept")
    clock.freeze(at(2, 23, 59))
    assert run(store) == 0
    clock.freeze(at(3))
    assert run(store) == 1
    assert keys(store) == ["kept"]
    assert run(store) == 0


def test_thirty_days_pass_at_once(store: Store, clock: Clock) -> None:
    put_rules(store, expiring(30))
    put(store)
    clock.advance(days=29)
    assert run(store) == 0
    clock.advance(days=2)
    assert run(store) == 1
    with pytest.raises(errors.NoSuchKey):
        store.get_object("photos", "k")


def test_a_date_is_for_all_that_is_there_by_then(store: Store, clock: Clock) -> None:
    put_rules(store, rule(expiration=Expiration(date=dt.date(2030, 1, 5))))
    put(store, "early")
    clock.freeze(at(4, 23))
    assert run(store) == 0
    clock.freeze(at(5, 1))
    put(store, "late")
    assert run(store) == 2


def test_an_object_that_was_written_again_is_as_young_as_that(store: Store, clock: Clock) -> None:
    put_rules(store, expiring(3))
    put(store)
    clock.freeze(at(4))
    put(store)
    clock.freeze(at(6))
    assert run(store) == 0


@given(
    since_ms=st.integers(0, 4 * 10**12),
    days=st.integers(0, 4000),
    later_ms=st.integers(-3 * DAY_MS, 3 * DAY_MS),
)
def test_what_is_due_is_what_an_index_finds(since_ms: int, days: int, later_ms: int) -> None:
    """AWS's rounding against a model of it by dates, and the range of the index against that."""
    model = dt.datetime.fromtimestamp(since_ms / 1000, dt.UTC) + dt.timedelta(days=days)
    midnight = dt.datetime.combine(model.date(), dt.time(), dt.UTC)
    if midnight < model:
        midnight += dt.timedelta(days=1)
    due = due_ms(since_ms, days, None)
    assert abs(due - midnight.timestamp() * 1000) < 1
    now_ms = due + later_ms
    until = written_until(now_ms, days, None)
    assert until is not None
    assert (since_ms <= until) == (due <= now_ms)


# -- for what

KEYS, TAGS = st.text("ab/", max_size=4), st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=3)
SIZES = st.one_of(st.none(), st.integers(0, 12))


@given(prefix=KEYS, tags=TAGS, least=SIZES, most=SIZES, key=KEYS, size=st.integers(0, 12), own=TAGS)
def test_a_filter_is_the_and_of_what_it_names(
    prefix: str, tags: dict[str, str], least: int | None, most: int | None, key: str, size: int, own: dict[str, str]
) -> None:
    wanted = LifecycleFilter(prefix=prefix, tags=tags, size_greater_than=least, size_less_than=most)
    model = [key[: len(prefix)] == prefix, set(tags.items()) <= set(own.items())]
    model.append(size in range((-1 if least is None else least) + 1, 10**6 if most is None else most))
    assert applies(wanted, key, size, own) == all(model)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (LifecycleFilter(), set()),
        (LifecycleFilter(prefix="a/"), {"b/big", "b/tagged"}),
        (LifecycleFilter(tags={"end": "yes"}), {"a/small", "b/big"}),
        (LifecycleFilter(size_greater_than=1), {"a/small", "a/tagged", "b/tagged"}),
        (LifecycleFilter(size_less_than=2), {"b/big"}),
        (LifecycleFilter(prefix="a/", tags={"end": "yes"}, size_less_than=5), {"a/small", "b/big", "b/tagged"}),
        (LifecycleFilter(tags={"end": "yes", "more": "x"}), {"a/small", "a/tagged", "b/big", "b/tagged"}),
    ],
    ids=lambda value: value.describe() if isinstance(value, LifecycleFilter) else "",
)
def test_every_filter(store: Store, clock: Clock, wanted: LifecycleFilter, kept: set[str]) -> None:
    put_rules(store, LifecycleRule(filter=wanted, expiration=Expiration(days=1)))
    put(store, "a/small")
    put(store, "a/tagged", tags={"end": "yes", "other": "1"})
    put(store, "b/big", b"12")
    put(store, "b/tagged", tags={"end": "yes"})
    clock.advance(days=3)
    run(store)
    assert set(keys(store)) == kept


def test_a_rule_that_is_disabled_does_nothing(store: Store, clock: Clock) -> None:
    put_rules(store, expiring(enabled=False))
    put(store)
    clock.advance(days=3)
    assert run(store) == 0
    assert store.head_object("photos", "k").version.expiry is None


def test_other_buckets_are_left_alone(store: Store, clock: Clock) -> None:
    store.create_bucket("other")
    store.put_object("other", "k", b"1")
    put_rules(store, expiring())
    put(store)
    clock.advance(days=3)
    assert run(store) == 1
    store.delete_bucket_lifecycle("photos")
    put(store)
    clock.advance(days=3)
    assert run(store) == 0
    assert len(store.list_objects("other").objects) == len(keys(store)) == 1


def test_tags_count_as_they_are_now(store: Store, clock: Clock) -> None:
    put_rules(store, LifecycleRule(filter=LifecycleFilter(tags={"end": "yes"}), expiration=Expiration(days=1)))
    put(store)
    clock.advance(days=10)
    assert run(store) == 0
    store.put_object_tags("photos", "k", {"end": "yes"})
    assert run(store) == 1


# -- with versions


def test_expiry_makes_a_delete_marker_of_the_buckets_owner(versioned: Store, clock: Clock) -> None:
    put_rules(versioned, expiring())
    version_id = put(versioned)
    clock.advance(days=3)
    assert run(versioned) == 1
    assert versions(versioned) == [("k", "marker"), ("k", version_id)]
    assert versioned.list_object_versions("photos").versions[0].owner_id == "alice-id"
    assert run(versioned) == 0


def test_expiry_in_a_suspended_bucket_replaces_the_null_version(versioned: Store, clock: Clock) -> None:
    first = put(versioned)
    versioned.put_bucket_versioning("photos", Versioning.SUSPENDED)
    assert put(versioned) == "null"
    put_rules(versioned, expiring())
    clock.advance(days=3)
    assert run(versioned) == 1
    assert versions(versioned) == [("k", "marker"), ("k", first)]


def test_older_versions_go_so_long_after_they_were_replaced(versioned: Store, clock: Clock) -> None:
    put_rules(versioned, rule(noncurrent_expiration=NoncurrentExpiration(days=2)))
    old = put(versioned)
    clock.freeze(at(10, 12))
    new = put(versioned)
    clock.freeze(at(12, 23))
    assert run(versioned) == 0
    clock.freeze(at(13))
    assert run(versioned) == 1
    assert versions(versioned) == [("k", new)]
    assert old != new


def test_what_is_current_again_is_no_older_version(versioned: Store, clock: Clock) -> None:
    put_rules(versioned, rule(noncurrent_expiration=NoncurrentExpiration(days=1)))
    old = put(versioned)
    marker = versioned.delete_object("photos", "k").delete_marker_id
    clock.advance(days=5)
    versioned.delete_object("photos", "k", version_id=marker)
    assert run(versioned) == 0
    put(versioned)
    assert run(versioned) == 0
    clock.advance(days=3)
    assert run(versioned) == 1
    assert ("k", old) not in versions(versioned)


def test_older_delete_markers_are_older_versions(versioned: Store, clock: Clock) -> None:
    put_rules(versioned, rule(noncurrent_expiration=NoncurrentExpiration(days=1)))
    versioned.delete_object("photos", "k")
    versioned.delete_object("photos", "k")
    new = put(versioned)
    clock.advance(days=3)
    assert run(versioned) == 2
    assert versions(versioned) == [("k", new)]


def test_the_newest_older_versions_are_kept(versioned: Store, clock: Clock) -> None:
    ids = [put(versioned) for _ in range(6)]
    put(versioned, "other")
    put(versioned, "other")
    put_rules(versioned, rule(noncurrent_expiration=NoncurrentExpiration(days=1, newer_versions=2)))
    clock.advance(days=3)
    assert run(versioned) == 3
    assert [version_id for key, version_id in versions(versioned) if key == "k"] == ids[:2:-1]
    assert run(versioned) == 0
    new = put(versioned)
    assert run(versioned) == 1  # the one that was current is too young, but counts
    clock.advance(days=3)
    assert run(versioned) == 0
    assert [version_id for key, version_id in versions(versioned) if key == "k"] == [new, ids[5], ids[4]]


@pytest.mark.parametrize(
    "end", [Expiration(expired_object_delete_marker=True), Expiration(days=1)], ids=["set", "days"]
)
def test_a_delete_marker_of_which_nothing_is_left_goes(versioned: Store, clock: Clock, end: Expiration) -> None:
    put_rules(versioned, rule(expiration=end, noncurrent_expiration=NoncurrentExpiration(days=1)))
    versioned.delete_object("photos", "alone")
    put(versioned, "k")
    versioned.delete_object("photos", "k")
    kept = put(versioned, "late") if end.days is None else None
    clock.advance(days=3)
    assert run(versioned) == 3  # the old version first, and so both markers in one pass
    assert versions(versioned) == ([] if kept is None else [("late", kept)])


def test_a_delete_marker_over_a_version_stays(versioned: Store, clock: Clock) -> None:
    put_rules(versioned, rule(expiration=Expiration(expired_object_delete_marker=True)))
    put(versioned)
    versioned.delete_object("photos", "k")
    clock.advance(days=30)
    assert run(versioned) == 0
    put_rules(versioned, rule(expiration=Expiration(expired_object_delete_marker=False)))
    versioned.delete_object("photos", "alone")
    assert run(versioned) == 0


def test_a_rule_for_sizes_is_not_for_delete_markers(versioned: Store, clock: Clock) -> None:
    wanted = LifecycleFilter(size_less_than=10)
    put_rules(versioned, LifecycleRule(filter=wanted, expiration=Expiration(days=1)))
    versioned.delete_object("photos", "alone")
    clock.advance(days=3)
    assert run(versioned) == 0


# -- storage classes


def storage_class(store: Store, key: str = "k", version_id: str | None = None) -> str:
    return store.head_object("photos", key, version_id=version_id).version.storage_class


def test_objects_change_their_class(store: Store, clock: Clock) -> None:
    put_rules(
        store,
        rule(
            transitions=(Transition(storage_class="STANDARD_IA", days=30), Transition(storage_class="GLACIER", days=90))
        ),
    )
    put(store, body=BIG)
    before = store.head_object("photos", "k").version
    clock.advance(days=31)
    assert run(store) == 1
    found = store.get_object("photos", "k")
    with found:
        assert found.read() == BIG
    assert found.version == attrs.evolve(
        before, attributes=attrs.evolve(before.attributes, storage_class="STANDARD_IA")
    )
    assert run(store) == 0
    clock.advance(days=60)
    assert run(store) == 1
    with pytest.raises(errors.InvalidObjectState):
        store.get_object("photos", "k")


@pytest.mark.parametrize(
    ("present", "targets", "becomes"),
    [
        ("STANDARD", ["STANDARD_IA", "GLACIER"], "GLACIER"),
        ("STANDARD", ["GLACIER_IR", "INTELLIGENT_TIERING"], "INTELLIGENT_TIERING"),
        ("STANDARD", ["DEEP_ARCHIVE", "GLACIER"], "DEEP_ARCHIVE"),
        ("GLACIER", ["STANDARD_IA"], "GLACIER"),
        ("ONEZONE_IA", ["GLACIER_IR"], "ONEZONE_IA"),
        ("INTELLIGENT_TIERING", ["ONEZONE_IA"], "ONEZONE_IA"),
        ("DEEP_ARCHIVE", ["GLACIER"], "DEEP_ARCHIVE"),
    ],
)
def test_classes_change_one_way(store: Store, clock: Clock, present: str, targets: list[str], becomes: str) -> None:
    put(store, body=BIG, storage_class=present)
    put_rules(store, *(rule(transitions=(Transition(storage_class=name, days=0),)) for name in targets))
    clock.advance(days=1)
    run(store)
    assert storage_class(store) == becomes


@pytest.mark.parametrize("minimum", TransitionMinimum)
def test_small_objects_do_not_change(store: Store, clock: Clock, minimum: TransitionMinimum) -> None:
    for name in ("glacier", "warm", "named"):
        put(store, name)
    named = LifecycleFilter(prefix="named", size_greater_than=0)
    put_rules(
        store,
        rule("glacier", transitions=(Transition(storage_class="GLACIER", days=0),)),
        rule("warm", transitions=(Transition(storage_class="STANDARD_IA", days=0),)),
        LifecycleRule(filter=named, transitions=(Transition(storage_class="STANDARD_IA", days=0),)),
        transition_minimum=minimum,
    )
    clock.advance(days=1)
    run(store)
    varies = minimum is TransitionMinimum.VARIES_BY_STORAGE_CLASS
    found = [storage_class(store, name) for name in ("glacier", "warm", "named")]
    assert found == ["GLACIER" if varies else "STANDARD", "STANDARD", "STANDARD_IA"]


def test_older_versions_change_their_class(versioned: Store, clock: Clock) -> None:
    change = NoncurrentTransition(storage_class="GLACIER", days=1, newer_versions=1)
    put_rules(versioned, rule(noncurrent_transitions=(change,)))
    ids = [put(versioned, body=BIG) for _ in range(3)]
    clock.advance(days=3)
    assert run(versioned) == 1
    found = [storage_class(versioned, version_id=version_id) for version_id in ids]
    assert found == ["GLACIER", "STANDARD", "STANDARD"]


def test_removal_comes_before_a_change_and_that_before_a_delete_marker(store: Store, clock: Clock) -> None:
    put(store, body=BIG)
    put_rules(store, expiring(1), rule(transitions=(Transition(storage_class="GLACIER", days=0),)))
    clock.advance(days=3)
    run(store)
    assert keys(store) == []
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    version_id = put(store, body=BIG)
    clock.advance(days=3)
    run(store)
    assert versions(store) == [("k", "marker"), ("k", version_id)]
    assert storage_class(store, version_id=version_id) == "GLACIER"


# -- uploads


def test_uploads_that_were_not_completed_are_aborted(store: Store, clock: Clock) -> None:
    put_rules(store, rule("a/", abort_uploads_days=1, id="abort"))
    upload = store.create_upload("photos", "a/k")
    other = store.create_upload("photos", "b/k")
    store.put_part("photos", "a/k", upload.upload_id, 1, b"part")
    assert upload.expiry == Expiry(int(at(3).timestamp()) * 1000, "abort")
    assert store.list_parts("photos", "a/k", upload.upload_id).upload.expiry == upload.expiry
    assert other.expiry is None
    clock.freeze(at(2, 23))
    assert run(store) == 0
    clock.freeze(at(3))
    assert run(store) == 1
    assert [found.key for found in store.list_uploads("photos").uploads] == ["b/k"]
    with pytest.raises(errors.NoSuchUpload):
        store.list_parts("photos", "a/k", upload.upload_id)


# -- what is told of it


def test_the_earliest_expiry_is_shown(store: Store) -> None:
    put_rules(store, expiring(10, id="slow"), expiring(2, "k", id="quick"))
    written = store.put_object("photos", "k", b"1")
    quick = Expiry(int(at(4).timestamp()) * 1000, "quick")
    assert written.expiry == quick
    assert quick.time == at(4)
    assert store.head_object("photos", "k").version.expiry == quick
    assert store.get_object("photos", "k").version.expiry == quick
    copied = store.copy_object("photos", "k", "photos", "other")
    assert copied.expiry is not None
    assert copied.expiry.rule_id == "slow"
    upload = store.create_upload("photos", "k")
    part = store.put_part("photos", "k", upload.upload_id, 1, b"part")
    made = store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    assert made.expiry == quick


def test_rules_are_kept_as_they_were_given(store: Store) -> None:
    rules = (
        LifecycleRule(
            id="all",
            filter=LifecycleFilter(prefix="ü", tags={"b": "2", "a": "1"}, size_greater_than=0, size_less_than=2**40),
            expiration=Expiration(days=400),
            transitions=(Transition(storage_class="GLACIER", days=0),),
            noncurrent_expiration=NoncurrentExpiration(days=40, newer_versions=100),
            noncurrent_transitions=(NoncurrentTransition(storage_class="GLACIER", days=0, newer_versions=1),),
        ),
        expiring(1, "old", id="2", is_prefix_form=True, enabled=False),
        rule(id="3", expiration=Expiration(date=dt.date(2030, 2, 28)), abort_uploads_days=7),
        rule(id="4", expiration=Expiration(expired_object_delete_marker=True)),
        rule(id="5", transitions=(Transition(storage_class="GLACIER_IR", date=dt.date(2030, 1, 1)),)),
    )
    varies = TransitionMinimum.VARIES_BY_STORAGE_CLASS
    stored = put_rules(store, *rules, transition_minimum=varies)
    assert stored == Lifecycle(rules=rules, transition_minimum=varies)
    assert store.get_bucket_lifecycle("photos") == stored
    with store.fork() as fork:
        assert fork.get_bucket_lifecycle("photos") == stored
    store.delete_bucket_lifecycle("photos")
    with pytest.raises(errors.NoSuchLifecycle):
        store.get_bucket_lifecycle("photos")


def test_a_rule_without_an_id_gets_one(store: Store) -> None:
    first, second = put_rules(store, expiring(), expiring(2)).rules
    assert first.id != second.id
    assert len(first.id) == 48
    assert store.get_bucket_lifecycle("photos").rules == (first, second)


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


# -- what happens meanwhile


def command_of(store: Store, monkeypatch: pytest.MonkeyPatch) -> ApplyLifecycle:
    """The command that a pass would submit now."""
    made: list[Any] = []
    committer = store.engine.committer
    with monkeypatch.context() as patch:
        patch.setattr(type(committer), "submit", lambda _self, command: made.append(command) or LifecycleApplied(0, 0))
        run(store)
    (command,) = made
    assert isinstance(command, ApplyLifecycle)
    return command


Change = Callable[[Store], object]
MEANWHILE: Mapping[str, Change] = {
    "written": lambda store: put(store),
    "deleted": lambda store: store.delete_object("photos", "k"),
    "tagged": lambda store: store.put_object_tags("photos", "k", {"end": "no"}),
}


@pytest.mark.parametrize("name", MEANWHILE)
@pytest.mark.parametrize("is_versioned", [False, True], ids=["plain", "versioned"])
def test_what_was_changed_meanwhile_is_left(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str, is_versioned: bool
) -> None:
    if is_versioned:
        store.put_bucket_versioning("photos", Versioning.ENABLED)
    put_rules(store, LifecycleRule(filter=LifecycleFilter(tags={"end": "yes"}), expiration=Expiration(days=1)))
    put(store, tags={"end": "yes"})
    clock.advance(days=3)
    command = command_of(store, monkeypatch)
    MEANWHILE[name](store)
    before = versions(store)
    assert store.engine.committer.submit(command) == LifecycleApplied(0, 0)
    assert versions(store) == before


def test_rules_that_were_replaced_meanwhile_do_nothing(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rules(store, expiring())
    put(store)
    clock.advance(days=3)
    command = command_of(store, monkeypatch)
    store.delete_bucket_lifecycle("photos")
    assert isinstance(store.engine.committer.submit(command), errors.OperationAborted)
    assert keys(store) == ["k"]


def test_a_bucket_that_was_made_again_meanwhile_is_left(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rules(store, expiring())
    put(store)
    clock.advance(days=3)
    command = command_of(store, monkeypatch)
    store.delete_object("photos", "k")
    store.delete_bucket("photos")
    store.create_bucket("photos")
    put(store)
    assert isinstance(store.engine.committer.submit(command), errors.NoSuchBucket)
    assert keys(store) == ["k"]


def test_fewer_newer_versions_than_were_counted_keep_a_version(
    versioned: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [put(versioned) for _ in range(3)]
    put_rules(versioned, rule(noncurrent_expiration=NoncurrentExpiration(days=1, newer_versions=1)))
    clock.advance(days=3)
    command = command_of(versioned, monkeypatch)
    versioned.delete_object("photos", "k", version_id=ids[1])
    assert versioned.engine.committer.submit(command) == LifecycleApplied(0, 0)
    assert versions(versioned) == [("k", ids[2]), ("k", ids[0])]


def test_a_marker_over_which_something_was_written_stays_no_marker(
    versioned: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rules(versioned, rule(expiration=Expiration(expired_object_delete_marker=True)))
    versioned.delete_object("photos", "k")
    command = command_of(versioned, monkeypatch)
    assert command.entries[0].act is Act.REMOVE_MARKER
    version_id = put(versioned)
    assert versioned.engine.committer.submit(command) == LifecycleApplied(0, 0)
    assert versions(versioned) == [("k", version_id), ("k", "marker")]


# -- the job


def test_a_pass_goes_on_where_its_budget_ended(store: Store, clock: Clock) -> None:
    put_rules(store, expiring(1, "tmp/"))
    for number in range(600):
        put(store, f"tmp/{number}")
    clock.advance(days=3)
    job = store.engine.sweeping.lifecycle
    job.restart()
    budget = Budget(items=1)
    ran = job.run(budget)
    assert not ran.is_done
    assert budget.changed == 250
    assert len(keys(store)) == 350
    while not ran.is_done:
        ran = job.run(Budget(items=1))
    assert keys(store) == []


def test_a_pass_is_made_once_a_day_and_for_new_rules(store: Store, clock: Clock) -> None:
    put_rules(store, expiring(1, "tmp/"))
    put(store, "tmp/a")
    clock.advance(days=3)
    job = store.engine.sweeping.lifecycle

    def changed() -> int:
        budget = Budget()
        assert job.run(budget).is_done
        return budget.changed

    assert changed() == 0  # the clock ran ahead
    assert changed() == 1
    put(store, "tmp/b")
    clock.advance(minutes=30)
    assert changed() == 0
    put_rules(store, rule("tmp/", expiration=Expiration(date=dt.date(2030, 1, 1))))
    assert changed() == 1


def test_a_clock_that_jumped_ends_nothing(store: Store, clock: Clock) -> None:
    """Nor is anything lost if it is put right before the next pass."""
    put_rules(store, expiring(30))
    put(store)
    clock.advance(hours=2)
    store.jobs.run_due()
    clock.advance(days=3650)
    assert "lifecycle" in store.jobs.run_due()
    clock.advance(days=-3650)
    store.engine.sweeping.lifecycle.run(Budget())
    assert keys(store) == ["k"]


def test_what_expired_gives_its_space_back(store: Store, clock: Clock) -> None:
    put_rules(store, expiring())
    put(store, body=BIG)
    clock.advance(days=3)
    run(store)
    store.jobs.run("garbage")
    with store.engine.catalog.read() as reader:
        assert reader.list_garbage(10) == []
        assert reader.count_blobs() == (0, 0)


def fill(store: Store, count: int, written: Callable[[int], int]) -> None:
    """`count` objects, `k0000000` and on, each with the time at which it was `written`."""
    with store.engine.catalog.transaction() as tables:
        bucket = tables.find_bucket("photos")
        assert bucket is not None
        tables.connection.executemany(
            "INSERT INTO object_version (bucket_id, noncurrent, key, sequence, version_id, is_delete_marker, modified_ms, "
            "etag, size, owner_id) VALUES (?, 0, ?, -1, 'null', 0, ?, 'e', 1, 'alice-id')",
            ((bucket.bucket_id, f"k{number:07}", written(number)) for number in range(count)),
        )


def steps_of_pass(store: Store) -> tuple[int, int]:
    """(how many were looked at, steps of SQLite's machine in tens for the queries of a pass)."""
    steps = 0
    read = store.engine.catalog.read

    class Counted:
        def __enter__(self) -> Any:
            self._lease = read()
            reader = self._lease.__enter__()
            self._steps = Steps(reader.connection)
            self._steps.__enter__()
            return reader

        def __exit__(self, *error: Any) -> Any:
            nonlocal steps
            self._steps.__exit__()
            steps += self._steps.count
            return self._lease.__exit__(*error)

    store.engine.catalog.read = Counted  # type: ignore[assignment,method-assign]
    try:
        status = store.jobs.run("lifecycle")
    finally:
        store.engine.catalog.read = read  # type: ignore[method-assign]
    return status.examined, steps


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_what_a_pass_costs_follows_what_is_due(store: Store, clock: Clock, count: int, record_property: Any) -> None:
    """Of objects of which one in a thousand is old, a pass looks at these alone. Where all are old and one in a thousand
    has the prefix, it goes through an index, and reads the rows of these alone."""
    young_ms, old_ms = clock(), clock() - 40 * DAY_MS
    fill(store, count, lambda number: young_ms if number % 1000 else old_ms)
    put_rules(store, expiring(30))
    examined, steps = steps_of_pass(store)
    assert examined == count // 1000
    assert steps * 10 < 200 * examined
    record_property("figure", f"lifecycle: {count:,} objects, {examined:,} due: {steps * 10:,} steps")
    clock.advance(days=365)
    put_rules(store, expiring(30, "k0000"))
    examined, steps = steps_of_pass(store)
    assert examined == 999
    assert steps * 10 < 20 * count + 200 * examined
    record_property("figure", f"lifecycle: {count:,} old objects, {examined:,} with the prefix: {steps * 10:,} steps")


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_passes_do_what_a_small_model_does(data: st.DataObject) -> None:
    """Objects without versions, two rules, a clock that moves: against a dictionary."""
    clock = Clock(NOON)
    rules = tuple(
        LifecycleRule(
            filter=LifecycleFilter(
                prefix=data.draw(KEYS), tags=data.draw(TAGS), size_less_than=data.draw(SIZES) or None
            ),
            expiration=Expiration(days=data.draw(st.integers(1, 5))),
        )
        for _ in range(2)
    )
    model: dict[str, tuple[int, dict[str, str], dt.datetime]] = {}
    with bleepstore.open(clock=clock) as store:
        store.create_bucket("photos")
        put_rules(store, *rules)
        for _ in range(data.draw(st.integers(1, 12))):
            clock.advance(hours=data.draw(st.integers(0, 60)))
            if data.draw(st.booleans()):
                key, size, tags = data.draw(KEYS.filter(bool)), data.draw(st.integers(0, 12)), data.draw(TAGS)
                store.put_object("photos", key, b"x" * size, tags=tags)
                model[key] = size, tags, clock.now
            else:
                run(store)
                model = {
                    key: known
                    for key, known in model.items()
                    if not any(_ends(one, key, *known, clock.now) for one in rules)
                }
            assert keys(store) == sorted(model)


def _ends(
    one: LifecycleRule, key: str, size: int, tags: dict[str, str], written: dt.datetime, now: dt.datetime
) -> bool:
    assert one.expiration is not None
    assert one.expiration.days is not None
    if not key.startswith(one.filter.prefix or "") or not one.filter.tags.items() <= tags.items():
        return False
    if one.filter.size_less_than is not None and size >= one.filter.size_less_than:
        return False
    last_day = (written + dt.timedelta(days=one.expiration.days) - dt.timedelta(milliseconds=1)).date()
    return now.date() > last_day
