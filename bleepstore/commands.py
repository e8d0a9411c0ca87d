"""Every change of the catalog: one frozen class each, the entries of a log.

The proposer stamps into a command all that is not in the catalog: time, ids, ETags, handles. Applying it needs no
clock, no random number and no I/O, so every node that applies the same commands in the same order has the same
catalog. Each command ends in one `Result`; a refusal is a result (an `S3Error`), not an exception.

`request_id` makes a retry safe: the second time a command is applied it gives the first result. Ids are made in the
order of time, which keeps the catalog's record of them cheap. The ids of versions are made of it.

`bucket_id` is the bucket that was decided on. Another that was created since under its name has another id, and the
command is refused with NoSuchBucket. None: nothing was decided, and whichever bucket has the name is meant.

`stored_ms` is the `StoredBlob.stored_ms` of the blob that the command brings in. A sweep that has begun to
remove unreferenced blobs up to some time refuses commands that would refer to a blob from before it.

`crc64nvme` is the base64 CRC64NVME of the bytes, by which the store compares what it reads, whatever checksum S3 shows.
None where the bytes never passed here: at a provider.

`origin` is what is known of the request, where the bucket's events are kept. None: they were not when the command was
made; if they are when it is applied, its events say nothing of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from bleepstore.configurations import ConfigurationKind
from bleepstore.digests import Algorithm
from bleepstore.errors import S3Error
from bleepstore.events import BY_LIFECYCLE, EventRule, Origin
from bleepstore.lifecycle_due import Act
from bleepstore.model import (
    NO_ATTRIBUTES,
    UNCONDITIONAL,
    Acl,
    BlobRef,
    BucketSetting,
    Checksum,
    ChecksumType,
    Data,
    ObjectAttributes,
    Owner,
    PartSummary,
    Restoration,
    UploadToken,
    Versioning,
    WriteCondition,
)
from bleepstore.object_lock import Retention
from bleepstore.quotas import Quota, QuotaScope
from bleepstore.rates import Rate, RateScope


class _Change:
    """What a committer asks of a command before it takes it."""

    __slots__ = ()
    #: Whether less is stored once it is applied, so that it is taken on a disk that is nearly full.
    frees_space: ClassVar[bool] = False
    #: Whether the command belongs to bytes that were just written elsewhere on the disk.
    brings_blob: ClassVar[bool] = False


@attrs.frozen(kw_only=True)
class CreateBucket(_Change):
    """With these settings. One that has object lock keeps versions, too."""

    request_id: str
    time_ms: int
    bucket: str
    owner: Owner
    location: str
    acl: Acl
    settings: tuple[BucketSetting, ...] = ()


@attrs.frozen(kw_only=True)
class DeleteBucket(_Change):
    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None


@attrs.frozen(kw_only=True)
class PutBucketAcl(_Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    acl: Acl


@attrs.frozen(kw_only=True)
class PutBucketSetting(_Change):
    """Replace one of the settings of a bucket, or remove it, if its value is None. `makes_public`: the value is a
    policy that makes the bucket public, which the bucket may block by then."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    setting: BucketSetting
    makes_public: bool = False

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.setting.value is None


@attrs.frozen(kw_only=True)
class PutBucketConfiguration(_Change):
    """Replace one of the configurations of a bucket that are stored as they are given, or remove it, if `document` is
    None. `document` is JSON; `id` is "" for a kind of which a bucket has one. `rules` are what it says of events."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    kind: ConfigurationKind
    id: str = ""
    document: str | None
    rules: tuple[EventRule, ...] = ()

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.document is None


@attrs.frozen(kw_only=True)
class PutBucketVersioning(_Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    versioning: Versioning


@attrs.frozen(kw_only=True)
class PutObject(_Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    owner: Owner
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
class DeleteObject(_Change):
    """Remove a version for good or, without a `version_id`, what a read without one sees: a bucket that keeps versions
    gets a delete marker then, which is of `owner`, or of the bucket's if that is None. `bypasses_governance`: who asks
    may do so in spite of a retention of that mode."""

    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str | None = None
    owner: Owner | None = None
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
class DeleteObjects(_Change):
    """As many DeleteObject, in order."""

    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    owner: Owner | None = None
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
class ApplyLifecycle(_Change):
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
    origin: ClassVar[Origin] = BY_LIFECYCLE


@attrs.frozen(kw_only=True)
class PutObjectAcl(_Change):
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
class PutObjectTags(_Change):
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
class PutObjectRetention(_Change):
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
class PutObjectLegalHold(_Change):
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
class RestoreObject(_Change):
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


@attrs.frozen(kw_only=True)
class CreateUpload(_Change):
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
class RegisterPart(_Change):
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
class CompleteUpload(_Change):
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
class AbortUpload(_Change):
    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    upload_id: str


@attrs.frozen(kw_only=True)
class FollowProvider(_Change):
    """The bytes of a key have changed already, at a provider that keeps one object under each key: `written` is stored
    there now, or nothing. It completes the upload `upload_id`, if that is under way.

    Refused with OperationAborted if the current object of the catalog has another handle than `expected_current` (None:
    there is no object) by then, unless it is `written` itself. What was replaced is gone, so it becomes no garbage.
    Without an `origin` it was not changed through this store, and there is no event of it.
    """

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    expected_current: str | None = None
    written: PutObject | None = None
    upload_id: str | None = None
    origin: Origin | None = None

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.written is None


@attrs.frozen(kw_only=True)
class PutCredential(_Change):
    request_id: str
    time_ms: int
    access_key: str
    secret_key: str = attrs.field(repr=False)
    owner: Owner
    email: str | None = None
    #: The name of one of the owner's users; None: it is a key of the account itself.
    user: str | None = None
    #: See `Credential`.
    sealed_by: str | None = None


@attrs.frozen(kw_only=True)
class DisableCredential(_Change):
    frees_space = True

    request_id: str
    time_ms: int
    access_key: str


@attrs.frozen(kw_only=True)
class PutRateLimit(_Change):
    """Replace the rate of an access key or of an account, by its id, or remove it, if `rate` is None."""

    request_id: str
    time_ms: int
    scope: RateScope
    name: str
    rate: Rate | None


@attrs.frozen(kw_only=True)
class DeleteCredential(_Change):
    frees_space = True

    request_id: str
    time_ms: int
    access_key: str


@attrs.frozen(kw_only=True)
class ReplaceSecret(_Change):
    """The same secret of an access key, stored in another way, if it is still stored as `expected`."""

    request_id: str
    time_ms: int
    access_key: str
    expected: str = attrs.field(repr=False)
    secret_key: str = attrs.field(repr=False)
    sealed_by: str | None


@attrs.frozen(kw_only=True)
class CreateUser(_Change):
    """A user without policies. Of one account no two have names that differ in case alone."""

    request_id: str
    time_ms: int
    account: Owner
    name: str
    path: str
    user_id: str


@attrs.frozen(kw_only=True)
class DeleteUser(_Change):
    """With its policies and its access keys."""

    frees_space = True

    request_id: str
    time_ms: int
    account_id: str
    name: str


@attrs.frozen(kw_only=True)
class PutUserPolicy(_Change):
    """A policy of a user, instead of what it has under this name; None: nothing instead."""

    request_id: str
    time_ms: int
    account_id: str
    user: str
    policy: str
    document: str | None

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.document is None


@attrs.frozen(kw_only=True)
class PutQuota(_Change):
    """Replace the quota of a bucket or of an account, by its name or its id, or remove it, if `quota` is None. What is
    stored is counted."""

    request_id: str
    time_ms: int
    scope: QuotaScope
    name: str
    quota: Quota | None

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.quota is None


@attrs.frozen(kw_only=True)
class RecountUsage(_Change):
    """Count anew what all quotas count."""

    request_id: str
    time_ms: int


@attrs.frozen(kw_only=True)
class PutRole(_Change):
    """A new role of an account, or other documents for a known one, which keeps its id."""

    request_id: str
    time_ms: int
    name: str
    role_id: str
    account: Owner
    trust_policy: str
    policies: Mapping[str, str]
    max_session_seconds: int


@attrs.frozen(kw_only=True)
class DeleteRole(_Change):
    frees_space = True

    request_id: str
    time_ms: int
    account_id: str
    name: str


@attrs.frozen(kw_only=True)
class PutSessionKey(_Change):
    """The key that seals the tokens of sessions, 32 bytes as base64; if `sealed_by` is not None, encrypted by this
    master key. It replaces the key that is stored as `expected`; None: if there is none. Else nothing changes."""

    request_id: str
    time_ms: int
    key: str = attrs.field(repr=False)
    sealed_by: str | None = None
    expected: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class RevokeSessions(_Change):
    """Sessions of `principal` (see `bleepstore.access.sessions`) end that began at `until_ms` or before."""

    frees_space = True

    request_id: str
    time_ms: int
    principal: str
    until_ms: int


@attrs.frozen(kw_only=True)
class BeginSweep(_Change):
    """From here on no command may bring in a blob that was stored before `until_ms`."""

    frees_space = True

    request_id: str
    time_ms: int
    until_ms: int


@attrs.frozen(kw_only=True)
class EndSweep(_Change):
    """No unreferenced blob from before `until_ms` is left."""

    frees_space = True

    request_id: str
    time_ms: int
    until_ms: int


@attrs.frozen(kw_only=True)
class ForgetGarbage(_Change):
    """The blobs of these rows are gone from the backend."""

    frees_space = True

    request_id: str
    time_ms: int
    garbage_ids: tuple[int, ...]


@attrs.frozen(kw_only=True)
class ForgetEvents(_Change):
    """A destination has taken its events up to the number `through`."""

    frees_space = True

    request_id: str
    time_ms: int
    destination: str
    through: int


Command = (
    CreateBucket
    | DeleteBucket
    | PutBucketAcl
    | PutBucketSetting
    | PutBucketConfiguration
    | PutBucketVersioning
    | PutObject
    | DeleteObject
    | DeleteObjects
    | ApplyLifecycle
    | PutObjectAcl
    | PutObjectTags
    | PutObjectRetention
    | PutObjectLegalHold
    | RestoreObject
    | CreateUpload
    | RegisterPart
    | CompleteUpload
    | AbortUpload
    | FollowProvider
    | PutCredential
    | DisableCredential
    | PutRateLimit
    | DeleteCredential
    | ReplaceSecret
    | CreateUser
    | DeleteUser
    | PutUserPolicy
    | PutQuota
    | RecountUsage
    | PutRole
    | DeleteRole
    | PutSessionKey
    | RevokeSessions
    | BeginSweep
    | EndSweep
    | ForgetGarbage
    | ForgetEvents
)


@attrs.frozen
class Done:
    """The change was made, and there is nothing else to say."""


@attrs.frozen
class Written:
    """A version was written. Its id is None where the bucket never kept versions. `retention` is the one that its
    bucket gave it, if it did."""

    version_id: str | None
    modified_ms: int
    retention: Retention | None = None


@attrs.frozen
class Removed:
    """What was asked to be removed is not there (any more). `delete_marker_id` is that of the delete marker that was
    made, or of the one that was removed."""

    key: str
    version_id: str | None = None
    delete_marker_id: str | None = None


@attrs.frozen
class RemovedMany:
    """The outcome of each entry of a DeleteObjects, in order."""

    outcomes: tuple[Removed | S3Error, ...]


@attrs.frozen
class LifecycleApplied:
    """For how many versions it was done, and for how many something forbids it for now."""

    changed: int
    refused: int


@attrs.frozen
class Restored:
    """An archived object can be read until then, or will be; `is_extended`: it could be already."""

    restoration: Restoration
    is_extended: bool


Result = Done | Written | Removed | RemovedMany | LifecycleApplied | Restored | S3Error
