"""Signature Version 2, after the examples of "Signing and authenticating REST requests"."""

from __future__ import annotations

import calendar
from urllib.parse import parse_qsl, quote

import attrs
import pytest

from bleepstore_server.exchange import join_fields, parse_request
from bleepstore_server.router import ROUTES
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv2 import RESOURCE_PARAMETERS, sign, verify_header, verify_query
from bleepstore_server.wire.sigv4 import SentHead

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@attrs.frozen
class Key:
    secret_key: str


def lookup(access_key: str) -> Key | None:
    return Key(SECRET) if access_key == ACCESS else None


def at(day: int, *clock: int) -> int:
    return calendar.timegm((2007, 3, day, *clock))


@attrs.frozen
class Example:
    request: SentHead
    bucket: str | None
    signature: str
    now: int

    @property
    def auth(self) -> str:
        return f"AWS {ACCESS}:{self.signature}"


def example(method: str, target: str, headers: dict[str, str], bucket: str | None, signature: str, now: int) -> Example:
    path, _, query = target.partition("?")
    raw: list[tuple[str, str | None]] = []
    for item in query.split("&") if query else []:
        name, equals, value = item.partition("=")
        raw.append((name, value if equals else None))
    return Example(SentHead(method, path, raw, headers), bucket, signature, now)


EXAMPLES = {
    "object get": example(
        "GET", "/photos/puppy.jpg", {"date": "Tue, 27 Mar 2007 19:36:42 +0000"}, "johnsmith",
        "bWq2s1WEIj+Ydj0vQ697zp+IXMU=", at(27, 19, 36, 42),
    ),
    "object put": example(
        "PUT", "/photos/puppy.jpg", {"content-type": "image/jpeg", "date": "Tue, 27 Mar 2007 21:15:45 +0000"},
        "johnsmith", "MyyxeRY7whkBe+bq8fHCL/2kKUg=", at(27, 21, 15, 45),
    ),
    "list": example(
        "GET", "/?prefix=photos&max-keys=50&marker=puppy", {"date": "Tue, 27 Mar 2007 19:42:41 +0000"}, "johnsmith",
        "htDYFYduRNen8P9ZfE/s9SuKy0U=", at(27, 19, 42, 41),
    ),
    "fetch acl": example(
        "GET", "/?acl", {"date": "Tue, 27 Mar 2007 19:44:46 +0000"}, "johnsmith",
        "c2WLPFtWHVgbEmeEG93a4cG37dM=", at(27, 19, 44, 46),
    ),
    "upload": example(
        "PUT", "/db-backup.dat.gz",
        {
            "date": "Tue, 27 Mar 2007 21:06:08 +0000", "x-amz-acl": "public-read",
            "content-type": "application/x-download", "content-md5": "4gJE4saaMU4BqNR0kLY+lw==",
            "x-amz-meta-reviewedby": "joe@johnsmith.net,jane@johnsmith.net", "x-amz-meta-filechecksum": "0x02661779",
            "x-amz-meta-checksumalgorithm": "crc32", "content-disposition": "attachment; filename=database.dat",
        },
        "static.johnsmith.net", "ilyl83RwaSoYIEdixDQcA4OnAnc=", at(27, 21, 6, 8),
    ),
    "list all buckets": example(
        "GET", "/", {"date": "Wed, 28 Mar 2007 01:29:59 +0000"}, None,
        "qGdzdERIC03wnaRNKh6OqZehG9s=", at(28, 1, 29, 59),
    ),
    "unicode": example(
        "GET", "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re", {"date": "Wed, 28 Mar 2007 01:49:49 +0000"}, None,
        "DNEZGsoieTZ92F3bUfSPQcbGmlM=", at(28, 1, 49, 49),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_published_examples(name: str) -> None:
    given = EXAMPLES[name]
    identity = verify_header(given.request, given.auth, lookup, given.now, given.bucket)
    assert identity.access_key == ACCESS


def refusal(given: Example, **changes: object) -> RequestError:
    request = attrs.evolve(given.request, **changes)  # type: ignore[arg-type]  # fields of a request
    with pytest.raises(RequestError) as refused:
        verify_header(request, given.auth, lookup, given.now, given.bucket)
    return refused.value


@pytest.mark.parametrize("name", EXAMPLES)
def test_any_change_of_what_was_signed_is_noticed(name: str) -> None:
    given = EXAMPLES[name]
    fields = given.request.headers
    for changes in (
        {"method": "DELETE"},
        {"raw_path": given.request.raw_path + "x"},
        {"raw_query": [*given.request.raw_query, ("uploads", None)]},
        {"headers": {**fields, "x-amz-acl": "public-read-write"}},
        {"headers": {**fields, "content-md5": "AAAA"}},
    ):
        error = refusal(given, **changes)
        assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
        assert "StringToSign" in error.fields


def test_a_bucket_may_be_signed_with_its_slash() -> None:
    """As boto3 does, which sends `PUT /bucket`."""
    date, now = "Tue, 27 Mar 2007 19:36:42 +0000", at(27, 19, 36, 42)
    for path, signed, accepted in (
        ("/bucket", "/bucket", True),
        ("/bucket", "/bucket/", True),
        ("/bucket/", "/bucket/", True),
        ("/bucket/", "/bucket", False),
        ("/bucket/key", "/bucket/key/", False),
    ):
        request = SentHead("PUT", path, [], {"date": date})
        auth = f"AWS {ACCESS}:{sign(SECRET, f'PUT{chr(10) * 3}{date}{chr(10)}{signed}')}"
        if accepted:
            assert verify_header(request, auth, lookup, now).access_key == ACCESS
        else:
            with pytest.raises(RequestError):
                verify_header(request, auth, lookup, now)


def test_a_repeated_field_is_signed_as_one() -> None:
    """Its values are joined by commas without white space ("Constructing the CanonicalizedAmzHeaders element")."""
    date = "Tue, 27 Mar 2007 19:36:42 +0000"
    sent = [("Date", date), ("X-Amz-Meta-A", " fred "), ("x-amz-meta-b", "c"), ("x-amz-meta-a", "barney\t")]
    environ = {"REQUEST_METHOD": "PUT", "RAW_URI": "/bucket/key", "bleepstore.headers": join_fields(sent)}
    to_sign = f"PUT\n\n\n{date}\nx-amz-meta-a:fred,barney\nx-amz-meta-b:c\n/bucket/key"
    auth = f"AWS {ACCESS}:{sign(SECRET, to_sign)}"
    assert verify_header(parse_request(environ), auth, lookup, at(27, 19, 36, 42)).access_key == ACCESS


def test_parameters_that_are_no_sub_resource_are_not_signed() -> None:
    given = EXAMPLES["list"]
    request = attrs.evolve(given.request, raw_query=[("prefix", "other")])
    assert verify_header(request, given.auth, lookup, given.now, given.bucket).access_key == ACCESS


def test_the_bucket_of_the_host_is_signed() -> None:
    given = EXAMPLES["object get"]
    assert refusal(attrs.evolve(given, bucket="other")).code == "SignatureDoesNotMatch"
    assert refusal(attrs.evolve(given, bucket=None)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ("AWS nonsense", "InvalidArgument"),
        ("AWS ", "InvalidArgument"),
        (f"AWS {ACCESS}:", "SignatureDoesNotMatch"),
        (f"AWS {ACCESS}:é", "SignatureDoesNotMatch"),
        ("AWS AKIANOBODY:bWq2s1WEIj+Ydj0vQ697zp+IXMU=", "InvalidAccessKeyId"),
    ],
)
def test_a_wrong_authorization_header(auth: str, code: str) -> None:
    given = EXAMPLES["object get"]
    with pytest.raises(RequestError) as refused:
        verify_header(given.request, auth, lookup, given.now, given.bucket)
    assert refused.value.code == code


@pytest.mark.parametrize("skew", [901, -901])
def test_the_clock_may_differ_by_fifteen_minutes(skew: int) -> None:
    given = EXAMPLES["object get"]
    error = refusal(attrs.evolve(given, now=given.now + skew))
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)


def test_a_request_without_a_date() -> None:
    assert refusal(EXAMPLES["object get"], headers={}).code == "AccessDenied"
    assert refusal(EXAMPLES["object get"], headers={"date": "some day"}).code == "AccessDenied"


# -- the query

URL = f"AWSAccessKeyId={ACCESS}&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"


def verify(query: str, now: int = 1175139620, path: str = "/photos/puppy.jpg") -> str:
    raw: list[tuple[str, str | None]] = []
    for item in query.split("&"):
        name, _, value = item.partition("=")
        raw.append((name, value))
    request = SentHead("GET", path, raw, {})
    return verify_query(request, dict(parse_qsl(query, keep_blank_values=True)), lookup, now, "johnsmith").access_key


def test_the_published_query_example() -> None:
    assert verify(URL) == ACCESS


@pytest.mark.parametrize(
    ("query", "now", "code"),
    [
        (URL, 1175139621, "AccessDenied"),
        (URL.replace("9620", "9621"), 0, "SignatureDoesNotMatch"),
        (URL.replace("=1175139620", "="), 0, "AccessDenied"),
        (URL.replace("=1175139620", "=never"), 0, "AccessDenied"),
        (URL.replace("=1175139620", "=" + "9" * 40), 0, "AccessDenied"),
        (URL.replace("=1175139620", "=-1"), 0, "AccessDenied"),
        (URL.replace(f"AWSAccessKeyId={ACCESS}&", ""), 0, "AccessDenied"),
        (URL.replace(ACCESS, "AKIANOBODY"), 0, "InvalidAccessKeyId"),
        (URL.replace("Npg", "npg"), 0, "SignatureDoesNotMatch"),
        (URL + "&acl", 0, "SignatureDoesNotMatch"),
        (URL + "&response-content-type=text%2Fhtml", 0, "SignatureDoesNotMatch"),
    ],
)
def test_a_wrong_url(query: str, now: int, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        verify(query, now)
    assert refused.value.code == code
    assert refused.value.status == 403


def test_overrides_are_signed_decoded() -> None:
    to_sign = "GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg?response-content-type=text/html; charset=ü"
    signature = quote(sign(SECRET, to_sign), safe="")
    override = quote("text/html; charset=ü", safe="")
    query = f"AWSAccessKeyId={ACCESS}&Signature={signature}&Expires=1175139620&response-content-type={override}"
    assert verify(query) == ACCESS


def test_what_chooses_an_operation_is_signed() -> None:
    """But for the version of a listing, which SDKs leave out."""
    assert {route.sub_resource for route in ROUTES} - {None, "list-type"} <= RESOURCE_PARAMETERS
