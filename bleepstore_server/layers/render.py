"""Answers on their way out: every failure becomes an S3 error document."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bleepstore.errors import BleepStoreError, ObjectDamaged, S3Error, StoreReadOnly
from bleepstore_server.exchange import Exchange
from bleepstore_server.layers.authorize import READ_ONLY
from bleepstore_server.layers.denied import explain_denied
from bleepstore_server.layers.limits import drain
from bleepstore_server.layers.proxies import Proxies
from bleepstore_server.request import UNPARSED
from bleepstore_server.response import Headers, ObjectBody, Response
from bleepstore_server.wire.documents.errors import error_document
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.refusals import translate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

_log = logging.getLogger("bleepstore.server")

REASONS = {
    200: "OK", 204: "No Content", 206: "Partial Content", 201: "Created", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
    411: "Length Required", 412: "Precondition Failed", 416: "Range Not Satisfiable", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 507: "Insufficient Storage",
}  # fmt: skip


def _of(exchange: Exchange) -> dict[str, str]:
    """What a log of a request has beside its message."""
    return {"request_id": exchange.request_id}


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


def send(exchange: Exchange, response: Response, start_response: StartResponse) -> list[bytes] | ObjectBody:
    """Begin the answer; what is returned is its body."""
    environ, request_id, body = exchange.environ, exchange.request_id, response.body
    headers = response.headers
    headers += (("x-amz-request-id", request_id), ("x-amz-id-2", request_id))
    exchange.status = response.status
    length = len(body) if isinstance(body, bytes) else body.length
    if response.status not in (204, 304):
        headers.append(("Content-Length", str(length if response.length is None else response.length)))
    start_response(f"{response.status} {REASONS.get(response.status, 'Unknown')}", headers)
    if isinstance(body, bytes):
        return [body] if body and environ["REQUEST_METHOD"] != "HEAD" else []
    return ObjectBody(body, length, environ.get("bleepstore.abort"))
