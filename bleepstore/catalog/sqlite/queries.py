"""What can be asked of the catalog. Every function takes a reader's connection."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import apsw
import attrs

from bleepstore.catalog.rows import (
    BUCKET_COLUMNS,
    OBJECT_COLUMNS,
    OBJECT_WIDTH,
    PART_COLUMNS,
    UPLOAD_COLUMNS,
    UPLOAD_OWNERS,
    load_parts,
    make_bucket,
    make_object,
    make_part,
    make_upload,
)
from bleepstore.model import Bucket, Credential, ObjectVersion, Owner, Part, PartSummary, Upload
from bleepstore.names import check_type


@attrs.frozen
class FoundObject:
    """A version and where its bytes are: `data` if they are inline, else `handle`. `crc64nvme` is theirs, if known."""

    version: ObjectVersion
    handle: str | None
    data: bytes | None = attrs.field(repr=False)
    crc64nvme: str | None = None


_BUCKET = f"SELECT {BUCKET_COLUMNS} FROM bucket b LEFT JOIN owner bo ON bo.owner_id = b.owner_id"
_OBJECT_FROM = (
    "FROM bucket b CROSS JOIN object_version o ON o.bucket_id = b.bucket_id AND o.is_current = 1 "
    "LEFT JOIN owner oo ON oo.owner_id = o.owner_id"
)
_HEAD = f"SELECT {OBJECT_COLUMNS}, o.handle, NULL, o.crc64nvme {_OBJECT_FROM} WHERE b.name = ? AND o.key = ?"
_GET = (
    f"SELECT {OBJECT_COLUMNS}, o.handle, d.data, o.crc64nvme {_OBJECT_FROM} "
    "LEFT JOIN inline_data d ON d.inline_id = o.inline_id WHERE b.name = ? AND o.key = ?"
)


def find_bucket(connection: apsw.Connection, bucket: str) -> Bucket | None:
    check_type("bucket", bucket)
    row = connection.execute(f"{_BUCKET} WHERE b.name = ?", (bucket,)).fetchone()
    return None if row is None else make_bucket(row)


def list_buckets(
    connection: apsw.Connection,
    owner_id: str | None,
    prefix: str,
    upper: str | None,
    locations: Collection[str] | None,
    after: str,
    limit: int,
) -> list[Bucket]:
    """Up to `limit` buckets in the order of their names: of one owner and in `locations`, or of all if that is None."""
    where = ["b.name > ?", "b.name >= ?"]
    bindings: list[Any] = [after, prefix]
    if upper is not None:
        where.append("b.name < ?")
        bindings.append(upper)
    if owner_id is not None:
        where.append("b.owner_id = ?")
        bindings.append(owner_id)
    if locations is not None:
        where.append(f"b.location IN ({', '.join('?' * len(locations))})")
        bindings.extend(sorted(locations))
    sql = f"{_BUCKET} WHERE {' AND '.join(where)} ORDER BY b.name LIMIT ?"
    return [make_bucket(row) for row in connection.execute(sql, (*bindings, limit))]


def find_object(connection: apsw.Connection, bucket: str, key: str, *, with_data: bool) -> FoundObject | None:
    """The current version, or None if the key or the bucket does not exist."""
    check_type("key", key)
    row = connection.execute(_GET if with_data else _HEAD, (bucket, key)).fetchone()
    return None if row is None else FoundObject(make_object(bucket, key, row), *row[OBJECT_WIDTH:])


def object_parts(connection: apsw.Connection, bucket: str, key: str) -> tuple[PartSummary, ...]:
    """The parts of a multipart object; empty for any other."""
    text = connection.execute(f"SELECT o.parts {_OBJECT_FROM} WHERE b.name = ? AND o.key = ?", (bucket, key)).get
    return load_parts(text)


def find_upload(connection: apsw.Connection, bucket: str, key: str, upload_id: str) -> Upload | None:
    row = connection.execute(
        f"SELECT {UPLOAD_COLUMNS} FROM bucket b JOIN upload u ON u.bucket_id = b.bucket_id {UPLOAD_OWNERS} "
        "WHERE b.name = ? AND u.key = ? AND u.upload_id = ?",
        (bucket, key, upload_id),
    ).fetchone()
    return None if row is None else make_upload(bucket, row)


@attrs.frozen
class ObjectSince:
    """The object under an upload's key: its ETag, if there is one, and whether it changed since the upload began."""

    etag: str | None
    changed: bool


def object_since(connection: apsw.Connection, bucket: str, key: str, upload_id: str) -> ObjectSince:
    row = connection.execute(
        "SELECT o.etag, o.sequence IS NOT u.replaced_sequence FROM bucket b "
        "JOIN upload u ON u.bucket_id = b.bucket_id AND u.key = ?2 AND u.upload_id = ?3 "
        "LEFT JOIN object_version o ON o.bucket_id = b.bucket_id AND o.key = ?2 AND o.is_current = 1 "
        "WHERE b.name = ?1",
        (bucket, key, upload_id),
    ).fetchone()
    return ObjectSince(None, False) if row is None else ObjectSince(row[0], bool(row[1]))


def find_completed(connection: apsw.Connection, bucket: str, key: str, upload_id: str) -> tuple[str, int] | None:
    """(ETag, time) of an upload that was completed a short while ago."""
    return connection.execute(
        "SELECT c.etag, c.completed_ms FROM bucket b JOIN completed_upload c ON c.bucket_id = b.bucket_id "
        "WHERE b.name = ? AND c.key = ? AND c.upload_id = ?",
        (bucket, key, upload_id),
    ).fetchone()


def list_parts(connection: apsw.Connection, upload_id: str, after: int, limit: int) -> list[Part]:
    sql = f"SELECT {PART_COLUMNS} FROM part WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?"
    return [make_part(row) for row in connection.execute(sql, (upload_id, after, limit))]


def expired_uploads(connection: apsw.Connection, before_ms: int, limit: int) -> list[Upload]:
    sql = (
        f"SELECT b.name, {UPLOAD_COLUMNS} FROM upload u JOIN bucket b ON b.bucket_id = u.bucket_id {UPLOAD_OWNERS} "
        "WHERE u.initiated_ms < ? ORDER BY u.initiated_ms LIMIT ?"
    )
    return [make_upload(row[0], row[1:]) for row in connection.execute(sql, (before_ms, limit))]


_CREDENTIAL = (
    "SELECT c.access_key, c.secret_key, c.owner_id, o.display_name, c.email, c.enabled, c.created_ms "
    "FROM credential c LEFT JOIN owner o ON o.owner_id = c.owner_id"
)


def _make_credential(row: tuple[Any, ...]) -> Credential:
    access_key, secret_key, owner_id, display_name, email, enabled, created_ms = row
    owner = Owner(owner_id, display_name or "")
    return Credential(access_key, secret_key, owner, email, bool(enabled), created_ms)


def find_credential(connection: apsw.Connection, access_key: str) -> Credential | None:
    row = connection.execute(f"{_CREDENTIAL} WHERE c.access_key = ?", (access_key,)).fetchone()
    return None if row is None else _make_credential(row)


def list_credentials(connection: apsw.Connection) -> list[Credential]:
    return [_make_credential(row) for row in connection.execute(f"{_CREDENTIAL} ORDER BY c.access_key")]


def owner_by_email(connection: apsw.Connection, email: str) -> Owner | None:
    sql = f"{_CREDENTIAL} WHERE c.email = ? COLLATE NOCASE ORDER BY c.access_key LIMIT 1"
    row = connection.execute(sql, (email,)).fetchone()
    return None if row is None else _make_credential(row).owner


def find_owner(connection: apsw.Connection, owner_id: str) -> Owner | None:
    """An owner that the catalog has met: of a credential, a bucket or an object."""
    row = connection.execute("SELECT owner_id, display_name FROM owner WHERE owner_id = ?", (owner_id,)).fetchone()
    return None if row is None else Owner(*row)


@attrs.frozen
class Garbage:
    garbage_id: int
    handle: str
    token: str | None


def list_garbage(connection: apsw.Connection, limit: int, after: int = 0) -> list[Garbage]:
    """In the order of their ids, those after `after`."""
    sql = "SELECT garbage_id, handle, token FROM garbage WHERE garbage_id > ? ORDER BY garbage_id LIMIT ?"
    return [Garbage(*row) for row in connection.execute(sql, (after, limit))]


def is_referenced(connection: apsw.Connection, handle: str) -> bool:
    """Whether an object, a part, an upload (by its token) or the list of garbage knows this blob."""
    sql = (
        "SELECT EXISTS (SELECT 1 FROM object_version WHERE handle = ?1) "
        "OR EXISTS (SELECT 1 FROM part WHERE handle = ?1) OR EXISTS (SELECT 1 FROM garbage WHERE handle = ?1) "
        "OR EXISTS (SELECT 1 FROM upload WHERE backend_token = ?1 AND backend_token <> '')"
    )
    return bool(connection.execute(sql, (handle,)).get)


def is_garbage(connection: apsw.Connection, handle: str) -> bool:
    """Whether this blob is to be removed."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM garbage WHERE handle = ?)", (handle,)).get)


def is_token_in_use(connection: apsw.Connection, token: str) -> bool:
    """Whether an upload under way has this backend's token."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM upload WHERE backend_token = ?)", (token,)).get)


def sweep_times(connection: apsw.Connection) -> tuple[int, int]:
    """(begun, ended): up to when the last sweep was begun and ended, in milliseconds."""
    row = connection.execute("SELECT sweep_begun_ms, sweep_ended_ms FROM state").fetchone()
    assert row is not None
    return row[0], row[1]


def damages(connection: apsw.Connection) -> list[str]:
    """What SQLite finds wrong in the catalog's file, in its words; the first twenty."""
    return [text for (text,) in connection.execute("PRAGMA integrity_check(20)") if text != "ok"]


def name_of_blob(connection: apsw.Connection, handle: str) -> str:
    """The object or the part that has a blob, as people know it; the handle if none has it."""
    row = connection.execute(
        "SELECT b.name || '/' || o.key FROM object_version o JOIN bucket b ON b.bucket_id = o.bucket_id "
        "WHERE o.handle = ?1 UNION ALL SELECT b.name || '/' || u.key || ' (part ' || p.number || ' of an upload)' "
        "FROM part p JOIN upload u ON u.upload_id = p.upload_id JOIN bucket b ON b.bucket_id = u.bucket_id "
        "WHERE p.handle = ?1",
        (handle,),
    ).fetchone()
    return handle if row is None else str(row[0])


def catalog_id(connection: apsw.Connection) -> str:
    """Which catalog this is; "" if none has asked for its id."""
    return connection.execute("SELECT id FROM identity").get or ""


def applied_index(connection: apsw.Connection) -> int:
    """The number of commands applied so far."""
    index: int = connection.execute("SELECT applied_index FROM state").get
    return index
