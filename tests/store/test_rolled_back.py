"""A catalog that does not belong to the blobs beside it: nothing is removed, and it is said."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore.backends.base import BlobSpec, new_blob_id
from bleepstore.backends.local import LocalBackend
from bleepstore.errors import NoSuchKey, StoreError

BIG = b"x" * 100_000
HOUR_MS = 3600 * 1000
START = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def system_clock() -> int:
    return time.time_ns() // 1_000_000


def put(root: Path, *keys: str, clock: Callable[[], int] = system_clock) -> None:
    with bleepstore.open(root, clock=clock) as store:
        if not store.list_buckets().buckets:
            store.create_bucket("photos")
        for key in keys:
            store.put_object("photos", key, BIG)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_catalog(source: Path, target: Path, pattern: str = "catalog*") -> None:
    for path in target.glob("catalog*"):
        path.unlink()
    for path in source.glob(pattern):
        shutil.copy2(path, target)


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_blobs_without_a_catalog_are_refused_and_left_alone(tmp_path: Path, how: str) -> None:
    put(tmp_path, "a", "b")
    before = files(tmp_path / "blobs")
    for path in tmp_path.glob("catalog*"):
        path.unlink()
    if how == "empty":
        (tmp_path / "catalog.db").touch()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"catalog.db is missing.*restore.*fsck --data"):
            bleepstore.open(tmp_path)
    assert files(tmp_path / "blobs") == before


def test_a_young_store_that_was_copied_without_its_log_is_refused_and_whole_with_it(tmp_path: Path) -> None:
    """All of its catalog is in `catalog.db-wal` as long as it is open."""
    root, copy, log = tmp_path / "store", tmp_path / "copy", tmp_path / "log"
    with bleepstore.open(root) as store:
        store.create_bucket("photos")
        store.put_object("photos", "a", BIG)
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("catalog.db-*"))
        shutil.copy(root / "catalog.db-wal", log)
    assert [finding.kind for finding in bleepstore.fsck(copy)] == ["no catalog", "unknown"]
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"catalog.db is missing or empty.*with the catalog.db-wal that was"):
            bleepstore.open(copy, read_only=read_only)
    shutil.copy(log, copy / "catalog.db-wal")
    with bleepstore.open(copy) as store, store.get_object("photos", "a") as found:
        assert found.read() == BIG


@pytest.mark.parametrize("pattern", ["catalog.db", "catalog*"])
def test_blobs_newer_than_the_catalog_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pattern: str
) -> None:
    root, older = tmp_path / "store", tmp_path / "older"
    older.mkdir()
    put(root, "old")
    copy_catalog(root, older, pattern)
    known = files(root / "blobs")
    put(root, *(f"new{number}" for number in range(5)))
    new = {name: data for name, data in files(root / "blobs").items() if name not in known}
    copy_catalog(older, root)
    with caplog.at_level(logging.WARNING, "bleepstore.store"), bleepstore.open(root) as store:
        assert [entry.key for entry in store.list_objects("photos").objects] == ["old"]
        with store.get_object("photos", "old") as found:
            assert found.read() == BIG
        store.sweep()
    assert files(root / "quarantine") == new
    assert len(new) == 5
    assert f"5 files that it does not know were moved to {root / 'quarantine'}" in caplog.text
    caplog.clear()
    put(root, "later")
    assert caplog.records == [], "it is said once"


def test_a_catalog_that_lost_its_log_loses_no_bytes(tmp_path: Path) -> None:
    """`catalog.db` copied while a server runs, without `catalog.db-wal`."""
    root, copy = tmp_path / "store", tmp_path / "copy"
    put(root, "a")
    with bleepstore.open(root) as store:
        store.put_object("photos", "b", BIG)
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("catalog.db-*"))
    with bleepstore.open(copy) as store, pytest.raises(NoSuchKey):
        store.head_object("photos", "b")
    assert list(files(copy / "quarantine").values()) == [BIG]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A store of two objects with the catalog and the mark of another one, which is further on."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    put(mine, "a", "b")
    put(other, *"abcdefghij")
    copy_catalog(other, mine)
    shutil.copy2(other / "blobs.mark", mine)
    return mine


def test_another_stores_catalog_is_refused_and_removes_nothing(mixed: Path) -> None:
    before = files(mixed)
    for _ in range(2):
        for read_only in (False, True):
            with pytest.raises(StoreError, match=r"another store.*nothing was removed.*catalog.db back.*--repair"):
                bleepstore.open(mixed, read_only=read_only)
    assert files(mixed / "blobs") == {name: before[name] for name in files(mixed / "blobs")}
    assert len(files(mixed / "blobs")) == 2 + 1, "two blobs, and whose they are"
    assert not (mixed / "quarantine").exists()


@pytest.mark.parametrize("text", [b"", b"x"])
def test_what_is_no_id_is_nobodys(mixed: Path, text: bytes) -> None:
    (mixed / "blobs/catalog.id").write_bytes(text)
    before = files(mixed / "blobs")
    with pytest.raises(StoreError, match="another store"):
        bleepstore.open(mixed)
    assert files(mixed / "blobs") == before


def test_another_stores_catalog_can_be_gone_on_with_after_a_repair(mixed: Path) -> None:
    found = bleepstore.fsck(mixed, repair=True)
    assert sorted({finding.kind for finding in found}) == ["another store", "missing", "unknown"]
    assert list(files(mixed / "quarantine").values()) == [BIG] * 2
    put(mixed, "c")
    put(mixed)
    assert {finding.kind for finding in bleepstore.fsck(mixed)} == {"missing"}


def test_another_stores_catalog_sets_blobs_without_an_id_aside(tmp_path: Path) -> None:
    """As those of a folder are that an earlier version wrote. Also if it is further on than the right one."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    put(mine, "a", "b")
    put(other, *"abcdefghij")
    (mine / "blobs/catalog.id").unlink()
    before = files(mine / "blobs")
    copy_catalog(other, mine)
    put(mine)
    assert files(mine / "quarantine") == before
    assert (mine / "blobs/catalog.id").read_bytes() == (other / "blobs/catalog.id").read_bytes()


@pytest.mark.parametrize("how", ["fork", "backup"])
def test_the_catalog_of_a_copy_is_that_of_another_store(tmp_path: Path, how: str) -> None:
    root, copy = tmp_path / "store", tmp_path / "copy"
    put(root, "old")
    with bleepstore.open(root) as store:
        if how == "fork":
            store.fork(copy).close()
        else:
            store.backup(tmp_path / "archive")
            bleepstore.restore(tmp_path / "archive", copy)
    put(root, "new")
    put(copy, "other", "another")
    before = files(root / "blobs")
    copy_catalog(copy, root)
    shutil.copy2(copy / "blobs.mark", root)
    with pytest.raises(StoreError, match="another store"):
        bleepstore.open(root)
    assert files(root / "blobs") == before


def test_a_fork_that_was_restored_to_a_snapshot_of_its_origin_opens_again(tmp_path: Path) -> None:
    root, copy = tmp_path / "store", tmp_path / "copy"
    put(root, "old")
    with bleepstore.open(root) as store, store.snapshot() as snapshot, store.fork(copy) as fork:
        fork.put_object("photos", "dropped", BIG)
        fork.restore(snapshot)
        store.restore(snapshot)
    for folder in (root, copy):
        put(folder, "new")
        assert bleepstore.fsck(folder) == []
        assert not (folder / "quarantine").exists()


def test_an_older_folder_that_was_copied_onto_a_newer_one_loses_no_bytes(tmp_path: Path) -> None:
    clock = Clock()
    root, older = tmp_path / "store", tmp_path / "older"
    put(root, "old", clock=clock)
    shutil.copytree(root, older)
    clock.now += HOUR_MS
    put(root, "new", clock=clock)
    copy_catalog(older, root)
    shutil.copytree(older, root, dirs_exist_ok=True)
    put(root, clock=clock)
    assert list(files(root / "quarantine").values()) == [BIG]


def test_blobs_of_the_same_millisecond_are_set_aside_too(tmp_path: Path) -> None:
    clock = Clock()
    root, older = tmp_path / "store", tmp_path / "older"
    older.mkdir()
    put(root, "old", clock=clock)
    copy_catalog(root, older)
    put(root, "new", clock=clock)
    copy_catalog(older, root)
    put(root, clock=clock)
    clock.now += HOUR_MS
    with bleepstore.open(root, clock=clock) as store:
        store.sweep()
    assert list(files(root / "quarantine").values()) == [BIG]


def test_what_an_interrupted_write_left_is_removed_as_ever(tmp_path: Path) -> None:
    put(tmp_path, "a")
    crashed = LocalBackend(tmp_path)
    crashed.put_object(BlobSpec(bucket="photos", key="x", new_id=new_blob_id), [BIG])
    put(tmp_path)
    assert len(list(tmp_path.glob("blobs/*/*"))) == 1
    assert not (tmp_path / "quarantine").exists()


def test_forks_snapshots_and_backups_set_nothing_aside(tmp_path: Path) -> None:
    root = tmp_path / "store"
    put(root, "a")
    with bleepstore.open(root) as store:
        with store.snapshot() as snapshot:
            store.put_object("photos", "b", BIG)
            store.restore(snapshot)
        store.put_object("photos", "c", BIG)
        store.fork(tmp_path / "fork").close()
        store.backup(tmp_path / "archive")
    bleepstore.restore(tmp_path / "archive", tmp_path / "restored")
    for folder in (root, tmp_path / "fork", tmp_path / "restored"):
        with bleepstore.open(folder) as store:
            assert [entry.key for entry in store.list_objects("photos").objects] == ["a", "c"]
        assert not (folder / "quarantine").exists()


def test_a_store_whose_folder_was_replaced_removes_nothing_of_the_new_one(tmp_path: Path) -> None:
    """As after `mv data old` and a restore of a backup, while a server was forgotten that still has `old` open."""
    root = tmp_path / "data"
    with bleepstore.open(root) as old:
        old.create_bucket("photos")
        root.rename(tmp_path / "old")
        put(root, "a", "b")
        before = files(root / "blobs")
        old.sweep(grace=dt.timedelta())
        assert files(root / "blobs") == before
    with bleepstore.open(root) as new, new.get_object("photos", "a") as found:
        assert found.read() == BIG
