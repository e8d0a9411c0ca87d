"""AWS Signature Version 2 ("Signing and authenticating REST requests").

Old, but boto3's default for presigned URLs and forms on a custom endpoint.

the string to sign = method LF content-md5 LF content-type LF date LF x-amz- headers resource
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from urllib.parse import unquote

import attrs

from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import (
    UNSIGNED,
    Identity,
    SecretT,
    SignedRequest,
    check_skew,
    parse_date,
    parse_http_date,
)

#: The query parameters that belong to the resource.
_SUB_RESOURCES = frozenset(
    {
        "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "encryption", "inventory", "legal-hold",
        "lifecycle", "location", "logging", "metrics", "notification", "object-lock", "ownershipControls", "partNumber",
        "policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment", "response-cache-control",
        "response-content-disposition", "response-content-encoding", "response-content-language",
        "response-content-type", "response-expires", "restore", "retention", "select", "select-type", "storageClass",
        "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
    }
)  # fmt: skip


def _string_to_sign(request: SignedRequest, date: str, bucket: str | None) -> str:
    amz: dict[str, str] = {}
    for name, value in request.headers:
        if name.startswith("x-amz-"):
            amz[name] = f"{amz[name]},{value.strip()}" if name in amz else value.strip()
    resource = (f"/{bucket}" if bucket else "") + request.raw_path
    kept = sorted((unquote(name), value) for name, value in request.query if unquote(name) in _SUB_RESOURCES)
    if kept:
        resource += "?" + "&".join(name if value is None else f"{name}={unquote(value)}" for name, value in kept)
    lines = [request.method, request.header("content-md5") or "", request.header("content-type") or "", date]
    return "\n".join(lines) + "\n" + "".join(f"{name}:{amz[name]}\n" for name in sorted(amz)) + resource


def sign(secret_key: str, to_sign: str) -> str:
    return base64.b64encode(hmac.digest(secret_key.encode(), to_sign.encode("utf-8", "replace"), "sha1")).decode()


def _verify(
    request: SignedRequest,
    access_key: str,
    signature: str,
    date: str,
    lookup: Callable[[str], SecretT | None],
    bucket: str | None,
) -> SecretT:
    secret = lookup(access_key)
    if secret is None:
        raise RequestError("InvalidAccessKeyId", fields={"AWSAccessKeyId": access_key})
    to_sign = _string_to_sign(request, date, bucket)
    spellings = [to_sign]
    if bucket is None and request.raw_path.count("/") == 1 and request.raw_path != "/":
        # S3 knows a bucket by its name and a slash; SDKs sign that also where they send "/bucket" alone.
        spellings.append(_string_to_sign(attrs.evolve(request, raw_path=request.raw_path + "/"), date, bucket))
    given = signature.encode("utf-8", "replace")
    if not any(hmac.compare_digest(sign(secret.secret_key, text).encode(), given) for text in spellings):
        raise RequestError(
            "SignatureDoesNotMatch",
            fields={"AWSAccessKeyId": access_key, "StringToSign": to_sign, "SignatureProvided": signature},
        )
    return secret


def verify_header(
    request: SignedRequest,
    authorization: str,
    lookup: Callable[[str], SecretT | None],
    now: int,
    bucket: str | None = None,
) -> Identity[SecretT]:
    """Verify `Authorization: AWS key:signature`. `bucket` is the one named by the host, if any."""
    access_key, colon, signature = authorization[len("AWS ") :].strip().partition(":")
    if not colon:
        raise RequestError("InvalidArgument", "The authorization header must have the form AWS ACCESS_KEY:SIGNATURE.")
    amz_date = request.header("x-amz-date")
    text = amz_date or request.header("date") or ""
    signed_at = parse_http_date(text) or parse_date(text)
    if signed_at is None:
        raise RequestError("AccessDenied", "A signed request needs a valid Date or x-amz-date header.")
    check_skew(signed_at, now, text)
    secret = _verify(request, access_key, signature, "" if amz_date else text, lookup, bucket)
    return Identity(access_key, secret, request.header("x-amz-content-sha256") or UNSIGNED, False, None)


def verify_query(
    request: SignedRequest,
    query: dict[str, str],
    lookup: Callable[[str], SecretT | None],
    now: int,
    bucket: str | None = None,
) -> Identity[SecretT]:
    """Verify a URL with AWSAccessKeyId, Expires and Signature."""
    expires = query.get("Expires", "")
    if "AWSAccessKeyId" not in query or "Signature" not in query or not expires:
        raise RequestError("AccessDenied", "Query authentication needs AWSAccessKeyId, Expires and Signature.")
    if not (expires.isascii() and expires.isdigit()) or len(expires) > 18:
        raise RequestError("AccessDenied", "Expires must be a number of seconds since the epoch.")
    if int(expires) < now:
        raise RequestError("AccessDenied", "Request has expired.", fields={"Expires": expires})
    access_key = query["AWSAccessKeyId"]
    secret = _verify(request, access_key, query["Signature"], expires, lookup, bucket)
    return Identity(access_key, secret, request.header("x-amz-content-sha256") or UNSIGNED, True, None)
