"""What tests of lifecycles share."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

from hypothesis import strategies as st

from bleepstore import (
    Caller,
    Expiration,
    Lifecycle,
    LifecycleFilter,
    LifecycleRule,
    Owner,
    Store,
)

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
BIG = random.Random(5).randbytes(200_000)
ALICE = Caller(Owner("alice-id", "Alice"))


def at(day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
    """A time in January 2030. Days beyond it are of the months that follow."""
    return dt.datetime(2030, 1, 1, hour, minute, tzinfo=dt.UTC) + dt.timedelta(days=day - 1)


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


KEYS, TAGS = st.text("ab/", max_size=4), st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=3)
SIZES = st.one_of(st.none(), st.integers(0, 12))
