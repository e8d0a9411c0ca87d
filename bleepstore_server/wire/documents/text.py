"""How texts are written in XML and in listings, and read again."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable
from urllib.parse import quote

import attrs

from bleepstore.object_lock import MAX_TIME_MS, MIN_TIME_MS

#: Characters that XML 1.0 cannot hold -> what follows _STAND_IN instead: of a control character its picture.
_MARKS = {chr(code): chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"}
_MARKS |= {"\ufffe": "\ufdd1", "\uffff": "\ufdd2"}
#: A code point that Unicode keeps for a program's own use ("noncharacter"), and that XML can hold.
_STAND_IN = "\ufdd0"
_UNMARKED = {mark: char for char, mark in _MARKS.items()} | {_STAND_IN: _STAND_IN}
_UNHOLDABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff"
#: Whether there is anything to write otherwise: one class, for nearly always there is nothing.
_ANY_SPECIAL = re.compile(f"[&<>\"'\r{_UNHOLDABLE}{_STAND_IN}]")
_SPECIAL = re.compile(f"[&<>\"'\r{_UNHOLDABLE}]|{_STAND_IN}(?=[{''.join(_UNMARKED)}{_UNHOLDABLE}])")
_MARKED = re.compile(f"{_STAND_IN}([{''.join(_UNMARKED)}])")
#: What encoding-type=url writes otherwise: "/" is kept, as S3 does.
_SPECIAL_IN_URLS = re.compile(r"[^A-Za-z0-9/\-_.*~]")
_WRITTEN = (
    {char: _STAND_IN + mark for char, mark in _MARKS.items()}
    | {_STAND_IN: _STAND_IN * 2}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#13;"}
)


def escape(text: str) -> str:
    """Text for an element. A character that XML 1.0 cannot hold is written as two that it can, so that texts which
    differ are shown differently, and `restore` finds the one that was meant.

    Clients that must see such keys as they are ask for encoding-type=url.
    """
    if not _ANY_SPECIAL.search(text):
        return text
    return _SPECIAL.sub(lambda match: _WRITTEN.get(match[0], "\ufffd"), text)


def restore(text: str) -> str:
    """The text of which a client read what `escape` had written: a key that it sends back as the marker of a page."""
    return _MARKED.sub(lambda match: _UNMARKED[match[1]], text) if _STAND_IN in text else text


_percent_encode = functools.lru_cache(1024)(quote)


@attrs.frozen
class Encoder:
    """How keys and parts of keys are written in a listing: as they are, unless `find` finds something in them."""

    find: Callable[[str], object]
    write: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.write(text) if self.find(text) else text

    def each(self, texts: list[str]) -> list[str]:
        """All of them. Mostly there is nothing to write otherwise, and one look at them together tells."""
        return list(map(self.write, texts)) if self.find("".join(texts)) else texts


_FOR_XML = Encoder(_ANY_SPECIAL.search, escape)
encode_url = Encoder(
    _SPECIAL_IN_URLS.search, lambda text: _SPECIAL_IN_URLS.sub(lambda match: _percent_encode(match[0]), text)
)


def encoder(encoding_type: str | None) -> Encoder:
    return encode_url if encoding_type == "url" else _FOR_XML


@functools.lru_cache(4096)  # the objects of a page were often written within the same seconds
def _iso_second(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()[:19] + ".000Z"


def iso_time(time_ms: int) -> str:
    """A time as documents show it: in whole seconds, so that it equals the Last-Modified header of the same object."""
    return _iso_second(time_ms // 1000)


def precise_time(time_ms: int) -> str:
    """A time that documents show to the millisecond."""
    time = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=time_ms)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(text: str) -> int:
    """Milliseconds since the epoch; without a time zone it is UTC. What a time zone has after the year 9999 is the end
    of that. Raises ValueError for what is not ISO 8601, or is before the year 1."""
    time = dt.datetime.fromisoformat(text.strip())
    time_ms = round((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp() * 1000)
    if time_ms < MIN_TIME_MS:
        raise ValueError(text)
    return min(time_ms, MAX_TIME_MS)
