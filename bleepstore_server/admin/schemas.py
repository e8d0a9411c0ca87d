"""attrs classes as JSON Schema, as OpenAPI 3.1 has it."""

from __future__ import annotations

import datetime as dt
import enum
import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import attrs

Schema = dict[str, Any]

_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    dt.datetime: {"type": "string", "format": "date-time"},
    object: {},
    Any: {},
}


class Schemas:
    """The schemas of the classes that were asked for, by their names."""

    def __init__(self) -> None:
        self.known: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of a type; a class is referred to. Raises TypeError for one that no JSON has."""
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(one) for one in arguments]}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if isinstance(origin, type) and issubclass(origin, Sequence):
            return {"type": "array", "items": self.of(arguments[0])}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [one.value for one in kind]}
        if attrs.has(kind):
            self._add(kind)
            return {"$ref": f"#/components/schemas/{kind.__name__}"}
        raise TypeError(f"{kind} has no schema")

    def _add(self, kind: type) -> None:
        name = kind.__name__
        if name in self.known:
            return
        schema: Schema = {"type": "object", "additionalProperties": False}
        self.known[name] = schema  # before its fields, which may have it too
        schema["properties"] = {field.name: self.of(field.type) for field in fields_of(kind)}
        required = [field.name for field in fields_of(kind) if field.default is attrs.NOTHING]
        if required:
            schema["required"] = required
        if kind.__doc__ and not kind.__doc__.startswith("Method generated"):
            schema["description"] = " ".join(kind.__doc__.split())


def fields_of(kind: type) -> tuple[attrs.Attribute[Any], ...]:
    """Those that are sent, with their types."""
    resolved: type[attrs.AttrsInstance] = attrs.resolve_types(kind)
    return tuple(field for field in attrs.fields(resolved) if field.init)
