"""Operations on buckets."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore.access import AclRequest, CannedAcl
from bleepstore.acl_rules import is_enforced
from bleepstore.errors import BucketAlreadyOwnedByYou, NoSuchBucket, OperationAborted
from bleepstore.model import Acl, Bucket
from bleepstore_server.exchange import Exchange
from bleepstore_server.operations.ownership import requested_ownership
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import regions
from bleepstore_server.wire.documents.acl import parse_acl, policy_of
from bleepstore_server.wire.documents.buckets import (
    CreateBucketConfiguration,
    ListAllMyBucketsResult,
    ListedBucket,
    LocationConstraint,
)
from bleepstore_server.wire.documents.common import account
from bleepstore_server.wire.documents.declare import parse
from bleepstore_server.wire.documents.tagging import tags_in
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import acl_request, number
from bleepstore_server.wire.tokens import decode_token, encode_token


def list_buckets(exchange: Exchange) -> Response:
    query = exchange.request.query
    limit = number(query.get("max-buckets"), "max-buckets", 10_000)
    if not 1 <= limit <= 10_000:
        raise RequestError(
            "InvalidArgument",
            "Argument max-buckets must be an integer between 1 and 10000",
            fields={"ArgumentName": "max-buckets", "ArgumentValue": str(limit)},
        )
    token = query.get("continuation-token")
    after = "" if token is None else decode_token(token)
    page = exchange.store.list_buckets(
        prefix=query.get("prefix", ""),
        locations=_wanted_locations(exchange),
        after=after,
        limit=limit,
        caller=exchange.caller,
    )
    following = None if page.next_name is None else encode_token(page.next_name)
    found = [
        ListedBucket(
            name=bucket.name,
            created_ms=bucket.created_ms,
            region=_region_of(exchange, bucket),
            arn=_arn_of(bucket.name),
        )
        for bucket in page.buckets
    ]
    return xml(
        ListAllMyBucketsResult(
            owner=account(exchange.caller.account),
            buckets=found,
            prefix=query.get("prefix") or None,
            continuation_token=following,
        )
    )


def _wanted_locations(exchange: Exchange) -> frozenset[str] | None:
    """The locations of the buckets that a listing is limited to; None for all."""
    region = exchange.request.query.get("bucket-region")
    if not region:
        return None
    if not regions.is_region(region, exchange.config.region):
        raise RequestError(
            "InvalidArgument",
            f"Argument value {region} is not a valid AWS Region",
            fields={"ArgumentName": "bucket-region", "ArgumentValue": region},
        )
    return regions.locations_in(region, exchange.config.region)


def create_bucket(exchange: Exchange) -> Response:
    headers = exchange.request.headers
    if headers.get("x-amz-bucket-namespace", "global") != "global":
        raise RequestError("NotImplemented", "The buckets of this store have one namespace for all accounts.")
    body = exchange.document()
    asked = parse(CreateBucketConfiguration, body) if body.strip() else CreateBucketConfiguration()
    location, tags = asked.location_constraint or "", tags_in(asked.tags)
    if asked.location_constraint is not None and not regions.is_location(location, exchange.config.region):
        raise RequestError("InvalidLocationConstraint", fields={"LocationConstraint": location[:64]})
    acl, ownership = acl_request(headers, exchange), requested_ownership(exchange)
    object_lock = headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true"
    try:
        exchange.store.create_bucket(
            exchange.bucket,
            location=location,
            acl=acl,
            object_lock=object_lock,
            ownership=ownership,
            tags=tags,
            caller=exchange.caller,
        )
    except BucketAlreadyOwnedByYou:
        _create_again(exchange, location, acl, tags, object_lock)
    return Response(
        headers=[("Location", _location_of(exchange, location)), ("x-amz-bucket-arn", _arn_of(exchange.bucket))]
    )


def _location_of(exchange: Exchange, location: str) -> str:
    """ "A forward slash followed by the name of the bucket for [...] buckets created in us-east-1. For [those] created
    in other Amazon Web Services Regions, the Location field is the global endpoint URL." """
    if regions.region_of(location, exchange.config.region) == regions.US_EAST_1:
        return f"/{exchange.bucket}"
    return exchange.url_of("")


def _create_again(
    exchange: Exchange, location: str, acl: AclRequest | None, tags: Mapping[str, str], object_lock: bool
) -> None:
    """ "For legacy compatibility, if you re-create an existing bucket that you already own in the North Virginia
    Region, Amazon S3 returns 200 OK and resets the bucket access control lists (ACLs)." """
    try:
        bucket = exchange.store.get_bucket(exchange.bucket, caller=exchange.caller)
        if (object_lock and bucket.settings.object_lock is None) or (tags and bucket.settings.tags != tags):
            raise BucketAlreadyOwnedByYou(exchange.bucket)  # it would not have what is asked for
        if {_region_of(exchange, bucket), regions.region_of(location, exchange.config.region)} != {regions.US_EAST_1}:
            raise BucketAlreadyOwnedByYou(exchange.bucket)
        if acl in (None, CannedAcl.PRIVATE) and is_enforced(bucket.settings):
            return  # there is nothing to reset
        exchange.store.put_bucket_acl(
            exchange.bucket, CannedAcl.PRIVATE if acl is None else acl, caller=exchange.caller
        )
    except NoSuchBucket:
        raise OperationAborted("The bucket was deleted meanwhile. Try again.") from None


def delete_bucket(exchange: Exchange) -> Response:
    exchange.store.delete_bucket(exchange.bucket, caller=exchange.caller)
    return Response(204)


def _region_of(exchange: Exchange, bucket: Bucket) -> str:
    return regions.region_of(bucket.location, exchange.config.region)


def _arn_of(bucket: str) -> str:
    """S3 tells it of all buckets, though its reference says "only for directory buckets" (localstack pull request
    13824)."""
    return f"arn:aws:s3:::{bucket}"


def head_bucket(exchange: Exchange) -> Response:
    bucket = exchange.store.head_bucket(exchange.bucket, caller=exchange.caller)
    return Response(
        headers=[
            ("x-amz-bucket-region", _region_of(exchange, bucket)),
            ("x-amz-bucket-arn", _arn_of(bucket.name)),
            ("x-amz-access-point-alias", "false"),
            ("Content-Type", "application/xml"),
        ],
    )


def get_bucket_location(exchange: Exchange) -> Response:
    location = exchange.store.get_bucket(exchange.bucket, caller=exchange.caller).location or exchange.config.region
    # "Buckets in Region us-east-1 have a LocationConstraint of null."
    return xml(LocationConstraint(location="" if location == regions.US_EAST_1 else location))


def get_bucket_acl(exchange: Exchange) -> Response:
    return xml(
        policy_of(exchange.store.get_bucket_acl(exchange.bucket, caller=exchange.caller), exchange.store.display_name)
    )


def put_bucket_acl(exchange: Exchange) -> Response:
    exchange.store.put_bucket_acl(exchange.bucket, requested_acl(exchange), caller=exchange.caller)
    return Response()


def get_object_acl(exchange: Exchange) -> Response:
    acl = exchange.store.get_object_acl(
        exchange.bucket, exchange.key, version_id=exchange.version_id, caller=exchange.caller
    )
    return xml(policy_of(acl, exchange.store.display_name))


def put_object_acl(exchange: Exchange) -> Response:
    exchange.store.put_object_acl(
        exchange.bucket, exchange.key, requested_acl(exchange), version_id=exchange.version_id, caller=exchange.caller
    )
    return Response()


def requested_acl(exchange: Exchange) -> Acl | AclRequest:
    """The new ACL: in the headers or in the body, but not in both."""
    from_headers = acl_request(exchange.request.headers, exchange)
    body = exchange.document()
    if body.strip():
        if from_headers is not None:
            raise RequestError("UnexpectedContent", "This request does not support content")
        return parse_acl(body, exchange.find_by_email, exchange.check_owner_id)
    if from_headers is None:
        raise RequestError("MissingSecurityHeader", fields={"MissingHeaderName": "x-amz-acl"})
    return from_headers
