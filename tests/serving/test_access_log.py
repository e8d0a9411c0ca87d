"""The access log of a server: a line of JSON for each request, written when its answer is done."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from bleepstore_server.layers.record import LineHandler
from tests.serving.conftest import ACCESS_KEY, LEGACY_ACLS, Served
from tests.serving.test_damaged_bytes import blobs, flip

Serve = Callable[..., Served]
SIZE = 64 * 1024 * 1024


def line_of(served: Served) -> dict[str, Any]:
    """The next line of the log."""
    assert served.process.stdout is not None
    text = next(text for text in served.process.stdout if text.startswith("{"))  # the store logs what is damaged, too
    line: dict[str, Any] = json.loads(text)
    return line


def drop_connection(served: Served, target: str) -> None:
    """Ask for an object and reset the connection when some of it has come."""
    url = urlsplit(served.url)
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        assert len(connection.recv(1024 * 1024, socket.MSG_WAITALL)) == 1024 * 1024


def test_each_request_has_a_line(serve: Serve) -> None:
    served = serve("--access-log", "--workers", "1")
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    assert line_of(served)["operation"] == "CreateBucket"
    answer = s3.put_object(Bucket="photos", Key="a\nb", Body=b"x" * 300_000)
    put = line_of(served)
    assert (put["operation"], put["bucket"], put["key"]) == ("PutObject", "photos", "a\nb")
    assert (put["access_key"], put["status"], put["error_code"]) == (ACCESS_KEY, 200, None)
    assert put["bytes_in"] >= 300_000
    assert put["bytes_out"] == 0
    assert put["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert put["remote"] == "127.0.0.1"
    assert 0 < put["duration"] < 60
    s3.get_object(Bucket="photos", Key="a\nb")["Body"].read()
    assert line_of(served)["bytes_out"] == 300_000
    s3.get_object(Bucket="photos", Key="a\nb", Range="bytes=10-19")["Body"].read()
    assert (line_of(served)["bytes_out"], served.process.poll()) == (10, None)
    s3.head_object(Bucket="photos", Key="a\nb")
    assert line_of(served)["bytes_out"] == 0


def test_an_answer_that_was_dropped_has_the_bytes_that_were_sent(serve: Serve) -> None:
    served = serve("--access-log", "--workers", "1", *LEGACY_ACLS)
    s3 = served.client()
    s3.create_bucket(Bucket="photos", ACL="public-read")
    s3.put_object(Bucket="photos", Key="large", Body=bytes(SIZE), ACL="public-read")
    assert [line_of(served)["operation"] for _ in range(2)] == ["CreateBucket", "PutObject"]
    drop_connection(served, "/photos/large")
    line = line_of(served)
    assert (line["operation"], line["status"], line["access_key"]) == ("GetObject", 200, None)
    assert 1_000_000 < line["bytes_out"] < SIZE


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", "BadRequest"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "InvalidURI"),
    ],
)
def test_what_never_reaches_the_app_has_a_line(serve: Serve, sent: bytes, code: str) -> None:
    served = serve("--access-log", "--workers", "1")
    url = urlsplit(served.url)
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    line = line_of(served)
    assert line["error_code"] == code
    assert line["status"] == int(answer.split(b" ")[1])
    assert line["bytes_out"] == len(answer.partition(b"\r\n\r\n")[2])
    assert line["request_id"].encode() in answer
    assert line["operation"] is None


def test_without_the_setting_nothing_is_written(serve: Serve) -> None:
    served = serve("--workers", "1")
    served.client().list_buckets()
    served.process.terminate()
    output, _ = served.process.communicate(timeout=40)
    assert "ListBuckets" not in output


def test_of_a_body_that_stops_what_came_is_counted(serve: Serve) -> None:
    served = serve("--access-log", "--workers", "1", "--client-timeout", "1")
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    line_of(served)
    url = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "k"}))
    for framing, sent in (("Content-Length: 100", "abc"), ("Transfer-Encoding: chunked", "64\r\nabc")):
        with socket.create_connection((url.hostname, url.port)) as connection:
            head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n{framing}\r\n\r\n"
            connection.sendall((head + sent).encode())
            put = line_of(served)
        assert (put["status"], put["error_code"]) == (400, "RequestTimeout")
        assert put["bytes_in"] >= 3


def test_an_answer_that_was_broken_off_says_so(serve: Serve) -> None:
    served = serve("--access-log", "--workers", "1")
    s3 = served.client(retries={"total_max_attempts": 1})
    s3.create_bucket(Bucket="photos")
    for size in (200_000, 5_000_000):
        line_of(served)
        s3.put_object(Bucket="photos", Key="k", Body=os.urandom(size))
        line_of(served)
        flip(max(blobs(served.data), key=lambda path: path.stat().st_mtime_ns))
        with pytest.raises(Exception, match=r"Connection|IncompleteRead|ended|EndpointConnection|closed"):
            s3.get_object(Bucket="photos", Key="k")["Body"].read()
        found = line_of(served)
        assert (found["status"], found["error_code"]) == (200, "InternalError")
        assert found["bytes_out"] < size
        s3.delete_object(Bucket="photos", Key="k")


def test_a_log_that_nobody_reads_is_dropped_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    """A line longer than a pipe takes whole, and then what follows it."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as pipe, os.fdopen(writer, "w", encoding="utf-8") as stream:
        handler = LineHandler(stream)
        size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        handler.emit(logging.makeLogRecord({"msg": "x" * (2 * size)}))
        for _ in range(1000):
            handler.emit(logging.makeLogRecord({"msg": "dropped"}))
        assert len(pipe.read(2 * size)) == size
        assert not caplog.records
        handler.emit(logging.makeLogRecord({"msg": "again"}))
        assert pipe.read(100) == b"\nagain\n"
    assert "1001 lines of the access log were dropped" in caplog.text
