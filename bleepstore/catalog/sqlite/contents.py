"""What the catalog says of the bytes of objects and parts: the questions of backups, scrubs and checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw

from bleepstore.attributes import load_encryption
from bleepstore.catalog.port_of_passes import Cursor
from bleepstore.catalog.records import Content
from bleepstore.catalog.sqlite.rows import load_parts, make_checksum

_BLOBS = (
    "SELECT handle, size, encryption IS NOT NULL AS is_sealed FROM object_version WHERE handle IS NOT NULL UNION ALL "
    "SELECT p.handle, p.size, u.encryption IS NOT NULL FROM part p LEFT JOIN upload u ON u.upload_id = p.upload_id "
    "ORDER BY handle"
)
_OBJECT = (
    "b.name, o.key, o.version_id, NULL, NULL, o.handle, o.size, o.etag, o.checksum_algorithm, o.checksum_type, "
    "o.checksum_value, o.crc64nvme, o.parts, o.encryption FROM object_version o "
    "JOIN bucket b ON b.bucket_id = o.bucket_id"
)
_PART = (
    "b.name, u.key, NULL, p.upload_id, p.number, p.handle, p.size, p.etag, p.checksum_algorithm, 'FULL_OBJECT', "
    "p.checksum_value, p.crc64nvme, NULL, u.encryption FROM part p JOIN upload u ON u.upload_id = p.upload_id "
    "JOIN bucket b ON b.bucket_id = u.bucket_id"
)
_INLINE = f"SELECT d.data, {_OBJECT} LEFT JOIN inline_data d ON d.inline_id = o.inline_id"
_OBJECT_KEY = "o.bucket_id, o.noncurrent, o.key, o.sequence"
_PAGE = 200


def _make_content(row: tuple[Any, ...]) -> Content:
    bucket, key, version_id, upload_id, number, handle, size, etag, algorithm, kind, value, crc64nvme, *rest = row
    return Content(
        bucket,
        key,
        version_id,
        upload_id,
        number,
        handle,
        size,
        etag,
        make_checksum(algorithm, kind, value),
        crc64nvme,
        load_parts(rest[0]),
        load_encryption(rest[1]),
    )


class ContentQueries:
    """See `bleepstore.catalog.port_of_passes.ContentReader`."""

    connection: apsw.Connection

    def count_blobs(self) -> tuple[int, int]:
        row = self.connection.execute(
            f"SELECT count(*), coalesce(sum(size * (1 - is_sealed)), 0), total(is_sealed) FROM ({_BLOBS})"
        ).fetchone()
        assert row is not None
        count, size, sealed = (int(float(str(value))) for value in row)
        if sealed:
            rows = self.connection.execute(f"SELECT handle FROM ({_BLOBS}) WHERE is_sealed").fetchall()
            size += sum(self._stored_size(str(handle)) for (handle,) in rows)
        return count, size

    def _stored_size(self, handle: str) -> int:
        content = self.content_of(handle)
        return 0 if content is None else content.stored_size

    def total_bytes(self) -> int:
        sql = "SELECT (SELECT total(size) FROM object_version) + (SELECT total(size) FROM part)"
        return int(float(str(self.connection.execute(sql).get)))

    def iter_blobs(self) -> Iterator[tuple[str, int]]:
        for handle, size, is_sealed in self.connection.execute(_BLOBS):
            yield str(handle), self._stored_size(str(handle)) if is_sealed else int(str(size))

    def iter_inline(self) -> Iterator[tuple[Content, bytes | None]]:
        for data, *row in self.connection.execute(f"{_INLINE} WHERE o.handle IS NULL AND o.is_delete_marker = 0"):
            yield _make_content(tuple(row)), data

    def content_of(self, handle: str) -> Content | None:
        row = self.connection.execute(f"SELECT {_OBJECT} WHERE o.handle = ?", (handle,)).fetchone()
        if row is None:
            row = self.connection.execute(f"SELECT {_PART} WHERE p.handle = ?", (handle,)).fetchone()
        return None if row is None else _make_content(row)

    def name_of_blob(self, handle: str) -> str:
        row = self.connection.execute(
            "SELECT b.name || '/' || o.key FROM object_version o JOIN bucket b ON b.bucket_id = o.bucket_id "
            "WHERE o.handle = ?1 UNION ALL SELECT b.name || '/' || u.key || ' (part ' || p.number || ' of an upload)' "
            "FROM part p JOIN upload u ON u.upload_id = p.upload_id JOIN bucket b ON b.bucket_id = u.bucket_id "
            "WHERE p.handle = ?1",
            (handle,),
        ).fetchone()
        return handle if row is None else str(row[0])

    def page_of_objects(self, after: Cursor) -> tuple[list[tuple[Content, bytes | None]], Cursor]:
        sql = (
            f"SELECT {_OBJECT_KEY}, o.is_delete_marker, d.data, {_OBJECT} "
            f"LEFT JOIN inline_data d ON d.inline_id = o.inline_id WHERE ({_OBJECT_KEY}) > (?, ?, ?, ?) "
            f"ORDER BY {_OBJECT_KEY} LIMIT {_PAGE}"
        )
        rows: list[Any] = self.connection.execute(sql, after or (-1, 0, "", 0)).fetchall()
        found = [(_make_content(row[6:]), row[5]) for row in rows if not row[4]]
        return found, tuple(rows[-1][:4]) if rows else ()

    def page_of_parts(self, after: Cursor) -> tuple[list[tuple[Content, bytes | None]], Cursor]:
        sql = f"SELECT {_PART} WHERE (p.upload_id, p.number) > (?, ?) ORDER BY p.upload_id, p.number LIMIT {_PAGE}"
        found = [_make_content(row) for row in self.connection.execute(sql, after or ("", 0))]
        return [(content, None) for content in found], (found[-1].upload_id, found[-1].part_number) if found else ()
