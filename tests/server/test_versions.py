"""Versions, by boto3: over HTTP, and in the same process without a socket."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore
from bleepstore_server import client_for
from tests.server.conftest import ALICE, Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stores("local", "cluster")

NO_VERSION = "x" * 32
ENABLED: Any = {"Status": "Enabled"}
SUSPENDED: Any = {"Status": "Suspended"}
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def server_without_keys(store: bleepstore.Store, store_kind: str) -> None:
    if store_kind.endswith("-keys"):
        pytest.skip("one object is stored under each key")


@pytest.fixture
def s3(server_without_keys: None, server: Server) -> Iterator[S3Client]:
    """A client of a server that has the bucket photos, with versioning."""
    client = server.client()
    client.create_bucket(Bucket="photos")
    client.put_bucket_versioning(Bucket="photos", VersioningConfiguration=ENABLED)
    yield client
    client.close()


def put(s3: S3Client, body: bytes, key: str = "k") -> str:
    return s3.put_object(Bucket="photos", Key=key, Body=body)["VersionId"]


def body_of(s3: S3Client, **version: Any) -> bytes:
    with s3.get_object(Bucket="photos", Key="k", **version)["Body"] as body:
        return body.read()


def ids(s3: S3Client) -> list[str]:
    """Of the versions, the newest first, then of the delete markers."""
    page = s3.list_object_versions(Bucket="photos")
    return [row["VersionId"] for row in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]


def headers_of(answer: Any) -> dict[str, str]:
    headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers


# -- the configuration


def test_a_bucket_has_no_versioning_until_it_is_set(s3: S3Client) -> None:
    s3.create_bucket(Bucket="plain")
    assert "Status" not in s3.get_bucket_versioning(Bucket="plain")
    for state in (ENABLED, SUSPENDED, ENABLED):
        s3.put_bucket_versioning(Bucket="plain", VersioningConfiguration=state)
        found = s3.get_bucket_versioning(Bucket="plain")
        assert found["Status"] == state["Status"]
        assert "MFADelete" not in found
    put_plain = s3.put_object(Bucket="plain", Key="k")
    assert len(put_plain["VersionId"]) == 32


@pytest.mark.parametrize(
    ("document", "code", "status"),
    [
        ("<VersioningConfiguration/>", "IllegalVersioningConfigurationException", 400),
        ("<VersioningConfiguration><Status>On</Status></VersioningConfiguration>", "MalformedXML", 400),
        ("<VersioningConfiguration><Status/></VersioningConfiguration>", "MalformedXML", 400),
        ("<Versioning><Status>Enabled</Status></Versioning>", "MalformedXML", 400),
        ("", "MissingRequestBodyError", 400),
        (
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>",
            "NotImplemented",
            501,
        ),
        (
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>on</MfaDelete></VersioningConfiguration>",
            "MalformedXML",
            400,
        ),
    ],
)
def test_a_wrong_configuration_is_refused(server: Server, s3: S3Client, document: str, code: str, status: int) -> None:
    s3.create_bucket(Bucket="plain")
    answer = Wire(server.url).send("PUT", "/plain?versioning", document.encode())
    assert (answer.status, answer.error["Code"]) == (status, code)
    assert "Status" not in s3.get_bucket_versioning(Bucket="plain")


def test_mfa_delete_can_be_off(s3: S3Client) -> None:
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Suspended", "MFADelete": "Disabled"})
    assert s3.get_bucket_versioning(Bucket="photos")["Status"] == "Suspended"


@pytest.mark.legacy_acls
def test_versioning_is_the_owners(s3: S3Client, server: Server) -> None:
    s3.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    bob = server.client("bob", "bob-secret")
    with failure("AccessDenied", 403):
        bob.put_bucket_versioning(Bucket="photos", VersioningConfiguration=SUSPENDED)
    with failure("AccessDenied", 403):
        bob.get_bucket_versioning(Bucket="photos")
    version_id = put(s3, b"1")
    with failure("AccessDenied", 403):
        bob.delete_object(Bucket="photos", Key="k", VersionId=version_id)
    with failure("AccessDenied", 403):
        bob.get_object(Bucket="photos", Key="k", VersionId=version_id)
    assert len(bob.list_object_versions(Bucket="photos")["Versions"]) == 1
    s3.put_bucket_acl(Bucket="photos", ACL="private")
    with failure("AccessDenied", 403):
        bob.list_object_versions(Bucket="photos")
    with failure("NoSuchBucket", 404):
        s3.put_bucket_versioning(Bucket="nowhere", VersioningConfiguration=ENABLED)


@pytest.mark.stores("aws-keys")
def test_a_store_in_layout_keys_says_what_versioning_needs(
    store: bleepstore.Store, store_kind: str, server: Server
) -> None:
    if not store_kind.endswith("-keys"):
        pytest.skip("this store keeps versions")
    s3 = server.client()
    s3.create_bucket(Bucket="photos")
    with failure("NotImplemented", 501) as told:
        s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration=ENABLED)
    assert "layout 'blobs'" in told["Error"]["Message"]


@pytest.mark.stores("aws-keys")
def test_a_store_in_layout_keys_says_what_object_lock_needs(
    store: bleepstore.Store, store_kind: str, server: Server
) -> None:
    if not store_kind.endswith("-keys"):
        pytest.skip("only where one object is stored under each key")
    s3 = server.client()
    with failure("NotImplemented", 501) as told:
        s3.create_bucket(Bucket="photos", ObjectLockEnabledForBucket=True)
    assert "blobs" in told["Error"]["Message"]
    assert store.list_buckets().buckets == []
    s3.close()


# -- writes and reads


def test_every_answer_names_the_version(s3: S3Client) -> None:
    first = s3.put_object(Bucket="photos", Key="k", Body=b"1")["VersionId"]
    copied = s3.copy_object(Bucket="photos", Key="k", CopySource="photos/k", MetadataDirective="REPLACE")
    second = copied["VersionId"]
    assert copied["CopySourceVersionId"] == first
    assert s3.head_object(Bucket="photos", Key="k")["VersionId"] == second
    assert s3.get_object(Bucket="photos", Key="k")["VersionId"] == second
    assert s3.get_object(Bucket="photos", Key="k", VersionId=first)["VersionId"] == first
    found = s3.get_object_attributes(Bucket="photos", Key="k", VersionId=first, ObjectAttributes=["ETag"])
    assert found["VersionId"] == first
    upload = s3.create_multipart_upload(Bucket="photos", Key="k")["UploadId"]
    source: Any = {"Bucket": "photos", "Key": "k", "VersionId": first}
    part = s3.upload_part_copy(Bucket="photos", Key="k", UploadId=upload, PartNumber=1, CopySource=source)
    assert part["CopySourceVersionId"] == first
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    done = s3.complete_multipart_upload(Bucket="photos", Key="k", UploadId=upload, MultipartUpload=parts)
    third = done["VersionId"]
    marker = s3.delete_object(Bucket="photos", Key="k")
    assert marker["DeleteMarker"] is True
    page = s3.list_object_versions(Bucket="photos")
    assert [row["VersionId"] for row in page["Versions"]] == [third, second, first]
    assert [row["VersionId"] for row in page["DeleteMarkers"]] == [marker["VersionId"]]
    assert body_of(s3, VersionId=second) == body_of(s3, VersionId=third) == b"1"


def test_a_bucket_without_versioning_names_none(s3: S3Client) -> None:
    s3.create_bucket(Bucket="plain")
    answers: list[Any] = [
        s3.put_object(Bucket="plain", Key="k", Body=b"1"),
        s3.head_object(Bucket="plain", Key="k"),
        s3.copy_object(Bucket="plain", Key="k2", CopySource="plain/k"),
        s3.delete_object(Bucket="plain", Key="k"),
    ]
    for answer in answers:
        assert not any("version-id" in name or "delete-marker" in name for name in headers_of(answer))
    (row,) = s3.list_object_versions(Bucket="plain")["Versions"]
    assert (row["VersionId"], row["IsLatest"]) == ("null", True)


def test_suspended_versions_have_the_id_null(s3: S3Client) -> None:
    first = put(s3, b"1")
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration=SUSPENDED)
    assert put(s3, b"2") == "null"
    assert s3.head_object(Bucket="photos", Key="k")["VersionId"] == "null"
    deleted = s3.delete_object(Bucket="photos", Key="k")
    assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, "null")
    assert put(s3, b"3") == "null"
    assert ids(s3) == ["null", first]
    removed = s3.delete_object(Bucket="photos", Key="k", VersionId="null")
    assert removed["VersionId"] == "null"
    assert removed.get("DeleteMarker") is None
    assert body_of(s3) == b"1"


def test_a_form_writes_a_version(s3: S3Client, server: Server) -> None:
    import requests

    form = s3.generate_presigned_post("photos", "k")
    answer = requests.post(form["url"], data=form["fields"], files={"file": b"1"}, timeout=30)
    assert answer.status_code == 204
    assert answer.headers["x-amz-version-id"] == ids(s3)[0]


def test_a_version_that_is_not_there(s3: S3Client) -> None:
    version_id = put(s3, b"1")
    with failure("NoSuchVersion", 404) as told:
        s3.get_object(Bucket="photos", Key="k", VersionId=NO_VERSION)
    assert told["Error"]["VersionId"] == NO_VERSION
    assert told["Error"]["Key"] == "k"
    with failure("NoSuchVersion", 404):
        s3.get_object_acl(Bucket="photos", Key="other", VersionId=version_id)
    with failure("404", 404):
        s3.head_object(Bucket="photos", Key="k", VersionId=NO_VERSION)
    with failure("NoSuchVersion", 404):
        s3.copy_object(Bucket="photos", Key="c", CopySource={"Bucket": "photos", "Key": "k", "VersionId": NO_VERSION})
    gone = s3.delete_object(Bucket="photos", Key="k", VersionId=NO_VERSION)
    assert gone["VersionId"] == NO_VERSION
    assert ids(s3) == [version_id]


# -- delete markers


def test_a_key_whose_latest_version_is_a_marker(s3: S3Client) -> None:
    put(s3, b"1")
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    asked: Any = {"Bucket": "photos", "Key": "k"}
    calls: list[Any] = [s3.get_object, s3.get_object_acl, s3.get_object_attributes]
    for call in calls:
        with failure("NoSuchKey", 404) as told:
            call(**asked, **({"ObjectAttributes": ["ETag"]} if call == s3.get_object_attributes else {}))
        headers = headers_of(told)
        assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
        assert told["Error"]["Key"] == "k"
    with failure("404", 404) as told:
        s3.head_object(**asked)
    assert headers_of(told)["x-amz-delete-marker"] == "true"
    assert "Contents" not in s3.list_objects_v2(Bucket="photos")


@pytest.mark.parametrize("operation", ["get_object", "head_object", "get_object_acl", "get_object_attributes"])
def test_a_marker_by_its_id(s3: S3Client, operation: str) -> None:
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    (row,) = s3.list_object_versions(Bucket="photos")["DeleteMarkers"]
    options: Any = {"ObjectAttributes": ["ETag"]} if operation == "get_object_attributes" else {}
    code = "405" if operation == "head_object" else "MethodNotAllowed"
    with failure(code, 405) as told:
        getattr(s3, operation)(Bucket="photos", Key="k", VersionId=marker, **options)
    headers = headers_of(told)
    assert headers["allow"] == "DELETE"
    assert headers["x-amz-delete-marker"] == "true"
    assert headers["last-modified"] == row["LastModified"].strftime("%a, %d %b %Y %H:%M:%S GMT")
    if code == "MethodNotAllowed":
        assert told["Error"]["ResourceType"] == "DeleteMarker"
        assert told["Error"]["Message"] == "The specified method is not allowed against this resource."


def test_a_marker_is_no_source_of_a_copy(s3: S3Client) -> None:
    put(s3, b"1")
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    with failure("InvalidRequest", 400) as told:
        s3.copy_object(Bucket="photos", Key="c", CopySource={"Bucket": "photos", "Key": "k", "VersionId": marker})
    assert told["Error"]["Message"] == (
        "The source of a copy request may not specifically refer to a delete marker by version id."
    )
    with failure("NoSuchKey", 404):
        s3.copy_object(Bucket="photos", Key="c", CopySource="photos/k")


def test_a_marker_that_is_removed(s3: S3Client) -> None:
    version_id = put(s3, b"1")
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    removed = s3.delete_object(Bucket="photos", Key="k", VersionId=marker)
    assert (removed["DeleteMarker"], removed["VersionId"]) == (True, marker)
    assert body_of(s3) == b"1"
    removed = s3.delete_object(Bucket="photos", Key="k", VersionId=version_id)
    assert removed.get("DeleteMarker") is None
    assert removed["VersionId"] == version_id


def test_conditions_of_deletes(s3: S3Client) -> None:
    first = s3.put_object(Bucket="photos", Key="k", Body=b"1")
    second = s3.put_object(Bucket="photos", Key="k", Body=b"2")
    with failure("PreconditionFailed", 412):
        s3.delete_object(Bucket="photos", Key="k", IfMatch=first["ETag"])
    with failure("PreconditionFailed", 412):
        s3.delete_object(Bucket="photos", Key="k", VersionId=first["VersionId"], IfMatch=first["ETag"])
    s3.delete_object(Bucket="photos", Key="k", VersionId=first["VersionId"], IfMatch=second["ETag"])
    assert s3.delete_object(Bucket="photos", Key="k", IfMatch=second["ETag"])["DeleteMarker"]
    with failure("NoSuchKey", 404):
        s3.delete_object(Bucket="photos", Key="k", IfMatch="*")


def test_deletes_of_many(s3: S3Client) -> None:
    first, second = put(s3, b"1"), put(s3, b"2")
    asked: Any = [
        {"Key": "k", "VersionId": first},
        {"Key": "k", "VersionId": second},
        {"Key": "k"},
        {"Key": "k", "VersionId": "abc"},
    ]
    answer = s3.delete_objects(Bucket="photos", Delete={"Objects": asked})
    (marker,) = ids(s3)
    assert answer["Deleted"] == [
        {"Key": "k", "VersionId": first},
        {"Key": "k", "VersionId": second},
        {"Key": "k", "DeleteMarker": True, "DeleteMarkerVersionId": marker},
    ]
    (error,) = answer["Errors"]
    assert (error["Code"], error["VersionId"]) == ("NoSuchVersion", "abc")
    answer = s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "k", "VersionId": marker}]})
    assert answer["Deleted"] == [
        {"Key": "k", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker}
    ]
    quiet = s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "k"}], "Quiet": True})
    assert quiet.get("Deleted") is None
    assert len(ids(s3)) == 1


def test_a_bucket_with_versions_is_not_deleted(s3: S3Client) -> None:
    s3.delete_object(Bucket="photos", Key="k")
    with failure("BucketNotEmpty", 409) as told:
        s3.delete_bucket(Bucket="photos")
    assert told["Error"]["Message"] == (
        "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    )
    s3.delete_object(Bucket="photos", Key="k", VersionId=ids(s3)[0])
    s3.delete_bucket(Bucket="photos")


@pytest.mark.legacy_acls
def test_acls_of_versions(s3: S3Client) -> None:
    first, second = put(s3, b"1"), put(s3, b"2")
    s3.put_object_acl(Bucket="photos", Key="k", VersionId=first, ACL="public-read")

    def grants(**version: Any) -> list[str]:
        found = s3.get_object_acl(Bucket="photos", Key="k", **version)["Grants"]
        return [one["Grantee"].get("URI", "") for one in found]

    assert grants(VersionId=first) == ["", ALL_USERS]
    assert grants(VersionId=second) == grants() == [""]
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    with failure("MethodNotAllowed", 405):
        s3.put_object_acl(Bucket="photos", Key="k", VersionId=marker, ACL="public-read")


# -- listings


@pytest.fixture
def filled(s3: S3Client) -> S3Client:
    for key in ("a", "b/1", "b/2", "c", "b/1", "a", "d <&>\u00fc/x", "c"):
        put(s3, b"", key)
    for key in ("b/2", "c"):
        s3.delete_object(Bucket="photos", Key=key)
    return s3


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("options", [{}, {"Prefix": "b/"}, {"Delimiter": "/"}, {"EncodingType": "url"}])
def test_pages_have_everything_once(filled: S3Client, size: int, options: Any) -> None:
    whole: Any = filled.list_object_versions(Bucket="photos", **options)
    assert not whole["IsTruncated"]
    assert whole["Name"] == "photos"
    paginator = filled.get_paginator("list_object_versions")
    pages: Any = list(paginator.paginate(Bucket="photos", PaginationConfig={"PageSize": size}, **options))
    for name in ("Versions", "DeleteMarkers", "CommonPrefixes"):
        assert [row for page in pages for row in page.get(name, [])] == whole.get(name, [])
    for page in pages[:-1]:
        assert page["IsTruncated"]
        assert sum(len(page.get(name, [])) for name in ("Versions", "DeleteMarkers", "CommonPrefixes")) == size
        prefixes = [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        assert ("NextVersionIdMarker" in page) == (page["NextKeyMarker"] not in prefixes)
    for before, page in itertools.pairwise(pages):
        assert page["KeyMarker"] == before["NextKeyMarker"]
        assert page["VersionIdMarker"] == before.get("NextVersionIdMarker", "")
    if not options:
        first = pages[0]
        rows = [*first.get("Versions", []), *first.get("DeleteMarkers", [])]
        if size == 1:
            assert first["NextVersionIdMarker"] == rows[-1]["VersionId"]


def test_rows_say_what_they_are(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"12", StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    s3.delete_object(Bucket="photos", Key="k")
    page = s3.list_object_versions(Bucket="photos")
    (version,), (marker,) = page["Versions"], page["DeleteMarkers"]
    assert (version["Size"], version["StorageClass"], version["IsLatest"]) == (2, "STANDARD_IA", False)
    assert (version["ChecksumAlgorithm"], version["ChecksumType"]) == (["SHA256"], "FULL_OBJECT")
    assert marker["IsLatest"] is True
    assert version["Owner"] == marker["Owner"] == {"ID": ALICE.id, "DisplayName": "Alice"}
    assert marker.keys() == {"Owner", "Key", "VersionId", "IsLatest", "LastModified"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"VersionIdMarker": "null"}, "A version-id marker cannot be specified without a key marker."),
        ({"KeyMarker": "k", "VersionIdMarker": ""}, "A version-id marker cannot be empty."),
        ({"KeyMarker": "k", "VersionIdMarker": "abc"}, "Invalid version id specified"),
    ],
)
def test_a_wrong_marker_is_refused(s3: S3Client, options: Any, message: str) -> None:
    with failure("InvalidArgument", 400) as told:
        s3.list_object_versions(Bucket="photos", **options)
    assert told["Error"]["Message"] == message
    assert told["Error"]["ArgumentName"] == "version-id-marker"


def test_boto3_empties_a_bucket(s3: S3Client, server: Server) -> None:
    import boto3

    for number in range(30):
        put(s3, b"", f"k{number % 3}")
        s3.delete_object(Bucket="photos", Key=f"k{number % 3}")
    resource = boto3.resource(
        "s3", endpoint_url=server.url, aws_access_key_id="alice", aws_secret_access_key="alice-secret",
        region_name="us-east-1",
    )  # fmt: skip
    bucket = resource.Bucket("photos")
    bucket.object_versions.page_size(7).delete()
    assert ids(s3) == []
    bucket.delete()
    resource.meta.client.close()


# -- without a socket


def test_versions_in_process(store: bleepstore.Store, server_without_keys: None) -> None:
    s3 = client_for(store)
    s3.create_bucket(Bucket="photos")
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration=ENABLED)
    first, second = put(s3, b"1"), put(s3, b"2")
    marker = s3.delete_object(Bucket="photos", Key="k")["VersionId"]
    with failure("MethodNotAllowed", 405) as told:
        s3.get_object(Bucket="photos", Key="k", VersionId=marker)
    assert headers_of(told)["allow"] == "DELETE"
    assert (body_of(s3, VersionId=first), body_of(s3, VersionId=second)) == (b"1", b"2")
    assert ids(s3) == [second, first, marker]
    assert store.list_object_versions("photos").versions[0].version_id == marker
    s3.close()
