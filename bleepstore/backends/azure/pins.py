"""What the texts that the catalog keeps for us say: handles, tokens and parts; and what is noted with a blob."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

import attrs
from azure.core import MatchConditions
from azure.storage.blob import ContentSettings

from bleepstore.backends.base import BlobSpec
from bleepstore.backends.gateway.metadata import MetadataCodec, Notes
from bleepstore.backends.gateway.names import Address
from bleepstore.model import UploadToken

#: The fields of SystemMetadata that Azure keeps are called the same in its ContentSettings.
SYSTEM = ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control")
CODEC = MetadataCodec(
    mark="bleepstore_",
    plain_name=re.compile("[a-z][a-z0-9_]*"),  # "names must adhere to the naming rules for C# identifiers"
    budget=8000,
    native_system=frozenset(SYSTEM),
)


def _bare(etag: str) -> str:
    """Listings give ETags without quotes, other answers with them."""
    return etag.strip('"')


@attrs.frozen
class Pin:
    """What a handle says: where a blob is stored, and the ETag, by which Azure tells it from any other there."""

    container: str
    name: str
    etag: str = attrs.field(converter=_bare)

    @property
    def handle(self) -> str:
        return _dump([self.container, self.name, self.etag])

    @property
    def address(self) -> Address:
        return Address(self.container, self.name)

    @property
    def condition(self) -> dict[str, Any]:
        return {"etag": f'"{self.etag}"', "match_condition": MatchConditions.IfNotModified}

    @property
    def source_condition(self) -> dict[str, Any]:
        return {"source_etag": f'"{self.etag}"', "source_match_condition": MatchConditions.IfNotModified}


def read_handle(handle: str) -> Pin:
    return Pin(*json.loads(handle))


@attrs.frozen
class ProviderUpload:
    """What a token says: the blob in our own folder on which an upload's blocks are staged. Its name begins with the
    time, for Azure tells none of a blob that was never committed."""

    container: str
    name: str

    @property
    def token(self) -> UploadToken:
        return UploadToken(_dump([self.container, self.name]))

    @property
    def address(self) -> Address:
        return Address(self.container, self.name)

    @property
    def begun_ms(self) -> int:
        return int(self.name.rpartition("/")[2][:12], 16)


def new_upload(own: Address) -> ProviderUpload:
    return ProviderUpload(own.container, f"{own.name}uploads/{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}")


def read_token(token: UploadToken | None) -> ProviderUpload:
    assert token is not None
    return ProviderUpload(*json.loads(token.text))


@attrs.frozen
class StagedPart:
    """What the handle of a part says: its number, a number of this one attempt, how many blocks it has, and the CRC32C
    of its bytes."""

    number: int
    attempt: str
    blocks: int
    crc32c: str | None = None

    @property
    def handle(self) -> str:
        return _dump(["part", self.number, self.attempt, self.blocks, self.crc32c])

    def block_id(self, index: int) -> str:
        """All ids of a blob are of one length."""
        return f"{self.number:05d}-{self.attempt}-{index:05d}"

    @property
    def block_ids(self) -> list[str]:
        return [self.block_id(index) for index in range(self.blocks)]


def read_part(handle: str) -> StagedPart:
    return StagedPart(*json.loads(handle)[1:])


def notes_of(metadata: Mapping[str, str] | None, size: int, md5: str | None) -> Notes:
    """What is noted with a blob, and of its bytes only if it is about these. Azure has an MD5 (in hex) of what we wrote
    if its ETag is one."""
    return CODEC.decode(metadata).about(size, md5)


def content_settings(spec: BlobSpec, md5: bytes | None = None) -> ContentSettings:
    return ContentSettings(**CODEC.native(spec.attributes.system), content_md5=None if md5 is None else bytearray(md5))


def _dump(fields: list[Any]) -> str:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def to_ms(moment: Any) -> int:
    """Milliseconds since the epoch of a whole second, as all answers have it."""
    return int(moment.timestamp()) * 1000
