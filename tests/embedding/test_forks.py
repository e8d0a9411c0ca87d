"""A fork is an isolated store with the same contents; a snapshot is a moment to come back to."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import CompletedPart, Store
from bleepstore.catalog.sqlite import Catalog
from bleepstore.errors import StoreError

MIB = 1 << 20
BIG = random.Random(1).randbytes(300_000)
PARTS = [random.Random(2).randbytes(5 * MIB), b"the last part"]


def contents(store: Store) -> dict[str, bytes]:
    found = {}
    for bucket in store.list_buckets().buckets:
        for item in store.list_objects(bucket.name).objects:
            with store.get_object(bucket.name, item.key) as stored:
                found[f"{bucket.name}/{item.key}"] = stored.read()
    return found


def fill(store: Store) -> dict[str, bytes]:
    store.create_bucket("photos")
    store.put_object("photos", "small", b"small", metadata={"a": "b"})
    store.put_object("photos", "big", BIG)
    store.copy_object("photos", "big", "photos", "copy")
    upload = store.create_upload("photos", "parts")
    parts = [
        store.put_part("photos", "parts", upload.upload_id, number, body) for number, body in enumerate(PARTS, start=1)
    ]
    store.complete_upload(
        "photos", "parts", upload.upload_id, [CompletedPart(number=part.number, etag=part.etag) for part in parts]
    )
    return {"photos/small": b"small", "photos/big": BIG, "photos/copy": BIG, "photos/parts": b"".join(PARTS)}


@pytest.fixture(params=["memory", "folder", "folder, forked in memory"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(None if kind == "memory" else tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def fork(kind: str, tmp_path: Path) -> Iterator[Callable[[Store], Store]]:
    made: list[Store] = []

    def make(store: Store) -> Store:
        made.append(store.fork(tmp_path / f"fork-{len(made)}" if kind == "folder" else None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_fork_has_everything_and_is_apart(store: Store, fork: Callable[[Store], Store]) -> None:
    expected = fill(store)
    store.put_credential("alice", "secret")
    other = fork(store)
    assert contents(other) == expected
    assert other.get_credential("alice") == store.get_credential("alice")
    assert other.head_object("photos", "small").version == store.head_object("photos", "small").version
    other.put_object("photos", "new", b"1")
    other.delete_object("photos", "small")
    store.put_object("photos", "big", b"replaced")
    assert contents(store) == expected | {"photos/big": b"replaced"}
    assert contents(other) == {k: v for k, v in expected.items() if k != "photos/small"} | {"photos/new": b"1"}


def test_what_one_deletes_and_sweeps_stays_in_the_other(store: Store, fork: Callable[[Store], Store]) -> None:
    expected = fill(store)
    forks = [fork(store), fork(store)]
    forks.append(fork(forks[0]))
    for key in ("big", "copy", "parts"):
        store.delete_object("photos", key)
    store.sweep()
    for other in forks:
        assert contents(other) == expected
    for key in ("big", "copy", "parts"):
        forks[0].delete_object("photos", key)
    forks[0].sweep()
    forks[0].close()
    assert contents(forks[1]) == contents(forks[2]) == expected
    forks[1].sweep()
    assert contents(forks[1]) == expected
    assert contents(store) == {"photos/small": b"small"}


def test_forks_share_bytes_and_give_them_back(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "a") as store:
        store.create_bucket("photos")
        store.put_object("photos", "big", BIG)
        with store.fork(tmp_path / "b") as other:
            other.put_object("photos", "mine", BIG)
            store.delete_object("photos", "big")
            store.sweep()
            other.delete_object("photos", "mine")
            other.sweep()
            blobs = [path for path in tmp_path.rglob("*") if path.stat().st_size == len(BIG)]
            assert len(blobs) == 1
            assert contents(other) == {"photos/big": BIG}


def test_an_upload_goes_on_in_the_fork_and_in_the_original(store: Store, fork: Callable[[Store], Store]) -> None:
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k")
    first = store.put_part("photos", "k", upload.upload_id, 1, PARTS[0])
    other = fork(store)
    store.abort_upload("photos", "k", upload.upload_id)
    store.sweep()
    last = other.put_part("photos", "k", upload.upload_id, 2, PARTS[1])
    wanted = [CompletedPart(number=part.number, etag=part.etag) for part in (first, last)]
    other.complete_upload("photos", "k", upload.upload_id, wanted)
    assert contents(other) == {"photos/k": b"".join(PARTS)}
    assert contents(store) == {}


def test_a_fork_is_of_one_moment_while_others_write(store: Store, fork: Callable[[Store], Store]) -> None:
    """Every object that a fork lists can be read, whatever is written and deleted meanwhile."""
    store.create_bucket("photos")
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not stop.is_set():
                key = f"{seed}-{chance.randrange(5)}"
                if chance.random() < 0.7:
                    store.put_object("photos", key, chance.randbytes(chance.choice([10, 70_000])))
                else:
                    store.delete_object("photos", key)
                    store.jobs.run("garbage")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            for version, body in contents(fork(store)).items():
                assert len(body) in (10, 70_000), version
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_restore_brings_back_what_was(store: Store) -> None:
    expected = fill(store)
    with store.snapshot() as snapshot:
        for _ in range(2):
            store.put_object("photos", "new", BIG)
            store.put_object("photos", "small", b"other")
            for key in ("big", "copy", "parts"):
                store.delete_object("photos", key)
            store.create_bucket("second")
            store.sweep()
            store.restore(snapshot)
            assert contents(store) == expected
            store.sweep()
            assert contents(store) == expected
        store.put_object("photos", "after", BIG)
    assert contents(store) == expected | {"photos/after": BIG}


def test_restore_keeps_nothing_that_is_no_longer_needed(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos")
        with store.snapshot() as snapshot:
            store.put_object("photos", "k", BIG)
            store.restore(snapshot)
            assert contents(store) == {}
        assert [path for path in (tmp_path / "s").rglob("*") if path.stat().st_size == len(BIG)] == []
        assert list((tmp_path / "s" / "snapshots").iterdir()) == []


def test_a_snapshot_of_a_process_that_is_gone_is_removed(tmp_path: Path) -> None:
    script = (
        "import bleepstore, os, sys\n"
        "store = bleepstore.open(sys.argv[1])\nstore.create_bucket('photos')\nstore.snapshot()\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, os.fspath(tmp_path / "s")], check=True)
    assert list((tmp_path / "s" / "snapshots").iterdir())
    with bleepstore.open(tmp_path / "s") as store:
        assert not (tmp_path / "s" / "snapshots").exists()
        with store.snapshot() as snapshot:
            store.restore(snapshot)


def test_what_cannot_be_copied_says_so(tmp_path: Path) -> None:
    with bleepstore.open() as memory, bleepstore.open(tmp_path / "s") as local:
        with pytest.raises(StoreError, match="without a path"):
            memory.fork(tmp_path / "x")
        with pytest.raises(StoreError, match="not empty"):
            local.fork(tmp_path / "s")
        snapshot = memory.snapshot()
        with pytest.raises(StoreError, match="not of this kind"):
            local.restore(snapshot)
        snapshot.close()
        snapshot.close()
        with pytest.raises(StoreError, match="closed"):
            memory.restore(snapshot)
    with pytest.raises(StoreError, match="closed"):
        memory.fork()


def test_another_process_must_not_have_a_store_that_is_restored(tmp_path: Path) -> None:
    script = (
        "import bleepstore, sys\n"
        "with bleepstore.open(sys.argv[1]):\n    print('open', flush=True)\n    sys.stdin.readline()\n"
    )
    with bleepstore.open(tmp_path / "s") as store, store.snapshot() as snapshot:
        command = [sys.executable, "-c", script, os.fspath(tmp_path / "s")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            with pytest.raises(StoreError, match="Another process"):
                store.restore(snapshot)
            other.communicate("\n")
        store.restore(snapshot)


@pytest.mark.parametrize("size", [0, 1024, 1025, 64 * 1024, 64 * 1024 + 1, 100_000])
def test_a_fork_is_apart_at_every_size_of_objects(store: Store, fork: Callable[[Store], Store], size: int) -> None:
    """Small objects are in the catalog, which is copied; others are blobs, which are shared."""
    bodies = {f"photos/{key}": random.Random(key).randbytes(size) for key in ("kept", "replaced", "deleted")}
    store.create_bucket("photos")
    for name, body in bodies.items():
        store.put_object("photos", name.removeprefix("photos/"), body)
    forks = [fork(store), fork(store)]
    for one, new in zip((store, *forks), (b"0", b"1", b"2"), strict=True):
        one.put_object("photos", "replaced", new + bytes(size))
        one.delete_object("photos", "deleted")
        one.sweep()
        assert contents(one) == {"photos/kept": bodies["photos/kept"], "photos/replaced": new + bytes(size)}
    forks[0].close()
    store.close()
    assert contents(forks[1])["photos/kept"] == bodies["photos/kept"]


def test_a_fork_in_memory_copies_only_the_smallest_objects(tmp_path: Path) -> None:
    """Its time follows the catalog's size."""
    with bleepstore.open() as store:
        store.create_bucket("photos")
        empty = catalog_pages(store)
        for number in range(50):
            store.put_object("photos", str(number), bytes(1025))
        with store.fork() as other:
            assert catalog_pages(other) - empty < 10
            assert other.get_object("photos", "49").read() == bytes(1025)
        for number in range(50):
            store.put_object("photos", str(number), bytes(1024))
        assert catalog_pages(store) - empty > 10
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos")
        empty = catalog_pages(store)
        store.put_object("photos", "k", bytes(64 * 1024))
        assert catalog_pages(store) - empty >= 16


def catalog_pages(store: Store) -> int:
    catalog = store.engine.catalog
    assert isinstance(catalog, Catalog)
    with catalog.read() as reader:
        return int(reader.connection.pragma("page_count")) - int(reader.connection.pragma("freelist_count"))
