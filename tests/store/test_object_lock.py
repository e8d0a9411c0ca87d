"""Object lock, by the Python API: what keeps a version from being removed, until when, and who may change that."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import (
    Caller,
    CannedAcl,
    CompletedPart,
    DefaultRetention,
    DeletedObject,
    DeleteEntry,
    DeleteFailure,
    ObjectLock,
    Owner,
    Retention,
    RetentionMode,
    Store,
    Versioning,
    errors,
)
from bleepstore.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidBucketState,
    InvalidRequest,
    InvalidRetentionPeriod,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchObjectLock,
    NoSuchVersion,
    ObjectLocked,
    ObjectLockNotConfigured,
)

pytestmark = pytest.mark.stores("cluster")

ALICE, BOB = Caller(Owner("alice-id", "Alice")), Caller(Owner("bob-id", "Bob"))
GOVERNANCE, COMPLIANCE = RetentionMode.GOVERNANCE, RetentionMode.COMPLIANCE
DAY = dt.timedelta(days=1)
BIG = random.Random(4).randbytes(300_000)
START = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)


def soon(days: float = 1) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + days * DAY


def governance(days: float = 1) -> Retention:
    return Retention.governance(soon(days))


def compliance(days: float = 1) -> Retention:
    return Retention.compliance(soon(days))


@pytest.fixture
def locked(store: Store, store_kind: str) -> Store:
    """With the bucket photos of Alice, whose versions can be locked."""
    if store_kind.endswith("-keys"):
        pytest.skip("one object is stored under each key")
    store.create_bucket("photos", object_lock=True, caller=ALICE)
    return store


def put(store: Store, body: bytes = b"1", **options: Any) -> str:
    """The id of the new version."""
    return store.put_object("photos", "k", body, **options).version_id


def ids(store: Store) -> list[str]:
    return [row.version_id for row in store.iter_object_versions("photos")]


# -- buckets


def test_a_bucket_with_object_lock_keeps_versions(locked: Store) -> None:
    assert locked.get_bucket_versioning("photos") is Versioning.ENABLED
    assert locked.get_bucket_object_lock("photos") == ObjectLock()
    with pytest.raises(InvalidBucketState, match="the versioning state cannot be changed"):
        locked.put_bucket_versioning("photos", Versioning.SUSPENDED)
    locked.put_bucket_versioning("photos", Versioning.ENABLED)


def test_a_bucket_gets_object_lock_once_it_keeps_versions(locked: Store) -> None:
    locked.create_bucket("other")
    lock = ObjectLock(DefaultRetention(GOVERNANCE, days=3))
    with pytest.raises(ObjectLockNotConfigured):
        locked.get_bucket_object_lock("other")
    for versioning in (None, Versioning.SUSPENDED):
        if versioning is not None:
            locked.put_bucket_versioning("other", Versioning.ENABLED)
            locked.put_bucket_versioning("other", versioning)
        with pytest.raises(InvalidBucketState, match="Versioning must be 'Enabled'"):
            locked.put_bucket_object_lock("other", lock)
        with pytest.raises(ObjectLockNotConfigured):
            locked.get_bucket_object_lock("other")
    before = locked.put_object("other", "before", b"1")
    locked.put_bucket_versioning("other", Versioning.ENABLED)
    locked.put_bucket_object_lock("other", lock)
    assert locked.get_bucket_object_lock("other") == lock
    assert locked.head_object("other", "before").version.retention is None
    locked.delete_object("other", "before", version_id=before.version_id)
    locked.put_bucket_object_lock("other", ObjectLock())
    assert locked.get_bucket_object_lock("other") == ObjectLock()


@pytest.mark.parametrize(
    "default",
    [
        DefaultRetention(GOVERNANCE, days=0),
        DefaultRetention(GOVERNANCE, days=-1),
        DefaultRetention(COMPLIANCE, years=0),
        DefaultRetention(COMPLIANCE, years=101),
        DefaultRetention(COMPLIANCE, days=36_501),
    ],
    ids=str,
)
def test_a_default_retention_is_within_s3s_limits(locked: Store, default: DefaultRetention) -> None:
    with pytest.raises(InvalidRetentionPeriod):
        locked.put_bucket_object_lock("photos", ObjectLock(default))
    assert locked.get_bucket_object_lock("photos") == ObjectLock()


def test_a_default_retention_has_days_or_years() -> None:
    for wrong in ({}, {"days": 1, "years": 1}):
        with pytest.raises(ValueError, match="either days or years"):
            DefaultRetention(GOVERNANCE, **wrong)
    with pytest.raises(TypeError):
        DefaultRetention("GOVERNANCE", days=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="time zone"):
        Retention.governance(dt.datetime(2030, 1, 1))  # that is what is wrong
    with pytest.raises(ValueError, match="9999"):
        Retention(GOVERNANCE, 10**18)


def test_a_bucket_with_a_locked_version_is_not_deleted(locked: Store) -> None:
    put(locked, retention=compliance())
    locked.delete_object("photos", "k")
    with pytest.raises(errors.BucketNotEmpty):
        locked.delete_bucket("photos")


# -- what protects a version


@pytest.mark.parametrize("body", [b"small", BIG], ids=["inline", "blob"])
@pytest.mark.parametrize(
    "options",
    [{"retention": governance(3)}, {"retention": compliance(3)}, {"legal_hold": True}],
    ids=["governance", "compliance", "held"],
)
def test_a_locked_version_is_not_deleted(locked: Store, body: bytes, options: dict[str, Any]) -> None:
    version_id = put(locked, body, **options)
    with pytest.raises(ObjectLocked) as refused:
        locked.delete_object("photos", "k", version_id=version_id)
    assert refused.value.code == "AccessDenied"
    (outcome,) = locked.delete_objects("photos", [DeleteEntry(key="k", version_id=version_id)])
    assert outcome == DeleteFailure(key="k", version_id=version_id, error=ObjectLocked())
    # Neither an overwrite nor a delete without an id removes anything.
    later = put(locked, b"2")
    marker = locked.delete_object("photos", "k").delete_marker_id
    assert ids(locked) == [marker, later, version_id]
    locked.sweep(grace=dt.timedelta())
    with locked.get_object("photos", "k", version_id=version_id) as found:
        assert found.read() == body
        assert (found.version.retention, found.version.legal_hold) == (
            options.get("retention"),
            options.get("legal_hold"),
        )
    # What is not locked goes, and so does the marker.
    for unlocked in (later, marker):
        locked.delete_object("photos", "k", version_id=unlocked)
    assert ids(locked) == [version_id]


def test_of_many_entries_the_locked_ones_fail_alone(locked: Store) -> None:
    free, held = put(locked), put(locked, legal_hold=True)
    kept, released = put(locked, retention=governance()), put(locked, legal_hold=False)
    entries = [DeleteEntry(key="k", version_id=one) for one in (free, held, kept, released)]
    outcomes = locked.delete_objects("photos", entries, bypass_governance=False)
    assert [isinstance(outcome, DeletedObject) for outcome in outcomes] == [True, False, False, True]
    outcomes = locked.delete_objects("photos", entries, bypass_governance=True)
    assert [isinstance(outcome, DeletedObject) for outcome in outcomes] == [True, False, True, True]
    assert ids(locked) == [held]


@pytest.mark.legacy_acls
def test_governance_may_be_bypassed_and_nothing_else(locked: Store) -> None:
    cases = {
        put(locked, retention=governance()): True,
        put(locked, retention=compliance()): False,
        put(locked, legal_hold=True): False,
        put(locked, retention=governance(), legal_hold=True): False,
    }
    for version_id, goes in cases.items():
        with pytest.raises(ObjectLocked):
            locked.delete_object("photos", "k", version_id=version_id)
        if goes:
            locked.delete_object("photos", "k", version_id=version_id, bypass_governance=True)
        else:
            with pytest.raises(ObjectLocked):
                locked.delete_object("photos", "k", version_id=version_id, bypass_governance=True)
        assert (version_id in ids(locked)) is not goes


# -- retention


def test_the_retention_of_a_version_is_its_own(locked: Store) -> None:
    first, second = put(locked), put(locked)
    with pytest.raises(NoSuchObjectLock):
        locked.get_object_retention("photos", "k")
    until = compliance(2)
    changed = locked.put_object_retention("photos", "k", until, version_id=first)
    assert changed.retention == until == locked.get_object_retention("photos", "k", version_id=first)
    with pytest.raises(NoSuchObjectLock):
        locked.get_object_retention("photos", "k", version_id=second)
    locked.put_object_retention("photos", "k", governance())
    assert locked.get_object_retention("photos", "k", version_id=second).mode is GOVERNANCE
    assert locked.head_object("photos", "k", version_id=first).version.modified_ms == changed.modified_ms


#: (of the version, what is asked for, without bypass, with it): whether it is allowed.
CHANGES: list[tuple[Retention, Retention | None, bool, bool]] = [
    (governance(5), governance(6), True, True),
    (governance(5), governance(4), False, True),
    (governance(5), None, False, True),
    (governance(5), compliance(6), False, True),
    (compliance(5), compliance(6), True, True),
    (compliance(5), compliance(4), False, False),
    (compliance(5), governance(6), False, False),
    (compliance(5), None, False, False),
]


def change_id(change: tuple[Retention, Retention | None, bool, bool]) -> str:
    old, new, *_ = change
    if new is None:
        return f"{old.mode}-none"
    return f"{old.mode}-{'longer' if new.until_ms > old.until_ms else 'shorter'}-{new.mode}"


@pytest.mark.parametrize("bypass", [False, True], ids=["", "bypass"])
@pytest.mark.parametrize("change", CHANGES, ids=change_id)
def test_a_retention_that_is_not_over(
    locked: Store, change: tuple[Retention, Retention | None, bool, bool], bypass: bool
) -> None:
    old, new, *allowed = change
    version_id = put(locked, retention=old)
    try:
        locked.put_object_retention("photos", "k", new, version_id=version_id, bypass_governance=bypass)
    except ObjectLocked:
        assert not allowed[bypass]
        assert locked.get_object_retention("photos", "k") == old
    else:
        assert allowed[bypass]
        assert locked.head_object("photos", "k").version.retention == new


def test_the_same_retention_again_is_allowed(locked: Store) -> None:
    until = compliance(5)
    put(locked, retention=until)
    locked.put_object_retention("photos", "k", until)
    assert locked.get_object_retention("photos", "k") == until


def test_a_retention_is_in_the_future(locked: Store) -> None:
    over = Retention.governance(soon(-1))
    writes: list[Callable[[], object]] = [
        lambda: put(locked, retention=over),
        lambda: locked.create_upload("photos", "k", retention=over),
        lambda: locked.put_object_retention("photos", "source", over),
        lambda: locked.copy_object("photos", "source", "photos", "k", retention=over),
    ]
    locked.put_object("photos", "source", b"1")
    for write in writes:
        with pytest.raises(InvalidArgument, match="must be in the future!"):
            write()
    assert len(ids(locked)) == 1
    assert locked.list_uploads("photos").uploads == []


def test_a_legal_hold_is_put_and_taken_away(locked: Store) -> None:
    version_id = put(locked, retention=governance())
    with pytest.raises(NoSuchObjectLock):
        locked.get_object_legal_hold("photos", "k")
    for is_held in (True, False, True):
        assert locked.put_object_legal_hold("photos", "k", is_held).legal_hold is is_held
        assert locked.get_object_legal_hold("photos", "k", version_id=version_id) is is_held
    with pytest.raises(ObjectLocked):
        locked.delete_object("photos", "k", version_id=version_id, bypass_governance=True)
    locked.put_object_legal_hold("photos", "k", False)
    locked.delete_object("photos", "k", version_id=version_id, bypass_governance=True)


# -- how versions get their locks


def uploaded(store: Store, **options: Any) -> bleepstore.ObjectVersion:
    upload = store.create_upload("photos", "k", **options)
    part = store.put_part("photos", "k", upload.upload_id, 1, BIG)
    return store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])


def copied(store: Store, **options: Any) -> bleepstore.ObjectVersion:
    store.create_bucket("source")
    store.put_object("source", "k", b"1")
    return store.copy_object("source", "k", "photos", "k", **options)


def written(store: Store, **options: Any) -> bleepstore.ObjectVersion:
    return store.put_object("photos", "k", b"1", **options)


WRITES = pytest.mark.parametrize("write", [written, uploaded, copied])
Write = Callable[..., bleepstore.ObjectVersion]


@WRITES
def test_every_write_takes_locks(locked: Store, write: Write) -> None:
    until = compliance(3)
    made = write(locked, retention=until, legal_hold=True)
    found = locked.head_object("photos", "k").version
    assert (made.retention, made.legal_hold) == (found.retention, found.legal_hold) == (until, True)


@WRITES
def test_every_write_gets_the_default_retention(locked: Store, write: Write) -> None:
    locked.put_bucket_object_lock("photos", ObjectLock(DefaultRetention(COMPLIANCE, days=2)))
    made = write(locked)
    assert made.retention == Retention(COMPLIANCE, made.modified_ms + 2 * 24 * 3600 * 1000)
    assert locked.get_object_retention("photos", "k") == made.retention
    with pytest.raises(ObjectLocked):
        locked.delete_object("photos", "k", version_id=made.version_id)


@WRITES
def test_a_retention_of_its_own_is_instead_of_the_default(locked: Store, write: Write) -> None:
    locked.put_bucket_object_lock("photos", ObjectLock(DefaultRetention(COMPLIANCE, days=2)))
    until = governance(1)
    made = write(locked, retention=until, legal_hold=True)
    assert made.retention == until == locked.get_object_retention("photos", "k")


@WRITES
def test_locks_need_a_bucket_with_object_lock(store: Store, write: Write) -> None:
    store.create_bucket("photos")
    for options in ({"retention": governance()}, {"legal_hold": True}, {"legal_hold": False}):
        with pytest.raises(InvalidRequest, match="Bucket is missing Object Lock Configuration"):
            write(store, **options)
        if write is copied:
            store.delete_object("source", "k")
            store.delete_bucket("source")
    assert store.list_objects("photos").objects == []


def test_a_copy_has_no_lock_of_its_source(locked: Store) -> None:
    put(locked, retention=compliance(), legal_hold=True)
    made = locked.copy_object("photos", "k", "photos", "copy")
    assert (made.retention, made.legal_hold) == (None, None)
    locked.delete_object("photos", "copy", version_id=made.version_id)


def test_what_has_no_lock_says_so(locked: Store) -> None:
    locked.create_bucket("plain")
    locked.put_object("plain", "k", b"1")
    calls: list[Callable[..., object]] = [
        locked.get_object_retention,
        locked.get_object_legal_hold,
        lambda bucket, key, **more: locked.put_object_retention(bucket, key, governance(), **more),
        lambda bucket, key, **more: locked.put_object_legal_hold(bucket, key, True, **more),
    ]
    put(locked)
    marker = locked.delete_object("photos", "k").delete_marker_id
    for call in calls:
        with pytest.raises(InvalidRequest, match="Bucket is missing Object Lock Configuration"):
            call("plain", "k")
        with pytest.raises(NoSuchKey):
            call("photos", "k")
        with pytest.raises(NoSuchKey):
            call("photos", "never")
        with pytest.raises(NoSuchVersion):
            call("photos", "k", version_id="x" * 32)
        with pytest.raises(MethodNotAllowed):
            call("photos", "k", version_id=marker)


# -- who may


@pytest.mark.legacy_acls
def test_locks_are_the_owners(locked: Store) -> None:
    locked.put_bucket_acl("photos", CannedAcl.PUBLIC_READ_WRITE, caller=ALICE)
    lock = ObjectLock(DefaultRetention(GOVERNANCE, days=1))
    version_id = put(locked, acl=CannedAcl.PUBLIC_READ, retention=governance(), caller=ALICE)
    locked.put_object_legal_hold("photos", "k", False, caller=ALICE)
    refused: list[Callable[[Caller], object]] = [
        lambda who: locked.put_bucket_object_lock("photos", lock, caller=who),
        lambda who: locked.get_bucket_object_lock("photos", caller=who),
        lambda who: put(locked, retention=governance(), caller=who),
        lambda who: put(locked, legal_hold=True, caller=who),
        lambda who: locked.create_upload("photos", "k", legal_hold=True, caller=who),
        lambda who: locked.get_object_retention("photos", "k", caller=who),
        lambda who: locked.get_object_legal_hold("photos", "k", caller=who),
        lambda who: locked.put_object_retention("photos", "k", governance(9), caller=who),
        lambda who: locked.put_object_legal_hold("photos", "k", True, caller=who),
    ]
    for call in refused:
        for who in (BOB, bleepstore.ANONYMOUS):
            with pytest.raises(AccessDenied):
                call(who)
    assert locked.head_object("photos", "k").version.version_id == version_id
    with pytest.raises(AccessDenied):
        locked.copy_object("photos", "k", "photos", "copy", retention=governance(), caller=BOB)
    for call in refused:
        call(ALICE)


@pytest.mark.legacy_acls
def test_only_the_buckets_owner_bypasses_governance(locked: Store) -> None:
    locked.put_bucket_acl("photos", CannedAcl.PUBLIC_READ_WRITE, caller=ALICE)
    version_id = put(locked, caller=BOB)
    locked.put_object_retention("photos", "k", governance(9), caller=BOB)
    with pytest.raises(ObjectLocked):
        locked.put_object_retention("photos", "k", governance(8), bypass_governance=True, caller=BOB)
    locked.put_object_retention("photos", "k", governance(8), bypass_governance=True, caller=ALICE)
    with pytest.raises(ObjectLocked):
        locked.delete_object("photos", "k", version_id=version_id, caller=ALICE)
    locked.delete_object("photos", "k", version_id=version_id, bypass_governance=True, caller=ALICE)


# -- other ways for a version to go


@pytest.mark.stores("local")
def test_a_fork_and_a_backup_have_the_locks(locked: Store, store_kind: str, tmp_path: Path) -> None:
    if store_kind not in ("memory", "local"):
        pytest.skip("of a store whose bytes are here")
    until = compliance(3)
    version_id = put(locked, retention=until, legal_hold=True)
    locked.backup(tmp_path / "archive")
    bleepstore.restore(tmp_path / "archive", tmp_path / "restored")
    with locked.fork() as fork, bleepstore.open(tmp_path / "restored") as restored:
        for copy in (fork, restored):
            assert copy.get_bucket_object_lock("photos") == ObjectLock()
            found = copy.head_object("photos", "k", version_id=version_id).version
            assert (found.retention, found.legal_hold) == (until, True)
            with pytest.raises(ObjectLocked):
                copy.delete_object("photos", "k", version_id=version_id)


def test_a_store_that_is_opened_again_has_the_locks(tmp_path: Path) -> None:
    until = compliance(3)
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos", object_lock=True)
        version_id = put(store, retention=until)
    with bleepstore.open(tmp_path / "s") as store:
        store.sweep(grace=dt.timedelta())
        assert store.get_object_retention("photos", "k") == until
        with pytest.raises(ObjectLocked):
            store.delete_object("photos", "k", version_id=version_id)


def test_a_wrong_type_is_told(locked: Store) -> None:
    put(locked)
    until: Any = soon()
    for call in (
        lambda: locked.put_object_retention("photos", "k", until),
        lambda: put(locked, retention=until),
        lambda: put(locked, legal_hold="ON"),
        lambda: locked.put_object_legal_hold("photos", "k", "ON"),  # type: ignore[arg-type]
        lambda: locked.put_bucket_object_lock("photos", DefaultRetention(GOVERNANCE, days=1)),  # type: ignore[arg-type]
        lambda: locked.create_bucket("other", object_lock="yes"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            call()
    assert len(ids(locked)) == 1


def test_attributes_carry_locks(locked: Store) -> None:
    given = bleepstore.ObjectAttributes(retention=compliance(2), legal_hold=True)
    made = locked.put_object("photos", "k", b"1", attributes=given)
    assert attrs.evolve(made.attributes) == given == locked.head_object("photos", "k").version.attributes
