"""What the texts that the catalog keeps for us say: handles and tokens; and what is noted with an object."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from bleepstore.backends.gateway.metadata import MetadataCodec, Notes
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS
from bleepstore.model import UploadToken

#: The fields of SystemMetadata that S3 keeps, by the parameters of PutObject.
SYSTEM = {
    "content_type": "ContentType",
    "content_encoding": "ContentEncoding",
    "content_language": "ContentLanguage",
    "content_disposition": "ContentDisposition",
    "cache_control": "CacheControl",
}
CODEC = MetadataCodec(
    mark="bleepstore-",
    plain_name=re.compile("[a-z0-9][a-z0-9_.-]*"),
    budget=2048,
    native_system=frozenset(SYSTEM),
)


_MD5 = re.compile("[0-9a-f]{32}")


@attrs.frozen
class Pin:
    """What a handle says: where a blob is stored, and how to tell it from another one there."""

    container: str
    name: str
    etag: str
    write: str
    version: str | None = None

    @property
    def handle(self) -> str:
        fields = [self.container, self.name, self.etag, self.write, self.version]
        return json.dumps(fields if self.version else fields[:-1], separators=(",", ":"), ensure_ascii=False)

    @property
    def named(self) -> dict[str, Any]:
        """The parameters for what is stored under the name now, as long as that is this blob."""
        return {"Bucket": self.container, "Key": self.name, "IfMatch": f'"{self.etag}"'}

    @property
    def address(self) -> dict[str, Any]:
        """The parameters that name exactly this blob, which a bucket with versions keeps after it was replaced or
        deleted: only for who has seen that it is the current one."""
        found: dict[str, Any] = {"Bucket": self.container, "Key": self.name}
        if self.version:
            found["VersionId"] = self.version
        return found

    def is_in(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer is about this blob. Others may write the same bytes, or keep our notes."""
        is_version = self.version in (None, version_of(answer))
        return is_version and bare(answer["ETag"]) == self.etag and (write_of(answer) or "") == self.write


def read_handle(handle: str) -> Pin:
    return Pin(*json.loads(handle))


def new_write(blob: str | None = None) -> str:
    """The number of a write; that of a `blob` of a name that nothing else has is known from the name."""
    return secrets.token_hex(8) if blob is None else blob[-16:]


@attrs.frozen
class ProviderUpload:
    """What a token says."""

    container: str
    name: str
    upload_id: str
    write: str

    @property
    def token(self) -> UploadToken:
        return UploadToken(json.dumps(attrs.astuple(self), separators=(",", ":"), ensure_ascii=False))

    @property
    def address(self) -> dict[str, Any]:
        return {"Bucket": self.container, "Key": self.name, "UploadId": self.upload_id}


def read_token(token: UploadToken | None) -> ProviderUpload:
    assert token is not None
    return ProviderUpload(*json.loads(token.text))


def is_md5(etag: str, answer: Mapping[str, Any]) -> bool:
    """Whether an ETag is the MD5 of the bytes, which it is not where a key of the customer's encrypts them."""
    return _MD5.fullmatch(etag) is not None and not _is_opaque(answer)


def _is_opaque(answer: Mapping[str, Any]) -> bool:
    return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer


def write_of(answer: Mapping[str, Any]) -> str | None:
    """The number of the write that an answer is about, if it is one of ours."""
    return CODEC.decode(answer.get("Metadata")).write


def notes_of(head: Mapping[str, Any], size: int) -> Notes:
    """What is noted with an object, and of its bytes only if it is about these."""
    notes = CODEC.decode(head.get("Metadata"))
    etag = bare(head["ETag"])
    known = notes.of or ((notes.etag,) if notes.etag is not None and is_md5(notes.etag, {}) else ())
    comparable = is_md5(etag, head) or (bool(notes.of) and not _is_opaque(head))
    other = bool(known) and comparable and etag not in known
    return notes.without_bytes() if other or notes.size not in (None, size) else notes


def bare(etag: str) -> str:
    return etag.strip('"')


def to_ms(moment: Any) -> int:
    """Milliseconds since the epoch of a whole second: listings are more precise than the answers to other requests."""
    return int(moment.timestamp()) * 1000


def stored_ms(item: Mapping[str, Any]) -> int:
    """When a blob was stored, for the sweep. "For multipart uploads, the object creation date is the date of initiation
    of the multipart upload"; their ETags have a hyphen."""
    return to_ms(item["LastModified"]) + (LONGEST_WRITE_MS if "-" in item["ETag"] else 0)


def version_of(answer: Mapping[str, Any]) -> str | None:
    """The version id, in a bucket that keeps versions."""
    version = answer.get("VersionId")
    return None if version in (None, "", "null") else str(version)
