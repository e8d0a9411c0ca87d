"""A store's contents as of one moment."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs

from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.sqlite import Catalog


@attrs.define(eq=False)
class Snapshot:
    """A store's contents as of one moment, for `Store.restore`. Close it to give its space back."""

    catalog: Catalog | None = None
    blobs: MemoryBackend | None = None
    folder: Path | None = None

    def close(self) -> None:
        """Remove it. Closing twice is allowed."""
        if self.catalog is not None:
            self.catalog.close()
        if self.blobs is not None:
            self.blobs.close()
        if self.folder is not None:
            shutil.rmtree(self.folder)
        self.catalog = self.blobs = self.folder = None

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
