"""Listings page by page: whatever keys there are, every entry comes once and the pages end; and what each page says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import pytest
from botocore.handlers import set_list_objects_encoding_type_url
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bleepstore import Caller
from bleepstore_server.wire.documents.text import restore
from tests.server.conftest import ALICE, Server
from tests.server.tools import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: On memory alone: what is stored where makes no difference to what a page says.
pytestmark = pytest.mark.parametrize("store", ["memory"], indirect=True)

#: Characters that XML cannot hold, those by which they are written instead, and neighbours of both.
ALPHABET = [
    "a",
    "b",
    "/",
    " ",
    "\t",
    "\x00",
    "\x01",
    "\x1f",
    "\u2401",
    "\ufdd0",
    "\ufdd1",
    "\ufffd",
    "\uffff",
    "\U00010000",
]
key_sets = st.sets(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=4).map("".join), max_size=12)


@attrs.frozen
class Listing:
    """How a client that knows only what S3 documents pages through one of the listings."""

    query: str
    entry: str  # the element of an entry that is no common prefix
    limit: str
    markers: Mapping[str, str]  # element of the answer -> parameter of the next request


LISTINGS = {
    "objects": Listing("", "Contents", "max-keys", {"NextMarker": "marker"}),
    "objects v2": Listing("list-type=2", "Contents", "max-keys", {"NextContinuationToken": "continuation-token"}),
    "versions": Listing(
        "versions", "Version", "max-keys", {"NextKeyMarker": "key-marker", "NextVersionIdMarker": "version-id-marker"}
    ),
    "uploads": Listing(
        "uploads", "Upload", "max-uploads", {"NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"}
    ),
}


def fetch(wire: Wire, target: str) -> ET.Element:
    answer = wire.send("GET", target)
    assert answer.status == 200, answer
    return ET.fromstring(answer.body)


def pages(wire: Wire, listing: Listing, delimiter: str, size: int) -> Iterator[list[str]]:
    """The entries of each page, as the client reads them. Where no marker comes, it sends the last key that it read."""
    base = f"/photos?{listing.query}&{listing.limit}={size}&delimiter={quote(delimiter, safe='')}"
    target = base
    while True:
        page = fetch(wire, target)
        keys = [found.text or "" for found in page.findall(f"{{*}}{listing.entry}/{{*}}Key")]
        yield keys + [found.text or "" for found in page.findall("{*}CommonPrefixes/{*}Prefix")]
        if page.findtext("{*}IsTruncated") != "true":
            return
        markers = {name: page.findtext(f"{{*}}{element}") for element, name in listing.markers.items()}
        if not any(markers.values()):
            markers = {"marker": keys[-1]}
        target = base + "".join(f"&{name}={quote(text, safe='')}" for name, text in markers.items() if text)


def rolled_up(keys: set[str], delimiter: str) -> list[str]:
    entries = {key[: key.index(delimiter) + 1] if delimiter and delimiter in key else key for key in keys}
    return sorted(entries, key=str.encode)


@pytest.mark.parametrize("delimiter", ["", "/", "\x01"])
@pytest.mark.parametrize("name", LISTINGS)
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(keys=key_sets, size=st.integers(1, 4))
@example(keys={"a\x01a", "a\x01b", "a\x01/1", "a\x01/2", "a\x02", "a\ufdd0\u2401"}, size=1)
@example(keys={"\x00", "\x00\x00", "\x01/", "\x01/a", "\ufdd0", "\ufdd0\ufdd0", "\ufdd0\u2400"}, size=1)
@example(keys={"\uffff", "\uffffa", "\ufffe/", "\ufffe", "\U00010000"}, size=2)
def test_every_entry_comes_once_and_the_pages_end(
    server: Server, name: str, delimiter: str, keys: set[str], size: int
) -> None:
    store, wire, listing = server.store, Wire(server.url), LISTINGS[name]
    store.create_bucket("photos", caller=Caller(ALICE))
    try:
        for key in keys:
            if name == "uploads":
                store.create_upload("photos", key, caller=Caller(ALICE))
            else:
                store.put_object("photos", key, b"", caller=Caller(ALICE))
        expected = rolled_up(keys, delimiter)
        seen: list[str] = []
        for page in pages(wire, listing, delimiter, size):
            assert len(page) <= size
            seen += sorted(map(restore, page), key=str.encode)
            assert len(seen) <= len(expected), (expected, seen)
        assert seen == expected
    finally:
        for key in keys:
            store.delete_object("photos", key)
        for upload in store.list_uploads("photos").uploads:
            store.abort_upload("photos", upload.key, upload.upload_id)
        store.delete_bucket("photos")


ODD = [
    "a\x01a",
    "a\x01b",
    "a\x01c",
    "a\x02",
    "b/\x1f/1",
    "b/\x1f/2",
    "c",
    "\x00",
    "\x00\x00",
    "\ufdd0\u2401",
    "\uffff\uffff",
]


@pytest.mark.parametrize("by_url", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_paginators_of_boto3_with_and_without_url_encoding(
    server: Server, bucket: str, operation: Any, size: int, by_url: bool
) -> None:
    s3 = server.client()
    for key in ODD:
        server.store.put_object(bucket, key, b"", caller=Caller(ALICE))
    if not by_url:
        for name in ("ListObjects", "ListObjectsV2", "ListObjectVersions"):
            s3.meta.events.unregister(f"before-parameter-build.s3.{name}", set_list_objects_encoding_type_url)
    for delimiter in ("", "/", "\x1f"):
        seen: list[str] = []
        paginator: Any = s3.get_paginator(operation)
        for page in paginator.paginate(Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": size}):
            assert page.get("EncodingType") == ("url" if by_url else None)
            entries = [found["Key"] for found in page.get("Contents", []) + page.get("Versions", [])]
            entries += [found["Prefix"] for found in page.get("CommonPrefixes", [])]
            seen += sorted(entries if by_url else map(restore, entries), key=str.encode)
            assert len(seen) <= len(ODD)
        assert seen == rolled_up(set(ODD), delimiter)
    s3.close()


def test_a_key_that_was_read_serves_as_a_marker_of_any_listing(server: Server, bucket: str) -> None:
    wire = Wire(server.url)
    for key in ODD:
        server.store.put_object(bucket, key, b"", caller=Caller(ALICE))
    keys = sorted(ODD, key=str.encode)
    shown = next(pages(wire, LISTINGS["objects"], "", 1000))
    for number, (key, text) in enumerate(zip(keys, shown, strict=True)):
        for target in ("?marker=", "?list-type=2&start-after=", "?versions&key-marker="):
            as_read = fetch(wire, f"/photos{target}{quote(text, safe='')}")
            exact = fetch(wire, f"/photos{target}{quote(key, safe='')}&encoding-type=url")
            for page in (as_read, exact):
                assert len(page.findall("{*}Contents") + page.findall("{*}Version")) == len(keys) - number - 1
            echoes = [as_read.findtext(f"{{*}}{name}") for name in ("Marker", "StartAfter", "KeyMarker")]
            assert text in echoes, "what is echoed is what was sent"


# -- start-after and markers in a common prefix


def test_what_to_start_after_does_not_hide_the_prefix_that_it_is_in(server: Server, bucket: str, s3: S3Client) -> None:
    for key in ("a/a", "a/c", "b/"):
        s3.put_object(Bucket=bucket, Key=key)

    def prefixes(**options: Any) -> list[str]:
        return [
            found["Prefix"]
            for found in s3.list_objects_v2(Bucket=bucket, Delimiter="/", **options).get("CommonPrefixes", [])
        ]

    for start_after, expected in (("a", ["a/", "b/"]), ("a/", ["a/", "b/"]), ("a/b", ["a/", "b/"]), ("a/c", ["b/"])):
        assert prefixes(StartAfter=start_after) == expected, start_after
    first = s3.list_objects_v2(Bucket=bucket, Delimiter="/", StartAfter="a/", MaxKeys=1)
    assert [found["Prefix"] for found in first["CommonPrefixes"]] == ["a/"]
    assert first["StartAfter"] == "a/"
    # The token knows that a/ has been shown.
    assert prefixes(StartAfter="a/", ContinuationToken=first["NextContinuationToken"]) == ["b/"]


def test_a_marker_within_a_prefix_shows_it_and_one_that_is_the_prefix_skips_it(bucket: str, s3: S3Client) -> None:
    for key in ("a/a", "a/c", "b/"):
        s3.put_object(Bucket=bucket, Key=key)
    within = s3.list_objects(Bucket=bucket, Delimiter="/", Marker="a/b")
    assert [found["Prefix"] for found in within["CommonPrefixes"]] == ["a/", "b/"]
    next_page = s3.list_objects(Bucket=bucket, Delimiter="/", Marker="a/")
    assert [found["Prefix"] for found in next_page["CommonPrefixes"]] == ["b/"]


# -- what a page says of itself


def facts(page: ET.Element, *leave_out: str) -> dict[str, str]:
    """The elements of a page in their order, without those of entries."""
    return {
        name: found.text or ""
        for found in page
        if (name := found.tag.rpartition("}")[2]) not in ("Contents", "Version", "Upload", "CommonPrefixes", *leave_out)
    }


def test_a_page_of_objects(server: Server, bucket: str, s3: S3Client) -> None:
    wire = Wire(server.url)
    for key in ("a", "b", "c/1"):
        s3.put_object(Bucket=bucket, Key=key)
    assert list(facts(fetch(wire, "/photos?max-keys=2")).items()) == [
        ("Name", "photos"),
        ("Prefix", ""),
        ("Marker", ""),
        ("MaxKeys", "2"),
        ("IsTruncated", "true"),
    ], "NextMarker comes only with a delimiter"
    assert list(facts(fetch(wire, "/photos?max-keys=1&delimiter=/&marker=a&encoding-type=url")).items()) == [
        ("Name", "photos"),
        ("Prefix", ""),
        ("Marker", "a"),
        ("NextMarker", "b"),
        ("MaxKeys", "1"),
        ("Delimiter", "/"),
        ("EncodingType", "url"),
        ("IsTruncated", "true"),
    ]
    for query in ("max-keys=0", "max-keys=0&delimiter=/"):
        page = facts(fetch(wire, f"/photos?{query}"))
        assert (page["MaxKeys"], page["IsTruncated"], "NextMarker" in page) == ("0", "false", False)
    assert facts(fetch(wire, "/photos?max-keys=5000"))["MaxKeys"] == "1000"


def test_a_page_of_objects_v2(server: Server, bucket: str, s3: S3Client) -> None:
    wire = Wire(server.url)
    for key in ("a", "b", "c/1"):
        s3.put_object(Bucket=bucket, Key=key)
    first = facts(fetch(wire, "/photos?list-type=2&max-keys=1&start-after=a&delimiter=/&encoding-type=url"))
    token = first.pop("NextContinuationToken")
    assert first == {
        "Name": "photos",
        "Prefix": "",
        "StartAfter": "a",
        "KeyCount": "1",
        "MaxKeys": "1",
        "Delimiter": "/",
        "EncodingType": "url",
        "IsTruncated": "true",
    }
    second = facts(fetch(wire, f"/photos?list-type=2&start-after=a&delimiter=/&continuation-token={quote(token)}"))
    assert (second["StartAfter"], second["ContinuationToken"], second["KeyCount"]) == ("a", token, "1")
    assert "NextContinuationToken" not in second


def test_a_page_of_versions(server: Server, bucket: str, s3: S3Client) -> None:
    wire = Wire(server.url)
    for key in ("a b", "c/1", "d"):
        s3.put_object(Bucket=bucket, Key=key)
    first = facts(fetch(wire, "/photos?versions&max-keys=1&encoding-type=url"))
    assert first == {
        "Name": "photos",
        "Prefix": "",
        "KeyMarker": "",
        "VersionIdMarker": "",
        "NextKeyMarker": "a%20b",
        "NextVersionIdMarker": "null",
        "MaxKeys": "1",
        "EncodingType": "url",
        "IsTruncated": "true",
    }
    page = fetch(wire, "/photos?versions&max-keys=1&delimiter=/&key-marker=a%20b&version-id-marker=null")
    assert facts(page, "Name", "Prefix") == {
        "KeyMarker": "a b",
        "VersionIdMarker": "null",
        "NextKeyMarker": "c/",
        "MaxKeys": "1",
        "Delimiter": "/",
        "IsTruncated": "true",
    }, "a common prefix has no version"


def test_a_page_of_uploads_names_its_last_also_where_none_follows(server: Server, bucket: str, s3: S3Client) -> None:
    wire = Wire(server.url)
    empty = facts(fetch(wire, "/photos?uploads"))
    assert (empty["MaxUploads"], empty["IsTruncated"], "NextKeyMarker" in empty) == ("1000", "false", False)
    ids = {key: s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("a b", "c/1", "d")}
    whole = facts(fetch(wire, "/photos?uploads"))
    assert (whole["NextKeyMarker"], whole["NextUploadIdMarker"], whole["IsTruncated"]) == ("d", ids["d"], "false")
    first = facts(fetch(wire, "/photos?uploads&max-uploads=1&encoding-type=url"))
    assert (first["NextKeyMarker"], first["NextUploadIdMarker"], first["IsTruncated"]) == ("a%20b", ids["a b"], "true")
    rolled = facts(fetch(wire, "/photos?uploads&delimiter=/&prefix=c"))
    assert (rolled["NextKeyMarker"], "NextUploadIdMarker" in rolled) == ("c/", False)
    ignored = facts(fetch(wire, f"/photos?uploads&upload-id-marker={ids['d']}"))
    assert ignored["UploadIdMarker"] == "", "without a key marker it is ignored"


def test_a_page_of_parts_names_its_last_also_where_none_follows(server: Server, bucket: str, s3: S3Client) -> None:
    wire = Wire(server.url)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    target = f"/photos/k?uploadId={upload}"
    assert facts(fetch(wire, target), "Initiator", "Owner")["NextPartNumberMarker"] == "0"
    for number in (2, 7):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=b"x")
    page = facts(fetch(wire, f"{target}&max-parts=1"))
    assert (page["PartNumberMarker"], page["NextPartNumberMarker"], page["IsTruncated"]) == ("0", "2", "true")
    page = facts(fetch(wire, f"{target}&part-number-marker=2"))
    assert (page["PartNumberMarker"], page["NextPartNumberMarker"], page["IsTruncated"]) == ("2", "7", "false")


BAD_NUMBERS = [
    ("?max-keys=-1", "maxKeys", "-1", "Argument maxKeys must be an integer between 0 and 2147483647"),
    ("?list-type=2&max-keys=-1", "maxKeys", "-1", "Argument maxKeys must be an integer between 0 and 2147483647"),
    ("?versions&max-keys=-1", "max-keys", "-1", "max-keys cannot be negative"),
    ("?versions&max-keys=x", "max-keys", "x", "Provided max-keys not an integer or within integer range"),
    ("?max-keys=2147483648", "max-keys", "2147483648", "Provided max-keys not an integer or within integer range"),
    (
        "?uploads&max-uploads=-1",
        "max-uploads",
        "-1",
        "Argument max-uploads must be an integer between 0 and 2147483647",
    ),
    ("?uploads&max-uploads=1.5", "max-uploads", "1.5", "Provided max-uploads not an integer or within integer range"),
    (
        "/k?uploadId=u&part-number-marker=-1",
        "part-number-marker",
        "-1",
        "Argument part-number-marker must be an integer between 0 and 2147483647",
    ),
    ("?encoding-type=foo", "encoding-type", "foo", "Invalid Encoding Method specified in Request"),
    ("?uploads&key-marker=k&upload-id-marker=none", "upload-id-marker", "none", "Invalid uploadId marker"),
    ("?list-type=2&continuation-token=", "continuation-token", "", "The continuation token provided is incorrect"),
    ("?versions&version-id-marker=", "version-id-marker", "", "A version-id marker cannot be empty."),
    (
        "?versions&version-id-marker=null",
        "version-id-marker",
        "null",
        "A version-id marker cannot be specified without a key marker.",
    ),
]


@pytest.mark.parametrize(("target", "name", "value", "message"), BAD_NUMBERS)
def test_parameters_of_listings_that_s3_refuses(
    server: Server, bucket: str, target: str, name: str, value: str, message: str
) -> None:
    answer = Wire(server.url).send("GET", f"/photos{target}")
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
    assert answer.error["Message"] == message
    assert answer.error["ArgumentName"] == name
    assert (answer.error.get("ArgumentValue") or "") == value
