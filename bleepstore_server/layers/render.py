"""Requests that fail: every failure becomes an S3 error document."""

from __future__ import annotations

import logging

from bleepstore.errors import BleepStoreError, ObjectDamaged, S3Error, StoreReadOnly
from bleepstore_server.exchange import TRACE_ID, UNPARSED, Exchange
from bleepstore_server.layers.denied import explain_denied
from bleepstore_server.layers.limits import drain
from bleepstore_server.layers.proxies import Proxies
from bleepstore_server.response import Headers, Response
from bleepstore_server.wire.documents.errors import error_document
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.refusals import READ_ONLY, translate

_log = logging.getLogger("bleepstore.server")
#: Operations whose refusals tell the region of the bucket too: "Calls to the HeadBucket operation always return the
#: bucket's location through an HTTP response header, whether access to the bucket is authorized or not"
#: (GetBucketLocation); of listings S3 does the same.
_TELL_REGION = frozenset({"HeadBucket", "ListObjects", "ListObjectsV2"})


def _of(exchange: Exchange) -> dict[str, str]:
    """What a log of a request has beside its message."""
    told = {"request_id": exchange.request_id}
    if TRACE_ID in exchange.environ:
        told["trace_id"] = exchange.environ[TRACE_ID]
    return told


def _refused(exchange: Exchange, error: Exception) -> RequestError:
    """The failure in S3's words."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, StoreReadOnly):
        return RequestError("AccessDenied", READ_ONLY)
    if isinstance(error, S3Error):
        refused = translate(error, exchange.environ["REQUEST_METHOD"])
        if refused.status >= 500 and error.__cause__ is not None:
            _log.error("request %s failed: %s", exchange.request_id, error, exc_info=error, extra=_of(exchange))
        return refused
    if isinstance(error, ObjectDamaged):
        # The library has logged it.
        return RequestError("InternalError", "The stored bytes are damaged. Restore the object from a backup.")
    level = logging.WARNING if isinstance(error, BleepStoreError) else logging.ERROR
    _log.log(level, "request %s failed", exchange.request_id, exc_info=error, extra=_of(exchange))
    return RequestError("InternalError")


def note_refusal(exchange: Exchange, error: Exception) -> RequestError:
    """The failure in S3's words, which the exchange and, if it is so, the log get to know."""
    refused = _refused(exchange, error)
    exchange.error_code = refused.code
    if refused.code == "AccessDenied":
        explain_denied(exchange)
    return refused


def refusal_headers(exchange: Exchange, error: Exception, refused: RequestError) -> Headers:
    """What goes with the answer to a request that failed, whatever its document is."""
    headers: Headers = [*refused.headers]
    if refused.code == "InvalidRange" and "ActualObjectSize" in refused.fields:
        headers.append(("Content-Range", f"bytes */{refused.fields['ActualObjectSize']}"))
    if exchange.operation in _TELL_REGION and refused.status < 500:
        headers += exchange.region_headers()
    if refused.status == 503:
        headers.append(("Retry-After", str(getattr(error, "retry_after", None) or 1)))
    if not drain(exchange):
        headers.append(("Connection", "close"))
    return headers


def refuse(exchange: Exchange, error: Exception, proxies: Proxies) -> Response:
    """The answer to a request that failed."""
    environ, request = exchange.environ, exchange.request
    refused = note_refusal(exchange, error)
    headers: Headers = [("Content-Type", "application/xml"), *refusal_headers(exchange, error, refused)]
    fields = refused.fields
    if refused.code == "SignatureDoesNotMatch" and "StringToSign" in fields:  # a form does not sign its host
        fields = {**fields, "Host": proxies.seen_host(environ)}
    if refused.code == "InvalidURI":
        uri = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", ""))
        fields = {"URI": uri.partition("?")[0], **fields}
    resource = str(environ.get("PATH_INFO", "")) if request is UNPARSED else request.resource
    document = error_document(refused.code, refused.message, resource, exchange.request_id, fields)
    return Response(refused.status, headers, document)
