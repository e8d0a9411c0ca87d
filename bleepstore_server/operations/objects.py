"""Operations on objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from bleepstore.cleanup import on_error
from bleepstore.errors import NotModified
from bleepstore.model import MAX_PAGE, NO_ATTRIBUTES, Checksum, ChecksumType, DeletedObject, ObjectVersion, PartSummary
from bleepstore.store import DeleteFailure, StoredObject
from bleepstore.store.reading import WHOLE_SIZE
from bleepstore_server.exchange import Exchange
from bleepstore_server.operations.object_lock import check_digest, lock_headers
from bleepstore_server.operations.tagging import may_count_tags
from bleepstore_server.response import Headers, Response, xml
from bleepstore_server.wire import bodies
from bleepstore_server.wire import headers as h
from bleepstore_server.wire.dates import http_date
from bleepstore_server.wire.documents.common import checksum_element, checksum_type
from bleepstore_server.wire.documents.declare import parse
from bleepstore_server.wire.documents.objects import (
    CopyObjectResult,
    Delete,
    Deleted,
    DeleteError,
    DeleteResult,
    GetObjectAttributesResponse,
    ObjectChecksum,
    ObjectPart,
    ObjectParts,
)
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.expiry import expiration_header
from bleepstore_server.wire.object_lock import bypasses_governance
from bleepstore_server.wire.refusals import translate
from bleepstore_server.wire.sigv4 import is_field_value

_OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}


def put_object(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, h.NEW_OBJECT)
    attributes, condition = h.object_attributes(request.headers), h.write_condition(request.headers)
    acl = h.acl_request(request.headers, exchange)
    options = request.body_options()
    if options["content_md5"] is None and options["checksum"] is None and options["late_checksum"] is None:
        check_digest(exchange, "Put Object", attributes)
    version = exchange.store.put_object(
        exchange.bucket,
        exchange.key,
        **options,
        attributes=attributes,
        acl=acl,
        encryption=exchange.asked_encryption(request.headers),
        condition=condition,
        caller=exchange.caller,
    )
    exchange.object_size = version.size
    headers = [
        ("ETag", f'"{version.etag}"'),
        *exchange.encryption_headers(version.attributes.encryption, with_context=True),
        *h.checksum_headers(version.checksum),
    ]
    if version.is_versioned:
        headers += h.version_headers(version)
    if version.expiry is not None:
        headers.append(expiration_header(version.expiry))
    return Response(headers=headers)


def _part_number(exchange: Exchange) -> int | None:
    request = exchange.request
    if "partNumber" not in request.query:
        return None
    if "range" in request.headers:
        raise RequestError("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return h.part_number(request.query["partNumber"])


def _read_options(exchange: Exchange) -> dict[str, Any]:
    """What a request says of the object that it reads, as options of get_object and head_object."""
    request = exchange.request
    options: dict[str, Any] = {"caller": exchange.caller}
    if request.query:
        options |= {"version_id": exchange.version_id, "part_number": _part_number(exchange)}
    if not h.OF_READS.isdisjoint(request.headers):
        options |= {
            "range": h.byte_range(request.headers.get("range")),
            "condition": h.read_condition(request.headers),
            "customer_key": exchange.customer_key(),
        }
    return options


def _overrides(exchange: Exchange, found: Headers) -> Headers:
    """Apply the response-* parameters. "You must sign the request ... when using these parameters." """
    given = {name: value for name, value in exchange.request.query.items() if name.startswith("response-")}
    if not given:
        return found
    if exchange.caller.is_anonymous:
        raise RequestError(
            "InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests."
        )
    headers = dict(_override(name, value) for name, value in given.items())
    return [(name, value) for name, value in found if name not in headers] + list(headers.items())


def _override(name: str, value: str) -> tuple[str, str]:
    """The header that a parameter asks for."""
    if name not in _OVERRIDES:
        raise RequestError(
            "InvalidArgument",
            f"{name} is not in the set of overridable response headers. Please refer to the S3 API documentation for a "
            "complete list of overridable response headers.",
            fields={"ArgumentName": name, "ArgumentValue": value},
        )
    if any(c > "\xff" for c in value):
        raise RequestError(
            "InvalidArgument",
            "Header value cannot be represented using ISO-8859-1.",
            fields={"ArgumentName": name, "ArgumentValue": value},
        )
    if not is_field_value(value):
        raise h.unfit_value(name, value)
    return _OVERRIDES[name], value


def _unchanged(exchange: Exchange, error: NotModified) -> Response:
    headers = _overrides(exchange, h.unchanged_headers(error))
    return Response(304, [(name, value) for name, value in headers if h.belongs_in_304(name)])


def _describe(exchange: Exchange, stored: StoredObject) -> Response:
    """The answer to a GET, but for its body."""
    version, request = stored.version, exchange.request
    exchange.object_size = version.size
    headers = h.object_headers(version, exchange.encryption_headers(version.attributes.encryption))
    if version.attributes is not NO_ATTRIBUTES:
        headers += _more_headers(exchange, version)
    if version.expiry is not None:
        headers.append(expiration_header(version.expiry))
    if request.query:
        headers = _overrides(exchange, headers)
    status = 200
    if stored.partial:
        status = 206
        headers.append(("Content-Range", f"bytes {stored.start}-{stored.stop - 1}/{version.size}"))
        if version.size == 0:
            status = 200
            headers.pop()
    if stored.part is not None and version.parts_count is not None:
        headers.append(("x-amz-mp-parts-count", str(version.parts_count)))
    if "x-amz-checksum-mode" in request.headers and request.headers["x-amz-checksum-mode"].upper() == "ENABLED":
        headers += h.checksum_headers(*_checksum_of_body(stored))
    return Response(status, headers)


def _more_headers(exchange: Exchange, version: ObjectVersion) -> Headers:
    """What a GET tells of tags, locks, archives and copies, where there are any."""
    attributes = version.attributes
    headers: Headers = []
    if attributes.tags and may_count_tags(exchange):
        headers.append(("x-amz-tagging-count", str(len(attributes.tags))))
    if attributes.retention is not None or attributes.legal_hold is not None:
        headers += lock_headers(exchange, version)
    if attributes.restoration is not None:
        headers += h.restore_header(attributes.restoration, exchange.store.engine.clock())
    if attributes.replication is not None:
        headers.append(("x-amz-replication-status", attributes.replication.status.value))
    return headers


def _checksum_of_body(stored: StoredObject) -> tuple[Checksum | None, int | None]:
    """The checksum of what the body holds, and of how many parts: of the whole object or, of those that have their own,
    of one part."""
    version, part = stored.version, stored.part
    checksum = version.checksum
    if checksum is None or checksum.type != ChecksumType.COMPOSITE or part is None or part.checksum is None:
        is_whole = not stored.partial or stored.length == version.size
        return (checksum, version.parts_count) if is_whole else (None, None)
    return attrs.evolve(checksum, value=part.checksum), None


def get_object(exchange: Exchange) -> Response:
    try:
        stored = exchange.store.get_object(exchange.bucket, exchange.key, **_read_options(exchange))
    except NotModified as error:
        return _unchanged(exchange, error)
    with on_error(stored.close):
        response = _describe(exchange, stored)
        response.body = stored if stored.length > WHOLE_SIZE else stored.read()
    return response


def head_object(exchange: Exchange) -> Response:
    try:
        stored = exchange.store.head_object(exchange.bucket, exchange.key, **_read_options(exchange))
    except NotModified as error:
        return _unchanged(exchange, error)
    response = _describe(exchange, stored)
    response.length = stored.length
    return response


def delete_object(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers)
    deleted = exchange.store.delete_object(
        exchange.bucket,
        exchange.key,
        version_id=exchange.version_id,
        bypass_governance=bypasses_governance(request.headers),
        condition=h.write_condition(request.headers, delete=True),
        caller=exchange.caller,
    )
    response = Response(204)
    if deleted.is_delete_marker:
        response.headers.append(("x-amz-delete-marker", "true"))
    version_id = deleted.version_id or deleted.delete_marker_id
    if version_id is not None:
        response.headers.append(("x-amz-version-id", version_id))
    return response


def delete_objects(exchange: Exchange) -> Response:
    request = exchange.request
    has_md5 = "content-md5" in request.headers
    if not (has_md5 or bodies.sent_checksum(request.headers) or request.trailer_names):
        raise RequestError("InvalidRequest", "Missing required header for this request: Content-MD5")
    asked = parse(Delete, exchange.document())
    entries = [identifier.entry() for identifier in asked.objects]
    outcomes = exchange.store.delete_objects(
        exchange.bucket, entries, bypass_governance=bypasses_governance(request.headers), caller=exchange.caller
    )
    exchange.deleted = outcomes
    deleted = () if asked.quiet else [_deleted(outcome) for outcome in outcomes if isinstance(outcome, DeletedObject)]
    errors = [_delete_error(outcome) for outcome in outcomes if isinstance(outcome, DeleteFailure)]
    return xml(DeleteResult(deleted=deleted, errors=errors))


def _deleted(outcome: DeletedObject) -> Deleted:
    return Deleted(
        key=outcome.key,
        version_id=outcome.version_id,
        delete_marker=True if outcome.is_delete_marker else None,
        delete_marker_id=outcome.delete_marker_id,
    )


def _delete_error(outcome: DeleteFailure) -> DeleteError:
    message = translate(outcome.error).message
    return DeleteError(key=outcome.key, version_id=outcome.version_id, code=outcome.error.code, message=message)


def copy_object(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, h.COPIED_OBJECT)
    source = exchange.source = h.copy_source(request.headers["x-amz-copy-source"])
    exchange.check_source_owner(source)
    version = exchange.store.copy_object(
        source.bucket,
        source.key,
        exchange.bucket,
        exchange.key,
        source_version_id=source.version_id,
        source_condition=h.read_condition(request.headers, "x-amz-copy-source-"),
        replace_metadata=h.directive(request.headers, "metadata"),
        replace_tags=h.directive(request.headers, "tagging"),
        attributes=h.object_attributes(request.headers),
        # One that is named is a change, be it the same: STANDARD is what the copy gets if none is.
        storage_class=h.storage_class(request.headers) if request.headers.get("x-amz-storage-class") else None,
        acl=h.acl_request(request.headers, exchange),
        checksum_algorithm=h.chosen_algorithm(request.headers),
        encryption=exchange.asked_encryption(request.headers),
        source_customer_key=exchange.source_customer_key(),
        condition=h.write_condition(request.headers),
        caller=exchange.caller,
    )
    exchange.object_size = version.size
    response = xml(
        CopyObjectResult(
            modified_ms=version.modified_ms,
            etag=version.etag,
            checksum=checksum_element(version.checksum, version.parts_count),
            checksum_type=checksum_type(version.checksum),
        )
    )
    response.headers.extend(exchange.encryption_headers(version.encryption, with_context=True))
    response.headers.extend(h.version_headers(version))
    if version.expiry is not None:
        response.headers.append(expiration_header(version.expiry))
    return response


_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


def _max_parts(text: str) -> int:
    """S3 ignores here what is no number."""
    return min(int(text), MAX_PAGE) if text.isascii() and text.isdigit() and len(text) < 10 else MAX_PAGE


def get_object_attributes(exchange: Exchange) -> Response:
    request = exchange.request
    wanted = {item.strip() for item in request.headers.get("x-amz-object-attributes", "").split(",") if item.strip()}
    if not wanted:
        raise RequestError(
            "InvalidRequest",
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        )
    if not wanted <= _ATTRIBUTES:
        raise RequestError(
            "InvalidArgument",
            "Invalid attribute name specified.",
            fields={
                "ArgumentName": "x-amz-object-attributes",
                "ArgumentValue": request.headers["x-amz-object-attributes"],
            },
        )
    after = h.number(request.headers.get("x-amz-part-number-marker"), "part-number-marker", 0)
    limit = _max_parts(request.headers.get("x-amz-max-parts", ""))
    version, parts, following = exchange.store.list_object_parts(
        exchange.bucket,
        exchange.key,
        version_id=exchange.version_id,
        after=after,
        limit=limit,
        customer_key=exchange.customer_key(),
        caller=exchange.caller,
    )
    checksum = object_parts = None
    if "Checksum" in wanted and version.checksum is not None:
        # The value without the number of parts: ObjectParts has that.
        kind = checksum_type(version.checksum)
        checksum = ObjectChecksum(checksum=checksum_element(version.checksum), checksum_type=kind)
    if "ObjectParts" in wanted and version.parts_count is not None:
        object_parts = _object_parts(version, parts, after, limit, following)
    response = xml(
        GetObjectAttributesResponse(
            etag=version.etag if "ETag" in wanted else None,
            checksum=checksum,
            object_parts=object_parts,
            storage_class=version.storage_class if "StorageClass" in wanted else None,
            object_size=version.size if "ObjectSize" in wanted else None,
        )
    )
    response.headers.append(("Last-Modified", http_date(version.modified_ms // 1000)))
    response.headers.extend(h.version_headers(version))
    return response


def _object_parts(
    version: ObjectVersion, page: Sequence[PartSummary], after: int, limit: int, following: int | None
) -> ObjectParts:
    """A page of the parts if each has a checksum, else their number."""
    total, checksum = version.parts_count or 0, version.checksum
    if checksum is None or checksum.type is not ChecksumType.COMPOSITE:
        return ObjectParts(parts_count=total)
    name = f"Checksum{checksum.algorithm}"
    return ObjectParts(
        parts_count=total,
        part_number_marker=after,
        next_part_number_marker=page[-1].number if page else 0,
        max_parts=limit,
        is_truncated=following is not None,
        parts=[
            ObjectPart(number=part.number, size=part.size, checksum=(name, part.checksum) if part.checksum else None)
            for part in page
        ],
    )
