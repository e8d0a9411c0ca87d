"""Checksums of objects: those that are sent, those that are trailers, and those that the store adds."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from bleepstore import Algorithm
from bleepstore.digests import digest, encode_value
from tests.server.conftest import Server
from tests.server.tools import UNSIGNED, Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.stores("local", "aws-keys"), pytest.mark.usefixtures("bucket")]

BODY = bytes(range(256)) * 200  # above the inline limit
SMALL = b"small"


def test_every_checksum_algorithm(wire: Wire) -> None:
    """By header, as every SDK can: kept, shown when asked for, and only then."""
    for body in (SMALL, BODY):
        for algorithm in Algorithm:
            name, value = f"x-amz-checksum-{algorithm.value.lower()}", encode_value(digest(algorithm, body))
            answer = wire.send("PUT", "/photos/k", body, {name: value})
            assert answer.status == 200, answer
            assert (answer.headers[name], answer.headers["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
            for method in ("GET", "HEAD"):
                shown = wire.send(method, "/photos/k", headers={"x-amz-checksum-mode": "ENABLED"}).headers
                assert (shown[name], shown["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
                assert name not in wire.send(method, "/photos/k").headers
                ranged = {"x-amz-checksum-mode": "ENABLED", "Range": "bytes=0-1"}
                assert name not in wire.send(method, "/photos/k", headers=ranged).headers


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_by_boto3(s3: S3Client, algorithm: Any) -> None:
    put = s3.put_object(Bucket="photos", Key="k", Body=BODY, ChecksumAlgorithm=algorithm)
    expected = encode_value(digest(Algorithm(algorithm), BODY))
    name = f"Checksum{algorithm}"
    assert put[name] == expected  # type: ignore[literal-required]  # one of the names above
    found = s3.get_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == BODY, "and boto3 has verified it"
    assert found[name] == expected  # type: ignore[literal-required]  # one of the names above
    attributes = s3.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["Checksum", "ETag", "ObjectSize"])
    assert attributes["Checksum"][name] == expected  # type: ignore[literal-required]  # one of the names above
    assert attributes["Checksum"]["ChecksumType"] == "FULL_OBJECT"


def test_a_checksum_is_added_where_none_was_sent(wire: Wire) -> None:
    wire.send("PUT", "/photos/k", SMALL)
    shown = wire.send("HEAD", "/photos/k", headers={"x-amz-checksum-mode": "ENABLED"}).headers
    assert shown["x-amz-checksum-crc64nvme"] == encode_value(digest(Algorithm.CRC64NVME, SMALL))
    assert shown["x-amz-checksum-type"] == "FULL_OBJECT"


def test_a_checksum_in_a_presigned_query_does_not_count(server: Server, wire: Wire) -> None:
    """JavaScript's SDK puts the CRC32 of nothing there, for it does not know the body when it signs."""
    client = server.client(signature_version="s3v4")
    url = client.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k", "ChecksumCRC32": "AAAAAA=="})
    client.close()
    target = url.removeprefix(server.url)
    if "x-amz-checksum-crc32=" in target:
        assert wire.send("PUT", target, SMALL, signed=False).status == 200


def test_a_trailer_of_a_plain_put(wire: Wire) -> None:
    crc = base64.b64encode(zlib.crc32(SMALL).to_bytes(4, "big")).decode()
    headers = {
        "Content-Encoding": "gzip,aws-chunked",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-sdk-checksum-algorithm": "CRC32",
    }
    body = b"5\r\nsmall\r\n0\r\nx-amz-checksum-crc32:" + crc.encode() + b"\r\n\r\n"
    answer = wire.send("PUT", "/photos/k", body, headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert (answer.status, answer.headers["x-amz-checksum-crc32"]) == (200, crc)
    found = wire.send("GET", "/photos/k")
    assert (found.body, found.headers["content-encoding"]) == (SMALL, "gzip")


def test_a_trailer_of_no_checksum(wire: Wire) -> None:
    headers = {"x-amz-decoded-content-length": "0", "x-amz-trailer": "x-amz-checksum-sha10"}
    answer = wire.send("PUT", "/photos/k", b"0\r\n\r\n", headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert answer.error["Message"] == "The value specified in the x-amz-trailer header is not supported"


def test_a_body_of_unknown_length(wire: Wire) -> None:
    """Transfer-Encoding: chunked without a Content-Length, as boto3 sends it over HTTPS."""
    inner = b"5\r\nsmall\r\n0\r\n\r\n"
    outer = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    headers = {"Transfer-Encoding": "chunked", "x-amz-decoded-content-length": "5", "Content-Encoding": "aws-chunked"}
    answer = wire.send("PUT", "/photos/k", outer, headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert answer.status == 200, answer
    assert wire.send("GET", "/photos/k").body == SMALL
    plain = wire.send(
        "PUT", "/photos/l", b"5\r\nsmall\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}, payload=UNSIGNED
    )
    assert plain.status == 200
    assert wire.send("GET", "/photos/l").body == SMALL


def test_content_md5(s3: S3Client) -> None:
    md5 = base64.b64encode(hashlib.md5(SMALL).digest()).decode()
    s3.put_object(Bucket="photos", Key="k", Body=SMALL, ContentMD5=md5)
    with failure("BadDigest", 400):
        s3.put_object(Bucket="photos", Key="k", Body=b"other", ContentMD5=md5)
