"""Operations on the default encryption of a bucket, and on that of an object."""

from __future__ import annotations

from bleepstore.encryption import BucketEncryption
from bleepstore.errors import NoSuchBucketEncryption
from bleepstore_server.conditions import signature_version
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.encryption import (
    encryption_document,
    parse_encryption,
    parse_object_encryption,
)
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import ALGORITHM

_NEEDS_VERSION_4 = (
    "Requests that modify an object encryption configuration require AWS Signature Version 4. "
    "Modify the request to use AWS Signature Version 4, and then try again."
)


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


def update_object_encryption(exchange: Exchange) -> Response:
    if signature_version(exchange.request) != ALGORITHM:
        raise RequestError("InvalidRequest", _NEEDS_VERSION_4)
    exchange.store.update_object_encryption(
        exchange.bucket,
        exchange.key,
        parse_object_encryption(exchange.document()),
        version_id=exchange.version_id,
        caller=exchange.caller,
    )
    return Response()
