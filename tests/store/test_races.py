"""Writers that meet: conditions are evaluated with the write, in threads and in processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import random
import threading
from pathlib import Path

import pytest

import bleepstore
from bleepstore import CompletedPart, Store, WriteCondition, errors

pytestmark = pytest.mark.stores("local", "cluster", "providers")

ONLY_NEW = WriteCondition(if_none_match=True)
SPAWN = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("size", [10, 70_000])
def test_of_many_who_replace_one_version_exactly_one_wins(store: Store, size: int) -> None:
    store.create_bucket("photos")
    for turn in range(5):
        etag = store.put_object("photos", "k", bytes([200 + turn]) * size).etag
        start = threading.Barrier(8)

        def swap(number: int, etag: str = etag, start: threading.Barrier = start) -> str | None:
            start.wait()
            try:
                body = bytes([number]) * size
                return store.put_object("photos", "k", body, condition=WriteCondition(if_match=etag)).etag
            except errors.PreconditionFailed:
                return None

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            won = [etag for etag in pool.map(swap, range(8)) if etag]
        assert [store.head_object("photos", "k").version.etag] == won


def test_of_deletes_and_writes_on_a_condition_exactly_one_wins(store: Store) -> None:
    store.create_bucket("photos")
    for _ in range(10):
        etag = store.put_object("photos", "k", b"first").etag
        start = threading.Barrier(6)
        condition = WriteCondition(if_match=etag)

        def act(number: int, start: threading.Barrier = start, condition: WriteCondition = condition) -> bool:
            start.wait()
            try:
                if number % 2:
                    store.delete_object("photos", "k", condition=condition)
                else:
                    store.put_object("photos", "k", b"x%d" % number, condition=condition)
            except (errors.PreconditionFailed, errors.NoSuchKey):
                return False
            return True

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(act, range(6))) == 1


def test_of_many_uploads_that_want_a_new_key_exactly_one_is_completed(store: Store) -> None:
    store.create_bucket("photos")
    uploads = []
    for number in range(6):
        upload = store.create_upload("photos", "k")
        part = store.put_part("photos", "k", upload.upload_id, 1, bytes([number]) * 30_000)
        uploads.append((upload.upload_id, [CompletedPart(number=1, etag=part.etag)]))
    start = threading.Barrier(6)

    def complete(number: int) -> str | None:
        upload_id, parts = uploads[number]
        start.wait()
        try:
            return store.complete_upload("photos", "k", upload_id, parts, condition=ONLY_NEW).etag
        except (errors.PreconditionFailed, errors.ConditionalRequestConflict):
            return None

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        won = [etag for etag in pool.map(complete, range(6)) if etag]
    assert won == [store.head_object("photos", "k").version.etag]


def test_many_completions_of_one_upload_agree(store: Store) -> None:
    """A client that sends Complete again while the first is under way gets one object and one answer."""
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k")
    part = store.put_part("photos", "k", upload.upload_id, 1, b"data")
    start = threading.Barrier(6)

    def complete(_: int) -> str:
        start.wait()
        listed = [CompletedPart(number=1, etag=part.etag)]
        return store.complete_upload("photos", "k", upload.upload_id, listed).etag

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(complete, range(6)))) == 1
    store.sweep()
    with store.get_object("photos", "k") as found:
        assert found.read() == b"data"


def test_a_completion_is_told_of_its_own_object(store: Store) -> None:
    """Also when the key is written again at the same moment."""
    store.create_bucket("photos")
    done = threading.Event()

    def overwrite() -> None:
        while not done.is_set():
            store.put_object("photos", "k", b"other")
            store.delete_object("photos", "k")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        others = [pool.submit(overwrite) for _ in range(2)]
        try:
            for number in range(12):
                upload = store.create_upload("photos", "k", metadata={"n": str(number)})
                part = store.put_part("photos", "k", upload.upload_id, 1, b"mine")
                listed = [CompletedPart(number=1, etag=part.etag)]
                version = store.complete_upload("photos", "k", upload.upload_id, listed)
                assert (version.metadata, version.size, version.parts_count) == ({"n": str(number)}, 4, 1)
        finally:
            done.set()
        for other in others:
            other.result()


def test_readers_always_see_one_whole_version(store: Store) -> None:
    """While a key is overwritten, deleted and swept, a reader gets a version whole or NoSuchKey."""
    store.create_bucket("photos")
    done = threading.Event()
    seen = []

    def read() -> None:
        while not done.is_set():
            try:
                with store.get_object("photos", "k") as found:
                    data = found.read()
            except errors.NoSuchKey:
                continue
            assert len(data) == found.version.size
            assert data == data[:1] * len(data)
            seen.append(data[0])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        chance = random.Random(1)
        try:
            for turn in range(30):
                store.put_object("photos", "k", bytes([turn]) * chance.choice([10, 70_000, 2_000_000]))
                if turn % 10 == 0:
                    store.delete_object("photos", "k")
                    store.sweep()
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert seen


def _increment(path: str, count: int) -> int:
    """Count up a number in an object by compare-and-swap; how often another process came first."""
    lost = 0
    with bleepstore.open(path) as store:
        for _ in range(count):
            while True:
                with store.get_object("photos", "counter") as found:
                    etag, value = found.version.etag, int(found.read())
                # Large enough for a file: blobs of several processes share the folders.
                body = str(value + 1).encode().rjust(70_000)
                try:
                    store.put_object("photos", "counter", body, condition=WriteCondition(if_match=etag))
                except errors.PreconditionFailed:
                    lost += 1
                    continue
                break
    return lost


def test_two_processes_on_one_store_lose_no_update(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "counter", b"0")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
            list(pool.map(_increment, [str(tmp_path)] * 2, [60, 60]))
        with store.get_object("photos", "counter") as found:
            assert int(found.read()) == 120
        store.sweep()
    with bleepstore.open(tmp_path) as store, store.get_object("photos", "counter") as found:
        assert int(found.read()) == 120


def test_a_process_sees_at_once_what_another_has_done(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as one, bleepstore.open(tmp_path) as two:
        one.create_bucket("photos")
        for turn in range(20):
            writer, reader = (one, two) if turn % 2 else (two, one)
            writer.put_object("photos", "k", b"%d" % turn)
            with reader.get_object("photos", "k") as found:
                assert found.read() == b"%d" % turn
            writer.delete_object("photos", "k")
            with pytest.raises(errors.NoSuchKey):
                reader.head_object("photos", "k")


def test_a_store_that_was_closed_says_so(tmp_path: Path) -> None:
    for path in (None, tmp_path):
        store = bleepstore.open(path)
        store.create_bucket("photos")
        store.close()
        store.close()
        with pytest.raises(errors.StoreClosed):
            store.put_object("photos", "k", b"")
        with pytest.raises(errors.StoreClosed):
            store.list_objects("photos")


def test_a_file_is_no_folder_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.StoreError):
        bleepstore.open(tmp_path / "file")
