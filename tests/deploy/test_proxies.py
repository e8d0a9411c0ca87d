"""Behind nginx, HAProxy, Caddy and Traefik with the documented configurations, S3 is what it is without them."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import random
import socket
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.deploy.proxies import CHANGED_HOST, PROXIES, running
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, start

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BIG = random.Random(3).randbytes(7 << 20)
KEYS = ["a//b", "/leading", "a/b%2Fc", "a+b c", "ü %+&=?#", "x/../y", "x/./y", "a\\b;c,d|e", "é" * 512]


def client_of(url: str, addressing_style: Literal["path", "virtual"] = "path", **config: Any) -> S3Client:
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": addressing_style}, **config),
    )
    return client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(tmp_path_factory.mktemp("served") / "data", "--workers", "1", "--domains", "s3.example.com")
    yield served
    served.end()


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest, server: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """(name of the proxy and of a bucket behind it, URL)."""
    folder = tmp_path_factory.mktemp("proxy") / request.param
    with running(request.param, folder, f"127.0.0.1:{server.port}") as url:
        s3 = client_of(url)
        s3.create_bucket(Bucket=request.param)
        s3.close()
        yield request.param, url


@pytest.fixture
def s3(proxy: tuple[str, str]) -> Iterator[S3Client]:
    client = client_of(proxy[1], signature_version="s3v4")
    yield client
    client.close()


def test_keys_and_metadata_pass_unchanged(proxy: tuple[str, str], s3: S3Client) -> None:
    bucket, _ = proxy
    metadata = {"my_key": "1", "dotted.key": "2"}
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata=metadata)
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
            assert body.read() == key.encode()
        found = s3.head_object(Bucket=bucket, Key=key)["Metadata"]
        # Programs in Go write the names of headers with a capital.
        assert {name.lower(): text for name, text in found.items()} == metadata
    assert sorted(found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(KEYS)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS]})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("signature_version", ["s3v4", "s3"])
def test_presigned_urls(proxy: tuple[str, str], signature_version: str) -> None:
    bucket, url = proxy
    client = client_of(url, signature_version=signature_version)
    with urllib3.PoolManager() as pool:
        for key in KEYS:
            if "/." in key:  # urllib3 leaves such segments out
                continue
            given = {"Bucket": bucket, "Key": key}
            put = client.generate_presigned_url("put_object", Params=given)
            assert pool.request("PUT", put, body=key.encode()).status == 200
            assert pool.request("GET", client.generate_presigned_url("get_object", Params=given)).data == key.encode()
    client.close()


def test_multipart_ranges_and_heads(proxy: tuple[str, str], s3: S3Client) -> None:
    bucket, _ = proxy
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    parts = [BIG[: 5 << 20], BIG[5 << 20 :]]
    named: list[Any] = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=part)
        named.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": named})
    with s3.get_object(Bucket=bucket, Key="big")["Body"] as body:
        assert body.read() == BIG
    with s3.get_object(Bucket=bucket, Key="big", Range="bytes=5242870-5242889")["Body"] as body:
        assert body.read() == BIG[5242870:5242890]
    head = s3.head_object(Bucket=bucket, Key="big")
    assert (head["ContentLength"], head["ETag"].endswith('-2"')) == (len(BIG), True)
    with pytest.raises(ClientError) as unchanged:
        s3.get_object(Bucket=bucket, Key="big", IfNoneMatch=head["ETag"])
    assert unchanged.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304


def test_a_body_in_chunks_with_a_trailer(proxy: tuple[str, str], s3: S3Client) -> None:
    """As SDKs stream: chunks of aws-chunked within chunks of HTTP, and the checksum after the body."""
    bucket, url = proxy
    data = BIG[:200_000]
    request = AWSRequest(
        method="PUT",
        url=f"{url}/{bucket}/streamed",
        headers={
            "Content-Encoding": "aws-chunked",
            "X-Amz-Decoded-Content-Length": str(len(data)),
            "X-Amz-Trailer": "x-amz-checksum-crc32",
        },
    )
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
    assert request.headers["X-Amz-Content-SHA256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    checksum = b64encode(zlib.crc32(data).to_bytes(4)).decode()
    body = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    body.append(f"0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode())
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("PUT", f"/{bucket}/streamed", body=iter(body), headers=dict(request.headers.items()))
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    connection.close()
    found = s3.get_object(Bucket=bucket, Key="streamed", ChecksumMode="ENABLED")
    assert found["ChecksumCRC32"] == checksum
    with found["Body"] as stream:
        assert stream.read() == data


def read_head(answers: IO[bytes]) -> bytes:
    """The status line of the next answer. Headers follow it in a 100 too, if a proxy passes on one of the server's."""
    line = answers.readline()
    while answers.readline() not in (b"\r\n", b""):
        pass
    return line


def test_a_client_that_waits_for_100_continue(proxy: tuple[str, str], s3: S3Client) -> None:
    bucket, url = proxy
    target = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "awaited"}).removeprefix(url)
    host = urlsplit(url).netloc
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 80), timeout=30) as connection:
        head = f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        with connection.makefile("rb") as answers:
            assert read_head(answers) == b"HTTP/1.1 100 Continue\r\n"
            connection.sendall(b"hello")
            # "A client MUST be able to parse one or more 1xx responses" (RFC 9110 section 15.2): Caddy sends its own
            # too.
            while (line := read_head(answers)) == b"HTTP/1.1 100 Continue\r\n":
                pass
            assert line == b"HTTP/1.1 200 OK\r\n"
    with s3.get_object(Bucket=bucket, Key="awaited")["Body"] as body:
        assert body.read() == b"hello"


def test_what_is_stored_compressed_comes_compressed(proxy: tuple[str, str], s3: S3Client) -> None:
    bucket, url = proxy
    packed = gzip.compress(b"text " * 1000, mtime=0)
    s3.put_object(Bucket=bucket, Key="packed", Body=packed, ContentEncoding="gzip", ContentType="text/plain")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "packed"})
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", link.removeprefix(url))  # http.client asks for "identity"
    answer = connection.getresponse()
    assert (answer.getheader("Content-Encoding"), answer.read()) == ("gzip", packed)
    connection.putrequest("GET", link.removeprefix(url), skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.getheader("Content-Encoding"), answer.read()) == ("gzip", packed)
    connection.close()


def test_a_bucket_may_be_in_the_host(proxy: tuple[str, str], s3: S3Client) -> None:
    bucket, url = proxy
    s3.put_object(Bucket=bucket, Key="a/é", Body=b"meow")
    with contextlib.closing(client_of("http://s3.example.com", "virtual")) as named:
        link = named.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/é"})
    assert link.startswith(f"http://{bucket}.s3.example.com/")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", link.partition(".com")[2], headers={"Host": f"{bucket}.s3.example.com"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"meow")
    connection.close()


def test_a_changed_host_is_named(proxy: tuple[str, str], server: Served, tmp_path: Path) -> None:
    name, _ = proxy
    upstream = f"127.0.0.1:{server.port}"
    with running(name, tmp_path / name, upstream, changes_host=True) as url:
        s3 = client_of(url)
        with pytest.raises(ClientError) as refused:
            s3.list_buckets()
        s3.close()
    error: Any = refused.value.response["Error"]
    assert error["Code"] == "SignatureDoesNotMatch"
    assert error["Host"] == (upstream if name == "traefik" else CHANGED_HOST)


def test_the_log_has_the_changed_host_and_what_the_proxy_says(tmp_path: Path) -> None:
    served = start(tmp_path / "data", "--workers", "1")
    try:
        with running("nginx", tmp_path / "nginx", f"127.0.0.1:{served.port}", changes_host=True) as url:
            s3 = client_of(url)
            with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
                s3.list_buckets()
            s3.close()
        assert served.process.stdout is not None
        while "a signature does not match" not in (line := served.process.stdout.readline()):
            assert line
        public = url.removeprefix("http://")
        assert f"came with Host '{CHANGED_HOST}'" in line
        assert f"X-Forwarded-Host '{public}'" in line
    finally:
        served.end()
