"""Text from clients that becomes a header of an answer: it comes back as it was sent, or was refused."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from bleepstore import Caller
from bleepstore.model import SystemMetadata
from tests.server.conftest import ALICE, Server
from tests.server.tools import UNSIGNED, Answer, Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stores("local")


@pytest.fixture
def wire(prepared: Wire) -> Wire:
    return prepared


def put(wire: Wire, headers: dict[str, str]) -> Answer:
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    return wire.send("PUT", "/photos/k", b"data", sent, payload=UNSIGNED)


# -- overrides

OVERRIDES = ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"]


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_override_that_no_header_can_hold_is_refused(wire: Wire, name: str) -> None:
    for value in ("a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x1fb", "a\x7fb", "€", "a—b", "😀"):
        for method in ("GET", "HEAD"):
            answer = wire.send(method, f"/photos/kept?response-{name}={quote(value)}")
            assert answer.status == 400, (value, answer)
            assert "x-evil" not in answer.headers
            if method == "GET":
                assert answer.code == "InvalidArgument"
                assert answer.error["ArgumentName"] == f"response-{name}"
                message = "Header value cannot be represented using ISO-8859-1."
                assert (answer.error["Message"] == message) == (max(value) > "\xff")
                if value.isprintable():
                    assert answer.error["ArgumentValue"] == value


def test_a_header_that_cannot_be_overridden_is_refused(wire: Wire) -> None:
    for method in ("GET", "HEAD"):
        answer = wire.send(method, "/photos/kept?response-x-amz-acl=private")
        assert answer.status == 400, answer
    answer = wire.send("GET", "/photos/kept?response-x-amz-acl=private")
    assert answer.error["Message"].startswith("response-x-amz-acl is not in the set of overridable response headers.")
    assert (answer.error["ArgumentName"], answer.error["ArgumentValue"]) == ("response-x-amz-acl", "private")


@pytest.mark.parametrize("value", ["plain", 'attachment; filename="a b.txt"', "a\tb", "é", "ÿ"])
def test_others_are_sent_as_they_are(wire: Wire, value: str) -> None:
    answer = wire.send("GET", f"/photos/kept?response-content-disposition={quote(value)}")
    assert (answer.status, answer.headers["content-disposition"]) == (200, value)


# -- system metadata

SYSTEM = {
    "Cache-Control": "max-age=5, x=é",
    "Content-Disposition": 'attachment; filename="Zürich €😀.pdf"',
    "Content-Encoding": "gzip",
    "Content-Language": "mi, en",
    "Content-Type": "text/plain; charset=utf-8; name=ü",
    "Expires": "Thu, 01 Dec 2044 16:00:00 GMT",
    "x-amz-website-redirect-location": "/naïve/€",
}


@pytest.mark.stores("local", "aws-keys")
def test_system_metadata_in_utf_8_come_back_as_they_were_sent(wire: Wire, s3: S3Client) -> None:
    assert put(wire, SYSTEM).status == 200
    s3.copy_object(Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": "k"})
    for target in ("/photos/k", "/photos/copy"):
        for method in ("GET", "HEAD"):
            found = wire.send(method, target).headers
            for name, value in SYSTEM.items():
                if target == "/photos/k" or not name.startswith("x-amz-"):  # a copy has a redirect of its own or none
                    assert found[name.lower()].encode("latin-1").decode() == value


@pytest.mark.stores("local", "aws-keys")
def test_what_a_program_stored_cannot_end_a_header(wire: Wire, server: Server) -> None:
    system = SystemMetadata(cache_control="a\r\nX-Evil: 1", content_disposition="a\x00b", expires="\ta€")
    metadata = {"plain": "1", "evil": "a\r\nX-Evil: 1", "nul": "\x00", "tab": "a\tb", "é": "2", "a b": "3"}
    server.store.put_object("photos", "k", b"", system=system, metadata=metadata, caller=Caller(ALICE))
    found = wire.send("GET", "/photos/k").headers
    assert "x-evil" not in found
    assert found["cache-control"] == "a  X-Evil: 1"
    assert {name for name in found if name.startswith("x-amz-meta-")} == {"x-amz-meta-plain", "x-amz-meta-tab"}
    assert found["x-amz-missing-meta"] == "4", "S3 counts those that it cannot show"


# -- user metadata


@pytest.mark.stores("local", "aws-keys")
@pytest.mark.parametrize(
    ("sent", "stored", "shown"),
    [
        ("plain", "plain", "plain"),
        ("=?UTF-8?B?aGVsbG8=?=", "hello", "hello"),
        ("=?UTF-8?Q?hello_world?=", "hello world", "hello world"),
        ("=?us-ascii?q?a=3Db?=", "a=b", "a=b"),
        ("=?utf-8?b?aGVs?= =?utf-8?b?bG8=?=", "hello", "hello"),
        ("say =?UTF-8?B?aGVsbG8=?= twice", "say hello twice", "say hello twice"),
        ("=?UTF-8?B?w7w=?=", "ü", "=?UTF-8?B?w7w=?="),
        ("=?iso-8859-1?Q?=FC?=", "ü", "=?UTF-8?B?w7w=?="),
        ("=?UTF-8*de?Q?=C3=BC?=", "ü", "=?UTF-8?B?w7w=?="),
        ("ü", "ü", "=?UTF-8?B?w7w=?="),
        ("=?UTF-8?B?DQpYLUV2aWw6IDE=?=", "\r\nX-Evil: 1", None),
        # what cannot be decoded is text
        *((text, text, text) for text in (
            "=?", "=??=", "a=?b", "=?UTF-8?B?!?=", "=?UTF-8?B?aGVsbG8?=", "=?UTF-8?B?/w==?=", "=?UTF-8?X?aGk=?=",
            "=?punycode?B?aGk=?=", "=?rot13?Q?uryyb?=", "=?unicode_escape?Q?=5Cx41?=", "=?idna?Q?xn--a?=",
            "=?UTF-8?B?aGVs?", "?=", "=?UTF-8?Q?a b?=",
        )),
    ],
)  # fmt: skip
def test_encoded_words(wire: Wire, server: Server, s3: S3Client, sent: str, stored: str, shown: str | None) -> None:
    assert put(wire, {"x-amz-meta-a": sent}).status == 200
    assert server.store.head_object("photos", "k").version.metadata == {"a": stored}
    found = wire.send("GET", "/photos/k").headers
    assert "x-evil" not in found
    assert found.get("x-amz-meta-a") == shown
    assert found.get("x-amz-missing-meta") == (None if shown else "1")
    if sent.isascii():
        upload = s3.create_multipart_upload(Bucket="photos", Key="m", Metadata={"a": sent})
        (found_upload,) = server.store.list_uploads("photos").uploads
        assert found_upload.metadata == {"a": stored}
        s3.abort_multipart_upload(Bucket="photos", Key="m", UploadId=upload["UploadId"])


def test_many_words_take_no_time(wire: Wire) -> None:
    """Headers have 64 KB at most; the time must grow with them, not with their square."""
    for sent in (
        "=?" * 15_000,
        "=?a?b?" * 5_000,
        "=?UTF-8?Q?" + "=41" * 500 + "?=",
        "?= " * 10_000,
        "?=" + " " * 30_000,
    ):
        assert put(wire, {"x-amz-meta-a": sent}).status in (200, 400)


# -- 304


def test_not_modified_has_what_a_cache_needs(wire: Wire, s3: S3Client) -> None:
    """ "any of the following header fields that would have been sent in a 200 (OK) response" (RFC 9110, 15.4.5)."""
    assert put(wire, SYSTEM).status == 200
    whole = wire.send("GET", "/photos/k").headers
    later = dt.datetime.now(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for method in ("GET", "HEAD"):
        for condition in ({"If-None-Match": whole["etag"]}, {"If-Modified-Since": later}):
            answer = wire.send(method, "/photos/k", headers=condition)
            assert (answer.status, answer.body) == (304, b"")
            for name in ("etag", "last-modified", "cache-control", "expires"):
                assert answer.headers[name] == whole[name], name
            assert not {"content-type", "content-length", "content-disposition"} & answer.headers.keys()
    target = "/photos/k?response-cache-control=no-store&response-content-type=text%2Fhtml"
    answer = wire.send("GET", target, headers={"If-None-Match": whole["etag"]})
    assert (answer.status, answer.headers["cache-control"]) == (304, "no-store")
    assert "content-type" not in answer.headers
    s3.put_object(Bucket="photos", Key="plain", Body=b"")
    etag = s3.head_object(Bucket="photos", Key="plain")["ETag"]
    answer = wire.send("GET", "/photos/plain", headers={"If-None-Match": etag})
    assert answer.status == 304
    assert not {"cache-control", "expires"} & answer.headers.keys()
