"""The bytes of a store on disk as of one moment, under the forks of it that are in memory.

An object that was in the catalog is read by a query that still sees the catalog of that moment, one that was a blob
from its file, which no process removes meanwhile. When the last fork is closed both are released.
"""

from __future__ import annotations

import io
import os
import threading
from typing import BinaryIO, Self

from bleepstore.backends.local import LocalBackend
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.copying import INLINE


class LocalUnderlay:
    """See `bleepstore.backends.memory.Underlay`. Make it while no command is applied."""

    def __init__(self, catalog: Catalog, backend: LocalBackend) -> None:
        self._blobs = backend
        self._pin = backend.pin()
        try:
            self._inline = catalog.pin()
        except BaseException:
            os.close(self._pin)
            raise
        self._lock = threading.Lock()
        self._holders = 1

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        if not handle.startswith(INLINE):
            return self._blobs.get_object(handle, start, stop)
        return io.BytesIO(self._inline.read(handle)[start:stop])

    def head_object(self, handle: str) -> int:
        return self._inline.size(handle) if handle.startswith(INLINE) else self._blobs.head_object(handle)

    def share(self) -> Self:
        with self._lock:
            self._holders += 1
        return self

    def close(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._inline.close()
                os.close(self._pin)
