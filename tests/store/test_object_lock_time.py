"""Object lock and time: when a retention begins and ends, by whatever clock."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import (
    Caller,
    CompletedPart,
    DefaultRetention,
    ObjectLock,
    Owner,
    Retention,
    RetentionMode,
    Store,
)
from bleepstore.errors import (
    InvalidArgument,
    ObjectLocked,
    StoreError,
)

ALICE, BOB = Caller(Owner("alice-id", "Alice")), Caller(Owner("bob-id", "Bob"))
GOVERNANCE, COMPLIANCE = RetentionMode.GOVERNANCE, RetentionMode.COMPLIANCE
DAY = dt.timedelta(days=1)
BIG = random.Random(4).randbytes(300_000)
START = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)


def ids(store: Store) -> list[str]:
    return [row.version_id for row in store.iter_object_versions("photos")]


def put(store: Store, body: bytes = b"1", **options: Any) -> str:
    """The id of the new version."""
    return store.put_object("photos", "k", body, **options).version_id


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return round(self.now.timestamp() * 1000)


@pytest.fixture(params=["memory", "folder"])
def timed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Clock]]:
    clock = Clock()
    with bleepstore.open(None if request.param == "memory" else tmp_path / "s", clock=clock) as store:
        store.create_bucket("photos", object_lock=True)
        yield store, clock


def test_a_version_can_be_removed_once_its_retention_is_over(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    until = Retention.compliance(clock.now + DAY)
    version_id = put(store, retention=until)
    clock.now += DAY - dt.timedelta(milliseconds=1)
    with pytest.raises(ObjectLocked):
        store.delete_object("photos", "k", version_id=version_id)
    clock.now += dt.timedelta(milliseconds=1)
    assert store.get_object_retention("photos", "k") == until, "it is shown all the same"
    store.put_object_retention("photos", "k", None)
    store.put_object_retention("photos", "k", Retention.governance(clock.now + DAY))
    store.delete_object("photos", "k", version_id=version_id, bypass_governance=True)
    assert ids(store) == []


@pytest.mark.parametrize(
    ("period", "until"),
    [
        ({"days": 30}, dt.datetime(2030, 3, 2, 12, tzinfo=dt.UTC)),
        ({"years": 1}, dt.datetime(2031, 1, 31, 12, tzinfo=dt.UTC)),
        ({"years": 100}, dt.datetime(2130, 1, 31, 12, tzinfo=dt.UTC)),
    ],
    ids=str,
)
def test_a_default_retention_begins_with_the_write(
    timed: tuple[Store, Clock], period: dict[str, int], until: dt.datetime
) -> None:
    store, _ = timed
    store.put_bucket_object_lock("photos", ObjectLock(DefaultRetention(GOVERNANCE, **period)))
    version_id = put(store)
    assert store.get_object_retention("photos", "k", version_id=version_id).until == until


def test_a_year_from_a_leap_day_is_the_day_after(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    clock.now = dt.datetime(2032, 2, 29, 1, tzinfo=dt.UTC)
    for years, month, day in ((1, 3, 1), (4, 2, 29)):
        until = dt.datetime(2032 + years, month, day, 1, tzinfo=dt.UTC)
        store.put_bucket_object_lock("photos", ObjectLock(DefaultRetention(GOVERNANCE, years=years)))
        put(store)
        assert store.get_object_retention("photos", "k").until == until


def test_a_clock_that_goes_back_unlocks_nothing_and_shortens_nothing(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    lock = ObjectLock(DefaultRetention(COMPLIANCE, days=1))
    locked = put(store, retention=Retention.compliance(clock.now + DAY))
    clock.now -= 400 * DAY
    with pytest.raises(ObjectLocked):
        store.delete_object("photos", "k", version_id=locked)
    store.put_bucket_object_lock("photos", lock)
    put(store)
    assert store.get_object_retention("photos", "k").until == START + DAY, "not a day from the time that it claims"
    with pytest.raises(InvalidArgument, match="in the future"):
        store.put_object_retention("photos", "k", Retention.compliance(START - DAY))


def test_what_a_clock_ahead_released_is_locked_again(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    locked = put(store, retention=Retention.compliance(clock.now + DAY))
    clock.now += 2 * DAY
    store.put_object("photos", "other", b"1", retention=Retention.compliance(clock.now + DAY))
    store.sweep()
    clock.now -= 2 * DAY
    with pytest.raises(ObjectLocked):
        store.delete_object("photos", "k", version_id=locked)


def test_an_upload_completes_after_its_retention_is_over(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    upload = store.create_upload("photos", "k", retention=Retention.compliance(clock.now + DAY))
    part = store.put_part("photos", "k", upload.upload_id, 1, BIG)
    clock.now += 2 * DAY
    made = store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    store.delete_object("photos", "k", version_id=made.version_id)


def test_no_snapshot_is_restored_that_has_not_what_is_locked(timed: tuple[Store, Clock]) -> None:
    store, clock = timed
    first = put(store, retention=Retention.compliance(clock.now + DAY))
    with store.snapshot() as snapshot:
        free = put(store)
        store.restore(snapshot)
        assert ids(store) == [first] != [free]
        store.put_object_retention("photos", "k", Retention.compliance(clock.now + 2 * DAY), version_id=first)
        with pytest.raises(StoreError, match="locked now"):
            store.restore(snapshot)
        assert store.get_object_retention("photos", "k").until == clock.now + 2 * DAY
        clock.now += 3 * DAY
        held = put(store, legal_hold=True)
        with pytest.raises(StoreError, match="locked now"):
            store.restore(snapshot)
        assert ids(store) == [held, first]
        store.put_object_legal_hold("photos", "k", False)
        store.restore(snapshot)
        assert ids(store) == [first]
