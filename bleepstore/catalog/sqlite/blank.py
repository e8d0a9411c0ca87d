"""Empty catalogs in memory, one for a store after the other.

To empty a catalog takes a tenth of the time in which SQLite reads the tables of a new one and plans its statements, and
a suite of tests opens a store for each test.
"""

from __future__ import annotations

from collections import deque

import apsw

from bleepstore.catalog.sqlite.connection import open_writer
from bleepstore.catalog.sqlite.schema import clear, migrate

_MAX_KEPT = 8
_MAX_PAGES = 256  # 1 MiB; whoever filled more gives its memory back
_kept: deque[apsw.Connection] = deque()


def take_blank() -> apsw.Connection:
    """An empty catalog in memory, for the caller alone."""
    try:
        return _kept.pop()
    except IndexError:
        connection = open_writer(None)
        migrate(connection)
        return connection


def give_blank(connection: apsw.Connection) -> None:
    """Take back a connection that nobody uses any more, whatever is in it."""
    if len(_kept) >= _MAX_KEPT or connection.in_transaction or connection.pragma("page_count") > _MAX_PAGES:
        connection.close()
        return
    try:
        clear(connection)
    except BaseException:
        connection.close()
        raise
    _kept.append(connection)
