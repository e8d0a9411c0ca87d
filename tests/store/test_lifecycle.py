"""Lifecycles, by the Python API: what expires, changes its class and is aborted, and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

import bleepstore
from bleepstore import Expiration, LifecycleFilter, LifecycleRule, Store
from bleepstore.testing.clock import Clock

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    with bleepstore.open(clock=clock) as opened:
        opened.create_bucket("photos")
        yield opened


def run(store: Store) -> int:
    """How much a pass changed."""
    return store.jobs.run("lifecycle").changed


def keys(store: Store) -> list[str]:
    return [found.key for found in store.list_objects("photos").objects]


def test_an_object_expires_at_the_midnight_after_its_days(store: Store, clock: Clock) -> None:
    store.put_bucket_lifecycle(
        "photos", [LifecycleRule(filter=LifecycleFilter(prefix="tmp/"), expiration=Expiration(days=1))]
    )
    store.put_object("photos", "tmp/a", b"1")
    store.put_object("photos", "kept", b"1")
    clock.freeze(dt.datetime(2030, 1, 2, 23, 59, 59, tzinfo=dt.UTC))
    assert run(store) == 0
    clock.freeze(dt.datetime(2030, 1, 3, tzinfo=dt.UTC))
    assert run(store) == 1
    assert keys(store) == ["kept"]
