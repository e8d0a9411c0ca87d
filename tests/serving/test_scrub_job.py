"""The scrub of a server: when it is due, by one process, and what it says."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.errors import StoreError
from bleepstore.jobs import JobStatus
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import ServerConfig
from tests.serving.test_damaged_bytes import Serve
from tests.store.test_damaged_bytes import BUCKET, files_of, flip

DAY_MS = 24 * 3600 * 1000


def scrub_of(store: Store) -> JobStatus:
    (found,) = [status for status in store.jobs.status() if status.name == "scrub"]
    return found


def test_it_scrubs_when_it_is_due_and_the_folder_knows_when_that_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 10 * DAY_MS

    def opened() -> Store:
        store = bleepstore.open(tmp_path / "data", clock=lambda: now)
        store.jobs.stop()  # they run when the test says so
        store.scrub_every(dt.timedelta(days=3))
        return store

    with caplog.at_level(logging.INFO, "bleepstore.scrub"):
        with opened() as store:
            store.create_bucket(BUCKET)
            store.put_object(BUCKET, "k", bytes(100_000))
            flip(files_of(store)[0])
            assert "scrub" in store.jobs.run_due()
            assert caplog.text.count(f"damaged: {BUCKET}/k") == 1
            assert scrub_of(store).next_run_ms == 13 * DAY_MS
            now = 12 * DAY_MS
            assert "scrub" not in store.jobs.run_due()
        with opened() as store:
            assert "scrub" not in store.jobs.run_due()
            now = 13 * DAY_MS
            assert "scrub" in store.jobs.run_due()
    assert caplog.text.count("a scrub ended: 1 damaged") == 2


def test_a_scrub_reads_a_second_s_worth_in_a_run(tmp_path: Path) -> None:
    now = DAY_MS
    with bleepstore.open(tmp_path / "data", clock=lambda: now) as store:
        store.jobs.stop()
        store.create_bucket(BUCKET)
        store.put_object(BUCKET, "k", bytes(3 * 1024 * 1024))
        store.scrub_every(dt.timedelta(days=3), rate=1024 * 1024)
        runs = 0
        while store.jobs.run_due() and scrub_of(store).is_under_way:
            runs += 1
            now = scrub_of(store).next_run_ms
        assert runs == 3
        assert now == DAY_MS + 3000
        assert scrub_of(store).examined == 1


def test_only_a_folder_is_scrubbed() -> None:
    with bleepstore.open() as store, pytest.raises(StoreError, match="folder"):
        store.scrub_every(dt.timedelta(days=1))
    with pytest.raises(ConfigError, match="scrub_interval_days"):
        ServerConfig(data=":memory:", scrub_interval_days=1)


def test_a_store_that_is_read_only_is_scrubbed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        store.create_bucket(BUCKET)
        store.put_object(BUCKET, "k", bytes(100_000))
        flip(files_of(store)[0])
    with bleepstore.open(tmp_path / "data", read_only=True) as store:
        store.jobs.stop()
        store.scrub_every(dt.timedelta(days=1))
        assert store.jobs.run_due() == ("scrub",)
    assert f"damaged: {BUCKET}/k" in caplog.text


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
