"""Copies of a whole store keep all versions, and what looks at all bytes looks at those of older versions too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Store, Versioning, fsck
from bleepstore.errors import BackupIncomplete

BIG = bytes(range(256)) * 400
Seen = list[tuple[str, str, bool, bool, bytes | None]]


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
