"""AWS Signature Version 2 ("Signing and authenticating REST requests").

Old, but boto3's default for presigned URLs and forms on a custom endpoint.

the string to sign = method LF content-md5 LF content-type LF date LF x-amz- headers resource
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import (
    UNSIGNED,
    Identity,
    SecretT,
    SentHead,
    check_payload,
    check_skew,
    fields_in_query,
    in_hex,
    is_field_value,
    iso_date,
    parse_date,
    parse_http_date,
    unknown_key,
)

#: The query parameters that belong to the resource: all that choose an operation, a version or a part, or say what the
#: answer looks like. A parameter that is not among them can be added by whoever holds a URL.
RESOURCE_PARAMETERS = frozenset(
    {
        "abac", "accelerate", "acl", "analytics", "annotation", "annotationName", "attributes", "cors",
        "defaultObjectAcl", "delete", "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle",
        "location", "logging", "metadataAnnotationTable", "metadataConfiguration", "metadataInventoryTable",
        "metadataJournalTable", "metadataTable", "metrics", "notification", "object-lock", "ownershipControls",
        "partNumber", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment",
        "response-cache-control", "response-content-disposition", "response-content-encoding",
        "response-content-language", "response-content-type", "response-expires", "restore", "retention", "select",
        "select-type", "session", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId",
        "versioning", "versions", "website",
    }
)  # fmt: skip

_NO_FIELDS: Mapping[str, str] = {}


def _read(text: str) -> str:
    """A field's value as text: UTF-8 where its bytes are, which WSGI shows as Latin-1."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _resource_parameters(request: SentHead) -> list[str]:
    """`name` or `name=value`, decoded as the operations read them, in the order of the names."""
    kept = []
    for raw, value in request.raw_query:
        name = unquote_plus(raw) if "%" in raw or "+" in raw else raw
        if name in RESOURCE_PARAMETERS:
            kept.append((name, value))
    kept.sort(key=lambda pair: pair[0])
    texts = [name if value is None else f"{name}={unquote_plus(value)}" for name, value in kept]
    for text in texts:
        # Written out, such a value reads like two parameters: two requests would share one signature.
        if any(item.partition("=")[0] in RESOURCE_PARAMETERS for item in text.split("&")[1:]) or "\n" in text:
            raise RequestError("InvalidArgument", "The value of a query parameter is not one that can be signed.")
    return texts


def _string_to_sign(
    request: SentHead, raw_path: str, date: str, bucket: str | None, in_query: Mapping[str, str]
) -> str:
    """`in_query` are header fields in the query, which count where no such field is sent."""
    fields = dict(in_query)
    for name, value in request.headers.items():
        if name.startswith("x-amz-") or name in ("content-md5", "content-type"):
            fields[name] = _read(value).strip(" \t")
    kept = _resource_parameters(request)
    resource = (f"/{bucket}" if bucket else "") + raw_path + ("?" + "&".join(kept) if kept else "")
    lines = [request.method, fields.pop("content-md5", ""), fields.pop("content-type", ""), date]
    return "\n".join(lines) + "\n" + "".join(f"{name}:{fields[name]}\n" for name in sorted(fields)) + resource


def sign(secret_key: str, to_sign: str) -> str:
    return base64.b64encode(hmac.digest(secret_key.encode(), to_sign.encode("utf-8", "replace"), "sha1")).decode()


def _verify(
    request: SentHead,
    access_key: str,
    signature: str,
    date: str,
    lookup: Callable[[str], SecretT | None],
    bucket: str | None,
    in_query: Mapping[str, str] = _NO_FIELDS,
) -> SecretT:
    secret = lookup(access_key)
    if secret is None:
        raise unknown_key(access_key)
    path = request.raw_path
    to_sign = _string_to_sign(request, path, date, bucket, in_query)
    spellings = [to_sign]
    if bucket is None and path.count("/") == 1 and path != "/":
        # S3 knows a bucket by its name and a slash; SDKs sign that also where they send "/bucket" alone.
        spellings.append(_string_to_sign(request, f"{path}/", date, bucket, in_query))
    given = signature.encode("utf-8", "replace")
    if not any(hmac.compare_digest(sign(secret.secret_key, text).encode(), given) for text in spellings):
        raise RequestError(
            "SignatureDoesNotMatch",
            fields={
                "AWSAccessKeyId": access_key,
                "StringToSign": to_sign,
                "SignatureProvided": signature,
                "StringToSignBytes": in_hex(to_sign),
            },
        )
    return secret


def verify_header(
    request: SentHead,
    authorization: str,
    lookup: Callable[[str], SecretT | None],
    now: int,
    bucket: str | None = None,
) -> Identity[SecretT]:
    """Verify `Authorization: AWS key:signature`. `bucket` is the one named by the host, if any."""
    access_key, colon, signature = authorization[len("AWS ") :].strip().partition(":")
    if not colon:
        raise RequestError("InvalidArgument", "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature")
    amz_date = request.headers.get("x-amz-date")
    text = amz_date or request.headers.get("date", "")
    signed_at = parse_http_date(text) or parse_date(text)
    if signed_at is None:
        raise RequestError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    check_skew(signed_at, now, text)
    secret = _verify(request, access_key, signature, "" if amz_date else text, lookup, bucket)
    payload = check_payload(request.headers.get("x-amz-content-sha256") or UNSIGNED)
    return Identity(access_key, secret, payload, False, None)


def verify_query(
    request: SentHead,
    query: dict[str, str],
    lookup: Callable[[str], SecretT | None],
    now: int,
    bucket: str | None = None,
) -> Identity[SecretT]:
    """Verify a URL with AWSAccessKeyId, Expires and Signature. `query` has the decoded parameters, each once.

    SDKs move Content-Type, Content-MD5 and x-amz- fields into the URL; they are signed as the fields that they were.
    """
    expires = query.get("Expires", "")
    if "AWSAccessKeyId" not in query or "Signature" not in query or not expires:
        raise RequestError(
            "AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    if not (expires.isascii() and expires.isdigit()) or len(expires) > 18:
        raise RequestError("AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
    if int(expires) < now:
        raise RequestError(
            "AccessDenied",
            "Request has expired",
            fields={"Expires": iso_date(int(expires)), "ServerTime": iso_date(now)},
        )
    access_key = query["AWSAccessKeyId"]
    in_query = fields_in_query(query)
    for parameter, value in query.items():
        if parameter.lower() in ("content-md5", "content-type"):
            if not is_field_value(value):
                raise RequestError("InvalidArgument", f"The query parameter {parameter} cannot be a header field.")
            in_query[parameter.lower()] = value.strip(" \t")
    secret = _verify(request, access_key, query["Signature"], expires, lookup, bucket, in_query)
    declared = request.headers.get("x-amz-content-sha256") or in_query.get("x-amz-content-sha256")
    payload = check_payload(declared or UNSIGNED)
    return Identity(access_key, secret, payload, True, None, in_query)
