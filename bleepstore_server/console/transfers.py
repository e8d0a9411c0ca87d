"""Bytes of objects, as files to keep and as images."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from werkzeug.exceptions import NotFound, RequestedRangeNotSatisfiable
from werkzeug.wrappers import Response

from bleepstore.errors import InvalidRange
from bleepstore.model import ByteRange
from bleepstore.preconditions import ReadCondition
from bleepstore.store import StoredObject
from bleepstore_server.console.links import presigned
from bleepstore_server.console.previews import MAX_IMAGE, image_type
from bleepstore_server.console.visit import Visit

_PIECE = 256 * 1024
_OPEN_SECONDS = 60
#: What is sent is no document of this origin, whatever the browser makes of it.
_SANDBOX = ("Content-Security-Policy", "default-src 'none'; sandbox")


def attachment(key: str) -> str:
    """Content-Disposition of a file of this name (RFC 6266, with the UTF-8 of RFC 8187)."""
    name = key.rstrip("/").rpartition("/")[2] or "object"
    name = "".join(character for character in name if character.isprintable()) or "object"
    plain = "".join(one if one.isascii() and one not in '"\\%;' else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def download(visit: Visit, bucket: str) -> Response:
    """The object as a file; a range of it, so that a browser goes on with a download that was broken off."""
    key, asked = visit.argument("key"), visit.request.range
    wanted, condition = None, None
    if asked is not None and asked.units == "bytes" and len(asked.ranges) == 1:
        first, stop = asked.ranges[0]
        wanted = ByteRange(None, -first) if first < 0 else ByteRange(first, None if stop is None else stop - 1)
        etag = visit.request.if_range.etag if visit.request.if_range is not None else None
        condition = None if etag is None else ReadCondition(if_range=etag)
    read = visit.store.head_object if visit.request.method == "HEAD" else visit.store.get_object
    try:
        found = read(bucket, key, version_id=visit.version_id, range=wanted, condition=condition, caller=visit.caller)
    except InvalidRange as error:
        raise RequestedRangeNotSatisfiable(error.actual_object_size) from None
    response = Response(
        _pieces(found), 206 if found.partial else 200, content_type="application/octet-stream", direct_passthrough=True
    )
    response.call_on_close(found.close)
    response.headers.extend(
        [
            _SANDBOX,
            ("Content-Length", str(found.stop - found.start)),
            ("Content-Disposition", attachment(key)),
            ("Accept-Ranges", "bytes"),
            ("ETag", f'"{found.etag}"'),
        ]
    )
    if found.partial:
        response.headers["Content-Range"] = f"bytes {found.start}-{found.stop - 1}/{found.size}"
    return response


def show_image(visit: Visit, bucket: str) -> Response:
    """An image of a type that can hold no script, sent as that type and nothing else."""
    found = visit.store.get_object(bucket, visit.argument("key"), version_id=visit.version_id, caller=visit.caller)
    content_type = image_type(found.version)
    if content_type is None or found.size > MAX_IMAGE:
        found.close()
        raise NotFound
    response = Response(_pieces(found), content_type=content_type, direct_passthrough=True)
    response.call_on_close(found.close)
    response.headers.extend([_SANDBOX, ("Content-Length", str(found.size))])
    return response


def open_pdf(visit: Visit, bucket: str) -> Response:
    """A PDF is opened from the address of S3: another origin than the console's, so that nothing in it comes near."""
    key, version_id = visit.argument("key"), visit.version_id
    visit.store.head_object(bucket, key, version_id=version_id, caller=visit.caller)
    if visit.endpoint is None:
        raise NotFound
    shown = {"response-content-type": "application/pdf", "response-content-disposition": "inline"}
    link = presigned(visit, bucket, key, seconds=_OPEN_SECONDS, version_id=version_id, query=shown)
    return Response(status=303, headers=[("Location", link)])


def _pieces(file: StoredObject) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
