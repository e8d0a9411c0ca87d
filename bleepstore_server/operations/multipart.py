"""Operations on multipart uploads."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore.model import MAX_PAGE, NO_ATTRIBUTES, Checksum, Part, Upload
from bleepstore.pages import UploadPage
from bleepstore_server.exchange import Exchange
from bleepstore_server.operations.listings import encoding_type, marker_of
from bleepstore_server.operations.object_lock import check_digest
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import bodies
from bleepstore_server.wire import headers as h
from bleepstore_server.wire.documents.common import account, checksum_element, checksum_type
from bleepstore_server.wire.documents.declare import parse
from bleepstore_server.wire.documents.listings import common_prefixes
from bleepstore_server.wire.documents.text import encoder
from bleepstore_server.wire.documents.uploads import (
    CompleteMultipartUpload,
    CompleteMultipartUploadResult,
    CopyPartResult,
    InitiateMultipartUploadResult,
    ListedPart,
    ListedUpload,
    ListMultipartUploadsResult,
    ListPartsResult,
)
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.expiry import abort_headers, expiration_header


def create_multipart_upload(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, h.NEW_OBJECT)
    if "x-amz-checksum-type" in request.headers and not request.headers.get("x-amz-checksum-algorithm"):
        raise RequestError(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    upload = exchange.store.create_upload(
        exchange.bucket,
        exchange.key,
        attributes=h.object_attributes(request.headers),
        acl=h.acl_request(request.headers, exchange),
        checksum_algorithm=h.chosen_algorithm(request.headers),
        checksum_type=h.checksum_type(request.headers.get("x-amz-checksum-type")),
        encryption=exchange.asked_encryption(request.headers),
        caller=exchange.caller,
    )
    response = xml(InitiateMultipartUploadResult(bucket=exchange.bucket, key=exchange.key, upload_id=upload.upload_id))
    response.headers.extend(exchange.encryption_headers(upload.encryption, with_context=True))
    if upload.checksum_algorithm is not None and upload.checksum_type is not None:
        response.headers.append(("x-amz-checksum-algorithm", upload.checksum_algorithm.value))
        response.headers.append(("x-amz-checksum-type", upload.checksum_type.value))
    response.headers.extend(abort_headers(upload.expiry))
    return response


def _part_number(exchange: Exchange) -> int:
    text = exchange.request.query.get("partNumber")
    if text is None:
        raise RequestError(
            "MethodNotAllowed",
            fields={"Method": exchange.request.method, "ResourceType": "UPLOAD"},
            headers=[("Allow", "DELETE, GET, POST")],
        )
    return h.part_number(text)


def upload_part(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, h.NEW_PART)
    options = request.body_options()
    if options["content_md5"] is None and options["checksum"] is None and options["late_checksum"] is None:
        check_digest(exchange, "Put Part", NO_ATTRIBUTES)
    part = exchange.store.put_part(
        exchange.bucket,
        exchange.key,
        request.query["uploadId"],
        _part_number(exchange),
        **options,
        customer_key=exchange.customer_key(),
        caller=exchange.caller,
    )
    encrypted = exchange.encryption_headers(part.encryption)
    return Response(headers=[("ETag", f'"{part.etag}"'), *encrypted, *h.checksum_headers(part.checksum)[:1]])


def upload_part_copy(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, h.COPIED_PART)
    source = exchange.source = h.copy_source(request.headers["x-amz-copy-source"])
    exchange.check_source_owner(source)
    part = exchange.store.copy_part(
        source.bucket,
        source.key,
        exchange.bucket,
        exchange.key,
        request.query["uploadId"],
        _part_number(exchange),
        source_version_id=source.version_id,
        source_range=h.copy_source_range(request.headers.get("x-amz-copy-source-range")),
        source_condition=h.read_condition(request.headers, "x-amz-copy-source-"),
        customer_key=exchange.customer_key(),
        source_customer_key=exchange.source_customer_key(),
        caller=exchange.caller,
    )
    response = xml(
        CopyPartResult(modified_ms=part.modified_ms, etag=part.etag, checksum=checksum_element(part.checksum))
    )
    response.headers.extend(exchange.encryption_headers(part.encryption))
    response.headers.extend(h.source_headers(part.source_version_id))
    return response


def complete_multipart_upload(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, h.NEW_PART)
    listed = parse(CompleteMultipartUpload, exchange.document(checksum_is_its_own=False))
    size = request.headers.get("x-amz-mp-object-size")
    version = exchange.store.complete_upload(
        exchange.bucket,
        exchange.key,
        request.query["uploadId"],
        [element.part() for element in listed.parts],
        checksum=_total_checksum(exchange),
        checksum_type=h.checksum_type(request.headers.get("x-amz-checksum-type")),
        object_size=None if size is None else _object_size(size),
        customer_key=exchange.customer_key(),
        condition=h.write_condition(request.headers),
        caller=exchange.caller,
    )
    response = xml(
        CompleteMultipartUploadResult(
            location=exchange.url_of(version.key),
            bucket=exchange.bucket,
            key=exchange.key,
            etag=version.etag,
            checksum=checksum_element(version.checksum, version.parts_count),
            checksum_type=checksum_type(version.checksum),
        )
    )
    response.headers.extend(exchange.encryption_headers(version.attributes.encryption))
    response.headers.extend(h.version_headers(version))
    if version.expiry is not None:
        response.headers.append(expiration_header(version.expiry))
    return response


def _object_size(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise RequestError("InvalidRequest", f"Value for x-amz-mp-object-size header is invalid: '{text}'")
    return int(text)


def _total_checksum(exchange: Exchange) -> Checksum | None:
    """The checksum of the whole object; a composite one may come with its number of parts."""
    found = bodies.sent_checksum(exchange.request.headers)
    if found is None:
        return None
    return Checksum(found.algorithm, found.value.partition("-")[0], found.type)


def abort_multipart_upload(exchange: Exchange) -> Response:
    h.refuse_unsupported(exchange.request.headers)
    exchange.store.abort_upload(
        exchange.bucket, exchange.key, exchange.request.query["uploadId"], caller=exchange.caller
    )
    return Response(204)


def list_multipart_uploads(exchange: Exchange) -> Response:
    query = exchange.request.query
    limit = h.number(query.get("max-uploads"), "max-uploads", MAX_PAGE, MAX_PAGE)
    encoding = encoding_type(exchange)
    key_marker = marker_of(exchange, "key-marker") or ""
    # "If key-marker is not specified, the upload-id-marker parameter is ignored."
    upload_id_marker = query.get("upload-id-marker", "") if key_marker else ""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    page = exchange.store.list_uploads(
        exchange.bucket,
        prefix=prefix,
        delimiter=delimiter,
        after_key=key_marker,
        after_upload_id=upload_id_marker,
        limit=limit,
        caller=exchange.caller,
    )
    encode = encoder(encoding)
    next_key, next_upload_id = _last_upload(page)
    return xml(
        ListMultipartUploadsResult(
            bucket=exchange.bucket,
            key_marker=encode(key_marker),
            upload_id_marker=upload_id_marker,
            next_key_marker=None if next_key is None else encode(next_key),
            next_upload_id_marker=next_upload_id,
            prefix=encode(prefix) if prefix else None,
            delimiter=encode(delimiter) if delimiter else None,
            max_uploads=limit,
            encoding_type=encoding,
            is_truncated=page.next_key is not None,
            uploads=[_listed_upload(upload, encode) for upload in page.uploads],
            common_prefixes=common_prefixes(page.common_prefixes, encode),
        )
    )


def _last_upload(page: UploadPage) -> tuple[str | None, str | None]:
    """(key, upload id) of the last entry. S3 names it also on the last page, where nothing follows it."""
    if page.next_key is not None:
        return page.next_key, page.next_upload_id
    entries = [(upload.key, upload.upload_id) for upload in page.uploads[-1:]]
    return max(entries + [(prefix, None) for prefix in page.common_prefixes[-1:]], default=(None, None))


def _listed_upload(upload: Upload, encode: Callable[[str], str]) -> ListedUpload:
    return ListedUpload(
        key=encode(upload.key),
        upload_id=upload.upload_id,
        initiator=account(upload.initiator),
        owner=account(upload.owner),
        storage_class=upload.storage_class,
        initiated_ms=upload.initiated_ms,
        checksum_algorithm=upload.checksum_algorithm,
        checksum_type=upload.checksum_type,
    )


def list_parts(exchange: Exchange) -> Response:
    query = exchange.request.query
    after = h.number(query.get("part-number-marker"), "part-number-marker", 0)
    limit = h.number(query.get("max-parts"), "max-parts", MAX_PAGE, MAX_PAGE)
    page = exchange.store.list_parts(
        exchange.bucket, exchange.key, query["uploadId"], after=after, limit=limit, caller=exchange.caller
    )
    upload = page.upload
    response = xml(
        ListPartsResult(
            bucket=exchange.bucket,
            key=exchange.key,
            upload_id=upload.upload_id,
            initiator=account(upload.initiator),
            owner=account(upload.owner),
            storage_class=upload.storage_class,
            part_number_marker=after,
            # S3 has it also where nothing follows: the last number of the page, or 0.
            next_part_number_marker=page.parts[-1].number if page.parts else 0,
            max_parts=limit,
            is_truncated=page.next_number is not None,
            checksum_algorithm=upload.checksum_algorithm,
            checksum_type=upload.checksum_type,
            parts=[_listed_part(part, upload) for part in page.parts],
        )
    )
    response.headers.extend(abort_headers(upload.expiry))
    return response


def _listed_part(part: Part, upload: Upload) -> ListedPart:
    checksum = checksum_element(part.checksum) if upload.checksum_algorithm else None
    return ListedPart(
        number=part.number, modified_ms=part.modified_ms, etag=part.etag, size=part.size, checksum=checksum
    )
