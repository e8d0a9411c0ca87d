"""Random requests at the app: an S3 answer every time, never a 500, an exception, a hang or a flood of memory.

The examples are derived from the tests' own code (derandomize), so a failure here is the same failure everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import io
import time
import tracemalloc
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bleepstore
from bleepstore import Caller, CannedAcl, Owner, Store
from bleepstore_server import AppConfig, create_app
from bleepstore_server.exchange import join_fields
from bleepstore_server.router import ROUTES
from tests.server.tools import UNSIGNED, Wire

ALICE = Owner("alice-id", "Alice")
SIGNER = Wire("http://localhost")
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CRC = "x-amz-checksum-crc32"
MEMORY_BOUND = 24 * 1024 * 1024
COMMON = settings(
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
QUICK = settings(COMMON, max_examples=200)
LONG = settings(COMMON, max_examples=4000)

METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "get", "BREW"]
SUBS = sorted({route.sub_resource for route in ROUTES if route.sub_resource})
PARAMETERS = [
    "prefix", "delimiter", "marker", "max-keys", "encoding-type", "continuation-token", "start-after", "key-marker",
    "upload-id-marker", "max-uploads", "versionId", "partNumber", "uploadId", "part-number-marker", "max-parts",
    "list-type", "fetch-owner", "max-buckets", "response-content-type", "x-id", "X-Amz-Signature", "X-Amz-Algorithm",
    "X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential", "X-Amz-SignedHeaders", "Signature", "Expires", "AWSAccessKeyId",
]  # fmt: skip
HEADERS = [
    "content-md5", "content-type", "content-encoding", "expect", "range", "if-match", "if-none-match",
    "if-modified-since", "if-unmodified-since", "if-range", "cache-control", "x-amz-acl", "x-amz-grant-read",
    "x-amz-meta-a", "x-amz-meta-\u00fc", "x-amz-storage-class", "x-amz-copy-source", "x-amz-copy-source-range",
    "x-amz-copy-source-if-match", "x-amz-copy-source-if-modified-since", "x-amz-metadata-directive",
    "x-amz-checksum-crc32", "x-amz-checksum-sha256", "x-amz-checksum-type", "x-amz-checksum-algorithm",
    "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "x-amz-decoded-content-length",
    "x-amz-object-attributes", "x-amz-part-number-marker", "x-amz-max-parts", "x-amz-mp-object-size",
    "x-amz-expected-bucket-owner", "x-amz-date", "date", "authorization", "x-amz-content-sha256", "content-length",
    "transfer-encoding", "host", "x-forwarded-host", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership",
]  # fmt: skip
VALUES = [
    "", "0", "1", "-1", "5", "10000", "10001", "2147483648", "9" * 30, "*", '"abc"', "abc", "bytes=0-1", "bytes=-0",
    "bytes=5-2", "bytes=0-,1-", "Tue, 14 Nov 2023 22:13:20 GMT", "Mon, 99 Foo 0000 99:99:99 GMT", "photos/kept",
    "photos/kept?versionId=x", "/", "%FF", "\u00c3\u00bc", "\u00ff", "AAAAAA==", "CRC32", "COMPOSITE", "url", "2",
    "public-read", "id=alice-id", "uri=http://acs.amazonaws.com/groups/global/AllUsers", "aws-chunked", "gzip", "null",
    "true", "REPLACE", "GLACIER", "ETag,ObjectParts", "x-amz-checksum-crc32", UNSIGNED, "100-continue", "chunked",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64, "ENABLED",
    "multipart/form-data",
    "multipart/form-data; boundary=b", "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request,SignedHeaders=,Signature=",
    "AWS a:b", "20130524T000000Z", "MQ==", "a" * 3000,
]  # fmt: skip
BODIES = [
    b"", b"data", b"x" * 40_000, b"4\r\ndata\r\n0\r\n\r\n", b"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
    b"4;chunk-signature=0\r\ndata\r\n", b"ffffffff\r\n", b"<Delete><Object><Key>kept</Key></Object></Delete>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
    b"<AccessControlPolicy><Owner><ID>alice-id</ID></Owner><AccessControlList/></AccessControlPolicy>",
    b"<CreateBucketConfiguration><LocationConstraint>eu</LocationConstraint></CreateBucketConfiguration>",
    b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--b\r\nContent-Disposition: form-data; name="file"'
    b"\r\n\r\ndata\r\n--b--\r\n",
]  # fmt: skip

latin = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)


def mostly(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What is well formed reaches the operations; what is not is refused at the door, and needs fewer examples."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 0 else usual)


names = mostly(st.sampled_from(["photos", "photos", "public", "absent"]), st.sampled_from(["A", "new-bucket"]) | latin)
keys = mostly(
    st.sampled_from(["kept", "kept", "multi", "absent", "a//b", "..", "k%3Fa"]),
    st.sampled_from(["%00", "%FF", "x" * 1100]) | latin,
)
values = mostly(st.sampled_from(VALUES), latin)


def quoted(text: str) -> str:
    return "".join(c if c.isascii() and c not in " ?#&" else f"%{ord(c):02X}" for c in text.encode().decode("latin-1"))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    """(method, target, headers) of one of S3's operations, with something added and sometimes something wrong."""
    route = draw(st.sampled_from([r for r in ROUTES if r.function is not None or draw(st.integers(0, 20)) == 0]))
    path = {"SERVICE": "/", "BUCKET": f"/{draw(names)}", "OBJECT": f"/{draw(names)}/{draw(keys)}"}[route.resource.name]
    query = []
    if route.sub_resource:
        value = {"list-type": "2", "uploadId": "upload"}.get(route.sub_resource, "")
        query.append(f"{route.sub_resource}={value}")
    if route.sub_resource == "uploadId" and draw(st.booleans()):
        query.append(f"partNumber={draw(st.sampled_from(['1', '10000', '0', 'x']))}")
    for _ in range(draw(st.integers(0, 2))):
        query.append(f"{draw(st.sampled_from(PARAMETERS))}={quoted(draw(values))}")
    if draw(st.integers(0, 15)) == 0:
        query.append(draw(st.sampled_from(SUBS) | latin.map(quoted)))
    headers = draw(st.dictionaries(st.sampled_from(HEADERS), values, max_size=3))
    if route.copies:
        headers["x-amz-copy-source"] = draw(st.sampled_from(["photos/kept", "/photos/kept", "photos/absent", "x"]))
    method = route.method if draw(st.integers(0, 9)) else draw(st.sampled_from(METHODS))
    return method, path + ("?" + "&".join(query) if query else ""), headers


bodies = st.sampled_from(BODIES) | st.binary(max_size=60) | st.lists(st.sampled_from(BODIES), max_size=3).map(b"".join)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Store, Any]]:
    """One store and app for all examples: whatever they do to it must not break it."""
    with bleepstore.open(acl_defaults="legacy") as store:
        store.put_credential("alice", "alice-secret", owner=ALICE, email="alice@example.com")
        store.create_bucket("photos", caller=Caller(ALICE))
        store.create_bucket("public", acl=CannedAcl.PUBLIC_READ_WRITE, caller=Caller(ALICE))
        store.put_object("photos", "kept", b"kept", caller=Caller(ALICE))
        store.create_upload("photos", "multi", caller=Caller(ALICE))
        yield store, create_app(store, AppConfig(domains=("s3.example.com",)))


class _Input(io.BytesIO):
    """A body that comes in pieces and counts what was read."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7 if size is not None and size > 1000 and len(self.getvalue()) < 50 else size)


def call(
    app: Any, method: str, target: str, headers: dict[str, str], body: bytes, length: int | None = None
) -> tuple[int, dict[str, str], bytes]:
    """The answer of the app to one request, with everything checked that holds of every answer."""
    path, _, query = target.partition("?")
    fields = {"host": "localhost", "content-length": str(len(body) if length is None else length), **headers}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": _Input(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "bleepstore.headers": join_fields(fields.items()),
    }
    for name, value in fields.items():
        variable = name.upper().replace("-", "_")
        environ[variable if variable in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{variable}"] = value
    answered: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, given: list[tuple[str, str]], _error: Any = None) -> Any:
        answered.append((status, given))

    began = time.monotonic()
    iterable = app(environ, start_response)
    try:
        content = b"".join(iterable)
    finally:
        if hasattr(iterable, "close"):
            iterable.close()
    assert time.monotonic() - began < 20, "it hangs"
    ((status, given),) = answered
    number = int(status[:3])
    assert number < 500 or number == 501, (status, content)
    for name, value in given:
        assert value.isprintable(), (name, value)
        value.encode("latin-1")
    found = {name.lower(): value for name, value in given}
    assert found["x-amz-request-id"]
    if method == "HEAD" or number in (204, 304):
        assert content == b""
    else:
        assert int(found["content-length"]) == len(content)
        if number >= 400:
            assert ET.fromstring(content).findtext("Code")
    return number, found, content


def keep(store: Store) -> None:
    """The store is sound after whatever was asked of it, and has again what the next example will ask for."""
    names = {bucket.name for bucket in store.list_buckets().buckets}
    for bucket in {"photos", "public"} - names:
        store.create_bucket(bucket, caller=Caller(ALICE))
    for bucket in names - {"photos", "public"}:
        for entry in store.list_objects(bucket).objects:
            store.delete_object(bucket, entry.key)
        store.delete_bucket(bucket)
    store.put_bucket_acl("photos", CannedAcl.PRIVATE)
    store.put_bucket_acl("public", CannedAcl.PUBLIC_READ_WRITE)
    store.put_object("photos", "kept", b"kept", caller=Caller(ALICE))
    for upload in store.list_uploads("photos").uploads:
        store.abort_upload("photos", upload.key, upload.upload_id)


Request = tuple[str, str, dict[str, str]]


@settings(QUICK)
@given(request_=requests(), body=bodies)
def test_random_requests_of_nobody(shared: tuple[Store, Any], request_: Request, body: bytes) -> None:
    check_nobody(shared, request_, body)


@pytest.mark.slow
@settings(LONG)
@given(request_=requests(), body=bodies)
def test_many_random_requests_of_nobody(shared: tuple[Store, Any], request_: Request, body: bytes) -> None:
    check_nobody(shared, request_, body)


def check_nobody(shared: tuple[Store, Any], request_: Request, body: bytes) -> None:
    store, app = shared
    call(app, *request_, body)
    keep(store)


PAYLOADS = st.sampled_from([UNSIGNED] * 6 + [TRAILER, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])


@settings(QUICK)
@given(request_=requests(), body=bodies, payload=PAYLOADS)
def test_random_requests_of_somebody(shared: tuple[Store, Any], request_: Request, body: bytes, payload: str) -> None:
    check_somebody(shared, request_, body, payload)


@pytest.mark.slow
@settings(LONG)
@given(request_=requests(), body=bodies, payload=PAYLOADS)
def test_many_random_requests_of_somebody(
    shared: tuple[Store, Any], request_: Request, body: bytes, payload: str
) -> None:
    check_somebody(shared, request_, body, payload)


def check_somebody(shared: tuple[Store, Any], request_: Request, body: bytes, payload: str) -> None:
    """Signed, so that they reach the operations."""
    store, app = shared
    method, target, headers = request_
    unsigned = {"authorization", "x-amz-date", "x-amz-content-sha256", "host", "content-length", "transfer-encoding"}
    sent = {name: value for name, value in headers.items() if name not in unsigned}
    signed = {name.lower(): value for name, value in SIGNER.sign(method, target, sent, payload).items()}
    upload = store.create_upload("photos", "kept", caller=Caller(ALICE))
    store.put_part("photos", "kept", upload.upload_id, 1, b"data", caller=Caller(ALICE))
    if "uploadId=upload" in target:
        target = target.replace("uploadId=upload", f"uploadId={upload.upload_id}")
        signed = {name.lower(): value for name, value in SIGNER.sign(method, target, sent, payload).items()}
    call(app, method, target, signed, body)
    keep(store)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@settings(COMMON, max_examples=300)
@given(
    data=st.lists(st.binary(min_size=1, max_size=9), max_size=2),
    wrong=st.none() | st.tuples(st.integers(0, 60), st.binary(max_size=2)),
    off=st.sampled_from([0, 0, 0, 1, -1]),
    trailer=st.sampled_from(
        ["", "", "x-amz-checksum-crc32", "x-amz-checksum-sha1,x-amz-checksum-crc32", "x-amz-meta-a"]
    ),
    right=st.booleans(),
)
def test_random_chunks(
    shared: tuple[Store, Any],
    data: list[bytes],
    wrong: tuple[int, bytes] | None,
    off: int,
    trailer: str,
    right: bool,
) -> None:
    """Good bodies of chunks, some with a byte or two replaced, a wrong length or a wrong trailer."""
    store, app = shared
    whole = b"".join(data)
    checksum = base64.b64encode(zlib.crc32(whole if right else b"other").to_bytes(4, "big"))
    body = b"".join(map(chunk, data)) + b"0\r\n"
    body += b"x-amz-checksum-crc32:" + checksum + b"\r\n\r\n" if trailer else b"\r\n"
    if wrong is not None:
        position, bytes_ = wrong
        body = body[:position] + bytes_ + body[position + len(bytes_) :]
    headers = {"x-amz-decoded-content-length": str(max(len(whole) + off, 0)), "content-encoding": "aws-chunked"}
    if trailer:
        headers["x-amz-trailer"] = trailer
    signed = {n.lower(): v for n, v in SIGNER.sign("PUT", "/photos/chunks", headers, TRAILER).items()}
    status, _, _ = call(app, "PUT", "/photos/chunks", signed, body)
    if wrong is None and off == 0 and trailer in ("", CRC) and (right or not trailer):
        assert status == (403 if len(data) > 1 else 200), "only the last chunk may be small"
    if status == 200:
        with store.get_object("photos", "chunks") as found:
            assert found.version.size == len(found.read()) == int(headers["x-amz-decoded-content-length"])
            assert found.version.system.content_encoding is None


xml_text = st.text(alphabet="<>/&;\"'= DeletObjcKyVrsionIdQuPa!-?[]x\u00fc\x01", max_size=60)

TEMPLATES = {
    "/photos?delete": (
        "POST",
        "<Delete><Quiet>{}</Quiet><Object><Key>{}</Key><VersionId>{}</VersionId></Object></Delete>",
    ),
    "/photos/kept?uploadId=UPLOAD": (
        "POST",
        "<CompleteMultipartUpload><Part><PartNumber>{}</PartNumber><ETag>{}</ETag><ChecksumCRC32>{}</ChecksumCRC32></Part>"
        "</CompleteMultipartUpload>",
    ),
    "/photos?acl": (
        "PUT",
        "<AccessControlPolicy><Owner><ID>{}</ID></Owner><AccessControlList><Grant><Grantee><ID>{}</ID></Grantee>"
        "<Permission>{}</Permission></Grant></AccessControlList></AccessControlPolicy>",
    ),
    "/photos/kept?acl": (
        "PUT",
        "<AccessControlPolicy><Owner><ID>{}</ID></Owner><AccessControlList><Grant><Grantee><URI>{}</URI></Grantee>"
        "<Permission>{}</Permission></Grant></AccessControlList></AccessControlPolicy>",
    ),
    "/new-one": (
        "PUT",
        "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint>{}{}</CreateBucketConfiguration>",
    ),
}  # fmt: skip
xml_values = st.sampled_from(
    ["", "1", "0", "kept", "absent", "null", "alice-id", "nobody", "READ", "FULL_CONTROL", "-1", "9" * 20, "x" * 2000,
     "8d777f385d3dfec8815d20f7496026dc", "AAAAAA==", "<X/>", "&amp;", "&x;", "\u00fc", "true", "eu-west-1",
     "http://acs.amazonaws.com/groups/global/AllUsers"]
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """(method, target, body): the right document with random content, broken or replaced now and then."""
    target = draw(st.sampled_from(sorted(TEMPLATES)))
    method, template = TEMPLATES[target]
    body = template.format(draw(xml_values), draw(xml_values), draw(xml_values))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        body = draw(xml_text)
    elif kind == 1:
        position = draw(st.integers(0, len(body)))
        body = body[:position] + draw(xml_text) + body[position + draw(st.integers(0, 5)) :]
    return method, target, body.encode()


@settings(QUICK)
@given(request_=documents())
def test_random_documents(shared: tuple[Store, Any], request_: tuple[str, str, bytes]) -> None:
    check_document(shared, request_)


@pytest.mark.slow
@settings(LONG)
@given(request_=documents())
def test_many_random_documents(shared: tuple[Store, Any], request_: tuple[str, str, bytes]) -> None:
    check_document(shared, request_)


def check_document(shared: tuple[Store, Any], request_: tuple[str, str, bytes]) -> None:
    store, app = shared
    method, target, body = request_
    upload = store.create_upload("photos", "kept", caller=Caller(ALICE))
    store.put_part("photos", "kept", upload.upload_id, 1, b"data", caller=Caller(ALICE))
    target = target.replace("UPLOAD", upload.upload_id)
    headers = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    signed = {n.lower(): v for n, v in SIGNER.sign(method, target, headers, UNSIGNED).items()}
    call(app, method, target, signed, body)
    keep(store)


FORM = (
    b"--b\r\nContent-Disposition: form-data; name=key\r\n\r\nk\r\n"
    b"--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n"
)


@pytest.mark.parametrize(
    ("target", "method", "head", "piece"),
    [
        ("/public/k", "PUT", b"", b"x" * 65_536),
        ("/public?delete", "POST", b"", b"<Delete>" * 8192),
        ("/public?delete", "POST", b"<Delete>", b"<Object><Key>k</Key></Object>" * 2000),
        ("/public/k?uploadId=u", "POST", b"", b"<a>" * 20_000),
        ("/public", "POST", b"--b\r\nContent-Disposition: form-data; name=key\r\n\r\n", b"k" * 65_536),
        ("/public", "POST", FORM, b"\r\n--" * 16_384),
        ("/public", "POST", FORM, b"x" * 65_536),
        ("/public", "POST", FORM, b"\r\n--bb" * 9_000),
        ("/public", "POST", b"--b\r\n", b"X-Header: " + b"y" * 60_000),
        ("/public?acl", "PUT", b"<AccessControlPolicy>", b"<Grant>" * 9000),
    ],
    ids=range(10),
)
def test_a_flood_is_refused_in_bounded_memory(
    shared: tuple[Store, Any], tmp_path: Any, target: str, method: str, head: bytes, piece: bytes
) -> None:
    """64 MiB of body, of every kind that the server collects."""
    del shared

    class Flood(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 64 * 1024 * 1024
            self.rest = head

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            if not self.left:
                return 0
            if not self.rest:
                self.rest = piece
            size = min(len(buffer), len(self.rest), self.left)
            buffer[:size] = self.rest[:size]
            self.rest = self.rest[size:]
            self.left -= size
            return size

    with bleepstore.open(tmp_path, acl_defaults="legacy") as store:
        store.create_bucket("public", acl=CannedAcl.PUBLIC_READ_WRITE)
        app = create_app(store, AppConfig())
        headers = {"content-type": "multipart/form-data; boundary=b", "content-md5": "AAAA", "host": "h"}
        if method == "PUT" and "?" not in target:
            del headers["content-md5"]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "CONTENT_LENGTH": str(64 * 1024 * 1024),
            "wsgi.input": Flood(),
            "wsgi.url_scheme": "http",
            "bleepstore.headers": headers,
        }
        statuses: list[str] = []

        def start_response(status: str, _headers: Any, _error: Any = None) -> Any:
            statuses.append(status)

        tracemalloc.start()
        try:
            list(app(environ, start_response))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < MEMORY_BOUND, f"{peak:,} bytes"
    assert int(statuses[0][:3]) < 500


def test_the_app_obeys_pep_3333() -> None:
    """The reference validator finds nothing wrong with plain requests."""
    with bleepstore.open(acl_defaults="legacy") as store:
        store.create_bucket("public", acl=CannedAcl.PUBLIC_READ_WRITE)
        store.put_object("public", "k", b"data", acl=CannedAcl.PUBLIC_READ)
        app = validator(create_app(store, AppConfig()))
        for method, target in (("GET", "/public"), ("GET", "/public/k"), ("HEAD", "/public/k"), ("GET", "/absent")):
            status, _, _ = call(app, method, target, {}, b"")
            assert status in (200, 404)
