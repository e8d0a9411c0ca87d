"""The scrub of a server: when it is due, by one process, and what it says."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
from pathlib import Path

import pytest

import bleepstore
from bleepstore.errors import StoreError
from bleepstore.store.scrub_job import ScrubJob
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import ServerConfig
from tests.serving.test_damaged_bytes import Serve
from tests.store.test_damaged_bytes import BUCKET, files_of, flip

DAY_MS = 24 * 3600 * 1000


def test_it_scrubs_when_it_is_due_and_notes_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 10 * DAY_MS
    waits: list[float] = []
    with bleepstore.open(tmp_path / "data") as store, caplog.at_level(logging.INFO, "bleepstore.scrub"):
        store.create_bucket(BUCKET)
        store.put_object(BUCKET, "k", bytes(100_000))
        flip(files_of(store)[0])

        def wait(seconds: float) -> bool:
            """A day passes, until there was a second scrub."""
            nonlocal now
            waits.append(seconds)
            now += DAY_MS
            if caplog.text.count("the scrub of") == 2:
                job.stop()
            return False

        job = ScrubJob(store=store, interval=dt.timedelta(days=3), clock=lambda: now, wait=wait)
        job.run(tmp_path / "data")
    assert caplog.text.count(f"damaged: {BUCKET}/k") == 2
    assert waits == [60.0] * 4
    assert json.loads((tmp_path / "data" / "scrub.lock").read_text()) == {"ended_ms": 13 * DAY_MS}


def test_of_two_processes_one_scrubs(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store, bleepstore.open(tmp_path / "data") as other:
        begun, scrubs = threading.Event(), []

        def wait(_seconds: float) -> bool:
            begun.set()
            return stop.wait(60)

        stop = threading.Event()
        first = ScrubJob(store=store, interval=dt.timedelta(days=1), wait=wait)
        first.start()
        assert begun.wait(60)

        def retry(seconds: float) -> bool:
            scrubs.append(seconds)
            second.stop()
            return True

        second = ScrubJob(store=other, interval=dt.timedelta(0), wait=retry)
        second.run(tmp_path / "data")
        assert scrubs == [60.0]
        first._stopped.set()
        stop.set()
        first.stop()


def test_only_a_folder_is_scrubbed() -> None:
    with bleepstore.open() as store, pytest.raises(StoreError, match="folder"):
        ScrubJob(store=store, interval=dt.timedelta(days=1)).start()
    with pytest.raises(ConfigError, match="scrub_interval_days"):
        ServerConfig(data=":memory:", scrub_interval_days=1)


def test_a_server_scrubs(serve: Serve, tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        store.create_bucket(BUCKET)
        store.put_object(BUCKET, "k", bytes(100_000))
        flip(files_of(store)[0])
    server = serve("--scrub-interval-days", "1", "--workers", "2")
    assert server.process.stdout is not None
    said = server.banner  # the job may have been quicker than the last line of that
    while "damaged: photos/k" not in said:
        line = server.process.stdout.readline()
        assert line, "the server ended"
        said += line
