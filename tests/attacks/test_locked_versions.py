"""No way leads past an object lock: whatever is tried, by whomever, a version that is locked stays as it is.

"An object version that is protected by a legal hold or a retention period in compliance mode can't be overwritten or
deleted by any user, including the root user" ("Locking objects with Object Lock").
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import bleepstore
from bleepstore import (
    Caller,
    DefaultRetention,
    DeleteEntry,
    Expiration,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    ObjectLock,
    Retention,
    RetentionMode,
    Store,
    Versioning,
)
from bleepstore.errors import AccessDenied, BleepStoreError, InvalidBucketState, ObjectLocked, StoreError
from bleepstore.testing.clock import Clock
from bleepstore_server.cli import main
from tests.server.conftest import ALICE, BOB, Server
from tests.server.tools import Wire

#: Clients sign by the system's clock.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)
BODIES = {"inline": b"precious", "blob": b"precious" * 20_000}
LOCKS: dict[str, dict[str, Any]] = {
    "governance": {"retention": Retention.governance(NOW + 300 * DAY)},
    "compliance": {"retention": Retention.compliance(NOW + 300 * DAY)},
    "held": {"legal_hold": True},
}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    with bleepstore.open(clock=clock, acl_defaults="legacy") as opened:
        opened.create_bucket("photos", object_lock=True, caller=Caller(ALICE))
        yield opened


class Locked:
    """A version of each lock and size, some of them the latest of their keys and some not."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.versions: dict[tuple[str, str], tuple[bytes, Any]] = {}
        for lock, options in LOCKS.items():
            for size, body in BODIES.items():
                for order in ("first", "last"):
                    key = f"{lock}/{size}/{order}"
                    if order == "last":
                        store.put_object("photos", key, b"older")
                    version_id = store.put_object("photos", key, body, **options).version_id
                    if order == "first":
                        store.put_object("photos", key, b"newer")
                    self.versions[key, version_id] = body, options

    def check(self) -> None:
        self.store.sweep(grace=dt.timedelta())
        for (key, version_id), (body, options) in self.versions.items():
            with self.store.get_object("photos", key, version_id=version_id) as found:
                assert found.read() == body
                for name, value in options.items():
                    assert getattr(found.version, name) == value


@pytest.fixture
def locked(store: Store) -> Locked:
    return Locked(store)


def test_no_delete_removes_it(locked: Locked, store: Store) -> None:
    """By nobody; of what is held or kept in compliance mode not even with a bypass."""
    for key, version_id in locked.versions:
        bypasses = [False] if key.startswith("governance") else [False, True]
        for bypass in bypasses:
            for caller in (None, Caller(ALICE), Caller(BOB), bleepstore.ANONYMOUS):
                with pytest.raises((ObjectLocked, AccessDenied)):
                    store.delete_object(
                        "photos", key, version_id=version_id, bypass_governance=bypass, caller=caller
                    )  # fmt: skip
            twice = [DeleteEntry(key=key, version_id=version_id)] * 2
            with contextlib.suppress(AccessDenied):
                outcomes = store.delete_objects("photos", twice, bypass_governance=bypass, caller=Caller(ALICE))
                assert all(isinstance(one, bleepstore.DeleteFailure) for one in outcomes)
    locked.check()


def test_a_grant_of_the_bucket_bypasses_nothing(locked: Locked, server: Server) -> None:
    """Who may write may still not remove a version, whatever header is sent along."""
    server.store.put_bucket_acl("photos", bleepstore.CannedAcl.PUBLIC_READ_WRITE, caller=Caller(ALICE))
    bob = Wire(server.url, access_key="bob", secret_key="bob-secret")
    for key, version_id in locked.versions:
        for value in ("true", "TRUE", "1"):
            headers = {"x-amz-bypass-governance-retention": value}
            assert bob.send("DELETE", f"/photos/{key}?versionId={version_id}", b"", headers).status == 403
            entry = f"<Object><Key>{key}</Key><VersionId>{version_id}</VersionId></Object>"
            answer = bob.send("POST", "/photos?delete", f"<Delete>{entry}</Delete>".encode(), headers)
            assert b"<Deleted>" not in answer.body
    locked.check()


def test_no_other_write_of_the_key_touches_it(locked: Locked, store: Store) -> None:
    for key, version_id in locked.versions:
        store.put_object("photos", key, b"other")
        store.copy_object("photos", key, "photos", key, source_version_id=version_id, replace_metadata=True)
        upload = store.create_upload("photos", key)
        part = store.put_part("photos", key, upload.upload_id, 1, b"other")
        done = [bleepstore.CompletedPart(number=1, etag=part.etag)]
        made = store.complete_upload("photos", key, upload.upload_id, done)
        store.delete_object("photos", key, version_id=made.version_id)
        store.delete_object("photos", key)
        aborted = store.create_upload("photos", key)
        store.copy_part("photos", key, "photos", key, aborted.upload_id, 1, source_version_id=version_id)
        store.abort_upload("photos", key, aborted.upload_id)
    locked.check()


def test_no_copy_that_goes_takes_its_bytes(locked: Locked, store: Store) -> None:
    store.create_bucket("other")
    for key, version_id in locked.versions:
        store.copy_object("photos", key, "other", key, source_version_id=version_id)
        store.delete_object("other", key)
    store.delete_bucket("other")
    locked.check()


def test_no_change_of_the_bucket_frees_it(locked: Locked, store: Store) -> None:
    for attempt in (
        lambda: store.put_bucket_versioning("photos", Versioning.SUSPENDED),
        lambda: store.delete_bucket("photos"),
        lambda: store.create_bucket("photos", caller=Caller(ALICE)),
    ):
        with pytest.raises(BleepStoreError):
            attempt()
    store.put_bucket_object_lock("photos", ObjectLock(DefaultRetention(RetentionMode.GOVERNANCE, days=1)))
    store.put_bucket_object_lock("photos", ObjectLock())
    locked.check()
    assert store.get_bucket_versioning("photos") is Versioning.ENABLED


def test_a_lock_is_not_made_less(locked: Locked, store: Store) -> None:
    """Shorter, of the other mode, or none: for governance only with a bypass, which no stranger has."""
    store.put_bucket_acl("photos", bleepstore.CannedAcl.PUBLIC_READ_WRITE, caller=Caller(ALICE))
    less = [None, Retention.governance(NOW + DAY), Retention.compliance(NOW + DAY), Retention.governance(NOW)]
    for key, version_id in locked.versions:
        if key.startswith("held"):
            less.append(None)
            for caller in (Caller(BOB), bleepstore.ANONYMOUS):
                with pytest.raises(AccessDenied):
                    store.put_object_legal_hold("photos", key, False, version_id=version_id, caller=caller)
            continue
        for retention in less:
            for caller in (Caller(ALICE), Caller(BOB)):
                bypasses = caller.account == BOB or key.startswith("compliance")
                with pytest.raises(BleepStoreError):
                    store.put_object_retention(
                        "photos", key, retention, version_id=version_id, bypass_governance=bypasses, caller=caller
                    )
    locked.check()


def test_no_lifecycle_removes_it(locked: Locked, store: Store, clock: Clock) -> None:
    rules = [
        LifecycleRule(expiration=Expiration(days=1), noncurrent_expiration=NoncurrentExpiration(days=1)),
        LifecycleRule(filter=LifecycleFilter(prefix="h"), expiration=Expiration(date=NOW.date())),
        LifecycleRule(filter=LifecycleFilter(size_greater_than=0), noncurrent_expiration=NoncurrentExpiration(days=1)),
        LifecycleRule(expiration=Expiration(expired_object_delete_marker=True)),
    ]
    store.put_bucket_lifecycle("photos", rules)
    for days in (2, 2, 30, 200):
        clock.advance(days=days)
        store.jobs.run("lifecycle")
    locked.check()
    rows = list(store.iter_object_versions("photos"))
    assert {(row.key, row.version_id) for row in rows if not row.is_delete_marker} == set(locked.versions)
    # What a legal hold keeps, it keeps for ever.
    clock.advance(days=365 * 100)
    store.jobs.run("lifecycle")
    for key, version_id in locked.versions:
        if key.startswith("held"):
            assert store.get_object_legal_hold("photos", key, version_id=version_id)


def test_the_null_version_is_kept_as_others_are(store: Store) -> None:
    """It is from before its bucket kept versions. Nothing replaces it, for a bucket with locks is never suspended."""
    store.create_bucket("old")
    store.put_object("old", "k", b"precious")
    store.put_bucket_versioning("old", Versioning.ENABLED)
    store.put_bucket_versioning("old", Versioning.SUSPENDED)
    store.put_bucket_versioning("old", Versioning.ENABLED)
    store.put_bucket_object_lock("old", ObjectLock())
    store.put_object_legal_hold("old", "k", True, version_id="null")
    with pytest.raises(InvalidBucketState):
        store.put_bucket_versioning("old", Versioning.SUSPENDED)
    store.put_object("old", "k", b"2")
    store.delete_object("old", "k")
    with pytest.raises(ObjectLocked):
        store.delete_object("old", "k", version_id="null", bypass_governance=True)
    with store.get_object("old", "k", version_id="null") as found:
        assert found.read() == b"precious"


def test_a_clock_that_moves_frees_what_is_over_and_no_more(locked: Locked, store: Store, clock: Clock) -> None:
    """Ahead by less than the locks, and back: neither then nor later is anything removed."""
    with clock.shifted(days=299):
        test_no_delete_removes_it(locked, store)
        store.jobs.run("lifecycle")
    with clock.shifted(days=-3000):
        test_no_delete_removes_it(locked, store)
        store.jobs.run("lifecycle")
        with pytest.raises(BleepStoreError):  # what is over by the latest time of the store is over
            store.put_object("photos", "k", b"", retention=Retention.compliance(NOW - 2000 * DAY))
    test_no_delete_removes_it(locked, store)


def test_a_default_retention_counts_from_the_latest_time(store: Store, clock: Clock) -> None:
    """A clock that was set back for a moment makes no lock that is over too soon."""
    store.put_bucket_object_lock("photos", ObjectLock(DefaultRetention(RetentionMode.COMPLIANCE, days=10)))
    store.put_object("photos", "first", b"1")
    with clock.shifted(days=-100):
        version_id = store.put_object("photos", "k", b"1").version_id
    assert store.get_object_retention("photos", "k").until >= NOW + 10 * DAY
    with pytest.raises(ObjectLocked):
        store.delete_object("photos", "k", version_id=version_id)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_no_snapshot_takes_what_was_locked_while_it_was_restored(kind: str, tmp_path: Path) -> None:
    """A locked version that was acknowledged before the snapshot's contents came is not lost by them."""
    interval, lost = sys.getswitchinterval(), 0
    sys.setswitchinterval(1e-6)
    try:
        for attempt in range(60 if kind == "memory" else 6):
            with bleepstore.open(None if kind == "memory" else tmp_path / str(attempt)) as store:
                lost += _restore_during_a_write(store)
    finally:
        sys.setswitchinterval(interval)
    assert lost == 0


def _restore_during_a_write(store: Store) -> int:
    store.create_bucket("photos", object_lock=True)
    begun = threading.Barrier(2)
    written: list[str] = []

    def write() -> None:
        begun.wait()
        with contextlib.suppress(BleepStoreError):  # refused is not acknowledged
            written.append(store.put_object("photos", "k", b"1", legal_hold=True).version_id)

    with store.snapshot() as snapshot:
        thread = threading.Thread(target=write)
        thread.start()
        begun.wait()
        with contextlib.suppress(StoreError):
            store.restore(snapshot)
        thread.join()
    return len(set(written) - {row.version_id for row in store.iter_object_versions("photos")})


def test_a_fork_and_a_snapshot_leave_it_alone(locked: Locked, store: Store) -> None:
    with store.snapshot() as snapshot:
        with store.fork() as fork:
            for key, version_id in locked.versions:
                if key.startswith("governance"):
                    fork.delete_object("photos", key, version_id=version_id, bypass_governance=True)
            fork.sweep(grace=dt.timedelta())
        locked.check()
        store.restore(snapshot)
    locked.check()


def test_no_transfer_removes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sync that deletes what its source has not makes delete markers."""
    (tmp_path / "empty").mkdir()
    with bleepstore.open(tmp_path / "data") as store:
        store.create_bucket("photos", object_lock=True)
        version_id = store.put_object("photos", "k", b"precious", legal_hold=True).version_id
    data = ["--data", str(tmp_path / "data")]
    main(["sync", str(tmp_path / "empty"), "bleepstore://photos", *data, "--delete"])
    main(["fsck", "--repair", *data])
    capsys.readouterr()
    with bleepstore.open(tmp_path / "data") as store:
        store.sweep(grace=dt.timedelta())
        with store.get_object("photos", "k", version_id=version_id) as found:
            assert found.read() == b"precious"


def lock_configuration(inner: str) -> bytes:
    return f"<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>".encode()


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", "?versioning", b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"),
        ("PUT", "?object-lock", lock_configuration("")),
        ("PUT", "?object-lock", lock_configuration("<ObjectLockEnabled>Disabled</ObjectLockEnabled>")),
        ("DELETE", "?object-lock", b""),
        ("DELETE", "", b""),
    ],
    ids=["suspend", "no lock", "disabled", "delete the lock", "delete the bucket"],
)  # fmt: skip
def test_no_request_takes_the_lock_of_the_bucket(
    locked: Locked, server: Server, method: str, target: str, body: bytes
) -> None:
    answer = Wire(server.url).send(method, f"/photos{target}", body)
    assert answer.status in (400, 405, 409, 501)
    assert server.store.get_bucket_object_lock("photos") == ObjectLock()
    locked.check()


def test_s3_says_so(locked: Locked, server: Server) -> None:
    s3 = server.client()
    for key, version_id in locked.versions:
        with pytest.raises(ClientError, match="Access Denied because object protected by object lock"):
            s3.delete_object(Bucket="photos", Key=key, VersionId=version_id)
    s3.close()
    locked.check()
