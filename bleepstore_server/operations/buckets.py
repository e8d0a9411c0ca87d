"""Operations on buckets."""

from __future__ import annotations

from bleepstore.acl import AclRequest
from bleepstore.model import Acl, Bucket
from bleepstore_server.operations.call import Call
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import xml_parse, xml_render
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import number
from bleepstore_server.wire.tokens import decode_token, encode_token


def list_buckets(call: Call) -> Response:
    query = call.request.query
    limit = number(query.get("max-buckets"), "max-buckets", 10_000)
    if not 1 <= limit <= 10_000:
        raise RequestError("InvalidArgument", "max-buckets must be between 1 and 10000.")
    token = query.get("continuation-token")
    after = "" if token is None else decode_token(token)
    page = call.store.list_buckets(prefix=query.get("prefix", ""), after=after, limit=limit, caller=call.caller)
    following = None if page.next_name is None else encode_token(page.next_name)
    region = query.get("bucket-region")
    found = [bucket for bucket in page.buckets if region in (None, _region_of(call, bucket))]
    return xml(xml_render.buckets(found, call.caller, query.get("prefix", ""), following))


def create_bucket(call: Call) -> Response:
    headers = call.request.headers
    if headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise RequestError("NotImplemented", "This store has no object lock.")
    ownership = headers.get("x-amz-object-ownership", "ObjectWriter")
    if ownership != "ObjectWriter":
        raise RequestError("NotImplemented", "Buckets of this store have the object ownership ObjectWriter.")
    location = xml_parse.location_constraint(call.document())
    acl = call.acl_request()
    call.store.create_bucket(call.bucket, location=location, acl=acl, caller=call.caller)
    return Response(headers=[("Location", f"/{call.bucket}")])


def delete_bucket(call: Call) -> Response:
    call.store.delete_bucket(call.bucket, caller=call.caller)
    return Response(204)


def _region_of(call: Call, bucket: Bucket) -> str:
    return bucket.location or call.config.region


def head_bucket(call: Call) -> Response:
    bucket = call.store.head_bucket(call.bucket, caller=call.caller)
    return Response(
        headers=[
            ("x-amz-bucket-region", _region_of(call, bucket)),
            ("x-amz-access-point-alias", "false"),
            ("Content-Type", "application/xml"),
        ],
    )


def get_bucket_location(call: Call) -> Response:
    location = call.store.get_bucket(call.bucket, caller=call.caller).location
    # "Buckets in Region us-east-1 have a LocationConstraint of null."
    return xml(
        xml_render.document("LocationConstraint", "" if location == "us-east-1" else xml_render.escape(location))
    )


def get_bucket_acl(call: Call) -> Response:
    return xml(xml_render.acl(call.store.get_bucket_acl(call.bucket, caller=call.caller), call.names()))


def put_bucket_acl(call: Call) -> Response:
    call.store.put_bucket_acl(call.bucket, requested_acl(call), caller=call.caller)
    return Response()


def get_object_acl(call: Call) -> Response:
    acl = call.store.get_object_acl(call.bucket, call.key, version_id=call.version_id, caller=call.caller)
    return xml(xml_render.acl(acl, call.names()))


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
            raise RequestError("UnexpectedContent", "This request does not support content", status=400)
        return xml_parse.access_control_policy(body, call.find_by_email, call.check_owner_id)
    if from_headers is None:
        raise RequestError("MissingSecurityHeader", "Your request was missing a required header: x-amz-acl")
    return from_headers
