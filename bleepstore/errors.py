"""The errors of the store.

    BleepStoreError
    ├── S3Error                      has a `code`, named as in Amazon's S3 error list
    │   ├── NotFound                 NoSuchBucket, NoSuchKey, NoSuchVersion, NoSuchUpload, NoSuchTagSet,
    │   │                            NoSuchObjectLock, ObjectLockNotConfigured, NoSuchLifecycle,
    │   │                            NoSuchBucketPolicy
    │   ├── Conflict                 BucketAlreadyExists, BucketAlreadyOwnedByYou, BucketNotEmpty,
    │   │                            ConditionalRequestConflict, OperationAborted,
    │   │                            RestoreAlreadyInProgress, InvalidBucketState
    │   ├── Precondition             PreconditionFailed, NotModified
    │   ├── Invalid                  names, arguments, digests, ranges, parts, sizes, tags,
    │   │                            lifecycles, policies
    │   ├── Denied                   AccessDenied, InvalidObjectState, MethodNotAllowed,
    │   │                            ObjectAlreadyInActiveTier, ObjectLocked
    │   └── Unavailable              SlowDown, ServiceUnavailable, StorageFull, StorageUnavailable,
    │                                InternalError
    ├── BlobNotFound                 a backend no longer has what a handle names
    ├── UploadNotFound               a backend no longer has the upload of a token
    ├── BlobChanged                  a conditional write met something else under the name than what it was to replace
    ├── ObjectDamaged                stored bytes are not those that were written
    ├── BlobDamaged                  a backend finds that a blob is not as it was written
    ├── BlobBusy                     a blob that is being read cannot be deleted yet
    └── StoreError                   of the store as a whole: closed, read-only, damaged, too new, too old

An `S3Error` is a value before it is an exception: the catalog returns it as the result of a command that
it refuses, the codec can write it down, and `Store` raises it. It knows nothing of HTTP; the server has the table
from codes to statuses.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs


class BleepStoreError(Exception):
    """The root of everything this package raises on purpose."""


class Condition(enum.StrEnum):
    """The fields of `WriteCondition` and `ReadCondition` that can refuse a request."""

    IF_MATCH = "if_match"
    IF_NONE_MATCH = "if_none_match"
    IF_MODIFIED_SINCE = "if_modified_since"
    IF_UNMODIFIED_SINCE = "if_unmodified_since"


@attrs.define
class S3Error(BleepStoreError):
    """A refusal with a code of the S3 API.

    `code` and `summary` belong to the class; the fields are what the reader needs to act on it.
    """

    code: ClassVar[str] = "InternalError"
    summary: ClassVar[str] = "The store could not carry out the request."

    @property
    def message(self) -> str:
        """What was wrong and, where possible, what to do."""
        reason: str | None = getattr(self, "reason", None)
        return reason or self.summary

    @property
    def fields(self) -> dict[str, Any]:
        """The facts of this refusal: field name -> value, without those that are None."""
        pairs = ((a.name, getattr(self, a.name)) for a in attrs.fields(type(self)))
        return {name: value for name, value in pairs if value is not None}

    # attrs compares exceptions by identity; a refusal is a value, also after it was written down and read again.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, S3Error) and type(self) is type(other) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash((type(self), *self.fields.items()))

    def __str__(self) -> str:
        shown = {name: value for name, value in self.fields.items() if name != "reason"}
        facts = ", ".join(f"{k}={str(v)!r}" if isinstance(v, str) else f"{k}={v!r}" for k, v in shown.items())
        return f"{self.code}: {self.message}" + (f" ({facts})" if facts else "")


@attrs.define
class NotFound(S3Error):
    """What was named does not exist."""


@attrs.define
class NoSuchBucket(NotFound):
    code = "NoSuchBucket"
    summary = "The specified bucket does not exist."
    bucket: str


@attrs.define
class NoSuchKey(NotFound):
    code = "NoSuchKey"
    summary = "The specified key does not exist."
    bucket: str
    key: str
    version_id: str | None = None
    delete_marker: bool | None = None


@attrs.define
class NoSuchVersion(NotFound):
    code = "NoSuchVersion"
    summary = "The specified version does not exist."
    bucket: str
    key: str
    version_id: str


@attrs.define
class NoSuchUpload(NotFound):
    code = "NoSuchUpload"
    summary = "The specified multipart upload does not exist: it may have been completed, aborted or expired."
    upload_id: str
    bucket: str | None = None
    key: str | None = None


@attrs.define
class NoSuchCredential(NotFound):
    code = "InvalidAccessKeyId"
    summary = "There is no access key of this name."
    access_key: str


@attrs.define
class Conflict(S3Error):
    """The request does not fit the present state."""


@attrs.define
class BucketAlreadyExists(Conflict):
    code = "BucketAlreadyExists"
    summary = "The requested bucket name belongs to another owner. Choose another name."
    bucket: str


@attrs.define
class BucketAlreadyOwnedByYou(Conflict):
    code = "BucketAlreadyOwnedByYou"
    summary = "You already own a bucket of this name."
    bucket: str


@attrs.define
class BucketNotEmpty(Conflict):
    code = "BucketNotEmpty"
    summary = "The bucket still holds objects, or versions of them. Delete them first."
    bucket: str
    is_versioned: bool = False


@attrs.define
class ConditionalRequestConflict(Conflict):
    code = "ConditionalRequestConflict"
    summary = "The key was written or deleted while this conditional request was under way. Start again."
    bucket: str
    key: str
    condition: Condition | None = None


@attrs.define
class OperationAborted(Conflict):
    code = "OperationAborted"
    summary = "A conflicting operation is under way. Try again."
    reason: str | None = None


@attrs.define
class RestoreAlreadyInProgress(Conflict):
    code = "RestoreAlreadyInProgress"
    summary = "The object is being restored already."


@attrs.define
class InvalidBucketState(Conflict):
    code = "InvalidBucketState"
    summary = "The request is not valid for the current state of the bucket."
    reason: str


@attrs.define
class Precondition(S3Error):
    """A condition of the request does not hold."""


@attrs.define
class PreconditionFailed(Precondition):
    """`of_source`: it was a condition on the source of a copy, not on what would be replaced."""

    code = "PreconditionFailed"
    summary = "At least one of the preconditions that you specified did not hold."
    condition: Condition
    bucket: str | None = None
    key: str | None = None
    of_source: bool = False


@attrs.define
class NotModified(Precondition):
    code = "NotModified"
    summary = "The object has not changed."
    condition: Condition
    etag: str | None = None
    modified_ms: int | None = None
    cache_control: str | None = None
    expires: str | None = None


@attrs.define
class Invalid(S3Error):
    """The request itself is wrong; sent again unchanged it fails again."""


@attrs.define
class InvalidBucketName(Invalid):
    code = "InvalidBucketName"
    summary = "The specified bucket name is not valid."
    bucket: str
    reason: str | None = None


@attrs.define
class KeyTooLong(Invalid):
    code = "KeyTooLongError"
    summary = "Your key is too long."
    size: int
    max_size_allowed: int


@attrs.define
class InvalidURI(Invalid):
    code = "InvalidURI"
    summary = "The key is not valid UTF-8."
    reason: str | None = None


@attrs.define
class InvalidArgument(Invalid):
    """`argument_name` is that of the method that was called."""

    code = "InvalidArgument"
    summary = "An argument is not valid."
    reason: str
    argument_name: str | None = None
    argument_value: str | None = None


@attrs.define
class InvalidRequest(Invalid):
    """Arguments that do not fit each other or what is stored; `argument_name` is one of them."""

    code = "InvalidRequest"
    summary = "The request is not valid."
    reason: str
    argument_name: str | None = None


@attrs.define
class InvalidDigest(Invalid):
    code = "InvalidDigest"
    summary = "content_md5 is not the base64 of an MD5 digest."
    content_md5: str


@attrs.define
class BadDigest(Invalid):
    """`argument_name` is `content_md5`, whose digests are shown in hex, or `checksum`, whose are shown in base64."""

    code = "BadDigest"
    summary = "The digest that you specified does not match what was received."
    argument_name: str
    algorithm: str
    expected: str
    computed: str


@attrs.define
class IncompleteBody(Invalid):
    code = "IncompleteBody"
    summary = "The body ended before the declared number of bytes."
    expected: int | None = None
    received: int | None = None

    @property
    def message(self) -> str:
        """Which of the two is the longer. A body that is too long is not read to its end."""
        if self.expected is None or self.received is None:
            return self.summary
        if self.received > self.expected:
            return f"The body has more than the {self.expected} bytes that were declared as its size."
        return f"The body ended after {self.received} bytes; {self.expected} were declared as its size."


@attrs.define
class InvalidTag(Invalid):
    code = "InvalidTag"
    summary = "A tag is not valid."
    reason: str
    tag_key: str | None = None
    tag_value: str | None = None


@attrs.define
class TooManyTags(Invalid):
    code = "BadRequest"
    summary = "There are more tags than an object or a bucket can have."
    reason: str
    limit: int


@attrs.define
class NoSuchTagSet(NotFound):
    code = "NoSuchTagSet"
    summary = "The bucket has no tags."
    bucket: str


@attrs.define
class MalformedLifecycle(Invalid):
    code = "MalformedXML"
    summary = "The rules of the lifecycle are not well-formed."
    reason: str


@attrs.define
class MalformedPolicy(Invalid):
    """`detail` is what of the policy is meant."""

    code = "MalformedPolicy"
    summary = "The policy is not one that can be applied."
    reason: str
    detail: str | None = None


@attrs.define
class NoSuchBucketPolicy(NotFound):
    code = "NoSuchBucketPolicy"
    summary = "The bucket has no policy."
    bucket: str


@attrs.define
class InvalidRetentionPeriod(Invalid):
    code = "InvalidRetentionPeriod"
    summary = "The default retention period is not valid."
    reason: str


@attrs.define
class NoSuchLifecycle(NotFound):
    code = "NoSuchLifecycleConfiguration"
    summary = "The bucket has no lifecycle."
    bucket: str


@attrs.define
class NoSuchObjectLock(NotFound):
    code = "NoSuchObjectLockConfiguration"
    summary = "The version has no retention, or no legal hold."
    bucket: str
    key: str


@attrs.define
class ObjectLockNotConfigured(NotFound):
    code = "ObjectLockConfigurationNotFoundError"
    summary = "The bucket has no object lock."
    bucket: str


@attrs.define
class MetadataTooLarge(Invalid):
    code = "MetadataTooLarge"
    summary = "The metadata exceed the maximum allowed size."
    size: int
    max_size_allowed: int


@attrs.define
class EntityTooLarge(Invalid):
    code = "EntityTooLarge"
    summary = "The proposed upload exceeds the maximum allowed size."
    proposed_size: int | None = None
    max_size_allowed: int | None = None


@attrs.define
class EntityTooSmall(Invalid):
    code = "EntityTooSmall"
    summary = "A part other than the last is smaller than the minimum allowed size."
    proposed_size: int
    min_size_allowed: int
    part_number: int | None = None
    etag: str | None = None


@attrs.define
class InvalidRange(Invalid):
    """`first` and `last` are those of the `ByteRange`."""

    code = "InvalidRange"
    summary = "The requested range is not satisfiable."
    first: int | None
    last: int | None
    actual_object_size: int


@attrs.define
class InvalidPartNumber(Invalid):
    code = "InvalidPartNumber"
    summary = "The object has no part of this number."
    part_number_requested: int
    actual_part_count: int


@attrs.define
class InvalidPart(Invalid):
    code = "InvalidPart"
    summary = "A part could not be found, or its ETag or checksum is not the one of the part that was uploaded."
    upload_id: str
    part_number: int
    etag: str | None = None


@attrs.define
class InvalidPartOrder(Invalid):
    code = "InvalidPartOrder"
    summary = "The list of parts is not in ascending order."
    upload_id: str


@attrs.define
class MalformedACL(Invalid):
    code = "MalformedACLError"
    summary = "The access control list is not well formed."
    reason: str


@attrs.define
class UnresolvableGrantByEmailAddress(Invalid):
    code = "UnresolvableGrantByEmailAddress"
    summary = "The e-mail address does not belong to an account on this store."
    email: str


@attrs.define
class TooManyEntries(Invalid):
    code = "MalformedXML"
    summary = "The request names more entries than one request may."
    limit: int


@attrs.define
class Denied(S3Error):
    """The caller may not do this."""


@attrs.define
class AccessDenied(Denied):
    code = "AccessDenied"
    summary = "Access denied."
    reason: str | None = None


@attrs.define
class ObjectLocked(Denied):
    code = "AccessDenied"
    summary = "The version is protected by its retention or by a legal hold."


@attrs.define
class InvalidObjectState(Denied):
    """`of_source`: it is the source of a copy."""

    code = "InvalidObjectState"
    summary = "The object is archived, and cannot be read before it is restored."
    reason: str | None = None
    storage_class: str | None = None
    of_source: bool | None = None


@attrs.define
class ObjectAlreadyInActiveTier(Denied):
    code = "ObjectAlreadyInActiveTierError"
    summary = "The object is not archived, so it need not be restored."
    storage_class: str | None = None


@attrs.define
class MethodNotAllowed(Denied):
    code = "MethodNotAllowed"
    summary = "The operation is not allowed on this resource."
    resource_type: str | None = None
    version_id: str | None = None
    modified_ms: int | None = None


@attrs.define
class Unavailable(S3Error):
    """The store cannot do this, or not now."""


@attrs.define
class NotSupported(Unavailable):
    code = "NotImplemented"
    summary = "This store cannot do that."
    reason: str


@attrs.define
class SlowDown(Unavailable):
    code = "SlowDown"
    summary = "Reduce your request rate and try again."
    reason: str | None = None


@attrs.define
class ServiceUnavailable(Unavailable):
    code = "ServiceUnavailable"
    summary = "The store is not available. Try again."
    reason: str | None = None


@attrs.define
class StorageFull(Unavailable):
    code = "InsufficientStorage"
    summary = "The disk of the store is full: nothing was changed, and reads go on. Free some space and try again."


@attrs.define
class StorageUnavailable(Unavailable):
    code = "ServiceUnavailable"
    summary = "The disk of the store cannot be written: nothing was changed. See the log of the store; try again later."
    reason: str | None = None


@attrs.define
class InternalError(Unavailable):
    code = "InternalError"
    summary = "The store met an internal error. Try again."
    reason: str | None = None


@attrs.define
class BlobNotFound(BleepStoreError):
    """A backend no longer has the blob: it was superseded and removed, or its files were tampered with."""

    handle: str

    def __str__(self) -> str:
        return f"no blob {self.handle!r}"


@attrs.define
class UploadNotFound(BleepStoreError):
    """A backend no longer has an upload, which is given as its provider calls it: that or another process ended it."""

    upload: str

    def __str__(self) -> str:
        return f"no upload {self.upload!r}"


@attrs.define
class BlobChanged(BleepStoreError):
    """A conditional write found something else under the name than what it was to replace."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"what is stored as {self.bucket}/{self.key} was changed meanwhile"


@attrs.define
class BlobDamaged(BleepStoreError):
    """What a backend has under a handle is not what it wrote."""

    handle: str
    reason: str

    def __str__(self) -> str:
        return f"blob {self.handle!r} is damaged: {self.reason}"


@attrs.define
class ObjectDamaged(BleepStoreError):
    """The stored bytes of an object, or of a part of an upload, are not those that were written."""

    bucket: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"the stored bytes of {self.bucket}/{self.key} are damaged: {self.reason}"


@attrs.define
class BlobBusy(BleepStoreError):
    """The blob cannot be deleted while it is being read; try again later."""

    handle: str

    def __str__(self) -> str:
        return f"blob {self.handle!r} is being read"


class StoreError(BleepStoreError):
    """The store as a whole cannot be used as asked."""


class StoreClosed(StoreError):
    """The store was closed; open it again."""


class CatalogDamaged(StoreError):
    """The catalog is not a sound BleepStore catalog; restore it from a backup."""


class ArchiveDamaged(StoreError):
    """The file is no sound backup of a store, or its bytes are not those that were backed up."""


@attrs.frozen(kw_only=True)
class Damage:
    """An object, or a part of an upload (then it has an `upload_id` and a `part_number`), whose stored bytes are not
    those that were written, and why. `handle` is its blob; None if its bytes are in the catalog."""

    bucket: str
    key: str
    version_id: str | None = None
    upload_id: str | None = None
    part_number: int | None = None
    reason: str
    handle: str | None = attrs.field(default=None, repr=False)
    quarantined: bool = False

    def __str__(self) -> str:
        part = "" if self.upload_id is None else f" (part {self.part_number} of upload {self.upload_id})"
        version = "" if self.version_id in (None, "null") else f" (version {self.version_id})"
        return f"{self.bucket}/{self.key}{version}{part}: {self.reason}"


class BackupIncomplete(StoreError):
    """The backup was written, but objects in it are damaged, as they are in the store: `damaged` names each of them.
    `restore(..., skip_damaged=True)` brings the others."""

    def __init__(self, archive: str, damaged: Sequence[Damage]) -> None:
        super().__init__(
            f"{archive} was written, but {len(damaged)} of the store's objects are damaged: restoring it needs "
            "--skip-damaged, which leaves them out"
        )
        self.damaged = tuple(damaged)


class StoreReadOnly(StoreError):
    """The store was opened with `read_only=True`; open it without to change it."""


class CatalogTooOld(StoreError):
    """The catalog is of an older BleepStore; open it once without `read_only=True`, which brings it up to date."""


class CatalogTooNew(StoreError):
    """The catalog was written by a newer BleepStore; upgrade this one."""


#: No space on the device, in the quota, or in one file (a limit of the process or of the file system).
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: The disk fails, or is mounted so that nothing can be written.
_FAILING = frozenset({errno.EIO, errno.EROFS, errno.ENXIO, errno.ENODEV, errno.ESTALE})


def refusal_of(error: OSError) -> S3Error | None:
    """What a failed write means to who asked for it; None if it is no matter of the disk."""
    if error.errno in NO_SPACE:
        return StorageFull()
    return StorageUnavailable() if error.errno in _FAILING else None
