"""Random operations on one bucket, and on a plain model of it (tests/store/bucket_model.py), give the same: versions,
tags, locks, archives and lifecycles, in time that passes by days.

Accounts, ACLs, pages, forks and snapshots are in tests/store/test_model.py.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import bleepstore
from bleepstore import (
    CompletedPart,
    DefaultRetention,
    DeleteEntry,
    DeleteFailure,
    Expiration,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    ObjectLock,
    ObjectVersion,
    Retention,
    RetentionMode,
    Store,
    Transition,
    TransitionMinimum,
    Versioning,
    WriteCondition,
)
from bleepstore.errors import InvalidObjectState, NoSuchLifecycle, NoSuchTagSet, S3Error
from tests.store.bucket_model import ALWAYS, DAY, SMALL, BucketModel, Condition, Lock, Rule, Tags, Version
from tests.store.drawing import run_examples, run_new_examples
from tests.store.model import Refused, md5

BUCKET = "photos"
#: An hour before midnight, so that the first days end soon.
START = 1_893_535_200_000 - 3600 * 1000
DATE = dt.date(2030, 1, 4)
INLINE_LIMIT = 1024
BODIES = {"none": b"", "x": b"x", "blob": bytes(2000), "large": bytes(SMALL)}
Position = int | str | None
T = TypeVar("T")

KEYS = ["a", "a", "a", "a", "a/b", "b"]
TAG_SETS: list[Tags] = [{}, {}, {"x": "1"}, {"x": "2"}, {"x": "1", "y": "ü"}]
CLASSES = [*["STANDARD"] * 4, "STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER", "GLACIER", "DEEP_ARCHIVE"]
_ETAGS = [md5(body) for body in BODIES.values()]
CONDITIONS: list[Condition] = [*[ALWAYS] * 12, (True, None), *((False, etag) for etag in _ETAGS)]
DELETE_CONDITIONS: list[Condition] = [*[ALWAYS] * 12, (False, "*"), *((False, etag) for etag in _ETAGS)]
#: Which version: the current one, the newest but so many, or one by its id.
POSITIONS: list[Position] = [*[None] * 5, *[0] * 5, 1, 1, 1, 2, 2, 3, "null", "x" * 32]
MODES = ["GOVERNANCE", "COMPLIANCE"]
#: For how many days from now; 0 is over.
LOCK_DAYS = [1, 1, 3, 40, 0]
HOLDS = [*[None] * 8, True, False]
FILTERS: list[dict[str, Any]] = [
    {}, {}, {"prefix": "a"}, {"tags": {"x": "1"}}, {"more_than": 0}, {"less_than": 100},
    {"prefix": "a", "tags": {"x": "1"}, "more_than": 0, "less_than": 3000},
]  # fmt: skip
ACTIONS: list[dict[str, Any]] = [
    {"days": 1}, {"days": 3}, {"date": DATE}, {"days": 3, "older": (1, None)},
    {"changes": (("STANDARD_IA", 1, None), ("GLACIER", 3, None)), "days": 30},
    {"changes": (("DEEP_ARCHIVE", 0, None),)}, {"changes": (("GLACIER_IR", None, DATE),)},
    {"changes": (("INTELLIGENT_TIERING", 2, None),), "older_changes": (("ONEZONE_IA", 1, None),)},
    {"older": (1, None)}, {"older": (1, 1)}, {"older": (3, 2), "older_changes": (("GLACIER", 0, None),)},
    {"older_changes": (("STANDARD_IA", 0, 1), ("DEEP_ARCHIVE", 2, None))},
]  # fmt: skip
#: Of what has neither tags nor a size.
ACTIONS_BY_KEY: list[dict[str, Any]] = [
    {"lone_markers": True}, {"abort_days": 1}, {"lone_markers": True, "older": (1, None)}
]  # fmt: skip


def lifecycle_rule(of: Rule) -> LifecycleRule:
    expiration = None
    if of.lone_markers:
        expiration = Expiration(expired_object_delete_marker=True)
    elif of.days is not None or of.date is not None:
        expiration = Expiration(days=of.days, date=of.date)
    return LifecycleRule(
        id=of.id,
        enabled=of.enabled,
        filter=LifecycleFilter(
            prefix=of.prefix, tags=of.tags, size_greater_than=of.more_than, size_less_than=of.less_than
        ),
        expiration=expiration,
        transitions=tuple(Transition(storage_class=kind, days=days, date=date) for kind, days, date in of.changes),
        noncurrent_expiration=of.older and NoncurrentExpiration(days=of.older[0], newer_versions=of.older[1]),
        noncurrent_transitions=tuple(
            NoncurrentTransition(storage_class=kind, days=days, newer_versions=newer)
            for kind, days, newer in of.older_changes
        ),
        abort_uploads_days=of.abort_days,
    )


def written_if(condition: Condition) -> WriteCondition:
    return WriteCondition(if_none_match=condition[0], if_match=condition[1])


def retention(lock: Lock | None) -> Retention | None:
    return None if lock is None else Retention(RetentionMode(lock[0]), lock[1])


def head_seen(found: ObjectVersion) -> tuple[object, ...]:
    kept, restored = found.retention, found.attributes.restoration
    return (
        found.etag, found.size, found.modified_ms, dict(found.tags), found.storage_class,
        kept and (kept.mode.value, kept.until_ms), found.legal_hold, dict(found.metadata),
        restored and (restored.ready_ms, restored.until_ms),
    )  # fmt: skip


def outcome_of(call: Callable[[], T]) -> tuple[T | None, str | None]:
    """What it gives, or the name of the error."""
    try:
        return call(), None
    except Refused as refused:
        return None, str(refused)
    except S3Error as error:
        return None, type(error).__name__


class BucketMachine(RuleBasedStateMachine):
    """Each step asks the store and the model the same. Ids are random, so what is drawn is a position.

    Hypothesis draws a number for each step, and leaves steps out of a sequence that fails; which step it is, and of
    what, follows from the number. Left to itself it would draw most rules hardly ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exits = contextlib.ExitStack()
        self.time_ms = START
        self.number, self.chance = 0, random.Random(0)
        self.drawn: Counter[int] = Counter()
        self.store = self.exits.enter_context(self.open())
        self.exits.enter_context(self.store.jobs.paused())  # they run when a rule says so
        self.store.create_bucket(BUCKET)
        self.model = BucketModel(lambda: self.time_ms)
        self.upload_keys: dict[str, str] = {}  # of all that were ever created
        self.used_ids: set[str] = set()

    def open(self) -> Store:
        return bleepstore.open(clock=lambda: self.time_ms, inline_limit=INLINE_LIMIT, upload_expiry=dt.timedelta(9999))

    def teardown(self) -> None:
        try:
            self.compare_all()
            self.store.sweep(grace=dt.timedelta())
            self.compare_all()
        finally:
            self.exits.close()

    def ask(self, real: Callable[[], T], modelled: Callable[[], Any]) -> tuple[T, Any] | None:
        """What both gave; None if both refused."""
        self.time_ms += 1000
        (expected, refused), (found, error) = outcome_of(modelled), outcome_of(real)
        assert error == refused
        return None if found is None else (found, expected)

    def id_at(self, key: str, position: Position) -> str | None:
        if not isinstance(position, int):
            return position
        versions = self.model.keys.get(key, [])
        return versions[position].id if position < len(versions) else "null"

    def which(self, wanted: Callable[[Version], bool] | None = None) -> tuple[str, str | None]:
        """A key and a version's id; mostly one of those that are `wanted`, if there are some."""
        if wanted is not None and self.chance.random() < 0.6:
            found = [(one.key, one.id) for one in self.model.everything() if not one.is_marker and wanted(one)]
            if found:
                return self.one(found)
        key = self.one(KEYS)
        return key, self.id_at(key, self.one(POSITIONS))

    def lock(self) -> Lock:
        return self.one(MODES), self.time_ms + self.one(LOCK_DAYS) * DAY + 1000

    def locks(self) -> tuple[Lock | None, bool | None]:
        """Of a new version. Where there is no object lock, hardly ever any."""
        if not self.model.has_lock and self.chance.random() < 0.95:
            return None, None
        return self.lock() if self.one([True, False, False, False]) else None, self.one(HOLDS)

    def learn(self, made: Version, version_id: str | None) -> None:
        """The id of what was written last."""
        assert version_id is not None
        if made.id is None:
            assert version_id != "null"
            assert version_id not in self.used_ids
            self.used_ids.add(version_id)
            made.id = version_id
        assert made.id == version_id

    def written(self, both: tuple[ObjectVersion, Version] | None) -> None:
        if both is not None:
            found, made = both
            self.learn(made, found.version_id)
            assert head_seen(found) == made.seen
            if self.model.current(made.key) is made:
                assert (found.expiry and (found.expiry.time_ms, found.expiry.rule_id)) == self.model.expiry(made)

    # -- the bucket

    @initialize(kind=st.sampled_from(["locks", "versions", "plain", "locks"]), number=st.integers(0, 1 << 32))
    def begin(self, kind: str, number: int) -> None:
        self.number, self.chance = number, random.Random(number)
        self.put()
        if kind != "plain":
            self.put_versioning(Versioning.ENABLED)
        if kind == "locks":
            self.put_default()
        for _ in range(4):
            self.put()
        self.put_rules()

    @rule(number=st.integers(0, 1 << 32))
    def step(self, number: int) -> None:
        self.drawn[number] += 1  # Hypothesis likes to draw the same again
        self.chance = random.Random(f"{self.number}/{number}/{self.drawn[number]}")
        (name,) = self.chance.choices(list(STEPS), list(STEPS.values()))
        hypothesis.note(f"{self.time_ms - START}: {name}")
        getattr(self, name)()

    def one(self, of: Sequence[T]) -> T:
        found = self.chance.choice(of)
        hypothesis.note(f"    {found!r:.60}")
        return found

    def put_versioning(self, versioning: Versioning | None = None) -> None:
        versioning = versioning or self.one([Versioning.ENABLED, Versioning.SUSPENDED])
        self.ask(
            lambda: self.store.put_bucket_versioning(BUCKET, versioning),
            lambda: self.model.put_versioning(versioning.value),
        )

    def put_default(self) -> None:
        default = self.one([None, None, ("GOVERNANCE", 1), ("COMPLIANCE", 3)])
        made = default and DefaultRetention(RetentionMode(default[0]), days=default[1])
        self.ask(
            lambda: self.store.put_bucket_object_lock(BUCKET, ObjectLock(made)),
            lambda: self.model.put_default(default),
        )

    def put_bucket_tags(self) -> None:
        tags = self.one(TAG_SETS)
        self.store.put_bucket_tags(BUCKET, tags)
        self.model.tags = tags

    def put_rules(self) -> None:
        given = [self.rule(f"r{at}") for at in range(self.one([1, 2, 3]))]
        varies = self.one([False, True])
        minimum = TransitionMinimum.VARIES_BY_STORAGE_CLASS if varies else TransitionMinimum.ALL_STORAGE_CLASSES_128K
        self.store.put_bucket_lifecycle(BUCKET, list(map(lifecycle_rule, given)), transition_minimum=minimum)
        self.model.rules, self.model.varies = given, varies

    def rule(self, name: str) -> Rule:
        if self.one([True, False, False, False]):
            return Rule(id=name, prefix=self.one(["", "a"]), **self.one(ACTIONS_BY_KEY))
        return Rule(id=name, enabled=self.one([True, True, True, False]), **self.one(FILTERS), **self.one(ACTIONS))

    def delete_rules(self) -> None:
        self.store.delete_bucket_lifecycle(BUCKET)
        self.model.rules = ()

    def delete_bucket(self) -> None:
        if not self.model.keys:
            return
        with pytest.raises(bleepstore.errors.BucketNotEmpty):
            self.store.delete_bucket(BUCKET)

    # -- time

    def wait(self) -> None:
        by = self.one([3600 * 1000, DAY, DAY, 3 * DAY, 30 * DAY, None])  # None: the next write is of the very midnight
        self.time_ms += by if by is not None else -self.time_ms % DAY + DAY - 1000

    def run_lifecycle(self) -> None:
        self.time_ms += self.one([0, DAY, DAY, 3 * DAY]) + 1 + (self.time_ms + 1 - START) % 2  # at no midnight
        self.model.run_lifecycle()
        while self.store.jobs.run("lifecycle").changed:
            pass
        self.learn_all()

    def learn_all(self) -> None:
        rows = list(self.store.iter_object_versions(BUCKET))
        versions = self.model.everything()
        assert [(row.key, row.is_delete_marker) for row in rows] == [(one.key, one.is_marker) for one in versions]
        for row, one in zip(rows, versions, strict=True):
            self.learn(one, row.version_id)

    def sweep(self) -> None:
        self.store.sweep(grace=dt.timedelta())
        kept = {of: made for of, made in self.model.completed.items() if made.time >= self.time_ms - DAY}
        self.model.completed = kept

    # -- writes and deletes

    def put(self) -> None:
        key, body, tags, storage_class = self.one(KEYS), self.one(list(BODIES)), self.one(TAG_SETS), self.one(CLASSES)
        until, hold = self.locks()
        condition = self.one(CONDITIONS)
        both = self.ask(
            lambda: self.store.put_object(
                BUCKET, key, BODIES[body], tags=tags, storage_class=storage_class, retention=retention(until),
                legal_hold=hold, condition=written_if(condition),
            ),
            lambda: self.model.put(key, BODIES[body], tags, storage_class, until, hold, condition),
        )  # fmt: skip
        self.written(both)

    def copy(self) -> None:
        source, key, condition = self.one(KEYS), self.one(KEYS), self.one(CONDITIONS)
        version_id = self.id_at(source, self.one(POSITIONS))
        tags, metadata = self.one([None, None, *TAG_SETS]), self.one([None, None, {}, {"a": "1"}])
        storage_class = self.one([None, None, *CLASSES])
        until, hold = self.locks()
        both = self.ask(
            lambda: self.store.copy_object(
                BUCKET, source, BUCKET, key, source_version_id=version_id, storage_class=storage_class,
                replace_tags=tags is not None, tags=tags, replace_metadata=metadata is not None, metadata=metadata,
                retention=retention(until), legal_hold=hold, condition=written_if(condition),
            ),
            lambda: self.model.copy(
                (source, version_id), key, tags, metadata, storage_class, until, hold, condition
            ),
        )  # fmt: skip
        self.written(both)

    def delete(self) -> None:
        key, version_id = (
            self.which(lambda one: one.is_locked(self.time_ms)) if self.one([True, False]) else self.which()
        )
        condition, bypass = self.one(DELETE_CONDITIONS), self.one([False, True])
        both = self.ask(
            lambda: self.store.delete_object(
                BUCKET, key, version_id=version_id, bypass_governance=bypass, condition=written_if(condition)
            ),
            lambda: self.model.delete(key, version_id, condition, bypass=bypass),
        )
        if both is not None:
            self.deleted(key, version_id, both[0].delete_marker_id, both[1])

    def deleted(
        self, key: str, version_id: str | None, marker_id: str | None, expected: tuple[bool, str | None]
    ) -> None:
        is_marker, removed = expected
        assert (marker_id is not None) == is_marker
        if removed is not None:
            assert marker_id == removed
        elif is_marker and version_id is None:
            self.learn(self.model.keys[key][0], marker_id)

    def delete_many(self) -> None:
        """In order, each as if it were alone."""
        self.time_ms += 1000
        bypass = self.one([False, True])
        entries = [(*self.which(), self.one(DELETE_CONDITIONS)) for _ in range(self.one([1, 2, 3, 4]))]
        outcomes = self.store.delete_objects(
            BUCKET,
            [DeleteEntry(key=key, version_id=of, condition=written_if(condition)) for key, of, condition in entries],
            bypass_governance=bypass,
        )
        for (key, version_id, condition), outcome in zip(entries, outcomes, strict=True):
            assert (outcome.key, outcome.version_id) == (key, version_id)
            expected, refused = outcome_of(partial(self.model.delete, key, version_id, condition, bypass=bypass))
            error = outcome.error if isinstance(outcome, DeleteFailure) else None
            assert (error and type(error).__name__) == refused
            if expected is not None and not isinstance(outcome, DeleteFailure):
                self.deleted(key, version_id, outcome.delete_marker_id, expected)

    # -- uploads

    def create_upload(self) -> None:
        key, tags, storage_class = self.one(KEYS), self.one(TAG_SETS), self.one(CLASSES)
        until, hold = self.locks()
        body = self.one([None, *BODIES])
        both = self.ask(
            lambda: self.store.create_upload(
                BUCKET, key, tags=tags, storage_class=storage_class, retention=retention(until), legal_hold=hold
            ),
            lambda: self.model.create_upload(key, tags, storage_class, until, hold),
        )
        if both is not None:
            upload_id = both[0].upload_id
            self.model.uploads[upload_id], self.upload_keys[upload_id] = both[1], key
            if body is not None:
                self.store.put_part(BUCKET, key, upload_id, 1, BODIES[body])
                both[1].part = BODIES[body]

    def copy_part(self) -> None:
        if not self.model.uploads:
            return
        upload_id, (source, version_id) = self.one(list(self.model.uploads)), self.which()
        upload = self.model.uploads[upload_id]
        both = self.ask(
            lambda: self.store.copy_part(
                BUCKET, source, BUCKET, upload.key, upload_id, 1, source_version_id=version_id
            ),
            lambda: self.model.source(source, version_id),
        )  # fmt: skip
        if both is not None:
            upload.part = both[1].body

    def complete(self) -> None:
        """Those that are under way, and those that are not any more."""
        if not self.upload_keys:
            return
        upload_id = self.one(self.one([list(self.model.uploads), list(self.upload_keys)]) or list(self.upload_keys))
        condition, other = self.one(CONDITIONS), self.one([None, None, None, "0" * 32])
        upload, made = self.model.uploads.get(upload_id), self.model.completed.get(upload_id)
        part = upload.part if upload is not None else made and made.body
        etag = other or md5(part or b"")
        key = self.upload_keys[upload_id]
        both = self.ask(
            lambda: self.store.complete_upload(
                BUCKET, key, upload_id, [CompletedPart(number=1, etag=etag)], condition=written_if(condition)
            ),
            lambda: self.model.complete(upload_id, etag, condition),
        )
        if both is not None:
            self.learn(both[1], both[0].version_id)
            assert head_seen(both[0]) == both[1].seen

    def abort(self) -> None:
        if not self.model.uploads:
            return
        upload_id = self.one(list(self.model.uploads))
        self.store.abort_upload(BUCKET, self.upload_keys[upload_id], upload_id)
        del self.model.uploads[upload_id]

    # -- what goes with a version

    def put_tags(self) -> None:
        (key, version_id), tags = self.which(), self.one(TAG_SETS)
        self.ask(
            lambda: (
                self.store.put_object_tags(BUCKET, key, tags, version_id=version_id)
                if tags
                else self.store.delete_object_tags(BUCKET, key, version_id=version_id)
            ),
            lambda: self.model.put_tags(key, version_id, tags),
        )

    def put_retention(self) -> None:
        (key, version_id), bypass = self.which(lambda one: one.lock is not None), self.one([False, True])
        until = self.lock() if self.one([True, True, False]) else None
        self.ask(
            lambda: self.store.put_object_retention(
                BUCKET, key, retention(until), version_id=version_id, bypass_governance=bypass
            ),
            lambda: self.model.put_lock(key, version_id, until, bypass=bypass),
        )

    def put_hold(self) -> None:
        (key, version_id), hold = self.which(lambda one: one.hold is not None), self.one([False, False, True])
        self.ask(
            lambda: self.store.put_object_legal_hold(BUCKET, key, hold, version_id=version_id),
            lambda: self.model.put_hold(key, version_id, hold),
        )

    def restore(self) -> None:
        (key, version_id), days = self.which(lambda one: one.is_archived(self.time_ms)), self.one([1, 1, 3])
        both = self.ask(
            lambda: self.store.restore_object(BUCKET, key, days=days, version_id=version_id).is_extended,
            lambda: self.model.restore(key, version_id, days),
        )
        assert both is None or both[0] == both[1]

    # -- reads

    def read(self) -> None:
        key, version_id = self.which()
        both = self.ask(lambda: self.read_real(key, version_id), lambda: self.model.read(key, version_id))
        assert both is None or both[0] == both[1]

    def read_real(self, key: str, version_id: str | None) -> tuple[tuple[object, ...], object, bytes | str]:
        head = self.store.head_object(BUCKET, key, version_id=version_id).version
        expiry = head.expiry and (head.expiry.time_ms, head.expiry.rule_id)
        try:
            with self.store.get_object(BUCKET, key, version_id=version_id) as found:
                return head_seen(head), expiry, found.read()
        except InvalidObjectState as error:
            return head_seen(head), expiry, type(error).__name__

    def compare_all(self) -> None:
        store, model = self.store, self.model
        rows = [
            (row.key, row.version_id, row.is_latest, row.is_delete_marker, row.etag, row.size, row.modified_ms,
             row.storage_class)
            for row in store.iter_object_versions(BUCKET)
        ]  # fmt: skip
        assert rows == model.listed()
        current = [key for key in sorted(model.keys) if model.current(key) is not None]
        assert [one.key for one in store.iter_objects(BUCKET)] == current
        for one in model.everything():
            if not one.is_marker:
                assert self.read_real(one.key, one.id) == model.read(one.key, one.id)
        assert {one.upload_id for one in store.iter_uploads(BUCKET)} == set(model.uploads)
        with contextlib.suppress(NoSuchTagSet):
            assert store.get_bucket_tags(BUCKET) == model.tags
        with contextlib.suppress(NoSuchLifecycle):
            assert list(store.get_bucket_lifecycle(BUCKET).rules) == list(map(lifecycle_rule, model.rules))


#: How often each step is drawn.
STEPS = {
    "put": 10, "copy": 5, "delete": 8, "delete_many": 3, "create_upload": 3, "copy_part": 1, "complete": 4,
    "abort": 0.5, "wait": 3, "run_lifecycle": 6, "sweep": 0.5, "put_tags": 3, "put_retention": 3, "put_hold": 2,
    "restore": 3, "read": 3, "compare_all": 1, "put_rules": 2, "delete_rules": 0.3, "put_versioning": 1,
    "put_default": 1, "put_bucket_tags": 0.3, "delete_bucket": 0.2,
}  # fmt: skip


class FolderMachine(BucketMachine):
    """The store is also closed and opened again."""

    def open(self) -> Store:
        self.folder = Path(self.exits.enter_context(tempfile.TemporaryDirectory(prefix="bleepstore-model-")))
        return self.open_again()

    def open_again(self) -> Store:
        return bleepstore.open(
            self.folder, clock=lambda: self.time_ms, inline_limit=INLINE_LIMIT, upload_expiry=dt.timedelta(9999)
        )


KINDS: dict[str, type[BucketMachine]] = {"memory": BucketMachine, "folder": FolderMachine}
#: Random sequences of the default run, and of the long one.
EXAMPLES = {"memory": 40, "folder": 4}
LONG = {"memory": 1960, "folder": 40}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_is_like_its_model(kind: str) -> None:
    run_examples(KINDS[kind], EXAMPLES[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_is_like_its_model_for_long(kind: str, record_property: Callable[[str, object], None]) -> None:
    """100,000 steps."""
    run_new_examples(KINDS[kind], LONG[kind], f"random operations on one bucket, {kind}", record_property)
