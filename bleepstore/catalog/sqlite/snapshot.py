"""A catalog as a whole: its hash, which replicas compare, and copies of it that are of one moment."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import apsw

from bleepstore.catalog.sqlite.catalog import Catalog
from bleepstore.catalog.sqlite.copying import copy_database, make_file_durable, opened_copy
from bleepstore.cleanup import on_error
from bleepstore.errors import StorageFull

#: sqlite_sequence, which numbers buckets and garbage, is part of the state; the planner's statistics are not.
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%' ORDER BY name"


def catalog_hash(connection: apsw.Connection) -> str:
    """The SHA-256 (hex) of everything the catalog holds, its applied index included.

    Equal contents give equal hashes, however they came about.

    Reads every row of every table in the order of its primary key, so it takes time in proportion to the catalog.
    """
    digest = hashlib.sha256()
    tables = connection.execute(_TABLES).fetchall()
    for (table,) in tables:
        columns: list[tuple[Any, ...]] = connection.execute(
            "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (table,)
        ).fetchall()
        keys = [name for name, position in sorted(columns, key=lambda column: column[1]) if position]
        order = ", ".join(f'"{name}"' for name in keys or [name for name, _ in columns])
        digest.update(f"\n{table}\n".encode())
        for row in connection.execute(f'SELECT * FROM "{table}" ORDER BY {order}'):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def hash_of(catalog: Catalog) -> tuple[int, str]:
    """(applied index, catalog_hash), both of one moment."""
    with catalog.read() as reader:
        reader.connection.execute("BEGIN")
        try:
            return reader.applied_index(), catalog_hash(reader.connection)
        finally:
            reader.connection.execute("ROLLBACK")


def copy_catalog(catalog: Catalog, target: Path | None) -> Catalog:
    """Another catalog with the content that `catalog` has now, opened; the two go on apart.

    `target` is the new catalog's file, which must not exist, or None for one in memory. What other threads and
    processes commit meanwhile is not in the copy, and they are not kept waiting unless `catalog` is in memory.
    Raises FileExistsError, StorageFull, StoreClosed, OSError.
    """
    if target is not None:
        write_copy(catalog, target)
        return Catalog(target)
    copy = Catalog(None)
    with on_error(copy.close), copy.read() as destination:
        _back_up(catalog, destination.connection)
    return copy


def write_copy(catalog: Catalog, target: Path) -> int:
    """Write what `catalog` holds now to the new file `target`; returns the applied index of the copy.

    When it returns, the file is durable under its name and complete; until then that name does not exist. Raises as
    `copy_catalog`.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists: a copy never replaces a file that may be open")
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    with on_error(lambda: partial.unlink(missing_ok=True)):
        with opened_copy(partial) as destination:
            index = _back_up(catalog, destination)
        partial.rename(target)
        make_file_durable(target.parent)
    return index


def _back_up(catalog: Catalog, destination: apsw.Connection) -> int:
    """Copy every page within one read transaction, so that the copy is of one moment; returns its applied index."""
    with catalog.read() as reader:
        source = reader.connection
        source.execute("BEGIN")
        try:
            index = reader.applied_index()
            copy_database(source, destination)
        except apsw.FullError as error:
            raise StorageFull from error
        finally:
            source.execute("ROLLBACK")
    return index
