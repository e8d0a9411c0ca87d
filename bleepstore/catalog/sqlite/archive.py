"""What the catalog says of the bytes of objects and parts: what a backup and a scrub ask, and how a restored catalog
learns where its blobs are now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import attrs

from bleepstore.catalog.rows import load_parts, make_checksum
from bleepstore.catalog.sqlite.connection import open_writer
from bleepstore.catalog.sqlite.schema import migrate
from bleepstore.errors import ArchiveDamaged, CatalogDamaged, Damage
from bleepstore.model import Checksum, PartSummary

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"
_BLOBS = (
    "SELECT handle, size FROM object_version WHERE handle IS NOT NULL UNION ALL SELECT handle, size FROM part "
    "ORDER BY handle"
)
_OBJECT = (
    "b.name, o.key, o.version_id, NULL, NULL, o.handle, o.size, o.etag, o.checksum_algorithm, o.checksum_type, "
    "o.checksum_value, o.crc64nvme, o.parts FROM object_version o JOIN bucket b ON b.bucket_id = o.bucket_id"
)
_PART = (
    "b.name, u.key, NULL, p.upload_id, p.number, p.handle, p.size, p.etag, p.checksum_algorithm, 'FULL_OBJECT', "
    "p.checksum_value, p.crc64nvme, NULL FROM part p JOIN upload u ON u.upload_id = p.upload_id "
    "JOIN bucket b ON b.bucket_id = u.bucket_id"
)
_INLINE = f"SELECT d.data, {_OBJECT} LEFT JOIN inline_data d ON d.inline_id = o.inline_id"
_PAGE = 200


@attrs.frozen
class Content:
    """What the catalog says of the bytes of an object, or of a part of an upload."""

    bucket: str
    key: str
    version_id: str | None
    upload_id: str | None
    part_number: int | None
    handle: str | None
    size: int
    etag: str
    checksum: Checksum | None
    crc64nvme: str | None
    parts: tuple[PartSummary, ...]

    def damage(self, reason: str, *, quarantined: bool = False) -> Damage:
        """That these bytes are damaged."""
        return Damage(
            bucket=self.bucket,
            key=self.key,
            version_id=self.version_id,
            upload_id=self.upload_id,
            part_number=self.part_number,
            reason=reason,
            handle=self.handle,
            quarantined=quarantined,
        )


def _content(row: tuple[Any, ...]) -> Content:
    bucket, key, version_id, upload_id, number, handle, size, etag, algorithm, kind, value, crc64nvme, parts = row
    checksum = make_checksum(algorithm, kind, value)
    loaded = load_parts(parts)
    return Content(bucket, key, version_id, upload_id, number, handle, size, etag, checksum, crc64nvme, loaded)


def blobs_in_all(connection: apsw.Connection) -> tuple[int, int]:
    """(how many blobs objects and parts have, their bytes)."""
    row = connection.execute(f"SELECT count(*), coalesce(sum(size), 0) FROM ({_BLOBS})").fetchone()
    assert row is not None
    return int(str(row[0])), int(str(row[1]))


def bytes_in_all(connection: apsw.Connection) -> int:
    """The bytes of all objects and parts, also of those in the catalog."""
    sql = "SELECT (SELECT total(size) FROM object_version) + (SELECT total(size) FROM part)"
    return int(float(str(connection.execute(sql).get)))


def iter_blobs(connection: apsw.Connection) -> Iterator[tuple[str, int]]:
    """(handle, size) of the blob of each object and part."""
    yield from connection.execute(_BLOBS)


def content_of(connection: apsw.Connection, handle: str) -> Content | None:
    """What a blob must hold; None if no object and no part has it."""
    row = connection.execute(f"SELECT {_OBJECT} WHERE o.handle = ?", (handle,)).fetchone()
    if row is None:
        row = connection.execute(f"SELECT {_PART} WHERE p.handle = ?", (handle,)).fetchone()
    return None if row is None else _content(row)


def iter_inline(connection: apsw.Connection) -> Iterator[tuple[Content, bytes | None]]:
    """What each object whose bytes are in the catalog must hold, and its bytes."""
    for data, *row in connection.execute(f"{_INLINE} WHERE o.handle IS NULL AND o.is_delete_marker = 0"):
        yield _content(tuple(row)), data


#: Where to go on with the objects, or with the parts, of a store: the primary key of the last one.
Cursor = tuple[Any, ...]


def page_of_objects(connection: apsw.Connection, after: Cursor) -> tuple[list[tuple[Content, bytes | None]], Cursor]:
    """Some objects, with the bytes of those that are in the catalog, and where to go on. () is the beginning."""
    sql = (
        f"SELECT o.bucket_id, o.key, o.sequence, o.is_delete_marker, d.data, {_OBJECT} "
        "LEFT JOIN inline_data d ON d.inline_id = o.inline_id WHERE (o.bucket_id, o.key, o.sequence) > (?, ?, ?) "
        f"ORDER BY o.bucket_id, o.key, o.sequence LIMIT {_PAGE}"
    )
    rows: list[Any] = connection.execute(sql, after or (-1, "", 0)).fetchall()
    found = [(_content(row[5:]), row[4]) for row in rows if not row[3]]
    return found, tuple(rows[-1][:3]) if rows else ()


def page_of_parts(connection: apsw.Connection, after: Cursor) -> tuple[list[tuple[Content, bytes | None]], Cursor]:
    """As page_of_objects, of the parts of uploads under way."""
    sql = f"SELECT {_PART} WHERE (p.upload_id, p.number) > (?, ?) ORDER BY p.upload_id, p.number LIMIT {_PAGE}"
    found = [_content(row) for row in connection.execute(sql, after or ("", 0))]
    return [(content, None) for content in found], (found[-1].upload_id, found[-1].part_number) if found else ()


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[apsw.Connection]:
    """A connection to the catalog that came out of an archive, once it is proved to be one; all changes of the block
    are one transaction. Raises ArchiveDamaged, CatalogTooNew."""
    blank = open_writer(None)
    connection = None
    try:
        migrate(blank)
        connection = open_writer(path)
        if connection.execute("PRAGMA quick_check").get != "ok":
            raise ArchiveDamaged("the catalog in the archive is damaged")
        migrate(connection)
        # Anything else, such as a trigger, would act on what is done to the tables.
        if connection.execute(_SCHEMA).fetchall() != blank.execute(_SCHEMA).fetchall():
            raise ArchiveDamaged("the catalog in the archive is not of this kind of store")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("DELETE FROM garbage")
        connection.execute("COMMIT")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.NotADBError, apsw.CorruptError, CatalogDamaged, ValueError) as error:
        raise ArchiveDamaged(f"the catalog in the archive is damaged: {error}") from error
    finally:
        blank.close()
        if connection is not None:
            connection.close()


def move_blob(connection: apsw.Connection, handle: str, moved_to: str) -> None:
    """Say under which handle a blob is now."""
    connection.execute("UPDATE object_version SET handle = ? WHERE handle = ?", (moved_to, handle))
    connection.execute("UPDATE part SET handle = ? WHERE handle = ?", (moved_to, handle))


def leave_out(connection: apsw.Connection, content: Content) -> None:
    """Remove an object, or a part of an upload, from a catalog that is being restored."""
    if content.upload_id is not None:
        connection.execute(
            "DELETE FROM part WHERE upload_id = ? AND number = ?", (content.upload_id, content.part_number)
        )
        return
    of = "bucket_id = (SELECT bucket_id FROM bucket WHERE name = ?) AND key = ? AND version_id = ?"
    which = (content.bucket, content.key, content.version_id)
    connection.execute(
        f"DELETE FROM inline_data WHERE inline_id IN (SELECT inline_id FROM object_version WHERE {of})", which
    )
    connection.execute(f"DELETE FROM object_version WHERE {of}", which)
