"""Lifecycles, by the Python API: what expires, changes its class and is aborted, and when."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bleepstore import (
    CompletedPart,
    Expiration,
    Lifecycle,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    Store,
    Transition,
    TransitionMinimum,
    Versioning,
    errors,
)
from bleepstore.lifecycle_due import applies, due_ms, written_until
from bleepstore.model import DAY_MS, Expiry
from bleepstore.testing.clock import Clock
from tests.store.lifecycle.tools import (
    BIG,
    KEYS,
    SIZES,
    TAGS,
    at,
    expiring,
    keys,
    put,
    put_rules,
    rule,
    run,
    versions,
)

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


def test_expiry_is_shown_of_the_current_version_also_by_its_id(versioned: Store) -> None:
    """Expiration is of current versions; what is older has none."""
    put_rules(versioned, expiring(1))
    older, newer = put(versioned, "k"), put(versioned, "k")
    for read in (versioned.head_object, versioned.get_object):
        shown = [read("photos", "k", version_id=one).version.expiry for one in (older, newer)]
        assert shown == [None, read("photos", "k").version.expiry]
        assert shown[1] is not None
    versioned.delete_object("photos", "k")
    assert versioned.head_object("photos", "k", version_id=newer).version.expiry is None


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
        expiring(1, "old", id="2", enabled=False),
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
    older = put_rules(store, expiring(1, "old", id="2", is_prefix_form=True, enabled=False))
    assert store.get_bucket_lifecycle("photos") == older
    assert older.rules[0].is_prefix_form
    store.delete_bucket_lifecycle("photos")
    with pytest.raises(errors.NoSuchLifecycle):
        store.get_bucket_lifecycle("photos")


def test_a_rule_without_an_id_gets_one(store: Store) -> None:
    first, second = put_rules(store, expiring(), expiring(2)).rules
    assert first.id != second.id
    assert len(first.id) == 48
    assert store.get_bucket_lifecycle("photos").rules == (first, second)
