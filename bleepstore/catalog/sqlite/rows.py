"""Between columns and records. JSON columns hold NULL for the default."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Mapping
from typing import Any

from bleepstore.acl_rules import is_enforced
from bleepstore.attributes import ATTRIBUTES, DEFAULTS, Attribute, dump, read_grants, read_retention, write_grants
from bleepstore.attributes import COLUMNS as ATTRIBUTE_COLUMNS
from bleepstore.bucket_settings import from_documents
from bleepstore.catalog.records import FoundObject, ProtectedVersion
from bleepstore.digests import Algorithm
from bleepstore.model import (
    NO_ATTRIBUTES,
    NO_SETTINGS,
    Acl,
    Bucket,
    BucketSettings,
    Checksum,
    ChecksumType,
    Credential,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    Part,
    PartSummary,
    Upload,
    UploadToken,
    User,
    Versioning,
    user_of,
)

#: A look-up costs a tenth of what calling an enum does.
_ALGORITHMS: Mapping[str, Algorithm] = {str(algorithm): algorithm for algorithm in Algorithm}
_CHECKSUM_TYPES: Mapping[str, ChecksumType] = {str(kind): kind for kind in ChecksumType}
#: There are few of them, and they are asked for with each object.
_owner_of = functools.lru_cache(maxsize=1024)(Owner)


def dump_acl(acl: Acl, owner_id: str) -> str | None:
    return None if acl == Acl.private(owner_id) else dump(write_grants(acl.grants))


def load_acl(text: str | None, owner_id: str) -> Acl:
    grants = None if text is None else read_grants(json.loads(text))
    return Acl.private(owner_id) if grants is None else Acl(owner_id, grants)


def dump_parts(parts: tuple[PartSummary, ...]) -> str | None:
    return dump([[p.number, p.size, p.checksum, p.crc64nvme] for p in parts]) if parts else None


def load_parts(text: str | None) -> tuple[PartSummary, ...]:
    return tuple(PartSummary(*row) for row in json.loads(text)) if text else ()


def make_protected(row: tuple[Any, ...]) -> ProtectedVersion:
    bucket, key, version_id, retention, legal_hold = row
    until = None if retention is None else read_retention(json.loads(retention))
    return ProtectedVersion(bucket, key, version_id, until, legal_hold == "true")


_ALL_ABSENT = (None,) * len(ATTRIBUTES)


def columns_of(attributes: ObjectAttributes) -> list[str | None]:
    """The values of `ATTRIBUTE_COLUMNS`: equal attributes have equal ones."""
    if attributes == NO_ATTRIBUTES:
        return [None] * len(ATTRIBUTES)
    columns: list[str | None] = []
    for attribute, default in DEFAULTS:
        value = getattr(attributes, attribute.name)
        if value is default or value == default:
            columns.append(None)
        else:
            made = attribute.to_json(value)
            columns.append(made if attribute.is_text else dump(made))
    return columns


def _loader(attribute: Attribute) -> Callable[[str], Any]:
    def load(text: str) -> Any:
        return attribute.from_json(text if attribute.is_text else json.loads(text))

    return functools.lru_cache(maxsize=1024)(load) if attribute.is_common else load


_LOADERS = tuple((attribute.name, _loader(attribute)) for attribute in ATTRIBUTES)
_uncommon_of = operator.itemgetter(*(number for number, attribute in enumerate(ATTRIBUTES) if not attribute.is_common))


def from_columns(columns: tuple[str | None, ...]) -> ObjectAttributes:
    """The attributes whose `ATTRIBUTE_COLUMNS` these are."""
    if columns == _ALL_ABSENT:
        return NO_ATTRIBUTES
    return _load_attributes(columns) if any(_uncommon_of(columns)) else _shared_attributes(columns)


def _load_attributes(columns: tuple[str | None, ...]) -> ObjectAttributes:
    given: dict[str, Any] = {}
    for (name, load), text in zip(_LOADERS, columns, strict=True):
        if text is not None:
            given[name] = load(text)
    return ObjectAttributes(**given)


#: Most objects have a content type alone, and there are few of them.
_shared_attributes = functools.lru_cache(maxsize=1024)(_load_attributes)

BUCKET_COLUMNS = (
    "b.name, b.owner_id, bo.display_name, b.created_ms, b.location, b.bucket_id, b.acl, b.versioning, "
    "b.keeps_usage, "
    "(SELECT json_group_object(s.name, s.document) FROM bucket_setting s WHERE s.bucket_id = b.bucket_id)"
)
_NO_DOCUMENTS = "{}"
#: What finds a version by its id: in the index of them, which does not hold current ones of the id "null". By itself
#: SQLite would look through all versions of the bucket, which seem to it to be few.
BY_VERSION_ID = "INDEXED BY version_id"
VERSION_BY_ID = "version_id = ? AND (version_id <> 'null' OR noncurrent = 1)"


@functools.lru_cache(maxsize=1024)
def read_settings(documents: str) -> BucketSettings:
    """Of a JSON object of the documents of settings, none of which may have values that can be changed."""
    return NO_SETTINGS if documents == _NO_DOCUMENTS else from_documents(json.loads(documents).items())


def make_bucket(row: tuple[Any, ...]) -> Bucket:
    name, owner_id, display_name, created_ms, location, bucket_id, acl, versioning, keeps_usage, documents = row
    settings = NO_SETTINGS if documents == _NO_DOCUMENTS else from_documents(json.loads(documents).items())
    return Bucket(
        name,
        Owner(owner_id, display_name or ""),
        created_ms,
        location,
        id=bucket_id,
        acl=Acl.private(owner_id) if is_enforced(settings) else load_acl(acl, owner_id),
        versioning=versioning and Versioning(versioning),
        settings=settings,
        keeps_usage=keeps_usage == 1,
    )


#: Of all users `u`, with the names of their accounts.
USERS = (
    "SELECT u.account_id, uo.display_name, u.name, u.path, u.user_id, u.created_ms, u.policies "
    "FROM user u LEFT JOIN owner uo ON uo.owner_id = u.account_id"
)
FIND_USER = f"{USERS} WHERE u.account_id = ? AND u.name = ?"


def make_user(row: tuple[Any, ...]) -> User:
    account_id, display_name, name, path, user_id, created_ms, policies = row
    return User(
        account=Owner(account_id, display_name or ""),
        name=name,
        id=user_id,
        path=path,
        created_ms=created_ms,
        policies=json.loads(policies),
    )


#: Of all access keys `c`, with what `USERS` has of their users.
CREDENTIALS = (
    "SELECT c.access_key, c.secret_key, c.owner_id, o.display_name, c.email, c.enabled, c.created_ms, c.sealed_by, "
    "c.user_name, u.name, u.path, u.user_id, u.created_ms, u.policies "
    "FROM credential c LEFT JOIN owner o ON o.owner_id = c.owner_id "
    "LEFT JOIN user u ON u.account_id = c.owner_id AND u.name = c.user_name"
)


def make_credential(row: tuple[Any, ...]) -> Credential:
    access_key, secret_key, owner_id, display_name, email, enabled, created_ms, sealed_by, user_name = row[:9]
    return Credential(
        access_key,
        secret_key,
        Owner(owner_id, display_name or ""),
        email,
        bool(enabled),
        created_ms,
        None if user_name is None else make_user((owner_id, display_name, *row[9:])),
        sealed_by,
    )


_OWN_OBJECT_COLUMNS = (
    "o.version_id, o.etag, o.size, o.modified_ms, o.owner_id, oo.display_name, o.checksum_algorithm, o.checksum_type, "
    "o.checksum_value, o.parts_count, b.versioning IS NOT NULL, o.is_delete_marker, o.creator_id, o.handle, "
    "o.crc64nvme, o.bucket_id, -o.sequence"
)
_OWN_OBJECT_WIDTH = _OWN_OBJECT_COLUMNS.count(",") + 1
#: What `make_found` is given, before the bytes.
FOUND_COLUMNS = ", ".join((_OWN_OBJECT_COLUMNS, *(f"o.{name}" for name in ATTRIBUTE_COLUMNS)))


def make_checksum(algorithm: str | None, kind: str, value: str) -> Checksum | None:
    return Checksum(_ALGORITHMS[algorithm], value, _CHECKSUM_TYPES[kind]) if algorithm else None


def make_found(bucket: str, key: str, row: tuple[Any, ...]) -> FoundObject:
    """Of a row of FOUND_COLUMNS and the object's bytes."""
    version_id, etag, size, modified_ms, owner_id, display_name, algorithm, kind, value = row[:9]
    parts_count, is_versioned, is_marker, creator_id, handle, crc64nvme, bucket_id, sequence = row[9:_OWN_OBJECT_WIDTH]
    version = ObjectVersion(
        bucket=bucket,
        key=key,
        version_id=version_id,
        etag=etag,
        size=size,
        modified_ms=modified_ms,
        owner=_owner_of(owner_id, display_name or ""),
        creator_id=creator_id,
        checksum=make_checksum(algorithm, kind, value),
        attributes=from_columns(row[_OWN_OBJECT_WIDTH:-1]),
        parts_count=parts_count,
        is_versioned=is_versioned == 1,
        is_delete_marker=is_marker == 1,
    )
    return FoundObject(version, handle, row[-1], crc64nvme, bucket_id, sequence)


_OWN_UPLOAD_COLUMNS = (
    "u.key, u.upload_id, u.initiated_ms, u.owner_id, oo.display_name, u.initiator_id, io.display_name, "
    "u.checksum_algorithm, u.checksum_type, u.backend_token, u.bucket_id"
)
_OWN_UPLOAD_WIDTH = _OWN_UPLOAD_COLUMNS.count(",") + 1
UPLOAD_COLUMNS = ", ".join((_OWN_UPLOAD_COLUMNS, *(f"u.{name}" for name in ATTRIBUTE_COLUMNS)))
UPLOAD_OWNERS = "LEFT JOIN owner oo ON oo.owner_id = u.owner_id LEFT JOIN owner io ON io.owner_id = u.initiator_id"


def make_upload(bucket: str, row: tuple[Any, ...]) -> Upload:
    key, upload_id, initiated_ms, owner_id, owner_name, initiator_id, initiator_name = row[:7]
    algorithm, kind, token, bucket_id = row[7:_OWN_UPLOAD_WIDTH]
    return Upload(
        bucket=bucket,
        bucket_id=bucket_id,
        key=key,
        upload_id=upload_id,
        initiated_ms=initiated_ms,
        owner=_owner_of(owner_id, owner_name or ""),
        # Accounts are remembered. A user is none, and its ARN ends in its name.
        initiator=_owner_of(initiator_id, user_of(initiator_id) if initiator_name is None else initiator_name),
        attributes=from_columns(row[_OWN_UPLOAD_WIDTH:]),
        checksum_algorithm=_ALGORITHMS[algorithm] if algorithm else None,
        checksum_type=_CHECKSUM_TYPES[kind] if kind else None,
        backend_token=None if token is None else UploadToken(token),
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
