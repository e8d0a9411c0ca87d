"""Values as JSON, and JSON as values."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import attrs
from cattrs import Converter

from bleepstore_server.admin.rows import AdminError
from bleepstore_server.response import Response
from bleepstore_server.shapes import WrongShape, structured

_MAX_DIGITS = 19

converter = Converter()
converter.register_unstructure_hook(dt.datetime, lambda time: time.isoformat().replace("+00:00", "Z"))


def render(answer: object, status: int = 200) -> Response:
    """A value as JSON."""
    document = json.dumps(converter.unstructure(answer), indent=2).encode() + b"\n"
    return Response(status, [("Content-Type", "application/json")], document)


def parse_json(body: bytes) -> object:
    """Raises AdminError, also for a field that is given twice: each reader would take another one of them."""
    try:
        return json.loads(body or b"{}", object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise AdminError(400, "BadJson", f"The body is not JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def structure(value: object, shape: type | None, what: str) -> Any:
    """A value of a shape, None if there is no shape. In a query numbers are texts. Raises AdminError, which names the
    fields."""
    if shape is None:
        if value:
            raise AdminError(400, "UnknownParameter", f"This path takes no {what}.")
        return None
    if what == "query" and isinstance(value, dict):
        numbers = {field.name for field in attrs.fields(attrs.resolve_types(shape)) if field.type is int}
        value = {name: _number(text) if name in numbers else text for name, text in value.items()}
    try:
        return structured(value, shape)
    except WrongShape as error:
        raise AdminError(400, "BadShape", f"The {what}: {error}.") from None


def _number(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else text
