"""A catalog that came out of an archive, on its way to be that of a store: it learns where its blobs are now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from bleepstore.catalog.records import Content
from bleepstore.catalog.sqlite.connection import open_writer
from bleepstore.catalog.sqlite.quotas import QuotaTables
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.catalog.sqlite.schema import migrate
from bleepstore.errors import ArchiveDamaged, CatalogDamaged

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"


_OF_KEY = "FROM object_version WHERE bucket_id = (SELECT bucket_id FROM bucket WHERE name = ?1) AND key = ?2"
_MAKE_CURRENT = (
    "UPDATE object_version SET noncurrent = 0 WHERE (bucket_id, noncurrent, key, sequence) = (SELECT bucket_id, "
    f"noncurrent, key, sequence {_OF_KEY} AND noncurrent = 1 ORDER BY sequence LIMIT 1) AND is_delete_marker = 0 "
    f"AND NOT EXISTS (SELECT 1 {_OF_KEY} AND noncurrent = 0)"
)


class RestoredCatalog(Reader):
    """A catalog whose blobs are being stored anew."""

    def move_blob(self, handle: str, moved_to: str) -> None:
        """Say under which handle a blob is now."""
        self.connection.execute("UPDATE object_version SET handle = ? WHERE handle = ?", (moved_to, handle))
        self.connection.execute("UPDATE part SET handle = ? WHERE handle = ?", (moved_to, handle))

    def leave_out(self, content: Content) -> None:
        """Remove a version of an object, or a part of an upload. If it was the latest of its key and the next one is an
        object, that is current."""
        if content.upload_id is not None:
            self.connection.execute(
                "DELETE FROM part WHERE upload_id = ? AND number = ?", (content.upload_id, content.part_number)
            )
            return
        of = "bucket_id = (SELECT bucket_id FROM bucket WHERE name = ?) AND key = ? AND version_id = ?"
        which = (content.bucket, content.key, content.version_id)
        self.connection.execute(
            f"DELETE FROM inline_data WHERE inline_id IN (SELECT inline_id FROM object_version WHERE {of})", which
        )
        self.connection.execute(f"DELETE FROM object_version WHERE {of}", which)
        self.connection.execute(_MAKE_CURRENT, which[:2])


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[RestoredCatalog]:
    """The catalog in the file `path`, which came out of an archive, once it is proved to be one; all changes of the
    block are one transaction. Raises ArchiveDamaged, CatalogTooNew."""
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
        yield RestoredCatalog(connection)
        connection.execute("DELETE FROM garbage")
        connection.execute("DELETE FROM identity")  # it knows other blobs than the store that was backed up
        quotas = QuotaTables(connection, lambda: None)
        for counted in quotas.list_quotas():  # what was left out counts no more
            quotas.recount(counted.scope, counted.name)
        connection.execute("COMMIT")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.NotADBError, apsw.CorruptError, CatalogDamaged, ValueError) as error:
        raise ArchiveDamaged(f"the catalog in the archive is damaged: {error}") from error
    finally:
        blank.close()
        if connection is not None:
            connection.close()
