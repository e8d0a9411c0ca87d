"""AWS Signature Version 4 for S3 ("Authenticating Requests: AWS Signature Version 4" in the S3 API reference).

    the string to sign = "AWS4-HMAC-SHA256" LF date LF scope LF hex(sha256(canonical request))
    canonical request  = method LF path LF query LF headers LF signed names LF payload digest

Unlike other services S3 signs the path as it is sent, encoded once and not normalised. Signatures are compared in
constant time.
"""

from __future__ import annotations

import calendar
import email.utils
import functools
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, unquote_to_bytes

import attrs

from bleepstore_server.wire.errors import RequestError

ALGORITHM = "AWS4-HMAC-SHA256"
#: The header field, and in a URL of version 2 the parameter, that has the token of a session.
TOKEN, TOKEN_IN_QUERY = "x-amz-security-token", "X-Amz-Security-Token"
MAX_SKEW = 15 * 60  # seconds
MAX_EXPIRES = 7 * 24 * 3600  # seconds
UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-_.~"
_SPACES = re.compile("  +")
_BLANKS = " \t"  # only these: what Unicode counts as spaces are bytes of a value here, and are kept with it
_IS_SHA256 = re.compile("[0-9a-fA-F]{64}").fullmatch
_MAX_CACHED_KEYS = 1024
_MAX_CACHED_TEXTS = 128
_MAX_CACHED_NAMES = 32  # those of one head can have 64 KiB, and nobody has to sign for them

_NO_FIELDS: Mapping[str, str] = {}

RawQuery = Sequence[tuple[str, str | None]]


class Secret(Protocol):
    """What a look-up of an access key gives."""

    @property
    def secret_key(self) -> str: ...


SecretT = TypeVar("SecretT", bound=Secret)


@attrs.define  # to make a frozen one takes three times as long
class SentHead:
    """The head of a request, as it was sent: what a signature covers.

    `raw_path` is the path of the request target, percent-encoded; `raw_query` its (name, value) pairs, value None where
    there was no "="; `headers` are the header fields by their lower-case names, with the bytes of values as Latin-1.
    """

    method: str
    raw_path: str
    raw_query: RawQuery
    headers: dict[str, str]


@functools.lru_cache(maxsize=_MAX_CACHED_NAMES)  # a client sends the same fields with each of many requests
def amz_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names that begin with x-amz-, of the fields of a request, which are in lower case."""
    return tuple(name for name in names if name.startswith("x-amz-"))


class SigningKey:
    """Signs texts with HMAC-SHA256 (RFC 2104). Its hashes have taken in the key already; `hmac` would have them do that
    for each text."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """`key` has 32 bytes, fewer than a block of the hash."""
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, text: str) -> str:
        """The signature in hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()


@functools.lru_cache(maxsize=_MAX_CACHED_KEYS)  # it is asked for with every request
def signing_key(secret: str, date: str, region: str, service: str) -> SigningKey:
    """The key derived for a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for text in (date, region, service, "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    return SigningKey(key)


@attrs.frozen
class ChunkSigner:
    """What it takes to verify the chunks that follow a signed request."""

    key: SigningKey = attrs.field(repr=False)
    date: str
    scope: str
    seed: str


@attrs.define  # to make a frozen one takes three times as long
class Identity(Generic[SecretT]):
    """Who signed. `payload` is the declared x-amz-content-sha256; `chunks` is set for requests signed by header whose
    body comes in signed chunks.

    `from_query` are header fields that SDKs move into a presigned URL, and that its signature covers there: names in
    lower case, values as text.
    """

    access_key: str
    secret: SecretT
    payload: str
    presigned: bool
    chunks: ChunkSigner | None
    from_query: Mapping[str, str] = _NO_FIELDS


@functools.lru_cache(maxsize=_MAX_CACHED_TEXTS)  # many requests come in one second
def parse_date(text: str) -> int | None:
    """Seconds since the epoch of `20150830T123600Z`, or None."""
    if len(text) != 16 or text[8] != "T" or text[15] != "Z":
        return None
    digits = text[:8] + text[9:15]
    if not (digits.isascii() and digits.isdigit()):
        return None
    fields = (int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[9:11]), int(text[11:13]), int(text[13:15]))
    if not (
        fields[0] >= 1 and 1 <= fields[1] <= 12 and 1 <= fields[2] <= 31
        and fields[3] < 24 and fields[4] < 60 and fields[5] <= 60
    ):  # fmt: skip
        return None
    return calendar.timegm(fields)


def parse_http_date(text: str) -> int | None:
    """Seconds since the epoch of an HTTP date, or None."""
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


class _Credential(NamedTuple):
    """An access key and the scope of its signature: `date/region/service/aws4_request`."""

    access_key: str
    date: str
    region: str
    service: str
    scope: str


class _SignedNames(NamedTuple):
    """The names of the header fields that are signed, by semicolons, and in a tuple. `covered` are those that the
    signature covers: beside these x-amz-content-sha256, which is in the canonical request as the payload's digest."""

    text: str
    names: tuple[str, ...]
    covered: frozenset[str]


class _Claim(NamedTuple):
    """What a request says of its own signature."""

    credential: _Credential
    date: str
    signed: _SignedNames
    signature: str


#: How messages about the credential begin.
_WHERE = {
    "AuthorizationHeaderMalformed": "The authorization header is malformed",
    "AuthorizationQueryParametersError": "Error parsing the X-Amz-Credential parameter",
}
_NOT_SIGNED = "There were headers present in the request which were not signed"
_NO_DATE = "AWS authentication requires a valid Date or x-amz-date header"


@functools.lru_cache(maxsize=_MAX_CACHED_TEXTS)  # that of a key is the same all day
def _parse_credential(text: str, error: str, expected_service: str = "s3") -> _Credential:
    where = _WHERE[error]
    parts = text.rsplit("/", 4)
    if len(parts) != 5:
        expected = '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'
        raise RequestError(error, f"{where}; the Credential is mal-formed; expecting {expected}.")
    access_key, date, region, service, terminator = parts
    if terminator != "aws4_request":
        raise RequestError(error, f'{where}; incorrect terminal "{terminator}". This endpoint uses "aws4_request".')
    if service != expected_service:
        this = f'This endpoint belongs to "{expected_service}".'
        raise RequestError(error, f'{where}; incorrect service "{service}". {this}')
    if len(date) != 8 or not date.isascii() or not date.isdigit():
        expected = 'This date in the credential must be in the format "yyyyMMdd".'
        raise RequestError(error, f'{where}; incorrect date format "{date}". {expected}')
    if not access_key:
        raise RequestError(error, f"{where}; a non-empty Access Key (AKID) must be provided in the credential.")
    return _Credential(access_key, date, region, service, f"{date}/{region}/{service}/aws4_request")


@functools.lru_cache(maxsize=_MAX_CACHED_TEXTS)
def _names_of(signed_names: str) -> _SignedNames:
    names = tuple(signed_names.split(";"))
    return _SignedNames(signed_names, names, frozenset({*names, "x-amz-content-sha256"}))


_AUTHORIZATION_FIELDS = frozenset({"Credential", "SignedHeaders", "Signature"})


@functools.lru_cache(maxsize=_MAX_CACHED_TEXTS)  # for a key and an operation it is the same all day
def _parse_authorization(text: str, service: str) -> tuple[_Credential, _SignedNames, str]:
    """Credential, signed names and signature of an Authorization header."""
    error = "AuthorizationHeaderMalformed"
    fields: dict[str, str] = {}
    for item in text[len(ALGORITHM) :].split(","):
        name, equals, value = item.strip().partition("=")
        if not equals or name not in _AUTHORIZATION_FIELDS or name in fields:
            raise RequestError(
                error, "The authorization header needs Credential, SignedHeaders and Signature, each once."
            )
        fields[name] = value
    missing = _AUTHORIZATION_FIELDS - fields.keys()
    if missing:
        raise RequestError(error, f"The authorization header lacks {', '.join(sorted(missing))}.")
    credential = _parse_credential(fields["Credential"], error, service)
    return credential, _names_of(fields["SignedHeaders"]), fields["Signature"]


def _header_claim(request: SentHead, authorization: str, service: str) -> _Claim:
    # What many requests have in common is parsed once: all but the signature, where that comes last, as it mostly does.
    text, name, signature = authorization.rpartition("Signature=")
    text = f"{text}{name}" if text.endswith((" ", ",")) and "," not in signature else authorization
    credential, signed, found = _parse_authorization(text, service)
    date = request.headers.get("x-amz-date")
    if date is None:
        date = request.headers.get("date", "")
        if parse_date(date) is None:  # else it is the timestamp itself ("Handling dates in Signature Version 4")
            seconds = parse_http_date(date)
            if seconds is None:
                raise RequestError("AccessDenied", _NO_DATE)
            date = _format_date(seconds)
    return _Claim(credential, date, signed, (found or signature).strip())


def _format_date(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


_NEEDED_IN_QUERY = frozenset(
    {"X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"}
)


def _query_claim(query: dict[str, str], now: int) -> _Claim:
    error = "AuthorizationQueryParametersError"
    if not query.keys() >= _NEEDED_IN_QUERY:
        raise RequestError(
            error,
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        )
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise RequestError(error, f'X-Amz-Algorithm only supports "{ALGORITHM}".')
    credential = _parse_credential(query["X-Amz-Credential"], error)
    date = query["X-Amz-Date"]
    signed_at = parse_date(date)
    if signed_at is None:
        raise RequestError(error, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    expires = query["X-Amz-Expires"]
    if not expires.removeprefix("-").isdigit() or not expires.isascii() or len(expires) > 18:
        raise RequestError(error, "X-Amz-Expires should be a number")
    if int(expires) < 0:
        raise RequestError(error, "X-Amz-Expires must be non-negative")
    if int(expires) > MAX_EXPIRES:
        raise RequestError(
            error,
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{MAX_EXPIRES} seconds",
        )
    if signed_at > now + MAX_SKEW:
        raise RequestError(
            "AccessDenied",
            "Request is not yet valid",
            fields={
                "X-Amz-Date": str(signed_at * 1000),
                "Expires": iso_date(signed_at + int(expires)),
                "ServerTime": iso_date(now),
            },
        )
    if now > signed_at + int(expires):
        raise RequestError(
            "AccessDenied",
            "Request has expired",
            fields={
                "X-Amz-Expires": expires,
                "Expires": iso_date(signed_at + int(expires)),
                "ServerTime": iso_date(now),
            },
        )
    return _Claim(credential, date, _names_of(query["X-Amz-SignedHeaders"]), query["X-Amz-Signature"])


def iso_date(seconds: int) -> str:
    text = _format_date(seconds)
    return f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:]}"


def check_skew(signed_at: int, now: int, text: str) -> None:
    if abs(now - signed_at) > MAX_SKEW:
        raise RequestError(
            "RequestTimeTooSkewed",
            fields={
                "RequestTime": text,
                "ServerTime": iso_date(now),
                "MaxAllowedSkewMilliseconds": str(MAX_SKEW * 1000),
            },
        )


def _check_scope(claim: _Claim, region: str | None, error: str) -> None:
    credential = claim.credential
    if claim.date[:8] != credential.date:
        raise RequestError(
            error,
            f'{_WHERE[error]}; Invalid credential date "{credential.date}". This date is not the same as X-Amz-Date: '
            f'"{claim.date[:8]}".',
        )
    if region is not None and credential.region != region:
        raise RequestError(
            error,
            f"{_WHERE[error]}; the region '{credential.region}' is wrong; expecting '{region}'",
            fields={"Region": region},
        )


def _check_covered(request: SentHead, signed: _SignedNames) -> None:
    """ "The CanonicalHeaders list must include the HTTP host header and any x-amz-* headers in the request." """
    if "host" not in signed.covered:
        raise RequestError("AccessDenied", _NOT_SIGNED, fields={"HeadersNotSigned": "host"})
    names = amz_names(tuple(request.headers))
    if not signed.covered.issuperset(names):
        left_out = [name for name in names if name not in signed.covered]
        raise RequestError("AccessDenied", _NOT_SIGNED, fields={"HeadersNotSigned": ", ".join(left_out)})


def _canonical_query(pairs: RawQuery, *, as_sent: bool) -> str:
    encoded = []
    for name, value in pairs:
        if name == "X-Amz-Signature":
            continue
        if as_sent:
            encoded.append((name, value or ""))
        else:
            encoded.append((_encode(name), _encode(value or "")))
    encoded.sort()
    return "&".join(map("=".join, encoded))


def _encode(text: str) -> str:
    """A name or value of the query as it is read, a `+` being a space, encoded as the specification has it."""
    return quote(unquote_to_bytes(text.replace("+", " ")), safe=_UNRESERVED)


def _canonical_headers(request: SentHead, names: Sequence[str]) -> str:
    fields, lines = request.headers, ""
    for name in names:
        value = fields.get(name, "").strip(_BLANKS)
        if "  " in value:
            value = _SPACES.sub(" ", value)
        lines += f"{name}:{value}\n"
    return lines


def string_to_sign(request: SentHead, claim: _Claim, payload: str, *, as_sent: bool) -> tuple[str, str]:
    """(string to sign, canonical request)."""
    path = request.raw_path if as_sent else quote(unquote_to_bytes(request.raw_path), safe="/" + _UNRESERVED)
    canonical = (
        f"{request.method}\n{path or '/'}\n"
        f"{_canonical_query(request.raw_query, as_sent=as_sent) if request.raw_query else ''}\n"
        f"{_canonical_headers(request, claim.signed.names)}\n{claim.signed.text}\n{payload}"
    )
    digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
    return f"{ALGORITHM}\n{claim.date}\n{claim.credential.scope}\n{digest}", canonical


def in_hex(text: str) -> str:
    """The bytes that were signed, as S3 shows them beside the text."""
    return text.encode("latin-1", "replace").hex(" ")


def _verify_claim(request: SentHead, claim: _Claim, secret: str, payload: str) -> SigningKey:
    """The signing key, if the signature is right. SDKs differ in what they encode: both spellings count.

    The second is made of the decoded request, so that no two requests that are read differently share a signature.
    """
    credential = claim.credential
    key = signing_key(secret, credential.date, credential.region, credential.service)
    given = claim.signature.encode("ascii", "replace")
    to_sign, canonical = string_to_sign(request, claim, payload, as_sent=True)
    if hmac.compare_digest(key.sign(to_sign).encode(), given):
        return key
    again, _ = string_to_sign(request, claim, payload, as_sent=False)
    if hmac.compare_digest(key.sign(again).encode(), given):
        return key
    raise RequestError(
        "SignatureDoesNotMatch",
        fields={
            "AWSAccessKeyId": credential.access_key,
            "StringToSign": to_sign,
            "SignatureProvided": claim.signature,
            "StringToSignBytes": in_hex(to_sign),
            "CanonicalRequest": canonical,
            "CanonicalRequestBytes": in_hex(canonical),
        },
    )


#: EMPTY_SHA256 is that of each read.
_PAYLOADS = frozenset({EMPTY_SHA256, UNSIGNED, SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, UNSIGNED_TRAILER})


def check_payload(text: str) -> str:
    """A legal x-amz-content-sha256, returned. Raises RequestError for any other."""
    if text.startswith("STREAMING-AWS4-ECDSA"):
        raise RequestError("NotImplemented", "Signature Version 4A is not supported: sign with AWS4-HMAC-SHA256.")
    if text not in _PAYLOADS and not _IS_SHA256(text):
        raise RequestError(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid "
            "sha256 value.",
            fields={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": text},
        )
    return text


def unknown_key(access_key: str) -> RequestError:
    return RequestError("InvalidAccessKeyId", fields={"AWSAccessKeyId": access_key})


def verify_header(
    request: SentHead,
    authorization: str,
    lookup: Callable[[str], SecretT | None],
    now: int,
    region: str | None = None,
    undeclared: Callable[[], str] | None = None,
    service: str = "s3",
) -> Identity[SecretT]:
    """Verify an `Authorization: AWS4-HMAC-SHA256 ...` header. `now` is in seconds; `region` None accepts any.

    `undeclared` gives the SHA-256 of the body of a request that need not say it. It is asked when all
    that can be seen without it is right, for it has to read the body.
    """
    claim = _header_claim(request, authorization, service)
    signed_at = parse_date(claim.date)
    if signed_at is None:
        raise RequestError("AccessDenied", _NO_DATE)
    _check_scope(claim, region, "AuthorizationHeaderMalformed")
    check_skew(signed_at, now, claim.date)
    _check_covered(request, claim.signed)
    access_key = claim.credential.access_key
    secret = lookup(access_key)
    if secret is None:
        raise unknown_key(access_key)
    declared = request.headers.get("x-amz-content-sha256")
    if declared is None:
        if undeclared is None:
            raise RequestError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        declared = undeclared()
    payload = check_payload(declared)
    key = _verify_claim(request, claim, secret.secret_key, payload)
    signer = None
    if payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER):
        signer = ChunkSigner(key, claim.date, claim.credential.scope, claim.signature)
    return Identity(access_key, secret, payload, False, signer)


def verify_query(
    request: SentHead,
    query: dict[str, str],
    lookup: Callable[[str], SecretT | None],
    now: int,
    region: str | None = None,
) -> Identity[SecretT]:
    """Verify a presigned request. `query` has the decoded parameters, each once."""
    claim = _query_claim(query, now)
    _check_scope(claim, region, "AuthorizationQueryParametersError")
    access_key = claim.credential.access_key
    secret = lookup(access_key)
    if secret is None:
        raise unknown_key(access_key)
    fields = fields_in_query(query, _OF_SIGNATURE)
    payload = _payload_of_url(request, fields.pop("x-amz-content-sha256", UNSIGNED))
    try:
        _verify_claim(request, claim, secret.secret_key, payload)
    except RequestError:
        # A presigned URL is signed for any payload unless its signer knew better.
        if payload == UNSIGNED:
            raise
        _verify_claim(request, claim, secret.secret_key, UNSIGNED)
    _check_covered(request, claim.signed)
    return Identity(access_key, secret, payload, True, None, fields)


def _payload_of_url(request: SentHead, in_url: str) -> str:
    """The payload that a URL declares, or a header, which says more than a URL that was signed for any payload."""
    payload = check_payload(request.headers.get("x-amz-content-sha256") or in_url)
    if in_url not in (UNSIGNED, payload):
        raise RequestError(
            "InvalidRequest", "The x-amz-content-sha256 of the request is not the one that its URL was signed with."
        )
    return payload


#: What is in a presigned URL for the signature alone, beside the digest of the body.
_OF_SIGNATURE = frozenset(
    f"x-amz-{name}"
    for name in ("algorithm", "credential", "date", "expires", "security-token", "signature", "signedheaders")
)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # a token (RFC 9110 section 5.6.2) in lower case


def fields_in_query(query: Mapping[str, str], without: frozenset[str] = frozenset()) -> dict[str, str]:
    """The parameters that stand for x-amz- header fields. Raises RequestError for one that no field could be."""
    found = {}
    for parameter, value in query.items():
        name = parameter.lower()
        if name in without or not name.startswith("x-amz-"):
            continue
        if not _FIELD_NAME.fullmatch(name) or not is_field_value(value):
            raise RequestError(
                "InvalidArgument",
                f"The query parameter {parameter!r} cannot be a header field.",
                fields={"ArgumentName": parameter, "ArgumentValue": value},
            )
        found[name] = value.strip(" \t")  # as of a header field, where these are none of the value
    return found


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def is_field_value(text: str) -> bool:
    """Whether a header could hold this: no control characters but tabs (RFC 9110 section 5.5)."""
    return _CONTROL.search(text) is None


def presign(
    method: str,
    host: str,
    path: str,
    *,
    access_key: str,
    secret_key: str,
    now: int,
    expires: int = 3600,
    region: str = "us-east-1",
    query: RawQuery = (),
    token: str | None = None,
) -> str:
    """The request target of a presigned URL for `path`, which is percent-encoded already."""
    date = _format_date(now)
    scope = f"{date[:8]}/{region}/s3/aws4_request"
    pairs: list[tuple[str, str | None]] = [
        *query,
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", quote(f"{access_key}/{scope}", safe=_UNRESERVED)),
        ("X-Amz-Date", date),
        ("X-Amz-Expires", str(expires)),
        *([] if token is None else [(TOKEN_IN_QUERY, quote(token, safe=_UNRESERVED))]),
        ("X-Amz-SignedHeaders", "host"),
    ]
    request = SentHead(method, path, pairs, {"host": host})
    claim = _Claim(_Credential(access_key, date[:8], region, "s3", scope), date, _names_of("host"), "")
    to_sign, _ = string_to_sign(request, claim, UNSIGNED, as_sent=True)
    signature = signing_key(secret_key, date[:8], region, "s3").sign(to_sign)
    signed = "&".join(f"{name}={value or ''}" for name, value in pairs)
    return f"{path}?{signed}&X-Amz-Signature={signature}"
