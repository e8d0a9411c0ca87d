"""Values that are frozen for type checkers alone."""

from __future__ import annotations

import attrs
import pytest

from bleepstore import Caller, Owner
from bleepstore.model import ObjectVersion

OWNER = Owner("alice", "Alice")


def version(**fields: str) -> ObjectVersion:
    return ObjectVersion(bucket="photos", key="k", etag="e", size=1, modified_ms=2, owner=OWNER, **fields)  # type: ignore[arg-type]  # texts


def test_they_are_compared_by_their_fields() -> None:
    assert version() == version() != version(version_id="v")
    callers = Caller(OWNER), Caller(OWNER), Caller(OWNER, access_key="a")
    assert set(callers) == {callers[0], callers[2]}


def test_a_field_that_is_misspelt_is_refused() -> None:
    with pytest.raises(AttributeError):
        version().sise = 3  # type: ignore[attr-defined]  # what a typo would do


def test_one_of_them_is_made_of_another() -> None:
    first = version()
    second = attrs.evolve(first, key="other")
    assert (first.key, second.key) == ("k", "other")
