"""What the gateway to Google Cloud Storage does beyond the laws: native names and metadata, what others do, compose."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud import storage

from bleepstore import ByteRange, CompletedPart, Store, SystemMetadata, WriteCondition, errors
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gcs.backend import GcsBackend
from bleepstore.backends.gcs.layouts import GcsKeys
from bleepstore.errors import BlobChanged, BlobNotFound
from bleepstore.testing.contract_tools import MIB, ODD_KEYS, pattern
from tests.backends.gcs_fixtures import (
    backend,
    make,
    make_in,
    native,
    put,
    read,
    read_blob,
    service,
    store,
    stored_names,
)

__all__ = ["backend", "native", "service", "store"]

_numbers = itertools.count()


# -- as the provider's own tools see it


def test_an_object_is_stored_under_its_own_key_with_its_own_metadata(store: Store, native: Any) -> None:
    system = SystemMetadata(content_type="image/jpeg", content_language="de", cache_control="no-store")
    made = store.put_object("photos", "2024/cat.jpg", b"meow", system=system, metadata={"owner": "alice"})
    found = native.get_blob("photos/2024/cat.jpg")
    assert found.download_as_bytes() == b"meow"
    assert (found.content_type, found.content_language, found.cache_control) == ("image/jpeg", "de", "no-store")
    assert found.metadata["owner"] == "alice"
    store.delete_object("photos", "2024/cat.jpg")
    assert stored_names(native) == []
    assert made.etag == hashlib.md5(b"meow").hexdigest()


def test_a_large_object_is_whole_and_leaves_nothing_else(store: Store, native: Any) -> None:
    data = pattern(9 * MIB)
    made = store.put_object("photos", "k", data)
    assert made.etag == hashlib.md5(data).hexdigest()
    assert native.get_blob("photos/k").download_as_bytes() == data == read(store, "k")
    assert stored_names(native) == ["photos/k"]


def complete(store: Store, key: str, bodies: list[bytes], **options: Any) -> str:
    upload = store.create_upload("photos", key, **options)
    with ThreadPoolExecutor(8) as pool:
        parts = list(
            pool.map(
                lambda pair: store.put_part("photos", key, upload.upload_id, pair[0], pair[1]), enumerate(bodies, 1)
            )
        )
    done = [CompletedPart(number=number, etag=part.etag) for number, part in enumerate(parts, 1)]
    return store.complete_upload("photos", key, upload.upload_id, done).etag


def test_a_multipart_object_carries_the_etag_of_s3(store: Store, native: Any, backend: GcsKeys) -> None:
    bodies = [pattern(5 * MIB, 1), pattern(100, 2)]
    etag = complete(store, "big", bodies, metadata={"owner": "alice"})
    assert etag.endswith("-2")
    found = backend.find("photos", "big")
    assert found is not None
    assert (found.etag, found.size, dict(found.attributes.metadata)) == (etag, 5 * MIB + 100, {"owner": "alice"})
    assert native.get_blob("photos/big").download_as_bytes() == b"".join(bodies)
    store.sweep()
    assert stored_names(native) == ["photos/big"]


def compose(backend: GcsKeys, native: Any, count: int) -> None:
    """Make an object of `count` parts: 32 go into one compose, so the tree has a level for each power of 32."""
    spec = BlobSpec(bucket="photos", key="many", new_id=new_blob_id)
    token = backend.begin_parts(spec)

    def put_one(number: int) -> PartBlob:
        body = number.to_bytes(4, "big")
        return PartBlob(backend.put_part(token, number, [body], len(body), new_id=new_blob_id).handle, 4)

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(put_one, range(1, count + 1)))
    blob = backend.assemble_parts(token, spec, parts)
    assert read_blob(backend, blob.handle) == b"".join(n.to_bytes(4, "big") for n in range(1, count + 1))
    assert len(stored_names(native)) == count + 1, "what was composed on the way is gone"
    backend.delete_parts(token, [])
    assert stored_names(native) == ["photos/many"]


def test_more_than_a_thousand_parts_are_composed_in_a_tree(backend: GcsKeys, native: Any) -> None:
    compose(backend, native, 32 * 32 + 3)


@pytest.mark.slow
def test_ten_thousand_parts_are_composed_in_a_tree(backend: GcsKeys, native: Any) -> None:
    compose(backend, native, 10_000)


def test_metadata_that_the_provider_would_change_come_back(store: Store, backend: GcsKeys) -> None:
    metadata = {
        "plain": "1", "with-hyphen": "2", "0digit": "3", "name": "ü€ \U0001f600", "empty": "", "spaces": " x ",
        "bleepstore-etag": "mine",
    }  # fmt: skip
    system = SystemMetadata(content_type="text/plain", expires="Thu, 01 Dec 2033 16:00:00 GMT", content_language="dé")
    store.put_object("photos", "k", b"data", metadata=metadata, system=system)
    store.copy_object("photos", "k", "photos", "copy")
    for key in ("k", "copy"):
        found = backend.find("photos", key)
        assert found is not None
        assert found.attributes.metadata == metadata
        assert found.attributes.system == system


def test_odd_keys_are_found_again_from_the_provider_alone(store: Store, backend: GcsKeys) -> None:
    keys = [*ODD_KEYS, ".well-known/acme-challenge/token"]
    for key in keys:
        store.put_object("photos", key, key.encode())
    found = {blob.key: blob for _, blob in backend.iter_found("photos") if blob is not None}
    assert {key: blob.etag for key, blob in found.items()} == {
        key: hashlib.md5(key.encode()).hexdigest() for key in keys
    }


@pytest.mark.parametrize("layout", list(Layout))
def test_finding_goes_on_where_it_was(native: Any, fake_gcs_url: str, layout: Layout) -> None:
    with contextlib.closing(make_in(layout, native.name, fake_gcs_url)) as backend:
        handles = {
            backend.put_object(BlobSpec(bucket="photos", key=f"k{number}", size=1, new_id=new_blob_id), [b"x"]).handle
            for number in range(9)
        }
        listed = list(backend.iter_found("photos"))
        assert {blob.handle for _, blob in listed if blob is not None} == handles
        rest = {blob.handle for _, blob in backend.iter_found("photos", listed[3][0]) if blob is not None}
        assert {blob.handle for _, blob in listed[4:] if blob is not None} <= rest
        assert list(backend.buckets()) == ["photos"]


def test_gzip_labelled_bytes_are_never_unpacked(store: Store, native: Any) -> None:
    """They need not even be gzip."""
    data = pattern(3 * MIB)
    store.put_object("photos", "k", data, system=SystemMetadata(content_encoding="gzip"))
    assert read(store, "k") == data
    assert read(store, "k", range=ByteRange(5, 2 * MIB)) == data[5 : 2 * MIB + 1]
    assert native.get_blob("photos/k").content_encoding == "gzip"


# -- what others do there


def test_a_change_behind_our_back_is_adopted_when_it_is_read(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours", metadata={"by": "us"})
    put(native, "photos/k", b"theirs, longer", by="them")
    assert read(store, "k") == b"theirs, longer"
    head = store.head_object("photos", "k").version
    assert (head.size, head.etag) == (14, hashlib.md5(b"theirs, longer").hexdigest())
    assert (head.system.content_type, head.metadata) == ("text/x", {"by": "them"})


def test_the_same_bytes_written_by_another_are_another_blob(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"same", metadata={"by": "us"})
    put(native, "photos/k", b"same", by="them")
    assert read(store, "k") == b"same"
    assert store.head_object("photos", "k").version.metadata == {"by": "them"}


def test_what_others_deleted_is_gone_when_it_is_read(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    native.delete_blob("photos/k")
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")
    assert store.list_objects("photos").objects == []


def test_a_range_of_what_others_replaced_is_of_the_new_bytes(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"0123456789")
    put(native, "photos/k", b"abcdefgh")
    assert read(store, "k", range=ByteRange(2, 4)) == b"cde"
    put(native, "photos/k", b"x")
    with pytest.raises(errors.InvalidRange):
        read(store, "k", range=ByteRange(2, 4))


def test_a_copy_of_what_others_replaced_has_the_new_bytes(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    put(native, "photos/k", b"theirs")
    copied = store.copy_object("photos", "k", "photos", "copy")
    assert read(store, "copy") == b"theirs"
    assert copied.etag == hashlib.md5(b"theirs").hexdigest()


def test_a_condition_meets_what_others_wrote(store: Store, native: Any) -> None:
    etag = store.put_object("photos", "k", b"ours").etag
    put(native, "photos/k", b"theirs")
    with pytest.raises(errors.PreconditionFailed):
        store.put_object("photos", "k", b"new", condition=WriteCondition(if_match=etag))
    put(native, "photos/fresh", b"theirs")
    with pytest.raises(errors.PreconditionFailed):
        store.put_object("photos", "fresh", b"new", condition=WriteCondition(if_none_match=True))
    assert native.get_blob("photos/k").download_as_bytes() == b"theirs"
    assert read(store, "fresh") == b"theirs"  # it was adopted


def test_sweeping_leaves_what_others_put_there(store: Store, native: Any) -> None:
    put(native, "photos/other", b"theirs")
    store.put_object("photos", "k", b"ours")
    store.sweep(grace=dt.timedelta(milliseconds=-(10**7)))
    assert stored_names(native) == ["photos/k", "photos/other"]


def test_a_bucket_for_each_is_removed_only_if_nothing_else_is_in_it(
    fake_gcs_url: str, service: storage.Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    prefix = f"each-{next(_numbers)}-"
    with contextlib.closing(make(None, fake_gcs_url, prefix=prefix)) as backend:
        for bucket in ("empty", "used"):
            backend.create_bucket(bucket)
            backend.create_bucket(bucket)
        assert list(backend.buckets()) == ["empty", "used"]
        token = backend.begin_parts(BlobSpec(bucket="empty", key="k", new_id=new_blob_id))
        backend.put_part(token, 1, [b"part"], new_id=new_blob_id)
        backend.put_object(BlobSpec(bucket="used", key="k", size=1, new_id=new_blob_id), [b"x"])
        assert service.bucket(f"{prefix}used").blob("k").exists()
        with caplog.at_level(logging.WARNING):
            assert not backend.delete_bucket("empty")  # a part is in it
            backend.delete_parts(token, [])
            for bucket in ("empty", "used", "never-made"):
                assert backend.delete_bucket(bucket)
        assert [found.name for found in service.list_buckets(prefix=prefix)] == [f"{prefix}used"]
        assert f"{prefix}used" in caplog.text


# -- conditions and races


@pytest.mark.parametrize("size", [1, 9 * MIB])
def test_a_write_on_a_condition_is_the_providers(backend: GcsKeys, size: int) -> None:
    def put_over(byte: bytes, expected_current: KeyState | None) -> str:
        spec = KeyedSpec(bucket="photos", key="k", size=size, expected_current=expected_current, new_id=new_blob_id)
        return backend.put_object(spec, [byte * size]).handle

    first = put_over(b"1", KeyState(None))
    with pytest.raises(BlobChanged):
        put_over(b"2", KeyState(None))
    second = put_over(b"2", KeyState(first))
    with pytest.raises(BlobChanged):
        put_over(b"3", KeyState(first))
    assert backend.remove(second)
    assert not backend.remove(second)
    with pytest.raises(BlobChanged):
        put_over(b"3", KeyState(second))


def test_large_writes_of_one_key_at_once_both_end_and_one_of_them_is_there(backend: GcsKeys, native: Any) -> None:
    bodies = [pattern(7 * MIB, seed) for seed in range(3)]

    def put_one(body: bytes) -> str:
        chunks = [body[start : start + MIB] for start in range(0, len(body), MIB)]
        return backend.put_object(BlobSpec(bucket="photos", key="k", size=len(body), new_id=new_blob_id), chunks).handle

    with ThreadPoolExecutor(3) as pool:
        handles = dict(zip(pool.map(put_one, bodies), bodies, strict=True))
    found = backend.find("photos", "k")
    assert found is not None
    assert read_blob(backend, found.handle) == handles[found.handle]
    for handle in handles.keys() - {found.handle}:
        with pytest.raises(BlobNotFound):
            backend.get_object(handle)
    assert stored_names(native) == ["photos/k"]


def test_an_upload_goes_on_in_another_process(native: Any, fake_gcs_url: str) -> None:
    spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
    with contextlib.closing(make(native.name, fake_gcs_url)) as one:
        token = one.begin_parts(spec)
        first = one.put_part(token, 1, [b"1" * 100], new_id=new_blob_id).handle
    with contextlib.closing(make(native.name, fake_gcs_url)) as two:
        second = two.put_part(token, 2, [b"2"], new_id=new_blob_id).handle
        blob = two.assemble_parts(token, spec, [PartBlob(first, 100), PartBlob(second, 1)])
        assert read_blob(two, blob.handle) == b"1" * 100 + b"2"


def test_copies_and_completions_do_not_pass_through_this_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pattern(6 * MIB)
    store.put_object("photos", "source", data)
    upload = store.create_upload("photos", "k")
    one = store.put_part("photos", "k", upload.upload_id, 1, data).etag

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the bytes pass through this process")

    with monkeypatch.context() as patch:
        patch.setattr(GcsBackend, "get_object", refuse)
        patch.setattr(GcsBackend, "_write", refuse)
        store.copy_object("photos", "source", "photos", "copy")
        two = store.copy_part("photos", "source", "photos", "k", upload.upload_id, 2).etag
        parts = [CompletedPart(number=number, etag=etag) for number, etag in ((1, one), (2, two))]
        store.complete_upload("photos", "k", upload.upload_id, parts)
    assert read(store, "copy") == data
    assert read(store, "k") == data + data
