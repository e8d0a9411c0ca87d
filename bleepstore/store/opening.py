"""Putting the parts of a store's engine together: in memory, in a folder, or read-only."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bleepstore.backends.base import StorageBackend
from bleepstore.backends.local import LocalBackend, ReadOnlyBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.shared import MarkFile, read_mark
from bleepstore.cleanup import on_error
from bleepstore.clock import SeededBytes, Stamps, SteadyClock
from bleepstore.committer import DirectCommitter
from bleepstore.errors import StorageFull, StoreError
from bleepstore.jobs.lease import FolderLease
from bleepstore.jobs.parts import Parts
from bleepstore.store.engine import Engine
from bleepstore.store.folder_lock import FolderLock
from bleepstore.store.rolled_back import check_blobs_belong, check_catalog_is_there, doubt, is_of, keep_id
from bleepstore.store.settings import INLINE_LIMIT, KEY_FILE, MEMORY_INLINE_LIMIT, Settings

if TYPE_CHECKING:
    from bleepstore.sealing.keys import KeyService

_log = logging.getLogger("bleepstore.store")

#: Beside a catalog: which provider's objects it is of.
GATEWAY_FILE = "gateway.json"
#: The folder of a store's snapshots. What is in it when a store is opened by its first process belongs to nobody.
SNAPSHOTS = "snapshots"


def assemble(
    settings: Settings,
    clock: SteadyClock,
    catalog: Catalog,
    backend: StorageBackend,
    lock: FolderLock | None = None,
    *,
    open_keys: Callable[[], KeyService] | None = None,
) -> Engine:
    """The engine made of these, which it closes. `open_keys` gives its encryption keys, unless they are as configured,
    or in a file beside the catalog."""
    with catalog.read() as reader:
        clock.go_on_from(reader.sweep_times()[0])
    random_bytes = os.urandom if settings.random_seed is None else SeededBytes(settings.random_seed)

    def close() -> None:
        catalog.close()
        backend.close()
        if lock is not None:
            lock.close()

    folder = None if catalog.path is None else catalog.path.parent
    return Engine(
        Parts(
            catalog=catalog,
            committer=DirectCommitter(catalog),
            backend=backend,
            clock=clock,
            wall_clock=clock.source,
            stamp=Stamps(clock, clock.source),
            last_used_ms=clock.latest,
            random_bytes=random_bytes,
        ),
        settings,
        close=close,
        lock=lock,
        folder=folder,
        lease=None if folder is None else FolderLease(folder),
        open_keys=open_keys or _opener_of_keys(settings, folder, catalog.read_only),
    )


def _opener_of_keys(settings: Settings, folder: Path | None, read_only: bool) -> Callable[[], KeyService] | None:
    """Of the keys that are configured or, in a folder, of its file of keys."""
    configured = settings.encryption_keys
    if configured is None and folder is None:
        return None

    def open_keys() -> KeyService:
        from bleepstore.sealing.keys import KeyFile

        if configured is None:
            assert folder is not None
            return KeyFile(folder / KEY_FILE, makes=not read_only)
        return KeyFile(Path(configured)) if isinstance(configured, str | os.PathLike) else configured

    return open_keys


def _keys_in_memory() -> KeyService:
    from bleepstore.sealing.keys import MasterKeys

    return MasterKeys(makes_any=True)


def open_memory(settings: Settings) -> Engine:
    """A new store in memory."""
    settings = settings.with_inline_limit(MEMORY_INLINE_LIMIT)
    keys = None if settings.encryption_keys is not None else _keys_in_memory
    return assemble(settings, SteadyClock(settings.clock), Catalog(None), MemoryBackend(), open_keys=keys)


def open_folder(root: Path, settings: Settings) -> Engine:
    """The store in the folder `root`, which is made if need be. The path is absolute: a process may change its
    directory."""
    settings = settings.with_inline_limit(INLINE_LIMIT)
    clock = SteadyClock(settings.clock)
    lock = FolderLock.open(root)
    with on_error(lock.close):
        is_alone = lock.acquire()
        if (root / GATEWAY_FILE).exists():
            url = json.loads((root / GATEWAY_FILE).read_text())["url"]
            raise StoreError(f"{root} is the catalog of {url}: open that URL with this catalog")
        check_catalog_is_there(root)
        mark = read_mark(root)
        if mark is not None:
            clock.go_on_from(mark.time_ms)
        backend = LocalBackend(root, clock=clock)
        catalog = Catalog(root / "catalog.db", is_alone=is_alone)
        engine = assemble(settings, clock, catalog, backend, lock)
        engine.sweeping.orphans.keep_while(lock.is_replaced)  # the blobs of another store are none of ours
    with on_error(engine.close):
        identity = catalog.identify()
        check_blobs_belong(root, identity[0])
        if is_alone:
            is_recovered = _recover(engine, backend, identity)
            lock.share()
        else:
            is_recovered = is_of(mark, *identity)  # or the first process has yet to find space for it
        if is_recovered:
            keep_mark(catalog, root, identity[0], clock)
    return engine


def keep_mark(catalog: Catalog, root: Path, catalog_id: str, clock: SteadyClock) -> None:
    """From now on the folder knows how far its catalog is, and the processes that have it open share a clock."""
    mark = MarkFile(root, catalog_id, clock)
    catalog.keep_mark(mark)


def open_read_only(root: Path, settings: Settings) -> Engine:
    """The store that is in the folder `root` already; nothing is changed. Raises StoreError."""
    if not (root / "catalog.db").exists():
        raise StoreError(f"there is no store in {root}, and read_only makes none")
    if (root / GATEWAY_FILE).exists():
        raise StoreError(f"{root} is the catalog of a store at a provider: read_only is for the directory of a store")
    check_catalog_is_there(root)
    lock = FolderLock.open_read_only(root)
    with on_error(lock.close):
        lock.share()
        clock = SteadyClock(settings.clock)
        catalog = Catalog(root / "catalog.db", read_only=True)
        with on_error(catalog.close), catalog.read() as reader:
            check_blobs_belong(root, reader.catalog_id())
        return assemble(settings, clock, catalog, ReadOnlyBackend(root, clock=clock), lock)


def open_catalog(root: Path, *, encryption_keys: KeyService | str | os.PathLike[str] | None = None) -> Engine:
    """The catalog in the folder `root` without its bytes, wherever those are. Raises StoreError, CatalogDamaged."""
    check_catalog_is_there(root)
    settings = Settings(encryption_keys=encryption_keys)
    return assemble(settings, SteadyClock(settings.clock), Catalog(root / "catalog.db"), MemoryBackend())


def _recover(engine: Engine, backend: LocalBackend, identity: tuple[str, int]) -> bool:
    """Remove what a crash left, and set aside what the catalog should know. False if the disk is too full for it:
    that must not keep anyone from reading, or from freeing space."""
    set_aside = doubt(backend.root, backend, *identity)
    try:
        backend.recover()
        if (backend.root / SNAPSHOTS).exists():
            shutil.rmtree(backend.root / SNAPSHOTS)
        engine.sweeping.recover(set_aside, everywhere=set_aside.since_ms == 0)
        keep_id(backend.root, identity[0])
    except StorageFull:
        _log.warning("the disk is full: what an earlier process left behind is removed once there is space")
        # What the catalog does not know is neither removed now, nor believed to be garbage later.
        engine.sweeping.orphans.keep_while(lambda: True)
        return False
    finally:
        set_aside.report()
    return True
