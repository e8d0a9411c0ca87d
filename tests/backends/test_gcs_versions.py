"""The gateway to Google Cloud Storage over a bucket that keeps versions: what was replaced or deleted is still there,
under its generation, and still counts as replaced or deleted."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud import storage

from bleepstore import Store, errors
from bleepstore.backends.base import BlobSpec, StoredBlob, new_blob_id
from bleepstore.backends.gcs.backend import GcsBackend
from bleepstore.backends.gcs.layouts import GcsKeys
from bleepstore.errors import BlobNotFound
from bleepstore.testing.contract_tools import MIB, pattern
from tests.backends.gcs_fixtures import backend, make, put, read, service, store
from tests.backends.tcp_faults import fault_proxy

__all__ = ["backend", "service", "store"]

_numbers = itertools.count()


@pytest.fixture
def native(service: storage.Client) -> Any:
    bucket = service.bucket(f"versioned-{next(_numbers)}")
    bucket.versioning_enabled = True
    return service.create_bucket(bucket)


def test_what_others_replaced_is_not_read(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    put(native, "photos/k", b"theirs, longer")
    assert read(store, "k") == b"theirs, longer"
    assert store.head_object("photos", "k").version.size == 14


def test_what_others_deleted_is_not_read(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    native.delete_blob("photos/k")
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")
    assert store.list_objects("photos").objects == []


def test_what_others_replaced_is_not_copied(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    put(native, "photos/k", b"theirs")
    store.copy_object("photos", "k", "photos", "copy")
    assert read(store, "copy") == b"theirs"


def test_a_deletion_removes_what_is_stored_there_whoever_wrote_it(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    put(native, "photos/k", b"theirs")
    store.delete_object("photos", "k")
    assert native.get_blob("photos/k") is None
    assert store.list_objects("photos").objects == []


def test_what_is_deleted_is_gone_for_good(store: Store, native: Any) -> None:
    store.put_object("photos", "k", b"ours")
    store.delete_object("photos", "k")
    assert [blob.name for blob in native.list_blobs(prefix="photos/", versions=True)] == []


def test_of_two_writes_at_once_the_one_that_is_stored_there_counts(
    store: Store, native: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_object = GcsBackend.put_object

    def put_first(self: GcsKeys, spec: BlobSpec, chunks: Any) -> StoredBlob:
        """Another write comes between the bytes of this one and its commit."""
        blob = put_object(self, spec, chunks)
        monkeypatch.setattr(GcsBackend, "put_object", put_object)
        store.put_object("photos", "k", b"second")
        return blob

    monkeypatch.setattr(GcsBackend, "put_object", put_first)
    store.put_object("photos", "k", b"first")
    assert native.get_blob("photos/k").download_as_bytes() == b"second" == read(store, "k")
    assert store.head_object("photos", "k").version.size == 6


def test_what_was_replaced_can_neither_be_read_nor_removed(backend: GcsKeys, native: Any) -> None:
    old = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"old"]).handle
    new = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"new"]).handle
    for ask in (backend.head_object, backend.get_object):
        with pytest.raises(BlobNotFound):
            ask(old)
    with pytest.raises(BlobNotFound):
        backend.get_object(old, 1, 1)
    assert not backend.remove(old)
    assert backend.remove(new)


def test_a_read_under_way_goes_on_to_the_end(native: Any, fake_gcs_url: str) -> None:
    data = pattern(6 * MIB)
    with (
        fault_proxy(urlsplit(fake_gcs_url).port or 0) as proxy,
        contextlib.closing(make(native.name, proxy.url)) as backend,
    ):
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        proxy.inject("cut", received=2 * MIB)
        with backend.get_object(blob.handle) as reader:
            head = reader.read(1000)
            put(native, "photos/k", b"theirs")
            assert head + reader.read() == data
        assert proxy.hits == 1
