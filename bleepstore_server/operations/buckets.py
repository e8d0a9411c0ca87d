"""Operations on buckets."""

from __future__ import annotations

from bleepstore.acl import AclRequest, CannedAcl
from bleepstore.errors import AccessDenied, BucketAlreadyOwnedByYou, NoSuchBucket, OperationAborted
from bleepstore.model import Acl, Bucket
from bleepstore_server.operations.call import Call
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
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import number
from bleepstore_server.wire.tokens import decode_token, encode_token


def list_buckets(call: Call) -> Response:
    query = call.request.query
    limit = number(query.get("max-buckets"), "max-buckets", 10_000)
    if not 1 <= limit <= 10_000:
        raise RequestError(
            "InvalidArgument",
            "Argument max-buckets must be an integer between 1 and 10000",
            fields={"ArgumentName": "max-buckets", "ArgumentValue": str(limit)},
        )
    token = query.get("continuation-token")
    after = "" if token is None else decode_token(token)
    page = call.store.list_buckets(
        prefix=query.get("prefix", ""),
        locations=_wanted_locations(call),
        after=after,
        limit=limit,
        caller=call.caller,
    )
    following = None if page.next_name is None else encode_token(page.next_name)
    found = [
        ListedBucket(name=bucket.name, created_ms=bucket.created_ms, region=_region_of(call, bucket))
        for bucket in page.buckets
    ]
    return xml(
        ListAllMyBucketsResult(
            owner=account(call.caller),
            buckets=found,
            prefix=query.get("prefix") or None,
            continuation_token=following,
        )
    )


def _wanted_locations(call: Call) -> frozenset[str] | None:
    """The locations of the buckets that a listing is limited to; None for all."""
    region = call.request.query.get("bucket-region")
    if not region:
        return None
    if not regions.is_region(region, call.config.region):
        raise RequestError(
            "InvalidArgument",
            f"Argument value {region} is not a valid AWS Region",
            fields={"ArgumentName": "bucket-region", "ArgumentValue": region},
        )
    return regions.locations_in(region, call.config.region)


def create_bucket(call: Call) -> Response:
    headers = call.request.headers
    if headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise RequestError("NotImplemented", "This store has no object lock.")
    ownership = headers.get("x-amz-object-ownership", "ObjectWriter")
    if ownership != "ObjectWriter":
        raise RequestError("NotImplemented", "Buckets of this store have the object ownership ObjectWriter.")
    if headers.get("x-amz-bucket-namespace", "global") != "global":
        raise RequestError("NotImplemented", "The buckets of this store have one namespace for all accounts.")
    body = call.document()
    location = parse(CreateBucketConfiguration, body).location_constraint if body.strip() else ""
    if location and not regions.is_location(location, call.config.region):
        raise RequestError("InvalidLocationConstraint", fields={"LocationConstraint": location[:64]})
    acl = call.acl_request()
    try:
        call.store.create_bucket(call.bucket, location=location, acl=acl, caller=call.caller)
    except BucketAlreadyOwnedByYou:
        _create_again(call, location, acl)
    return Response(headers=[("Location", f"/{call.bucket}")])


def _create_again(call: Call, location: str, acl: AclRequest | None) -> None:
    """ "For legacy compatibility, if you re-create an existing bucket that you already own in the North Virginia
    Region, Amazon S3 returns 200 OK and resets the bucket access control lists (ACLs)." """
    try:
        bucket = call.store.get_bucket(call.bucket, caller=call.caller)
        if {_region_of(call, bucket), regions.region_of(location, call.config.region)} != {regions.US_EAST_1}:
            raise BucketAlreadyOwnedByYou(call.bucket)
        call.store.put_bucket_acl(call.bucket, CannedAcl.PRIVATE if acl is None else acl, caller=call.caller)
    except NoSuchBucket:
        raise OperationAborted("The bucket was deleted meanwhile. Try again.") from None


def delete_bucket(call: Call) -> Response:
    call.store.delete_bucket(call.bucket, caller=call.caller)
    return Response(204)


def _region_of(call: Call, bucket: Bucket) -> str:
    return regions.region_of(bucket.location, call.config.region)


def head_bucket(call: Call) -> Response:
    """ "Calls to the HeadBucket operation always return the bucket's location through an HTTP response header, whether
    access to the bucket is authorized or not" (GetBucketLocation)."""
    try:
        bucket = call.store.head_bucket(call.bucket, caller=call.caller)
    except AccessDenied:
        region = _region_of(call, call.store.get_bucket(call.bucket))
        raise RequestError("AccessDenied", headers=[("x-amz-bucket-region", region)]) from None
    return Response(
        headers=[
            ("x-amz-bucket-region", _region_of(call, bucket)),
            ("x-amz-access-point-alias", "false"),
            ("Content-Type", "application/xml"),
        ],
    )


def get_bucket_location(call: Call) -> Response:
    location = call.store.get_bucket(call.bucket, caller=call.caller).location or call.config.region
    # "Buckets in Region us-east-1 have a LocationConstraint of null."
    return xml(LocationConstraint(location="" if location == regions.US_EAST_1 else location))


def get_bucket_acl(call: Call) -> Response:
    return xml(policy_of(call.store.get_bucket_acl(call.bucket, caller=call.caller), call.names()))


def put_bucket_acl(call: Call) -> Response:
    call.store.put_bucket_acl(call.bucket, requested_acl(call), caller=call.caller)
    return Response()


def get_object_acl(call: Call) -> Response:
    acl = call.store.get_object_acl(call.bucket, call.key, version_id=call.version_id, caller=call.caller)
    return xml(policy_of(acl, call.names()))


def put_object_acl(call: Call) -> Response:
    call.store.put_object_acl(
        call.bucket, call.key, requested_acl(call), version_id=call.version_id, caller=call.caller
    )
    return Response()


def requested_acl(call: Call) -> Acl | AclRequest:
    """The new ACL: in the headers or in the body, but not in both."""
    from_headers = call.acl_request()
    body = call.document()
    if body.strip():
        if from_headers is not None:
            raise RequestError("UnexpectedContent", "This request does not support content")
        return parse_acl(body, call.find_by_email, call.check_owner_id)
    if from_headers is None:
        raise RequestError("MissingSecurityHeader", fields={"MissingHeaderName": "x-amz-acl"})
    return from_headers
