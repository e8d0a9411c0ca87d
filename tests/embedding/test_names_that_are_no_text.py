"""Bytes that are no UTF-8 come from the names of files as lone surrogates, which nothing stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.errors import InvalidArgument, InvalidBucketName, InvalidURI, S3Error

BAD = "a\udc80"
CALLS: list[tuple[Callable[[Store], Any], type[S3Error]]] = [
    (lambda store: store.head_bucket(BAD), InvalidBucketName),
    (lambda store: store.put_quota(bucket=BAD, max_bytes=1), InvalidBucketName),
    (lambda store: store.get_object("photos", BAD), InvalidURI),
    (lambda store: store.copy_object("photos", BAD, "photos", "k"), InvalidURI),
    (lambda store: store.get_object("photos", "k", version_id=BAD), InvalidArgument),
    (lambda store: store.list_objects("photos", prefix=BAD), InvalidArgument),
    (lambda store: store.list_object_versions("photos", after_key=BAD), InvalidArgument),
    (lambda store: store.delete_objects("photos", [bleepstore.DeleteEntry(key=BAD)]), InvalidArgument),
    (lambda store: store.put_object("photos", "k", b"", metadata={"a": BAD}), InvalidArgument),
    (lambda store: store.put_object("photos", "k", b"", content_type=BAD), InvalidArgument),
    (lambda store: store.get_credential(BAD), InvalidArgument),
    (lambda store: store.find_owner(BAD), InvalidArgument),
    (lambda store: store.abort_upload("photos", "k", BAD), InvalidArgument),
]


@pytest.mark.parametrize(("call", "error"), CALLS, ids=[str(number) for number in range(len(CALLS))])
def test_the_error_is_one_of_the_store(call: Callable[[Store], Any], error: type[S3Error]) -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        with pytest.raises(error) as raised:
            call(store)
        str(raised.value).encode()
        assert store.list_objects("photos").objects == []
