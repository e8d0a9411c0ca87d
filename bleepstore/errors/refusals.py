"""The root of the errors, their kinds, and the refusals that concern buckets, objects and requests as such."""

from __future__ import annotations

import enum
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
        names = [field.name for field in attrs.fields(type(self))]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

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
class NoSuchUser(NotFound):
    code = "NoSuchEntity"
    summary = "The account has no user of this name."
    account_id: str
    user: str


@attrs.define
class NoSuchUserPolicy(NotFound):
    code = "NoSuchEntity"
    summary = "The user has no policy of this name."
    account_id: str
    user: str
    policy: str


@attrs.define
class NoSuchRole(NotFound):
    code = "NoSuchEntity"
    summary = "There is no role of this name."
    role: str


@attrs.define
class Conflict(S3Error):
    """The request does not fit the present state."""


@attrs.define
class UserAlreadyExists(Conflict):
    code = "EntityAlreadyExists"
    summary = "The account has a user of this name, in whatever case."
    account_id: str
    user: str


@attrs.define
class TooManyUserPolicies(Conflict):
    code = "LimitExceeded"
    summary = "A user cannot have more policies."
    limit: int


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


_OF_QUOTA = {
    "bucket": "of the bucket",
    "account": "of the account that owns the bucket",
    "user": "of the user or role that writes",
}


@attrs.define
class QuotaExceeded(Denied):
    """`unit` is "bytes" or "objects", of which `limit` may be stored: by `scope`, as in `QuotaScope`, in the bucket, in
    all buckets of its owner, or by this user or role in these."""

    code = "QuotaExceeded"
    summary = "The write would exceed a quota: nothing was changed. Deletes and reads go on."
    bucket: str
    scope: str
    unit: str
    limit: int

    @property
    def message(self) -> str:
        whose = _OF_QUOTA[self.scope]
        return f"The write would exceed the quota {whose}: {self.limit} {self.unit}. Nothing was changed."


@attrs.define
class InvalidToken(Invalid):
    code = "InvalidToken"
    summary = "The provided token is malformed or otherwise not valid."


@attrs.define
class ExpiredToken(Invalid):
    code = "ExpiredToken"
    summary = "The provided token has expired."


@attrs.define
class AccessDenied(Denied):
    code = "AccessDenied"
    summary = "Access denied."
    reason: str | None = None


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
