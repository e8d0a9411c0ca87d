"""A store that a program drops without closing it frees what it has, and warns, as files do."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore

BIG = b"x" * 100_000


def fill(store: bleepstore.Store) -> None:
    store.create_bucket("photos")
    for _ in range(2):
        store.put_object("photos", "k", BIG)
        store.put_object("photos", "small", b"x")


def files_below(folder: Path) -> list[str]:
    """What this process has open there."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:  # the one of this listing
            continue
    return [name for name in found if name.startswith(str(folder))]


def drop(make: Callable[[], bleepstore.Store]) -> list[str]:
    """What is warned of, once nothing of the store is left."""
    before = set(threading.enumerate())
    store = make()
    threads = set(threading.enumerate()) - before
    assert threads
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del store
        gc.collect()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return [str(warning.message) for warning in caught if warning.category is ResourceWarning]


def test_a_store_in_a_folder(tmp_path: Path) -> None:
    def make() -> bleepstore.Store:
        store = bleepstore.open(tmp_path / "s")
        fill(store)
        return store

    (said,) = drop(make)
    assert str(tmp_path / "s") in said
    assert "close()" in said
    assert files_below(tmp_path) == []
    orphan = tmp_path / "s" / "tmp" / "dead-0"
    orphan.write_bytes(b"x")
    with bleepstore.open(tmp_path / "s") as again:  # it is alone there, so it removes what is left of writes
        assert not orphan.exists()
        with again.get_object("photos", "k") as found:
            assert found.read() == BIG


def test_a_store_in_memory_and_a_fork_of_one_on_disk(tmp_path: Path) -> None:
    def make() -> bleepstore.Store:
        store = bleepstore.open()
        fill(store)
        return store

    (said,) = drop(make)
    assert "in memory" in said
    with bleepstore.open(tmp_path / "s") as origin:
        fill(origin)

        def fork() -> bleepstore.Store:
            store = origin.fork()
            store.put_object("photos", "new", BIG)
            return store

        (said,) = drop(fork)
        assert "in memory" in said
        assert not [name for name in files_below(tmp_path) if name.endswith("pins.lock")], "it keeps the blobs no more"


def test_what_was_closed_is_dropped_in_silence(tmp_path: Path) -> None:
    for path in (None, tmp_path / "s"):
        with bleepstore.open(path) as store:
            fill(store)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del store
            gc.collect()
        assert caught == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_its_parents_store_alone(tmp_path: Path) -> None:
    store = bleepstore.open(tmp_path)
    fill(store)
    child = os.fork()
    if not child:
        del store
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with store, store.get_object("photos", "k") as found:
        assert found.read() == BIG
        store.jobs.run("garbage")
