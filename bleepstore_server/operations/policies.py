"""Operations on the policies of buckets."""

from __future__ import annotations

from bleepstore.errors import MalformedPolicy
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.configuration import PolicyStatus


def put_bucket_policy(exchange: Exchange) -> Response:
    body = exchange.document()
    try:
        policy = body.decode()
    except UnicodeDecodeError:
        raise MalformedPolicy("This policy contains invalid Json") from None
    exchange.store.put_bucket_policy(exchange.bucket, policy, caller=exchange.caller)
    return Response(204)


def get_bucket_policy(exchange: Exchange) -> Response:
    policy = exchange.store.get_bucket_policy(exchange.bucket, caller=exchange.caller)
    return Response(200, [("Content-Type", "application/json")], policy.encode())


def delete_bucket_policy(exchange: Exchange) -> Response:
    """S3 answers 204 whether or not there was one."""
    exchange.store.delete_bucket_policy(exchange.bucket, caller=exchange.caller)
    return Response(204)


def get_bucket_policy_status(exchange: Exchange) -> Response:
    is_public = exchange.store.is_bucket_policy_public(exchange.bucket, caller=exchange.caller)
    return xml(PolicyStatus(is_public=is_public))
