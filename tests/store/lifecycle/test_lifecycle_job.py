"""The job of lifecycles: what happens meanwhile, what a pass costs, and that it does what a model does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bleepstore
from bleepstore import (
    Expiration,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    ObjectLock,
    Retention,
    Store,
    Versioning,
    errors,
)
from bleepstore.catalog.sqlite.tables import SqliteTables
from bleepstore.commands import ApplyLifecycle, LifecycleApplied
from bleepstore.jobs.job import Budget
from bleepstore.lifecycle_due import Act
from bleepstore.model import DAY_MS
from bleepstore.testing.clock import Clock
from tests.catalog.test_listing import Steps
from tests.store.lifecycle.tools import (
    BIG,
    KEYS,
    NOON,
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

# -- what happens meanwhile


def command_of(store: Store, monkeypatch: pytest.MonkeyPatch) -> ApplyLifecycle:
    """The command that a pass would submit now."""
    made: list[Any] = []

    def keep(_committer: object, command: object) -> LifecycleApplied:
        made.append(command)
        return LifecycleApplied(0, 0)

    with monkeypatch.context() as patch:
        patch.setattr(type(store.engine.committer), "submit", keep)
        run(store)
    (command,) = made
    assert isinstance(command, ApplyLifecycle)
    return command


Change = Callable[[Store], object]
MEANWHILE: Mapping[str, Change] = {
    "written": put,
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
    with store.jobs.paused():  # the store's own thread runs it too
        job.restart()
        budget = Budget(items=1)
        assert not job.run(budget).is_done
        assert budget.changed == 250
        assert len(keys(store)) == 350
        while not job.run(Budget(items=1)).is_done:
            pass
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


def test_what_is_locked_stays(store: Store, clock: Clock) -> None:
    """What expires gets a delete marker; no version that is locked goes, until it is not."""
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    store.put_bucket_object_lock("photos", ObjectLock())
    put_rules(store, expiring(1), rule(noncurrent_expiration=NoncurrentExpiration(days=1)))
    until = Retention.compliance(until=at(20))
    locked = store.put_object("photos", "locked", b"1", retention=until).version_id
    held = store.put_object("photos", "held", b"1", legal_hold=True).version_id
    put(store, "free")
    clock.advance(days=3)
    run(store)
    clock.advance(days=3)
    run(store)
    assert versions(store) == [("held", "marker"), ("held", held), ("locked", "marker"), ("locked", locked)]
    (status,) = (one for one in store.jobs.status() if one.name == "lifecycle")
    assert status.left == 2
    clock.freeze(at(20, 1))
    store.put_object_legal_hold("photos", "held", False, version_id=held)
    run(store)
    assert versions(store) == []


def test_what_is_locked_is_not_replaced_where_versioning_is_suspended(store: Store, clock: Clock) -> None:
    """A delete marker of the id "null" would replace a version, were it not locked."""
    first = put(store)
    assert first == "null"
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    store.put_bucket_object_lock("photos", ObjectLock())
    put_rules(store, expiring(1))
    store.put_object_legal_hold("photos", "k", True)
    clock.advance(days=3)
    run(store)
    assert ("k", "null") in versions(store)


def fill(store: Store, count: int, written: Callable[[int], int]) -> None:
    """`count` objects, `k0000000` and on, each with the time at which it was `written`."""
    with store.engine.catalog.transaction() as tables:
        bucket = tables.find_bucket("photos")
        assert bucket is not None
        assert isinstance(tables, SqliteTables)
        tables.connection.executemany(
            "INSERT INTO object_version (bucket_id, noncurrent, key, sequence, version_id, is_delete_marker, "
            "modified_ms, etag, size, owner_id) VALUES (?, 0, ?, -1, 'null', 0, ?, 'e', 1, 'alice-id')",
            ((bucket.bucket_id, f"k{number:07}", written(number)) for number in range(count)),
        )


def steps_of_pass(store: Store) -> tuple[int, int]:
    """(how many were looked at, steps of SQLite's machine in tens for the queries of a pass)."""
    steps = 0
    catalog: Any = store.engine.catalog
    read = catalog.read

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

    catalog.read = Counted
    try:
        status = store.jobs.run("lifecycle")
    finally:
        catalog.read = read
    return status.examined, steps


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_what_a_pass_costs_follows_what_is_due(store: Store, clock: Clock, count: int, record_property: Any) -> None:
    """Of objects of which one in a thousand is old, a pass looks at these alone. Where all are old and few have the
    prefix, it goes through an index, and reads the rows of these alone."""
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


def ages(store: Store) -> list[str]:
    """The keys in the index of ages."""
    sql = "SELECT key FROM object_version INDEXED BY object_age WHERE noncurrent = 0 AND is_aged = 1 ORDER BY key"
    with store.engine.catalog.transaction() as tables:
        assert isinstance(tables, SqliteTables)
        return [key for (key,) in tables.connection.execute(sql)]


def test_ages_are_kept_where_there_are_rules(store: Store, clock: Clock) -> None:
    """What else is written costs no entry of the index; what is there gets into it with the first rules."""
    put(store, "old")
    put(store, "old")
    assert ages(store) == []
    put_rules(store, expiring(30))
    put(store, "new")
    store.copy_object("photos", "new", "photos", "copy")
    assert ages(store) == ["copy", "new", "old"]
    store.delete_bucket_lifecycle("photos")
    put(store, "new")
    put(store, "later")
    assert ages(store) == ["copy", "old"]
    put_rules(store, expiring(30))
    assert ages(store) == ["copy", "later", "new", "old"]
    clock.advance(days=32)
    assert run(store) == 4
    assert keys(store) == []


def test_versions_that_are_current_again_have_an_age(versioned: Store, clock: Clock) -> None:
    """Also those that were older versions when the rules came."""
    put(versioned, "k", b"1")
    later = put(versioned, "k", b"2")
    put_rules(versioned, expiring(30))
    versioned.delete_object("photos", "k", version_id=later)
    assert ages(versioned) == ["k"]
    clock.advance(days=32)
    assert run(versioned) == 1
    assert keys(versioned) == []


@settings(max_examples=25, deadline=None, derandomize=True)
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
