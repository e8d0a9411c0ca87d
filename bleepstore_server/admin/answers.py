"""Values as JSON, and JSON as values."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import attrs
from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError

from bleepstore_server.admin.rows import AdminError
from bleepstore_server.response import Response

converter = Converter(forbid_extra_keys=True)
converter.register_unstructure_hook(dt.datetime, lambda time: time.isoformat().replace("+00:00", "Z"))


def render(answer: object, status: int = 200) -> Response:
    """A value as JSON."""
    document = json.dumps(converter.unstructure(answer), indent=2).encode() + b"\n"
    return Response(status, [("Content-Type", "application/json")], document)


def parse_json(body: bytes) -> object:
    """Raises AdminError."""
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise AdminError(400, "BadJson", f"The body is not JSON: {error}") from None


def structure(value: object, shape: type | None, what: str) -> Any:
    """A value of a shape, None if there is no shape. Raises AdminError, which names the fields."""
    if shape is None:
        if value:
            raise AdminError(400, "UnknownParameter", f"This path takes no {what}.")
        return None
    if not isinstance(value, dict):
        raise AdminError(400, "BadShape", f"The {what} has to be an object.")
    try:
        return converter.structure(value, shape)
    except (BaseValidationError, ValueError, TypeError) as error:
        known = ", ".join(field.name for field in attrs.fields(shape))
        found = "; ".join(transform_error(error, path=what)) if isinstance(error, BaseValidationError) else str(error)
        raise AdminError(400, "BadShape", f"{found}. Known fields: {known or 'none'}.") from None
