"""The system's clock goes back, or ahead for a while: writes come in, uploads stay, and times are right again after."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import bleepstore
from bleepstore.backends.base import BlobSpec
from bleepstore.errors import NoSuchUpload

BIG = b"x" * 100_000
HOUR_MS = 3600 * 1000
YEAR_MS = 365 * 24 * HOUR_MS
START = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def test_a_worker_that_starts_after_the_clock_was_set_back_can_write(tmp_path: Path) -> None:
    """The others go on with the time from before."""
    clock = Clock()
    with bleepstore.open(tmp_path, clock=clock) as first:
        first.create_bucket("photos")
        first.sweep()
        clock.now += HOUR_MS
        first.put_object("photos", "before", BIG)
        clock.now -= HOUR_MS
        with bleepstore.open(tmp_path, clock=clock) as second:
            for minute in range(20):
                clock.now += 60_000
                first.sweep()
                second.put_object("photos", f"{minute}", BIG)
                first.put_object("photos", f"first-{minute}", BIG)
                second.sweep()
        with bleepstore.open(tmp_path, clock=clock) as third:
            third.put_object("photos", "after", BIG)
            assert len(third.list_objects("photos").objects) == 42


def test_a_clock_a_year_ahead_for_one_sweep_expires_no_upload(tmp_path: Path) -> None:
    for path in (None, tmp_path / "s"):
        clock = Clock()
        with bleepstore.open(path, clock=clock, upload_expiry=dt.timedelta(days=7)) as store:
            store.create_bucket("photos")
            upload = store.create_upload("photos", "k")
            part = store.put_part("photos", "k", upload.upload_id, 1, BIG)
            clock.now += YEAR_MS
            store.sweep()
            clock.now -= YEAR_MS
            store.sweep()
            assert [part.etag for part in store.list_parts("photos", "k", upload.upload_id).parts] == [part.etag]
            # Its own time runs as ever.
            clock.now += 8 * 24 * HOUR_MS
            store.sweep()
            with pytest.raises(NoSuchUpload):
                store.list_parts("photos", "k", upload.upload_id)


def test_opening_with_a_clock_a_year_ahead_expires_no_upload(tmp_path: Path) -> None:
    clock = Clock()
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.create_bucket("photos")
        upload = store.create_upload("photos", "k")
    clock.now += YEAR_MS
    with bleepstore.open(tmp_path, clock=clock):
        pass
    clock.now -= YEAR_MS
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.sweep()
        store.list_parts("photos", "k", upload.upload_id)


def test_a_machine_that_starts_with_a_clock_a_year_ahead_expires_no_upload(tmp_path: Path) -> None:
    """Its first pass comes a minute after the start, and by then the clock may not have been put right."""
    clock = Clock()
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.create_bucket("photos")
        upload = store.create_upload("photos", "k")
    clock.now += YEAR_MS
    with bleepstore.open(tmp_path, clock=clock) as store:
        clock.now += 60_000
        assert "uploads" in store.jobs.run_due()
        clock.now += 1000 - YEAR_MS
        store.list_parts("photos", "k", upload.upload_id)
        clock.now += 8 * 24 * HOUR_MS
        store.jobs.run_due()  # which the time may well be, so
        clock.now += 60_000
        store.jobs.run_due()
        assert store.list_uploads("photos").uploads == []


def test_a_machine_that_was_off_for_long_expires_uploads_with_its_second_pass(tmp_path: Path) -> None:
    clock = Clock()
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.create_bucket("photos")
        store.create_upload("photos", "k")
    clock.now += YEAR_MS
    with bleepstore.open(tmp_path, clock=clock) as store:
        for _ in range(2):
            clock.now += 60_000
            assert "uploads" in store.jobs.run_due()
        assert store.list_uploads("photos").uploads == []


def test_a_program_that_opens_a_store_now_and_then_sweeps_it(tmp_path: Path) -> None:
    clock = Clock()
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.create_bucket("photos")
        store.create_upload("photos", "k")
    clock.now += 40 * 24 * HOUR_MS
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.sweep()
        assert store.list_uploads("photos").uploads == []


def test_a_clock_that_stays_ahead_is_believed() -> None:
    clock = Clock()
    with bleepstore.open(clock=clock) as store:
        store.create_bucket("photos")
        store.create_upload("photos", "k")
        clock.now += YEAR_MS
        store.sweep()
        clock.now += 60_000
        store.sweep()
        assert store.list_uploads("photos").uploads == []


def test_last_modified_is_right_again_once_the_clock_is(tmp_path: Path) -> None:
    """And what an interrupted write left is still found."""
    clock = Clock()
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.create_bucket("photos")
        clock.now += YEAR_MS
        store.put_object("photos", "ahead", BIG)
        store.sweep()
        clock.now -= YEAR_MS
        store.put_object("photos", "k", BIG)
        assert store.head_object("photos", "k").version.modified == dt.datetime.fromtimestamp(START / 1000, dt.UTC)
    with bleepstore.open(tmp_path, clock=clock) as store:
        store.put_object("photos", "k", BIG)
        assert store.head_object("photos", "k").version.modified == dt.datetime.fromtimestamp(START / 1000, dt.UTC)
        lost = store.engine.backend.put_object(
            BlobSpec(bucket="photos", key="x", new_id=store.engine.new_blob_id), [BIG]
        ).handle
        clock.now += HOUR_MS
        store.sweep()
        assert lost not in set(store.engine.backend.iter_blobs(0, 1 << 62))
        assert len(store.list_objects("photos").objects) == 2
