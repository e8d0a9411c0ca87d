"""Operations on the rules of buckets for cross-origin requests. `layers.cors` answers these requests."""

from __future__ import annotations

from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.cors import cors_document, parse_cors


def put_bucket_cors(exchange: Exchange) -> Response:
    rules = parse_cors(exchange.document(needs_digest=True))
    exchange.store.put_bucket_cors(exchange.bucket, rules, caller=exchange.caller)
    return Response()


def get_bucket_cors(exchange: Exchange) -> Response:
    return xml(cors_document(exchange.store.get_bucket_cors(exchange.bucket, caller=exchange.caller)))


def delete_bucket_cors(exchange: Exchange) -> Response:
    """S3 answers 204 whether or not there were rules."""
    exchange.store.delete_bucket_cors(exchange.bucket, caller=exchange.caller)
    return Response(204)
