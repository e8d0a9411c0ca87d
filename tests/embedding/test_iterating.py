"""Listings as iterators: every item of every page, once."""

from __future__ import annotations

import pytest

import bleepstore
from bleepstore import CompletedPart
from bleepstore.errors import AccessDenied, NoSuchBucket, NoSuchUpload


def test_all_pages(store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        store.create_bucket(f"photos-{number}")
    for number in range(25):
        store.put_object("photos-0", f"k{number:02}", b"")
    uploads = [store.create_upload("photos-0", f"k{number % 3}") for number in range(12)]
    for number in range(1, 13):
        store.put_part("photos-0", "k0", uploads[0].upload_id, number, bytes(5 * 1024**2 if number < 3 else 1))
    done = store.create_upload("photos-1", "k")
    one = store.put_part("photos-1", "k", done.upload_id, 1, b"1")
    store.complete_upload("photos-1", "k", done.upload_id, [CompletedPart(number=1, etag=one.etag)])

    for name in ("list_buckets", "list_objects", "list_uploads", "list_parts", "list_object_parts"):
        whole = getattr(bleepstore.Store, name)
        monkeypatch.setattr(
            bleepstore.Store, name, lambda *args, whole=whole, **options: whole(*args, **options | {"limit": 2})
        )
    assert [bucket.name for bucket in store.iter_buckets()] == [f"photos-{number}" for number in range(5)]
    assert [bucket.name for bucket in store.iter_buckets(prefix="photos-3")] == ["photos-3"]
    assert [item.key for item in store.iter_objects("photos-0")] == [f"k{number:02}" for number in range(25)]
    assert [item.key for item in store.iter_objects("photos-0", prefix="k1", after="k15")] == [
        "k16",
        "k17",
        "k18",
        "k19",
    ]
    assert sorted(upload.upload_id for upload in store.iter_uploads("photos-0")) == sorted(u.upload_id for u in uploads)
    assert [part.number for part in store.iter_parts("photos-0", "k0", uploads[0].upload_id)] == list(range(1, 13))
    assert [part.number for part in store.iter_object_parts("photos-1", "k")] == [1]


def test_an_error_comes_where_the_listing_is_asked_for(store: bleepstore.Store) -> None:
    with pytest.raises(NoSuchBucket):
        store.iter_objects("missing")
    store.create_bucket("photos")
    with pytest.raises(AccessDenied):
        store.iter_objects("photos", caller=bleepstore.Caller(bleepstore.Owner("stranger")))
    with pytest.raises(NoSuchUpload):
        store.iter_parts("photos", "k", "0" * 52)
    assert list(store.iter_objects("photos")) == []
