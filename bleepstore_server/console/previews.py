"""What is shown of an object in its page. An object is never sent as a document of the console's own origin: text is
escaped text, a table is cells of text, and images are of types that can hold no script."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from bleepstore.errors import BleepStoreError, S3Error
from bleepstore.model import ByteRange, ObjectVersion
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.refusals import translate

#: Of a text or a table; what is longer is cut.
MAX_TEXT = 256 * 1024
#: Of JSON that is shown with indents, in characters.
MAX_JSON = 2 * MAX_TEXT
MAX_IMAGE = 32 * 1024 * 1024
MAX_ROWS, MAX_COLUMNS, MAX_CELL = 200, 50, 500
#: Raster images: what browsers decode, and run nothing of. SVG is a document.
IMAGES: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
}
_SEPARATORS = {"csv": ",", "tsv": "\t"}
_TABLE_TYPES = {"text/csv": "csv", "text/tab-separated-values": "tsv", "application/json": "json"}


@attrs.frozen(kw_only=True)
class Preview:
    """`kind` is "image", "text", "table", "pdf", "none", or "refused" with the `reason`."""

    kind: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    is_cut: bool = False
    reason: str = ""


def extension_of(key: str) -> str:
    return key.rpartition("/")[2].rpartition(".")[2].lower()


def image_type(version: ObjectVersion) -> str | None:
    """The type that an image is shown as: what it says it is or, if it says nothing, what its name says."""
    declared = (version.content_type or "").partition(";")[0].strip().lower()
    if declared in IMAGES.values():
        return declared
    if declared in ("", "binary/octet-stream", "application/octet-stream"):
        return IMAGES.get(extension_of(version.key))
    return None


def preview_of(visit: Visit, version: ObjectVersion, version_id: str | None) -> Preview:
    if version.size == 0:
        return Preview(kind="none")
    if image_type(version) is not None:
        return Preview(kind="image" if version.size <= MAX_IMAGE else "none")
    declared = (version.content_type or "").partition(";")[0].strip().lower()
    if declared == "application/pdf" or extension_of(version.key) == "pdf":
        return Preview(kind="pdf")
    try:
        with visit.store.get_object(
            version.bucket,
            version.key,
            version_id=version_id,
            range=ByteRange(0, MAX_TEXT - 1),
            caller=visit.caller,
        ) as found:
            data = found.read()
    except S3Error as error:
        return Preview(kind="refused", reason=translate(error).message)
    except BleepStoreError:
        return Preview(kind="refused", reason=visit.pages.texts["object"]["damaged"])
    is_cut = len(data) < version.size
    text = _text_of(data, is_cut)
    if text is None:
        return Preview(kind="none")
    kind = _TABLE_TYPES.get(declared, extension_of(version.key))
    return (_table(kind, text, is_cut) if kind in (*_SEPARATORS, "json") else None) or Preview(
        kind="text", text=text, is_cut=is_cut
    )


def _text_of(data: bytes, is_cut: bool) -> str | None:
    """UTF-8 without control characters that no text has; None: it is something else."""
    if b"\0" in data:
        return None
    for left_off in range(4 if is_cut else 1):  # a cut may go through a character
        try:
            return data[: len(data) - left_off].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
    return None


def _table(kind: str, text: str, is_cut: bool) -> Preview | None:
    if kind == "json":
        return None if is_cut else _json(text)
    if is_cut:
        text = text[: text.rfind("\n") + 1] or text
    try:
        lines = []
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=_SEPARATORS[kind]):
            lines.append([cell[:MAX_CELL] for cell in line[:MAX_COLUMNS]])
            is_cut = is_cut or len(line) > MAX_COLUMNS
            if len(lines) > MAX_ROWS + 1:
                is_cut = True
                break
    except csv.Error:
        return None
    if len(lines) < 2:
        return None
    return Preview(kind="table", header=lines[0], rows=lines[1 : MAX_ROWS + 1], is_cut=is_cut)


def _json(text: str) -> Preview | None:
    """A list of objects is a table; anything else is shown with indents."""
    try:
        value = json.loads(text)
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return _json_table(value)
        return _indented_json(value)
    except (ValueError, RecursionError):
        return None


def _indented_json(value: Any) -> Preview:
    """As far as it goes: what is nested deeply has a thousand times the bytes with its indents."""
    pieces, size = list[str](), 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_JSON:
            break
    return Preview(kind="text", text="".join(pieces)[:MAX_JSON], is_cut=size > MAX_JSON)


def _json_table(rows: Sequence[Mapping[str, Any]]) -> Preview:
    names = list(dict.fromkeys(name for row in rows[:MAX_ROWS] for name in row))
    header = names[:MAX_COLUMNS]
    return Preview(
        kind="table",
        header=[name[:MAX_CELL] for name in header],
        rows=[[_cell(row.get(name)) for name in header] for row in rows[:MAX_ROWS]],
        is_cut=len(rows) > MAX_ROWS or len(names) > MAX_COLUMNS,
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:MAX_CELL]
