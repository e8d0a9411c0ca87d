"""The gateway to S3 before a bucket that keeps versions: what was replaced or deleted is there still, but no longer the
object. The far end is moto, for BleepStore's buckets have no versions."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import pytest

import bleepstore
from bleepstore import ByteRange, CompletedPart, Store, errors
from bleepstore.backends.aws.backend import AwsBackend
from bleepstore.backends.aws.layouts import AwsKeys
from bleepstore.backends.base import BlobRange, BlobSpec, PartBlob, StoredBlob, new_blob_id
from bleepstore.backends.gateway.names import Layout
from bleepstore.errors import BlobNotFound
from bleepstore.testing.contract_tools import MIB, pattern
from tests.backends.tcp_faults import fault_proxy
from tests.backends.test_aws_own import credentials, make, make_in, read

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["credentials"]

_numbers = itertools.count()
SPEC = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)


@pytest.fixture
def native(moto_url: str) -> Iterator[S3Client]:
    with contextlib.closing(boto3.Session().client("s3", endpoint_url=moto_url)) as client:
        yield client


@pytest.fixture
def container(native: S3Client) -> str:
    name = f"versions-{next(_numbers)}"
    native.create_bucket(Bucket=name)
    native.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def store(container: str, moto_url: str, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(f"s3://{container}", catalog=tmp_path / "catalog", endpoint_url=moto_url) as opened:
        opened.create_bucket("photos")
        yield opened


@pytest.mark.parametrize("theirs", [b"theirs, longer", b"ours"])
def test_a_change_by_others_is_read(store: Store, native: S3Client, container: str, theirs: bytes) -> None:
    store.put_object("photos", "k", b"ours", metadata={"by": "us"})
    native.put_object(Bucket=container, Key="photos/k", Body=theirs, Metadata={"by": "them"})
    assert read(store, "k") == theirs
    assert store.head_object("photos", "k").version.metadata == {"by": "them"}


def test_a_change_of_the_content_type_alone_is_noticed(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"data", metadata={"by": "us"})
    notes = native.head_object(Bucket=container, Key="photos/k")["Metadata"]
    native.copy_object(
        Bucket=container,
        Key="photos/k",
        CopySource=f"{container}/photos/k",
        MetadataDirective="REPLACE",
        Metadata=notes,
        ContentType="image/png",
    )
    assert read(store, "k") == b"data"
    assert store.head_object("photos", "k").version.system.content_type == "image/png"


def test_what_others_deleted_is_gone(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"ours")
    native.delete_object(Bucket=container, Key="photos/k")
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")
    assert store.list_objects("photos").objects == []


def test_what_is_deleted_is_gone_for_others_too(store: Store, native: S3Client, container: str) -> None:
    """Also what was there before, which they still find among the versions."""
    store.put_object("photos", "k", b"first")
    store.put_object("photos", "k", b"second")
    store.delete_object("photos", "k")
    assert "Contents" not in native.list_objects_v2(Bucket=container, Prefix="photos/")
    assert len(native.list_object_versions(Bucket=container, Prefix="photos/")["Versions"]) == 2
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")


def test_a_sweep_leaves_what_replaced_the_same_bytes(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"same")
    store.put_object("photos", "k", b"same")
    store.sweep(grace=dt.timedelta(milliseconds=-(10**7)))
    assert read(store, "k") == b"same"
    assert native.get_object(Bucket=container, Key="photos/k")["Body"].read() == b"same"


def test_a_copy_of_what_others_replaced_has_the_new_bytes(store: Store, native: S3Client, container: str) -> None:
    ours, theirs = pattern(6 * MIB, 1), pattern(6 * MIB, 2)
    for key in ("whole", "part"):
        store.put_object("photos", key, ours)
        native.put_object(Bucket=container, Key=f"photos/{key}", Body=theirs)
    copied = store.copy_object("photos", "whole", "photos", "copy")
    assert copied.etag == hashlib.md5(theirs).hexdigest()
    upload = store.create_upload("photos", "parts")
    part = store.copy_part(
        "photos", "part", "photos", "parts", upload.upload_id, 1, source_range=ByteRange(0, 6 * MIB - 1)
    )
    made = [CompletedPart(number=1, etag=part.etag)]
    store.complete_upload("photos", "parts", upload.upload_id, made)
    assert read(store, "copy") == read(store, "parts") == theirs


def test_of_two_writes_at_once_the_later_is_read(
    store: Store, native: S3Client, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is at the provider already when the second comes, and is committed after it."""
    put = AwsBackend.put_object

    def overtaken(backend: AwsKeys, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        blob = put(backend, spec, chunks)
        monkeypatch.setattr(AwsBackend, "put_object", put)
        store.put_object("photos", "k", b"later")
        return blob

    store.put_object("photos", "k", b"before")
    monkeypatch.setattr(AwsBackend, "put_object", overtaken)
    store.put_object("photos", "k", b"earlier")
    assert native.get_object(Bucket=container, Key="photos/k")["Body"].read() == b"later"
    assert read(store, "k") == b"later"


@pytest.mark.parametrize("layout", [Layout.KEYS, Layout.BLOBS])
def test_every_kind_of_write_is_found_again(container: str, moto_url: str, layout: Layout) -> None:
    with contextlib.closing(make_in(layout, container, moto_url)) as backend:
        put = backend.put_object(SPEC, [b"data"])
        copied = backend.copy_object(put.handle, BlobSpec(bucket="photos", key="copy", size=4, new_id=new_blob_id))
        token = backend.begin_parts(BlobSpec(bucket="photos", key="parts", new_id=new_blob_id))
        part = backend.put_part(token, 1, BlobRange(put.handle, 0, 4), new_id=new_blob_id)
        parts = backend.assemble_parts(
            token, BlobSpec(bucket="photos", key="parts", new_id=new_blob_id), [PartBlob(part.handle, 4)]
        )
        for handle in (put.handle, copied.handle, parts.handle):
            assert backend.head_object(handle) == 4
            with backend.get_object(handle, 1, 3) as reader:
                assert reader.read() == b"at"
            assert backend.remove(handle)
            with pytest.raises(BlobNotFound):
                backend.head_object(handle)


def test_a_reader_under_way_goes_on_with_what_it_began(container: str, moto_url: str, native: S3Client) -> None:
    data = pattern(6 * MIB)
    port = urlsplit(moto_url).port
    assert port is not None
    with fault_proxy(port) as proxy, contextlib.closing(make(container, proxy.url)) as backend:
        blob = backend.put_object(SPEC, [data])
        proxy.inject("cut", received=2 * MIB)
        with backend.get_object(blob.handle) as reader:
            head = reader.read(1000)
            native.put_object(Bucket=container, Key="photos/k", Body=b"theirs")
            assert head + b"".join(iter(lambda: reader.read(MIB), b"")) == data
        assert proxy.hits == 1
        with pytest.raises(BlobNotFound):
            backend.get_object(blob.handle)


# -- a bucket of the provider's for each


@pytest.fixture
def each(moto_url: str, tmp_path: Path) -> Iterator[tuple[str, Store]]:
    """A store, and what its buckets are called at moto, which answers as S3 does in us-east-1."""
    prefix = f"each-{next(_numbers)}-"
    with bleepstore.open(f"s3:///{prefix}", catalog=tmp_path / "each", endpoint_url=moto_url) as opened:
        yield prefix, opened


def test_a_bucket_with_objects_of_others_is_not_created_where_s3_says_it_was(
    each: tuple[str, Store], native: S3Client
) -> None:
    prefix, store = each
    native.create_bucket(Bucket=f"{prefix}photos")
    native.create_bucket(Bucket=f"{prefix}photos")  # as S3 does in us-east-1
    native.put_object(Bucket=f"{prefix}photos", Key="theirs", Body=b"x")
    with pytest.raises(errors.BucketAlreadyExists):
        store.create_bucket("photos")
    store.create_bucket("videos")


def test_a_container_in_which_only_old_versions_are_is_left(
    each: tuple[str, Store], native: S3Client, caplog: pytest.LogCaptureFixture
) -> None:
    prefix, store = each
    store.create_bucket("photos")
    native.put_bucket_versioning(Bucket=f"{prefix}photos", VersioningConfiguration={"Status": "Enabled"})
    store.put_object("photos", "k", b"data")
    store.delete_object("photos", "k")
    store.delete_bucket("photos")
    assert "there are old versions in it" in caplog.text
    before = len(native.list_object_versions(Bucket=f"{prefix}photos")["DeleteMarkers"])
    store.sweep()
    assert len(native.list_object_versions(Bucket=f"{prefix}photos")["DeleteMarkers"]) == before
    store.create_bucket("photos")
    store.put_object("photos", "k", b"again")
    assert read(store, "k") == b"again"
