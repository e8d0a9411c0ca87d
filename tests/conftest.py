"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore

# The contract suites are tests that ship in the package.
pytest.register_assert_rewrite("bleepstore.testing")


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bleepstore.Store]:
    """An empty store, on each backend."""
    with bleepstore.open(None if request.param == "memory" else tmp_path / "store") as opened:
        yield opened
