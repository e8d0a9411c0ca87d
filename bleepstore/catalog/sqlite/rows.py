"""Between columns and records. JSON columns hold NULL for the default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from bleepstore.digests import Algorithm
from bleepstore.model import (
    NO_SYSTEM,
    Acl,
    Bucket,
    Checksum,
    ChecksumType,
    Grant,
    Group,
    ObjectVersion,
    Owner,
    Part,
    PartSummary,
    Permission,
    SystemMetadata,
    Upload,
)

_NO_METADATA: Mapping[str, str] = {}
#: A look-up costs a tenth of what calling an enum does.
_ALGORITHMS: Mapping[str, Algorithm] = {str(algorithm): algorithm for algorithm in Algorithm}
_CHECKSUM_TYPES: Mapping[str, ChecksumType] = {str(kind): kind for kind in ChecksumType}
_SYSTEM_FIELDS = tuple(a.name for a in attrs.fields(SystemMetadata))


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def dump_system(system: SystemMetadata) -> str | None:
    if system is NO_SYSTEM:
        return None
    given = {name: value for name in _SYSTEM_FIELDS if (value := getattr(system, name)) is not None}
    return _dump(given) if given else None


def load_system(text: str | None) -> SystemMetadata:
    return SystemMetadata(**json.loads(text)) if text else NO_SYSTEM


def dump_metadata(metadata: Mapping[str, str]) -> str | None:
    # Sorted, because a mapping that went through a log has another order than the one that was proposed.
    return _dump(dict(sorted(metadata.items()))) if metadata else None


def load_metadata(text: str | None) -> Mapping[str, str]:
    return json.loads(text) if text else _NO_METADATA


def dump_acl(acl: Acl | None, owner_id: str) -> str | None:
    if acl is None or acl == Acl.private(owner_id):
        return None
    return _dump([[isinstance(g.grantee, Group), str(g.grantee), g.permission.value] for g in acl.grants])


def load_acl(text: str | None, owner_id: str) -> Acl:
    if text is None:
        return Acl.private(owner_id)
    grants = (Grant(Group(who) if group else who, Permission(what)) for group, who, what in json.loads(text))
    return Acl(owner_id, tuple(grants))


def dump_parts(parts: tuple[PartSummary, ...]) -> str | None:
    return _dump([[p.number, p.size, p.checksum, p.crc64nvme] for p in parts]) if parts else None


def load_parts(text: str | None) -> tuple[PartSummary, ...]:
    return tuple(PartSummary(*row) for row in json.loads(text)) if text else ()


BUCKET_COLUMNS = "b.name, b.owner_id, bo.display_name, b.created_ms, b.location, b.acl"


def make_bucket(row: tuple[Any, ...]) -> Bucket:
    name, owner_id, display_name, created_ms, location, acl = row
    return Bucket(name, Owner(owner_id, display_name or ""), created_ms, location, acl=load_acl(acl, owner_id))


OBJECT_COLUMNS = (
    "o.version_id, o.etag, o.size, o.modified_ms, o.owner_id, oo.display_name, o.storage_class, o.system, o.metadata, "
    "o.checksum_algorithm, o.checksum_type, o.checksum_value, o.parts_count, o.acl"
)


def make_checksum(algorithm: str | None, kind: str, value: str) -> Checksum | None:
    return Checksum(_ALGORITHMS[algorithm], value, _CHECKSUM_TYPES[kind]) if algorithm else None


def make_object(bucket: str, key: str, row: tuple[Any, ...]) -> ObjectVersion:
    (version_id, etag, size, modified_ms, owner_id, display_name, storage_class, system, metadata) = row[:9]
    algorithm, kind, value, parts_count, acl = row[9:14]
    return ObjectVersion(
        bucket=bucket,
        key=key,
        version_id=version_id,
        etag=etag,
        size=size,
        modified_ms=modified_ms,
        owner=Owner(owner_id, display_name or ""),
        storage_class=storage_class,
        system=load_system(system),
        metadata=load_metadata(metadata),
        checksum=make_checksum(algorithm, kind, value),
        parts_count=parts_count,
        acl=load_acl(acl, owner_id),
    )


UPLOAD_COLUMNS = (
    "u.key, u.upload_id, u.initiated_ms, u.owner_id, oo.display_name, u.initiator_id, io.display_name, "
    "u.storage_class, u.system, u.metadata, u.checksum_algorithm, u.checksum_type, u.acl, u.backend_token"
)
UPLOAD_OWNERS = "LEFT JOIN owner oo ON oo.owner_id = u.owner_id LEFT JOIN owner io ON io.owner_id = u.initiator_id"


def make_upload(bucket: str, row: tuple[Any, ...]) -> Upload:
    key, upload_id, initiated_ms, owner_id, owner_name, initiator_id, initiator_name, storage_class = row[:8]
    system, metadata, algorithm, kind, acl, token = row[8:]
    return Upload(
        bucket=bucket,
        key=key,
        upload_id=upload_id,
        initiated_ms=initiated_ms,
        owner=Owner(owner_id, owner_name or ""),
        initiator=Owner(initiator_id, initiator_name or ""),
        storage_class=storage_class,
        system=load_system(system),
        metadata=load_metadata(metadata),
        checksum_algorithm=Algorithm(algorithm) if algorithm else None,
        checksum_type=ChecksumType(kind) if kind else None,
        acl=load_acl(acl, owner_id),
        backend_token=token,
    )


PART_COLUMNS = "number, size, etag, modified_ms, checksum_algorithm, checksum_value, crc64nvme, handle"


def make_part(row: tuple[Any, ...]) -> Part:
    number, size, etag, modified_ms, algorithm, value, crc64nvme, handle = row
    checksum = make_checksum(algorithm, ChecksumType.FULL_OBJECT, value)
    return Part(
        number=number,
        size=size,
        etag=etag,
        modified_ms=modified_ms,
        checksum=checksum,
        crc64nvme=crc64nvme,
        handle=handle,
    )
