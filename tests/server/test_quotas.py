"""What a client gets that would exceed a quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

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
