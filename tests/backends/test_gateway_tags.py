"""Tags at a provider: S3's own where each object is under its key, in the metadata elsewhere; found by who adopts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

import bleepstore
from bleepstore.backends.gateway.names import Layout
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]
TAGS = {"colour": "dark red", "ключ": ""}


@pytest.mark.parametrize("kind", ["aws", "azure", "gcs"])
@pytest.mark.parametrize("layout", list(Layout))
def test_tags_are_found_again_by_who_has_no_catalog(
    kind: str, layout: Layout, far_end_of: FarEnd, tmp_path: Path
) -> None:
    url, endpoint = far_end_of(kind)()
    options: dict[str, Any] = {"layout": layout, "endpoint_url": endpoint}
    with bleepstore.open(url, catalog=tmp_path / "lost", **options) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"x" * 100_000, tags=TAGS, metadata={"m": "ü"}, content_language="de")
        store.put_object("photos", "none", b"y" * 100_000)
        store.copy_object("photos", "k", "photos", "copy")
        store.copy_object("photos", "k", "photos", "other", tags={"b": "2"}, replace_tags=True)
        if layout == Layout.KEYS:
            before = store.head_object("photos", "k").version
            for tags in ({}, {"a": "1"}):
                store.put_object_tags("photos", "k", tags)
                with store.get_object("photos", "k") as stored:
                    assert stored.read() == b"x" * 100_000
                    assert stored.version.tags == tags
                    assert stored.version.etag == before.etag
                    assert stored.version.modified_ms == before.modified_ms
                    assert stored.version.checksum == before.checksum
            store.put_object_tags("photos", "k", TAGS)
    with bleepstore.open(url, catalog=tmp_path / "new", **options, take_over=True) as store:
        store.adopt("photos")
        version = store.head_object("photos", "k").version
        assert (version.tags, version.metadata, version.system.content_language) == (TAGS, {"m": "ü"}, "de")
        assert store.get_object_tags("photos", "none") == {}
        assert store.get_object_tags("photos", "copy") == TAGS
        assert store.get_object_tags("photos", "other") == {"b": "2"}


def test_tags_are_s3s_own_where_objects_are_under_their_keys(far_end_of: FarEnd, tmp_path: Path) -> None:
    url, endpoint = far_end_of("aws")()
    with bleepstore.open(url, catalog=tmp_path / "catalog", endpoint_url=endpoint) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data", tags={"a": "1"})
        upload = store.create_upload("photos", "m", tags={"m": "1"})
        part = store.put_part("photos", "m", upload.upload_id, 1, b"data")
        store.complete_upload("photos", "m", upload.upload_id, [bleepstore.CompletedPart(number=1, etag=part.etag)])
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        parts = urlsplit(url)
        prefix = parts.path.lstrip("/")
        prefix = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix

        def native(key: str) -> list[Any]:
            found = client.get_object_tagging(Bucket=parts.netloc, Key=f"{prefix}photos/{key}")
            return list(found["TagSet"])

        assert native("k") == [{"Key": "a", "Value": "1"}]
        assert native("m") == [{"Key": "m", "Value": "1"}]
        store.put_object_tags("photos", "k", {"b": "2"})
        assert native("k") == [{"Key": "b", "Value": "2"}]
        store.delete_object_tags("photos", "k")
        assert native("k") == []
