"""The jobs of a store: garbage, orphans and expired uploads, and the fence that tells an orphan from a slow write."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import CompletedPart, Store, errors
from bleepstore.backends.base import BlobSpec, new_blob_id
from bleepstore.backends.local import LocalBackend
from bleepstore.jobs import JobStatus
from bleepstore.jobs.job import RUN_ITEMS
from bleepstore.jobs.orphans import GRACE_MS, OVERLAP_MS
from bleepstore.store import opening
from tests.library.watched import START, Clock, Watched, garbage

BIG = b"x" * 100_000
END_OF_TIME = 1 << 47


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LocalBackend", Watched)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(tmp_path, clock=clock, upload_expiry=dt.timedelta(days=1)) as store:
        store.jobs.stop()  # they run when a test says so
        store.create_bucket("photos")
        yield store


@pytest.fixture
def backend(opened: Store) -> Watched:
    """The store's backend, watched."""
    watched = backend_of(opened)
    watched.spans.clear()
    return watched


def backend_of(store: Store) -> Watched:
    assert isinstance(store.engine.backend, Watched)
    return store.engine.backend


def stored(backend: Watched) -> set[str]:
    return set(backend.iter_blobs(0, END_OF_TIME))


def test_what_was_overwritten_or_deleted_is_removed(opened: Store, backend: Watched) -> None:
    opened.put_object("photos", "a", BIG)
    opened.put_object("photos", "a", BIG)
    opened.put_object("photos", "b", BIG)
    opened.delete_object("photos", "b")
    assert len(stored(backend)) == 3
    assert garbage(opened) == 2
    opened.sweep()
    assert len(stored(backend)) == 1
    assert garbage(opened) == 0
    with opened.get_object("photos", "a") as found:
        assert found.read() == BIG


def test_an_assembled_blob_that_is_being_read_waits_for_its_reader(opened: Store, backend: Watched) -> None:
    body = b"x" * 200_000  # more than is read as soon as it is opened
    upload = opened.create_upload("photos", "k")
    part = opened.put_part("photos", "k", upload.upload_id, 1, body)
    opened.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    with opened.get_object("photos", "k") as found:
        opened.delete_object("photos", "k")
        opened.sweep()
        assert garbage(opened) == 1, "it stays on the list"
        assert found.read() == body
    opened.sweep()
    assert garbage(opened) == 0
    assert stored(backend) == set()


def test_an_orphan_is_removed_after_its_grace_and_not_before(opened: Store, backend: Watched, clock: Clock) -> None:
    opened.put_object("photos", "k", BIG)
    orphan = backend.put_object(BlobSpec(bucket="photos", key="x", new_id=lambda: new_blob_id(clock.now)), [BIG]).handle
    part = backend.put_part(None, 1, [BIG], new_id=lambda: new_blob_id(clock.now)).handle
    clock.now += GRACE_MS
    opened.sweep()
    assert {orphan, part} <= stored(backend)
    clock.now += 1
    opened.sweep()
    assert not {orphan, part} & stored(backend)
    with opened.get_object("photos", "k") as found:
        assert found.read() == BIG


def test_the_next_sweep_begins_where_the_last_one_ended(opened: Store, backend: Watched, clock: Clock) -> None:
    """Its cost follows the activity since, not the size of the store."""
    clock.now += 10 * GRACE_MS
    opened.sweep()
    clock.now += 7
    opened.sweep()
    (_, first_until), (since, until) = backend.spans
    assert first_until == clock.now - 7 - GRACE_MS
    assert (since, until) == (first_until - OVERLAP_MS, clock.now - GRACE_MS)


def test_parts_of_uploads_under_way_are_no_orphans(opened: Store, clock: Clock) -> None:
    upload = opened.create_upload("photos", "k")
    part = opened.put_part("photos", "k", upload.upload_id, 1, BIG)
    clock.now += 2 * GRACE_MS
    opened.sweep()
    opened.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    opened.sweep()
    with opened.get_object("photos", "k") as found:
        assert found.read() == BIG


def test_a_write_that_slept_through_a_sweep_is_refused_and_leaves_nothing(
    opened: Store, backend: Watched, clock: Clock
) -> None:
    """Its blob may be gone: the command must not bring it in."""

    def sleep_long() -> None:
        backend.after_put = None
        clock.now += GRACE_MS + 1
        opened.sweep()

    backend.after_put = sleep_long
    with pytest.raises(errors.OperationAborted):
        opened.put_object("photos", "k", BIG)
    with pytest.raises(errors.NoSuchKey):
        opened.head_object("photos", "k")
    assert stored(backend) == set()
    opened.put_object("photos", "k", BIG)


def test_a_write_that_is_merely_slow_is_kept(opened: Store, backend: Watched, clock: Clock) -> None:
    def sleep() -> None:
        backend.after_put = None
        clock.now += GRACE_MS
        opened.sweep()

    backend.after_put = sleep
    opened.put_object("photos", "k", BIG)
    opened.sweep()
    with opened.get_object("photos", "k") as found:
        assert found.read() == BIG


def test_expired_uploads_end_with_their_parts(opened: Store, backend: Watched, clock: Clock) -> None:
    old = opened.create_upload("photos", "k")
    opened.put_part("photos", "k", old.upload_id, 1, BIG)
    clock.now += 24 * 3600 * 1000
    young = opened.create_upload("photos", "k")
    opened.put_part("photos", "k", young.upload_id, 1, BIG)
    opened.sweep()
    assert len(opened.list_uploads("photos").uploads) == 2, "exactly a day old is not too old"
    clock.now += 1
    opened.sweep()
    assert [upload.upload_id for upload in opened.list_uploads("photos").uploads] == [young.upload_id]
    assert len(stored(backend)) == 1
    with pytest.raises(errors.NoSuchUpload):
        opened.put_part("photos", "k", old.upload_id, 2, BIG)


def test_many_expired_uploads_and_much_garbage_take_several_batches(opened: Store, clock: Clock) -> None:
    for number in range(501):
        opened.create_upload("photos", f"k{number}")
    clock.now += 24 * 3600 * 1000 + 1
    opened.sweep()
    assert opened.list_uploads("photos").uploads == []


@pytest.mark.parametrize("other_process", [False, True])
def test_opening_recovers_what_a_crash_left_unless_others_use_the_store(tmp_path: Path, other_process: bool) -> None:
    """Between the blob and its command a process died: the next one that opens the store alone removes the orphan."""
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", BIG)
    crashed = LocalBackend(tmp_path)
    orphan = crashed.put_object(BlobSpec(bucket="photos", key="x", new_id=new_blob_id), [BIG]).handle
    (tmp_path / "tmp" / "dead-0").write_bytes(BIG)
    if other_process:
        with bleepstore.open(tmp_path):  # removes it, being alone
            orphan = crashed.put_object(BlobSpec(bucket="photos", key="x", new_id=new_blob_id), [BIG]).handle
            (tmp_path / "tmp" / "busy-0").write_bytes(BIG)
            with bleepstore.open(tmp_path):
                assert crashed.head_object(orphan) == len(BIG)
                assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["busy-0"]
        return
    with bleepstore.open(tmp_path) as store:
        with pytest.raises(errors.BlobNotFound):
            crashed.head_object(orphan)
        assert list((tmp_path / "tmp").iterdir()) == []
        with store.get_object("photos", "k") as found:
            assert found.read() == BIG


# -- the thread


def test_a_delete_is_followed_by_a_run(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", BIG)
        store.delete_object("photos", "k")
        assert backend_of(store).deleted_one.wait(30)
    assert stored(backend_of(store)) == set()


def test_a_run_that_fails_is_logged_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "bleepstore.jobs"), bleepstore.open(tmp_path) as store:
        backend_of(store).failures = 1
        store.create_bucket("photos")
        store.put_object("photos", "k", BIG)
        store.delete_object("photos", "k")
        while not backend_of(store).deleted_one.wait(0.1):
            store.jobs.notify()
    assert [record.message for record in caplog.records] == ["the job garbage failed; it will be tried again"]


def test_a_clock_that_raises_does_not_end_the_jobs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    failures: list[str] = []

    def failing() -> int:
        if threading.current_thread() in threads() and len(failures) < 2:
            failures.append("failed")
            raise OSError("no time can be had now")
        return clock()

    with caplog.at_level(logging.ERROR, "bleepstore.jobs"), bleepstore.open(tmp_path, clock=failing) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", BIG)
        store.delete_object("photos", "k")
        assert backend_of(store).deleted_one.wait(30)
    assert [record.message for record in caplog.records] == [
        "what is due could not be looked at; it will be tried again"
    ] * 2


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bleepstore-jobs"]


def test_closing_ends_the_thread(tmp_path: Path) -> None:
    before = threads()
    store = bleepstore.open(tmp_path)
    store.create_bucket("photos")
    store.put_object("photos", "k", b"")
    assert len(threads()) == len(before) + 1
    store.close()
    assert threads() == before
    store.jobs.notify()
    assert threads() == before, "a closed store starts no thread"


def test_closing_waits_for_a_thread_that_is_just_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threads()  # of stores that a fixture keeps
    begins, may_begin, begin = threading.Event(), threading.Event(), threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "bleepstore-jobs":
            begins.set()
            assert may_begin.wait(60)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    store = bleepstore.open()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        started = pool.submit(store.engine.jobs.start)
        assert begins.wait(60)
        closed = pool.submit(store.close)
        assert not concurrent.futures.wait([closed], timeout=0.1).done
        may_begin.set()
        started.result()
        closed.result()
    assert set(threads()) <= set(before)


def test_a_clock_that_is_set_back_refuses_no_write(tmp_path: Path, clock: Clock) -> None:
    """The fence of a sweep is in what is now the future; blobs must still come in."""
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.create_bucket("photos")
    clock.now += 3600 * 1000
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.put_object("photos", "a", BIG)
        clock.now -= 2 * 3600 * 1000
        store.put_object("photos", "b", BIG)
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.put_object("photos", "c", BIG)
        store.sweep()
        for key in "abc":
            with store.get_object("photos", key) as found:
                assert found.read() == BIG


# -- what a run costs, and what is seen of it


def status_of(store: Store, name: str) -> JobStatus:
    (found,) = [status for status in store.jobs.status() if status.name == name]
    return found


def test_a_run_has_a_budget_and_the_next_one_goes_on(clock: Clock) -> None:
    with bleepstore.open(clock=clock, inline_limit=-1) as store:
        store.jobs.stop()
        store.create_bucket("photos")
        for _ in range(RUN_ITEMS + 301):
            store.put_object("photos", "k", b"x")
        assert "garbage" in store.jobs.run_due()
        first = status_of(store, "garbage")
        assert (first.is_under_way, first.changed, first.last_run_ms) == (True, RUN_ITEMS, START)
        assert garbage(store) == 300
        store.jobs.run_due()
        last = status_of(store, "garbage")
        assert (last.is_under_way, last.changed, last.error) == (False, RUN_ITEMS + 300, None)
        assert garbage(store) == 0


def test_what_stays_on_the_list_is_not_looked_at_in_each_run(opened: Store, clock: Clock) -> None:
    """A fork in memory keeps all blobs; a run costs what became garbage since."""
    for number in range(5):
        opened.put_object("photos", f"{number}", BIG)
    with opened.fork():
        for number in range(5):
            opened.delete_object("photos", f"{number}")
        opened.jobs.run_due()
        assert (status_of(opened, "garbage").examined, status_of(opened, "garbage").left) == (5, 5)
        opened.put_object("photos", "k", BIG)
        opened.delete_object("photos", "k")
        opened.jobs.run_due()
        assert (status_of(opened, "garbage").examined, status_of(opened, "garbage").left) == (1, 6)
    opened.jobs.run_due()
    assert garbage(opened) == 6, "it is not tried again before its time"
    clock.now += 60_000
    opened.jobs.run_due()
    assert (garbage(opened), status_of(opened, "garbage").left) == (0, 0)


def test_jobs_are_due_by_the_clock_of_the_store(opened: Store, clock: Clock) -> None:
    assert opened.jobs.run_due() == ("garbage",)
    clock.now += 60_000
    assert opened.jobs.run_due() == (
        "garbage",
        "uploads",
        "orphans",
        "containers",
        "lifecycle",
        "inventory",
        "replication",
        "restorations",
    )
    assert opened.jobs.run_due() == ("garbage",)
    assert status_of(opened, "orphans").next_run_ms == clock.now + 60_000


def test_a_job_that_fails_says_why(opened: Store, backend: Watched) -> None:
    opened.put_object("photos", "k", BIG)
    opened.delete_object("photos", "k")
    backend.failures = 2
    opened.jobs.run_due()
    assert status_of(opened, "garbage").error == "OSError: the disk is having a bad hour"
    with pytest.raises(OSError, match="bad hour"):
        opened.jobs.run("garbage")
    assert opened.jobs.run("garbage").error is None
    with pytest.raises(errors.StoreError, match="no job is called 'rubbish': there are garbage, uploads"):
        opened.jobs.run("rubbish")


def test_a_store_that_is_read_only_runs_nothing(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
    with bleepstore.open(tmp_path, read_only=True) as store:
        assert store.jobs.run_due() == ()
        with pytest.raises(errors.StoreReadOnly):
            store.jobs.run("garbage")
