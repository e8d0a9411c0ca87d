"""One record for each request, in process as over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import logging
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

import bleepstore
from bleepstore_server import Record, in_process, live_server
from bleepstore_server.app_config import WELL_KNOWN
from bleepstore_server.layers.record import access_line, log_access
from tests.serving.test_damaged_bytes import blobs, flip

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Beyond what is kept in the catalog, so that it is a file.
LARGE = bytes(range(256)) * 2048


class Records:
    """What was recorded. A server may record an answer after its client has got it."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Record] = queue.Queue()
        self.add = self._queue.put

    def next(self, count: int) -> list[Record]:
        """The next ones; there are no more."""
        records = [self._queue.get(timeout=30) for _ in range(count)]
        assert self._queue.empty()
        return records


@pytest.fixture(params=["in process", "live server"])
def recording(request: pytest.FixtureRequest, store: bleepstore.Store) -> Iterator[tuple[S3Client, Records]]:
    """A client whose store has the bucket photos, and what is recorded from then on."""
    records = Records()
    store.create_bucket("photos")
    if request.param == "in process":
        with in_process(store, record=records.add):
            yield boto3.client("s3"), records
    else:
        with live_server(store, record=records.add) as server:
            yield server.client(), records


def test_a_record_says_what_was_asked_by_whom_and_what_came_of_it(recording: tuple[S3Client, Records]) -> None:
    client, records = recording
    before = dt.datetime.now(dt.UTC)
    answer = client.put_object(Bucket="photos", Key="a b/é\n", Body=b"12345", ChecksumAlgorithm="SHA256")
    (record,) = records.next(1)
    assert (record.operation, record.method, record.bucket, record.key) == ("PutObject", "PUT", "photos", "a b/é\n")
    assert record.access_key == WELL_KNOWN[0]
    assert (record.status, record.error_code) == (200, None)
    assert record.bytes_in >= 5  # over HTTPS with the framing of chunks
    assert record.bytes_out == 0
    assert record.remote == "127.0.0.1"
    assert record.request_id == answer["ResponseMetadata"]["RequestId"]
    assert 0 < record.duration < 60
    assert before - dt.timedelta(seconds=1) < record.time <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("body", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_a_read_counts_the_bytes_that_were_sent(recording: tuple[S3Client, Records], body: bytes) -> None:
    client, records = recording
    client.put_object(Bucket="photos", Key="k", Body=body)
    assert client.get_object(Bucket="photos", Key="k")["Body"].read() == body
    client.head_object(Bucket="photos", Key="k")
    assert [(record.operation, record.bytes_out) for record in records.next(3)[1:]] == [
        ("GetObject", len(body)),
        ("HeadObject", 0),
    ]


def test_a_refusal_has_its_code(recording: tuple[S3Client, Records]) -> None:
    client, records = recording
    with pytest.raises(ClientError):
        client.get_object(Bucket="photos", Key="absent")
    (record,) = records.next(1)
    assert (record.operation, record.status, record.error_code) == ("GetObject", 404, "NoSuchKey")
    assert record.bytes_out > 100


def test_nobodys_key_is_recorded_where_the_signature_is_wrong(store: bleepstore.Store) -> None:
    records: list[Record] = []
    with in_process(store, record=records.append):
        stranger = boto3.client("s3", aws_access_key_id=WELL_KNOWN[0], aws_secret_access_key="wrong")
        with pytest.raises(ClientError):
            stranger.list_buckets()
        requests.get("https://s3.amazonaws.com/photos/key", timeout=5)
    assert [(record.access_key, record.error_code) for record in records] == [
        (None, "SignatureDoesNotMatch"),
        (None, "NoSuchBucket"),
    ]


def test_a_form_is_recorded_with_its_signer(store: bleepstore.Store) -> None:
    records: list[Record] = []
    store.create_bucket("photos")
    with in_process(store, record=records.append):
        form = boto3.client("s3").generate_presigned_post("photos", "k")
        requests.post(form["url"], data=form["fields"], files={"file": b"12345"}, timeout=5).raise_for_status()
    (record,) = records
    assert (record.operation, record.access_key, record.status) == ("PostObject", WELL_KNOWN[0], 204)
    assert (record.bucket, record.key) == ("photos", "k")
    assert record.bytes_in > 500


def test_a_body_that_its_reader_drops_counts_only_what_it_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    records: list[Record] = []
    with bleepstore.open(tmp_path_factory.mktemp("store")) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", LARGE * 8)
        with in_process(store, record=records.append):
            body = boto3.client("s3").get_object(Bucket="photos", Key="k")["Body"]
            body.read(1)
            assert not records, "the answer is not done"
            body.close()
    (record,) = records
    assert record.bytes_out < len(LARGE) * 8


def test_an_answer_does_not_fail_with_its_record(store: bleepstore.Store, caplog: pytest.LogCaptureFixture) -> None:
    def fail(record: Record) -> None:
        raise ValueError(record.request_id)

    with in_process(store, record=fail):
        boto3.client("s3").list_buckets()
    assert "could not be taken" in caplog.text


def test_a_request_that_cannot_be_read_is_recorded(store: bleepstore.Store) -> None:
    records = Records()
    with live_server(store, record=records.add) as server:
        assert requests.get(server.url + "/photos/%ff", timeout=5).status_code == 400
        assert requests.get(server.url + "/healthz", timeout=5).status_code == 200
    assert [(record.operation, record.bucket, record.error_code) for record in records.next(2)] == [
        (None, None, "InvalidURI"),
        ("HealthCheck", None, None),
    ]


def test_a_line_is_one_line_of_json_whatever_the_key(caplog: pytest.LogCaptureFixture) -> None:
    record = Record(
        time_ms=1_772_366_400_005,
        remote="192.0.2.1",
        method="PUT",
        operation="PutObject",
        bucket="photos",
        key='x"\n{"status":200}\r\u2028\x1b[31m',
        status=403,
        error_code="AccessDenied",
        bytes_in=3,
        bytes_out=200,
        duration=0.00123456,
        request_id="AB",
    )
    line = access_line(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {
        "time": "2026-03-01T12:00:00.005Z",
        "remote": "192.0.2.1",
        "method": "PUT",
        "operation": "PutObject",
        "bucket": "photos",
        "key": record.key,
        "access_key": None,
        "status": 403,
        "error_code": "AccessDenied",
        "bytes_in": 3,
        "bytes_out": 200,
        "duration": 0.001235,
        "request_id": "AB",
    }
    with caplog.at_level(logging.INFO, "bleepstore.access"):
        log_access(record)
    assert caplog.messages == [line]


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_an_answer_that_was_broken_off_says_so(tmp_path: Path, size: int) -> None:
    records: list[Record] = []
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", bytes(size))
        flip(blobs(tmp_path)[0])
        with in_process(store, record=records.append), pytest.raises(bleepstore.errors.ObjectDamaged):
            boto3.client("s3").get_object(Bucket="photos", Key="k")["Body"].read()
    (record,) = records
    assert (record.status, record.error_code) == (200, "InternalError")
    assert record.bytes_out < size
