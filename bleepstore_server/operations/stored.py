"""Operations on configurations that are stored as they are given: one of each for all kinds."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore.configurations import KINDS_WITH_IDS, ConfigurationKind
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response
from bleepstore_server.wire.documents.stored import parse_configuration, render_configuration, render_page
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.tokens import decode_token, encode_token

Operation = Callable[[Exchange], Response]

#: Kinds whose documents come with a digest. The SDKs send one with more of them (logging, websites); s3cmd has never
#: done that.
_WITH_DIGEST = frozenset({ConfigurationKind.REPLICATION})
_SKIP = "x-amz-skip-destination-validation"


def put(kind: ConfigurationKind) -> Operation:
    def operation(exchange: Exchange) -> Response:
        document = parse_configuration(kind, exchange.document(needs_digest=kind in _WITH_DIGEST))
        if kind in KINDS_WITH_IDS and document.get("Id", "") != _id_of(exchange, kind):
            raise _wrong_id(exchange)
        exchange.store.put_bucket_configuration(
            exchange.bucket,
            kind,
            document,
            skip_destination_validation=exchange.request.headers.get(_SKIP, "").lower() == "true",
            caller=exchange.caller,
        )
        return Response()

    return operation


def get(kind: ConfigurationKind) -> Operation:
    """Without an id all configurations of a kind that has them are listed, a page at a time."""

    def operation(exchange: Exchange) -> Response:
        if kind in KINDS_WITH_IDS and "id" not in exchange.request.query:
            return _list(exchange, kind)
        document = exchange.store.get_bucket_configuration(
            exchange.bucket, kind, _id_of(exchange, kind), caller=exchange.caller
        )
        return _answer(render_configuration(kind, document))

    return operation


def delete(kind: ConfigurationKind) -> Operation:
    def operation(exchange: Exchange) -> Response:
        exchange.store.delete_bucket_configuration(
            exchange.bucket, kind, _id_of(exchange, kind), caller=exchange.caller
        )
        return Response(204)

    return operation


def _list(exchange: Exchange, kind: ConfigurationKind) -> Response:
    token = exchange.request.query.get("continuation-token")
    page = exchange.store.list_bucket_configurations(
        exchange.bucket, kind, after="" if not token else decode_token(token), caller=exchange.caller
    )
    following = None if page.next_id is None else encode_token(page.next_id)
    return _answer(render_page(kind, page.configurations, token, following))


def _id_of(exchange: Exchange, kind: ConfigurationKind) -> str | None:
    """The id in the query, of a kind that has them."""
    return exchange.request.query.get("id", "") if kind in KINDS_WITH_IDS else None


def _wrong_id(exchange: Exchange) -> RequestError:
    return RequestError(
        "InvalidArgument",
        "The Id of the configuration is not that of the request.",
        fields={"ArgumentName": "id", "ArgumentValue": exchange.request.query.get("id", "")},
    )


def _answer(body: bytes) -> Response:
    return Response(200, [("Content-Type", "application/xml")], body)
