"""Listings by boto3: versions 1 and 2, versions, uploads and parts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from bleepstore import Caller
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.usefixtures("bucket")

KEYS = ["a", "b/1", "b/2", "b/c/3", "d/4", "e", "é", "\uffff", "\U0001f600"]
ODD = ["a+b", "a b", "a%2Fb", "a&b<c>", "x=1", "tab\there", "\x01control", "new\nline", "ü"]


def fill(server: Server, keys: list[str]) -> None:
    for key in keys:
        server.store.put_object("photos", key, key.encode(), caller=Caller(server.store.get_bucket("photos").owner))


def keys_of(page: Any) -> list[str]:
    return [entry["Key"] for entry in page.get("Contents", [])]


def prefixes_of(page: Any) -> list[str]:
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


# -- ListObjectsV2


def test_v2_shows_keys_in_the_byte_order_of_utf_8(s3: S3Client, server: Server) -> None:
    fill(server, KEYS[::-1])
    page: Any = s3.list_objects_v2(Bucket="photos")
    assert keys_of(page) == sorted(KEYS, key=str.encode)
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"], page["Name"]) == (9, 1000, False, "photos")
    assert "NextContinuationToken" not in page
    entry = page["Contents"][0]
    assert entry["ETag"] == '"0cc175b9c0f1b6a831c399e269772661"'
    assert (entry["Size"], entry["StorageClass"], "Owner" in entry) == (1, "STANDARD", False)
    assert (entry["ChecksumAlgorithm"], entry["ChecksumType"]) == (["CRC64NVME"], "FULL_OBJECT")


def test_v2_by_prefix_and_delimiter(s3: S3Client, server: Server) -> None:
    fill(server, KEYS)
    for prefix, delimiter, keys, prefixes in (
        ("", "/", ["a", "e", "é", "\uffff", "\U0001f600"], ["b/", "d/"]),
        ("b/", "/", ["b/1", "b/2"], ["b/c/"]),
        ("b", "/", [], ["b/"]),
        ("b/c", "/", [], ["b/c/"]),
        ("b/", "", ["b/1", "b/2", "b/c/3"], []),
        ("none", "/", [], []),
        ("", "/c", ["a", "b/1", "b/2", "d/4", "e", "é", "\uffff", "\U0001f600"], ["b/c"]),
    ):
        page = s3.list_objects_v2(Bucket="photos", Prefix=prefix, Delimiter=delimiter)
        assert (keys_of(page), prefixes_of(page)) == (keys, prefixes), (prefix, delimiter)
        assert page["KeyCount"] == len(keys) + len(prefixes)
        assert page["Prefix"] == prefix
        assert page.get("Delimiter", "") == delimiter


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_v2_in_pages(s3: S3Client, server: Server, size: int, delimiter: str) -> None:
    fill(server, KEYS)
    whole = s3.list_objects_v2(Bucket="photos", Delimiter=delimiter)
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(
            Bucket="photos", Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
    )
    assert [key for page in pages for key in keys_of(page)] == keys_of(whole)
    assert [prefix for page in pages for prefix in prefixes_of(page)] == prefixes_of(whole)
    for page in pages[:-1]:
        assert page["IsTruncated"]
        assert page["NextContinuationToken"]
        assert page["KeyCount"] == size
    assert not pages[-1]["IsTruncated"]


def test_v2_start_after_owner_and_zero(s3: S3Client, server: Server) -> None:
    fill(server, KEYS)
    page = s3.list_objects_v2(Bucket="photos", StartAfter="b/2", FetchOwner=True)
    assert keys_of(page) == ["b/c/3", "d/4", "e", "é", "\uffff", "\U0001f600"]
    assert page["StartAfter"] == "b/2"
    assert page["Contents"][0]["Owner"] == {"ID": "alice-id", "DisplayName": "Alice"}
    first = s3.list_objects_v2(Bucket="photos", StartAfter="b/2", MaxKeys=1)
    second = s3.list_objects_v2(
        Bucket="photos", StartAfter="b/2", MaxKeys=1, ContinuationToken=first["NextContinuationToken"]
    )
    assert keys_of(second) == ["d/4"], "the token has precedence"
    assert second["ContinuationToken"] == first["NextContinuationToken"]
    nothing = s3.list_objects_v2(Bucket="photos", MaxKeys=0)
    assert (keys_of(nothing), nothing["IsTruncated"], nothing["KeyCount"]) == ([], False, 0)
    assert s3.list_objects_v2(Bucket="photos", MaxKeys=5000)["MaxKeys"] == 1000


@pytest.mark.parametrize("version", [1, 2])
def test_odd_keys_survive_by_encoding(s3: S3Client, server: Server, version: int) -> None:
    """boto3 asks for encoding-type=url and decodes what it gets."""
    fill(server, ODD)
    page: Any = s3.list_objects(Bucket="photos") if version == 1 else s3.list_objects_v2(Bucket="photos")
    assert keys_of(page) == sorted(ODD, key=str.encode)
    for key in ODD:
        listed: Any = s3.list_objects_v2(Bucket="photos", Prefix=key, Delimiter=key[-1])
        assert key in keys_of(listed) + prefixes_of(listed)
        assert listed["Prefix"] == key


def test_the_encoding_is_that_of_s3(server: Server, s3: S3Client) -> None:
    fill(server, ["x=1", "a b", "d/é"])
    wire = Wire(server.url)
    encoded = wire.send("GET", "/photos?encoding-type=url&prefix=&delimiter=%2F").body.decode()
    assert "<Key>x%3D1</Key>" in encoded
    assert "<Key>a%20b</Key>" in encoded
    assert "<Prefix>d/</Prefix>" in encoded
    assert "<EncodingType>url</EncodingType>" in encoded
    plain = wire.send("GET", "/photos").body.decode()
    assert "<Key>x=1</Key>" in plain
    assert "<Key>d/é</Key>" in plain
    assert "EncodingType" not in plain


# -- ListObjects


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_v1_in_pages(s3: S3Client, server: Server, size: int, delimiter: str) -> None:
    fill(server, KEYS)
    whole = s3.list_objects(Bucket="photos", Delimiter=delimiter)
    entries: list[str] = []
    marker = ""
    for _ in itertools.count():
        page: Any = s3.list_objects(Bucket="photos", Delimiter=delimiter, MaxKeys=size, Marker=marker)
        entries += sorted(keys_of(page) + prefixes_of(page), key=str.encode)
        assert page["Marker"] == marker
        if not page["IsTruncated"]:
            assert "NextMarker" not in page
            break
        marker = page["NextMarker"] if delimiter else keys_of(page)[-1]
    assert entries == sorted(keys_of(whole) + prefixes_of(whole), key=str.encode)
    assert whole["Contents"][0]["Owner"] == {"ID": "alice-id", "DisplayName": "Alice"}


def test_a_marker_need_not_exist(s3: S3Client, server: Server) -> None:
    fill(server, KEYS)
    assert keys_of(s3.list_objects(Bucket="photos", Marker="b/1x"))[0] == "b/2"
    assert keys_of(s3.list_objects(Bucket="photos", Marker="zzz")) == ["é", "\uffff", "\U0001f600"]
    assert keys_of(s3.list_objects(Bucket="photos", Marker="\U0010ffff")) == []


# -- ListObjectVersions


def test_versions_of_an_unversioned_bucket(s3: S3Client, server: Server) -> None:
    fill(server, KEYS)
    pages = s3.get_paginator("list_object_versions").paginate(Bucket="photos", PaginationConfig={"PageSize": 2})
    found = [version for page in pages for version in page.get("Versions", [])]
    assert [version["Key"] for version in found] == sorted(KEYS, key=str.encode)
    assert {version["VersionId"] for version in found} == {"null"}
    assert all(version["IsLatest"] for version in found)
    rolled = s3.list_object_versions(Bucket="photos", Delimiter="/")
    assert prefixes_of(rolled) == ["b/", "d/"]


@pytest.mark.parametrize("value", ["", "0", "1", "3", "bogus"])
def test_any_other_list_type_is_the_first_listing(server: Server, value: str) -> None:
    fill(server, ["a", "b"])
    page = Wire(server.url).send("GET", f"/photos?list-type={value}&marker=a")
    assert page.status == 200
    assert b"<Marker>a</Marker>" in page.body
    assert b"<KeyCount>" not in page.body


# -- uploads


def test_uploads(s3: S3Client) -> None:
    made: dict[str, list[str]] = {}
    for key in ("k", "a/1", "k", "a/2", "z"):
        upload_id = s3.create_multipart_upload(Bucket="photos", Key=key, StorageClass="GLACIER")["UploadId"]
        made.setdefault(key, []).append(upload_id)
    whole = s3.list_multipart_uploads(Bucket="photos")
    expected = [(key, upload_id) for key in sorted(made) for upload_id in made[key]]
    assert [(u["Key"], u["UploadId"]) for u in whole["Uploads"]] == expected
    first = whole["Uploads"][0]
    assert first["Initiator"]["ID"] == first["Owner"]["ID"] == "alice-id"
    assert (first["StorageClass"], first["Initiated"].tzname()) == ("GLACIER", "UTC")
    assert (whole["MaxUploads"], whole["IsTruncated"], "Prefix" in whole) == (1000, False, False)
    for size in (1, 2, 3):
        pages = s3.get_paginator("list_multipart_uploads").paginate(
            Bucket="photos", PaginationConfig={"PageSize": size}
        )
        assert [(u["Key"], u["UploadId"]) for page in pages for u in page.get("Uploads", [])] == expected
    rolled = s3.list_multipart_uploads(Bucket="photos", Delimiter="/")
    assert prefixes_of(rolled) == ["a/"]
    assert [u["Key"] for u in rolled["Uploads"]] == ["k", "k", "z"]
    within = s3.list_multipart_uploads(Bucket="photos", Prefix="a/")
    assert ([u["Key"] for u in within["Uploads"]], within["Prefix"]) == (["a/1", "a/2"], "a/")
    after = s3.list_multipart_uploads(Bucket="photos", KeyMarker="a/2")
    assert [u["Key"] for u in after["Uploads"]] == ["k", "k", "z"]
    nothing: Any = s3.list_multipart_uploads(Bucket="photos", MaxUploads=0)
    assert ("Uploads" in nothing, nothing["IsTruncated"]) == (False, False)


def test_parts(s3: S3Client, server: Server) -> None:
    upload = s3.create_multipart_upload(Bucket="photos", Key="k&<", ChecksumAlgorithm="CRC32")
    for number in (1, 3, 4, 10_000):
        s3.upload_part(
            Bucket="photos", Key="k&<", UploadId=upload["UploadId"], PartNumber=number, Body=b"x" * (number % 100)
        )
    whole = s3.list_parts(Bucket="photos", Key="k&<", UploadId=upload["UploadId"])
    assert [(part["PartNumber"], part["Size"]) for part in whole["Parts"]] == [(1, 1), (3, 3), (4, 4), (10_000, 0)]
    assert (whole["Key"], whole["StorageClass"], whole["ChecksumAlgorithm"]) == ("k&<", "STANDARD", "CRC32")
    assert whole["ChecksumType"] == "COMPOSITE"
    assert all(part["ETag"] and part["LastModified"].tzinfo and part["ChecksumCRC32"] for part in whole["Parts"])
    for size in (1, 2, 3):
        pages = s3.get_paginator("list_parts").paginate(
            Bucket="photos", Key="k&<", UploadId=upload["UploadId"], PaginationConfig={"PageSize": size}
        )
        assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 3, 4, 10_000]
    rest = s3.list_parts(Bucket="photos", Key="k&<", UploadId=upload["UploadId"], PartNumberMarker=3)
    assert [part["PartNumber"] for part in rest["Parts"]] == [4, 10_000]
    with failure("NoSuchUpload", 404):
        s3.list_parts(Bucket="photos", Key="k&<", UploadId="absent")
    wire = Wire(server.url)
    answer = wire.send("GET", f"/photos/{quote('k&<')}?uploadId={upload['UploadId']}&max-parts=x")
    assert answer.code == "InvalidArgument"


def test_a_thousand_keys_are_one_page(s3: S3Client, server: Server) -> None:
    fill(server, [f"{number:04d}" for number in range(1001)])
    page = s3.list_objects_v2(Bucket="photos")
    assert (page["KeyCount"], page["IsTruncated"]) == (1000, True)
    rest = s3.list_objects_v2(Bucket="photos", ContinuationToken=page["NextContinuationToken"])
    assert keys_of(rest) == ["1000"]
