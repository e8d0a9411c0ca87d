"""Forks and snapshots: copies of a whole store that share its immutable blobs.

The catalog is copied; blobs are shared, as hard links on disk and as references in memory. Each store then removes
its own: a blob that one store deletes stays readable in the other, and no sweep ever sees another store's blobs.
A fork in memory of a store on disk leaves all bytes where they are and keeps them there (`bleepstore.store.underlay`).

While the copy is made no command is applied, so it is the store as of one moment. What is removed
meanwhile is garbage already, to which nothing in the copy refers.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from bleepstore.backends.local import LocalBackend, ReadOnlyBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.mark import Mark, write_mark
from bleepstore.committer import DirectCommitter
from bleepstore.errors import StoreError, StoreReadOnly
from bleepstore.store.engine import Engine
from bleepstore.store.snapshots import Snapshot
from bleepstore.store.underlay import LocalUnderlay

#: The folder of a store's snapshots. What is in it when a store is opened by its first process belongs to nobody.
SNAPSHOTS = "snapshots"
_snapshot_numbers = itertools.count(1)


class ForkOperations(Engine):
    """Copies of a store whose blobs are in memory or in a folder, and whose commands are applied here."""

    @property
    def path(self) -> Path | None:
        """The folder of the store; None if it is in memory or its bytes are elsewhere."""
        return self._backend.root if isinstance(self._backend, LocalBackend) else None

    @property
    def in_memory(self) -> bool:
        """Whether nothing of the store is at rest anywhere: all of it ends with the process. Not so a fork in memory of
        a store on disk, and a store at a provider whose catalog is in memory."""
        backend = self._backend
        return isinstance(backend, MemoryBackend) and not backend.has_underlay and self._catalog.path is None

    def snapshot(self) -> Snapshot:
        """The contents as of now, to come back to by `restore`. On disk it is a folder within the store's."""
        self._check_can_copy()
        if isinstance(self._backend, MemoryBackend):
            catalog, blobs = self._copy_to_memory()
            return Snapshot(catalog, blobs)
        assert isinstance(self._backend, LocalBackend)
        folder = self._backend.root / SNAPSHOTS / f"{os.getpid()}-{next(_snapshot_numbers)}"
        self._copy_to_folder(self._backend, folder)
        return Snapshot(folder=folder)

    def restore(self, snapshot: Snapshot) -> None:
        """Make the contents those of a snapshot of this store; clients and servers of this store go on with it.

        Writes that are under way are refused or count as made after it. Raises StoreError if the snapshot was closed
        or is of another kind of store, or if another process has the store open.
        """
        self._check_can_copy()
        with self._alone(), self._jobs.paused():
            if isinstance(self._backend, MemoryBackend) and snapshot.blobs is not None:
                assert snapshot.catalog is not None
                self._backend.adopt(snapshot.blobs)
                with snapshot.catalog.hold() as source, self._catalog.hold() as target:
                    target.copy_from(source)
            elif isinstance(self._backend, LocalBackend) and snapshot.folder is not None:
                LocalBackend(snapshot.folder).share(self._backend.root)
                with self._catalog.hold() as target:
                    target.copy_from_file(snapshot.folder / "catalog.db")
            else:
                raise StoreError("The snapshot was closed, or is not of this kind of store.")
            self._credential_memory.clear()
            self._sweeping.start_anew()

    def _check_can_copy(self) -> None:
        self.check_open()
        if not isinstance(self._backend, MemoryBackend | LocalBackend):
            raise StoreError("Only a store whose bytes are in memory or in a folder can be forked: copy or back it up.")
        if isinstance(self._backend, ReadOnlyBackend):
            raise StoreReadOnly(
                "The store was opened with read_only=True. A fork, a snapshot and a backup link to its blobs, which "
                "writes in its folder but changes no object: open it without read_only for them."
            )
        if not isinstance(self._committer, DirectCommitter):
            raise StoreError("A node of a cluster cannot be forked: back it up and restore it elsewhere.")

    def _copy_to_memory(self) -> tuple[Catalog, MemoryBackend]:
        catalog = Catalog(None)
        try:
            with self._catalog.hold() as source, catalog.hold() as target:
                if isinstance(self._backend, MemoryBackend):
                    target.copy_from(source)
                    return catalog, self._backend.copy()
                assert isinstance(self._backend, LocalBackend)
                assert self._catalog.path is not None
                target.copy_without_data(self._catalog.path)
                return catalog, MemoryBackend(underlay=LocalUnderlay(self._catalog, self._backend))
        except BaseException:
            catalog.close()
            raise

    def _copy_to_folder(self, backend: LocalBackend, root: Path) -> None:
        if root.exists() and any(root.iterdir()):
            raise StoreError(f"{root} is not empty: a copy of a store needs a new folder.")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with self._catalog.hold() as source:
                catalog_id, index = source.copy_to_file(root / "catalog.db")
                backend.share(root)
            # What is stored later than now was not shared.
            write_mark(root, Mark(catalog_id, index, self._clock()))
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
