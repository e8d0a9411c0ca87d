"""What random operations are made of, and how they are run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from bleepstore import (
    ANONYMOUS,
    ByteRange,
    Caller,
    CannedAcl,
    Grant,
    Owner,
    Permission,
    ReadCondition,
    Versioning,
    WriteCondition,
)
from tests.store.model import ALWAYS, MIN_PART, md5

ALICE, BOB = Caller(Owner("alice-id", "Alice")), Caller(Owner("bob-id", "Bob"))
#: By name, for Hypothesis writes out what it draws from. The first three are kept in the catalog, the others as blobs.
BODIES = {"none": b"", "x": b"x", "other": b"other", "blob": bytes(range(256)) * 8, "blob 2": bytes(2000)}
PART_BODIES = BODIES | {"large": b"5" * MIN_PART}

#: What is drawn often comes first, or more than once: else most that is asked for would be refused.
buckets = st.sampled_from(["photos", "photos", "videos"])
#: The order of UTF-8 is that of code points, not that of UTF-16: U+FFFF comes before U+10000.
FIRST_KEYS = ["a", "a/b", "\U00010000"]
keys = st.sampled_from([*FIRST_KEYS, *FIRST_KEYS, "a/", "a/c/d", "a-b", "ä", "\uffff", "b//c"])
callers = st.sampled_from([None, None, None, None, ALICE, ALICE, BOB, ANONYMOUS])
bodies = st.sampled_from(list(BODIES))
_ACLS: list[Any] = [
    *CannedAcl, (), (Grant(BOB.account.id, Permission.READ),), (Grant(BOB.account.id, Permission.WRITE),),
    (Grant(ALICE.account.id, Permission.FULL_CONTROL), Grant(BOB.account.id, Permission.READ_ACP)),
    (Grant(BOB.account.id, Permission.WRITE_ACP),),
]  # fmt: skip
set_acls = st.sampled_from(_ACLS)
acls = st.sampled_from([None, None, None, *_ACLS])
_ETAGS = [md5(body) for body in BODIES.values()]
etags = st.sampled_from([*_ETAGS, "0" * 32])
_MATCHES = [WriteCondition(if_match=etag) for etag in _ETAGS]
write_conditions = st.sampled_from([*[ALWAYS] * 8, WriteCondition(if_none_match=True), *_MATCHES])
delete_conditions = st.sampled_from([*[ALWAYS] * 6, WriteCondition(if_match="*"), *_MATCHES])
read_conditions = st.sampled_from(
    [
        *[None] * 8, ReadCondition(if_match="*"), *[ReadCondition(if_match=etag) for etag in _ETAGS],
        *[ReadCondition(if_none_match=etag) for etag in _ETAGS],
    ]
)  # fmt: skip
ranges = st.sampled_from(
    [ByteRange(0, 0), ByteRange(1, None), ByteRange(3, 1500), ByteRange(None, 2), ByteRange(None, 0), ByteRange(9, 99)]
)
metadata = st.sampled_from([{}, {"a": "1"}, {"a": "2", "b": "ü"}])
content_types = st.sampled_from([None, "text/plain"])
storage_classes = st.sampled_from(["STANDARD", "GLACIER_IR"])
prefixes = st.sampled_from(["", "a", "a/", "b", "a/c/", "\U00010000", "z"])
delimiters = st.sampled_from(["", "/", "//", "b"])
limits = st.integers(1, 4)
part_numbers = st.integers(1, 3)
versionings = st.sampled_from([Versioning.ENABLED, Versioning.ENABLED, Versioning.SUSPENDED])
#: Which version of a key: the newest but so many; "null"; or none that there is.
positions = st.sampled_from([0, 0, 1, 1, 2, 3, "null", "x" * 32])


# -- runs

_COMMON = settings(
    deadline=None, stateful_step_count=50, suppress_health_check=list(HealthCheck), print_blob=True, database=None
)


def run_examples(machine: type[RuleBasedStateMachine], count: int) -> None:
    """So many sequences of operations, the same each time."""
    run_state_machine_as_test(machine, settings=settings(_COMMON, derandomize=True, max_examples=count))


def run_new_examples(
    machine: type[RuleBasedStateMachine], count: int, what: str, record_property: Callable[[str, object], None]
) -> None:
    """So many others each time. The figure says by which seed to take the same again."""
    seed = int(os.environ.get("BLEEPSTORE_SEED") or random.SystemRandom().randrange(1 << 32))
    record_property("figure", f"{what}: BLEEPSTORE_SEED={seed}")
    run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=settings(_COMMON, max_examples=count))
