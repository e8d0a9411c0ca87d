"""Websites of buckets: what a browser sees at `http://BUCKET.WEBSITE-DOMAIN/`.

GET and HEAD of objects that everybody may read, by the rules of the bucket's website configuration
(`bleepstore.website`). Nothing is signed, parameters of the query are ignored, and whatever goes wrong is a page of
HTML ("Website endpoints").
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bleepstore.access import Action
from bleepstore.configurations import ConfigurationKind
from bleepstore.errors import NoSuchWebsite, S3Error
from bleepstore.website import Website, encode_key, encode_reference, parse_website
from bleepstore_server.exchange import Exchange, Request, parse_request
from bleepstore_server.layers.authenticate import identify
from bleepstore_server.layers.render import note_refusal, refusal_headers
from bleepstore_server.operations import objects
from bleepstore_server.response import REASONS, Headers, Response
from bleepstore_server.wire.documents.text import encode_url
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import is_field_value

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_METHODS = ("GET", "HEAD")
_REDIRECT = "x-amz-website-redirect-location"
#: What a folder without its slash may be refused with.
_NOT_FOUND = (403, 404)


class Websites:
    """The websites below `domains`."""

    def __init__(self, domains: Sequence[str]) -> None:
        self._domains = domains
        self._endings = tuple(f".{domain}" for domain in domains)

    def is_asked_for(self, environ: WSGIEnvironment) -> bool:
        """Whether a request is for a website, by its host."""
        host: str = environ.get("HTTP_HOST", "")
        return host.rsplit(":", 1)[0].lower().endswith(self._endings)

    def respond(self, exchange: Exchange) -> Response:
        """The answer, whatever it is."""
        try:
            return self._respond(exchange)
        except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a page
            return _page(exchange, [(error, note_refusal(exchange, error))])

    def _respond(self, exchange: Exchange) -> Response:
        request = exchange.request = self._parse(exchange.environ)
        exchange.operation, exchange.action = f"WEBSITE.{request.method}.OBJECT", Action.GET_OBJECT
        exchange.bucket, exchange.key = request.bucket or "", request.key or ""
        identify(exchange, None, exchange.store.wall_time_ms())
        if request.method not in _METHODS:
            raise RequestError(
                "MethodNotAllowed",
                fields={"Method": request.method, "ResourceType": "OBJECT"},
                headers=[("Allow", ", ".join(_METHODS))],
            )
        return _show(exchange, _website_of(exchange), request)

    def _parse(self, environ: WSGIEnvironment) -> Request:
        """The request without its query."""
        shortened = {**environ, "QUERY_STRING": ""}
        for name in ("RAW_URI", "REQUEST_URI"):
            if name in environ:
                shortened[name] = environ[name].partition("?")[0]
        return parse_request(shortened, self._domains)


def _website_of(exchange: Exchange) -> Website:
    """Raises NoSuchBucket, NoSuchWebsite."""
    configurations = exchange.store.get_bucket(exchange.bucket).settings.configurations or {}
    document = configurations.get(ConfigurationKind.WEBSITE, {}).get("")
    if document is None:
        raise NoSuchWebsite(exchange.bucket)
    return parse_website(document)


def _show(exchange: Exchange, website: Website, request: Request) -> Response:
    key = exchange.key
    redirect = website.redirect(key)
    if redirect is not None:
        return _redirect(exchange, redirect.status, redirect.location(request.scheme, request.host))
    exchange.key = website.index_key(key)
    try:
        return _read(exchange)
    except (S3Error, RequestError) as error:
        failure = error, note_refusal(exchange, error)
    status = failure[1].status
    if status in _NOT_FOUND and exchange.key == key and _exists(exchange, website.index_key(f"{key}/")):
        # "the website endpoint first looks for the object ... If it is not found, searches for an index document", and
        # "returns a 302 Found message and points to" the folder.
        return _redirect(exchange, 302, f"/{encode_key(key)}/")
    redirect = website.redirect(key, status)
    if redirect is not None:
        return _redirect(exchange, redirect.status, redirect.location(request.scheme, request.host))
    if website.error_key is None or not 400 <= status < 500:  # "for only the HTTP 4XX class of error codes"
        return _page(exchange, [failure])
    return _show_error_document(exchange, website.error_key, failure)


def _read(exchange: Exchange) -> Response:
    """The object of the exchange, or where it says that it is found."""
    operation = objects.head_object if exchange.request.method == "HEAD" else objects.get_object
    response = operation(exchange)
    for name, location in response.headers:
        if name == _REDIRECT:
            if not isinstance(response.body, bytes):
                response.body.close()
            return _redirect(exchange, 301, encode_reference(location.encode("latin-1")))
    return response


def _exists(exchange: Exchange, key: str) -> bool:
    try:
        exchange.store.head_object(exchange.bucket, key, caller=exchange.caller)
    except S3Error:
        return False
    return True


def _show_error_document(exchange: Exchange, key: str, failure: tuple[Exception, RequestError]) -> Response:
    """The error document, whole, with the status of the error."""
    error, refused = failure
    asked, headers = exchange.key, exchange.request.headers
    exchange.key, exchange.request.headers = key, {"host": exchange.request.host}
    try:
        response = _read(exchange)
    except (S3Error, RequestError) as missing:
        page = _page(exchange, [failure, (missing, note_refusal(exchange, missing))])
        exchange.error_code = refused.code
        return page
    finally:
        exchange.key, exchange.request.headers = asked, headers
    if response.status == 200:
        response.status = refused.status
        response.headers += refusal_headers(exchange, error, refused)
    return response


def _redirect(exchange: Exchange, status: int, location: str) -> Response:
    exchange.error_code = None
    return Response(status, [("Location", location)])


def _page(exchange: Exchange, failures: Sequence[tuple[Exception, RequestError]]) -> Response:
    """What S3 shows of an error, and of a second one: there is no error document."""
    error, refused = failures[0]
    title = f"{refused.status} {REASONS.get(refused.status, refused.code)}"
    lines = [f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>", *_facts(refused, exchange)]
    for _, second in failures[1:]:
        lines.append("<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>")
        lines += _facts(second)
    lines.append("<hr/>\n</body>\n</html>\n")
    headers: Headers = [("Content-Type", "text/html; charset=utf-8"), ("x-amz-error-code", refused.code)]
    if refused.message.isascii() and is_field_value(refused.message):
        headers.append(("x-amz-error-message", refused.message))
    for name, value in _shown(refused):
        headers.append((f"x-amz-error-detail-{name}", encode_url(value)))
    headers += refusal_headers(exchange, error, refused)
    return Response(refused.status, headers, "\n".join(lines).encode())


def _shown(refused: RequestError) -> list[tuple[str, str]]:
    """The facts of an error whose names can be parts of a header's name."""
    return [(name, value) for name, value in refused.fields.items() if name.replace("-", "").isalnum()]


def _facts(refused: RequestError, exchange: Exchange | None = None) -> list[str]:
    facts = [("Code", refused.code), ("Message", refused.message), *_shown(refused)]
    if exchange is not None:
        facts += [("RequestId", exchange.request_id), ("HostId", exchange.request_id)]
    return ["<ul>", *(f"<li>{name}: {html.escape(value)}</li>" for name, value in facts), "</ul>"]
