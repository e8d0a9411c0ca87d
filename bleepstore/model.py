"""The nouns of the store: frozen records that every layer passes around.

Times are integers, milliseconds since the epoch (the precision that S3 shows in listings), so that
the catalog needs no clock and no float. ETags are bare, without the quotes that HTTP puts around them.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
from collections.abc import Mapping
from typing import Any

import attrs

from bleepstore.configurations import Configurations
from bleepstore.cors import CorsRule
from bleepstore.digests import Algorithm
from bleepstore.encryption import BucketEncryption, Encryption
from bleepstore.events import EventRule
from bleepstore.lifecycle import Lifecycle
from bleepstore.object_lock import ObjectLock, Retention
from bleepstore.ownership import ObjectOwnership, Payer, PublicAccessBlock
from bleepstore.rates import RateLimit
from bleepstore.replication import Replication, ReplicationRule
from bleepstore.values import NO_TEXTS, statically_frozen

NULL_VERSION = "null"  # the id of what was written while its bucket kept no versions
STANDARD = "STANDARD"
#: Those of a general purpose bucket ("Understanding and managing Amazon S3 storage classes"). One kind of storage
#: serves all; the class is kept and shown, and what is archived must be restored to be read.
STORAGE_CLASSES = frozenset(
    {
        "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
        "DEEP_ARCHIVE", "GLACIER_IR",
    }
)  # fmt: skip

#: Of these nothing can be read before it is restored ("Working with archived objects").
ARCHIVED_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
DAY_MS = 24 * 60 * 60 * 1000

# Limits of the S3 API ("Amazon S3 multipart upload limits", "Working with object metadata").
MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 2048
MAX_SINGLE_PUT = 5 * 1024**3
MIN_PART = 5 * 1024**2
MAX_PART = 5 * 1024**3
MAX_PARTS = 10_000
MAX_OBJECT = 5 * 1024**4
MAX_PAGE = 1000
#: As many as managed policies can be attached to a user, with a higher quota ("IAM and AWS STS quotas").
MAX_USER_POLICIES = 20


def to_datetime(time_ms: int) -> dt.datetime:
    """Milliseconds since the epoch as an aware datetime in UTC."""
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)


class RestoreTier(enum.StrEnum):
    """How quickly an archived object is asked for. Here all are as quick as the store is set to."""

    EXPEDITED = "Expedited"
    STANDARD = "Standard"
    BULK = "Bulk"


def midnight_after(time_ms: int, days: int) -> int:
    """`days` later, in milliseconds: "rounding the resulting time to the next day midnight UTC"."""
    return -(-(time_ms + days * DAY_MS) // DAY_MS) * DAY_MS


@attrs.frozen
class Owner:
    """An account: the canonical user id that S3 shows, and a name for people."""

    id: str
    display_name: str = ""


#: What S3 shows as the owner of what an anonymous caller wrote.
ANONYMOUS_OWNER = Owner("65a011a29cdf8ec533ec3d1ccaae921c", "anonymous")


@attrs.frozen(kw_only=True)
class User:
    """One of those who act for an account, with the rights that its policies give ("IAM users").

    `id` is never given again, `path` begins and ends with a slash. `policies` are the texts of its identity policies by
    their names.
    """

    account: Owner
    name: str
    id: str
    path: str = "/"
    created_ms: int = 0
    policies: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    #: How policies name it.
    arn: str = attrs.field(init=False, repr=False, eq=False)

    @arn.default
    def _arn(self) -> str:
        return f"{user_arns(self.account.id)}{self.path}{self.name}"


def user_arns(account_id: str) -> str:
    """How the ARNs of an account's users begin; a path follows."""
    return f"arn:aws:iam::{account_id}:user"


def is_arn(principal_id: str) -> bool:
    """Whether an id is that of a user, and not of an account."""
    return principal_id.startswith("arn:")


def account_of(arn: str) -> str:
    """The id of the account whose user or role has this ARN."""
    return arn.split(":")[4]


def user_of(arn: str) -> str:
    """The name of the user that has this ARN."""
    return arn.rpartition("/")[2]


@attrs.frozen
class Credential:
    """An access key and whose it is: of `user`, or else of the account itself, which may do all that it can."""

    access_key: str
    secret_key: str = attrs.field(repr=False)
    owner: Owner
    email: str | None = None
    enabled: bool = True
    created_ms: int = 0
    user: User | None = None
    #: The master key by which `secret_key` is still encrypted; None: it is the secret itself.
    sealed_by: str | None = None
    #: Its own, and its account's.
    rate_limits: tuple[RateLimit, ...] = ()


class Permission(enum.StrEnum):
    """What a grant allows ("Access control list (ACL) overview")."""

    FULL_CONTROL = "FULL_CONTROL"
    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"


class Group(enum.StrEnum):
    """The predefined groups of Amazon S3, by the last segment of their URI."""

    ALL_USERS = "AllUsers"
    AUTHENTICATED_USERS = "AuthenticatedUsers"
    LOG_DELIVERY = "LogDelivery"


@attrs.frozen
class Grant:
    """`permission` for one canonical user id or one group."""

    grantee: str | Group
    permission: Permission


@attrs.frozen
class Acl:
    """Who owns a resource and who else may do what. An empty list of grants is a legal ACL."""

    owner_id: str
    grants: tuple[Grant, ...]

    @staticmethod
    @functools.lru_cache(maxsize=1024)
    def private(owner_id: str) -> Acl:
        """The owner alone, as nearly every object has it."""
        return Acl(owner_id, (Grant(owner_id, Permission.FULL_CONTROL),))


@attrs.frozen(kw_only=True)
class BucketSettings:
    """What a bucket is configured with, beside its ACL; None: it has none of that.

    Each is replaced as a whole. `bleepstore.bucket_settings` says how each is stored. `policy` is the text of the
    bucket's policy, as it was given; `configurations` are those that are stored as they were given; `events` are what
    of them says which events are kept, and for whom, `replication` what is copied to other buckets.
    """

    tags: Mapping[str, str] | None = None
    lifecycle: Lifecycle | None = None
    object_lock: ObjectLock | None = None
    encryption: BucketEncryption | None = None
    policy: str | None = None
    cors: tuple[CorsRule, ...] | None = None
    ownership: ObjectOwnership | None = None
    public_access_block: PublicAccessBlock | None = None
    payer: Payer | None = None
    configurations: Configurations | None = None
    events: tuple[EventRule, ...] | None = None
    replication: tuple[ReplicationRule, ...] | None = None


#: The same instance wherever nothing is configured.
NO_SETTINGS = BucketSettings()


@attrs.frozen
class BucketSetting:
    """One of the fields of `BucketSettings` and its new value."""

    name: str
    value: Any


class Versioning(enum.StrEnum):
    """Whether a bucket keeps what is replaced and deleted ("Retaining multiple versions of objects with S3
    Versioning"). Once enabled it is never without again: it can be suspended, which keeps what there is."""

    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@attrs.frozen
class Bucket:
    name: str
    owner: Owner
    created_ms: int
    location: str = ""
    #: Of this bucket alone: a later one of the same name has another.
    id: int = attrs.field(kw_only=True)
    #: Its owner's alone, whatever was set, where access control lists are disabled.
    acl: Acl = attrs.field(kw_only=True)
    settings: BucketSettings = attrs.field(kw_only=True, default=NO_SETTINGS)
    #: None: it never kept versions.
    versioning: Versioning | None = attrs.field(kw_only=True, default=None)
    #: Whether what it holds is counted: it has a quota, or its owner has, or a user or role of that.
    keeps_usage: bool = attrs.field(kw_only=True, default=False)

    @property
    def created(self) -> dt.datetime:
        return to_datetime(self.created_ms)


@attrs.frozen(kw_only=True)
class SystemMetadata:
    """The system-defined metadata that a user controls ("Working with object metadata")."""

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    expires: str | None = None
    website_redirect_location: str | None = None


#: The same instance wherever there are none, so that it is quickly told.
NO_SYSTEM = SystemMetadata()


@attrs.frozen
class Restoration:
    """That an archived object can be read from `ready_ms` on, until `until_ms`: milliseconds since the epoch."""

    ready_ms: int
    until_ms: int


@attrs.frozen(kw_only=True)
class ObjectAttributes:
    """What goes with an object: given by who writes it, kept by its uploads, versions and copies, shown by reads.

    `grants` are those of its ACL; None: its owner alone. `restoration` is of what is archived, and no copy has it.
    `retention` and `legal_hold` protect a version where its bucket has object lock; a `legal_hold` of False was taken
    away, None was never there. `encryption` says how the bytes are encrypted; None: they are not. `replication` says
    how far copies of it elsewhere are; None: there are none. The store makes both.
    `bleepstore.attributes` says how each field is stored.
    """

    system: SystemMetadata = NO_SYSTEM
    metadata: Mapping[str, str] = NO_TEXTS
    storage_class: str = STANDARD
    grants: tuple[Grant, ...] | None = None
    tags: Mapping[str, str] = NO_TEXTS
    restoration: Restoration | None = None
    retention: Retention | None = None
    legal_hold: bool | None = None
    encryption: Encryption | None = None
    replication: Replication | None = None

    def acl(self, owner_id: str) -> Acl:
        """The ACL, for an object of this owner."""
        return Acl.private(owner_id) if self.grants is None else Acl(owner_id, self.grants)


#: The same instance wherever nothing was said.
NO_ATTRIBUTES = ObjectAttributes()


@attrs.frozen
class Expiry:
    """That a rule of the bucket's lifecycle will end an object, or an upload: a midnight, in milliseconds since the
    epoch, and the rule's id."""

    time_ms: int
    rule_id: str

    @property
    def time(self) -> dt.datetime:
        return to_datetime(self.time_ms)


class ChecksumType(enum.StrEnum):
    FULL_OBJECT = "FULL_OBJECT"
    COMPOSITE = "COMPOSITE"


@statically_frozen
class Checksum:
    """An additional checksum: base64 of the digest's bytes (big-endian for the CRCs).

    The value of a COMPOSITE checksum is the digest of the parts' digests, without the `-N` that S3 appends.
    """

    algorithm: Algorithm
    value: str
    type: ChecksumType = ChecksumType.FULL_OBJECT


@attrs.frozen
class Inline:
    """Object bytes that live in the catalog."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class BlobRef:
    """Object bytes that a backend holds under an opaque handle."""

    handle: str


Data = Inline | BlobRef


@attrs.frozen
class PartSummary:
    """One part of a completed multipart object. `crc64nvme` is the store's own checksum of its bytes, in base64."""

    number: int
    size: int
    checksum: str | None = None
    crc64nvme: str | None = None


class _Attributed:
    """The attributes of an object by their own names."""

    __slots__ = ()
    owner: Owner
    attributes: ObjectAttributes

    @property
    def system(self) -> SystemMetadata:
        return self.attributes.system

    @property
    def content_type(self) -> str | None:
        return self.attributes.system.content_type

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.attributes.metadata

    @property
    def storage_class(self) -> str:
        return self.attributes.storage_class

    @property
    def tags(self) -> Mapping[str, str]:
        return self.attributes.tags

    @property
    def retention(self) -> Retention | None:
        return self.attributes.retention

    @property
    def legal_hold(self) -> bool | None:
        return self.attributes.legal_hold

    @property
    def encryption(self) -> Encryption | None:
        return self.attributes.encryption

    @property
    def replication(self) -> Replication | None:
        return self.attributes.replication

    @property
    def acl(self) -> Acl:
        return self.attributes.acl(self.owner.id)


@statically_frozen(kw_only=True)
class ObjectVersion(_Attributed):
    """One version of an object: all that the store knows of it except its bytes.

    `is_versioned`: its bucket keeps versions, or once did. A delete marker is a version without bytes, which says that
    the object is deleted; it has no ETag, and no attributes.
    """

    bucket: str
    key: str
    version_id: str = NULL_VERSION
    etag: str
    size: int
    modified_ms: int
    owner: Owner
    #: Of the owner's account or of another: the ARN of the user or the role that made it; None: an account itself did.
    creator_id: str | None = None
    attributes: ObjectAttributes = NO_ATTRIBUTES
    checksum: Checksum | None = None
    parts_count: int | None = None
    is_versioned: bool = False
    is_delete_marker: bool = False
    #: Of a current version in a bucket whose lifecycle will end it.
    expiry: Expiry | None = attrs.field(default=None, eq=False)
    #: Of what copy_object returns: the version that was copied, if its bucket keeps versions.
    source_version_id: str | None = attrs.field(default=None, eq=False)

    @property
    def modified(self) -> dt.datetime:
        return to_datetime(self.modified_ms)


@attrs.frozen
class UploadToken:
    """What a backend calls a multipart upload that is under way. Any process can go on with it; only the backend reads
    its text."""

    text: str


@attrs.frozen(kw_only=True)
class Upload(_Attributed):
    """A multipart upload that was created and neither completed nor aborted.

    `initiator` is an account, or a user, whose id is its ARN ("If the initiator is an IAM User, this element provides
    the user ARN and display name", ListParts).
    """

    bucket: str
    bucket_id: int
    key: str
    upload_id: str
    initiated_ms: int
    owner: Owner
    initiator: Owner
    attributes: ObjectAttributes = NO_ATTRIBUTES
    checksum_algorithm: Algorithm | None = None
    checksum_type: ChecksumType | None = None
    backend_token: UploadToken | None = None
    #: If a rule of the bucket's lifecycle will abort it.
    expiry: Expiry | None = attrs.field(default=None, eq=False)

    @property
    def creator_id(self) -> str | None:
        """As the object will have it: its initiator, if that is no account."""
        return self.initiator.id if is_arn(self.initiator.id) else None

    @property
    def initiated(self) -> dt.datetime:
        return to_datetime(self.initiated_ms)


@attrs.frozen(kw_only=True)
class Part:
    """An uploaded part. `etag` is the MD5 of its bytes in hex; `crc64nvme` the store's own checksum, in base64."""

    number: int
    size: int
    etag: str
    modified_ms: int
    checksum: Checksum | None = None
    crc64nvme: str | None = attrs.field(default=None, repr=False)
    handle: str = attrs.field(repr=False)
    #: Of what put_part and copy_part return: that of the upload.
    encryption: Encryption | None = attrs.field(default=None, eq=False)
    #: Of what copy_part returns: the version that was copied, if its bucket keeps versions.
    source_version_id: str | None = attrs.field(default=None, eq=False)

    @property
    def modified(self) -> dt.datetime:
        return to_datetime(self.modified_ms)


@attrs.frozen(kw_only=True)
class CompletedPart:
    """What the caller of complete_upload says of one part."""

    number: int
    etag: str
    checksum: Checksum | None = None


def _check_position(_range: object, field: attrs.Attribute[int | None], value: object) -> None:
    if value is not None and not isinstance(value, int):
        raise TypeError(f"{field.name} of a ByteRange is a whole number or None, not {value!r}")


@attrs.frozen
class ByteRange:
    """A range as asked for: `first` to `last` inclusive.

    `last` None means to the end; `first` None means the last `last` bytes (RFC 9110 section 14.1.2).
    """

    first: int | None = attrs.field(validator=_check_position)
    last: int | None = attrs.field(validator=_check_position)


@attrs.frozen(kw_only=True)
class DeletedObject:
    """What a delete did: `version_id` is the version that it was to remove, `delete_marker_id` the id of the delete
    marker that it made or, where it was to remove a version, removed."""

    key: str
    version_id: str | None = None
    delete_marker_id: str | None = None

    @property
    def is_delete_marker(self) -> bool:
        """Whether a delete marker was made or removed."""
        return self.delete_marker_id is not None
