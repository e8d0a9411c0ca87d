"""The jobs of a store that several processes have open: one of them runs them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import bleepstore
from bleepstore import errors
from bleepstore.jobs import JobStatus
from bleepstore.jobs.lease import FolderLease
from bleepstore.store import opening
from tests.library.watched import Clock, Watched, garbage
from tests.store.after_garbage import PATIENCE, AfterGarbage

BIG = b"x" * 100_000
START = 1_700_000_000_000


WORKER = """
import sys, bleepstore
from tests.store.after_garbage import AfterGarbage
store = bleepstore.open(sys.argv[1])
store.jobs.add(AfterGarbage(lambda: print("removed", flush=True)))
store.jobs.start()
for line in sys.stdin:
    for _ in range(2):
        store.put_object("photos", sys.argv[2], bytes(100_000))
    print("holds" if store.jobs.holds_lease else "does not", flush=True)
"""


class Worker:
    """A process with the folder open. It says when it has removed garbage; each question to it makes some."""

    def __init__(self, root: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, os.fspath(root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.watchdog = threading.Timer(PATIENCE, self.process.kill)
        self.watchdog.start()
        self.has_removed = False

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip()

    def holds_lease(self) -> bool:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        while (line := self._line()) == "removed":
            self.has_removed = True
        assert line, "it has ended"
        return line == "holds"

    def wait_for_removal(self) -> None:
        """Return when it has removed something since it was last asked this."""
        assert self.has_removed or self._line() == "removed"
        self.has_removed = False

    def kill(self) -> None:
        self.watchdog.cancel()
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LocalBackend", Watched)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_of_several_processes_one_runs_the_jobs_and_another_when_it_is_killed(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
    with contextlib.ExitStack() as stack, bleepstore.open(tmp_path, read_only=True) as seen:
        first = Worker(tmp_path, "first")
        stack.callback(first.kill)
        first.holds_lease()
        first.wait_for_removal()
        second = Worker(tmp_path, "second")
        stack.callback(second.kill)
        assert not second.holds_lease()
        first.wait_for_removal()
        assert garbage(seen) == 0
        assert not second.holds_lease()
        first.kill()
        second.holds_lease()
        second.wait_for_removal()
        assert second.holds_lease()


def test_a_forked_child_does_not_keep_the_lease(tmp_path: Path) -> None:
    lease, other = FolderLease(tmp_path), FolderLease(tmp_path)
    assert lease.acquire()
    assert lease.acquire()
    assert not other.acquire()
    reading, writing = os.pipe()
    begun, begins = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.write(begins, b"x")
        os.read(reading, 1)  # until the parent is done
        os._exit(0)
    assert os.read(begun, 1) == b"x"
    descriptor, lease._descriptor = lease._descriptor, None
    assert descriptor is not None
    os.close(descriptor)  # as when the parent is killed
    assert other.acquire()
    other.release()
    os.close(writing)
    os.waitpid(child, 0)
    for end in (reading, begun, begins):
        os.close(end)


def test_a_forked_child_does_not_believe_that_it_holds_the_lease(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        looked = threading.Event()
        store.jobs.add(AfterGarbage(looked.set))
        for _ in range(2):
            store.put_object("photos", "k", BIG)
        assert looked.wait(PATIENCE)
        assert store.jobs.holds_lease
        child = os.fork()
        if not child:
            os._exit(3 if store.jobs.holds_lease else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.jobs.holds_lease


def test_a_system_that_has_no_lock_to_give_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    lease = FolderLease(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        assert not lease.acquire()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert lease.acquire()
    lease.release()


def test_jobs_are_paused_for_all_processes_and_can_be_run_all_the_same(tmp_path: Path, clock: Clock) -> None:
    with bleepstore.open(tmp_path, clock=clock) as store, bleepstore.open(tmp_path, clock=clock) as other:
        store.create_bucket("photos")
        assert store.jobs.paused_until_ms == 0
        assert other.jobs.pause(60) == clock.now + 60_000
        assert store.jobs.paused_until_ms == clock.now + 60_000
        for _ in range(2):
            store.put_object("photos", "k", BIG)
        assert store.jobs.run("garbage").changed == 1
        clock.now += 60_000
        assert store.jobs.paused_until_ms == 0
        store.jobs.pause(60)
        store.jobs.pause(0)
        assert other.jobs.paused_until_ms == 0
        for seconds in (-1, 24 * 3600 + 1):
            with pytest.raises(ValueError, match="a pause lasts"):
                store.jobs.pause(seconds)
    with bleepstore.open(tmp_path, read_only=True) as seen, pytest.raises(errors.StoreReadOnly):
        seen.jobs.pause(1)
    with bleepstore.open(clock=clock) as store:
        store.jobs.pause(60)
        assert store.jobs.paused_until_ms == clock.now + 60_000


@pytest.mark.slow
def test_a_paused_thread_runs_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        backend = store.engine.backend
        assert isinstance(backend, Watched)
        store.create_bucket("photos")
        store.jobs.pause(3600)
        store.jobs.start()
        for _ in range(2):
            store.put_object("photos", "k", BIG)
        assert not backend.deleted_one.wait(1.2), "the thread looks twice a second"
        store.jobs.pause(0)
        assert backend.deleted_one.wait(PATIENCE)


def test_a_process_that_runs_no_jobs_sees_what_another_did(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        backend = store.engine.backend
        assert isinstance(backend, Watched)
        store.create_bucket("photos")
        for _ in range(2):
            store.put_object("photos", "k", BIG)
        assert backend.deleted_one.wait(PATIENCE)
    with bleepstore.open(tmp_path, read_only=True) as seen:
        found = {status.name: status for status in seen.jobs.status()}
        assert found["garbage"].last_run_ms is None, "a store that is read-only writes and reads none of it"
    with bleepstore.open(tmp_path) as other:
        found = {status.name: status for status in other.jobs.status()}
        assert found["garbage"].last_run_ms is not None


def test_what_is_asked_for_is_run_by_whoever_runs_the_jobs(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store, bleepstore.open(tmp_path) as other:
        store.create_bucket("photos")
        store.put_object("photos", "k", BIG)
        for each in (store, other):
            each.scrub_when_asked()
        with pytest.raises(errors.StoreError, match="no job is called"):
            other.jobs.ask("nothing")
        other.jobs.ask("scrub")
        store.jobs.start()

        def scrub() -> JobStatus:
            return next(status for status in other.jobs.status() if status.name == "scrub")

        deadline = time.monotonic() + PATIENCE
        while scrub().last_run_ms is None and time.monotonic() < deadline:
            time.sleep(0.02)  # nobody outside is told
        found = scrub()
        assert (found.examined, found.changed, found.error) == (1, 0, None)
    with bleepstore.open() as store, pytest.raises(errors.StoreError):
        store.scrub_when_asked()
