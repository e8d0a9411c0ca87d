"""Which keys a gateway keeps, and what it notes with an object that is not stored under its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore.backends.aws import pins as aws
from bleepstore.backends.azure import pins as azure
from bleepstore.backends.base import BlobSpec, new_blob_id
from bleepstore.backends.gateway.metadata import MetadataCodec
from bleepstore.backends.gateway.names import Layout, Names
from bleepstore.backends.gcs import pins as gcs
from bleepstore.model import ObjectAttributes

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]

#: What JSON, XML, HTTP headers or base64 make longer.
LONGEST_KEYS = ("\x01" * 1024, '"' * 1024, "../" + "\\" * 1021, "é" * 512, "\U0001f600" * 256)
CODECS = {"aws": aws.CODEC, "azure": azure.CODEC, "gcs": gcs.CODEC}


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("kind", list(CODECS))
def test_the_longest_keys_are_kept_and_adopted(kind: str, layout: Layout, far_end_of: FarEnd, tmp_path: Path) -> None:
    url, endpoint = far_end_of(kind)()
    with bleepstore.open(url, catalog=tmp_path / "lost", layout=layout, endpoint_url=endpoint) as store:
        store.create_bucket("photos")
        for key in LONGEST_KEYS:
            store.put_object("photos", key, key.encode(), metadata={"n": "1"})
            with store.get_object("photos", key) as found:
                assert found.read() == key.encode()
    with bleepstore.open(
        url, catalog=tmp_path / "new", layout=layout, endpoint_url=endpoint, take_over=True
    ) as rebuilt:
        assert rebuilt.adopt("photos").adopted == len(LONGEST_KEYS)
        for key in LONGEST_KEYS:
            with rebuilt.get_object("photos", key) as found:
                assert (found.read(), found.version.metadata) == (key.encode(), {"n": "1"})


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_all_notes_of_the_longest_key_fit_into_what_the_provider_accepts(codec: MetadataCodec) -> None:
    for key in LONGEST_KEYS:
        spec = BlobSpec(
            bucket="b" * 63, key=key, attributes=ObjectAttributes(metadata={"large": "x" * 2000}), new_id=new_blob_id
        )
        made = codec.encode(
            spec,
            write="0" * 16,
            etag=f"{'0' * 32}-10000",
            crc32c="AAAAAA==",
            size=50 * 1024**4,
            of=(f"{'0' * 32}-10000", "1" * 32),
            with_key=True,
        )
        assert sum(len(name) + len(text) for name, text in made.items()) <= codec.budget
        assert codec.decode(made).key == key


@pytest.mark.parametrize("noted", [{"key": "%"}, {"key": "/w=="}, {"key": ""}])
def test_what_others_wrote_instead_of_a_key_is_none(noted: dict[str, str]) -> None:
    assert gcs.CODEC.decode({f"bleepstore-{name}": text for name, text in noted.items()}).key is None


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "//", "a b+c%2F", "ü/€"])
def test_keys_that_every_provider_accepts_are_names_as_they_are(key: str) -> None:
    assert Names(container="c", prefix="p/").of_key("photos", key).name == f"p/photos/{key}"


@pytest.mark.parametrize("key", [".", "..", "a/../b", "a/./b", "a\x01", "a\x7f", "a\ufffe", ".bleepstore/x", "é" * 512])
def test_keys_that_would_be_changed_or_refused_are_named_by_their_digest(key: str) -> None:
    assert Names(container="c", prefix="p/").of_key("photos", key).name.startswith("p/photos/.bleepstore/keys/")
