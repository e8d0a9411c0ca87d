"""What a client gets that would exceed a quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from botocore.exceptions import ClientError

from bleepstore import CannedPolicy
from tests.server.conftest import Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef


def test_a_write_beyond_a_quota_is_refused_and_deletes_go_on(server: Server, s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    server.store.put_quota(bucket="photos", max_bytes=10)
    s3.put_object(Bucket="photos", Key="a", Body=bytes(8))
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="photos", Key="b", Body=bytes(3))
    error = refused.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error["Error"]["Code"] == "QuotaExceeded"
    assert error["Error"]["Message"] == (
        "The write would exceed the quota of the bucket: 10 bytes. Nothing was changed."
    )
    assert error["Error"]["BucketName"] == "photos"  # type: ignore[typeddict-item]
    assert error["ResponseMetadata"]["RetryAttempts"] == 0
    s3.delete_object(Bucket="photos", Key="a")
    s3.put_object(Bucket="photos", Key="b", Body=bytes(3))


def test_a_quota_of_an_account_is_told_as_that(server: Server, s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    server.store.put_quota(account="alice-id", max_objects=0)
    with pytest.raises(ClientError, match="quota of the account that owns the bucket: 0 objects"):
        s3.put_object(Bucket="photos", Key="b", Body=b"")
    upload = s3.create_multipart_upload(Bucket="photos", Key="c")
    part = s3.upload_part(Bucket="photos", Key="c", UploadId=upload["UploadId"], PartNumber=1, Body=b"1")
    parts: CompletedMultipartUploadTypeDef = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    with pytest.raises(ClientError, match="QuotaExceeded"):
        s3.complete_multipart_upload(Bucket="photos", Key="c", UploadId=upload["UploadId"], MultipartUpload=parts)


def test_a_quota_of_a_user_limits_its_keys_alone(server: Server, s3: S3Client) -> None:
    """By all ways in which a client writes: an object, a copy, parts, a form."""
    s3.create_bucket(Bucket="photos")
    account = server.store.get_bucket("photos").owner
    ann = server.store.users.add("ann", account=account)
    server.store.users.put_policy("ann", "all", CannedPolicy.READWRITE.document(), account=account)
    server.store.put_credential("ANN", "ann-secret", owner=account, user="ann")
    server.store.put_quota(user=ann.arn, max_bytes=10)
    her = server.client("ANN", "ann-secret")
    her.put_object(Bucket="photos", Key="a", Body=bytes(6))
    with pytest.raises(ClientError, match="quota of the user or role that writes: 10 bytes") as refused:
        her.put_object(Bucket="photos", Key="b", Body=bytes(5))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match="QuotaExceeded"):
        her.copy_object(Bucket="photos", Key="c", CopySource="photos/a")
    upload = her.create_multipart_upload(Bucket="photos", Key="d")
    with pytest.raises(ClientError, match="QuotaExceeded"):
        her.upload_part(Bucket="photos", Key="d", UploadId=upload["UploadId"], PartNumber=1, Body=bytes(5))
    form = her.generate_presigned_post("photos", "e")
    answer = requests.post(form["url"], data=form["fields"], files={"file": bytes(5)}, timeout=10)
    assert (answer.status_code, "<Code>QuotaExceeded</Code>" in answer.text) == (403, True)
    s3.put_object(Bucket="photos", Key="b", Body=bytes(500))
    her.put_object(Bucket="photos", Key="a", Body=bytes(10))
    s3.put_object(Bucket="photos", Key="a", Body=bytes(10))  # which gives hers back
    her.put_object(Bucket="photos", Key="b", Body=bytes(10))
