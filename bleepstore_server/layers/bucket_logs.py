"""The access logs of buckets: what a request and its answer are in them ("Amazon S3 server access log format")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import attrs

from bleepstore.access_log import LogEntry
from bleepstore.store import DeleteFailure
from bleepstore_server.exchange import Exchange

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Operations of this store -> what the log calls them, where that does not follow from their parts.
_OPERATIONS: Mapping[str, str] = {
    "ListBuckets": "REST.GET.SERVICE",
    "ListObjects": "REST.GET.BUCKET",
    "ListObjectsV2": "REST.GET.BUCKET",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "GetBucketPolicy": "REST.GET.BUCKETPOLICY",
    "PutBucketPolicy": "REST.PUT.BUCKETPOLICY",
    "DeleteBucketPolicy": "REST.DELETE.BUCKETPOLICY",
    "GetBucketLogging": "REST.GET.LOGGING_STATUS",
    "PutBucketLogging": "REST.PUT.LOGGING_STATUS",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "CopyObject": "REST.COPY.OBJECT",
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "ListParts": "REST.GET.UPLOAD",
    "GetObjectAcl": "REST.GET.ACL",
    "PutObjectAcl": "REST.PUT.ACL",
}
#: What the source of a copy says of it.
_OF_SOURCES = {"CopyObject": "REST.COPY.OBJECT_GET", "UploadPartCopy": "REST.COPY.PART_GET"}
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
#: Parameters of a URL: whoever reads those in the log could send the request again.
_SECRETS = frozenset({"x-amz-signature", "x-amz-security-token", "signature"})
_PARAMETER = re.compile(r"([?&]([^?&= ]*)=)[^& ]*")


@attrs.frozen
class Sent:
    """What became of an answer: bytes of its body, why it was broken off, and seconds."""

    bytes_out: int
    error_code: str | None
    turnaround: float
    duration: float


def log_to_buckets(exchange: Exchange, sent: Sent) -> None:
    """Note a request in the logs of the buckets that it is about."""
    store, source = exchange.store, exchange.source
    logged = store.engine.logged_buckets
    if exchange.bucket in logged:
        store.access_logs.add(exchange.bucket, _entries(exchange, sent))
    if source is not None and source.bucket in logged:
        entry = _entry(exchange, sent)
        operation = _OF_SOURCES.get(exchange.operation or "", entry.operation)
        entry = attrs.evolve(entry, operation=operation, key=source.key, version_id=source.version_id, bytes_sent=0)
        store.access_logs.add(source.bucket, [entry])


def _entries(exchange: Exchange, sent: Sent) -> Iterator[LogEntry]:
    entry = _entry(exchange, sent)
    yield entry
    for one in exchange.deleted:
        error = one.error.code if isinstance(one, DeleteFailure) else None
        yield attrs.evolve(
            entry,
            operation="BATCH.DELETE.OBJECT",
            key=one.key,
            version_id=one.version_id,
            status=204 if error is None else entry.status,
            error_code=error,
            bytes_sent=0,
            object_size=None,
        )


def _entry(exchange: Exchange, sent: Sent) -> LogEntry:
    environ, caller, headers = exchange.environ, exchange.caller, exchange.request.headers
    signature, authentication = _signature(exchange)
    cipher, tls = _encryption(environ)
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
    request_line = f"{environ['REQUEST_METHOD']} {target} {environ.get('SERVER_PROTOCOL', 'HTTP/1.1')}"
    return LogEntry(
        time_ms=exchange.store.wall_time_ms() - round(1000 * sent.duration),
        operation=_operation(exchange),
        request_id=exchange.request_id,
        remote=environ.get("REMOTE_ADDR"),
        principal_id=None if caller.is_anonymous else caller.requester,
        key=exchange.key or None,
        target=_without_secrets(request_line),
        status=exchange.status,
        error_code=exchange.error_code or sent.error_code,
        bytes_sent=sent.bytes_out,
        object_size=exchange.object_size,
        total_ms=round(1000 * sent.duration),
        turnaround_ms=round(1000 * sent.turnaround),
        referer=_without_secrets(headers.get("referer", "")),
        user_agent=headers.get("user-agent"),
        version_id=exchange.version_id,
        signature=signature,
        cipher=cipher,
        authentication=authentication,
        host=headers.get("host"),
        tls=tls,
    )


def _without_secrets(text: str) -> str:
    """A URL, or a line that has one, as it may be shown. A page that was read by a signed URL is the referer of what it
    shows."""
    return _PARAMETER.sub(
        lambda found: f"{found[1]}REDACTED" if unquote(found[2]).lower() in _SECRETS else found[0], text
    )


def _operation(exchange: Exchange) -> str:
    name, method = exchange.operation or "", exchange.environ["REQUEST_METHOD"]
    if name.startswith("WEBSITE."):
        return name
    known = _OPERATIONS.get(name)
    if known is not None:
        return known
    if method not in _METHODS:
        return "REST.UNKNOWN.OBJECT"
    if method == "OPTIONS":
        return "REST.OPTIONS.PREFLIGHT"
    resource = "OBJECT" if exchange.key else "BUCKET"
    sub_resource = exchange.sub_resource
    if sub_resource is None or sub_resource in ("list-type", "uploadId"):
        return f"REST.{method}.{resource}"
    part = _WORDS.sub("_", sub_resource).replace("-", "_").upper()
    return f"REST.{method}.{'OBJECT_' if exchange.key and sub_resource == 'tagging' else ''}{part}"


_WORDS = re.compile("(?<=[a-z])(?=[A-Z])")


def _signature(exchange: Exchange) -> tuple[str | None, str | None]:
    """(the version of the signature, where it was)."""
    authorization, query = exchange.request.headers.get("authorization"), exchange.request.query
    if authorization:
        return ("SigV4" if authorization.startswith("AWS4-") else "SigV2"), "AuthHeader"
    if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        return "SigV4", "QueryString"
    return ("SigV2", "QueryString") if "Signature" in query else (None, None)


def _encryption(environ: WSGIEnvironment) -> tuple[str | None, str | None]:
    """(the cipher suite, the version of TLS) of the connection, where this server encrypts it."""
    connection: Any = environ.get("gunicorn.socket")
    if environ.get("wsgi.url_scheme") != "https" or not hasattr(connection, "cipher"):
        return None, None
    cipher = connection.cipher()
    return (None if cipher is None else cipher[0]), connection.version()
