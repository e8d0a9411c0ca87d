"""`bleepstore.open`: putting a store's parts together."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import functools
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bleepstore.backends.base import StorageBackend
from bleepstore.backends.local import LocalBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog import Catalog, queries
from bleepstore.committer import DirectCommitter
from bleepstore.errors import StorageFull, StoreError
from bleepstore.model import Owner
from bleepstore.store.accounts import AccountOperations
from bleepstore.store.buckets import BucketOperations
from bleepstore.store.engine import DEFAULT_OWNER
from bleepstore.store.forking import SNAPSHOTS, ForkOperations
from bleepstore.store.uploads import UploadOperations

_log = logging.getLogger("bleepstore.store")

#: Objects up to this many bytes live in the catalog: one fsync instead of three (docs/benchmarks has the measurement).
INLINE_LIMIT = 16 * 1024
UPLOAD_EXPIRY = dt.timedelta(days=7)


class Store(BucketOperations, UploadOperations, AccountOperations, ForkOperations):
    """An object store: buckets, objects, multipart uploads, access keys, and forks of the whole.

    Made by `bleepstore.open`.

    All methods are thread-safe. Several processes may open the same directory; each opens it for itself, after a fork.
    """


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _SteadyClock:
    """A clock that never goes back, neither within this process nor behind the last sweep of the catalog.

    A sweep refuses blobs from before its time, so once the system's clock was set back it would refuse every new one.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.source = clock
        self._latest = 0

    def __call__(self) -> int:
        self._latest = max(self._latest, self.source())
        return self._latest

    def go_on_from(self, time_ms: int) -> None:
        self._latest = max(self._latest, time_ms)


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    owner: Owner = DEFAULT_OWNER,
    inline_limit: int = INLINE_LIMIT,
    upload_expiry: dt.timedelta = UPLOAD_EXPIRY,
    clock: Callable[[], int] = _now_ms,
) -> Store:
    """Open the store in the directory `path`, which is made if need be, or a new one in memory if it is None.

    `owner` owns what the application itself creates. Objects of up to `inline_limit` bytes are kept in the catalog.
    An upload that is neither completed nor aborted within `upload_expiry` is removed. `clock` gives milliseconds
    since the epoch.

    Use the store in a `with` block, or close it. Raises CatalogDamaged, CatalogTooNew, StorageFull, OSError.
    """
    clock = _SteadyClock(clock)
    if path is None:
        return _assemble(None, MemoryBackend(clock=clock), owner, inline_limit, upload_expiry, clock)
    root = Path(path)
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is not a directory: a store needs one of its own")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(root / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        alone = _lock_alone(lock)
        backend = LocalBackend(root, clock=clock)
        store = _assemble(root, backend, owner, inline_limit, upload_expiry, clock, lock)
    except BaseException:
        os.close(lock)
        raise
    if alone:
        try:
            _recover(store, backend)
        except BaseException:
            store.close()
            raise
        fcntl.flock(lock, fcntl.LOCK_SH)
    return store


def _recover(store: Store, backend: StorageBackend) -> None:
    """Remove what a crash left. A full disk must not keep anyone from reading, or from making room."""
    try:
        backend.recover()
        if store.path is not None and (store.path / SNAPSHOTS).exists():
            shutil.rmtree(store.path / SNAPSHOTS)
        store._sweeper.sweep(grace_ms=0)
    except StorageFull:
        _log.warning("the disk is full: what an earlier process left behind is removed once there is room")


def _lock_alone(lock: int) -> bool:
    """Hold the store's lock: exclusively if no other process uses the store, which lets us recover, else shared."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True


def _assemble(
    root: Path | None,
    backend: StorageBackend,
    owner: Owner,
    inline_limit: int,
    upload_expiry: dt.timedelta,
    clock: _SteadyClock,
    lock: int | None = None,
    catalog: Catalog | None = None,
) -> Store:
    catalog = catalog or Catalog(None if root is None else root / "catalog.db")
    with catalog.read() as connection:
        clock.go_on_from(queries.sweep_times(connection)[0])

    def close() -> None:
        nonlocal lock
        backend.close()
        if lock is not None:
            os.close(lock)
            lock = None

    store = Store(
        catalog,
        DirectCommitter(catalog),
        backend,
        clock=clock,
        owner=owner,
        inline_limit=inline_limit,
        upload_expiry_ms=int(upload_expiry / dt.timedelta(milliseconds=1)),
        close=close,
        wall_clock=clock.source,
    )
    if lock is not None:
        store._only_process = functools.partial(_as_only_process, lock)
    return store


@contextlib.contextmanager
def _as_only_process(lock: int) -> Iterator[None]:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)  # a conversion that fails may have let go of the lock
        raise StoreError("Another process has the store open: close it there first.") from None
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_SH)


def assemble_memory(
    catalog: Catalog,
    backend: MemoryBackend,
    *,
    owner: Owner,
    inline_limit: int,
    upload_expiry: dt.timedelta,
    clock: Callable[[], int],
) -> Store:
    """A store in memory out of parts that nobody else uses."""
    steady = _SteadyClock(clock)
    backend.use_clock(steady)
    return _assemble(None, backend, owner, inline_limit, upload_expiry, steady, catalog=catalog)
