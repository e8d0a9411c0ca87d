"""Copies of a catalog's file: what this implementation can beyond the port.

Contents go from one database to another page by page (SQLite's backup API), or without the bytes of objects, which then
stay where they are and are read there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import apsw

from bleepstore.catalog.records import ProtectedVersion
from bleepstore.catalog.sqlite.connection import BUSY_TIMEOUT_MS, map_file, open_reader
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.catalog.sqlite.schema import TABLES
from bleepstore.errors import BlobNotFound, CatalogDamaged

#: Before its id, it makes the handle of an object whose bytes were left in the catalog that it was copied from.
INLINE = "inline."


def copy_database(source: apsw.Connection, target: apsw.Connection) -> None:
    """Make `target` equal to `source`, as of one moment."""
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(-1)


def open_private(path: Path) -> BinaryIO:
    """A new file that only its owner can read: who has a catalog has the secrets of all access keys."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def make_file_durable(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened_copy(path: Path) -> Iterator[apsw.Connection]:
    """A connection to the new file `path`, to be filled at once. The file is durable at the end.

    Nobody opens it before. So SQLite need not sync it on the way, nor keep what it overwrites; with mapped pages that
    takes a third of the processor time.
    """
    open_private(path).close()
    connection = apsw.Connection(str(path))
    try:
        connection.pragma("synchronous", "off")
        connection.pragma("journal_mode", "off")
        map_file(connection, maps=True)
        yield connection
    finally:
        connection.close()
    make_file_durable(path)


@contextlib.contextmanager
def _opened_file(path: Path) -> Iterator[apsw.Connection]:
    """A connection to a catalog that nobody writes to. Raises CatalogDamaged if SQLite finds it unsound."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        yield connection
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise CatalogDamaged(f"{path} is not a sound catalog: {error}") from error
    finally:
        connection.close()


class HeldCatalog:
    """A catalog to which no command is applied meanwhile: it can be copied, and all of it can be replaced."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def protected_versions(self) -> list[ProtectedVersion]:
        """See `bleepstore.catalog.port.CatalogReader`."""
        return Reader(self.connection).protected_versions()

    def copy_from(self, source: HeldCatalog) -> None:
        """Make this catalog equal to `source`."""
        copy_database(source.connection, self.connection)

    def copy_from_file(self, path: Path) -> None:
        """Make this catalog equal to the one in a file that nobody has open, but for its id. Raises CatalogDamaged.

        The id stays, as the blobs beside this catalog do: the file gets it before it is copied, for a crash would leave
        the other one here.
        """
        own = self.connection.execute("SELECT id FROM identity").get
        with _opened_file(path) as source:
            if own is not None:
                source.execute("UPDATE identity SET id = ?1 WHERE id <> ?1", (own,))
            copy_database(source, self.connection)

    def copy_without_data(self, path: Path) -> None:
        """Make this catalog equal to the one in the file `path`, of the same version, but for the bytes of objects.

        Objects whose bytes are in that catalog have handles that begin with INLINE.
        """
        target = self.connection
        columns = {row[1]: row[1] for row in target.execute("PRAGMA table_info(object_version)")}
        columns |= {"handle": f"coalesce(handle, '{INLINE}' || inline_id)", "inline_id": "NULL"}
        target.execute("ATTACH ? AS source", (str(path),))
        try:
            with target:
                for table in TABLES:
                    target.execute(f"DELETE FROM main.{table}")
                    if table != "inline_data":
                        chosen = ", ".join(columns.values()) if table == "object_version" else "*"
                        target.execute(f"INSERT INTO main.{table} SELECT {chosen} FROM source.{table}")
        finally:
            target.execute("DETACH source")

    def copy_to_file(self, path: Path, *, as_another: bool = False) -> tuple[str, int]:
        """Make a new catalog file at `path`, durably; returns the id of the catalog in it and its applied index.
        `as_another`: it gets an id of its own."""
        with opened_copy(path) as target:
            copy_database(self.connection, target)
            if as_another:
                target.execute("UPDATE identity SET id = ?", (secrets.token_hex(16),))
            copied = Reader(target)
            return copied.catalog_id(), copied.applied_index()


class PinnedData:
    """The inline bytes of a catalog as they were at one moment, until it is closed. They have handles that begin with
    INLINE. The write-ahead log grows meanwhile with every commit."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = open_reader(path)
        try:
            map_file(self._connection, maps=True)
            self._connection.execute("BEGIN; SELECT applied_index FROM state").fetchall()
        except BaseException:
            self._connection.close()
            raise

    def read(self, handle: str) -> bytes:
        """Raises BlobNotFound."""
        data: bytes = self._ask("data", handle)
        return data

    def size(self, handle: str) -> int:
        """Raises BlobNotFound."""
        size: int = self._ask("length(data)", handle)
        return size

    def _ask(self, column: str, handle: str) -> Any:
        sql = f"SELECT {column} FROM inline_data WHERE inline_id = ?"
        with self._lock:
            row = self._connection.execute(sql, (int(handle.removeprefix(INLINE)),)).fetchone()
        if row is None:
            raise BlobNotFound(handle)
        return row[0]

    def close(self) -> None:
        self._connection.close()
