"""What boto3 does over a socket it does without one."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import random
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

import bleepstore
from bleepstore import Owner
from bleepstore.errors import StoreClosed
from bleepstore_server.clients import client_for, open_url
from bleepstore_server.exchange import Exchange, Request

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stores("local")

MIB = 1 << 20


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("size", [0, 1, 1000, 20_000, 3 * MIB])
def test_bytes_come_back_as_they_went(s3: S3Client, size: int) -> None:
    data = random.Random(size).randbytes(size)
    put = s3.put_object(Bucket="photos", Key="a/b c+é//x", Body=data, Metadata={"my_key": "ümlaut"[1:]})
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket="photos", Key="a/b c+é//x")
    assert got["Body"].read() == data
    assert got["ContentLength"] == size
    assert got["Metadata"] == {"my_key": "mlaut"}
    head = s3.head_object(Bucket="photos", Key="a/b c+é//x")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])


@pytest.mark.parametrize("size", [10_000, 100_000], ids=["whole", "stream"])
def test_a_body_is_read_in_every_way_of_a_stream(s3: S3Client, size: int) -> None:
    data = random.Random(1).randbytes(size)
    s3.put_object(Bucket="photos", Key="k", Body=data)

    def body() -> Any:
        return s3.get_object(Bucket="photos", Key="k")["Body"]

    assert b"".join(body().iter_chunks(7000)) == data
    assert b"".join(body()) == data
    assert list(body().iter_lines()) == data.splitlines()
    buffer = bytearray(size)
    assert io.BufferedReader(body()).readinto(buffer) == len(data)
    assert buffer == data
    part = body()
    assert part.read(10) + part.read(0) + part.read(90) == data[:100]
    assert part.tell() == 100
    part.close()
    with body() as raw:
        assert raw.read(5) == data[:5]
    ranged = s3.get_object(Bucket="photos", Key="k", Range="bytes=-7")
    assert (ranged["Body"].read(), ranged["ContentRange"]) == (data[-7:], f"bytes {size - 7}-{size - 1}/{size}")


def test_the_fields_of_an_answer_are_found_in_any_case(s3: S3Client) -> None:
    """As handlers of a program see them, where botocore has a mapping of its own."""
    seen: list[Any] = []
    s3.meta.events.register("after-call.s3.PutObject", lambda http_response, **_: seen.append(http_response.headers))
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"x")["ETag"]
    (fields,) = seen
    assert fields["ETag"] == fields["etag"] == fields.get("ETAG") == etag
    assert "Content-Length" in fields
    assert "content-md5" not in fields
    assert fields.get("Content-MD5", "none") == "none"
    fields["X-Added"] = "by a handler"
    assert fields["x-added"] == "by a handler"
    del fields["X-ADDED"]
    assert "x-added" not in fields


def test_a_request_leaves_nothing_to_the_garbage_collector(s3: S3Client) -> None:
    """What refers to itself stays in memory until the collector runs, and the next request gets cold memory."""
    data = bytes(1000)
    gc.collect()
    gc.disable()
    try:
        s3.put_object(Bucket="photos", Key="k", Body=data)
        s3.get_object(Bucket="photos", Key="k")["Body"].read()
        s3.head_object(Bucket="photos", Key="k")
        s3.list_objects_v2(Bucket="photos")
        with pytest.raises(ClientError):
            s3.head_object(Bucket="photos", Key="another")
        left = [type(found).__name__ for found in gc.get_objects() if isinstance(found, Exchange | Request)]
    finally:
        gc.enable()
    assert left == [], "what was there before the tests is frozen: see tests/conftest.py"


def test_an_answer_that_nobody_reads_leaves_no_file_open(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    with bleepstore.open(tmp_path / "s") as store:
        store.jobs.stop()  # they open files of their own
        client = client_for(store)
        client.create_bucket(Bucket="photos")
        client.put_object(Bucket="photos", Key="k", Body=bytes(MIB))
        client.get_object(Bucket="photos", Key="k")["Body"].close()
        before = len(list(descriptors.iterdir()))
        for _ in range(20):
            client.get_object(Bucket="photos", Key="k")["Body"].close()
            client.get_object(Bucket="photos", Key="k")
        gc.collect()
        assert len(list(descriptors.iterdir())) <= before
        client.close()


class _Endless(io.RawIOBase):
    """A file of zeros that is never in memory."""

    def __init__(self, size: int) -> None:
        self.size, self.position = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.size - self.position)
        buffer[:count] = bytes(count)
        self.position += count
        return count


def as_body(file: io.RawIOBase) -> Any:
    return file


@pytest.mark.parametrize("url", ["https://s3.amazonaws.com", "http://store.invalid"])
def test_large_bodies_pass_in_bounded_memory(tmp_path: Path, url: str) -> None:
    size = 64 * MIB
    with bleepstore.open(tmp_path / "s") as store:
        client = client_for(store, endpoint_url=url)
        client.create_bucket(Bucket="photos")
        tracemalloc.start()
        client.put_object(Bucket="photos", Key="k", Body=as_body(_Endless(size)))
        body = client.get_object(Bucket="photos", Key="k")["Body"]
        assert sum(len(chunk) for chunk in body.iter_chunks(MIB)) == size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        client.close()
    assert peak < 16 * MIB


def test_a_transfer_in_parts_by_many_threads(s3: S3Client, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(17 * MIB + 5)
    (tmp_path / "up").write_bytes(data)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_file(str(tmp_path / "up"), "photos", "big", Config=config)
    s3.download_file("photos", "big", str(tmp_path / "down"), Config=config)
    assert (tmp_path / "down").read_bytes() == data
    assert s3.head_object(Bucket="photos", Key="big")["ETag"].endswith('-4"')
    sink = io.BytesIO()
    s3.download_fileobj("photos", "big", sink)
    assert sink.getvalue() == data
    s3.copy({"Bucket": "photos", "Key": "big"}, "photos", "again", Config=config)
    assert s3.head_object(Bucket="photos", Key="again")["ContentLength"] == len(data)


def test_paginators_and_waiters(s3: S3Client) -> None:
    keys = [f"k{number:03d}" for number in range(25)]
    for key in keys:
        s3.put_object(Bucket="photos", Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="photos", PaginationConfig={"PageSize": 10})
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    s3.get_waiter("object_exists").wait(Bucket="photos", Key="k000")
    s3.get_waiter("bucket_exists").wait(Bucket="photos", WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    with pytest.raises(botocore.exceptions.WaiterError):
        s3.get_waiter("object_exists").wait(Bucket="photos", Key="x", WaiterConfig={"Delay": 0, "MaxAttempts": 2})


def test_errors_are_those_of_the_wire(s3: S3Client) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey) as missing:
        s3.get_object(Bucket="photos", Key="none")
    assert code(missing) == ("NoSuchKey", 404)
    assert missing.value.response["ResponseMetadata"]["RequestId"]
    with pytest.raises(ClientError) as headed:
        s3.head_object(Bucket="photos", Key="none")
    assert code(headed) == ("404", 404)
    with pytest.raises(ClientError) as digest:
        s3.put_object(Bucket="photos", Key="k", Body=b"data", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert code(digest) == ("BadDigest", 400)
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    with pytest.raises(ClientError) as exists:
        s3.put_object(Bucket="photos", Key="k", Body=b"other", IfNoneMatch="*")
    assert code(exists) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as unchanged:
        s3.get_object(Bucket="photos", Key="k", IfNoneMatch=s3.head_object(Bucket="photos", Key="k")["ETag"])
    assert code(unchanged) == ("304", 304)


def test_signatures_are_verified(store: bleepstore.Store, s3: S3Client) -> None:
    for options, expected in [
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key": "unknown"}, "InvalidAccessKeyId"),
        ({"client_config": Config(signature_version=UNSIGNED)}, "AccessDenied"),
    ]:
        other = client_for(store, **options)  # type: ignore[arg-type]
        with pytest.raises(ClientError) as refused:
            other.list_objects_v2(Bucket="photos")
        assert code(refused) == (expected, 403)
        other.close()
    store.put_credential("bob", "bob-secret", owner=Owner("bob"))
    bob = client_for(store, access_key="bob", secret_key="bob-secret")
    with pytest.raises(ClientError) as denied:
        bob.list_objects_v2(Bucket="photos")
    assert code(denied) == ("AccessDenied", 403)
    assert bob.list_buckets()["Buckets"] == []
    bob.close()


class _Breaking(_Endless):
    """A file that cannot be read to its end."""

    def readinto(self, buffer: Any) -> int:
        if self.position >= 100_000:
            raise OSError("the tape is torn")
        return super().readinto(memoryview(buffer)[:50_000])


def test_a_body_that_fails_is_the_callers_error_and_stores_nothing(store: bleepstore.Store) -> None:
    client = client_for(store, client_config=Config(retries={"max_attempts": 0}))
    client.create_bucket(Bucket="photos")
    with pytest.raises(botocore.exceptions.HTTPClientError, match="the tape is torn"):
        client.put_object(Bucket="photos", Key="k", Body=as_body(_Breaking(200_000)))
    assert client.list_objects_v2(Bucket="photos")["KeyCount"] == 0
    client.close()


def test_a_refused_upload_is_not_read(store: bleepstore.Store) -> None:
    """As with `Expect: 100-continue`: the answer comes before the body."""
    client = client_for(store, client_config=Config(request_checksum_calculation="when_required"))
    body = _Endless(256 * MIB)
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.put_object(Bucket="nowhere", Key="k", Body=as_body(body))
    assert body.position <= 2 * MIB
    client.close()


def test_a_retry_sends_the_body_again(store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_for(store, client_config=Config(retries={"max_attempts": 2}))
    client.create_bucket(Bucket="photos")
    calls = []
    put_object = bleepstore.Store.put_object

    def once_unavailable(self: bleepstore.Store, *args: Any, **options: Any) -> Any:
        calls.append(options["size"])
        if len(calls) == 1:
            raise bleepstore.errors.SlowDown
        return put_object(self, *args, **options)

    monkeypatch.setattr(bleepstore.Store, "put_object", once_unavailable)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # botocore's own pause between attempts
    answer = client.put_object(Bucket="photos", Key="k", Body=io.BytesIO(b"twice"))
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert client.get_object(Bucket="photos", Key="k")["Body"].read() == b"twice"
    client.close()


@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_presigned_urls_need_no_socket(store: bleepstore.Store, version: str, style: Any) -> None:
    client = client_for(store, client_config=Config(signature_version=version, s3={"addressing_style": style}))
    client.create_bucket(Bucket="photos")
    name = {"Bucket": "photos", "Key": "a b/é"}
    put = open_url(store, client.generate_presigned_url("put_object", name), method="PUT", body=b"data")
    assert put.status == 200
    url = client.generate_presigned_url("get_object", name, ExpiresIn=60)
    with open_url(store, url, headers={"Range": "bytes=1-2"}) as got:
        assert (got.status, got.read()) == (206, b"at")
    assert isinstance(got, urllib3.HTTPResponse)
    assert open_url(store, url + "x").status == 403
    client.close()


def test_a_url_without_a_path_asks_for_the_root(store: bleepstore.Store) -> None:
    client = client_for(store)
    url = client.generate_presigned_url("list_buckets", ExpiresIn=60)
    assert "/?" in url
    for asked in (url, url.replace("/?", "?", 1)):
        assert open_url(store, asked).status == 200
    client.close()


def test_virtual_hosts_of_other_endpoints_are_configured(store: bleepstore.Store) -> None:
    from bleepstore_server import AppConfig

    client = client_for(
        store,
        endpoint_url="http://store.test:8000",
        config=AppConfig(domains=("store.test",), allow_well_known_key=True),
        client_config=Config(s3={"addressing_style": "virtual"}),
    )
    client.create_bucket(Bucket="photos")
    client.put_object(Bucket="photos", Key="k", Body=b"1")
    assert [item.key for item in store.list_objects("photos").objects] == ["k"]
    client.close()


def test_a_closed_store_says_so(endpoint: str) -> None:
    with bleepstore.open() as store:
        client = client_for(store, endpoint_url=endpoint)
    with pytest.raises(StoreClosed, match="open it again"):
        client.list_buckets()
    client.close()


def test_a_forked_process_is_told_to_open_its_own_store(store: bleepstore.Store) -> None:
    client = client_for(store)
    client.list_buckets()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  # another process
        try:
            client.list_buckets()
            os.write(writing, b"served")
        except StoreClosed as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert b"open it after the fork" in pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    client.close()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_args: object, **_options: object) -> None:
        raise AssertionError("a request went to the network")

    monkeypatch.setattr("urllib3.connection.HTTPConnection.connect", connect)
    monkeypatch.setattr("urllib3.connection.HTTPSConnection.connect", connect)
