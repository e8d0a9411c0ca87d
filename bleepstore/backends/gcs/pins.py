"""What the texts that the catalog keeps for us say: handles and tokens; and what is noted with an object."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import attrs

from bleepstore.backends.gateway.metadata import MetadataCodec, Notes
from bleepstore.backends.gateway.names import Address
from bleepstore.model import UploadToken

#: The fields of SystemMetadata that GCS keeps are called the same on its Blob.
SYSTEM = ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control")
CODEC = MetadataCodec(
    mark="bleepstore-",
    plain_name=re.compile("[a-z0-9][a-z0-9_.-]*"),
    budget=8000,
    native_system=frozenset(SYSTEM),
)


@attrs.frozen
class Pin:
    """What a handle says: where an object is stored, and its generation."""

    container: str
    name: str
    generation: int

    @property
    def handle(self) -> str:
        return json.dumps([self.container, self.name, self.generation], separators=(",", ":"), ensure_ascii=False)

    @property
    def address(self) -> Address:
        return Address(self.container, self.name)


def read_handle(handle: str) -> Pin:
    return Pin(*json.loads(handle))


def pin_of(blob: Any) -> Pin:
    return Pin(blob.bucket.name, blob.name, int(blob.generation))


def notes_of(blob: Any) -> Notes:
    """What is noted with an object, and of its bytes only if it is about these."""
    notes = CODEC.decode(blob.metadata)
    if notes.crc32c is not None:
        same = notes.crc32c == blob.crc32c and notes.size in (None, blob.size)
        return notes if same else notes.without_bytes()
    return notes.about(blob.size, md5_of(blob))


def md5_of(blob: Any) -> str | None:
    """In hex; composed objects have none."""
    return base64.b64decode(blob.md5_hash).hex() if blob.md5_hash else None


def make_token(folder: Address) -> UploadToken:
    return UploadToken(json.dumps([folder.container, folder.name], separators=(",", ":"), ensure_ascii=False))


def read_token(token: UploadToken | None) -> Address:
    """The folder of an upload's parts."""
    assert token is not None
    return Address(*json.loads(token.text))


def to_ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)
