"""Forks and snapshots: copies of a whole store that share its immutable blobs.

The catalog is copied; blobs are shared, as hard links on disk and as references in memory. Each store then removes
its own: a blob that one store deletes stays readable in the other, and no sweep ever sees another store's blobs.
A fork in memory of a store on disk leaves all bytes where they are and keeps them there (`bleepstore.store.underlay`).

While the copy is made no command is applied, so it is the store as of one moment. What is removed
meanwhile is garbage already, to which nothing in the copy refers.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs

from bleepstore.backends.local import LocalBackend, ReadOnlyBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.records import ProtectedVersion
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.copying import HeldCatalog, make_file_durable, open_private
from bleepstore.catalog.sqlite.shared import Mark, write_mark
from bleepstore.cleanup import on_error
from bleepstore.clock import SeededBytes, SteadyClock
from bleepstore.committer import DirectCommitter
from bleepstore.errors import StoreError, StoreReadOnly
from bleepstore.object_lock import check_change, is_locked
from bleepstore.store.accounts import Accounts
from bleepstore.store.engine import Engine
from bleepstore.store.opening import SNAPSHOTS, assemble, open_folder
from bleepstore.store.sessions import Sessions
from bleepstore.store.settings import KEY_FILE, MEMORY_INLINE_LIMIT
from bleepstore.store.snapshots import Snapshot
from bleepstore.store.underlay import LocalUnderlay

_snapshot_numbers = itertools.count(1)


def _is_kept(now: ProtectedVersion, then: ProtectedVersion | None, now_ms: int) -> bool:
    """Whether a version is protected in a snapshot as it is now, or need not be any more."""
    if not is_locked(now.retention, now.legal_hold, now_ms, bypasses=False):
        return True
    if then is None or (now.legal_hold and not then.legal_hold):
        return False
    old, new = now.retention, then.retention
    return old == new or check_change(old, new, now_ms, bypasses=False) is None


def _protected_versions(path: Path) -> list[ProtectedVersion]:
    """Of the catalog in a file that nobody has open."""
    with contextlib.closing(Catalog(path, read_only=True)) as catalog, catalog.read() as reader:
        return reader.protected_versions()


class Forks:
    """Copies of a store whose blobs are in memory or in a folder, and whose commands are applied here."""

    def __init__(self, engine: Engine, accounts: Accounts, sessions: Sessions) -> None:
        self._engine = engine
        self._accounts = accounts
        self._sessions = sessions

    def snapshot(self) -> Snapshot:
        """The contents as of now, to come back to by `restore`. On disk it is a folder within the store's."""
        source = self._catalog_to_copy()
        if isinstance(self._engine.backend, MemoryBackend):
            catalog, blobs = self._copy_to_memory(source)
            return Snapshot(catalog, blobs)
        assert isinstance(self._engine.backend, LocalBackend)
        folder = self._engine.backend.root / SNAPSHOTS / f"{os.getpid()}-{next(_snapshot_numbers)}"
        self._copy_to_folder(source, self._engine.backend, folder)
        return Snapshot(folder=folder)

    def fork(self, path: str | os.PathLike[str] | None, clock: Callable[[], int] | None) -> Engine:
        """The engine of a fork, in memory or in the new folder `path`."""
        source = self._catalog_to_copy()
        engine = self._engine
        # What waits to go elsewhere is this store's to send.
        settings = attrs.evolve(
            engine.settings, clock=clock or engine.wall_clock, event_destinations={}, replication_destinations={}
        )
        if isinstance(engine.random_bytes, SeededBytes):
            # Not of the commands applied so far: when a job submits one is a matter of chance.
            settings = attrs.evolve(settings, random_seed=engine.random_bytes.fork_seed())
        backend = engine.backend
        if path is None:
            if isinstance(backend, LocalBackend):
                settings = attrs.evolve(settings, inline_limit=min(engine.inline_limit, MEMORY_INLINE_LIMIT))
            catalog, blobs = self._copy_to_memory(source)
            return assemble(settings, SteadyClock(settings.clock), catalog, blobs, open_keys=engine.open_keys)
        if not isinstance(backend, LocalBackend):
            raise StoreError("A store in memory is forked in memory: fork() without a path.")
        root = Path(path)
        self._copy_to_folder(source, backend, root, as_another=True)
        keys = backend.root / KEY_FILE
        if settings.encryption_keys is None and keys.exists():
            with open_private(root / KEY_FILE) as file:
                file.write(keys.read_bytes())
            make_file_durable(root / KEY_FILE)
        return open_folder(root.absolute(), settings)

    def restore(self, snapshot: Snapshot) -> None:
        """Make the contents those of a snapshot of this store; clients and servers of this store go on with it.

        Writes that are under way are refused or count as made after it. Raises StoreError if the snapshot was closed
        or is of another kind of store, if another process has the store open, or if a version would go that object lock
        protects, or be protected less.
        """
        catalog, backend = self._catalog_to_copy(), self._engine.backend
        with self._engine.exclusive(), self._engine.jobs.paused(), contextlib.ExitStack() as stack:
            if isinstance(backend, MemoryBackend) and snapshot.blobs is not None:
                assert snapshot.catalog is not None
                source = stack.enter_context(snapshot.catalog.hold())
                target = stack.enter_context(catalog.hold())
                self._check_keeps_locked(target, source.protected_versions)
                backend.adopt(snapshot.blobs)
                target.copy_from(source)
            elif isinstance(backend, LocalBackend) and snapshot.folder is not None:
                file = snapshot.folder / "catalog.db"
                target = stack.enter_context(catalog.hold())
                self._check_keeps_locked(target, functools.partial(_protected_versions, file))
                LocalBackend(snapshot.folder).share(backend.root)
                target.copy_from_file(file)
            else:
                raise StoreError("The snapshot was closed, or is not of this kind of store.")
            stack.close()
            self._accounts.forget_remembered()
            self._sessions.forget_remembered()
            self._engine.sweeping.start_anew()

    def _check_keeps_locked(self, held: HeldCatalog, in_snapshot: Callable[[], list[ProtectedVersion]]) -> None:
        """Nothing is written between this look and the copy: what is locked by then is seen."""
        protected = held.protected_versions()
        if not protected:
            return
        now_ms = self._engine.wall_clock()
        kept = {(one.bucket, one.key, one.version_id): one for one in in_snapshot()}
        for one in protected:
            if not _is_kept(one, kept.get((one.bucket, one.key, one.version_id)), now_ms):
                raise StoreError(
                    f"{one.bucket}/{one.key} (version {one.version_id}) is locked now, and the snapshot does not "
                    "have it or protects it less: a fork() can be thrown away instead."
                )

    def _catalog_to_copy(self) -> Catalog:
        """The catalog of a store that can be copied: copies are what the one in SQLite does beyond the port."""
        catalog = self._engine.catalog
        catalog.check_usable()
        if not isinstance(self._engine.backend, MemoryBackend | LocalBackend):
            raise StoreError("Only a store whose bytes are in memory or in a folder can be forked: copy or back it up.")
        if isinstance(self._engine.backend, ReadOnlyBackend):
            raise StoreReadOnly(
                "The store was opened with read_only=True. A fork, a snapshot and a backup link to its blobs, which "
                "writes in its folder but changes no object: open it without read_only for them."
            )
        if not isinstance(self._engine.committer, DirectCommitter):
            raise StoreError("A node of a cluster cannot be forked: back it up and restore it elsewhere.")
        if not isinstance(catalog, Catalog):
            raise StoreError("Only a store whose catalog is in SQLite can be forked.")
        return catalog

    def _copy_to_memory(self, catalog: Catalog) -> tuple[Catalog, MemoryBackend]:
        copied = Catalog(None)
        with on_error(copied.close), catalog.hold() as source, copied.hold() as target:
            if isinstance(self._engine.backend, MemoryBackend):
                target.copy_from(source)
                return copied, self._engine.backend.copy()
            assert isinstance(self._engine.backend, LocalBackend)
            assert catalog.path is not None
            target.copy_without_data(catalog.path)
            return copied, MemoryBackend(underlay=LocalUnderlay(catalog, self._engine.backend))

    def _copy_to_folder(self, catalog: Catalog, backend: LocalBackend, root: Path, *, as_another: bool = False) -> None:
        if root.exists() and any(root.iterdir()):
            raise StoreError(f"{root} is not empty: a copy of a store needs a new folder.")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with catalog.hold() as source:
                catalog_id, index = source.copy_to_file(root / "catalog.db", as_another=as_another)
                backend.share(root)
            # What is stored later than now was not shared.
            write_mark(root, Mark(catalog_id, index, self._engine.clock()))
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
