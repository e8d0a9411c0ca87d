"""What a request says under the condition keys of S3 that are named after its headers, parameters and signature
("Actions, resources, and condition keys for Amazon S3")."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from bleepstore_server.exchange import Request
from bleepstore_server.wire.sigv4 import ALGORITHM, parse_date

_OF_QUERY = frozenset({"prefix", "delimiter", "max-keys"})
_OF_HEADERS = frozenset({"if-match", "if-none-match"})


def condition_value(request: Request, fields: Mapping[str, str] | None, now_ms: int | None, key: str) -> str | None:
    """The value under a key, in lower case without its prefix; None if there is none. `fields` are those of a form."""
    find = _OF_SIGNATURE.get(key)
    if find is not None:
        return find(request, fields, now_ms)
    if key in _OF_QUERY:
        # Whether there is an object is told by who may list its bucket: by its own request, which has no prefix.
        return None if request.key else request.query.get(key)
    if key.startswith("x-amz-") or key in _OF_HEADERS:
        return request.header(key) if fields is None else _of_form(fields, key)
    return None


def _of_form(fields: Mapping[str, str], key: str) -> str | None:
    return fields.get(key, fields.get("acl")) if key == "x-amz-acl" else fields.get(key)


def _content_sha256(request: Request, fields: Mapping[str, str] | None, _now_ms: int | None) -> str | None:
    """ "You can use this condition key to disallow unsigned content in your bucket." """
    if fields is not None:
        return None
    return request.headers.get("x-amz-content-sha256") if request.identity is None else request.payload


def _auth_type(request: Request, fields: Mapping[str, str] | None, _now_ms: int | None) -> str | None:
    if fields is not None:
        return "POST" if "policy" in fields else None
    if request.identity is None:
        return None
    return "REST-QUERY-STRING" if request.identity.presigned else "REST-HEADER"


def _signature_version(request: Request, fields: Mapping[str, str] | None, _now_ms: int | None) -> str | None:
    if fields is not None:
        return None if "policy" not in fields else ALGORITHM if "x-amz-signature" in fields else "AWS"
    return signature_version(request)


def signature_version(request: Request) -> str | None:
    """How a request is signed that is no form: "AWS" identifies Signature Version 2. None: nobody signed it."""
    if request.identity is None:
        return None
    is_version_4 = request.headers.get("authorization", "").startswith(ALGORITHM) or "X-Amz-Signature" in request.query
    return ALGORITHM if is_version_4 else "AWS"


def _signature_age(request: Request, fields: Mapping[str, str] | None, now_ms: int | None) -> str | None:
    """ "The length of time, in milliseconds, that a signature is valid": how long ago it was made. A URL of version 2
    does not say when."""
    if fields is not None:
        text = fields.get("x-amz-date", "")
    elif request.identity is None:
        return None
    elif request.identity.presigned:
        text = request.query.get("X-Amz-Date", "")
    else:
        text = request.headers.get("x-amz-date") or request.headers.get("date", "")
    seconds = parse_date(text)
    if seconds is None and not request.query.get("X-Amz-Date"):
        seconds = _http_date(text)
    return None if seconds is None or now_ms is None else str(max(now_ms - seconds * 1000, 0))


def _http_date(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def _tls_version(request: Request, _fields: Mapping[str, str] | None, _now_ms: int | None) -> str | None:
    """As a number: 1.3. It is that of the connection, where its socket can be asked."""
    sock = request.environ.get("gunicorn.socket")
    version = sock.version() if isinstance(sock, ssl.SSLSocket) else None
    return None if version is None else version.removeprefix("TLSv")


_OF_SIGNATURE: Mapping[str, Callable[[Request, Mapping[str, str] | None, int | None], str | None]] = {
    "x-amz-content-sha256": _content_sha256,
    "authtype": _auth_type,
    "signatureversion": _signature_version,
    "signatureage": _signature_age,
    "tlsversion": _tls_version,
}
