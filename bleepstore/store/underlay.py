"""The bytes of a store on disk as of one moment, under the forks of it that are in memory.

An object that was in the catalog is read by a query that still sees the catalog of that moment, one that was a blob
from its file, which no process removes meanwhile. When the last fork is closed both are let go.
"""

from __future__ import annotations

import io
import os
import threading
from typing import Any, BinaryIO, Self

from bleepstore.backends.local import LocalBackend
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.copying import INLINE
from bleepstore.errors import BlobNotFound


class LocalUnderlay:
    """See `bleepstore.backends.memory.Underlay`. Make it while no command is applied."""

    def __init__(self, catalog: Catalog, backend: LocalBackend) -> None:
        self._blobs = backend
        self._pin = backend.pin()
        try:
            self._connection = catalog.pin()
        except BaseException:
            os.close(self._pin)
            raise
        self._lock = threading.Lock()
        self._holders = 1

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        if not handle.startswith(INLINE):
            return self._blobs.get_object(handle, start, stop)
        return io.BytesIO(self._ask("data", handle)[start:stop])

    def head_object(self, handle: str) -> int:
        return self._ask("length(data)", handle) if handle.startswith(INLINE) else self._blobs.head_object(handle)

    def _ask(self, column: str, handle: str) -> Any:
        sql = f"SELECT {column} FROM inline_data WHERE inline_id = ?"
        with self._lock:
            row = self._connection.execute(sql, (int(handle.removeprefix(INLINE)),)).fetchone()
        if row is None:
            raise BlobNotFound(handle)
        return row[0]

    def share(self) -> Self:
        with self._lock:
            self._holders += 1
        return self

    def close(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._connection.close()
                os.close(self._pin)
