"""What forms have as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

_MAX_LINES = 200
NO_PAIRS: Mapping[str, str] = MappingProxyType({})


def fits_in_a_line(name: str, value: str) -> bool:
    """Whether a line `name = value` says it: no line break, no equals sign in the name, no spaces at the ends."""
    line = f"{name} = {value}"
    return len(line.splitlines()) == 1 and "=" not in name and (name.strip(), value.strip()) == (name, value)


def pairs_of(visit: Visit, text: str, before: Mapping[str, str] = NO_PAIRS) -> dict[str, str]:
    """Of lines `name = value`, and those of `before` that the form could not show, which stay. Raises RequestError for
    a line that is none, or has a name that was there already."""
    texts = visit.pages.texts["errors"]
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > _MAX_LINES:
        raise RequestError("InvalidArgument", texts["too_many_lines"])
    pairs = {name: value for name, value in before.items() if not fits_in_a_line(name, value)}
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or name.strip() in pairs:
            raise RequestError("InvalidArgument", texts["pair"].format(line=line.strip()[:200]))
        pairs[name.strip()] = value.strip()
    return pairs
