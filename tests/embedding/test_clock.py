"""Time is moved on purpose."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pytest

import bleepstore
from bleepstore.errors import NoSuchUpload
from bleepstore.testing.clock import Clock
from bleepstore_server.clients import client_for, open_url
from bleepstore_server.live import live_server

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


def test_a_clock_runs_stands_and_moves() -> None:
    clock = Clock()
    assert abs(clock() - time.time() * 1000) < 5000
    clock.advance(hours=2)
    assert abs(clock() - time.time() * 1000 - 7_200_000) < 5000
    clock.freeze(NOON)
    assert clock.now == NOON
    clock.advance(dt.timedelta(days=1), hours=1)
    assert clock.now == NOON + dt.timedelta(hours=25)
    with clock.shifted(seconds=-1):
        assert clock.now == NOON + dt.timedelta(hours=25, seconds=-1)
    clock.freeze()
    clock.run()
    assert abs((clock.now - NOON).total_seconds() - 25 * 3600) < 5
    clock.reset()
    assert abs(clock() - time.time() * 1000) < 5000
    assert Clock(NOON).now == NOON
    with pytest.raises(ValueError, match="time zone"):
        clock.freeze(dt.datetime(2030, 1, 1))


def test_objects_have_the_clocks_time() -> None:
    with bleepstore.open(clock=Clock(NOON)) as store:
        store.create_bucket("photos")
        assert store.put_object("photos", "k", b"1").modified == NOON
        client = client_for(store)
        assert client.head_object(Bucket="photos", Key="k")["LastModified"] == NOON
        client.close()


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_urls_expire_without_waiting_and_requests_go_on(signature: str) -> None:
    from botocore.config import Config

    clock = Clock()
    with bleepstore.open(clock=clock) as store, live_server(store) as server:
        inside = client_for(store, client_config=Config(signature_version=signature))
        outside = server.client()
        inside.create_bucket(Bucket="photos")
        inside.put_object(Bucket="photos", Key="k", Body=b"data")
        url = inside.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"}, ExpiresIn=3600)
        assert open_url(store, url).status == 200
        with clock.shifted(hours=2):
            refused = open_url(store, url)
            assert refused.status == 403
            assert b"expired" in refused.data
            assert inside.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"
            assert outside.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"
        assert open_url(store, url).status == 200
        inside.close()
        outside.close()


def test_uploads_expire_without_waiting(tmp_path: Path) -> None:
    for path in (None, tmp_path / "s"):
        clock = Clock()
        with bleepstore.open(path, clock=clock, upload_expiry=dt.timedelta(days=7)) as store:
            store.create_bucket("photos")
            upload = store.create_upload("photos", "k")
            clock.advance(days=6)
            store.sweep()
            assert store.list_uploads("photos").uploads
            clock.advance(days=2)
            store.sweep()
            with pytest.raises(NoSuchUpload):
                store.list_parts("photos", "k", upload.upload_id)


def test_a_fork_can_have_a_clock_of_its_own() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        with store.fork(clock=Clock(NOON)) as other:
            assert other.put_object("photos", "k", b"").modified == NOON
        assert store.put_object("photos", "k", b"").modified < NOON
