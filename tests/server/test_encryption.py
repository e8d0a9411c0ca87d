"""x-amz-server-side-encryption: AES256 holds where nothing is at rest; elsewhere nobody is told that it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import bleepstore
from bleepstore_server.blocks import in_process
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AES: Any = {"ServerSideEncryption": "AES256"}
SOURCE: Any = {"Bucket": "photos", "Key": "k"}


@pytest.fixture
def s3(server: Server) -> Iterator[S3Client]:
    client = server.client()
    client.create_bucket(Bucket="photos")
    yield client
    client.close()


def told(answer: Any) -> str | None:
    in_header: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-server-side-encryption")
    assert answer.get("ServerSideEncryption") == in_header
    return in_header


@pytest.mark.parametrize("asked", [{}, AES], ids=["not asked", "asked"])
def test_every_answer_about_an_object_tells_how_it_is_encrypted(s3: S3Client, server: Server, asked: Any) -> None:
    if asked and not server.store.in_memory:
        pytest.skip("refused: see the next test")
    expected = "AES256" if server.store.in_memory else None
    assert told(s3.put_object(Bucket="photos", Key="k", Body=b"data", **asked)) == expected
    assert told(s3.copy_object(Bucket="photos", Key="copy", CopySource=SOURCE, **asked)) == expected
    upload = s3.create_multipart_upload(Bucket="photos", Key="m", **asked)
    assert told(upload) == expected
    part: Any = {"Bucket": "photos", "Key": "m", "UploadId": upload["UploadId"], "PartNumber": 1}
    assert told(s3.upload_part_copy(**part, CopySource=SOURCE)) == expected
    uploaded = s3.upload_part(**part, Body=b"data")
    assert told(uploaded) == expected
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": uploaded["ETag"]}]}
    done = s3.complete_multipart_upload(Bucket="photos", Key="m", UploadId=upload["UploadId"], MultipartUpload=parts)
    assert told(done) == expected
    for key in ("k", "copy", "m"):
        assert told(s3.get_object(Bucket="photos", Key=key)) == expected
        assert told(s3.get_object(Bucket="photos", Key=key, Range="bytes=0-1")) == expected
        assert told(s3.head_object(Bucket="photos", Key=key)) == expected


def test_a_copy_onto_itself_that_names_its_encryption_changes_it(s3: S3Client, server: Server) -> None:
    """As at S3, also if it was the same before."""
    s3.put_object(Bucket="photos", Key="k", Body=b"data", Metadata={"a": "1"})
    if not server.store.in_memory:
        with failure("NotImplemented", 501):
            s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE, **AES)
        return
    assert told(s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE, **AES)) == "AES256"
    found = s3.get_object(Bucket="photos", Key="k")
    assert (found["Body"].read(), found["Metadata"]) == (b"data", {"a": "1"})
    with failure("PreconditionFailed", 412):
        s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE, IfMatch='"abc"', **AES)
    with failure("InvalidRequest", 400):
        s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE)


def test_what_does_not_hold_is_refused(s3: S3Client, server: Server) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    calls: list[Any] = [
        lambda **asked: s3.put_object(Bucket="photos", Key="x", Body=b"data", **asked),
        lambda **asked: s3.copy_object(Bucket="photos", Key="x", CopySource=SOURCE, **asked),
        lambda **asked: s3.create_multipart_upload(Bucket="photos", Key="x", **asked),
    ]
    for call in calls:
        for kind in ("aws:kms", "aws:kms:dsse", *(() if server.store.in_memory else ("AES256",))):
            with failure("NotImplemented", 501):
                call(ServerSideEncryption=kind)
        with failure("InvalidEncryptionAlgorithmError", 400):
            call(ServerSideEncryption="AES128")
        for more in ({"SSEKMSKeyId": "k"}, {"SSEKMSEncryptionContext": "e30="}, {"BucketKeyEnabled": True}):
            with failure("NotImplemented", 501):
                call(**more)
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="photos")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/photos/k"),
        ("HEAD", "/photos/k"),
        ("DELETE", "/photos/k"),
        ("GET", "/photos?list-type=2"),
        ("PUT", "/photos/k?acl"),
        ("PUT", "/photos/k?uploadId=u&partNumber=1"),
        ("POST", "/photos/k?uploadId=u"),
        ("PUT", "/other"),
    ],
)
def test_only_what_makes_an_object_may_name_an_encryption(
    s3: S3Client, server: Server, method: str, target: str
) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    answer = Wire(server.url).send(method, target, b"", {"x-amz-server-side-encryption": "AES256"})
    assert answer.status == 400, answer
    if method != "HEAD":
        assert b"<Message>x-amz-server-side-encryption header is not supported for this operation.<" in answer.body
        assert b"<ArgumentName>x-amz-server-side-encryption</ArgumentName><ArgumentValue>AES256<" in answer.body
    assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == 4


def test_the_configuration_of_a_bucket_says_the_same(s3: S3Client, server: Server) -> None:
    with failure("NoSuchBucket", 404):
        s3.get_bucket_encryption(Bucket="absent")
    if not server.store.in_memory:
        with failure("ServerSideEncryptionConfigurationNotFoundError", 404):
            s3.get_bucket_encryption(Bucket="photos")
        return
    (rule,) = s3.get_bucket_encryption(Bucket="photos")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule == {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}


def test_which_stores_are_in_memory(tmp_path: Path) -> None:
    """A fork in memory of a store on disk reads what was there from the disk."""
    with bleepstore.open() as store, store.fork() as fork:
        assert store.in_memory
        assert fork.in_memory
    with bleepstore.open(tmp_path / "store") as store, store.fork() as fork:
        assert not store.in_memory
        assert not fork.in_memory


def test_in_process() -> None:
    with in_process() as store:
        assert store.in_memory
        keys: Any = {"aws_access_key_id": "bleepstore", "aws_secret_access_key": "bleepstore-secret"}
        s3 = boto3.client("s3", region_name="us-east-1", **keys)
        s3.create_bucket(Bucket="photos")
        assert told(s3.put_object(Bucket="photos", Key="k", Body=b"", **AES)) == "AES256"
        s3.close()
