"""What a backup asks of a catalog, and how a restored one learns where its blobs are now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import attrs

from bleepstore.catalog.connection import open_writer
from bleepstore.catalog.rows import load_parts
from bleepstore.catalog.schema import migrate
from bleepstore.digests import Algorithm
from bleepstore.errors import ArchiveDamaged, CatalogDamaged
from bleepstore.model import Checksum, ChecksumType, PartSummary

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"
_BLOBS = (
    "SELECT handle, size FROM object_version WHERE handle IS NOT NULL UNION ALL SELECT handle, size FROM part "
    "ORDER BY handle"
)
_CONTENT = "size, etag, checksum_algorithm, checksum_type, checksum_value, parts"


@attrs.frozen
class Content:
    """What the catalog says of the bytes of an object or a part."""

    size: int
    etag: str
    checksum: Checksum | None
    parts: tuple[PartSummary, ...]


def blobs_in_all(connection: apsw.Connection) -> tuple[int, int]:
    """(how many blobs objects and parts have, their bytes)."""
    row = connection.execute(f"SELECT count(*), coalesce(sum(size), 0) FROM ({_BLOBS})").fetchone()
    assert row is not None
    return int(str(row[0])), int(str(row[1]))


def iter_blobs(connection: apsw.Connection) -> Iterator[tuple[str, int]]:
    """(handle, size) of the blob of each object and part."""
    yield from connection.execute(_BLOBS)


def content_of(connection: apsw.Connection, handle: str) -> Content | None:
    """What a blob must hold; None if no object and no part has it."""
    row = connection.execute(f"SELECT {_CONTENT} FROM object_version WHERE handle = ?", (handle,)).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT size, etag, checksum_algorithm, 'FULL_OBJECT', checksum_value, NULL FROM part WHERE handle = ?",
            (handle,),
        ).fetchone()
    return None if row is None else _content(row)


def iter_inline(connection: apsw.Connection) -> Iterator[tuple[str, Content, bytes | None]]:
    """(key, what it must hold, its bytes) of each object whose bytes are in the catalog."""
    sql = (
        f"SELECT key, d.data, {_CONTENT} FROM object_version o LEFT JOIN inline_data d ON d.inline_id = o.inline_id "
        "WHERE o.handle IS NULL AND o.is_delete_marker = 0"
    )
    for key, data, *rest in connection.execute(sql):
        yield key, _content(tuple(rest)), data


def _content(row: tuple[object, ...]) -> Content:
    size, etag, algorithm, kind, value, parts = row
    checksum = None
    if algorithm is not None:
        checksum = Checksum(Algorithm(str(algorithm)), str(value), ChecksumType(str(kind)))
    return Content(int(str(size)), str(etag), checksum, load_parts(None if parts is None else str(parts)))


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
