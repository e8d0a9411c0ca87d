"""Commands on uploads in parts."""

from __future__ import annotations

import attrs

from bleepstore.commands.change import Change
from bleepstore.digests import Algorithm
from bleepstore.events import Origin
from bleepstore.model import (
    NO_ATTRIBUTES,
    Checksum,
    ChecksumType,
    ObjectAttributes,
    Owner,
    PartSummary,
    UploadToken,
)
from bleepstore.preconditions import UNCONDITIONAL, WriteCondition


@attrs.frozen(kw_only=True)
class CreateUpload(Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    upload_id: str
    owner: Owner
    initiator: Owner
    attributes: ObjectAttributes = NO_ATTRIBUTES
    checksum_algorithm: Algorithm | None = None
    checksum_type: ChecksumType | None = None
    backend_token: UploadToken | None = None


@attrs.frozen(kw_only=True)
class RegisterPart(Change):
    brings_blob = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    upload_id: str
    number: int
    size: int
    etag: str
    checksum: Checksum | None = None
    crc64nvme: str | None = None
    handle: str
    stored_ms: int


@attrs.frozen(kw_only=True)
class AssembledPart:
    """A part as it was when it was assembled; a part uploaded again meanwhile has another handle."""

    number: int
    handle: str


@attrs.frozen(kw_only=True)
class CompleteUpload(Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    upload_id: str
    assembled: tuple[AssembledPart, ...]
    parts: tuple[PartSummary, ...]
    size: int
    etag: str
    checksum: Checksum | None = None
    crc64nvme: str | None = None
    handle: str
    stored_ms: int | None = None  # None: the sweep never removes it
    condition: WriteCondition = UNCONDITIONAL
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class AbortUpload(Change):
    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    upload_id: str
