"""The rules of tags ("Categorizing your objects using tags"), of objects and of buckets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from bleepstore.errors import InvalidTag, TooManyTags

MAX_OBJECT_TAGS = 10
MAX_BUCKET_TAGS = 50
MAX_TAG_KEY = 128
MAX_TAG_VALUE = 256
#: "Keys and values ... are case sensitive"; what AWS keeps for itself begins so in any case.
_RESERVED = "aws:"
_PLAIN = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*")
_SPECIAL = frozenset("_.:/=+-@")


def check_object_tags(tags: Mapping[str, str]) -> None:
    """Raises InvalidTag, TooManyTags; TypeError for what is no mapping of str to str."""
    _check_texts(tags)
    if len(tags) > MAX_OBJECT_TAGS:
        raise TooManyTags(f"Object tags cannot be greater than {MAX_OBJECT_TAGS}", MAX_OBJECT_TAGS)
    for key, value in tags.items():
        _check(key, value)
        if is_reserved(key):
            raise InvalidTag("Your TagKey cannot be prefixed with aws:", key)


def check_bucket_tags(tags: Mapping[str, str]) -> None:
    """As check_object_tags."""
    _check_texts(tags)
    if len(tags) > MAX_BUCKET_TAGS:
        raise TooManyTags(f"Bucket tag count cannot be greater than {MAX_BUCKET_TAGS}", MAX_BUCKET_TAGS)
    for key, value in tags.items():
        _check(key, value)
        if is_reserved(key):
            raise InvalidTag("System tags cannot be added/updated by requester", key)


def is_reserved(key: str) -> bool:
    return key[: len(_RESERVED)].lower() == _RESERVED


def _check_texts(tags: Mapping[str, str]) -> None:
    for pair in tags.items():
        if not all(isinstance(text, str) for text in pair):
            raise TypeError(f"tags are a mapping of str to str; it has {pair[0]!r}: {pair[1]!r}")


def _check(key: str, value: str) -> None:
    if not key or _length(key) > MAX_TAG_KEY or not _is_allowed(key):
        raise InvalidTag("The TagKey you have provided is invalid", key)
    if _length(value) > MAX_TAG_VALUE or not _is_allowed(value):
        raise InvalidTag("The TagValue you have provided is invalid", key, value)


def _length(text: str) -> int:
    """ "Amazon S3 object tags are internally represented in UTF-16. Note that in UTF-16, characters consume either 1 or
    2 character positions." """
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _is_allowed(text: str) -> bool:
    """ "The allowed characters are Unicode letters, whitespace, and numbers, plus the following special characters:
    + - = . _ : / @" """
    return _PLAIN.fullmatch(text) is not None or all(_is_allowed_character(one) for one in text)


def _is_allowed_character(one: str) -> bool:
    return one in _SPECIAL or unicodedata.category(one)[0] in "LNZ"
