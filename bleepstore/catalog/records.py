"""What the catalog's answers are made of, beside the nouns of `bleepstore.model`."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from bleepstore.encryption import Encryption, Layout, SealedPart, layout_of, sealed_size_of
from bleepstore.errors import Damage
from bleepstore.events import Event
from bleepstore.model import BucketSettings, Checksum, ObjectVersion, PartSummary, UploadToken, Versioning
from bleepstore.object_lock import ObjectLock, Retention
from bleepstore.values import statically_frozen


@statically_frozen
class FoundObject:
    """A version and where its bytes are: `data` if they are inline, else `handle`. `crc64nvme` is theirs, if known.

    `bucket_id` is that of its bucket, `sequence` as in `StoredVersion`."""

    version: ObjectVersion
    handle: str | None
    data: bytes | None = attrs.field(repr=False)
    crc64nvme: str | None
    bucket_id: int
    sequence: int


@attrs.frozen
class ObjectSince:
    """The object under an upload's key: its ETag, if there is one, and whether it changed since the upload began."""

    etag: str | None
    changed: bool


@attrs.frozen
class Garbage:
    """A blob, or the part of an upload with this backend's token, to which nothing refers any more."""

    garbage_id: int
    handle: str
    token: UploadToken | None


@attrs.frozen
class Content:
    """What the catalog says of the bytes of an object, or of a part of an upload."""

    bucket: str
    key: str
    version_id: str | None
    upload_id: str | None
    part_number: int | None
    handle: str | None
    size: int
    etag: str
    checksum: Checksum | None
    crc64nvme: str | None
    parts: tuple[PartSummary, ...]
    encryption: Encryption | None = None

    @property
    def layout(self) -> Layout | None:
        """The parts of which the stored bytes consist, if they are encrypted."""
        if self.encryption is None:
            return None
        if self.part_number is not None:
            return (SealedPart(self.part_number, self.size),)
        return layout_of(self.encryption, self.size, (part.size for part in self.parts))

    @property
    def stored_size(self) -> int:
        """How many bytes are stored."""
        layout = self.layout
        return self.size if layout is None else sealed_size_of(layout)

    def damage(self, reason: str, *, quarantined: bool = False) -> Damage:
        """That these bytes are damaged."""
        return Damage(
            bucket=self.bucket,
            key=self.key,
            version_id=self.version_id,
            upload_id=self.upload_id,
            part_number=self.part_number,
            reason=reason,
            handle=self.handle,
            quarantined=quarantined,
        )


class StoredBucket(NamedTuple):
    """What commands compare of a bucket. `bucket_id` is never given again."""

    bucket_id: int
    name: str
    owner_id: str
    versioning: Versioning | str | None
    #: Of all its settings those that commands on objects look at.
    settings: BucketSettings
    #: Whether what it holds is counted: it has a quota, or its owner has, or a user or role of that.
    keeps_usage: bool
    location: str
    #: Whether anybody wants to know what happens to its objects.
    is_watched: bool

    @property
    def object_lock(self) -> ObjectLock | None:
        return self.settings.object_lock


class StoredVersion(NamedTuple):
    """What commands compare of an object's version.

    `sequence` rises from version to version of a key. `inline_id` is the implementation's own, by which it finds bytes
    that it keeps; None if there are none. `is_current`: a read without a version id sees it. A delete marker is never
    current.
    """

    sequence: int
    version_id: str
    etag: str
    owner_id: str
    handle: str | None
    inline_id: int | None
    is_current: bool
    is_delete_marker: bool
    size: int
    #: As in `ObjectVersion`.
    creator_id: str | None


class DeleteMarker(NamedTuple):
    """A version without bytes, which says that the object is deleted."""

    key: str
    version_id: str
    sequence: int
    owner_id: str
    modified_ms: int
    creator_id: str | None


class RecordedEvent(NamedTuple):
    """What a transaction recorded of an object, and the destinations that it is kept for."""

    event: Event
    destinations: tuple[str, ...]


class AwaitedRestoration(NamedTuple):
    """An archived version that can be read from `ready_ms` on, if it is still there."""

    ready_ms: int
    bucket_id: int
    key: str
    version_id: str
    bucket: str


class ProtectedVersion(NamedTuple):
    """A version with a retention, which may be over, or with a legal hold."""

    bucket: str
    key: str
    version_id: str
    retention: Retention | None
    legal_hold: bool


class CompletedUpload(NamedTuple):
    """An upload that was completed a short while ago, and the version that it made: None where its bucket never kept
    versions."""

    etag: str
    modified_ms: int
    version_id: str | None
