"""Inventories: configured by boto3, made by the job, read as Athena and people read them."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import importlib.util
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from pyarrow import orc, parquet

import bleepstore
from bleepstore import Caller
from bleepstore.configurations import SHAPES, ConfigurationKind
from bleepstore.store import inventories
from bleepstore.testing.clock import Clock
from bleepstore_server import client_for
from tests.server.conftest import ALICE
from tests.server.tools import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The sample of the user guide, but for its names.
ALLOWED: dict[str, Any] = {
    "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::lists/*",
    "Condition": {
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:::photos"},
        "StringEquals": {"aws:SourceAccount": "alice-id", "s3:x-amz-acl": "bucket-owner-full-control"},
    },
}  # fmt: skip
ALL_FIELDS = sorted(SHAPES[ConfigurationKind.INVENTORY].members["OptionalFields"].item.choices)  # type: ignore[union-attr]
#: A Tuesday.
NOON = datetime(2030, 1, 1, 12, 34, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def stored(clock: Clock) -> Iterator[bleepstore.Store]:
    with bleepstore.open(clock=clock) as opened:
        yield opened


@pytest.fixture
def s3(stored: bleepstore.Store) -> Iterator[S3Client]:
    stored.put_credential("alice", "alice-secret", owner=ALICE)
    client = client_for(stored, access_key="alice", secret_key="alice-secret")
    for bucket in ("photos", "lists"):
        stored.create_bucket(bucket, caller=Caller(ALICE))
    allow(client)
    yield client
    client.close()


def allow(s3: S3Client, *more: dict[str, Any]) -> None:
    policy = {"Version": "2012-10-17", "Statement": [ALLOWED, *more]}
    s3.put_bucket_policy(Bucket="lists", Policy=json.dumps(policy))


def configure(s3: S3Client, id: str = "all", **changes: Any) -> None:
    destination = {"Bucket": "arn:aws:s3:::lists", "Format": "CSV", "Prefix": "inv", **changes.pop("To", {})}
    document = {
        "Id": id, "IsEnabled": True, "IncludedObjectVersions": "Current", "Schedule": {"Frequency": "Daily"},
        "Destination": {"S3BucketDestination": destination}, **changes,
    }  # fmt: skip
    s3.put_bucket_inventory_configuration(Bucket="photos", Id=id, InventoryConfiguration=document)  # type: ignore[arg-type]


def read(store: bleepstore.Store, key: str) -> bytes:
    with store.get_object("lists", key) as stored:
        return stored.read()


def published(store: bleepstore.Store) -> list[str]:
    return [listed.key for listed in store.iter_objects("lists")]


def manifest_of(store: bleepstore.Store, folder: str = "inv/photos/all/2030-01-01T12-34Z/") -> dict[str, Any]:
    text = read(store, folder + "manifest.json")
    assert read(store, folder + "manifest.checksum").decode() == hashlib.md5(text).hexdigest()
    manifest: dict[str, Any] = json.loads(text)
    for file in manifest["files"]:
        data = read(store, file["key"])
        assert (file["size"], file["MD5checksum"]) == (len(data), hashlib.md5(data).hexdigest())
    return manifest


def rows_of(store: bleepstore.Store, manifest: dict[str, Any]) -> list[dict[str, str]]:
    names = manifest["fileSchema"].split(", ")
    rows = []
    for file in manifest["files"]:
        text = gzip.decompress(read(store, file["key"])).decode()
        rows += [dict(zip(names, row, strict=True)) for row in csv.reader(io.StringIO(text))]
    return rows


def test_a_list_is_published_under_the_keys_of_amazon(stored: bleepstore.Store, s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="a", Body=b"")
    configure(s3)
    assert stored.jobs.run("inventory").changed == 1
    manifest = manifest_of(stored)
    (file,) = manifest.pop("files")
    assert manifest == {
        "sourceBucket": "photos", "destinationBucket": "arn:aws:s3:::lists", "version": "2016-11-30",
        "creationTimestamp": str(int(NOON.timestamp() * 1000)), "fileFormat": "CSV", "fileSchema": "Bucket, Key",
    }  # fmt: skip
    assert file["key"].startswith("inv/photos/all/data/")
    assert file["key"].endswith(".csv.gz")
    symlink = read(stored, "inv/photos/all/hive/dt=2030-01-01-12-34/symlink.txt")
    assert symlink.decode() == f"s3://lists/{file['key']}"
    assert len(published(stored)) == 4


def test_lists_of_current_objects_have_all_fields(stored: bleepstore.Store, s3: S3Client) -> None:
    rule: Any = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration={"Rules": [rule]})
    put = s3.put_object(Bucket="photos", Key='ü "a",\r\n b', Body=b"12345", ServerSideEncryption="AES256")
    s3.put_object(Bucket="photos", Key="other/x", Body=b"", StorageClass="INTELLIGENT_TIERING")
    upload = s3.create_multipart_upload(Bucket="photos", Key="parts")["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    parts: Any = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="photos", Key="parts", UploadId=upload, MultipartUpload=parts)
    configure(s3, OptionalFields=ALL_FIELDS)
    stored.jobs.run("inventory")
    rows = {unquote(row.pop("Key")): row for row in rows_of(stored, manifest_of(stored))}
    assert list(rows) == ["other/x", "parts", 'ü "a",\r\n b']
    first = rows['ü "a",\r\n b']
    acl = json.loads(base64.b64decode(first.pop("ObjectAccessControlList")))
    assert acl["grants"] == [{"canonicalId": "alice-id", "type": "CanonicalUser", "permission": "FULL_CONTROL"}]
    assert first == {
        "Bucket": "photos", "Size": "5", "LastModifiedDate": "2030-01-01T12:34:00.000Z", "ETag": put["ETag"].strip('"'),
        "StorageClass": "STANDARD", "IsMultipartUploaded": "false", "ReplicationStatus": "",
        "EncryptionStatus": "SSE-S3", "ObjectLockRetainUntilDate": "", "ObjectLockMode": "",
        "ObjectLockLegalHoldStatus": "", "ObjectLockEventHoldStatus": "", "ObjectLockEventHoldDuration": "",
        "IntelligentTieringAccessTier": "", "BucketKeyStatus": "", "ChecksumAlgorithm": "CRC32",
        "ObjectOwner": "alice-id", "LifecycleExpirationDate": "2030-01-03T00:00:00.000Z",
        "IntelligentTieringReferenceDate": "",
    }  # fmt: skip
    assert rows["parts"]["IsMultipartUploaded"] == "true"
    assert rows["other/x"]["IntelligentTieringAccessTier"] == "FREQUENT"
    assert rows["other/x"]["EncryptionStatus"] == "NOT-SSE"


def fill_versions(s3: S3Client) -> list[str]:
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket="photos", Key="p/a", Body=b"x")["VersionId"] for _ in range(2)]
    return [s3.delete_object(Bucket="photos", Key="p/a")["VersionId"], *reversed(ids)]


def test_lists_of_all_versions_have_markers_too(stored: bleepstore.Store, s3: S3Client) -> None:
    ids = fill_versions(s3)
    s3.put_object(Bucket="photos", Key="q", Body=b"")
    configure(s3, IncludedObjectVersions="All", Filter={"Prefix": "p/"}, OptionalFields=["Size", "ETag"])
    stored.jobs.run("inventory")
    manifest = manifest_of(stored)
    assert manifest["fileSchema"] == "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag"
    found = [
        (row["VersionId"], row["IsLatest"], row["IsDeleteMarker"], row["Size"]) for row in rows_of(stored, manifest)
    ]
    assert found == [(ids[0], "true", "true", ""), (ids[1], "false", "false", "1"), (ids[2], "false", "false", "1")]


@pytest.mark.parametrize("format", ["Parquet", "ORC"])
def test_other_formats_have_types(stored: bleepstore.Store, s3: S3Client, format: str) -> None:
    ids = fill_versions(s3)
    fields: dict[str, Any] = {"IncludedObjectVersions": "All", "OptionalFields": ALL_FIELDS}
    configure(s3, To={"Format": format}, **fields)
    configure(s3, "empty", To={"Format": format}, Filter={"Prefix": "none"}, **fields)
    stored.jobs.run("inventory")
    manifest = manifest_of(stored)
    data = io.BytesIO(read(stored, manifest["files"][0]["key"]))
    table = parquet.read_table(data) if format == "Parquet" else orc.read_table(data)
    rows = table.to_pylist()
    assert [row["version_id"] for row in rows] == ids
    marker, latest, _ = rows
    assert (marker["key"], marker["is_delete_marker"], marker["size"]) == ("p/a", True, None)
    assert (latest["size"], latest["last_modified_date"].timestamp()) == (1, NOON.timestamp())
    begins = (
        "message s3.inventory { required binary bucket (STRING);" if format == "Parquet" else "struct<bucket:string,"
    )
    assert manifest["fileSchema"].startswith(begins)
    empty = manifest_of(stored, "inv/photos/empty/2030-01-01T12-34Z/")
    data = io.BytesIO(read(stored, empty["files"][0]["key"]))
    assert (parquet.read_table(data) if format == "Parquet" else orc.read_table(data)).num_rows == 0


def test_a_format_whose_package_is_missing_is_refused(
    s3: S3Client, stored: bleepstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with failure("NotImplemented", 501) as answer:
        configure(s3, To={"Format": "Parquet"})
    assert "bleepstore[inventory]" in answer["Error"]["Message"]
    configure(s3)


def test_lists_are_made_daily_and_weekly(stored: bleepstore.Store, s3: S3Client, clock: Clock) -> None:
    configure(s3, "daily")
    configure(s3, "weekly", Schedule={"Frequency": "Weekly"})
    configure(s3, "off", IsEnabled=False)

    def made(hours: int) -> set[str]:
        before = set(published(stored))
        clock.advance(hours=hours)
        stored.jobs.run_due()
        while any(job.is_under_way for job in stored.jobs.status()):
            stored.jobs.run_due()
        return {key.split("/")[2] for key in set(published(stored)) - before}

    assert made(1) == {"daily", "weekly"}
    assert made(1) == set()
    assert made(10) == {"daily"}  # past midnight
    assert made(5 * 24) == {"daily", "weekly"}  # past Sunday
    assert made(1) == set()


def test_a_long_list_is_made_in_several_runs_and_files(
    stored: bleepstore.Store, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventories, "_PAGE", 3)
    monkeypatch.setattr(inventories, "MAX_ROWS", 4)
    keys = [f"{number:02}" for number in range(20)]
    for key in keys:
        stored.put_object("photos", key, b"")
    configure(s3)
    assert stored.jobs.run("inventory").examined == 20
    manifest = manifest_of(stored)
    assert len(manifest["files"]) == 4
    assert [row["Key"] for row in rows_of(stored, manifest)] == keys


def test_what_may_not_be_published_is_told_and_the_rest_is_made(
    stored: bleepstore.Store, s3: S3Client, caplog: pytest.LogCaptureFixture
) -> None:
    configure(s3, "a-elsewhere", To={"Bucket": "arn:aws:s3:::none"})
    configure(s3, "b-denied", To={"Prefix": "secret"})
    configure(s3, "c-made")
    allow(s3, {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::lists/secret/*"})
    status = stored.jobs.run("inventory")
    assert (status.changed, status.left) == (1, 2)
    assert "a-elsewhere of photos is not published: NoSuchBucket" in caplog.text
    assert "b-denied of photos is not published: AccessDenied" in caplog.text
    assert {key.split("/")[2] for key in published(stored)} == {"c-made"}
    s3.delete_bucket_policy(Bucket="lists")
    assert stored.jobs.run("inventory").left == 3


def test_the_destination_is_encrypted_as_it_says(stored: bleepstore.Store, s3: S3Client) -> None:
    configure(s3, To={"Encryption": {"SSEKMS": {"KeyId": "alias/lists"}}})
    stored.jobs.run("inventory")
    manifest_of(stored)
    for key in published(stored):
        assert s3.head_object(Bucket="lists", Key=key)["ServerSideEncryption"] == "aws:kms"
