"""Stores of one folder that several processes close at once, as the workers of a server do after SIGTERM."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore.catalog.sqlite import writer


def test_one_closes_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would leave the log to the other one, and the database file alone would not be the catalog."""
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 60.0)
    store = bleepstore.open(tmp_path)
    store.create_bucket("photos")
    log = tmp_path / "catalog.db-wal"
    other = os.open(tmp_path / "catalog.lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    closing = threading.Thread(target=store.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    assert log.stat().st_size
    fcntl.flock(other, fcntl.LOCK_UN)
    closing.join(60)
    assert not closing.is_alive()
    assert not log.exists() or not log.stat().st_size
    os.close(other)


def test_one_that_is_stopped_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 0.01)
    store = bleepstore.open(tmp_path)
    store.create_bucket("photos")
    other = os.open(tmp_path / "catalog.lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    closing = threading.Thread(target=store.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    os.close(other)
    with bleepstore.open(tmp_path) as again:
        assert again.get_bucket("photos").name == "photos"


def listen(store: bleepstore.Store) -> None:
    store.on_event(print)


def write_much(store: bleepstore.Store) -> None:
    """Until a thread copies the write-ahead log."""
    for number in range(1000):
        store.put_object("photos", f"{number}" * 300, b"")


@pytest.mark.parametrize(("act", "name"), [(listen, "bleepstore-listeners"), (write_much, "bleepstore-checkpoint")])
def test_one_closes_after_an_interrupt_as_a_thread_of_it_started(
    act: Callable[[bleepstore.Store], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        if thread.name == name:
            raise KeyboardInterrupt
        start(thread)

    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        monkeypatch.setattr(threading.Thread, "start", interrupted_start)
        with pytest.raises(KeyboardInterrupt):
            act(store)


def test_an_interrupt_leaves_no_thread_of_jobs_that_closing_does_not_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "bleepstore-jobs":
            started.append(thread)
            if len(started) == 1:
                raise KeyboardInterrupt

    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        monkeypatch.setattr(threading.Thread, "start", interrupted_start)
        with pytest.raises(KeyboardInterrupt):
            store.jobs.start()
        started[0].join(10)
        assert not started[0].is_alive()
        store.jobs.start()
        assert [thread.is_alive() for thread in started] == [False, True]
    assert not started[1].is_alive()


def test_a_store_is_closed_also_if_something_of_it_cannot_be(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("it cannot be closed")

    store = bleepstore.open(tmp_path / "s")
    store.engine.closers.insert(0, fail)
    with pytest.raises(OSError, match="it cannot be closed"):
        store.close()
    with contextlib.closing(os.fdopen(os.open(tmp_path / "s" / "store.lock", os.O_RDWR))) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it
