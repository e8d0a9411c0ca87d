"""What forms have as lines of text."""

from __future__ import annotations

from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

_MAX_LINES = 200


def pairs_of(visit: Visit, text: str) -> dict[str, str]:
    """Of lines `name = value`. Raises RequestError for one that is none, or has a name that was there already."""
    texts = visit.pages.texts["errors"]
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > _MAX_LINES:
        raise RequestError("InvalidArgument", texts["too_many_lines"])
    pairs: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or name.strip() in pairs:
            raise RequestError("InvalidArgument", texts["pair"].format(line=line.strip()[:200]))
        pairs[name.strip()] = value.strip()
    return pairs
