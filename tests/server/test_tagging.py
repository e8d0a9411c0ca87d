"""Tags over HTTP and in process: every operation, header and documented error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

import bleepstore
from bleepstore_server import in_process
from tests.server.conftest import Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TEN = {f"key{number}": "v" for number in range(10)}
DUPLICATES = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
    "duplicates."
)


def tag_set(tags: dict[str, str]) -> Any:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_of(s3: S3Client, **where: Any) -> dict[str, str]:
    asked: Any = {"Bucket": "photos", "Key": "k", **where}
    answer = s3.get_object_tagging(**asked)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def error_of(call: Callable[[], object]) -> dict[str, Any]:
    """Code, message, status and elements of a refusal."""
    with pytest.raises(ClientError) as refused:
        call()
    response: Any = refused.value.response
    return {**response["Error"], "Status": response["ResponseMetadata"]["HTTPStatusCode"]}


@pytest.fixture
def photos(s3: S3Client) -> S3Client:
    s3.create_bucket(Bucket="photos")
    return s3


def test_tags_are_put_read_and_deleted(photos: S3Client) -> None:
    before = photos.put_object(Bucket="photos", Key="k", Body=b"data")
    modified = photos.head_object(Bucket="photos", Key="k")["LastModified"]
    assert tags_of(photos) == {}
    answer = photos.put_object_tagging(Bucket="photos", Key="k", Tagging=tag_set({"a": "1", "ü": "", "b c": "+/"}))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert tags_of(photos) == {"a": "1", "ü": "", "b c": "+/"}
    head = photos.head_object(Bucket="photos", Key="k")
    assert (head["ETag"], head["LastModified"], head["TagCount"]) == (before["ETag"], modified, 3)
    assert photos.get_object(Bucket="photos", Key="k")["TagCount"] == 3
    deleted = photos.delete_object_tagging(Bucket="photos", Key="k")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(photos) == {}
    assert "TagCount" not in photos.head_object(Bucket="photos", Key="k")


def test_tags_come_with_what_makes_an_object(photos: S3Client) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"", Tagging="a=1&b%20c=d%2Fe+f&empty")
    assert tags_of(photos) == {"a": "1", "b c": "d/e f", "empty": ""}
    upload_id = photos.create_multipart_upload(Bucket="photos", Key="m", Tagging="m=1")["UploadId"]
    where: Any = {"Bucket": "photos", "Key": "m", "UploadId": upload_id}
    etag = photos.upload_part(**where, PartNumber=1, Body=b"part")["ETag"]
    photos.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert tags_of(photos, Key="m") == {"m": "1"}


def test_a_copy_keeps_or_replaces_the_tags(photos: S3Client) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"", Tagging="a=1", Metadata={"m": "1"})
    copy: Any = {"Bucket": "photos", "Key": "copy", "CopySource": "photos/k"}
    photos.copy_object(**copy)
    assert tags_of(photos, Key="copy") == {"a": "1"}
    photos.copy_object(**copy, TaggingDirective="COPY", Tagging="b=2")
    assert tags_of(photos, Key="copy") == {"a": "1"}
    photos.copy_object(**copy, TaggingDirective="REPLACE", Tagging="b=2")
    assert tags_of(photos, Key="copy") == {"b": "2"}
    assert photos.head_object(Bucket="photos", Key="copy")["Metadata"] == {"m": "1"}
    photos.copy_object(**copy, MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert tags_of(photos, Key="copy") == {"a": "1"}
    photos.copy_object(**copy, TaggingDirective="REPLACE")
    assert tags_of(photos, Key="copy") == {}
    wrong: Any = "KEEP"
    error = error_of(lambda: photos.copy_object(**copy, TaggingDirective=wrong))
    assert (error["Code"], error["Message"]) == ("InvalidArgument", "Unknown tagging directive.")
    itself: Any = {**copy, "Key": "k", "TaggingDirective": "REPLACE", "Tagging": "b=2"}
    assert error_of(lambda: photos.copy_object(**itself))["Code"] == "InvalidRequest"


@pytest.mark.blobs
def test_each_version_has_its_own(photos: S3Client) -> None:
    photos.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    first = photos.put_object(Bucket="photos", Key="k", Body=b"1", Tagging="v=1")["VersionId"]
    second = photos.put_object(Bucket="photos", Key="k", Body=b"2")["VersionId"]
    put = photos.put_object_tagging(Bucket="photos", Key="k", VersionId=first, Tagging=tag_set({"v": "first"}))
    assert put["VersionId"] == first
    read = photos.get_object_tagging(Bucket="photos", Key="k")
    assert (read["VersionId"], read["TagSet"]) == (second, [])
    assert tags_of(photos, VersionId=first) == {"v": "first"}
    assert photos.delete_object_tagging(Bucket="photos", Key="k", VersionId=first)["VersionId"] == first
    assert tags_of(photos, VersionId=first) == {}
    marker = photos.delete_object(Bucket="photos", Key="k")["VersionId"]
    error = error_of(lambda: photos.get_object_tagging(Bucket="photos", Key="k", VersionId=marker))
    assert (error["Code"], error["Status"]) == ("MethodNotAllowed", 405)
    assert error_of(lambda: photos.get_object_tagging(Bucket="photos", Key="k"))["Code"] == "NoSuchKey"


HEADERS = [
    ("a=1&a=2", "InvalidArgument", DUPLICATES),
    ("a=%ff", "InvalidArgument", DUPLICATES),
    ("=v", "InvalidTag", "The TagKey you have provided is invalid"),
    ("k" * 129 + "=v", "InvalidTag", "The TagKey you have provided is invalid"),
    ("k=" + "v" * 257, "InvalidTag", "The TagValue you have provided is invalid"),
    ("a%26b=1", "InvalidTag", "The TagKey you have provided is invalid"),
    ("a=b%2C", "InvalidTag", "The TagValue you have provided is invalid"),
    ("aws%3Aa=b", "InvalidTag", "Your TagKey cannot be prefixed with aws:"),
    (urlencode({**TEN, "more": ""}), "BadRequest", "Object tags cannot be greater than 10"),
]


@pytest.mark.parametrize(("tagging", "code", "message"), HEADERS, ids=range(len(HEADERS)))
def test_a_wrong_header_is_refused(photos: S3Client, tagging: str, code: str, message: str) -> None:
    for call in (
        lambda: photos.put_object(Bucket="photos", Key="k", Body=b"", Tagging=tagging),
        lambda: photos.create_multipart_upload(Bucket="photos", Key="k", Tagging=tagging),
    ):
        error = error_of(call)
        assert (error["Code"], error["Message"], error["Status"]) == (code, message, 400)
    assert "Contents" not in photos.list_objects_v2(Bucket="photos")


@pytest.mark.parametrize("tagging", ["", "&", "&&", "a", "a=", "a&b", "a=1&", urlencode(TEN)])
def test_what_a_header_may_be(photos: S3Client, tagging: str) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"", Tagging=tagging)
    assert len(tags_of(photos)) == sum(1 for item in tagging.split("&") if item)


SETS: list[tuple[Any, str, str, dict[str, str]]] = [
    (tag_set({"ke&y": "v"}), "InvalidTag", "The TagKey you have provided is invalid", {"TagKey": "ke&y"}),
    (
        tag_set({"k": "a&b"}),
        "InvalidTag",
        "The TagValue you have provided is invalid",
        {"TagKey": "k", "TagValue": "a&b"},
    ),
    (
        {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        "InvalidTag",
        "Cannot provide multiple Tags with the same key",
        {"TagKey": "a"},
    ),
]


@pytest.mark.parametrize(("tagging", "code", "message", "elements"), SETS, ids=range(len(SETS)))
def test_a_wrong_tag_set_is_refused(
    photos: S3Client, tagging: Any, code: str, message: str, elements: dict[str, str]
) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"", Tagging="a=1")
    for call in (
        lambda: photos.put_object_tagging(Bucket="photos", Key="k", Tagging=tagging),
        lambda: photos.put_bucket_tagging(Bucket="photos", Tagging=tagging),
    ):
        error = error_of(call)
        assert (error["Code"], error["Message"], error["Status"]) == (code, message, 400)
        assert elements.items() <= error.items()
    assert tags_of(photos) == {"a": "1"}


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"<Tagging>",
        b"<Tags/>",
        b"<Tagging/>",
        b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>",
    ],
)
def test_a_malformed_document_is_refused(photos: S3Client, server: Server, body: bytes) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"", Tagging="a=1")
    for operation, where in (("put_object_tagging", {"Key": "k"}), ("put_bucket_tagging", {})):
        url = photos.generate_presigned_url(operation, {"Bucket": "photos", "Tagging": {"TagSet": []}, **where})
        answer = requests.put(url, data=body, timeout=10)
        assert answer.status_code == 400
        assert "<Code>MalformedXML</Code>" in answer.text
    assert tags_of(photos) == {"a": "1"}


def test_a_key_that_is_empty_is_refused(photos: S3Client) -> None:
    body = b"<Tagging><TagSet><Tag><Key></Key><Value>v</Value></Tag></TagSet></Tagging>"
    url = photos.generate_presigned_url("put_bucket_tagging", {"Bucket": "photos", "Tagging": {"TagSet": []}})
    answer = requests.put(url, data=body, timeout=10)
    assert (answer.status_code, "<Code>InvalidTag</Code>" in answer.text) == (400, True)
    assert "<Message>The TagKey you have provided is invalid</Message>" in answer.text


def test_the_limits_of_sets(photos: S3Client) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"")
    eleven = tag_set({**TEN, "more": ""})
    error = error_of(lambda: photos.put_object_tagging(Bucket="photos", Key="k", Tagging=eleven))
    assert (error["Code"], error["Message"]) == ("BadRequest", "Object tags cannot be greater than 10")
    fifty = {f"key{number}": "v" for number in range(50)}
    photos.put_bucket_tagging(Bucket="photos", Tagging=tag_set(fifty))
    more = tag_set({**fifty, "more": ""})
    assert error_of(lambda: photos.put_bucket_tagging(Bucket="photos", Tagging=more))["Code"] == "BadRequest"
    reserved = tag_set({"aws:a": "b"})
    error = error_of(lambda: photos.put_bucket_tagging(Bucket="photos", Tagging=reserved))
    assert (error["Code"], error["Message"]) == ("InvalidTag", "System tags cannot be added/updated by requester")
    assert len(photos.get_bucket_tagging(Bucket="photos")["TagSet"]) == 50


def test_a_bucket_is_tagged(photos: S3Client) -> None:
    error = error_of(lambda: photos.get_bucket_tagging(Bucket="photos"))
    assert (error["Code"], error["Message"], error["BucketName"], error["Status"]) == (
        "NoSuchTagSet", "The TagSet does not exist", "photos", 404,
    )  # fmt: skip
    photos.put_bucket_tagging(Bucket="photos", Tagging=tag_set({"team": "a"}))
    assert photos.get_bucket_tagging(Bucket="photos")["TagSet"] == [{"Key": "team", "Value": "a"}]
    photos.delete_bucket_tagging(Bucket="photos")
    assert error_of(lambda: photos.get_bucket_tagging(Bucket="photos"))["Code"] == "NoSuchTagSet"
    assert error_of(lambda: photos.get_bucket_tagging(Bucket="none"))["Code"] == "NoSuchBucket"


def test_a_form_may_have_tags(photos: S3Client) -> None:
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    for text, status in ((tagging, 204), ("<Tagging>", 400)):
        post = photos.generate_presigned_post("photos", "form", {"tagging": text}, [{"tagging": text}])
        answer = requests.post(post["url"], data=post["fields"], files={"file": b"data"}, timeout=10)
        assert answer.status_code == status, answer.text
    assert tags_of(photos, Key="form") == {"a": "1"}


@pytest.mark.legacy_acls
def test_who_may_not_read_the_tags_does_not_get_their_number(photos: S3Client, server: Server) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"data", Tagging="a=1", ACL="public-read")
    bob = server.client("bob", "bob-secret")
    assert "TagCount" not in bob.head_object(Bucket="photos", Key="k")
    for call in (
        lambda: bob.get_object_tagging(Bucket="photos", Key="k"),
        lambda: bob.put_object_tagging(Bucket="photos", Key="k", Tagging=tag_set({})),
        lambda: bob.delete_object_tagging(Bucket="photos", Key="k"),
        lambda: bob.put_bucket_tagging(Bucket="photos", Tagging=tag_set({})),
        lambda: bob.get_bucket_tagging(Bucket="photos"),
    ):
        assert error_of(call)["Code"] == "AccessDenied"


def test_tags_in_process() -> None:
    with bleepstore.open() as store, in_process(store):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=b"", Tagging="a=1")
        s3.put_bucket_tagging(Bucket="photos", Tagging=tag_set({"b": "2"}))
        assert tags_of(s3) == {"a": "1"} == store.get_object_tags("photos", "k")
        assert s3.get_bucket_tagging(Bucket="photos")["TagSet"] == [{"Key": "b", "Value": "2"}]
