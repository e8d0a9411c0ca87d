"""Inventories of buckets: what a list has of each object, and what is published beside it ("Amazon S3 Inventory list").

PREFIX/BUCKET/ID/2026-11-29T01-00Z/manifest.json        which files there are, with their MD5
PREFIX/BUCKET/ID/2026-11-29T01-00Z/manifest.checksum    the MD5 of that
PREFIX/BUCKET/ID/hive/dt=2026-11-29-01-00/symlink.txt   the same files, for Hive
PREFIX/BUCKET/ID/data/....csv.gz
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from bleepstore.configurations import bucket_of_arn
from bleepstore.encryption import EncryptionKind, EncryptionRequest, NamedKey, StoreKey
from bleepstore.model import DAY_MS, Acl, Group, ObjectVersion, to_datetime

_VERSION = "2016-11-30"
_ACL_VERSION = "2022-11-10"
_GROUPS = "http://acs.amazonaws.com/groups/"
#: A Sunday: "Weekly reports are generated on Sundays".
_FIRST_SUNDAY_MS = 3 * DAY_MS


class Format(enum.StrEnum):
    CSV = "CSV"
    ORC = "ORC"
    PARQUET = "Parquet"

    @property
    def suffix(self) -> str:
        return {"CSV": ".csv.gz", "ORC": ".orc", "Parquet": ".parquet"}[self.value]


@attrs.frozen
class ListedItem:
    """An object, or a version or a delete marker, that is listed."""

    version: ObjectVersion
    is_latest: bool


class Kind(enum.Enum):
    """What a column holds. Times are whole milliseconds since the epoch."""

    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    TIME = "time"


@attrs.frozen
class Column:
    """`name` is that of lists as texts, `field` of those that have types."""

    name: str
    field: str
    kind: Kind
    value: Callable[[ListedItem], Any]


def _of_object(find: Callable[[ObjectVersion], Any]) -> Callable[[ListedItem], Any]:
    """Delete markers have none of it."""
    return lambda item: None if item.version.is_delete_marker else find(item.version)


def _encryption(version: ObjectVersion) -> str:
    encryption = version.encryption
    if encryption is None:
        return "NOT-SSE"
    words = {EncryptionKind.STORE: "SSE-S3", EncryptionKind.NAMED: "SSE-KMS", EncryptionKind.CUSTOMER: "SSE-C"}
    return words[encryption.kind]


def _bucket_key(version: ObjectVersion) -> str | None:
    encryption = version.encryption
    if encryption is None or encryption.kind is not EncryptionKind.NAMED:
        return None
    return "ENABLED" if encryption.bucket_key else "DISABLED"


def _acl(version: ObjectVersion) -> str:
    """The list as JSON, in base64."""
    document = {"version": _ACL_VERSION, "status": "AVAILABLE", "grants": list(_grants(version.acl))}
    return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()


def _grants(acl: Acl) -> Iterable[Mapping[str, str]]:
    for grant in acl.grants:
        permission = {"type": "CanonicalUser", "permission": grant.permission.value}
        if isinstance(grant.grantee, Group):
            folder = "s3" if grant.grantee is Group.LOG_DELIVERY else "global"
            yield {"uri": f"{_GROUPS}{folder}/{grant.grantee.value}", **permission, "type": "Group"}
        else:
            yield {"canonicalId": grant.grantee, **permission}


def _hold(version: ObjectVersion) -> str | None:
    held = version.attributes.legal_hold
    return None if held is None else "On" if held else "Off"


def _replication(version: ObjectVersion) -> str | None:
    found = version.attributes.replication
    return None if found is None else found.status.value


_T, _N, _B, _M = Kind.TEXT, Kind.NUMBER, Kind.TRUTH, Kind.TIME
_ALWAYS = (
    Column("Bucket", "bucket", _T, lambda item: item.version.bucket),
    Column("Key", "key", _T, lambda item: item.version.key),
)
_OF_VERSIONS = (
    Column("VersionId", "version_id", _T, lambda item: item.version.version_id),
    Column("IsLatest", "is_latest", _B, lambda item: item.is_latest),
    Column("IsDeleteMarker", "is_delete_marker", _B, lambda item: item.version.is_delete_marker),
)
#: In the order that lists have them. What this store does not have is empty.
_OPTIONAL = (
    Column("Size", "size", _N, _of_object(lambda one: one.size)),
    Column("LastModifiedDate", "last_modified_date", _M, lambda item: item.version.modified_ms),
    Column("ETag", "e_tag", _T, _of_object(lambda one: one.etag)),
    Column("StorageClass", "storage_class", _T, _of_object(lambda one: one.storage_class)),
    Column("IsMultipartUploaded", "is_multipart_uploaded", _B, _of_object(lambda one: one.parts_count is not None)),
    Column("ReplicationStatus", "replication_status", _T, _of_object(_replication)),
    Column("EncryptionStatus", "encryption_status", _T, _of_object(_encryption)),
    Column(
        "ObjectLockRetainUntilDate", "object_lock_retain_until_date", _M,
        _of_object(lambda one: one.attributes.retention and one.attributes.retention.until_ms),
    ),
    Column(
        "ObjectLockMode", "object_lock_mode", _T,
        _of_object(lambda one: one.attributes.retention and one.attributes.retention.mode.value),
    ),
    Column("ObjectLockLegalHoldStatus", "object_lock_legal_hold_status", _T, _of_object(_hold)),
    Column("ObjectLockEventHoldStatus", "object_lock_event_hold_status", _T, lambda _item: None),
    Column("ObjectLockEventHoldDuration", "object_lock_event_hold_duration", _T, lambda _item: None),
    Column(
        "IntelligentTieringAccessTier", "intelligent_tiering_access_tier", _T,
        _of_object(lambda one: "FREQUENT" if one.storage_class == "INTELLIGENT_TIERING" else None),
    ),
    Column("BucketKeyStatus", "bucket_key_status", _T, _of_object(_bucket_key)),
    Column("ChecksumAlgorithm", "checksum_algorithm", _T,
           _of_object(lambda one: one.checksum and one.checksum.algorithm.value)),
    Column("ObjectAccessControlList", "object_access_control_list", _T, _of_object(_acl)),
    Column("ObjectOwner", "object_owner", _T, lambda item: item.version.owner.id),
    Column("LifecycleExpirationDate", "lifecycle_expiration_date", _M,
           _of_object(lambda one: one.expiry and one.expiry.time_ms)),
    Column("IntelligentTieringReferenceDate", "intelligent_tiering_reference_date", _M, lambda _item: None),
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Inventory:
    """The parts of an inventory configuration."""

    id: str
    is_enabled: bool
    #: Of which objects, and whether of all versions.
    prefix: str
    of_versions: bool
    is_weekly: bool
    columns: tuple[Column, ...]
    #: Where it goes.
    bucket: str
    destination_prefix: str
    format: Format
    encryption: EncryptionRequest | None

    def folder(self, source: str) -> str:
        """How the keys of what is published of the bucket `source` begin."""
        beginning = f"{self.destination_prefix}/" if self.destination_prefix else ""
        return f"{beginning}{source}/{self.id}/"

    def due_since_ms(self, now_ms: int) -> int:
        """Since when there should be one: the last midnight (UTC), or that of the last Sunday."""
        period, first = (7 * DAY_MS, _FIRST_SUNDAY_MS) if self.is_weekly else (DAY_MS, 0)
        return (now_ms - first) // period * period + first


@functools.lru_cache(256)
def parse_inventory(document: str) -> Inventory:
    """Of a document as it is stored."""
    read = json.loads(document)
    destination = read["Destination"]["S3BucketDestination"]
    wanted = frozenset(read.get("OptionalFields", ()))
    of_versions = read["IncludedObjectVersions"] == "All"
    return Inventory(
        id=read["Id"],
        is_enabled=read["IsEnabled"],
        prefix=read.get("Filter", {}).get("Prefix", ""),
        of_versions=of_versions,
        is_weekly=read["Schedule"]["Frequency"] == "Weekly",
        columns=(
            *_ALWAYS,
            *(_OF_VERSIONS if of_versions else ()),
            *(column for column in _OPTIONAL if column.name in wanted),
        ),
        bucket=bucket_of_arn(destination["Bucket"]),
        destination_prefix=destination.get("Prefix", ""),
        format=Format(destination["Format"]),
        encryption=_asked_encryption(destination.get("Encryption")),
    )


def _asked_encryption(document: Mapping[str, Any] | None) -> EncryptionRequest | None:
    if document is None:
        return None
    return StoreKey() if "SSES3" in document else NamedKey(key_id=document["SSEKMS"]["KeyId"])


@attrs.frozen
class DataFile:
    """A part of a list, as it was published."""

    key: str
    size: int
    md5: str


def render_manifest(inventory: Inventory, source: str, began_ms: int, schema: str, files: Sequence[DataFile]) -> bytes:
    manifest = {
        "sourceBucket": source,
        "destinationBucket": f"arn:aws:s3:::{inventory.bucket}",
        "version": _VERSION,
        "creationTimestamp": str(began_ms),
        "fileFormat": inventory.format.value,
        "fileSchema": schema,
        "files": [{"key": one.key, "size": one.size, "MD5checksum": one.md5} for one in files],
    }
    return json.dumps(manifest, indent=2).encode()


def render_symlinks(inventory: Inventory, files: Sequence[DataFile]) -> bytes:
    return "\n".join(f"s3://{inventory.bucket}/{one.key}" for one in files).encode()


def manifest_folder(time_ms: int) -> str:
    """Below the folder of an inventory; the day alone is where those of a day begin."""
    return f"{_utc(time_ms):%Y-%m-%dT%H-%MZ}/"


def hive_folder(time_ms: int) -> str:
    return f"hive/dt={_utc(time_ms):%Y-%m-%d-%H-%M}/"


def _utc(time_ms: int) -> dt.datetime:
    return to_datetime(time_ms)
