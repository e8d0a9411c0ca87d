"""Operations on tags."""

from __future__ import annotations

from bleepstore.access import Action
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.tagging import parse_tagging, tagging_of
from bleepstore_server.wire.headers import version_headers


def get_object_tagging(exchange: Exchange) -> Response:
    version = exchange.store.tags.find_tagged(exchange.bucket, exchange.key, exchange.version_id, exchange.caller)
    response = xml(tagging_of(version.tags))
    response.headers.extend(version_headers(version))
    return response


def put_object_tagging(exchange: Exchange) -> Response:
    version = exchange.store.put_object_tags(
        exchange.bucket,
        exchange.key,
        parse_tagging(exchange.document()),
        version_id=exchange.version_id,
        caller=exchange.caller,
    )
    return Response(headers=version_headers(version))


def delete_object_tagging(exchange: Exchange) -> Response:
    version = exchange.store.delete_object_tags(
        exchange.bucket, exchange.key, version_id=exchange.version_id, caller=exchange.caller
    )
    return Response(204, version_headers(version))


def may_count_tags(exchange: Exchange) -> bool:
    """The count is returned "only if you have the relevant permission to read object tags"."""
    return exchange.allows(Action.GET_OBJECT_TAGGING)


def get_bucket_tagging(exchange: Exchange) -> Response:
    return xml(tagging_of(exchange.store.get_bucket_tags(exchange.bucket, caller=exchange.caller)))


def put_bucket_tagging(exchange: Exchange) -> Response:
    exchange.store.put_bucket_tags(exchange.bucket, parse_tagging(exchange.document()), caller=exchange.caller)
    return Response(204)


def delete_bucket_tagging(exchange: Exchange) -> Response:
    exchange.store.delete_bucket_tags(exchange.bucket, caller=exchange.caller)
    return Response(204)
