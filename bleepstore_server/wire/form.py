"""Uploads by HTML form, read without knowing what they ask for ("Browser-Based Uploads Using POST").

    form = *field file *ignored

A form is read once, into one frozen view: what the policy is checked with is what is used. So a field may be there only
once, under whatever case of its name, and `${filename}` is put in before anybody looks at a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from bleepstore_server.wire.errors import RequestError

#: "The form data and boundaries (excluding the contents of the file) cannot exceed 20KB."
MAX_FIELDS = 20 * 1024
_READ = 256 * 1024
_READ_OF_FIELDS = 4 * 1024  # servers wait until they have as much as is asked for: fields need not wait for their file
_MAX_PARTS = 200
_VARIABLE = "${filename}"
_FILENAME = re.compile(r'[;\s]filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


def _frozen(fields: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(fields))


@attrs.frozen
class Form:
    """The fields before the file by their names in lower case, and the name of the file.

    Not so the Content-Type of the file's part: no policy covers it, and S3 takes that of the field alone.
    """

    fields: Mapping[str, str] = attrs.field(converter=_frozen)
    filename: str = ""


def read_form(
    read: Callable[[int], bytes], length: int | None, content_type: str | None
) -> tuple[Form, Iterator[bytes]]:
    """The form, and the bytes of its file as they come. `read(size)` gives the body, of `length` bytes if known.

    Raises RequestError, also while the file is read: what follows it is ignored, but must be well formed, and no
    second file.
    """
    events = _events(read, length, _boundary(content_type))
    fields: dict[str, str] = {}
    size = 0
    for event in events:
        if not isinstance(event, Field | File):
            continue
        name = (event.name or "").lower()
        if name == "file":
            if len(event.headers.get("content-disposition", "")) > MAX_FIELDS:
                raise RequestError("MaxPostPreDataLengthExceededError")
            filename = _filename(event)
            filled = _fill_in(fields, filename, size)
            return Form(filled, filename), _file_chunks(events)
        if name in fields:
            raise _more_than_once(name)
        value, size = _field_value(events, size + len(name))
        try:
            fields[name] = value.decode()
        except UnicodeDecodeError:
            raise RequestError("MalformedPOSTRequest", f"The field {name!r} of the form is not UTF-8.") from None
    raise _files(0)


def _more_than_once(name: str) -> RequestError:
    return RequestError(
        "InvalidArgument",
        f"The form has the field {name!r} more than once. Send each field once.",
        fields={"ArgumentName": name},
    )


def _files(count: int) -> RequestError:
    return RequestError(
        "InvalidArgument",
        "POST requires exactly one file upload per request.",
        fields={"ArgumentName": "file", "ArgumentValue": str(count)},
    )


def _boundary(content_type: str | None) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        message = "Bucket POST must be of the enclosure-type multipart/form-data"
        raise RequestError("PreconditionFailed", message)
    if not options.get("boundary"):
        raise RequestError("MalformedPOSTRequest", "A POST to a bucket must be multipart/form-data with a boundary.")
    return options["boundary"].encode("latin-1", "replace")


def _events(read: Callable[[int], bytes], left: int | None, boundary: bytes) -> Iterator[Any]:
    """The parts of the form, as werkzeug's incremental decoder sees them."""
    # The limit is on what the decoder holds at a time: a read of the file, or an endless header or preamble.
    decoder = MultipartDecoder(boundary, max_form_memory_size=_READ + MAX_FIELDS, max_parts=_MAX_PARTS)
    size = _READ_OF_FIELDS
    while True:
        try:
            event = decoder.next_event()
        except (ValueError, RequestEntityTooLarge):
            raise RequestError("MalformedPOSTRequest") from None
        if isinstance(event, NeedData):
            data = read(size if left is None else min(size, left))
            if left is not None:
                left -= len(data)
                if not data and left:
                    raise RequestError("IncompleteBody")
            try:
                decoder.receive_data(data or None)
            except RequestEntityTooLarge:
                raise RequestError("MaxPostPreDataLengthExceededError") from None
            continue
        if isinstance(event, File):
            size = _READ
        yield event
        if isinstance(event, Epilogue):
            return


def _field_value(events: Iterator[Any], size: int) -> tuple[bytes, int]:
    """The value of a field, and `size` and its own: how much the fields have come to."""
    pieces = []
    for event in events:
        if not isinstance(event, Data):
            raise RequestError("MalformedPOSTRequest")
        pieces.append(event.data)
        size += len(event.data)
        if size > MAX_FIELDS:
            raise RequestError("MaxPostPreDataLengthExceededError")
        if not event.more_data:
            break
    return b"".join(pieces), size


def _filename(part: Field | File) -> str:
    """ "If the browser or client provides a full or partial path to the file, only the text following the last slash
    (/) or backslash (\\) is used."

    It is taken from the header as sent, where a backslash of a path is not yet taken for an escape.
    """
    sent = _FILENAME.search(part.headers.get("content-disposition", ""))
    if sent is not None:
        path = sent[1].replace('\\"', '"').replace("%22", '"')
    else:
        path = part.filename if isinstance(part, File) else ""
    return re.split(r"[/\\]", path)[-1]


def _fill_in(fields: Mapping[str, str], filename: str, size: int) -> Mapping[str, str]:
    """ "The variable ${filename} is ... recognized by all form fields"; without a file name it is empty."""
    size += len(filename) * sum(value.count(_VARIABLE) for value in fields.values())
    if size > MAX_FIELDS:
        raise RequestError("MaxPostPreDataLengthExceededError")
    return {name: value.replace(_VARIABLE, filename) for name, value in fields.items()}


def _file_chunks(events: Iterator[Any]) -> Iterator[bytes]:
    for event in events:
        if not isinstance(event, Data):
            raise RequestError("MalformedPOSTRequest")
        yield bytes(event.data)
        if not event.more_data:
            break
    # "Any fields below it are ignored. You cannot upload more than one file at a time."
    for event in events:
        if isinstance(event, Field | File) and (event.name or "").lower() == "file":
            raise _files(2)
