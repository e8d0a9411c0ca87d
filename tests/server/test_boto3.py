"""The operations of S3, by boto3 over HTTP."""

from __future__ import annotations

import io
import random
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.server.conftest import Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.stores("local", "cluster", "providers"), pytest.mark.usefixtures("bucket")]

BIG = random.Random(3).randbytes(11 * 1024 * 1024)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


@pytest.mark.parametrize("key", ["a", "a//b", "/a", "../a", "a/./b", "a b+c%d", "ü/€/😀", "a?b#c", "é" * 512, "a/"])
def test_any_key_round_trips(s3: S3Client, key: str) -> None:
    s3.put_object(Bucket="photos", Key=key, Body=b"data", Metadata={"m": "1"}, ContentType="text/plain")
    got = s3.get_object(Bucket="photos", Key=key)
    assert got["Body"].read() == b"data"
    assert (got["Metadata"], got["ContentType"]) == ({"m": "1"}, "text/plain")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="photos")["Contents"]] == [key]
    s3.delete_object(Bucket="photos", Key=key)
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_large_objects_go_in_parts_and_come_back(s3: S3Client) -> None:
    s3.upload_fileobj(io.BytesIO(BIG), "photos", "big")
    target = io.BytesIO()
    s3.download_fileobj("photos", "big", target)
    assert target.getvalue() == BIG
    assert s3.head_object(Bucket="photos", Key="big")["ETag"].endswith('-2"')


def test_presigned_urls_of_both_versions(server: Server, s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="a b/ü", Body=b"data")
    for version in ("s3", "s3v4"):
        url = server.client(signature_version=version).generate_presigned_url(
            "get_object", Params={"Bucket": "photos", "Key": "a b/ü"}
        )
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"data"
        for broken in (url.replace("photos", "photoz"), url[:-1] + ("1" if url[-1] != "1" else "2")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(broken)
            assert refused.value.code == 403
            refused.value.close()


def test_a_wrong_secret_and_an_unknown_key_are_refused(server: Server) -> None:
    with pytest.raises(ClientError) as wrong:
        server.client("alice", "wrong").list_buckets()
    assert code(wrong) == "SignatureDoesNotMatch"
    with pytest.raises(ClientError) as unknown:
        server.client("nobody", "wrong").list_buckets()
    assert code(unknown) == "InvalidAccessKeyId"


def test_conditional_writes(s3: S3Client) -> None:
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as exists:
        s3.put_object(Bucket="photos", Key="k", Body=b"2", IfNoneMatch="*")
    assert code(exists) == "PreconditionFailed"
    s3.put_object(Bucket="photos", Key="k", Body=b"2", IfMatch=etag)
    with pytest.raises(ClientError) as changed:
        s3.delete_object(Bucket="photos", Key="k", IfMatch=etag)
    assert code(changed) == "PreconditionFailed"


def test_listing_pages(s3: S3Client) -> None:
    keys = [*sorted(f"{a}/{b}" for a in "abc" for b in range(5)), "z"]
    for key in keys:
        s3.put_object(Bucket="photos", Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="photos", PaginationConfig={"PageSize": 4})
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
    rolled = s3.list_objects(Bucket="photos", Delimiter="/", MaxKeys=2)
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["a/", "b/"]
    rest = s3.list_objects(Bucket="photos", Delimiter="/", Marker=rolled["NextMarker"])
    assert [p["Prefix"] for p in rest["CommonPrefixes"]] == ["c/"]
    assert [entry["Key"] for entry in rest["Contents"]] == ["z"]


def test_what_is_not_implemented_says_so(s3: S3Client) -> None:
    with pytest.raises(ClientError) as renamed:
        s3.rename_object(Bucket="photos", Key="new", RenameSource="photos/old")
    assert code(renamed) == "NotImplemented"
    with pytest.raises(ClientError) as none:
        s3.get_bucket_policy(Bucket="photos")
    assert code(none) == "NoSuchBucketPolicy"


@pytest.mark.legacy_acls
def test_acls_are_enforced(server: Server, s3: S3Client) -> None:
    bob = server.client("bob", "bob-secret")
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    with pytest.raises(ClientError) as denied:
        bob.get_object(Bucket="photos", Key="k")
    assert code(denied) == "AccessDenied"
    s3.put_object_acl(Bucket="photos", Key="k", GrantRead="emailAddress=bob@example.com")
    assert bob.get_object(Bucket="photos", Key="k")["Body"].read() == b"1"
    s3.put_object_acl(Bucket="photos", Key="k", ACL="public-read")
    with urllib.request.urlopen(f"{server.url}/photos/k") as answer:
        assert answer.read() == b"1"
