"""Operations on the default encryption of a bucket."""

from __future__ import annotations

from bleepstore.encryption import BucketEncryption
from bleepstore.errors import NoSuchBucketEncryption
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.encryption import encryption_document, parse_encryption


def put_bucket_encryption(exchange: Exchange) -> Response:
    exchange.store.put_bucket_encryption(exchange.bucket, parse_encryption(exchange.document()), caller=exchange.caller)
    return Response()


def get_bucket_encryption(exchange: Exchange) -> Response:
    """ "By default, all buckets have a default encryption configuration that uses server-side encryption with Amazon S3
    managed keys (SSE-S3)", where the store says so of its objects."""
    try:
        found = exchange.store.get_bucket_encryption(exchange.bucket, caller=exchange.caller)
    except NoSuchBucketEncryption:
        if not exchange.unencrypted:
            raise
        found = BucketEncryption()
    return xml(encryption_document(found))


def delete_bucket_encryption(exchange: Exchange) -> Response:
    exchange.store.delete_bucket_encryption(exchange.bucket, caller=exchange.caller)
    return Response(204)
