"""A process that writes wakes the one that delivers."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

import bleepstore
from bleepstore.jobs.waking import Waker
from tests.events.tools import Destination, notify, queue


def test_who_listens_hears_another_process(tmp_path: Path) -> None:
    """(Another object stands for another process: they share the pipe alone.)"""
    listening, other = Waker(tmp_path), Waker(tmp_path)
    other.notify()  # nobody listens yet
    woken = threading.Event()
    listening.listen(woken.set)
    for _ in range(3):
        woken.clear()
        other.notify()
        assert woken.wait(30)
    listening.close()
    other.notify()
    other.close()
    other.notify()


def test_the_pipe_is_its_owner_s(tmp_path: Path) -> None:
    waker = Waker(tmp_path)
    waker.listen(lambda: None)
    mode = (tmp_path / "events.wake").stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == 0o600
    waker.close()


def test_without_pipes_nothing_is_heard_and_nothing_fails(tmp_path: Path) -> None:
    waker = Waker(tmp_path / "missing")
    waker.listen(lambda: None)
    waker.notify()
    waker.close()


def test_one_of_two_that_have_the_store_open_delivers(tmp_path: Path) -> None:
    first, second = Destination(), Destination()
    path = tmp_path / "store"
    with bleepstore.open(path, event_destinations={"orders": first}) as one:
        one.create_bucket("photos")
        one.jobs.run("events")  # it has the lease now
        notify(one, queue("orders"))
        with bleepstore.open(path, event_destinations={"orders": second}) as other:
            other.put_object("photos", "a", b"")
            other.jobs.run("events")
            first.wait_for(lambda: first.seen == [("ObjectCreated:Put", "a")])
            assert second.documents == []
            one.close()
            other.put_object("photos", "b", b"")
            other.jobs.run("events")
            assert second.seen == [("ObjectCreated:Put", "b")]


@pytest.mark.parametrize("path", [None, "folder"])
def test_a_fork_sends_nothing(path: str | None, tmp_path: Path) -> None:
    destination = Destination()
    with bleepstore.open(tmp_path / "store", event_destinations={"orders": destination}) as store:
        store.create_bucket("photos")
        notify(store, queue("orders"))
        store.jobs.run("events")
        destination.documents.clear()
        with store.fork(path and tmp_path / path) as fork:
            fork.put_object("photos", "a", b"")
            fork.sweep()
            assert [one.is_configured for one in fork.event_destinations()] == [False]
        store.jobs.run("events")
    assert destination.documents == []
