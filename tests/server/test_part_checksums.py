"""Checksums of parts: asked for they are checked and told, and where each part needs one, none may lack it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bleepstore.digests import Algorithm, can_combine, digest, encode_value
from tests.server.conftest import Server
from tests.server.tools import Refused, Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stores("local")

#: Those of boto3's that are no newer than the extras of botocore with which it computes them here.
SHA256, CRC32, CRC64 = Algorithm.SHA256, Algorithm.CRC32, Algorithm.CRC64NVME


def value_of(algorithm: Algorithm, data: bytes) -> str:
    return encode_value(digest(algorithm, data))


@pytest.fixture
def quiet(server: Server, prepared: Wire) -> Iterator[S3Client]:
    """A client that sends no checksum of its own accord."""
    client = server.client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    yield client
    client.close()


def start(s3: S3Client, **asked: Any) -> dict[str, Any]:
    upload = s3.create_multipart_upload(Bucket="photos", Key="k", **asked)
    return {"Bucket": "photos", "Key": "k", "UploadId": upload["UploadId"]}


def checksums_in(answer: Any) -> set[str]:
    return {
        name for name in answer if name.startswith("Checksum") and name not in ("ChecksumType", "ChecksumAlgorithm")
    }


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if a != CRC64])
def test_each_part_of_a_composite_upload_needs_its_checksum(quiet: S3Client, algorithm: Algorithm) -> None:
    at = start(quiet, ChecksumAlgorithm=algorithm.value)
    with failure("InvalidRequest", 400) as told:
        quiet.upload_part(**at, PartNumber=1, Body=b"data")
    assert told["Error"]["Message"] == (
        f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}, actual checksum Type: null"
    )
    assert "Parts" not in quiet.list_parts(**at)
    name = f"Checksum{algorithm.value}"
    value = value_of(algorithm, b"data")
    sent: Any = {name: value}
    part: Any = quiet.upload_part(**at, PartNumber=1, Body=b"data", **sent)
    assert part[name] == value
    listed = {"PartNumber": 1, "ETag": part["ETag"]}
    with failure("InvalidRequest", 400) as told:
        quiet.complete_multipart_upload(**at, MultipartUpload={"Parts": [listed]})  # type: ignore[list-item]
    assert "It was missing for part 1" in told["Error"]["Message"]
    parts: Any = {"Parts": [{**listed, name: value}]}
    done: Any = quiet.complete_multipart_upload(**at, MultipartUpload=parts)
    assert done[name].endswith("-1")


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if can_combine(a)])
def test_a_full_object_checksum_needs_none(quiet: S3Client, algorithm: Algorithm) -> None:
    """But the upload asked for one, so the store tells what it computed."""
    at = start(quiet, ChecksumAlgorithm=algorithm.value, ChecksumType="FULL_OBJECT")
    name = f"Checksum{algorithm.value}"
    part: Any = quiet.upload_part(**at, PartNumber=1, Body=b"data")
    assert part[name] == value_of(algorithm, b"data")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done: Any = quiet.complete_multipart_upload(**at, MultipartUpload=parts)
    assert done[name] == value_of(algorithm, b"data")


def test_a_part_of_another_algorithm_is_refused(quiet: S3Client) -> None:
    for kind in ("COMPOSITE", "FULL_OBJECT"):
        at = start(quiet, ChecksumAlgorithm="CRC32", ChecksumType=kind)
        with failure("InvalidRequest", 400) as told:
            quiet.upload_part(**at, PartNumber=1, Body=b"data", ChecksumSHA256=value_of(SHA256, b"data"))
        assert told["Error"]["Message"] == (
            "Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: sha256"
        )


def test_what_nobody_asked_for_is_not_told(quiet: S3Client) -> None:
    """The store computes a CRC64NVME of every part, for that of the whole."""
    quiet.put_object(Bucket="photos", Key="source", Body=b"data")
    at = start(quiet)
    sent = quiet.upload_part(**at, PartNumber=1, Body=b"x" * 5 * 1024 * 1024)
    assert not checksums_in(sent)
    copied = quiet.upload_part_copy(**at, PartNumber=2, CopySource={"Bucket": "photos", "Key": "source"})
    assert not checksums_in(copied["CopyPartResult"])
    own = quiet.upload_part(**at, PartNumber=3, Body=b"data", ChecksumCRC32=value_of(CRC32, b"data"))
    assert checksums_in(own) == {"ChecksumCRC32"}, "what was sent is confirmed"
    for part in quiet.list_parts(**at)["Parts"]:
        assert not checksums_in(part)
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}, {"PartNumber": 3, "ETag": own["ETag"]}]}
    done = quiet.complete_multipart_upload(**at, MultipartUpload=parts)
    assert checksums_in(done) == {"ChecksumCRC64NVME"}, "the object's own, which S3 always has"
    about = quiet.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert (about["TotalPartsCount"], about.get("Parts", [])) == (2, [])


# -- x-amz-sdk-checksum-algorithm

CONTRADICTIONS: list[dict[str, str]] = [
    {"x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-sha256": value_of(SHA256, b"data")},
    {"x-amz-sdk-checksum-algorithm": "sha256", "x-amz-checksum-crc32": value_of(CRC32, b"data")},
    {"x-amz-sdk-checksum-algorithm": "CRC16"},
    {"x-amz-sdk-checksum-algorithm": "CRC16", "x-amz-checksum-crc32": value_of(CRC32, b"data")},
]


@pytest.mark.parametrize("headers", CONTRADICTIONS)
def test_an_announcement_that_contradicts_is_refused(refused: Refused, upload_id: str, headers: dict[str, str]) -> None:
    for target in ("/photos/k", f"/photos/multi?uploadId={upload_id}&partNumber=1"):
        answer = refused("InvalidRequest", 400, "PUT", target, b"data", headers)
        assert answer.error["Message"] == "Value for x-amz-sdk-checksum-algorithm header is invalid."
    document = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    sent = {**headers, "Content-MD5": value_of(Algorithm.MD5, document)}
    algorithms = [a for a in Algorithm if f"x-amz-checksum-{a.lower()}" in headers]
    for algorithm in algorithms:  # right, but for what announces it
        sent[f"x-amz-checksum-{algorithm.lower()}"] = value_of(algorithm, document)
    refused("InvalidRequest", 400, "POST", "/photos?delete", document, sent)


def test_so_is_one_that_contradicts_the_trailer(refused: Refused, upload_id: str) -> None:
    body = b"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:" + value_of(CRC32, b"data").encode() + b"\r\n\r\n"
    headers = {
        "x-amz-decoded-content-length": "4",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-sdk-checksum-algorithm": "SHA256",
    }
    payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    for target in ("/photos/k", f"/photos/multi?uploadId={upload_id}&partNumber=1"):
        answer = refused("InvalidRequest", 400, "PUT", target, body, headers, payload=payload)
        assert answer.error["Message"] == "Value for x-amz-sdk-checksum-algorithm header is invalid."


def test_one_that_agrees_is_well(prepared: Wire) -> None:
    for name in ("CRC32", "crc32"):
        headers = {"x-amz-sdk-checksum-algorithm": name, "x-amz-checksum-crc32": value_of(CRC32, b"data")}
        assert prepared.send("PUT", "/photos/k", b"data", headers).status == 200
