"""What an error of SQLite, or of the system beneath it, means for the store."""

from __future__ import annotations

from pathlib import Path

import apsw

from bleepstore.errors import NO_SPACE, CatalogDamaged, SlowDown, StorageFull, StorageUnavailable, refusal_of


def damaged(path: Path | str, error: apsw.Error) -> CatalogDamaged:
    """The file is not sound."""
    return CatalogDamaged(f"{path} is not a sound catalog ({error}): restore it from a backup")


def classify(error: BaseException, connection: apsw.Connection) -> BaseException:
    """What a failed transaction or query on `connection` is to be raised as; `error` itself if that says it already.

    SQLite tells a full disk from a failing one only in part: the number of the system's error says the rest. Ask before
    the connection is used again.
    """
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return damaged(connection.filename or "the database in memory", error)
    if isinstance(error, apsw.BusyError):
        return SlowDown("Another process does not give the catalog back. Try again later.")
    if isinstance(error, apsw.FullError):
        return StorageFull()
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.IOError | apsw.ProtocolError):
        number = connection.system_errno
        if number in NO_SPACE or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
            return StorageFull()
        return StorageUnavailable()
    if isinstance(error, OSError):
        return refusal_of(error) or error
    return error
