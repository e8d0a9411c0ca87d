"""A system that gives no more threads, and starts that are interrupted: nothing is half done, begun twice or dead."""

from __future__ import annotations

import fcntl
import io
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Event, Store
from bleepstore.catalog.sqlite.writer import ProcessLock
from bleepstore.cluster import LocalCluster, open_member
from bleepstore.jobs.couriers import Courier, Couriers
from bleepstore.jobs.waking import Waker
from bleepstore.raft.transport import MemoryNetwork
from bleepstore_server.admin.checks import HealthChecks, State
from bleepstore_server.live import live_server
from tests.interrupts import NoThreads
from tests.raft.clusters import FAST

FAILS = pytest.mark.parametrize("interrupted", [False, True])


def failing(interrupted: bool) -> type[BaseException]:
    return KeyboardInterrupt if interrupted else RuntimeError


@pytest.fixture
def store() -> Iterator[Store]:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        yield store


class Carrier(Courier):
    """Counts how often it is asked, and by how many threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def carry(self) -> None:
        self.threads.add(threading.get_ident())
        self.carried += 1

    def close(self) -> None: ...


@FAILS
def test_a_courier_that_got_no_thread_gets_one_later(interrupted: bool) -> None:
    carriers = {name: Carrier() for name in ("first", "second", "third")}
    couriers = Couriers("tests", carriers, Waker(None))
    with NoThreads("bleepstore-tests", after=1, interrupted=interrupted), pytest.raises(failing(interrupted)):
        couriers.start()
    couriers.start()
    couriers.finish()
    couriers.stop()
    assert [len(carrier.threads) for carrier in carriers.values()] == [1, 1, 1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bleepstore-tests")]


def test_what_was_written_stands_where_the_jobs_get_no_thread() -> None:
    with bleepstore.open() as store:
        with NoThreads("bleepstore-jobs"):
            store.create_bucket("photos")
            store.put_object("photos", "k", b"1")
            store.put_object("photos", "k", b"2")
            store.delete_object("photos", "k")
            with pytest.raises(RuntimeError):
                store.jobs.start()
        store.delete_bucket("photos")
        assert "bleepstore-jobs" in [thread.name for thread in threading.enumerate()]


@FAILS
def test_a_function_for_events_that_got_no_thread_is_not_there_and_the_next_one_is(
    store: Store, interrupted: bool
) -> None:
    heard: list[Event] = []
    with NoThreads("bleepstore-listeners", interrupted=interrupted), pytest.raises(failing(interrupted)):
        store.on_event(heard.append)
    store.put_object("photos", "a", b"")
    store.on_event(heard.append)
    store.put_object("photos", "b", b"")
    store.flush_events()
    assert [event.key for event in heard] == ["b"]


@FAILS
def test_a_pipe_that_got_no_thread_is_listened_to_later(tmp_path: Path, interrupted: bool) -> None:
    waker, woken = Waker(tmp_path), threading.Event()
    with NoThreads(interrupted=interrupted), pytest.raises(failing(interrupted)):
        waker.listen(woken.set)
    waker.listen(woken.set)
    Waker(tmp_path).notify()
    assert woken.wait(30)
    waker.close()


def test_a_lock_is_asked_for_where_nobody_can_wait_for_it(tmp_path: Path) -> None:
    descriptors = [os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2)]
    own, others = descriptors
    fcntl.flock(others, fcntl.LOCK_EX)
    lock = ProcessLock(own)
    with NoThreads():
        assert not lock.acquire(0.01)
    with NoThreads(interrupted=True) as none, pytest.raises(KeyboardInterrupt):
        lock.acquire(0.01)
    for thread in none.interrupted:
        thread.join(10)
    assert not lock.is_stalled(0)
    assert not lock.acquire(0.01), "a thread waits now"
    fcntl.flock(others, fcntl.LOCK_UN)
    assert lock.acquire(10)
    lock.release()
    for descriptor in descriptors:
        os.close(descriptor)


def test_large_bodies_are_written_where_their_digests_get_no_thread(store: Store) -> None:
    body = random.Random(1).randbytes(3_000_000)
    with NoThreads("bleepstore-digest"):
        put = store.put_object("photos", "k", io.BytesIO(body))
    assert put.etag == store.put_object("photos", "l", body).etag


def test_a_cluster_is_ended_where_it_gets_no_threads_for_that(tmp_path: Path) -> None:
    with MemoryNetwork() as network:
        cluster = LocalCluster(tmp_path, network, 3, settings=FAST)
        with NoThreads():
            cluster.close()
        assert not cluster.members
        for node in cluster.ids:
            open_member(tmp_path / node, network).stop(hand_over=False)


@pytest.mark.parametrize("after", [0, 1])
def test_a_member_that_gets_no_threads_leaves_its_files(tmp_path: Path, after: int) -> None:
    with MemoryNetwork() as network:
        cluster = LocalCluster(tmp_path, network, 1, settings=FAST)
        cluster.close()
        (node,) = cluster.ids
        with NoThreads("raft", after=after), pytest.raises(RuntimeError):
            open_member(tmp_path / node, network)
        open_member(tmp_path / node, network).stop(hand_over=False)


def test_health_is_told_where_its_checks_get_no_threads(store: Store) -> None:
    checks = HealthChecks(store)
    with NoThreads("bleepstore-health"):
        health = checks.run()
    assert health.state is State.FAILURE
    assert {check.detail for check in health.checks.values()} == {"can't start new thread"}
    assert checks.run().state is not State.FAILURE


@FAILS
def test_a_live_server_that_gets_no_thread_is_gone(store: Store, interrupted: bool) -> None:
    with (
        NoThreads("bleepstore-live-server", interrupted=interrupted) as none,
        pytest.raises(failing(interrupted)),
        live_server(store),
    ):
        raise AssertionError("it does not serve")
    for thread in none.interrupted:
        thread.join(10)
        assert not thread.is_alive()
    with live_server(store) as server:
        server.client().list_buckets()
