"""The document of tags: of an object, of a bucket, and in a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bleepstore.errors import InvalidTag
from bleepstore_server.wire.documents.declare import document, element, malformed, parse, wrapped


@document()
class Tag:
    key: str | None = element("Key", default=None)
    value: str | None = element("Value", default=None)


@document("Tagging")
class Tagging:
    tags: Sequence[Tag] = wrapped("TagSet", "Tag", Tag)


def tagging_of(tags: Mapping[str, str]) -> Tagging:
    return Tagging(tags=[Tag(key=key, value=value) for key, value in tags.items()])


def parse_tagging(body: bytes) -> dict[str, str]:
    """The tags. Raises as `tags_in`."""
    return tags_in(parse(Tagging, body).tags)


def tags_in(found: Sequence[Tag]) -> dict[str, str]:
    """The tags. Raises RequestError: MalformedXML; InvalidTag for a key that comes twice."""
    tags: dict[str, str] = {}
    for tag in found:
        if tag.key is None or tag.value is None:
            raise malformed("A Tag has a Key and a Value.")
        if tag.key in tags:
            raise InvalidTag("Cannot provide multiple Tags with the same key", tag.key)
        tags[tag.key] = tag.value
    return tags
