"""Operations on the ownership controls and the public access blocks of buckets, and on who pays."""

from __future__ import annotations

from bleepstore.ownership import ObjectOwnership
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.declare import parse
from bleepstore_server.wire.documents.ownership import (
    RequestPaymentConfiguration,
    block_document,
    ownership_document,
    parse_block,
    parse_ownership,
)
from bleepstore_server.wire.errors import RequestError

_HEADER = "x-amz-object-ownership"


def put_bucket_ownership(exchange: Exchange) -> Response:
    exchange.store.put_bucket_ownership(exchange.bucket, parse_ownership(exchange.document()), caller=exchange.caller)
    return Response()


def get_bucket_ownership(exchange: Exchange) -> Response:
    return xml(ownership_document(exchange.store.get_bucket_ownership(exchange.bucket, caller=exchange.caller)))


def delete_bucket_ownership(exchange: Exchange) -> Response:
    exchange.store.delete_bucket_ownership(exchange.bucket, caller=exchange.caller)
    return Response(204)


def put_public_access_block(exchange: Exchange) -> Response:
    exchange.store.put_public_access_block(exchange.bucket, parse_block(exchange.document()), caller=exchange.caller)
    return Response()


def get_public_access_block(exchange: Exchange) -> Response:
    return xml(block_document(exchange.store.get_public_access_block(exchange.bucket, caller=exchange.caller)))


def delete_public_access_block(exchange: Exchange) -> Response:
    exchange.store.delete_public_access_block(exchange.bucket, caller=exchange.caller)
    return Response(204)


def put_request_payment(exchange: Exchange) -> Response:
    payer = parse(RequestPaymentConfiguration, exchange.document()).payer
    exchange.store.put_bucket_payer(exchange.bucket, payer, caller=exchange.caller)
    return Response()


def get_request_payment(exchange: Exchange) -> Response:
    payer = exchange.store.get_bucket_payer(exchange.bucket, caller=exchange.caller)
    return xml(RequestPaymentConfiguration(payer=payer))


def requested_ownership(exchange: Exchange) -> ObjectOwnership | None:
    """What a CreateBucket says of it."""
    value = exchange.request.headers.get(_HEADER)
    if value is None:
        return None
    try:
        return ObjectOwnership(value)
    except ValueError:
        raise RequestError(
            "InvalidArgument",
            f"Invalid {_HEADER} header: {value}",
            fields={"ArgumentName": _HEADER, "ArgumentValue": value},
        ) from None
