"""Rules of versions and locks at their edges, by boto3: over HTTP, and in the same process without a socket."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore
from bleepstore_server import client_for
from tests.server.conftest import Server
from tests.server.tools import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(params=["http", "in process"])
def s3(request: pytest.FixtureRequest, store: bleepstore.Store, store_kind: str) -> Iterator[S3Client]:
    """With the bucket photos, which keeps versions and can lock them."""
    if store_kind.endswith("-keys"):
        pytest.skip("one object is stored under each key")
    if request.param == "http":
        server: Server = request.getfixturevalue("server")
        client = server.client()
    else:
        client = client_for(store)
    client.create_bucket(Bucket="photos", ObjectLockEnabledForBucket=True)
    yield client
    client.close()


def put(s3: S3Client, key: str = "k", body: bytes = b"1", **options: Any) -> str:
    return s3.put_object(Bucket="photos", Key=key, Body=body, **options)["VersionId"]


def test_a_page_goes_on_though_the_version_it_ended_with_is_gone(s3: S3Client) -> None:
    """Nothing is left out: the page begins with the newest of that key, which may be shown once more."""
    versions = [(key, put(s3, key)) for key in ("a", "k", "k", "k", "z")]
    page = s3.list_object_versions(Bucket="photos", MaxKeys=3)
    marker = page["NextKeyMarker"], page["NextVersionIdMarker"]
    assert marker[0] == "k"
    s3.delete_object(Bucket="photos", Key="k", VersionId=marker[1])
    rest = s3.list_object_versions(Bucket="photos", KeyMarker=marker[0], VersionIdMarker=marker[1])
    shown = {(row["Key"], row["VersionId"]) for row in (*page["Versions"], *rest["Versions"])}
    assert shown == set(versions)
    assert not rest["IsTruncated"]


def test_a_write_condition_looks_through_no_delete_marker(s3: S3Client) -> None:
    """ "If-Match": 404 where the current version is a delete marker. "If-None-Match" finds nothing there."""
    version_id = put(s3)
    etag = s3.head_object(Bucket="photos", Key="k")["ETag"]
    s3.delete_object(Bucket="photos", Key="k")
    upload = s3.create_multipart_upload(Bucket="photos", Key="k")["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="k", UploadId=upload, PartNumber=1, Body=b"1")["ETag"]
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    source: Any = {"Bucket": "photos", "Key": "k", "VersionId": version_id}
    for call in (
        lambda: s3.put_object(Bucket="photos", Key="k", IfMatch=etag),
        lambda: s3.copy_object(Bucket="photos", Key="k", CopySource=source, IfMatch=etag),
        lambda: s3.complete_multipart_upload(
            Bucket="photos", Key="k", UploadId=upload, MultipartUpload=parts, IfMatch=etag
        ),
        lambda: s3.delete_object(Bucket="photos", Key="k", IfMatch=etag),
        lambda: s3.delete_object(Bucket="photos", Key="k", IfMatch="*"),
    ):
        with failure("NoSuchKey", 404):
            call()
    assert len(s3.list_object_versions(Bucket="photos")["Versions"]) == 1
    assert len(s3.list_object_versions(Bucket="photos")["DeleteMarkers"]) == 1
    put(s3, IfNoneMatch="*")
    with failure("PreconditionFailed", 412):
        put(s3, IfNoneMatch="*")


OF_VERSIONS: dict[str, dict[str, Any]] = {
    "get_object_tagging": {},
    "put_object_tagging": {"Tagging": {"TagSet": []}},
    "delete_object_tagging": {},
    "put_object_acl": {"ACL": "private"},
    "get_object_retention": {},
    "put_object_retention": {
        "Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": dt.datetime(2099, 1, 1, tzinfo=dt.UTC)}
    },
    "get_object_legal_hold": {},
    "put_object_legal_hold": {"LegalHold": {"Status": "ON"}},
    "restore_object": {"RestoreRequest": {"Days": 1}},
    "update_object_encryption": {
        "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/orders"}}
    },
}


@pytest.mark.parametrize("operation", OF_VERSIONS)
def test_what_no_operation_finds(s3: S3Client, operation: str) -> None:
    """A delete marker by its id, one that is the latest version, an id of no version, and what is no id."""
    call, options = getattr(s3, operation), {"Bucket": "photos", "Key": "k", **OF_VERSIONS[operation]}
    put(s3)
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    with failure("MethodNotAllowed", 405) as refused:
        call(**options, VersionId=marker)
    headers: Any = refused["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["allow"], headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("DELETE", "true", marker)
    with failure("NoSuchKey", 404) as refused:
        call(**options)
    headers = refused["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
    with failure("NoSuchVersion", 404) as refused:
        call(**options, VersionId="x" * 32)
    assert refused["Error"]["VersionId"] == "x" * 32
    with failure("InvalidArgument", 400) as refused:
        call(**options, VersionId="nope!")
    assert refused["Error"]["Message"] == "Invalid version id specified"


def test_a_delete_of_many_goes_in_order(s3: S3Client) -> None:
    """Versions and markers of one key, a version twice; what is locked stays, and is all that a quiet one names."""
    first, second = put(s3), put(s3)
    s3.put_object_legal_hold(Bucket="photos", Key="k", VersionId=first, LegalHold={"Status": "ON"})
    entries: Any = [{"Key": "k", "VersionId": second}] * 2 + [{"Key": "k"}] * 2 + [{"Key": "k", "VersionId": first}]
    answer = s3.delete_objects(Bucket="photos", Delete={"Objects": entries})
    assert [row.get("VersionId") for row in answer["Deleted"]] == [second, second, None, None]
    assert [row["VersionId"] for row in answer["Errors"]] == [first]
    markers = [row["VersionId"] for row in s3.list_object_versions(Bucket="photos")["DeleteMarkers"]]
    assert markers == [row["DeleteMarkerVersionId"] for row in answer["Deleted"][:1:-1]]
    gone: Any = [{"Key": "k", "VersionId": one} for one in (*markers, first)]
    quiet: Any = s3.delete_objects(Bucket="photos", Delete={"Objects": gone, "Quiet": True})
    assert "Deleted" not in quiet
    assert [row["Code"] for row in quiet["Errors"]] == ["AccessDenied"]
    assert [row["IsLatest"] for row in s3.list_object_versions(Bucket="photos")["Versions"]] == [True]
    nothing: Any = s3.list_object_versions(Bucket="photos", MaxKeys=0)
    assert (nothing["IsTruncated"], nothing["MaxKeys"], "Versions" in nothing) == (False, 0, False)


def test_conditions_of_directory_buckets_are_refused(s3: S3Client) -> None:
    version_id = put(s3)
    for options in (
        {"IfMatchSize": 1},
        {"IfMatchLastModifiedTime": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)},
    ):
        for version in ({}, {"VersionId": version_id}):
            with failure("NotImplemented", 501):
                s3.delete_object(Bucket="photos", Key="k", **options, **version)  # type: ignore[arg-type]
    assert [row["VersionId"] for row in s3.list_object_versions(Bucket="photos")["Versions"]] == [version_id]


def test_a_completion_sent_again_locks_nothing_anew(s3: S3Client) -> None:
    """Its answer is the first one, and the default retention is that of then."""
    rule: Any = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket="photos", ObjectLockConfiguration=rule)
    upload = s3.create_multipart_upload(Bucket="photos", Key="k")["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="k", UploadId=upload, PartNumber=1, Body=b"1")["ETag"]
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    where: Any = {"Bucket": "photos", "Key": "k"}
    first = s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    kept = s3.get_object_retention(**where)["Retention"]
    rule["Rule"]["DefaultRetention"]["Days"] = 5
    s3.put_object_lock_configuration(Bucket="photos", ObjectLockConfiguration=rule)
    again = s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    assert (again["VersionId"], again["ETag"]) == (first["VersionId"], first["ETag"])
    assert s3.get_object_retention(**where)["Retention"] == kept
    assert len(s3.list_object_versions(Bucket="photos")["Versions"]) == 1


@pytest.mark.parametrize(
    ("period", "message"),
    [
        ({"Days": 36_501}, "Default retention period is too large"),
        ({"Years": 101}, "Default retention period is too large"),
        ({"Days": 0}, "Default retention period must be a positive integer value."),
        ({"Years": -1}, "Default retention period must be a positive integer value."),
    ],
    ids=str,
)
def test_a_default_retention_is_within_limits(s3: S3Client, period: dict[str, int], message: str) -> None:
    rule: Any = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", **period}}}
    with failure("InvalidRetentionPeriod", 400) as refused:
        s3.put_object_lock_configuration(Bucket="photos", ObjectLockConfiguration=rule)
    assert refused["Error"]["Message"] == message
    assert "Rule" not in s3.get_object_lock_configuration(Bucket="photos")["ObjectLockConfiguration"]


def test_tags_of_a_bucket_are_fifty_at_most(s3: S3Client) -> None:
    tags: Any = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]
    with failure("BadRequest", 400) as refused:
        s3.put_bucket_tagging(Bucket="photos", Tagging={"TagSet": tags})
    assert refused["Error"]["Message"] == "Bucket tag count cannot be greater than 50"
    with failure("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket="photos")


@pytest.mark.parametrize("days", [0, -1, 100_001])
def test_days_of_a_restore_are_within_limits(s3: S3Client, days: int) -> None:
    put(s3, StorageClass="GLACIER")
    with failure("InvalidArgument", 400):
        s3.restore_object(Bucket="photos", Key="k", RestoreRequest={"Days": days})
    assert "Restore" not in s3.head_object(Bucket="photos", Key="k")


def test_a_device_for_deletes_is_no_matter_here(s3: S3Client) -> None:
    """ "x-amz-mfa" is required where MFA Delete is enabled, which no bucket here can have."""
    version_id = put(s3)
    s3.delete_object(Bucket="photos", Key="k", VersionId=version_id, MFA="serial 123456")
    configuration: Any = {"Status": "Enabled", "MFADelete": "Enabled"}
    with failure("NotImplemented", 501) as refused:
        s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration=configuration, MFA="serial 123456")
    assert "MFA Delete" in refused["Error"]["Message"]
