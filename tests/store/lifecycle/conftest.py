"""A store with a clock that stands at noon, and a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import (
    Store,
    Versioning,
)
from bleepstore.testing.clock import Clock
from tests.store.lifecycle.tools import (
    ALICE,
    NOON,
)


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
