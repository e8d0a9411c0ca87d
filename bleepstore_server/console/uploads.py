"""Uploads from the browser: small files in one request, others in parts that can be sent again."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator
from typing import Any

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from bleepstore.errors import IncompleteBody
from bleepstore.model import MAX_PARTS, CompletedPart
from bleepstore_server.console.answers import json_answer
from bleepstore_server.console.visit import MAX_FORM, Visit

#: Files of up to so many bytes are sent whole, others in parts of so many, or of more if they would be too many.
SINGLE_PUT = 8 * 1024 * 1024
_PAGE = 100
_PIECE = 256 * 1024
_MAX_TYPE = 200


def _body(visit: Visit) -> Iterator[bytes]:
    """The bytes as they come. A browser says how many there are."""
    left = visit.request.content_length
    if left is None:
        raise BadRequest("A file comes with its length.")
    while left and (piece := visit.request.stream.read(min(_PIECE, left))):
        left -= len(piece)
        yield piece


def _type_of(visit: Visit, key: str) -> str:
    """What the browser says of the file, or its name."""
    given = visit.argument("type")
    if given and len(given) <= _MAX_TYPE and given.isascii() and given.isprintable():
        return given
    return mimetypes.guess_type(key, strict=False)[0] or "application/octet-stream"


def put_object(visit: Visit, bucket: str) -> Response:
    key = visit.argument("key")
    version = visit.store.put_object(
        bucket,
        key,
        _body(visit),
        size=visit.request.content_length or 0,
        content_type=_type_of(visit, key),
        caller=visit.caller,
    )
    return json_answer({"etag": version.etag}, 201)


def begin_upload(visit: Visit, bucket: str) -> Response:
    key = visit.argument("key")
    upload = visit.store.create_upload(bucket, key, content_type=_type_of(visit, key), caller=visit.caller)
    return json_answer({"upload_id": upload.upload_id}, 201)


def list_parts(visit: Visit, bucket: str, upload_id: str) -> Response:
    """What was sent already: a page that is opened again goes on after it."""
    key = visit.argument("key")
    after: int | None = 0
    parts: list[Any] = []
    while after is not None and len(parts) < MAX_PARTS:
        page = visit.store.list_parts(bucket, key, upload_id, after=after, caller=visit.caller)
        parts += [{"number": part.number, "size": part.size, "etag": part.etag} for part in page.parts]
        after = page.next_number
    return json_answer({"parts": parts})


def put_part(visit: Visit, bucket: str, upload_id: str, number: int) -> Response:
    part = visit.store.put_part(
        bucket,
        visit.argument("key"),
        upload_id,
        number,
        _body(visit),
        size=visit.request.content_length or 0,
        caller=visit.caller,
    )
    return json_answer({"number": part.number, "etag": part.etag, "size": part.size}, 201)


def complete_upload(visit: Visit, bucket: str, upload_id: str) -> Response:
    version = visit.store.complete_upload(
        bucket, visit.argument("key"), upload_id, _completed_parts(visit), caller=visit.caller
    )
    return json_answer({"etag": version.etag})


def _completed_parts(visit: Visit) -> list[CompletedPart]:
    """The list that the browser sends: {"number": 1, "etag": "..."} of each part."""
    length = visit.request.content_length or 0
    if length > MAX_FORM:
        raise BadRequest("The list of parts is too long.")
    data = visit.request.stream.read(length)
    if len(data) < length:
        raise IncompleteBody
    try:
        listed = json.loads(data)
    except (ValueError, RecursionError):
        raise BadRequest("The list of parts is no JSON.") from None
    is_list = isinstance(listed, list) and all(isinstance(part, dict) for part in listed)
    if not is_list or not all(type(part.get("number")) is int and isinstance(part.get("etag"), str) for part in listed):
        raise BadRequest("The list of parts has numbers and ETags.")
    return [CompletedPart(number=part["number"], etag=part["etag"]) for part in listed]


def cancel_upload(visit: Visit, bucket: str, upload_id: str) -> Response:
    visit.store.abort_upload(bucket, visit.argument("key"), upload_id, caller=visit.caller)
    return Response(status=204)


def show_uploads(visit: Visit, bucket: str) -> Response:
    """What was begun and not finished."""
    found = visit.store.list_uploads(
        bucket,
        after_key=visit.argument("after"),
        after_upload_id=visit.argument("after_upload"),
        limit=_PAGE,
        caller=visit.caller,
    )
    return visit.page(
        "uploads.html",
        bucket=bucket,
        uploads=found.uploads,
        next_key=found.next_key,
        next_upload=found.next_upload_id,
        after=visit.argument("after"),
    )


def abort_upload(visit: Visit, bucket: str) -> Response:
    visit.store.abort_upload(bucket, visit.field("key"), visit.field("upload"), caller=visit.caller)
    return visit.go("buckets", bucket, "uploads", done="upload_aborted")
