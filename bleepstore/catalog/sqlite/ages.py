"""What a lifecycle asks, as statements: which versions and uploads are old.

Each page is found in an index alone, with the keys that a rule is for; rows are read of what is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import apsw

from bleepstore.attributes import read_mapping
from bleepstore.catalog.port_of_passes import Cursor
from bleepstore.catalog.sqlite.rows import (
    BUCKET_COLUMNS,
    UPLOAD_COLUMNS,
    UPLOAD_OWNERS,
    make_bucket,
    make_upload,
)
from bleepstore.lifecycle_due import Aged
from bleepstore.model import STANDARD, Bucket, Upload
from bleepstore.names import after_prefix

_WITH_LIFECYCLE = (
    f"SELECT {BUCKET_COLUMNS} FROM bucket b LEFT JOIN owner bo ON bo.owner_id = b.owner_id "
    "WHERE b.bucket_id IN (SELECT bucket_id FROM bucket_setting WHERE name = 'lifecycle') ORDER BY b.bucket_id"
)
#: Later than every key.
_END = "\U0010ffff" * 1025
_AGED = (
    "SELECT f.key, -f.sequence, f.since_ms, o.size, o.storage_class, o.tags, o.is_delete_marker, {newer} "
    "FROM ({found}) f CROSS JOIN object_version o ON o.bucket_id = :bucket AND o.noncurrent = f.noncurrent "
    "AND o.key = f.key AND o.sequence = f.sequence ORDER BY f.since_ms, f.key, f.sequence"
)
_KEYS = "AND key >= :prefix AND key < :upper"
_CURRENT = _AGED.format(
    newer="0",
    found=(
        "SELECT noncurrent, key, sequence, modified_ms AS since_ms FROM object_version INDEXED BY object_age "
        "WHERE bucket_id = :bucket AND noncurrent = 0 AND is_aged = 1 AND modified_ms <= :until "
        f"AND (modified_ms, key) > (:after_ms, :after_key) {_KEYS} ORDER BY modified_ms, key LIMIT :limit"
    ),
)
_NONCURRENT = _AGED.format(
    newer=(
        "CASE WHEN :newer = 0 THEN 0 ELSE (SELECT count(*) FROM (SELECT 1 FROM object_version n "
        "WHERE n.bucket_id = :bucket AND n.noncurrent = 1 AND n.key = f.key AND n.sequence < f.sequence "
        "AND n.noncurrent_ms IS NOT NULL LIMIT :newer)) END"
    ),
    found=(
        "SELECT noncurrent, key, sequence, noncurrent_ms AS since_ms FROM object_version INDEXED BY noncurrent_age "
        "WHERE bucket_id = :bucket AND noncurrent_ms IS NOT NULL AND noncurrent_ms <= :until "
        f"AND (noncurrent_ms, noncurrent, key, sequence) > (:after_ms, 1, :after_key, :after_sequence) {_KEYS} "
        "ORDER BY noncurrent_ms, noncurrent, key, sequence LIMIT :limit"
    ),
)
_LONE_MARKERS = (
    "SELECT o.key, -o.sequence, o.modified_ms, 0, NULL, NULL, 1, 0 FROM object_version o INDEXED BY latest_marker "
    "WHERE o.bucket_id = :bucket AND o.is_delete_marker = 1 AND o.noncurrent_ms IS NULL "
    "AND o.key > :after_key AND o.key >= :prefix AND o.key < :upper "
    "AND NOT EXISTS (SELECT 1 FROM object_version n WHERE n.bucket_id = :bucket AND n.noncurrent = 1 "
    "AND n.key = o.key AND n.sequence > o.sequence) ORDER BY o.key LIMIT :limit"
)
_AGED_UPLOADS = (
    f"SELECT b.name, {UPLOAD_COLUMNS} FROM bucket b JOIN upload u ON u.bucket_id = b.bucket_id {UPLOAD_OWNERS} "
    "WHERE b.bucket_id = :bucket AND (u.key, u.upload_id) > (:after_key, :after_id) AND u.key >= :prefix "
    "AND u.key < :upper AND u.initiated_ms <= :until ORDER BY u.key, u.upload_id LIMIT :limit"
)
_BEGINNING = (-(2**62), "", 0)


class AgeQueries:
    """See `bleepstore.catalog.port_of_passes.AgeReader`."""

    connection: apsw.Connection

    def buckets_with_lifecycle(self) -> list[Bucket]:
        return [make_bucket(row) for row in self.connection.execute(_WITH_LIFECYCLE)]

    def aged_objects(
        self, bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int
    ) -> tuple[list[Aged], Cursor]:
        return self._page(_CURRENT, _where(bucket_id, prefix, until_ms, after, limit))

    def aged_noncurrent(
        self, bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int, newer: int
    ) -> tuple[list[Aged], Cursor]:
        return self._page(_NONCURRENT, {**_where(bucket_id, prefix, until_ms, after, limit), "newer": newer})

    def lone_markers(self, bucket_id: int, prefix: str, after: Cursor, limit: int) -> tuple[list[Aged], Cursor]:
        where = _where(bucket_id, prefix, 0, after, limit)
        if not after:
            where["after_key"] = ""
        return self._page(_LONE_MARKERS, where)

    def aged_uploads(
        self, bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int
    ) -> tuple[list[Upload], Cursor]:
        upper = after_prefix(prefix)
        after_key, after_id = after or ("", "")
        rows = self.connection.execute(
            _AGED_UPLOADS,
            {
                "bucket": bucket_id,
                "prefix": prefix,
                "upper": _END if upper is None else upper,
                "until": until_ms,
                "after_key": after_key,
                "after_id": after_id,
                "limit": limit,
            },
        )
        found = [make_upload(row[0], row[1:]) for row in rows]
        return found, (found[-1].key, found[-1].upload_id) if len(found) == limit else ()

    def _page(self, sql: str, where: dict[str, Any]) -> tuple[list[Aged], Cursor]:
        found = list(_make_aged(self.connection.execute(sql, where)))
        if len(found) < where["limit"]:
            return found, ()
        last = found[-1]
        return found, (last.since_ms, last.key, -last.sequence)


def _where(bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int) -> dict[str, Any]:
    after_ms, after_key, after_sequence = after or _BEGINNING
    upper = after_prefix(prefix)
    return {
        "bucket": bucket_id,
        "prefix": prefix,
        "upper": _END if upper is None else upper,
        "until": until_ms,
        "after_ms": after_ms,
        "after_key": after_key,
        "after_sequence": after_sequence,
        "limit": limit,
    }


def _make_aged(rows: Iterable[tuple[Any, ...]]) -> Iterable[Aged]:
    for key, sequence, since_ms, size, storage_class, tags, is_marker, newer in rows:
        given = read_mapping(json.loads(tags)) if tags else {}
        yield Aged(key, sequence, since_ms, size, storage_class or STANDARD, given, bool(is_marker), newer)
