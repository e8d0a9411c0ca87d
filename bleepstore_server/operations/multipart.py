"""Operations on multipart uploads."""

from __future__ import annotations

from bleepstore.model import MAX_PAGE, Checksum
from bleepstore_server.exchange import Exchange, body_options
from bleepstore_server.operations.listings import encoding_type, marker_of
from bleepstore_server.operations.objects import location_of
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import headers as h
from bleepstore_server.wire import xml_parse, xml_render
from bleepstore_server.wire.errors import RequestError


def create_multipart_upload(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers, exchange.encryption)
    if "x-amz-checksum-type" in request.headers and not request.headers.get("x-amz-checksum-algorithm"):
        raise RequestError(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    upload = exchange.store.create_upload(
        exchange.bucket,
        exchange.key,
        attributes=h.request_attributes(request),
        acl=exchange.acl_request(),
        checksum_algorithm=h.chosen_algorithm(request.headers),
        checksum_type=h.checksum_type(request.headers.get("x-amz-checksum-type")),
        caller=exchange.caller,
    )
    key = xml_render.element("Key", exchange.key)
    content = f"<Bucket>{exchange.bucket}</Bucket>{key}<UploadId>{upload.upload_id}</UploadId>"
    response = xml(xml_render.document("InitiateMultipartUploadResult", content))
    response.headers.extend(exchange.encryption_headers())
    if upload.checksum_algorithm is not None and upload.checksum_type is not None:
        response.headers.append(("x-amz-checksum-algorithm", upload.checksum_algorithm.value))
        response.headers.append(("x-amz-checksum-type", upload.checksum_type.value))
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
    h.refuse_unsupported(request.headers)
    part = exchange.store.put_part(
        exchange.bucket,
        exchange.key,
        request.query["uploadId"],
        _part_number(exchange),
        **body_options(request),
        caller=exchange.caller,
    )
    return Response(
        headers=[("ETag", f'"{part.etag}"'), *exchange.encryption_headers(), *h.checksum_headers(part.checksum)[:1]]
    )


def upload_part_copy(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers)
    source = h.copy_source(request.headers["x-amz-copy-source"])
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
        caller=exchange.caller,
    )
    content = (
        f"<LastModified>{xml_render.iso_time(part.modified_ms)}</LastModified><ETag>&quot;{part.etag}&quot;</ETag>"
        f"{xml_render.checksum_elements(part.checksum, with_type=False)}"
    )
    response = xml(xml_render.document("CopyPartResult", content))
    response.headers.extend(exchange.encryption_headers())
    return response


def complete_multipart_upload(exchange: Exchange) -> Response:
    request = exchange.request
    h.refuse_unsupported(request.headers)
    parts = xml_parse.complete(exchange.document(checksum_is_its_own=False))
    size = request.headers.get("x-amz-mp-object-size")
    version = exchange.store.complete_upload(
        exchange.bucket,
        exchange.key,
        request.query["uploadId"],
        parts,
        checksum=_total_checksum(exchange),
        checksum_type=h.checksum_type(request.headers.get("x-amz-checksum-type")),
        object_size=None if size is None else _object_size(size),
        condition=h.write_condition(request.headers),
        caller=exchange.caller,
    )
    content = (
        f"{xml_render.element('Location', location_of(exchange, version))}<Bucket>{exchange.bucket}</Bucket>"
        f"{xml_render.element('Key', exchange.key)}<ETag>&quot;{version.etag}&quot;</ETag>"
        f"{xml_render.checksum_elements(version.checksum, version.parts_count)}"
    )
    response = xml(xml_render.document("CompleteMultipartUploadResult", content))
    response.headers.extend(exchange.encryption_headers())
    return response


def _object_size(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise RequestError("InvalidRequest", f"Value for x-amz-mp-object-size header is invalid: '{text}'")
    return int(text)


def _total_checksum(exchange: Exchange) -> Checksum | None:
    """The checksum of the whole object; a composite one may come with its number of parts."""
    found = exchange.request.checksum()
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
    page = exchange.store.list_uploads(
        exchange.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        after_key=key_marker,
        after_upload_id=upload_id_marker,
        limit=limit,
        caller=exchange.caller,
    )
    return xml(
        xml_render.uploads(
            exchange.bucket,
            page,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            key_marker=key_marker,
            upload_id_marker=upload_id_marker,
            limit=limit,
            encoding=encoding,
        )
    )


def list_parts(exchange: Exchange) -> Response:
    query = exchange.request.query
    after = h.number(query.get("part-number-marker"), "part-number-marker", 0)
    limit = h.number(query.get("max-parts"), "max-parts", MAX_PAGE, MAX_PAGE)
    page = exchange.store.list_parts(
        exchange.bucket, exchange.key, query["uploadId"], after=after, limit=limit, caller=exchange.caller
    )
    return xml(xml_render.parts(exchange.bucket, exchange.key, page, after=after, limit=limit))
