"""The connection that changes the catalog, one transaction after the other."""

from __future__ import annotations

from types import TracebackType

import apsw

from bleepstore.catalog.sqlite.bucket_cache import BucketCache
from bleepstore.catalog.sqlite.mark import MarkFile
from bleepstore.catalog.sqlite.refusals import classify
from bleepstore.catalog.sqlite.tables import SqliteTables
from bleepstore.catalog.sqlite.writer_lock import WriterLock


class Writer:
    """A transaction is a `with` block: all that it does to the tables, durably, or nothing of it.

    `mark` is told after each commit how far the catalog is.
    """

    def __init__(self, connection: apsw.Connection, lock: WriterLock, buckets: BucketCache) -> None:
        self._lock = lock
        self._buckets = buckets
        self.mark: MarkFile | None = None
        self.use(connection)

    def use(self, connection: apsw.Connection) -> None:
        """Go on with another connection."""
        self.connection = connection
        self._tables = SqliteTables(connection, self._buckets.begin)

    def __enter__(self) -> SqliteTables:
        """Raises StoreClosed, StoreReadOnly, SlowDown."""
        self._lock.__enter__()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._end(error)
            raise
        self._tables.index = None
        return self._tables

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Raises StorageFull, StorageUnavailable, CatalogDamaged."""
        if error is not None:
            self._end(error)
            return
        try:
            self.connection.execute("COMMIT")
            if self.mark is not None and self._tables.index is not None:
                self.mark.write(self._tables.index)
        except BaseException as failed:
            self._end(failed)
            raise
        try:
            self._buckets.end()
        finally:
            self._lock.__exit__()

    def _end(self, error: BaseException) -> None:
        """Undo what was done, and raise what `error` means if it is not yet said."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            refusal = classify(error, self.connection)
        finally:
            self._buckets.end()
            self._lock.__exit__()
        if refusal is not error:
            raise refusal from error
