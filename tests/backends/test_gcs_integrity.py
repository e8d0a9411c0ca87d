"""The gateway to Google Cloud Storage when bytes change on their way, or only some of them arrive."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import CompletedPart, Store, errors
from bleepstore.backends.base import BlobSpec, new_blob_id
from bleepstore.backends.gcs import backend as gcs_backend
from bleepstore.backends.gcs.layouts import GcsKeys
from bleepstore.errors import BucketAlreadyExists, InvalidBucketName, ServiceUnavailable
from bleepstore.testing.contract_tools import MIB, pattern
from tests.backends.gcs_fixtures import make, native, put, read, read_blob, service, store, stored_names
from tests.backends.http_faults import Answer, HttpProxy, Lost, Request, ResumableProxy, flipped, http_proxy, once

__all__ = ["native", "service", "store"]


#: Bytes of a request of an upload in these tests.
BLOCK = 6 * MIB


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_backend, "_BLOCK", BLOCK)


@pytest.fixture
def proxy(fake_gcs_url: str) -> Iterator[ResumableProxy]:
    with contextlib.closing(ResumableProxy(fake_gcs_url)) as made:
        yield made


def _has_block(request: Request) -> bool:
    return request.method == "PUT" and len(request.body) > MIB


def _flip(request: Request) -> Request:
    return Request(request.method, request.path, request.headers, flipped(request.body))


def _ranges(proxy: HttpProxy) -> list[str]:
    return [text for request in proxy.seen if (text := request.headers.get("content-range"))]


@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_an_overwrite_whose_bytes_change_on_the_way_leaves_what_was_there(
    native: Any, proxy: ResumableProxy, size: int
) -> None:
    with contextlib.closing(make(native.name, proxy.url)) as backend:
        old = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"precious"])
        flip_at = len(proxy.seen)
        proxy.before = once(lambda request: len(request.body) >= MIB, _flip)
        with pytest.raises(ServiceUnavailable):
            backend.put_object(BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), [pattern(size)])
        assert len(proxy.seen) > flip_at
        assert read_blob(backend, old.handle) == b"precious"


def test_what_google_did_not_keep_is_sent_again(native: Any, proxy: ResumableProxy) -> None:
    data = pattern(20 * MIB)
    kept = iter([4 * MIB, 4 * MIB, MIB])
    proxy.keep = lambda length: next(kept, length)
    with contextlib.closing(make(native.name, proxy.url)) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        assert read_blob(backend, blob.handle) == data
    assert _ranges(proxy)[:2] == [f"bytes 0-{BLOCK - 1}/*", f"bytes {4 * MIB}-{BLOCK - 1}/*"]


@pytest.mark.parametrize("block", [0, 1])  # in the middle, the last
def test_after_a_lost_answer_google_is_asked_what_it_has(native: Any, proxy: ResumableProxy, block: int) -> None:
    data = pattern(12 * MIB)
    total = f"{12 * MIB}" if block else "*"
    lost = once(lambda request: request.headers.get("content-range", "").endswith(f"/{total}"), lambda _: True)

    def lose(request: Request, _answer: Answer) -> None:
        if lost(request):
            raise Lost

    proxy.after = lose
    with contextlib.closing(make(native.name, proxy.url)) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        assert read_blob(backend, blob.handle) == data
    ranges = _ranges(proxy)
    assert ranges[block + 1] == f"bytes */{total}"
    assert len(ranges) == 3  # and nothing is sent twice
    assert stored_names(native) == ["photos/k"]


@attrs.define
class Clock:
    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@contextlib.contextmanager
def on_a_slow_line(container: str, proxy: ResumableProxy) -> Iterator[tuple[GcsKeys, Clock]]:
    """A gateway whose blocks take longer than the deadline."""
    clock = Clock()

    def carry(request: Request) -> None:
        if _has_block(request):
            clock.sleep(100)

    proxy.before = carry
    with contextlib.closing(make(container, proxy.url, deadline=30)) as backend:
        backend._retry = attrs.evolve(backend._retry, sleep=clock.sleep, clock=lambda: clock.now)
        yield backend, clock


def test_blocks_that_take_longer_than_the_deadline_are_sent_again(native: Any, proxy: ResumableProxy) -> None:
    """Google keeps half of the first; the answers to its rest, and to the last block, are lost."""
    data = pattern(12 * MIB)
    kept = iter([3 * MIB])
    proxy.keep = lambda length: next(kept, length)
    rest, last = f"bytes {3 * MIB}-{BLOCK - 1}/*", f"bytes {BLOCK}-{12 * MIB - 1}/{12 * MIB}"
    losses = {rest, last}

    def lose(request: Request, _answer: Answer) -> None:
        span = request.headers.get("content-range", "")
        if span in losses:
            losses.remove(span)
            raise Lost

    proxy.after = lose
    with on_a_slow_line(native.name, proxy) as (backend, _):
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        assert read_blob(backend, blob.handle) == data
    assert _ranges(proxy) == [f"bytes 0-{BLOCK - 1}/*", rest, "bytes */*", last, f"bytes */{12 * MIB}"]


def test_a_block_of_which_google_never_keeps_a_byte_is_given_up(native: Any, proxy: ResumableProxy) -> None:
    proxy.keep = lambda _length: 0
    with on_a_slow_line(native.name, proxy) as (backend, clock), pytest.raises(ServiceUnavailable):
        backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [pattern(9 * MIB)])
    assert clock.now < 230, "two attempts, and a pause"


def test_an_upload_of_which_google_lost_what_it_had_said_to_have_fails(native: Any, proxy: ResumableProxy) -> None:
    second = f"bytes {BLOCK}-"
    proxy.after = lambda request, _: (
        Answer(308) if request.headers.get("content-range", "").startswith(second) else None
    )
    with (
        contextlib.closing(make(native.name, proxy.url)) as backend,
        pytest.raises(ServiceUnavailable, match="has lost bytes"),
    ):
        backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [pattern(20 * MIB)])
    assert stored_names(native) == []


def test_a_write_that_keeps_our_notes_has_an_etag_of_its_own(store: Store, native: Any) -> None:
    upload = store.create_upload("photos", "k")
    part = store.put_part("photos", "k", upload.upload_id, 1, b"one")
    store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    store.copy_object("photos", "k", "photos", "copy")
    for key in ("k", "copy"):
        notes = native.get_blob(f"photos/{key}").metadata
        put(native, f"photos/{key}", b"two", **notes)
        assert read(store, key) == b"two"
        assert store.head_object("photos", key).version.etag == hashlib.md5(b"two").hexdigest()


# -- the bucket


def test_a_missing_bucket_is_named_and_loses_no_object(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"data")
    for blob in native.list_blobs():
        blob.delete()
    native.delete()
    for size in (1, 9 * MIB):
        with pytest.raises(ServiceUnavailable, match="bucket of the storage does not exist"):
            store.put_object("photos", "new", bytes(size))
    with pytest.raises(ServiceUnavailable, match="bucket of the storage does not exist"):
        read(store, "k")
    with pytest.raises(ServiceUnavailable, match="bucket of the storage does not exist"):
        store.delete_object("photos", "k")
    assert [found.key for found in store.list_objects("photos").objects] == ["k"]


@pytest.mark.parametrize(("status", "expected"), [(409, BucketAlreadyExists), (400, InvalidBucketName)])
def test_a_bucket_that_google_refuses_is_not_made(
    fake_gcs_url: str, tmp_path: Path, status: int, expected: type[errors.S3Error]
) -> None:
    """Names are shared by all customers: of a bucket of this name that is not ours, nothing may be used."""
    with http_proxy(fake_gcs_url) as proxy:

        def refuse(request: Request) -> Answer | None:
            if request.method == "POST" and request.path.startswith("/storage/v1/b?"):
                text = b'{"error": {"code": %d, "message": "The requested bucket name is not available."}}' % status
                return Answer(status, [("Content-Type", "application/json")], text)
            return None

        proxy.before = refuse
        with bleepstore.open("gs:///refused-", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
            with pytest.raises(expected):
                store.create_bucket("photos")
            assert store.list_buckets().buckets == []
            proxy.before = lambda _: None
            store.create_bucket("photos")
            store.put_object("photos", "k", b"data")
            store.delete_object("photos", "k")
            store.delete_bucket("photos")
