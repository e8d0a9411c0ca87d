"""The gateway to S3 when bytes or notes are not what they were, and when writes take long."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

import bleepstore
from bleepstore import CompletedPart, Store, errors
from bleepstore.backends.aws.layouts import AwsKeys
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS, Layout
from bleepstore.errors import BlobChanged, BucketAlreadyExists, InvalidBucketName, ServiceUnavailable
from bleepstore.testing.contract_tools import END_OF_TIME_MS, MIB, pattern
from tests.backends.http_faults import Answer, HttpProxy, Lost, Request, flipped, http_proxy, once
from tests.backends.test_aws_own import backend, container, credentials, make, make_in, native, read, store
from tests.serving.conftest import Served

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["backend", "container", "credentials", "native", "store"]


@pytest.fixture
def proxy(far_bleepstore: Served) -> Iterator[HttpProxy]:
    with http_proxy(far_bleepstore.url) as made:
        yield made


def _flip(request: Request) -> Request:
    return Request(request.method, request.path, request.headers, flipped(request.body))


def _is_large_put(request: Request) -> bool:
    return request.method == "PUT" and len(request.body) >= MIB


def _flip_body(request: Request, answer: Answer) -> Answer | None:
    is_body = request.method == "GET" and len(answer.body) >= MIB
    return Answer(answer.status, answer.headers, flipped(answer.body)) if is_body else None


def _refusal(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml")], body)


def _names(native: S3Client, container: str) -> list[str]:
    found = native.list_objects_v2(Bucket=container).get("Contents", [])
    uploads = native.list_multipart_uploads(Bucket=container).get("Uploads", [])
    return [item["Key"] for item in found] + [item["Key"] for item in uploads]


# -- what is being written


@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_bytes_that_change_on_the_way_are_sent_again(container: str, proxy: HttpProxy, size: int) -> None:
    """S3 refuses them by their MD5, before it replaces what was there."""
    data = pattern(size)
    with contextlib.closing(make(container, proxy.url)) as backend:
        proxy.before = once(_is_large_put, _flip)
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), [data])
        with backend.get_object(blob.handle) as reader:
            assert reader.read() == data


def test_a_large_overwrite_that_fails_leaves_what_was_there(container: str, native: S3Client, proxy: HttpProxy) -> None:
    with contextlib.closing(make(container, proxy.url, deadline=0.5)) as backend:
        old = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"precious"])
        proxy.before = lambda request: _flip(request) if _is_large_put(request) else None
        with pytest.raises(ServiceUnavailable):
            backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [pattern(12 * MIB)])
        with backend.get_object(old.handle) as reader:
            assert reader.read() == b"precious"
    assert _names(native, container) == ["photos/k"]


@pytest.mark.parametrize("size", [5 * MIB, 12 * MIB])
def test_a_part_that_fails_once_is_sent_again(container: str, native: S3Client, proxy: HttpProxy, size: int) -> None:
    data = pattern(size)
    spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
    with contextlib.closing(make(container, proxy.url)) as backend:
        token = backend.begin_parts(spec)
        proxy.before = once(_is_large_put, lambda _: _refusal(500, "InternalError"))
        part = backend.put_part(token, 1, [data], size, new_id=new_blob_id)
        blob = backend.assemble_parts(token, spec, [PartBlob(part.handle, size)])
        with backend.get_object(blob.handle) as reader:
            assert reader.read() == data
    assert _names(native, container) == ["photos/k"]


@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_a_body_that_broke_off_after_more_than_the_deadline_is_sent_again(
    container: str, proxy: HttpProxy, size: int
) -> None:
    now = [0.0]

    def cut(_: Request) -> None:
        now[0] += 1000
        raise Lost

    data = pattern(size)
    spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
    with contextlib.closing(make(container, proxy.url)) as backend:
        backend._retry = attrs.evolve(backend._retry, clock=lambda: now[0], sleep=lambda _: None)
        proxy.before = once(_is_large_put, cut)
        blob = backend.put_object(spec, [data])
        with backend.get_object(blob.handle) as reader:
            assert reader.read() == data
        token = backend.begin_parts(spec)
        proxy.before = once(_is_large_put, cut)
        part = backend.put_part(token, 1, [data], new_id=new_blob_id)
        made = backend.assemble_parts(token, spec, [PartBlob(part.handle, size)])
        assert backend.head_object(made.handle) == size


def test_a_large_object_is_found_with_its_md5(store: Store, backend: AwsKeys) -> None:
    made = store.put_object("photos", "k", pattern(9 * MIB), metadata={"owner": "alice"})
    store.copy_object("photos", "k", "photos", "copy")
    for key in ("k", "copy"):
        found = backend.find("photos", key)
        assert found is not None
        assert (found.etag, found.size, dict(found.attributes.metadata)) == (made.etag, 9 * MIB, {"owner": "alice"})


def test_a_large_conditional_write_is_the_providers(backend: AwsKeys) -> None:
    def put(seed: int, expected_current: KeyState | None) -> str:
        spec = KeyedSpec(bucket="photos", key="k", expected_current=expected_current, new_id=new_blob_id)
        return backend.put_object(spec, [pattern(9 * MIB, seed)]).handle

    first = put(1, KeyState(None))
    with pytest.raises(BlobChanged):
        put(2, KeyState(None))
    put(2, KeyState(first))
    with pytest.raises(BlobChanged):
        put(3, KeyState(first))


def test_a_sweep_leaves_uploads_and_objects_of_them_as_long_as_an_upload_may_take(
    container: str, far_bleepstore: Served, native: S3Client
) -> None:
    """Amazon tells only when an upload began, also of the object that was made of it."""
    spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
    with contextlib.closing(make_in(Layout.BLOBS, container, far_bleepstore.url)) as backend:
        other = backend.put_object(spec, [b"other"]).handle
        token = backend.begin_parts(spec)
        begun = native.list_multipart_uploads(Bucket=container)["Uploads"][0]["Initiated"].timestamp() * 1000
        early = int(begun) + LONGEST_WRITE_MS - 1000
        assert list(backend.iter_blobs(0, early)) == [other]
        assert set(backend.iter_blobs(0, END_OF_TIME_MS)) == {other, token}
        part = backend.put_part(token, 1, [b"data"], new_id=new_blob_id)
        blob = backend.assemble_parts(token, spec, [PartBlob(part.handle, 4)])
        assert list(backend.iter_blobs(0, early)) == [other]
        assert list(backend.iter_blobs(blob.stored_ms, blob.stored_ms + 1)) == [blob.handle]


# -- what is read


@pytest.mark.parametrize("size", [2 * MIB, 12 * MIB])
def test_a_flipped_bit_is_noticed(container: str, native: S3Client, proxy: HttpProxy, size: int) -> None:
    data = pattern(size)
    with contextlib.closing(make(container, proxy.url)) as backend:
        ours = backend.put_object(BlobSpec(bucket="photos", key="ours", new_id=new_blob_id), [data]).handle
        native.put_object(Bucket=container, Key="photos/theirs", Body=data)
        theirs = backend.find("photos", "theirs")
        assert theirs is not None
        for handle in (ours, theirs.handle):
            proxy.after = _flip_body
            with backend.get_object(handle) as reader, pytest.raises(ServiceUnavailable):
                reader.read()
            proxy.after = lambda _request, _answer: None
            with backend.get_object(handle, 0, size) as reader:
                assert reader.read() == data


@pytest.mark.parametrize("size", [3, 9 * MIB])
def test_a_write_that_keeps_our_notes_is_read_as_it_is(
    store: Store, native: S3Client, container: str, size: int
) -> None:
    store.put_object("photos", "put", pattern(size, 1))
    store.copy_object("photos", "put", "photos", "copy")
    upload = store.create_upload("photos", "parts")
    part = store.put_part("photos", "parts", upload.upload_id, 1, pattern(size, 1))
    store.complete_upload("photos", "parts", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    theirs = pattern(size, 2)
    for key in ("put", "copy", "parts"):
        notes = native.head_object(Bucket=container, Key=f"photos/{key}")["Metadata"]
        native.put_object(Bucket=container, Key=f"photos/{key}", Body=theirs, Metadata=notes)
        assert read(store, key) == theirs
        assert store.head_object("photos", key).version.etag == hashlib.md5(theirs).hexdigest()


def test_a_missing_bucket_loses_no_object(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"data")
    for name in _names(native, container):
        native.delete_object(Bucket=container, Key=name)
    native.delete_bucket(Bucket=container)
    with pytest.raises(ServiceUnavailable, match="bucket of the storage does not exist"):
        read(store, "k")
    assert [found.key for found in store.list_objects("photos").objects] == ["k"]


def test_many_items_of_metadata_come_back(store: Store, backend: AwsKeys) -> None:
    """A client takes at most 100 headers of an answer."""
    metadata = {f"m{number:03}": "v" for number in range(120)}
    store.put_object("photos", "k", b"data", metadata=metadata)
    assert read(store, "k") == b"data"
    found = backend.find("photos", "k")
    assert found is not None
    assert found.attributes.metadata == metadata


# -- buckets, and time


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(409, "BucketAlreadyExists", BucketAlreadyExists), (400, "InvalidBucketName", InvalidBucketName)],
)
def test_a_bucket_that_is_refused_is_not_made(
    proxy: HttpProxy, tmp_path: Path, status: int, code: str, expected: type[errors.S3Error]
) -> None:
    with bleepstore.open("s3:///refused-", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        proxy.before = lambda request: _refusal(status, code) if request.method == "PUT" else None
        with pytest.raises(expected):
            store.create_bucket(f"photos-{status}")
        assert store.list_buckets().buckets == []
        proxy.before = lambda _: None
        store.create_bucket(f"photos-{status}")


def test_what_is_archived_is_named_at_once(store: Store, container: str, proxy: HttpProxy) -> None:
    store.put_object("photos", "k", b"data")
    with contextlib.closing(make(container, proxy.url)) as backend:
        found = backend.find("photos", "k")
        assert found is not None
        proxy.before = lambda _: _refusal(403, "InvalidObjectState")
        before = len(proxy.seen)
        with pytest.raises(errors.InvalidObjectState, match="archived"):
            backend.get_object(found.handle)
        assert len(proxy.seen) == before + 1


# -- other S3s, and errors of our own side


def test_a_delete_where_s3_knows_no_conditional_one(container: str, proxy: HttpProxy) -> None:
    """What HEAD says decides."""
    with contextlib.closing(make(container, proxy.url)) as backend:
        first = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"first"])
        second = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"second"])
        proxy.before = lambda request: (
            _refusal(501, "NotImplemented") if request.method == "DELETE" and "if-match" in request.headers else None
        )
        assert not backend.remove(first.handle)
        assert backend.head_object(second.handle) == 6
        assert backend.remove(second.handle)
        assert backend.find("photos", "k") is None


def test_what_s3_does_not_have_is_asked_for_once(container: str, proxy: HttpProxy) -> None:
    with contextlib.closing(make(container, proxy.url)) as backend:
        proxy.before = lambda _: _refusal(501, "NotImplemented")
        with pytest.raises(ServiceUnavailable, match="NotImplemented"):
            backend.put_object(
                KeyedSpec(bucket="photos", key="k", expected_current=KeyState(None), new_id=new_blob_id), [b"data"]
            )
        assert len(proxy.seen) == 1


def test_what_the_sdk_refuses_is_not_repeated(proxy: HttpProxy) -> None:
    pauses: list[float] = []
    with contextlib.closing(make("Not a bucket's name", proxy.url)) as backend:
        backend._retry = attrs.evolve(backend._retry, sleep=pauses.append)
        with pytest.raises(ServiceUnavailable, match="Invalid bucket name"):
            backend.check()
    assert pauses == []
    assert proxy.seen == []
