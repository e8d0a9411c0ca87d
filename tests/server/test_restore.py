"""Archived objects over HTTP and in process: InvalidObjectState, RestoreObject, x-amz-restore."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

import bleepstore
from bleepstore.testing.clock import Clock
from bleepstore_server import in_process
from tests.server.conftest import Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ARCHIVES: list[Any] = ["GLACIER", "DEEP_ARCHIVE"]
READ = "The operation is not valid for the object's storage class"
COPIED = "Operation is not valid for the source object's storage class"
ACTIVE = "This action is not allowed against this storage tier."
NOT_ALLOWED = "Restore is not allowed for the object's current storage class"


def error_of(call: Callable[[], object]) -> dict[str, Any]:
    """Code, message, status and elements of a refusal."""
    with pytest.raises(ClientError) as refused:
        call()
    response: Any = refused.value.response
    return {**response["Error"], "Status": response["ResponseMetadata"]["HTTPStatusCode"]}


def status_of(answer: Any) -> int:
    status: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status


@pytest.fixture
def photos(s3: S3Client) -> S3Client:
    s3.create_bucket(Bucket="photos")
    return s3


@pytest.mark.parametrize("kind", ARCHIVES)
def test_what_is_archived_is_restored_and_read(photos: S3Client, kind: Any) -> None:
    where: Any = {"Bucket": "photos", "Key": "k"}
    photos.put_object(**where, Body=b"data", StorageClass=kind)
    upload_id = photos.create_multipart_upload(Bucket="photos", Key="u")["UploadId"]
    part: Any = {"Bucket": "photos", "Key": "u", "UploadId": upload_id, "PartNumber": 1, "CopySource": "photos/k"}
    for call, message in (
        (lambda: photos.get_object(**where), READ),
        (lambda: photos.get_object(**where, Range="bytes=0-1"), READ),
        (lambda: photos.copy_object(Bucket="photos", Key="l", CopySource="photos/k"), COPIED),
        (lambda: photos.upload_part_copy(**part), COPIED),
    ):
        error = error_of(call)
        assert (error["Code"], error["Status"], error["Message"], error["StorageClass"]) == (
            "InvalidObjectState", 403, message, kind,
        )  # fmt: skip
    head: Any = photos.head_object(**where)
    assert (head["StorageClass"], head["ContentLength"]) == (kind, 4)
    assert "Restore" not in head
    first = photos.restore_object(**where, RestoreRequest={"Days": 2, "GlacierJobParameters": {"Tier": "Standard"}})
    assert status_of(first) == 202
    assert photos.get_object(**where)["Body"].read() == b"data"
    for answer in (photos.head_object(**where), photos.get_object(**where)):
        shown = re.fullmatch('ongoing-request="false", expiry-date="(.* 00:00:00 GMT)"', answer["Restore"])
        assert shown is not None
        left = parsedate_to_datetime(shown[1]) - dt.datetime.now(dt.UTC)
        assert dt.timedelta(days=2) - dt.timedelta(minutes=1) < left <= dt.timedelta(days=3)
        assert answer["StorageClass"] == kind
    assert status_of(photos.restore_object(**where, RestoreRequest={"Days": 9})) == 200
    photos.copy_object(Bucket="photos", Key="l", CopySource="photos/k")
    photos.upload_part_copy(**part)
    copy: Any = photos.head_object(Bucket="photos", Key="l")
    assert "Restore" not in copy
    assert "StorageClass" not in copy


def test_what_cannot_be_restored(photos: S3Client) -> None:
    where: Any = {"Bucket": "photos", "Key": "k"}
    days: Any = {"RestoreRequest": {"Days": 1}}
    for kind, code, message in (
        ("STANDARD", "InvalidObjectState", NOT_ALLOWED),
        ("GLACIER_IR", "InvalidObjectState", NOT_ALLOWED),
        (
            "INTELLIGENT_TIERING",
            "ObjectAlreadyInActiveTierError",
            "This action is not allowed against this storage tier.",
        ),
    ):
        stored: Any = kind
        photos.put_object(**where, Body=b"data", StorageClass=stored)
        for error in (
            error_of(lambda: photos.restore_object(**where, **days)),
            error_of(lambda: photos.restore_object(**where)),
        ):
            assert (error["Code"], error["Message"], error["Status"]) == (code, message, 403)
            assert error["StorageClass"] == kind
    missing: Any = {"Bucket": "photos", "Key": "none"}
    assert error_of(lambda: photos.restore_object(**missing, **days))["Code"] == "NoSuchKey"


REQUESTS: list[tuple[Any, str, int]] = [
    ({}, "MalformedXML", 400),
    ({"GlacierJobParameters": {"Tier": "Bulk"}}, "MalformedXML", 400),
    ({"Days": 1, "GlacierJobParameters": {"Tier": "Quick"}}, "MalformedXML", 400),
    ({"Days": 1, "Tier": "Quick"}, "MalformedXML", 400),
    ({"Days": 0}, "InvalidArgument", 400),
    ({"Days": 1, "GlacierJobParameters": {"Tier": "Expedited"}}, "InvalidArgument", 400),
    ({"Days": 1, "Tier": "Expedited"}, "InvalidArgument", 400),
    ({"Type": "SELECT"}, "NotImplemented", 501),
]


@pytest.mark.parametrize(("asked", "code", "status"), REQUESTS, ids=range(len(REQUESTS)))
def test_a_wrong_request_is_refused(photos: S3Client, asked: Any, code: str, status: int) -> None:
    where: Any = {"Bucket": "photos", "Key": "k"}
    photos.put_object(**where, Body=b"data", StorageClass="DEEP_ARCHIVE")
    error = error_of(lambda: photos.restore_object(**where, RestoreRequest=asked))
    assert (error["Code"], error["Status"]) == (code, status)
    if code == "InvalidArgument" and asked["Days"]:
        assert error["Message"] == "Retrieval option is not supported by this storage class"
    assert error_of(lambda: photos.get_object(**where))["Code"] == "InvalidObjectState"


@pytest.mark.blobs
def test_each_version_is_restored_for_itself(photos: S3Client) -> None:
    photos.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    where: Any = {"Bucket": "photos", "Key": "k"}
    first = photos.put_object(**where, Body=b"1", StorageClass="GLACIER")["VersionId"]
    photos.put_object(**where, Body=b"2", StorageClass="GLACIER")
    photos.restore_object(**where, VersionId=first, RestoreRequest={"Days": 1})
    assert photos.get_object(**where, VersionId=first)["Body"].read() == b"1"
    assert error_of(lambda: photos.get_object(**where))["Code"] == "InvalidObjectState"


@pytest.mark.parametrize("kind", ["OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_ONTAP", "NONE"])
def test_classes_of_other_buckets_are_refused(photos: S3Client, kind: Any) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"")
    for call in (
        lambda: photos.put_object(Bucket="photos", Key="l", Body=b"", StorageClass=kind),
        lambda: photos.create_multipart_upload(Bucket="photos", Key="l", StorageClass=kind),
        lambda: photos.copy_object(Bucket="photos", Key="l", CopySource="photos/k", StorageClass=kind),
    ):
        error = error_of(call)
        assert (error["Code"], error["Message"]) == (
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        )


@pytest.mark.legacy_acls
def test_who_may_not_restore(photos: S3Client, server: Server) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"", StorageClass="GLACIER", ACL="public-read-write")
    bob = server.client("bob", "bob-secret")
    error = error_of(lambda: bob.restore_object(Bucket="photos", Key="k", RestoreRequest={"Days": 1}))
    assert error["Code"] == "AccessDenied"
    answer = requests.post(f"{server.url}/photos/k?restore", data=b"", timeout=10)
    assert (answer.status_code, re.findall("<Code>(.*)</Code>", answer.text)) == (403, ["AccessDenied"])


def test_what_s3_has_no_more_and_what_is_not_here(photos: S3Client) -> None:
    photos.put_object(Bucket="photos", Key="k", Body=b"")
    error = error_of(lambda: photos.get_object_torrent(Bucket="photos", Key="k"))
    assert (error["Code"], error["Status"]) == ("MethodNotAllowed", 405)
    assert error_of(lambda: photos.get_object_torrent(Bucket="photos", Key="none"))["Code"] == "NoSuchKey"
    select: Any = {
        "Expression": "SELECT * FROM S3Object",
        "ExpressionType": "SQL",
        "InputSerialization": {"CSV": {}},
        "OutputSerialization": {"CSV": {}},
    }
    error = error_of(lambda: photos.select_object_content(Bucket="photos", Key="k", **select))
    assert (error["Code"], error["Status"]) == ("NotImplemented", 501)


@pytest.mark.blobs
def test_listings_show_what_is_restored(photos: S3Client, server: Server) -> None:
    photos.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    where: Any = {"Bucket": "photos", "Key": "k"}
    first = photos.put_object(**where, Body=b"1", StorageClass="GLACIER")["VersionId"]
    photos.put_object(**where, Body=b"2", StorageClass="GLACIER")
    photos.delete_object(**where)
    photos.restore_object(**where, VersionId=first, RestoreRequest={"Days": 1})
    asked: Any = {"Bucket": "photos", "OptionalObjectAttributes": ["RestoreStatus"]}
    rows: list[Any] = photos.list_object_versions(**asked)["Versions"]
    assert [row.get("RestoreStatus", {}).get("IsRestoreInProgress") for row in rows] == [None, False]
    assert "RestoreStatus" not in photos.list_object_versions(Bucket="photos")["Versions"][1]
    page = server.store.list_object_versions("photos")
    found = server.store.restorations_of("photos", page.versions)
    assert [one is None for one in found] == [True, True, False]


def test_a_listing_knows_no_other_attribute(photos: S3Client) -> None:
    wrong: Any = {"Bucket": "photos", "OptionalObjectAttributes": ["RestoreStatus", "Owner"]}
    for call in (photos.list_objects, photos.list_objects_v2, photos.list_object_versions):
        error = error_of(lambda call=call: call(**wrong))  # type: ignore[misc]
        assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "x-amz-optional-object-attributes")


# -- in process, with a clock that a test moves


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slow(clock: Clock) -> Iterator[S3Client]:
    """A restoration takes five hours."""
    with bleepstore.open(clock=clock, restore_delay=dt.timedelta(hours=5)) as store, in_process(store):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=b"data", StorageClass="GLACIER")
        s3.put_object(Bucket="photos", Key="l", Body=b"data")
        yield s3


def expiry_of(restore: str) -> dt.datetime:
    return parsedate_to_datetime(restore.split('"')[3])


def listed(s3: S3Client) -> list[Any]:
    """What three listings say of the restoration of each object."""
    asked: Any = {"Bucket": "photos", "OptionalObjectAttributes": ["RestoreStatus"]}
    pages: list[Any] = [
        s3.list_objects(**asked)["Contents"],
        s3.list_objects_v2(**asked)["Contents"],
        s3.list_object_versions(**asked)["Versions"],
    ]
    return [row.get("RestoreStatus") for rows in pages for row in rows]


def test_a_restoration_takes_time_and_ends(slow: S3Client, clock: Clock) -> None:
    where: Any = {"Bucket": "photos", "Key": "k"}
    days: Any = {"RestoreRequest": {"Days": 1}}
    assert status_of(slow.restore_object(**where, **days)) == 202
    assert slow.head_object(**where)["Restore"] == 'ongoing-request="true"'
    error = error_of(lambda: slow.restore_object(**where, **days))
    assert (error["Code"], error["Status"], error["Message"]) == (
        "RestoreAlreadyInProgress", 409, "Object restore is already in progress",
    )  # fmt: skip
    assert error_of(lambda: slow.get_object(**where))["Code"] == "InvalidObjectState"
    assert listed(slow) == [{"IsRestoreInProgress": True}, None] * 3
    clock.advance(hours=5, minutes=1)
    until = expiry_of(slow.head_object(**where)["Restore"])
    assert listed(slow) == [{"IsRestoreInProgress": False, "RestoreExpiryDate": until}, None] * 3
    assert slow.get_object(**where)["Body"].read() == b"data"
    assert slow.head_object(**where)["Restore"].startswith('ongoing-request="false", expiry-date="')
    clock.advance(days=2)
    assert "Restore" not in slow.head_object(**where)
    assert listed(slow) == [None] * 6
    assert error_of(lambda: slow.get_object(**where))["Code"] == "InvalidObjectState"
    assert status_of(slow.restore_object(**where, **days)) == 202
