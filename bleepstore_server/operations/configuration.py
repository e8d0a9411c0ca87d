"""Reads of a bucket's configuration: nothing is configured here, and S3 has a proper way to say so for each."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.errors import RequestError

Operation = Callable[[Exchange], Response]


def absent(code: str) -> Operation:
    """An operation that answers 404 with `code` for a bucket that exists."""

    def operation(exchange: Exchange) -> Response:
        exchange.check_access()
        raise RequestError(code, fields={"BucketName": exchange.bucket})

    return operation


def constant(document: object) -> Operation:
    """An operation that answers with always the same document for a bucket that exists."""

    def operation(exchange: Exchange) -> Response:
        exchange.check_access()
        return xml(document)

    return operation


def none_of(empty: object) -> Operation:
    """An operation on configurations with ids: the document of an empty list, or 404 for the one with a given id."""

    def operation(exchange: Exchange) -> Response:
        exchange.check_access()
        if "id" in exchange.request.query:
            raise RequestError("NoSuchConfiguration")
        return xml(empty)

    return operation


def nothing_to_delete(exchange: Exchange) -> Response:
    """S3 answers 204 whether or not there was a configuration; here there never is one."""
    exchange.check_access()
    return Response(204)
