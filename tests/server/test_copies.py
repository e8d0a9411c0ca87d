"""CopyObject by boto3, in all its rules."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from bleepstore import Algorithm
from bleepstore.digests import digest, encode_value
from tests.server.conftest import Server
from tests.server.test_operations_multipart import PART, Upload
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.stores("local", "aws-keys"), pytest.mark.usefixtures("bucket")]


@pytest.mark.parametrize("source", ["photos/a b/ü+%", "/photos/a b/ü+%"])
def test_copies_by_text(s3: S3Client, source: str) -> None:
    s3.put_object(Bucket="photos", Key="a b/ü+%", Body=b"data", Metadata={"m": "1"}, ContentType="text/plain")
    done = s3.copy_object(Bucket="photos", Key="copy", CopySource=source)
    assert done["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"data").hexdigest()}"'
    assert done["CopyObjectResult"]["LastModified"].year > 2000
    found = s3.get_object(Bucket="photos", Key="copy")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (b"data", {"m": "1"}, "text/plain")


@pytest.mark.parametrize("size", [10, 100_000])
def test_metadata_are_copied_or_replaced(s3: S3Client, size: int) -> None:
    expires = dt.datetime(2033, 12, 1, 16, tzinfo=dt.UTC)
    s3.put_object(
        Bucket="photos",
        Key="a",
        Body=PART[:size],
        Metadata={"m": "1"},
        ContentType="text/plain",
        CacheControl="no-store",
        Expires=expires,
        WebsiteRedirectLocation="/x",
        StorageClass="STANDARD_IA",
    )
    s3.copy_object(Bucket="photos", Key="b", CopySource={"Bucket": "photos", "Key": "a"}, Metadata={"ignored": "1"})
    copied: Any = s3.head_object(Bucket="photos", Key="b")
    assert (copied["Metadata"], copied["ContentType"], copied["CacheControl"]) == ({"m": "1"}, "text/plain", "no-store")
    assert "StorageClass" not in copied, "the storage class is not copied"
    assert "WebsiteRedirectLocation" not in copied
    s3.copy_object(
        Bucket="photos",
        Key="c",
        CopySource={"Bucket": "photos", "Key": "a"},
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        ContentType="text/html",
        StorageClass="GLACIER_IR",
    )
    replaced: Any = s3.get_object(Bucket="photos", Key="c")
    assert replaced["Body"].read() == PART[:size]
    assert (replaced["Metadata"], replaced["ContentType"]) == ({"n": "2"}, "text/html")
    assert replaced["StorageClass"] == "GLACIER_IR"
    assert "CacheControl" not in replaced


def test_a_copy_onto_itself(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=PART[:100_000], Metadata={"mtime": "1"})
    with failure("InvalidRequest", 400):
        s3.copy_object(Bucket="photos", Key="k", CopySource="photos/k")
    s3.copy_object(
        Bucket="photos", Key="k", CopySource="photos/k", MetadataDirective="REPLACE", Metadata={"mtime": "2"}
    )
    found = s3.get_object(Bucket="photos", Key="k")
    assert (found["Body"].read(), found["Metadata"]) == (PART[:100_000], {"mtime": "2"})
    s3.copy_object(Bucket="photos", Key="k", CopySource="photos/k", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket="photos", Key="k")["StorageClass"] == "STANDARD_IA"
    assert s3.head_object(Bucket="photos", Key="k")["Metadata"] == {"mtime": "2"}


@pytest.mark.parametrize(
    "change",
    [
        {"StorageClass": "STANDARD"},
        {"WebsiteRedirectLocation": "/elsewhere"},
        {"MetadataDirective": "REPLACE"},
        {"CopySource": "photos/k?versionId=null"},
    ],
    ids=str,
)
def test_a_copy_onto_itself_names_something_to_change(s3: S3Client, change: dict[str, Any]) -> None:
    """Also if it is the same as it was, as S3 has it."""
    s3.put_object(Bucket="photos", Key="k", Body=b"data", Metadata={"a": "1"})
    s3.copy_object(**{"Bucket": "photos", "Key": "k", "CopySource": "photos/k", **change})
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"


@pytest.mark.parametrize("ignored", [{}, {"Metadata": {"b": "2"}}, {"ChecksumAlgorithm": "SHA256"}], ids=str)
def test_a_copy_onto_itself_that_changes_nothing(s3: S3Client, ignored: dict[str, Any]) -> None:
    """The conditions are evaluated first: those of the source, then those of what would be replaced."""
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"data")["ETag"]
    where: Any = {"Bucket": "photos", "Key": "k", "CopySource": "photos/k", **ignored}
    holding: list[dict[str, Any]] = [{}, {"CopySourceIfMatch": etag}, {"IfMatch": etag}]
    for holds in holding:
        with failure("InvalidRequest", 400) as refused:
            s3.copy_object(**where, **holds)
        assert refused["Error"]["Message"] == (
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
    failing: list[dict[str, Any]] = [
        {"CopySourceIfMatch": '"abc"'},
        {"CopySourceIfNoneMatch": etag},
        {"IfMatch": '"abc"'},
        {"IfNoneMatch": "*"},
    ]
    for fails in failing:
        with failure("PreconditionFailed", 412):
            s3.copy_object(**where, **fails)


def test_copies_on_conditions(s3: S3Client) -> None:
    source = s3.put_object(Bucket="photos", Key="a", Body=b"1")["ETag"]
    modified = s3.head_object(Bucket="photos", Key="a")["LastModified"]
    past, future = modified - dt.timedelta(days=1), modified + dt.timedelta(days=1)
    holds: list[dict[str, Any]] = [
        {"CopySourceIfMatch": source},
        {"CopySourceIfNoneMatch": '"abc"'},
        {"CopySourceIfModifiedSince": past},
        {"CopySourceIfUnmodifiedSince": future},
        {"CopySourceIfMatch": source, "CopySourceIfUnmodifiedSince": past},
        {"CopySourceIfModifiedSince": future},
    ]
    for options in holds:
        s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a", **options)
    fails: list[dict[str, Any]] = [
        {"CopySourceIfMatch": '"abc"'},
        {"CopySourceIfNoneMatch": source},
        {"CopySourceIfModifiedSince": modified},
        {"CopySourceIfUnmodifiedSince": past},
        {"CopySourceIfNoneMatch": source, "CopySourceIfModifiedSince": past},
    ]
    upload = s3.create_multipart_upload(Bucket="photos", Key="m")["UploadId"]
    part: Any = {"Bucket": "photos", "Key": "m", "UploadId": upload, "PartNumber": 1}
    for options in fails:
        for copy in (
            lambda **of: s3.copy_object(Bucket="photos", Key="c", **of),
            lambda **of: s3.upload_part_copy(**part, **of),
        ):
            with failure("PreconditionFailed", 412) as refused:
                copy(CopySource="photos/a", **options)
            start, failed = refused["Error"]["Condition"].split("source-")
            assert start == "x-amz-copy-"
            assert f"CopySource{failed.replace('-', '')}" in options, refused
    with failure("PreconditionFailed", 412) as refused:
        s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a", CopySourceIfMatch=source, IfNoneMatch="*")
    assert refused["Error"]["Condition"] == "If-None-Match", "it is of what would be replaced"
    s3.copy_object(Bucket="photos", Key="c", CopySource="photos/a", IfNoneMatch="*")
    with failure("PreconditionFailed", 412):
        s3.copy_object(Bucket="photos", Key="c", CopySource="photos/a", IfMatch='"abc"')
    s3.copy_object(Bucket="photos", Key="c", CopySource="photos/a", IfMatch=source)


def test_copies_of_what_is_not_there(s3: S3Client) -> None:
    with failure("NoSuchKey", 404):
        s3.copy_object(Bucket="photos", Key="b", CopySource="photos/absent")
    with failure("NoSuchBucket", 404):
        s3.copy_object(Bucket="photos", Key="b", CopySource="absent/k")
    s3.put_object(Bucket="photos", Key="a", Body=b"")
    with failure("NoSuchBucket", 404):
        s3.copy_object(Bucket="absent", Key="b", CopySource="photos/a")
    with failure("InvalidArgument", 400):
        s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a?versionId=abc")
    with failure("NoSuchVersion", 404):
        s3.copy_object(Bucket="photos", Key="b", CopySource=f"photos/a?versionId={'v' * 32}")
    s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a?versionId=null")


def test_checksums_of_copies(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="a", Body=b"data", ChecksumAlgorithm="SHA1")
    same: Any = s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a")["CopyObjectResult"]
    assert same["ChecksumSHA1"] == encode_value(digest(Algorithm.SHA1, b"data"))
    other: Any = s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a", ChecksumAlgorithm="SHA256")
    assert other["CopyObjectResult"]["ChecksumSHA256"] == encode_value(digest(Algorithm.SHA256, b"data"))


def test_a_copy_of_a_multipart_object(s3: S3Client) -> None:
    upload = Upload(s3, "a")
    upload.complete(upload.part(1, PART), upload.part(2, b"tail"))
    done: Any = s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a")["CopyObjectResult"]
    s3.delete_object(Bucket="photos", Key="a")
    body = PART + b"tail"
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    assert (done["ETag"], done["ChecksumType"]) == (etag, "FULL_OBJECT")
    assert done["ChecksumCRC64NVME"] == encode_value(digest(Algorithm.CRC64NVME, body))
    found: Any = s3.get_object(Bucket="photos", Key="b", ChecksumMode="ENABLED")
    assert (found["Body"].read(), found["ETag"]) == (body, etag)
    assert found["ChecksumCRC64NVME"] == done["ChecksumCRC64NVME"]
    assert "PartsCount" not in s3.head_object(Bucket="photos", Key="b", PartNumber=1)
    with failure("InvalidPartNumber", 416):
        s3.get_object(Bucket="photos", Key="b", PartNumber=2)
    asked: Any = ["ETag", "Checksum", "ObjectParts"]
    attributes: Any = s3.get_object_attributes(Bucket="photos", Key="b", ObjectAttributes=asked)
    assert "ObjectParts" not in attributes
    assert attributes["Checksum"]["ChecksumType"] == "FULL_OBJECT"


def test_a_copy_of_a_composite_checksum_has_one_of_the_whole(s3: S3Client) -> None:
    sha: Any = {"ChecksumAlgorithm": "SHA256"}
    upload = Upload(s3, "a", **sha)
    done = upload.complete(upload.part(1, PART, **sha), upload.part(2, b"tail", **sha))
    assert done["ChecksumSHA256"].endswith("-2")
    copied: Any = s3.copy_object(Bucket="photos", Key="b", CopySource="photos/a")["CopyObjectResult"]
    assert copied["ChecksumSHA256"] == encode_value(digest(Algorithm.SHA256, PART + b"tail"))
    assert copied["ChecksumType"] == "FULL_OBJECT"


def test_a_plus_in_a_copy_source_is_a_space(s3: S3Client, server: Server) -> None:
    wire = Wire(server.url)
    s3.put_object(Bucket="photos", Key="a b", Body=b"space")
    s3.put_object(Bucket="photos", Key="a+b", Body=b"plus")
    target = s3.create_multipart_upload(Bucket="photos", Key="parts")["UploadId"]
    for source, body in (("photos/a+b", b"space"), ("photos/a%20b", b"space"), ("/photos/a%2Bb", b"plus")):
        assert wire.send("PUT", "/photos/copy", headers={"x-amz-copy-source": source}).status == 200
        assert s3.get_object(Bucket="photos", Key="copy")["Body"].read() == body
        part = wire.send("PUT", f"/photos/parts?partNumber=1&uploadId={target}", headers={"x-amz-copy-source": source})
        assert hashlib.md5(body).hexdigest().encode() in part.body
