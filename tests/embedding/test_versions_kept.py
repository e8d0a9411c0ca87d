"""Copies of a whole store keep all versions, with their tags, locks and archives, and all that buckets are configured
with; and what looks at all bytes looks at those of older versions too."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import (
    DefaultRetention,
    Expiration,
    LifecycleFilter,
    LifecycleRule,
    ObjectLock,
    Retention,
    RetentionMode,
    Store,
    Versioning,
    fsck,
)
from bleepstore.errors import BackupIncomplete, InvalidObjectState, ObjectLocked, S3Error, StoreError

BIG = bytes(range(256)) * 400
Seen = list[tuple[str, str, bool, bool, bytes | None]]
LATER = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """With versions of a small and of a large object, a null version and a delete marker."""
    with bleepstore.open(None if request.param == "memory" else tmp_path / "store") as opened:
        fill(opened)
        yield opened


def fill(store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "k", b"before")
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    for body in (b"1", BIG, BIG[1:], b"4"):
        store.put_object("photos", "k", body)
        store.put_object("photos", "gone", body)
    store.delete_object("photos", "gone")


def seen(store: Store) -> Seen:
    found: Seen = []
    for row in store.iter_object_versions("photos"):
        body = None
        if not row.is_delete_marker:
            with store.get_object("photos", row.key, version_id=row.version_id) as opened:
                body = opened.read()
        found.append((row.key, row.version_id, row.is_latest, row.is_delete_marker, body))
    return found


def test_a_fork_keeps_versions(store: Store, tmp_path: Path) -> None:
    before = seen(store)
    with store.fork() as fork:
        assert seen(fork) == before
        fork.put_object("photos", "k", b"of the fork")
        fork.delete_object("photos", "k", version_id=before[-1][1])
        assert seen(store) == before
    if store.path is not None:
        with store.fork(tmp_path / "fork") as fork:
            assert seen(fork) == before
            assert fork.get_bucket_versioning("photos") is Versioning.ENABLED


def test_a_snapshot_brings_versions_back(store: Store) -> None:
    before = seen(store)
    snapshot = store.snapshot()
    for row in list(store.iter_object_versions("photos")):
        store.delete_object("photos", row.key, version_id=row.version_id)
    store.put_bucket_versioning("photos", Versioning.SUSPENDED)
    assert seen(store) == []
    store.restore(snapshot)
    snapshot.close()
    assert seen(store) == before
    assert store.get_bucket_versioning("photos") is Versioning.ENABLED


def test_a_backup_keeps_versions(store: Store, tmp_path: Path) -> None:
    before = seen(store)
    store.backup(tmp_path / "backup.tar")
    bleepstore.restore(tmp_path / "backup.tar", tmp_path / "restored")
    with bleepstore.open(tmp_path / "restored") as restored:
        assert seen(restored) == before


def test_versions_outlive_the_process(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fill(store)
        store.sweep()
        before = seen(store)
    with bleepstore.open(tmp_path / "store") as store:
        store.sweep()
        assert seen(store) == before
    assert list(fsck(tmp_path / "store")) == []


def damage(store: Store, version_id: str) -> None:
    """Of the large object `k`."""
    with store.engine.catalog.read() as reader:
        found = reader.find_version("photos", "k", version_id, with_data=False)
    assert found is not None
    assert found.handle is not None
    assert store.path is not None
    (path,) = [one for one in store.path.rglob("*") if one.name.startswith(found.handle)]
    path.write_bytes(b"x" * found.version.size)


def test_a_damaged_older_version_is_found(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fill(store)
        older = [row for row in store.iter_object_versions("photos") if row.key == "k" and row.size > 100][-1]
        damage(store, older.version_id)
        assert [(one.key, one.version_id) for one in store.scrub()] == [("k", older.version_id)]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_restore_without_a_damaged_version_goes_on_with_the_next(tmp_path: Path, is_deleted: bool) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fill(store)
        latest = store.put_object("photos", "k", BIG).version_id
        if is_deleted:
            store.delete_object("photos", "k")
        left = [row.version_id for row in store.iter_object_versions("photos") if row.version_id != latest]
        damage(store, latest)
        with pytest.raises(BackupIncomplete):
            store.backup(tmp_path / "backup.tar")
    bleepstore.restore(tmp_path / "backup.tar", tmp_path / "restored", skip_damaged=True)
    with bleepstore.open(tmp_path / "restored") as store:
        assert [row.version_id for row in store.iter_object_versions("photos")] == left
        assert [row.key for row in store.iter_objects("photos")] == ([] if is_deleted else ["k"])
        if not is_deleted:
            with store.get_object("photos", "k") as found:
                assert found.read() == b"4"


# -- all that goes with versions and buckets


def fill_ledger(store: Store) -> None:
    """A bucket with one of everything."""
    store.create_bucket("ledger", object_lock=True)
    store.put_bucket_object_lock("ledger", ObjectLock(DefaultRetention(RetentionMode.GOVERNANCE, days=10)))
    store.put_bucket_tags("ledger", {"team": "post"})
    store.put_bucket_lifecycle(
        "ledger",
        [
            LifecycleRule(id="tmp", filter=LifecycleFilter(prefix="tmp/"), expiration=Expiration(days=30)),
            LifecycleRule(id="uploads", abort_uploads_days=2),
        ],
    )
    store.put_object("ledger", "k", BIG, tags={"a": "1"}, metadata={"m": "1"}, retention=Retention.compliance(LATER))
    store.put_object("ledger", "k", b"held", legal_hold=True, content_type="text/x", cache_control="no-store")
    released = store.put_object("ledger", "k", b"released", legal_hold=True)
    store.put_object_legal_hold("ledger", "k", False, version_id=released.version_id)
    store.delete_object("ledger", "k")
    store.put_object("ledger", "tmp/k", BIG, storage_class="GLACIER")
    store.restore_object("ledger", "tmp/k", days=3)
    store.put_object("ledger", "cold", b"1", storage_class="DEEP_ARCHIVE")
    store.create_upload("ledger", "upload", tags={"u": "1"}, storage_class="STANDARD_IA")


def all_of(store: Store) -> list[Any]:
    """What is in the bucket, as far as it can be seen from outside."""
    bucket = store.head_bucket("ledger")
    found: list[Any] = [bucket.versioning, bucket.settings, bucket.acl, bucket.created_ms]
    found += [store.get_bucket_lifecycle("ledger"), store.get_bucket_object_lock("ledger")]
    for row in store.iter_object_versions("ledger"):
        found.append(row)
        if row.is_delete_marker:
            continue
        found.append(store.head_object("ledger", row.key, version_id=row.version_id).version)
        try:
            with store.get_object("ledger", row.key, version_id=row.version_id) as opened:
                found.append(opened.read())
        except InvalidObjectState as archived:
            found.append(archived.storage_class)
    return [*found, *(upload.attributes for upload in store.list_uploads("ledger").uploads)]


def by_fork(store: Store, folder: Path) -> Store:
    return store.fork(folder)


def by_backup(store: Store, folder: Path) -> Store:
    store.backup(folder.with_suffix(".tar"))
    bleepstore.restore(folder.with_suffix(".tar"), folder)
    return bleepstore.open(folder)


@pytest.mark.parametrize("copy", [by_fork, by_backup])
def test_a_copy_has_all_that_goes_with_versions(tmp_path: Path, copy: Callable[[Store, Path], Store]) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fill_ledger(store)
        before = all_of(store)
        with copy(store, tmp_path / "copy") as copied:
            assert all_of(copied) == before
            check_locked(copied)
            assert all_of(copied) == before
    assert list(fsck(tmp_path / "copy")) == []


def check_locked(store: Store) -> None:
    """By no call of a caller who may bypass what can be bypassed, nor by the lifecycle years later."""
    for row in store.iter_object_versions("ledger", prefix="k"):
        version_id = row.version_id
        if row.is_delete_marker or store.head_object("ledger", "k", version_id=version_id).version.legal_hold is False:
            continue
        with pytest.raises(ObjectLocked):
            store.delete_object("ledger", "k", version_id=version_id)
    with pytest.raises(S3Error):
        store.delete_bucket("ledger")


def test_a_snapshot_brings_all_that_goes_with_versions_back(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fill_ledger(store)
        before = all_of(store)
        with store.snapshot() as snapshot:
            store.put_bucket_tags("ledger", {"team": "other"})
            store.put_bucket_lifecycle("ledger", [LifecycleRule(id="later", expiration=Expiration(days=1))])
            store.put_object_tags("ledger", "cold", {"since": "then"})
            store.restore(snapshot)
        assert all_of(store) == before


@pytest.mark.parametrize("change", ["written", "extended", "held", "strengthened"])
def test_a_snapshot_is_refused_where_it_would_take_a_lock_away(tmp_path: Path, change: str) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fill_ledger(store)
        (cold,) = store.iter_object_versions("ledger", prefix="cold")
        with store.snapshot() as snapshot:
            if change == "written":
                store.put_object("ledger", "since", b"1", retention=Retention.governance(LATER))
            elif change == "held":
                store.put_object_legal_hold("ledger", "cold", True, version_id=cold.version_id)
            else:
                kind = Retention.governance if change == "extended" else Retention.compliance
                store.put_object_retention("ledger", "cold", kind(LATER), bypass_governance=True)
            before = all_of(store)
            with pytest.raises(StoreError, match="protects it less"):
                store.restore(snapshot)
            assert all_of(store) == before
