"""What forms have as lines of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

_MAX_LINES = 200
_JSON = json.JSONDecoder()
NO_PAIRS: Mapping[str, str] = MappingProxyType({})


def line_of(name: str, value: str) -> str:
    """`name = value`; a name with an equals sign, or spaces at its ends, is in quotes, as JSON has a text."""
    is_plain = "=" not in name and name.strip() == name
    return f"{name if is_plain else json.dumps(name, ensure_ascii=False)} = {value}"


def fits_in_a_line(name: str, value: str) -> bool:
    """Whether `line_of` says it: no line break, no spaces at the ends of the value."""
    return len(line_of(name, value).splitlines()) == 1 and value.strip() == value


def _name_and_value(line: str) -> tuple[str, str] | None:
    """Of what `line_of` gives; None: of no such line."""
    if line.startswith('"'):
        try:
            name, end = _JSON.raw_decode(line)
        except ValueError:
            return None
        rest = line[end:].lstrip()
        return (name, rest[1:].strip()) if name and rest.startswith("=") else None
    name, equals, value = line.partition("=")
    return (name.strip(), value.strip()) if equals and name.strip() else None


def pairs_of(visit: Visit, text: str, before: Mapping[str, str] = NO_PAIRS) -> dict[str, str]:
    """Of lines `name = value`, and those of `before` that the form could not show, which stay. Raises RequestError for
    a line that is none, or has a name that was there already."""
    texts = visit.pages.texts["errors"]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > _MAX_LINES:
        raise RequestError("InvalidArgument", texts["too_many_lines"])
    pairs = {name: value for name, value in before.items() if not fits_in_a_line(name, value)}
    for line in lines:
        found = _name_and_value(line)
        if found is None or found[0] in pairs:
            raise RequestError("InvalidArgument", texts["pair"].format(line=line[:200]))
        pairs[found[0]] = found[1]
    return pairs
