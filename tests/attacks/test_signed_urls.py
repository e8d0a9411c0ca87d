"""Whoever holds a presigned URL may do what its signature covers, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bleepstore import Caller
from bleepstore_server import create_app
from tests.server.conftest import ALICE, Server
from tests.server.test_property import call
from tests.server.tools import Answer, Wire, snapshot

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COPY = "x-amz-copy-source=%2Fphotos%2Fkept"


@pytest.fixture(params=["s3", "s3v4"])
def signer(request: pytest.FixtureRequest, server: Server, prepared: Wire) -> Iterator[S3Client]:
    client = server.client(signature_version=request.param)
    yield client
    client.close()


def use(wire: Wire, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    parts = urlsplit(url)
    return wire.send(method, f"{parts.path}?{parts.query}", body, headers, signed=False)


ADDITIONS = [
    f"X-Amz-Signature=x&{COPY}&x-amz-acl=public-read",
    f"x-amz-signature=x&{COPY}&x-amz-acl=public-read",
    f"X-Amz-Algorithm=AWS4-HMAC-SHA256&{COPY}",
    COPY,
    COPY.upper().replace("%2FPHOTOS%2FKEPT", "%2Fphotos%2Fkept"),
    "x-amz-acl=public-read",
    "X-Amz-Acl=public-read",
    "x%2Damz%2Dacl=public-read",
    "x-amz-grant-read=uri%3Dhttp%3A%2F%2Facs.amazonaws.com%2Fgroups%2Fglobal%2FAllUsers",
    "x-amz-meta-a=b",
    "x-amz-storage-class=GLACIER",
    "x-amz-expected-bucket-owner=alice-id",
    "content-type=text%2Fhtml",
    "Content-Type=text%2Fhtml",
    "content-md5=x",
    "acl",
    "uploadId=u&partNumber=1",
    "versionId=null",
    "attributes",
    "Signature=x",
    "Signature=x&AWSAccessKeyId=alice&Expires=9999999999",
    "response-content-type=text%2Fhtml",
]


@pytest.mark.parametrize("addition", ADDITIONS)
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
def test_nothing_can_be_added_to_a_url(
    server: Server, prepared: Wire, signer: S3Client, addition: str, before: bool
) -> None:
    url = signer.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "new"})
    changed = url.replace("?", f"?{addition}&", 1) if before else f"{url}&{addition}"
    seen = snapshot(server.store)
    answer = use(prepared, "PUT", changed, b"data")
    assert answer.status in (400, 403, 405, 501), answer
    assert snapshot(server.store) == seen
    assert use(prepared, "PUT", url, b"data").status == 200


@pytest.mark.parametrize("name", ["x-amz-acl", "x-amz-copy-source", "x-amz-meta-a", "x-amz-storage-class"])
def test_no_header_can_be_added_to_a_url(server: Server, prepared: Wire, signer: S3Client, name: str) -> None:
    url = signer.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "new"})
    seen = snapshot(server.store)
    value = "/photos/kept" if name == "x-amz-copy-source" else "public-read"
    assert use(prepared, "PUT", url, b"data", {name: value}).status == 403
    assert snapshot(server.store) == seen


@pytest.mark.legacy_acls
def test_the_query_of_an_unsigned_request_holds_no_headers(server: Server, prepared: Wire) -> None:
    server.store.create_bucket("open", caller=Caller(ALICE))
    prepared.send("PUT", "/open?acl", headers={"x-amz-acl": "public-read-write"})
    assert prepared.send("PUT", f"/open/k?{COPY}&x-amz-acl=public-read", b"mine", signed=False).status == 200
    with server.store.get_object("open", "k") as made:
        assert made.read() == b"mine"
    assert prepared.send("GET", "/open/k", signed=False).status == 200  # its owner is nobody in particular
    assert len(server.store.get_object_acl("open", "k").grants) == 1


PUTS: dict[str, Any] = {
    "Metadata": {"a": "b", "spaces": "c d"},
    "ACL": "public-read",
    "StorageClass": "STANDARD_IA",
    "ContentType": "text/plain; charset=utf-8",
    "CacheControl": "no-cache",
    "WebsiteRedirectLocation": "/other",
}


@pytest.mark.legacy_acls
def test_what_a_signer_puts_into_a_url_is_applied(server: Server, prepared: Wire, signer: S3Client) -> None:
    """Version 2 moves the fields into the URL; version 4 demands them of whoever uses it."""
    url = signer.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k", **PUTS})
    version_2 = "Signature=" in url and "X-Amz-Signature" not in url
    fields = {
        "x-amz-meta-a": "b",
        "x-amz-meta-spaces": "c d",
        "x-amz-acl": "public-read",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-website-redirect-location": "/other",
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-cache",
    }
    answer = use(prepared, "PUT", url, b"data", {"Cache-Control": "no-cache"} if version_2 else fields)
    assert answer.status == 200, answer
    version = server.store.head_object("photos", "k").version
    assert version.metadata == {"a": "b", "spaces": "c d"}
    assert version.storage_class == "STANDARD_IA"
    assert version.system.content_type == "text/plain; charset=utf-8"
    assert version.system.website_redirect_location == "/other"
    assert prepared.send("GET", "/photos/k", signed=False).status == 200
    # Who sends the same as header fields, too, sends what was signed.
    assert use(prepared, "PUT", url, b"data", fields).status == 200
    assert use(prepared, "PUT", url, b"data", {**fields, "x-amz-acl": "public-read-write"}).status == 403
    if version_2:
        assert use(prepared, "PUT", url.replace("=b&", "=c&", 1), b"data").status == 403


def test_a_copy_by_url(server: Server, prepared: Wire, signer: S3Client) -> None:
    where = {"Bucket": "photos", "Key": "copy", "CopySource": {"Bucket": "photos", "Key": "kept"}}
    url = signer.generate_presigned_url("copy_object", where)
    in_url = "copy-source=" in url
    answer = use(prepared, "PUT", url, b"", None if in_url else {"x-amz-copy-source": "photos/kept"})
    assert (answer.status, b"CopyObjectResult" in answer.body) == (200, True), answer
    assert prepared.send("GET", "/photos/copy").body == b"kept"


def test_a_digest_in_a_url_is_that_of_the_body(server: Server, prepared: Wire) -> None:
    signer = server.client(signature_version="s3")
    md5 = "jXd/OF09/siBXSD3SWAm3A=="  # of b"data"
    url = signer.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k", "ContentMD5": md5})
    signer.close()
    assert use(prepared, "PUT", url, b"other").code == "BadDigest"
    assert use(prepared, "PUT", url, b"data").status == 200


def test_a_plus_in_a_version_2_url_is_a_space(server: Server, prepared: Wire) -> None:
    signer = server.client(signature_version="s3")
    url = signer.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k", "Metadata": {"a": "b c"}})
    signer.close()
    assert "b%20c" in url
    assert use(prepared, "PUT", url.replace("b%20c", "b+c"), b"data").status == 200
    assert server.store.head_object("photos", "k").version.metadata == {"a": "b c"}


def test_a_plus_sign_that_was_signed_is_not_a_space(server: Server, prepared: Wire) -> None:
    server.store.put_object("photos", "a+b", b"1")
    server.store.put_object("photos", "a b", b"2")
    for version in ("s3v4", "s3"):
        signer = server.client(signature_version=version)
        parameters = {"Bucket": "photos", "Key": "kept", "ResponseContentType": "a+b"}
        url = signer.generate_presigned_url("get_object", parameters)
        signer.close()
        assert "a%2Bb" in url
        assert use(prepared, "GET", url).headers["content-type"] == "a+b"
        assert use(prepared, "GET", url.replace("a%2Bb", "a+b")).status == 403
        assert use(prepared, "GET", url.replace("a%2Bb", "a%20b")).status == 403


def test_a_parameter_given_twice_is_refused(server: Server, prepared: Wire, signer: S3Client) -> None:
    url = signer.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "kept", "ResponseContentType": "a/b"})
    name = "Signature" if "&Signature=" in url or "?Signature=" in url else "X-Amz-Signature"
    for addition in (f"{name}=x", "response-content-type=text%2Fhtml", "Response-Content-Type=text%2Fhtml"):
        for changed in (f"{url}&{addition}", url.replace("?", f"?{addition}&", 1)):
            assert use(prepared, "GET", changed).status in (400, 403), changed


def test_one_value_does_not_stand_for_two_parameters(server: Server, prepared: Wire) -> None:
    """Written out, `a` of the value "1&uploadId=u" reads as the parameters `a` and `uploadId`."""
    signer = server.client(signature_version="s3")
    upload = server.store.create_upload("photos", "multi", caller=Caller(ALICE)).upload_id
    where = {"Bucket": "photos", "Key": "multi", "UploadId": upload, "PartNumber": 1}
    url = signer.generate_presigned_url("upload_part", where)
    signer.close()
    changed = url.replace(f"partNumber=1&uploadId={upload}", f"partNumber=1%26uploadId%3D{upload}")
    changed = changed.replace(f"uploadId={upload}&partNumber=1", f"partNumber=1%26uploadId%3D{upload}")
    assert changed != url
    assert use(prepared, "PUT", changed, b"data").status == 400
    assert use(prepared, "PUT", url, b"data").status == 200


@pytest.mark.parametrize("value", ["a%0Ax-amz-acl:public-read", "a%0D%0Ab", "%00", "%7F"])
def test_a_value_that_no_header_could_hold_is_refused(prepared: Wire, server: Server, value: str) -> None:
    """A line feed in the value of one field would read as another field in what version 2 signs."""
    signer = server.client(signature_version="s3")
    params: dict[str, Any] = {"Bucket": "photos", "Key": "k", "Metadata": {"a": "VALUE"}, "ACL": "public-read"}
    url = signer.generate_presigned_url("put_object", params)
    signer.close()
    assert use(prepared, "PUT", url.replace("VALUE", value), b"data").code == "InvalidArgument"
    for name in ("content-type", "content-md5"):
        assert use(prepared, "PUT", f"{url}&{name}={value}", b"data").code == "InvalidArgument"


LITERAL = hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize("encoding", ["aws-chunked", "aws-chunked,gzip", "AWS-CHUNKED"])
def test_a_declared_digest_is_compared_however_the_body_is_framed(prepared: Wire, encoding: str) -> None:
    framed = b"4\r\ndata\r\n0\r\n\r\n"
    headers = {"Content-Encoding": encoding, "x-amz-decoded-content-length": "4"}
    refused = prepared.send("PUT", "/photos/new", framed, headers, payload=LITERAL)
    assert (refused.status, refused.code) == (400, "XAmzContentSHA256Mismatch")
    assert prepared.send("GET", "/photos/new").code == "NoSuchKey"
    right = hashlib.sha256(framed).hexdigest()
    assert prepared.send("PUT", "/photos/new", framed, headers, payload=right).status == 200
    assert prepared.send("GET", "/photos/new").body == b"data"


@pytest.mark.parametrize("payload", ["é" * 64, "x" * 64, "STREAMING-", "unsigned-payload", "0" * 63])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.legacy_acls
def test_a_payload_that_cannot_be_is_refused(server: Server, prepared: Wire, payload: str, signed: bool) -> None:
    server.store.create_bucket("open", caller=Caller(ALICE))
    prepared.send("PUT", "/open?acl", headers={"x-amz-acl": "public-read-write"})
    value = payload.encode().decode("latin-1") if len(payload) != 64 else payload
    if signed:
        answer = prepared.send("PUT", "/open/k", b"data", payload=value)
    else:
        answer = prepared.send("PUT", "/open/k", b"data", {"x-amz-content-sha256": value}, signed=False)
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("get_object", {"Bucket": "photos", "Key": "Ã©"}),
        ("get_object", {"Bucket": "photos", "Key": "kept", "ResponseContentDisposition": "Ã©"}),
    ],
    ids=["key", "parameter"],
)
def test_bytes_that_no_target_may_have_are_not_another_spelling(
    server: Server, prepared: Wire, signer: S3Client, method: str, parameters: dict[str, Any]
) -> None:
    """ "é" as it is in UTF-8 is, a byte a character, "Ã©". WSGI servers other than ours show such bytes to the app."""
    for key in ("Ã©", "é"):
        server.store.put_object("photos", key, b"of " + key.encode(), caller=Caller(ALICE))
    url = signer.generate_presigned_url(method, parameters)
    assert use(prepared, "GET", url).status == 200
    target = url.removeprefix(server.url).replace("%C3%83%C2%A9", "Ã©")
    status, _, body = call(create_app(server.store), "GET", target, {"host": prepared.host}, b"")
    assert status == 400
    assert b"<Code>InvalidURI</Code>" in body
