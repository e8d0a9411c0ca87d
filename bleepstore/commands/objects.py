"""Commands on objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from bleepstore.commands.change import Change
from bleepstore.encryption import Encryption
from bleepstore.events import BY_LIFECYCLE, Origin
from bleepstore.lifecycle_due import Act
from bleepstore.model import (
    NO_ATTRIBUTES,
    Acl,
    BlobRef,
    Checksum,
    Data,
    ObjectAttributes,
    Owner,
    PartSummary,
)
from bleepstore.object_lock import Retention
from bleepstore.preconditions import UNCONDITIONAL, WriteCondition
from bleepstore.values import statically_frozen


@statically_frozen(kw_only=True)
class PutObject(Change):
    """`creator_id` is the ARN of the user or the role that makes it; None: the account itself does, or the store. It
    counts in their quotas."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    owner: Owner
    creator_id: str | None = None
    size: int
    etag: str
    data: Data
    stored_ms: int | None = None  # None: the bytes are inline, or the sweep never removes them
    attributes: ObjectAttributes = NO_ATTRIBUTES
    checksum: Checksum | None = None
    crc64nvme: str | None = None
    parts: tuple[PartSummary, ...] = ()  # of a copied multipart object
    condition: WriteCondition = UNCONDITIONAL
    origin: Origin | None = None

    @property
    def brings_blob(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return isinstance(self.data, BlobRef)


@attrs.frozen(kw_only=True)
class DeleteObject(Change):
    """Remove a version for good or, without a `version_id`, what a read without one sees: a bucket that keeps versions
    gets a delete marker then, which is of `owner`, or of the bucket's if that is None, and made by `creator_id`, as in
    PutObject. `bypasses_governance`: who asks may do so in spite of a retention of that mode."""

    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    owner: Owner | None = None
    creator_id: str | None = None
    condition: WriteCondition = UNCONDITIONAL
    bypasses_governance: bool = False
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class DeleteEntry:
    """One line of a DeleteObjects."""

    key: str
    version_id: str | None = None
    condition: WriteCondition = UNCONDITIONAL


@attrs.frozen(kw_only=True)
class DeleteObjects(Change):
    """As many DeleteObject, in order."""

    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    owner: Owner | None = None
    creator_id: str | None = None
    bypasses_governance: bool = False
    origin: Origin | None = None
    entries: tuple[DeleteEntry, ...]


@attrs.frozen(kw_only=True)
class LifecycleEntry:
    """What is due for one version of a key, which is told by its sequence: `act`, for TRANSITION to `storage_class`. It
    is not done if the version has other tags than `expected_tags` by then (None: they are no matter), or if fewer than
    `newer` older versions are newer than it."""

    key: str
    sequence: int
    act: Act
    storage_class: str | None = None
    expected_tags: Mapping[str, str] | None = None
    newer: int = 0


@attrs.frozen(kw_only=True)
class ApplyLifecycle(Change):
    """Do what the rules of a bucket's lifecycle say of some versions. Refused with OperationAborted if the rules are
    others by now than those with `rules_digest`. A version that was replaced meanwhile is left as it is."""

    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    rules_digest: str
    entries: tuple[LifecycleEntry, ...]
    owner: ClassVar[Owner | None] = None  # of the delete markers: the bucket's
    creator_id: ClassVar[str | None] = None
    origin: ClassVar[Origin] = BY_LIFECYCLE


@attrs.frozen(kw_only=True)
class PutObjectAcl(Change):
    """Refused with OperationAborted if by now the object is another version than `expected_sequence` (its position
    among those of its key), or has another owner or list than `expected_acl`: that the ACL may be set was decided by
    these. None: it may be set whatever it is."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    expected_sequence: int | None = None
    expected_acl: Acl | None = None
    origin: Origin | None = None
    acl: Acl


@attrs.frozen(kw_only=True)
class PutObjectTags(Change):
    """Replace the tags of a version. For `expected_sequence` see PutObjectAcl."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    expected_sequence: int | None = None
    origin: Origin | None = None
    tags: Mapping[str, str]


@attrs.frozen(kw_only=True)
class PutObjectRetention(Change):
    """Replace the retention of a version, or remove it, if `retention` is None. For `expected_sequence`
    see PutObjectAcl, for `bypasses_governance` DeleteObject."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    expected_sequence: int | None = None
    bypasses_governance: bool = False
    origin: Origin | None = None
    retention: Retention | None


@attrs.frozen(kw_only=True)
class PutObjectLegalHold(Change):
    """Hold a version, or release it. For `expected_sequence` see PutObjectAcl."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    expected_sequence: int | None = None
    legal_hold: bool


@attrs.frozen(kw_only=True)
class PutObjectEncryption(Change):
    """Have another master key wrap the data key of a version, whose bytes stay as they are. Refused with
    OperationAborted unless the version has the wrapped key `expected_wrapped_key`: another data key decrypts no other
    version. For `expected_sequence` see PutObjectAcl."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    expected_sequence: int | None = None
    expected_wrapped_key: str
    encryption: Encryption


@attrs.frozen(kw_only=True)
class RestoreObject(Change):
    """Have an archived version readable for `days`, from `delay_ms` after the command on; if it is already, that long
    from now on. For `expected_sequence` see PutObjectAcl."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    expected_sequence: int | None = None
    origin: Origin | None = None
    days: int
    delay_ms: int = 0
