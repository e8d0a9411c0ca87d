"""A catalog's contents from one database to another: page by page (SQLite's backup API), or without its bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import apsw

from bleepstore.catalog.sqlite.connection import BUSY_TIMEOUT_MS
from bleepstore.catalog.sqlite.schema import TABLES
from bleepstore.errors import CatalogDamaged

_PAGES = 4096  # copied between two calls of `progress`
#: Before its id, it makes the handle of an object whose bytes were left in the catalog that it was copied from.
INLINE = "inline."


def copy_database(
    source: apsw.Connection, target: apsw.Connection, progress: Callable[[int, int], None] | None = None
) -> None:
    """Make `target` equal to `source`, as of one moment. `progress` is called with (pages done, pages in all)."""
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(-1 if progress is None else _PAGES)
            if progress is not None:
                progress(backup.page_count - backup.remaining, backup.page_count)


def copy_without_data(source: Path, target: apsw.Connection) -> None:
    """Make `target`, a catalog of this version, equal to the one in the file `source`, but for the bytes of objects.

    Objects whose bytes are in `source` have handles that begin with INLINE. Both catalogs belong to the caller alone.
    """
    columns = {row[1]: row[1] for row in target.execute("PRAGMA table_info(object_version)")}
    columns |= {"handle": f"coalesce(handle, '{INLINE}' || inline_id)", "inline_id": "NULL"}
    target.execute("ATTACH ? AS source", (str(source),))
    try:
        with target:
            for table in TABLES:
                target.execute(f"DELETE FROM main.{table}")
                if table != "inline_data":
                    chosen = ", ".join(columns.values()) if table == "object_version" else "*"
                    target.execute(f"INSERT INTO main.{table} SELECT {chosen} FROM source.{table}")
    finally:
        target.execute("DETACH source")


def open_private(path: Path) -> BinaryIO:
    """A new file that only its owner can read: who has a catalog has the secrets of all access keys."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def copy_to_file(source: apsw.Connection, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Make a new catalog file at `path`, durably."""
    open_private(path).close()
    target = apsw.Connection(str(path))
    try:
        copy_database(source, target, progress)
    finally:
        target.close()


@contextlib.contextmanager
def opened_file(path: Path) -> Iterator[apsw.Connection]:
    """A connection to a catalog that nobody writes to. Raises CatalogDamaged if SQLite finds it unsound."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        yield connection
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise CatalogDamaged(f"{path} is not a sound catalog: {error}") from error
    finally:
        connection.close()
