"""Whatever a header or a query holds, a real server answers as S3 does: never 500, never silence.

Values are what the field would hold, damaged: huge numbers in dates, other digits than ASCII's, bytes that are no text.
The examples are derived from the tests' own code (derandomize), so a failure here is the same failure everywhere.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bleepstore_server.router import ROUTES, Resource
from tests.attacks.signing import SCHEMES
from tests.server.tools import Answer, Wire
from tests.serving.conftest import ACCESS_KEY, LEGACY_ACLS, SECRET_KEY, start

QUICK = settings(
    derandomize=True, deadline=None, max_examples=250, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
LONG = settings(QUICK, max_examples=20_000, phases=[Phase.generate, Phase.shrink])

DATES = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
         "20150830T123600Z", "2015-08-30T12:36:00.000Z", "Sun, 06 Nov 1994 08:49:37 +0000"]  # fmt: skip
WORDS = ["a", "a/b", "null"]
NUMBERS = ["0", "1", "10000", "2147483647", "9223372036854775807"]
SHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SCOPE = "20150830/us-east-1/s3/aws4_request"
#: Header -> what it should hold.
FIELDS: dict[str, list[str]] = {
    **dict.fromkeys(
        ["if-modified-since", "if-unmodified-since", "x-amz-copy-source-if-modified-since", "if-range", "date",
         "x-amz-copy-source-if-unmodified-since", "x-amz-date", "expires", "x-amz-if-match-last-modified-time",
         "x-amz-object-lock-retain-until-date"], DATES,
    ),
    **dict.fromkeys(
        ["content-length", "x-amz-decoded-content-length", "x-amz-mp-object-size", "x-amz-max-parts",
         "x-amz-part-number-marker", "x-amz-write-offset-bytes", "x-amz-if-match-size"], NUMBERS,
    ),
    "range": ["bytes=0-9", "bytes=-5", "bytes=0-,5-", "items=1-2"],
    "x-amz-copy-source-range": ["bytes=0-3"],
    "x-amz-copy-source": ["photos/kept", "/photos/kept?versionId=null", "photos%2Fkept", "arn:aws:s3:::a/b"],
    "if-match": ['"d41d8cd98f00b204e9800998ecf8427e"', "*", 'W/"a", "b"'],
    "if-none-match": ['"d41d8cd98f00b204e9800998ecf8427e"', "*"],
    "content-md5": ["1B2M2Y8AsgTpgAmY7PhCfg=="],
    "x-amz-checksum-crc32": ["AAAAAA=="],
    "x-amz-checksum-sha256": ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-2"],
    "x-amz-checksum-algorithm": ["CRC32", "SHA256"],
    "x-amz-sdk-checksum-algorithm": ["CRC32C"],
    "x-amz-checksum-type": ["COMPOSITE"],
    "x-amz-trailer": ["x-amz-checksum-crc32"],
    "x-amz-content-sha256": [SHA, "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                             "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"],
    "authorization": [f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{SCOPE}, SignedHeaders=host;date, Signature={SHA}",
                      f"AWS {ACCESS_KEY}:AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Bearer x"],
    "x-amz-acl": ["public-read"],
    "x-amz-grant-read": ["id=acceptance, uri=http://acs.amazonaws.com/groups/global/AllUsers", "emailAddress=a@b"],
    "x-amz-storage-class": ["GLACIER"],
    "x-amz-metadata-directive": ["REPLACE"],
    "x-amz-tagging": ["a=b&c=d"],
    "x-amz-meta-a": ["value", "=?UTF-8?B?w7w=?=", "=?utf-8?q?=FF?=", "=?x?b?y?="],
    "x-amz-expected-bucket-owner": ["111122223333"],
    "x-amz-website-redirect-location": ["/other"],
    "x-amz-object-attributes": ["ETag,ObjectParts"],
    "content-type": ["text/plain; charset=utf-8", "multipart/form-data; boundary=b"],
    "content-encoding": ["gzip, aws-chunked"],
    "content-disposition": ['attachment; filename="a"'],
    "host": ["localhost:9000", "[::1]:80", "a.b"],
    "transfer-encoding": ["chunked", "gzip, chunked"],
    "expect": ["100-continue"],
    "origin": ["http://a.b"],
    "access-control-request-method": ["PUT"],
    "x-forwarded-for": ["1.2.3.4"],
    "x-forwarded-proto": ["https"],
    "connection": ["close, x-amz-date"],
}  # fmt: skip
PARAMETERS: dict[str, list[str]] = {
    **dict.fromkeys(["max-keys", "partNumber", "max-parts", "part-number-marker", "max-uploads", "max-buckets",
                     "Expires", "X-Amz-Expires"], NUMBERS),
    **dict.fromkeys(["prefix", "delimiter", "marker", "start-after", "key-marker", "upload-id-marker",
                     "continuation-token", "versionId", "uploadId", "version-id-marker"], WORDS),
    "encoding-type": ["url"],
    "list-type": ["2"],
    "response-expires": DATES,
    "response-content-type": ["text/plain"],
    "X-Amz-Date": DATES,
    "X-Amz-Algorithm": ["AWS4-HMAC-SHA256"],
    "X-Amz-Credential": [f"{ACCESS_KEY}/{SCOPE}"],
    "X-Amz-SignedHeaders": ["host"],
    "X-Amz-Signature": [SHA],
    "Signature": ["AAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    "AWSAccessKeyId": [ACCESS_KEY],
    "x-amz-acl": ["private"],
}  # fmt: skip
PATHS = {
    Resource.SERVICE: ["/"],
    Resource.BUCKET: ["/photos", "/photos/", "/absent", "/%70hotos"],
    Resource.OBJECT: ["/photos/kept", "/photos/absent", "/photos//", "/photos/..", "/photos/%C3%BC", "/photos/%00"],
}
#: What replaces some characters of a right value.
DAMAGE = ["", "9" * 30, "9" * 5000, "-1", "0" * 400, "\xb2", "\xe2\x91\xa0", "\xff", "\xc3\xbc" * 64, "\t", "  ", ",",
          ";", "=", "%", "%00", "\"", "'", "+", "/", "&", "1e400", "NaN", "0x10", "_", "\xa0", "(", "\x85"]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, right: list[str]) -> str:
    text = draw(st.sampled_from(right))
    for _ in range(draw(st.integers(0, 2))):
        start_at = draw(st.integers(0, len(text)))
        end = draw(st.integers(start_at, min(len(text), start_at + 4)))
        text = text[:start_at] + draw(st.sampled_from(DAMAGE)) + text[end:]
    return text[:8000]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes, str | None]:
    route = draw(st.sampled_from(ROUTES))
    method = draw(st.sampled_from([route.method] * 8 + ["OPTIONS", "PATCH"]))
    pairs = [] if route.sub_resource is None else [route.sub_resource]
    for name in draw(st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=3)):
        pairs.append(f"{name}={quote(draw(damaged(PARAMETERS[name])).encode('latin-1'), safe='')}")
    target = draw(st.sampled_from(PATHS[route.resource])) + ("?" + "&".join(pairs) if pairs else "")
    headers = {}
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4, unique=True)):
        headers[name] = draw(damaged(FIELDS[name]))
    if route.copies:
        headers.setdefault("x-amz-copy-source", "photos/kept")
    body = draw(st.sampled_from([b"", b"data", b"<a/>", b"4\r\ndata\r\n0\r\n\r\n", b"\xff" * 100]))
    return method, target[:7000], headers, body, draw(st.sampled_from([None, *SCHEMES, *SCHEMES]))


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A real server with a bucket that all may read and write, so that what is not signed gets far, too."""
    folder: Path = tmp_path_factory.mktemp("attacked")
    served = start(folder / "data", "--workers", "1", *LEGACY_ACLS)
    with contextlib.closing(served.client()) as s3:
        s3.create_bucket(Bucket="photos", ACL="public-read-write")
        s3.put_object(Bucket="photos", Key="kept", Body=b"kept", ACL="public-read-write")
    yield Wire(served.url, ACCESS_KEY, SECRET_KEY)
    served.end()


def send(
    wire: Wire, method: str, target: str, headers: dict[str, str], body: bytes, scheme: str | None
) -> Answer | None:
    """None: the server closed the connection in the middle of a body that was announced to be longer."""
    given = dict(headers)
    given.setdefault("Host", wire.host)
    if scheme is not None:
        try:
            signed = SCHEMES[scheme](wire, method, target, headers)
        except (KeyError, ValueError, UnicodeError):
            return None  # what is too damaged to be signed
        method, target, body = signed.method, signed.target, signed.body
        given = dict(signed.headers)
    names = {name.lower() for name in given}
    if not names & {"content-length", "transfer-encoding"}:
        given["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return wire.raw("\r\n".join(lines).encode("latin-1") + body, method)


def check(answer: Answer | None, request: object) -> None:
    if answer is None:
        return
    assert answer.status != 500, (request, answer)
    assert 200 <= answer.status <= 501, (request, answer)
    if answer.status >= 400 and answer.body:
        root = ET.fromstring(answer.body)
        assert root.tag == "Error", (request, answer)
        assert root.findtext("Code") not in (None, "InternalError"), (request, answer)


@QUICK
@given(request=requests())
def test_damaged_fields(wire: Wire, request: tuple[str, str, dict[str, str], bytes, str | None]) -> None:
    check(send(wire, *request), request)


@pytest.mark.slow
@LONG
@given(request=requests())
def test_damaged_fields_at_length(wire: Wire, request: tuple[str, str, dict[str, str], bytes, str | None]) -> None:
    check(send(wire, *request), request)


HUGE = "Sun, 06 Nov 1994 08:49:9999999999999999999937 GMT"
DATE_DAMAGE = [
    HUGE, HUGE.replace("1994", "9" * 5000), "Sun, 06 Nov 1994 08:49:37 +" + "9" * 30, "Sun, 06 Nov 0000 00:00:00 GMT",
    "Sun, 99999999999 Nov 1994 08:49:37 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359",
    "\xb2" * 16, "2015083\xb2T123600Z", "00000000T000000Z", "99999999T999999Z", "20150230T123600Z", "1e400", "9" * 400,
]  # fmt: skip


@pytest.mark.parametrize("value", DATE_DAMAGE, ids=range(len(DATE_DAMAGE)))
def test_dates_that_cannot_be(wire: Wire, value: str) -> None:
    for name, right in FIELDS.items():
        if right is not DATES:
            continue
        for method, target, more in (
            ("GET", "/photos/kept", {"Range": "bytes=0-1"}),
            ("PUT", "/photos/copy", {"x-amz-copy-source": "photos/kept"}),
            ("PUT", "/photos/new", {}),
        ):
            for scheme in (None, "version 4 header", "version 2 query"):
                answer = send(wire, method, target, {name: value, **more}, b"", scheme)
                check(answer, (name, value, scheme))


OTHER_BYTES = ["\xff" * 64, "\xc3\xbc" * 64, "\xb2", "\x85"]


@pytest.mark.parametrize("value", OTHER_BYTES, ids=range(len(OTHER_BYTES)))
def test_other_bytes_than_ascii_in_every_header(wire: Wire, value: str) -> None:
    for name in FIELDS:
        for method, target in (
            ("GET", "/photos/kept"),
            ("PUT", "/photos/new"),
            ("POST", "/photos"),
            ("PUT", "/made?acl"),
        ):
            check(send(wire, method, target, {name: value}, b"", None), (name, value))
            check(send(wire, method, target, {name: value}, b"", "version 4 header"), (name, value))


@pytest.mark.parametrize(
    "length",
    ["9" * 18, "9" * 19, "9" * 400, "-1", "+4", "4_0", "0x4", "4, 4", "4,5", "\xb2", "1e3", "", " ", "4 4", "\xa04"],
)
@pytest.mark.parametrize("name", ["Content-Length", "x-amz-decoded-content-length"])
def test_lengths_that_cannot_be(wire: Wire, name: str, length: str) -> None:
    """A client that announces much and sends little gets its answer when it says that there is no more."""
    for method, target in (
        ("PUT", "/photos/new"),
        ("POST", "/photos?delete"),
        ("POST", "/photos"),
        ("GET", "/photos/kept"),
    ):
        headers = {name: length, "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
        answer = send(wire, method, target, headers, b"4\r\ndata\r\n0\r\n\r\n", None)
        check(answer, (name, length))
        if method == "PUT":
            assert answer is not None
            assert answer.status >= 400, answer


def test_two_lengths_and_two_hosts(wire: Wire) -> None:
    host, port = wire.host.split(":")
    for fields in ("Content-Length: 4\r\nContent-Length: 4", "Content-Length: 4\r\nContent-Length: 5",
                   "Host: other", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"):  # fmt: skip
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(f"PUT /photos/new HTTP/1.1\r\nHost: {wire.host}\r\n{fields}\r\n\r\ndata".encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status in (400, 501), (fields, response.status)
            response.close()
