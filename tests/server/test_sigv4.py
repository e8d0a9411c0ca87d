"""Signature Version 4: the examples of the S3 API reference, botocore as a second opinion, and all that is wrong."""

from __future__ import annotations

import calendar
import hashlib
import itertools
import re
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bleepstore_server.wire import sigv4
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import Identity, SentHead, parse_date, presign, verify_header, verify_query

# "Examples: Signature Calculations" of the S3 API reference.
ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
DATE = "20130524T000000Z"
NOW = calendar.timegm((2013, 5, 24, 0, 0, 0))
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SCOPE = "20130524/us-east-1/s3/aws4_request"
HOST = ("host", "examplebucket.s3.amazonaws.com")


@attrs.frozen
class Key:
    secret_key: str


def lookup(access_key: str) -> Key | None:
    return Key(SECRET) if access_key == ACCESS else None


def authorization(names: str, signature: str, scope: str = SCOPE) -> str:
    return f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"


def amz(payload: str = EMPTY, date: str = DATE) -> list[tuple[str, str]]:
    return [("x-amz-content-sha256", payload), ("x-amz-date", date)]


GET = SentHead("GET", "/test.txt", [], dict([HOST, ("range", "bytes=0-9"), *amz()]))
GET_AUTH = authorization(
    "host;range;x-amz-content-sha256;x-amz-date",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
)
PUT_SHA = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
PUT = SentHead(
    "PUT",
    "/test%24file.text",
    [],
    dict(
        [HOST, ("date", "Fri, 24 May 2013 00:00:00 GMT"), *amz(PUT_SHA), ("x-amz-storage-class", "REDUCED_REDUNDANCY")]
    ),
)
PUT_AUTH = authorization(
    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
)
LIFECYCLE = SentHead("GET", "/", [("lifecycle", None)], dict([HOST, *amz()]))
LIFECYCLE_AUTH = authorization(
    "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
)
LIST = SentHead("GET", "/", [("max-keys", "2"), ("prefix", "J")], dict([HOST, *amz()]))
LIST_AUTH = authorization(
    "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
)


@pytest.mark.parametrize(
    ("request_", "auth", "payload"),
    [(GET, GET_AUTH, EMPTY), (PUT, PUT_AUTH, PUT_SHA), (LIFECYCLE, LIFECYCLE_AUTH, EMPTY), (LIST, LIST_AUTH, EMPTY)],
    ids=["get", "put", "lifecycle", "list"],
)
def test_the_published_examples(request_: SentHead, auth: str, payload: str) -> None:
    identity = verify_header(request_, auth, lookup, NOW)
    assert (identity.access_key, identity.payload, identity.presigned) == (ACCESS, payload, False)
    # Some clients leave out the spaces behind the commas.
    assert verify_header(request_, auth.replace(", ", ","), lookup, NOW) == identity


PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def presigned(query: str, method: str = "GET", path: str = "/test.txt", *headers: tuple[str, str]) -> Any:
    raw: list[tuple[str, str | None]] = []
    for item in query.split("&"):
        name, _, value = item.partition("=")
        raw.append((name, value))
    request = SentHead(method, path, raw, dict([HOST, *headers]))
    return request, dict(parse_qsl(query, keep_blank_values=True))


def test_the_published_presigned_example() -> None:
    request, query = presigned(PRESIGNED)
    identity = verify_query(request, query, lookup, NOW)
    assert (identity.access_key, identity.payload, identity.presigned) == (ACCESS, sigv4.UNSIGNED, True)
    shuffled, query = presigned("&".join(reversed(PRESIGNED.split("&"))))
    assert verify_query(shuffled, query, lookup, NOW) == identity, "the order of parameters does not matter"


# -- botocore as a second opinion


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9000/",
        "http://localhost:9000/bucket",
        "http://localhost:9000/bucket/",
        "http://localhost:9000/bucket/a//b/../c/./%20%2B%25%2F",
        "http://localhost:9000/bucket/%C3%BC%F0%9F%98%80",
        "http://localhost:9000/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F&empty=",
        "http://localhost:9000/bucket/key?acl",
        "http://localhost:9000/bucket/key?uploadId=a%2Bb%3D&partNumber=1",
        "http://localhost:9000/bucket?prefix=%C3%BC&a=1&A=2&a-b=3",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_botocore_signs_is_accepted(url: str, method: str) -> None:
    request = AWSRequest(
        method, url, headers={"x-amz-meta-a": "  two   spaces  ", "Content-Type": "text/plain"}, data=b"x"
    )
    S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", "eu-west-1").add_auth(request)
    headers = {"host": "localhost:9000", **{name.lower(): value for name, value in request.headers.items()}}
    target = url.removeprefix("http://localhost:9000")
    path, _, query = target.partition("?")
    raw: list[tuple[str, str | None]] = []
    for item in query.split("&") if query else []:
        name, equals, value = item.partition("=")
        raw.append((name, value if equals else None))
    now = parse_date(request.headers["X-Amz-Date"])
    assert now is not None
    signed = SentHead(method, path, raw, headers)
    assert verify_header(signed, request.headers["Authorization"], lookup, now).access_key == ACCESS
    for broken in (
        attrs.evolve(signed, method="DELETE"),
        attrs.evolve(signed, raw_path=path + "x"),
        attrs.evolve(signed, raw_query=[*raw, ("versionId", "null")]),
        attrs.evolve(signed, headers={**headers, "x-amz-meta-a": headers["x-amz-meta-a"] + "x"}),
        attrs.evolve(signed, headers={**headers, "host": "evil:9000"}),
        attrs.evolve(signed, headers={**headers, "x-amz-acl": "public-read"}),
    ):
        with pytest.raises(RequestError) as refused:
            verify_header(broken, request.headers["Authorization"], lookup, now)
        assert refused.value.code in ("SignatureDoesNotMatch", "AccessDenied")


def test_what_we_presign_is_what_botocore_presigns() -> None:
    ours = presign("GET", "localhost:9000", "/bucket/key", access_key=ACCESS, secret_key=SECRET, now=NOW, expires=60)
    request = AWSRequest("GET", "http://localhost:9000/bucket/key")
    signer = S3SigV4QueryAuth(Credentials(ACCESS, SECRET), "s3", "us-east-1", expires=60)
    signer.add_auth(request)
    path, _, query = ours.partition("?")
    assert path == "/bucket/key"
    parsed, theirs = dict(parse_qsl(query)), dict(parse_qsl(str(request.url).partition("?")[2]))
    assert parsed.keys() == theirs.keys()
    for name in parsed.keys() - {"X-Amz-Date", "X-Amz-Signature", "X-Amz-Credential"}:
        assert parsed[name] == theirs[name]
    raw: Any = [tuple(item.split("=", 1)) for item in query.split("&")]
    signed = SentHead("GET", path, raw, {"host": "localhost:9000"})
    assert verify_query(signed, parsed, lookup, NOW).access_key == ACCESS


# -- what is wrong with a header


def refusal(request: SentHead, auth: str, now: int = NOW, region: str | None = None) -> RequestError:
    with pytest.raises(RequestError) as refused:
        verify_header(request, auth, lookup, now, region)
    return refused.value


def without(name: str, request: SentHead = GET) -> SentHead:
    return attrs.evolve(request, headers={n: value for n, value in request.headers.items() if n != name})


def replaced(name: str, value: str, request: SentHead = GET) -> SentHead:
    return attrs.evolve(request, headers={**request.headers, name: value})


def test_any_change_of_what_was_signed_is_noticed() -> None:
    for changed in (
        attrs.evolve(GET, method="HEAD"),
        attrs.evolve(GET, raw_path="/Test.txt"),
        attrs.evolve(GET, raw_path="//test.txt"),
        attrs.evolve(GET, raw_query=[("acl", None)]),
        replaced("range", "bytes=0-10"),
        replaced("host", "otherbucket.s3.amazonaws.com"),
        replaced("x-amz-content-sha256", PUT_SHA),
        without("range"),
    ):
        error = refusal(changed, GET_AUTH)
        assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
        assert error.fields["AWSAccessKeyId"] == ACCESS
        assert error.fields["StringToSign"].startswith("AWS4-HMAC-SHA256\n20130524T000000Z\n")
        assert error.fields["CanonicalRequest"].split("\n")[0] == changed.method


@pytest.mark.parametrize(
    "signature", ["", "0" * 64, "é" * 64, GET_AUTH[-64:].upper(), GET_AUTH[-63:], GET_AUTH[-64:] + "0"]
)
def test_a_wrong_signature(signature: str) -> None:
    auth = authorization("host;range;x-amz-content-sha256;x-amz-date", signature)
    assert refusal(GET, auth).code == "SignatureDoesNotMatch"


def test_a_wrong_secret_and_an_unknown_key() -> None:
    with pytest.raises(RequestError) as wrong:
        verify_header(GET, GET_AUTH, lambda _: Key(SECRET + "x"), NOW)
    assert wrong.value.code == "SignatureDoesNotMatch"
    assert SECRET not in str(vars(wrong.value))
    assert refusal(GET, GET_AUTH.replace(ACCESS, "AKIANOBODY")).code == "InvalidAccessKeyId"


@pytest.mark.parametrize(
    ("skew", "code"), [(900, None), (-900, None), (901, "RequestTimeTooSkewed"), (-901, "RequestTimeTooSkewed")]
)
def test_the_clock_may_differ_by_fifteen_minutes(skew: int, code: str | None) -> None:
    if code is None:
        verify_header(GET, GET_AUTH, lookup, NOW + skew)
        return
    error = refusal(GET, GET_AUTH, NOW + skew)
    assert (error.code, error.status) == (code, 403)
    assert error.fields["RequestTime"] == DATE
    assert error.fields["MaxAllowedSkewMilliseconds"] == "900000"


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 ", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 nonsense", "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential={ACCESS}/{SCOPE}, SignedHeaders=host", "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential={ACCESS}/{SCOPE}, Signature=00", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", "AuthorizationHeaderMalformed"),
        (authorization("host", "0", "20130524/us-east-1/s3"), "AuthorizationHeaderMalformed"),
        (authorization("host", "0", "20130524/us-east-1/s3/aws5_request"), "AuthorizationHeaderMalformed"),
        (authorization("host", "0", "20130524/us-east-1/ec2/aws4_request"), "AuthorizationHeaderMalformed"),
        (authorization("host", "0", "2013-05-24/us-east-1/s3/aws4_request"), "AuthorizationHeaderMalformed"),
        (authorization("host", "0", "20130525/us-east-1/s3/aws4_request"), "AuthorizationHeaderMalformed"),
        (GET_AUTH.replace(ACCESS, ""), "AuthorizationHeaderMalformed"),
    ],
)
def test_a_malformed_authorization_header(auth: str, code: str) -> None:
    error = refusal(GET, auth)
    assert (error.code, error.status) == (code, 400)


@pytest.mark.parametrize("comma", [",", ", ", " ,  "])
def test_the_parts_of_an_authorization_header_come_in_any_order(comma: str) -> None:
    algorithm, *parts = re.split(", | ", GET_AUTH)
    for order in itertools.permutations(parts):
        assert verify_header(GET, f"{algorithm} {comma.join(order)} ", lookup, NOW).access_key == ACCESS
        for wrong in (f"{comma.join(order)}0", f"{comma.join(order)}{comma}Signature=0"):
            assert refusal(GET, f"{algorithm} {wrong}").code.startswith(("Auth", "Signature", "AccessDenied"))


@pytest.mark.parametrize("name", ["Signature=", "a Signature=b", ",Signature="])
def test_what_looks_like_a_signature_is_none(name: str) -> None:
    refused = refusal(GET, GET_AUTH.replace(ACCESS, name))
    assert refused.code == ("AuthorizationHeaderMalformed" if "," in name else "InvalidAccessKeyId")


@pytest.mark.parametrize(
    "date", ["", "yesterday", "2013-05-24T00:00:00Z", "20130524T000000", "20131324T000000Z", "²0130524T000000Z"]
)
def test_a_malformed_date(date: str) -> None:
    assert refusal(replaced("x-amz-date", date), GET_AUTH).code == "AccessDenied"


def test_a_date_may_come_in_the_date_header_and_must_come_somewhere() -> None:
    request = without("x-amz-date", PUT)
    assert refusal(request, PUT_AUTH).code == "SignatureDoesNotMatch", "it was signed with both"
    assert refusal(without("x-amz-date"), GET_AUTH).code == "AccessDenied"
    dated = attrs.evolve(GET, headers=dict([HOST, ("date", "soon")]))
    assert refusal(dated, GET_AUTH).code == "AccessDenied"


@pytest.mark.parametrize("date", ["Fri, 24 May 2013 00:00:00 GMT", DATE])
def test_a_date_header_may_have_either_format(date: str) -> None:
    request = attrs.evolve(GET, headers=dict([HOST, ("date", date), ("x-amz-content-sha256", EMPTY)]))
    names = "date;host;x-amz-content-sha256"
    credential = sigv4._parse_credential(f"{ACCESS}/20130524/us-east-1/s3/aws4_request", "AuthorizationHeaderMalformed")
    to_sign, _ = sigv4.string_to_sign(
        request, sigv4._Claim(credential, DATE, sigv4._names_of(names), ""), EMPTY, as_sent=True
    )
    signature = sigv4.signing_key(SECRET, "20130524", "us-east-1", "s3").sign(to_sign)
    assert verify_header(request, authorization(names, signature), lookup, NOW).access_key == ACCESS


def test_the_host_and_every_amz_header_must_be_signed() -> None:
    more = attrs.evolve(GET, headers={**GET.headers, "x-amz-acl": "public-read"})
    error = refusal(more, GET_AUTH)
    assert (error.code, error.fields["HeadersNotSigned"]) == ("AccessDenied", "x-amz-acl")
    key = sigv4.signing_key(SECRET, "20130524", "us-east-1", "s3")
    credential = sigv4._parse_credential(f"{ACCESS}/20130524/us-east-1/s3/aws4_request", "AuthorizationHeaderMalformed")
    claim = sigv4._Claim(credential, DATE, sigv4._names_of("x-amz-content-sha256;x-amz-date"), "")
    to_sign, _ = sigv4.string_to_sign(GET, claim, EMPTY, as_sent=True)
    auth = authorization("x-amz-content-sha256;x-amz-date", key.sign(to_sign))
    error = refusal(GET, auth)
    assert (error.code, error.fields["HeadersNotSigned"]) == ("AccessDenied", "host")


def test_a_payload_digest_is_demanded_and_known() -> None:
    assert refusal(without("x-amz-content-sha256"), GET_AUTH).code == "InvalidRequest"
    for payload, code in (("abc", "InvalidArgument"), ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented")):
        assert refusal(replaced("x-amz-content-sha256", payload), GET_AUTH).code == code


def test_a_strict_region() -> None:
    assert verify_header(GET, GET_AUTH, lookup, NOW, "us-east-1").access_key == ACCESS
    error = refusal(GET, GET_AUTH, region="eu-central-1")
    assert (error.code, error.fields["Region"]) == ("AuthorizationHeaderMalformed", "eu-central-1")


# -- what is wrong with a presigned URL


def query_refusal(query: str, now: int = NOW, *headers: tuple[str, str], path: str = "/test.txt") -> RequestError:
    request, parsed = presigned(query, "GET", path, *headers)
    with pytest.raises(RequestError) as refused:
        verify_query(request, parsed, lookup, now)
    return refused.value


def test_a_presigned_url_expires() -> None:
    request, query = presigned(PRESIGNED)
    assert verify_query(request, query, lookup, NOW + 86_400).access_key == ACCESS
    error = query_refusal(PRESIGNED, NOW + 86_401)
    assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Request has expired")
    assert (error.fields["Expires"], error.fields["X-Amz-Expires"]) == ("2013-05-25T00:00:00Z", "86400")
    assert query_refusal(PRESIGNED, NOW - 901).code == "AccessDenied", "nor is it valid before its time"


@pytest.mark.parametrize(
    "changed", [("test.txt", "tess.txt"), ("86400", "86399"), ("=host", "=host%3Brange"), ("d404", "d405")]
)
def test_a_presigned_url_that_was_changed(changed: tuple[str, str]) -> None:
    path = "/test.txt".replace(*changed)
    assert query_refusal(PRESIGNED.replace(*changed), path=path).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_presigned_url_that_lacks_a_parameter(name: str) -> None:
    query = "&".join(item for item in PRESIGNED.split("&") if not item.startswith(f"X-Amz-{name}="))
    error = query_refusal(query)
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)


@pytest.mark.parametrize(
    "changed",
    [
        ("86400", "604801"), ("86400", "-1"), ("86400", "soon"), ("86400", "²"), ("86400", "9" * 30), ("86400", "-"),
        ("86400", "--1"), ("AWS4-HMAC-SHA256", "AWS4-HMAC-MD5"),
        ("=20130524T000000Z", "=2013"), ("=20130524T000000Z", "=20130525T000000Z"),
        ("%2Fs3%2F", "%2Fec2%2F"), ("aws4_request", "aws4"), ("%2Fus-east-1", ""),
    ],
)  # fmt: skip
def test_a_presigned_url_with_a_malformed_parameter(changed: tuple[str, str]) -> None:
    error = query_refusal(PRESIGNED.replace(*changed), NOW + 86_400 if "25T" in changed[1] else NOW)
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)


def test_a_presigned_url_with_a_header_that_was_not_signed() -> None:
    assert query_refusal(PRESIGNED, NOW, ("x-amz-acl", "public-read")).code == "AccessDenied"


def test_a_presigned_url_of_zero_seconds_lives_for_its_second() -> None:
    target = presign("GET", "h", "/k", access_key=ACCESS, secret_key=SECRET, now=NOW, expires=0)
    path, _, query = target.partition("?")
    raw: Any = [tuple(item.split("=", 1)) for item in query.split("&")]
    signed = SentHead("GET", path, raw, {"host": "h"})
    parsed = dict(parse_qsl(query))
    assert isinstance(verify_query(signed, parsed, lookup, NOW), Identity)
    with pytest.raises(RequestError):
        verify_query(signed, parsed, lookup, NOW + 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("19700101T000000Z", 0),
        ("20130524T000000Z", NOW),
        ("20161231T235960Z", 1483228800),
        ("20130524t000000Z", None),
        ("20130524T240000Z", None),
        ("00000000T000000Z", None),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    assert parse_date(text) == seconds
