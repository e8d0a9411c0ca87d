"""Uploads by HTML form: POST to a bucket with multipart/form-data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import attrs
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from bleepstore.acl import AclRequest
from bleepstore.digests import Algorithm
from bleepstore.errors import EntityTooLarge
from bleepstore.model import ANONYMOUS, MAX_SINGLE_PUT, STANDARD, Checksum, ObjectVersion, SystemMetadata
from bleepstore.store.engine import STORAGE_CLASSES
from bleepstore_server.operations.call import Call
from bleepstore_server.operations.objects import location_of
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import headers as h
from bleepstore_server.wire import post_policy, xml_render
from bleepstore_server.wire.errors import RequestError

_MAX_FIELDS = 20 * 1024  # "The form data and boundaries (excluding the contents of the file) cannot exceed 20KB."
_READ = 256 * 1024

_SYSTEM_FIELDS = {
    "content-type": "content_type",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "content-disposition": "content_disposition",
    "cache-control": "cache_control",
    "expires": "expires",
    "x-amz-website-redirect-location": "website_redirect_location",
}


@attrs.define
class _Form:
    """The fields up to the file, and then the file's bytes as they come."""

    fields: list[tuple[str, str]]
    filename: str
    content_type: str | None
    chunks: Iterator[bytes]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name), None)


def _malformed() -> RequestError:
    return RequestError("MalformedPOSTRequest")


def _events(call: Call, boundary: bytes) -> Iterator[Any]:
    """The parts of the form, as werkzeug's incremental decoder sees them."""
    # The limit is on what the decoder holds at a time: a read of the file, or an endless header or preamble.
    decoder = MultipartDecoder(boundary, max_form_memory_size=_READ + _MAX_FIELDS, max_parts=200)
    read = call.request.read_body
    left = call.request.content_length
    while True:
        try:
            event = decoder.next_event()
        except (ValueError, RequestEntityTooLarge):
            raise _malformed() from None
        if isinstance(event, NeedData):
            data = read(_READ if left is None else min(_READ, left))
            if left is not None:
                left -= len(data)
                if not data and left:
                    raise RequestError("IncompleteBody")
            try:
                decoder.receive_data(data or None)
            except RequestEntityTooLarge:
                raise RequestError("MaxPostPreDataLengthExceededError") from None
            continue
        yield event
        if isinstance(event, Epilogue):
            return


def _read_form(call: Call) -> _Form:
    kind, options = parse_options_header(call.request.headers.get("content-type"))
    if kind != "multipart/form-data" or not options.get("boundary"):
        if kind != "multipart/form-data":
            message = "Bucket POST must be of the enclosure-type multipart/form-data"
            raise RequestError("PreconditionFailed", message, status=412)
        raise RequestError("MalformedPOSTRequest", "A POST to a bucket must be multipart/form-data with a boundary.")
    events = _events(call, options["boundary"].encode("latin-1", "replace"))
    fields: list[tuple[str, str]] = []
    size = 0
    for event in events:
        match event:
            case File(name="file") as file:
                content_type = file.headers.get("content-type")
                return _Form(fields, file.filename or "", content_type, _file_chunks(events))
            case Field() | File():
                value, size = _field_value(events, size)
                if (event.name or "").lower() == "file":
                    return _Form(fields, "", None, iter([value]))
                fields.append((event.name or "", value.decode("utf-8", "replace")))
            case _:
                pass
    raise RequestError("InvalidArgument", "POST requires exactly one file upload per request.")


def _field_value(events: Iterator[Any], size: int) -> tuple[bytes, int]:
    pieces = []
    for event in events:
        if not isinstance(event, Data):
            raise _malformed()
        pieces.append(event.data)
        size += len(event.data)
        if size > _MAX_FIELDS:
            raise RequestError("MaxPostPreDataLengthExceededError")
        if not event.more_data:
            break
    return b"".join(pieces), size


def _file_chunks(events: Iterator[Any]) -> Iterator[bytes]:
    for event in events:
        if not isinstance(event, Data):
            raise _malformed()
        yield bytes(event.data)
        if not event.more_data:
            break
    for _ in events:  # what follows the file is ignored, but must be well formed
        pass


def _bounded(chunks: Iterator[bytes], least: int, most: int | None) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if most is not None and size > most:
            raise EntityTooLarge(size, most)
        yield chunk
    if size < least:
        raise RequestError("EntityTooSmall", fields={"ProposedSize": str(size), "MinSizeAllowed": str(least)})


def _checksum(form: _Form) -> Checksum | None:
    for algorithm in Algorithm:
        value = form.get(f"x-amz-checksum-{algorithm.value.lower()}")
        if value:
            return Checksum(algorithm, value)
    return None


def _acl(form: _Form, call: Call) -> AclRequest | None:
    fields = {name.lower(): value for name, value in form.fields if name.lower().startswith("x-amz-grant-")}
    canned = form.get("acl") or form.get("x-amz-acl")
    if canned:
        fields["x-amz-acl"] = canned
    return h.acl_request(fields, call.find_by_email, call.check_owner_id)


def post_object(call: Call) -> Response:
    call.store.get_bucket(call.bucket)  # what is wrong with a form for a bucket that does not exist is no matter
    form = _read_form(call)
    names = {name.lower(): value for name, value in form.fields}
    h.refuse_unsupported(names)
    if "key" not in names:
        raise RequestError("InvalidArgument", "Bucket POST must contain a field named 'key'.")
    now = call.store.wall_time_ms() // 1000
    granted = post_policy.verify_form(form.fields, call.bucket, call.find_credential, now)
    least, most = (0, MAX_SINGLE_PUT) if granted is None else (granted.min_length, granted.max_length)
    # A header's signature does not count here: the form speaks for itself.
    caller = ANONYMOUS if granted is None else granted.secret.owner
    storage_class = names.get("x-amz-storage-class", STANDARD)
    if storage_class not in STORAGE_CLASSES:
        raise RequestError("InvalidStorageClass")
    system = {field: names[name] for name, field in _SYSTEM_FIELDS.items() if names.get(name)}
    if form.content_type and "content_type" not in system:
        system["content_type"] = form.content_type
    version = call.store.put_object(
        call.bucket,
        names["key"].replace("${filename}", form.filename),
        _bounded(form.chunks, least, most),
        system=SystemMetadata(**system),
        metadata={name[len(h.META) :]: value for name, value in names.items() if name.startswith(h.META)},
        storage_class=storage_class,
        acl=_acl(form, call),
        content_md5=names.get("content-md5"),
        checksum=_checksum(form),
        caller=caller,
    )
    return _answer(call, form, version)


def _answer(call: Call, form: _Form, version: ObjectVersion) -> Response:
    """ "success_action_redirect", else "success_action_status" of 200, 201 or 204 (the default)."""
    location = location_of(call, version)
    headers = [("ETag", f'"{version.etag}"'), ("Location", location)]
    redirect = form.get("success_action_redirect") or form.get("redirect")
    if redirect and urlsplit(redirect).scheme in ("http", "https") and redirect.isprintable() and redirect.isascii():
        facts = urlencode({"bucket": version.bucket, "key": version.key, "etag": f'"{version.etag}"'})
        target = redirect + ("&" if "?" in redirect else "?") + facts
        return Response(303, [("ETag", f'"{version.etag}"'), ("Location", target)])
    match form.get("success_action_status"):
        case "200":
            return Response(200, headers)
        case "201":
            content = (
                f"{xml_render.element('Location', location)}<Bucket>{version.bucket}</Bucket>"
                f"{xml_render.element('Key', version.key)}<ETag>&quot;{version.etag}&quot;</ETag>"
            )
            answer = xml(xml_render.document("PostResponse", content, namespace=False), 201)
            answer.headers.extend(headers)
            return answer
        case _:
            return Response(204, headers)
