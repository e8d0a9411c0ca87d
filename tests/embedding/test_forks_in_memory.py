"""A fork in memory of a store on disk reads the files of that store, which stay as long as it does."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.errors import PreconditionFailed, StoreError
from bleepstore.model import ByteRange
from bleepstore.preconditions import WriteCondition
from tests.embedding.test_forks import BIG, catalog_pages, contents, fill


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(tmp_path / "s") as opened:
        yield opened


def blobs(store: Store) -> list[Path]:
    assert store.path is not None
    return [path for path in (store.path / "blobs").glob("*/**/*") if path.is_file()]


def test_it_writes_nothing_into_the_folder_and_copies_no_bytes(store: Store) -> None:
    fill(store)
    store.put_object("photos", "inline", bytes(16 * 1024))
    before = blobs(store)
    with store.fork() as other:
        assert other.path is None
        other.put_object("photos", "new", BIG)
        other.delete_object("photos", "big")
        other.sweep()
        assert catalog_pages(other) < catalog_pages(store)
        assert other.get_object("photos", "inline").read() == bytes(16 * 1024)
        assert other.get_object("photos", "inline", range=ByteRange(5, 8)).read() == bytes(4)
        assert blobs(store) == before


def test_what_the_store_removes_stays_until_the_last_fork_is_closed(store: Store) -> None:
    expected = fill(store)
    with store.fork() as first:
        second = first.fork()
        for key in ("big", "copy", "parts", "small"):
            store.delete_object("photos", key)
        store.sweep()
    store.sweep()
    assert contents(second) == expected
    with second:
        assert blobs(store)
    store.sweep()
    assert blobs(store) == []


def test_another_process_removes_nothing_meanwhile(store: Store) -> None:
    expected = fill(store)
    script = (
        "import bleepstore, sys\n"
        "with bleepstore.open(sys.argv[1]) as store:\n"
        "    for key in ('big', 'copy', 'parts', 'small'):\n        store.delete_object('photos', key)\n"
        "    store.sweep()\n"
    )
    with store.fork() as other:
        store.close()  # so that the process is alone with the folder, and sweeps without grace
        subprocess.run([sys.executable, "-c", script, os.fspath(folder := store_path(store))], check=True)
        assert contents(other) == expected
    with bleepstore.open(folder) as again:
        assert blobs(again) == []


def store_path(store: Store) -> Path:
    assert store.path is not None
    return store.path


def test_a_refused_write_leaves_nothing_once_the_fork_is_closed(store: Store) -> None:
    """Its blob cannot be removed at once, and no command ever knew it."""
    store.create_bucket("photos")
    store.put_object("photos", "k", b"there")
    with store.fork():
        with pytest.raises(PreconditionFailed):
            store.put_object("photos", "k", BIG, condition=WriteCondition(if_none_match=True))
        store.sweep(grace=dt.timedelta())
        assert len(blobs(store)) == 1
    store.sweep(grace=dt.timedelta())
    assert blobs(store) == []


def test_a_copy_needs_its_source_no_longer(store: Store) -> None:
    expected = fill(store)
    store.put_object("photos", "inline", bytes(9000))
    with store.fork() as other:
        for key in ("big", "parts", "inline"):
            other.copy_object("photos", key, "photos", f"copy of {key}")
            other.delete_object("photos", key)
        upload = other.create_upload("photos", "part of parts")
        part = other.copy_part(
            "photos", "copy of parts", "photos", "part of parts", upload.upload_id, 1, source_range=ByteRange(7, 98)
        )
        other.sweep()
        found = contents(other)
        assert found["photos/copy of big"] == BIG
        assert found["photos/copy of parts"] == expected["photos/parts"]
        assert found["photos/copy of inline"] == bytes(9000)
        assert part.size == 92


def test_it_can_be_restored(store: Store) -> None:
    expected = fill(store)
    with store.fork() as other, other.snapshot() as snapshot:
        for _ in range(2):
            other.put_object("photos", "new", BIG)
            for key in ("big", "parts", "small"):
                other.delete_object("photos", key)
            other.sweep()
            other.restore(snapshot)
            assert contents(other) == expected
        other.sweep()
        assert contents(other) == expected
    store.delete_object("photos", "big")
    store.delete_object("photos", "copy")
    store.delete_object("photos", "parts")
    store.sweep()
    assert blobs(store) == []


def test_it_is_backed_up_with_all_its_bytes(store: Store, tmp_path: Path) -> None:
    expected = fill(store)
    with store.fork() as other:
        other.copy_object("photos", "parts", "photos", "copied in the fork")
        other.put_object("photos", "new", b"new")
        for key in ("big", "copy", "parts", "small"):
            store.delete_object("photos", key)
        store.sweep()
        other.backup(tmp_path / "a.tar")
    bleepstore.restore(tmp_path / "a.tar", tmp_path / "restored")
    with bleepstore.open(tmp_path / "restored") as restored:
        expected |= {"photos/copied in the fork": expected["photos/parts"], "photos/new": b"new"}
        assert contents(restored) == expected


def test_ids_of_buckets_are_not_given_again(store: Store) -> None:
    store.create_bucket("first")
    store.create_bucket("second")
    store.delete_bucket("second")
    with store.fork() as other:
        other.create_bucket("third")
        found = other.engine.catalog.find_bucket("third")
        assert found is not None
        assert found.id == 3


def test_many_threads_read_it(store: Store) -> None:
    store.create_bucket("photos")
    bodies = {f"{number:03d}": os.urandom(number * 100) for number in range(300)}
    for key, body in bodies.items():
        store.put_object("photos", key, body)
    wrong: list[str] = []
    with store.fork() as other:

        def read() -> None:
            wrong.extend(key for key, body in bodies.items() if other.get_object("photos", key).read() != body)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for key in bodies:
            store.delete_object("photos", key)
        store.sweep()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_one_of_a_closed_store_is_refused(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.fork()
