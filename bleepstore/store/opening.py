"""`bleepstore.open`: putting a store's parts together."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import errno
import fcntl
import functools
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from bleepstore.backends.base import Gateway, StorageBackend
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.retry import Outage, ProviderBusy, ProviderUnavailable
from bleepstore.backends.gateway.settings import GatewaySettings, is_gateway_url, open_gateway, parse_url
from bleepstore.backends.local import LocalBackend, ReadOnlyBackend, make_folder
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.mark import MarkFile, read_mark
from bleepstore.committer import DirectCommitter
from bleepstore.errors import BucketAlreadyExists, S3Error, StorageFull, StoreError
from bleepstore.jobs.lease import FolderLease
from bleepstore.model import Owner
from bleepstore.store.accounts import AccountOperations
from bleepstore.store.adopting import TAKEN_OVER_FILE, AdoptOperations, is_adopting
from bleepstore.store.arguments import with_checked_arguments
from bleepstore.store.engine import DEFAULT_OWNER
from bleepstore.store.forking import SNAPSHOTS
from bleepstore.store.iterating import IteratingOperations
from bleepstore.store.rolled_back import check_catalog_is_there, doubt, is_of
from bleepstore.store.scrubbing import ScrubOperations

_log = logging.getLogger("bleepstore.store")

#: Objects up to this many bytes live in the catalog: one fsync instead of three (docs/explanation/benchmarks.md).
INLINE_LIMIT = 16 * 1024
#: In memory there is no fsync to save, and a fork copies the catalog. But it costs less to drop a small object that is
#: replaced with its row than by a job: with no object in the catalog a PUT over another is slower by a fifth.
MEMORY_INLINE_LIMIT = 1024
UPLOAD_EXPIRY = dt.timedelta(days=7)
#: Processes that read one clock at the same time find it this much apart.
_CLOCKS_DIFFER_MS = 1000


@with_checked_arguments
class Store(IteratingOperations, AccountOperations, ScrubOperations, AdoptOperations):
    """An object store: buckets, objects, multipart uploads, access keys, forks and scrubs of the whole, what is stored
    at a provider.

    Made by `bleepstore.open`.

    All methods are thread-safe. Several processes may open the same directory; each opens it for itself, after a fork.
    """

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def fork(self, path: str | os.PathLike[str] | None = None, *, clock: Callable[[], int] | None = None) -> Store:
        """An isolated store with the contents of this one, in O(1) bytes: what either writes the other never sees.

        Without a `path` it is in memory. If this store is on disk, the fork reads what was there from its files, which
        keep what this store removes until the fork is closed; what the fork writes is in memory.

        A store on disk can also be forked into the new folder `path`, for good. That one shares the bytes by hard
        links where it is on the same file system, and copies them where it is not and where they are kept in the
        catalog (`inline_limit`). `clock` replaces this store's clock in the fork.

        Raises StoreError if there is no such fork; OSError. Close the fork as any store.
        """
        options = {
            "owner": self._owner,
            "inline_limit": self._inline_limit,
            "upload_expiry": dt.timedelta(milliseconds=self._upload_expiry_ms),
            "clock": clock or self._wall_clock,
        }
        self._check_can_copy()
        if path is None:
            if isinstance(self._backend, LocalBackend):
                options["inline_limit"] = min(self._inline_limit, MEMORY_INLINE_LIMIT)
            catalog, blobs = self._copy_to_memory()
            return assemble_memory(catalog, blobs, **options)  # type: ignore[arg-type]  # a dict of several types
        if not isinstance(self._backend, LocalBackend):
            raise StoreError("A store in memory is forked in memory: fork() without a path.")
        root = Path(path)
        self._copy_to_folder(self._backend, root)
        return open_store(root, **options)  # type: ignore[arg-type]  # a dict of several types


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _SteadyClock:
    """The clock of blobs and sweeps. It never goes back: neither within this process, nor behind the last sweep of the
    catalog, nor behind the other processes that have the store open.

    A sweep refuses blobs from before its time, so once the system's clock was set back it would refuse every new one.
    From then on this clock is ahead of the system's and runs as fast. People see the system's time: `source`.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.source = clock
        self.latest = 0
        self._ahead = 0
        self._others: Sequence[int] | memoryview[int] = (0,)

    def __call__(self) -> int:
        now, latest = self.source() + self._ahead, max(self.latest, self._others[0])
        if now < latest:
            if latest - now > _CLOCKS_DIFFER_MS:
                self._ahead += latest - now
            now = latest
        self.latest = now
        return now

    def go_on_from(self, time_ms: int) -> None:
        self.latest = max(self.latest, time_ms)

    def follow(self, others: memoryview[int]) -> None:
        """Stay at or after the time that is in `others`."""
        self._others = others


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    owner: Owner = DEFAULT_OWNER,
    inline_limit: int | None = None,
    upload_expiry: dt.timedelta = UPLOAD_EXPIRY,
    clock: Callable[[], int] = _now_ms,
    catalog: str | os.PathLike[str] | None = None,
    layout: str = "keys",
    endpoint_url: str | None = None,
    connections: int = 16,
    take_over: bool = False,
    read_only: bool = False,
) -> Store:
    """Open the store in the directory `path`, which is made if need be, or a new one in memory if it is None.

    `path` may also be a URL: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix` keep the bytes of
    the objects there, and `s3:///prefix` in a bucket for each, named `prefix` and the bucket's name. The catalog is in
    the directory `catalog`. Without one it is made anew in memory, of all that is stored there; then nobody else may
    write there meanwhile. `layout` is "keys", where each object is stored under its own key, or "blobs". `endpoint_url`
    is another address of the provider. `connections` is how many requests may be under way there at once. `take_over`
    makes a catalog the one of blobs that belonged to another, which is lost; `Store.adopt` then fills it.

    `owner` owns what the application itself creates. Objects of up to `inline_limit` bytes are kept in the catalog
    (16 KiB; 1 KiB in memory, where a fork copies them; none where the bytes are stored at a provider).
    An upload that is neither completed nor aborted within `upload_expiry` is removed. `clock` gives milliseconds
    since the epoch.

    `read_only` opens a directory that holds a store already without changing anything in it, also if nothing can be
    changed there; what other processes write meanwhile is seen. Every change raises StoreReadOnly.

    Use the store in a `with` block, or close it. Raises StoreError where no store can be, CatalogDamaged,
    CatalogTooNew, StorageFull, OSError; TypeError for options of a wrong type.
    """
    _check_options(
        owner=owner, inline_limit=inline_limit, upload_expiry=upload_expiry, clock=clock, connections=connections
    )
    check_location(path, "path", urls=True)
    check_location(catalog, "catalog")
    clock = _SteadyClock(clock)
    if read_only:
        if path is None or is_gateway_url(path) or catalog is not None:
            raise StoreError("read_only is for the directory of a store")
        return _open_read_only(Path(path).absolute(), owner, upload_expiry, clock)
    if is_gateway_url(path):
        scheme, container, prefix = parse_url(str(path))
        settings = GatewaySettings(
            scheme=scheme,
            container=container,
            prefix=prefix,
            layout=_check_layout(layout, inline_limit),
            endpoint_url=endpoint_url,
            connections=connections,
        )
        root = None if catalog is None else Path(catalog).absolute()
        return _open_at_provider(settings, root, owner, inline_limit, upload_expiry, clock, take_over)
    if catalog is not None or endpoint_url is not None:
        raise StoreError(
            "A catalog or an endpoint_url is for a store at a provider: open('s3://...'), 'gs://' or 'az://'."
        )
    if inline_limit is None:
        inline_limit = MEMORY_INLINE_LIMIT if path is None else INLINE_LIMIT
    if path is None:
        return _assemble(None, MemoryBackend(), owner, inline_limit, upload_expiry, clock)
    # Absolute, for the process may change its directory.
    return _open_folder(Path(path).absolute(), owner, inline_limit, upload_expiry, clock)


def _open_folder(
    root: Path, owner: Owner, inline_limit: int, upload_expiry: dt.timedelta, clock: _SteadyClock
) -> Store:
    lock = _open_lock(root)
    try:
        alone = _lock_alone(lock)
        if (root / GATEWAY_FILE).exists():
            url = json.loads((root / GATEWAY_FILE).read_text())["url"]
            raise StoreError(f"{root} is the catalog of {url}: open that URL with this catalog")
        check_catalog_is_there(root)
        mark = read_mark(root)
        if mark is not None:
            clock.go_on_from(mark.time_ms)
        backend = LocalBackend(root, clock=clock)
        store = _assemble(root, backend, owner, inline_limit, upload_expiry, clock, lock)
    except BaseException:
        os.close(lock)
        raise
    try:
        identity = store._catalog.identify()
        if alone:
            is_recovered = _recover(store, backend, identity)
            fcntl.flock(lock, fcntl.LOCK_SH)
        else:
            is_recovered = is_of(mark, *identity)  # or the first process has yet to find space for it
        if is_recovered:
            _keep_mark(store, root, identity[0], clock)
    except BaseException:
        store.close()
        raise
    return store


def _keep_mark(store: Store, root: Path, catalog_id: str, clock: _SteadyClock) -> None:
    """From now on the folder knows how far its catalog is, and the processes that have it open share a clock."""
    mark = MarkFile(root, catalog_id, clock)
    clock.follow(mark.shared_time_ms)
    store._catalog.keep_mark(mark)


def _check_options(**given: object) -> None:
    kinds: dict[str, tuple[object, str]] = {
        "owner": (Owner, "an Owner"),
        "inline_limit": (int | None, "a number of bytes, or None"),
        "upload_expiry": (dt.timedelta, "a datetime.timedelta"),
        "clock": (Callable, "a function that gives milliseconds"),
        "connections": (int, "a number"),
    }
    for name, value in given.items():
        kind, wanted = kinds[name]
        if not isinstance(value, kind):  # type: ignore[arg-type]  # unions are allowed
            raise TypeError(f"{name} is {wanted}, not {type(value).__name__}: {value!r}")


#: As a path it would be a folder named "s3:", also where pathlib has made one slash of two.
_LIKE_A_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*:/")


def check_location(location: object, what: str, *, urls: bool = False) -> None:
    """Refuse what would become a folder by mistake. Raises StoreError, TypeError."""
    if location is None:
        return
    if not isinstance(location, str | os.PathLike):
        raise TypeError(
            f"{what} is a folder or a URL (str or os.PathLike), not {type(location).__name__}: {location!r}"
        )
    text = os.fspath(location)
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str, not {type(text).__name__}: os.fsdecode() makes one")
    if not text:
        raise StoreError(f"{what} is empty: name a folder; open() without a path is a store in memory")
    if text == ":memory:":
        raise StoreError(f"{what}: ':memory:' is for `bleepstore serve`; open() without a path is a store in memory")
    if _LIKE_A_URL.match(text) and not (urls and is_gateway_url(location)):
        raise StoreError(
            f"{what}: {location!r} is no folder. The stores at a URL are open('s3://...'), 'gs://' and 'az://', as str."
        )


def _open_read_only(root: Path, owner: Owner, upload_expiry: dt.timedelta, clock: _SteadyClock) -> Store:
    if not (root / "catalog.db").exists():
        raise StoreError(f"there is no store in {root}, and read_only makes none")
    if (root / GATEWAY_FILE).exists():
        raise StoreError(f"{root} is the catalog of a store at a provider: read_only is for the directory of a store")
    lock = os.open(root / "store.lock", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)  # nobody takes this store for unused
        catalog = Catalog(root / "catalog.db", read_only=True)
        backend = ReadOnlyBackend(root, clock=clock)
        return _assemble(root, backend, owner, INLINE_LIMIT, upload_expiry, clock, lock, catalog)
    except BaseException:
        os.close(lock)
        raise


def open_accounts(path: str | os.PathLike[str]) -> AccountOperations:
    """The access keys of the store whose catalog is in `path`, wherever its bytes are. Close it after use.

    Raises StoreError, CatalogDamaged.
    """
    check_catalog_is_there(Path(path))
    return _assemble(Path(path), MemoryBackend(), DEFAULT_OWNER, -1, UPLOAD_EXPIRY, _SteadyClock(_now_ms))


def _open_lock(root: Path) -> int:
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is not a directory: a store needs one of its own")
    try:
        make_folder(root)
        return os.open(root / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise StoreError(
            f"{root} is on a disk that is mounted read-only: read it with open(..., read_only=True), or "
            "`bleepstore serve --read-only`"
        ) from error


def _check_layout(layout: str, inline_limit: int | None) -> Layout:
    if layout not in list(Layout):
        raise StoreError(f"the layout {layout!r} is neither {' nor '.join(repr(str(one)) for one in Layout)}")
    if layout == Layout.KEYS and inline_limit is not None and inline_limit >= 0:
        raise StoreError(
            "inline_limit: in the layout 'keys' every object is stored at the provider, none in the catalog"
        )
    return Layout(layout)


def _open_at_provider(
    settings: GatewaySettings,
    root: Path | None,
    owner: Owner,
    inline_limit: int | None,
    upload_expiry: dt.timedelta,
    clock: _SteadyClock,
    take_over: bool,
) -> Store:
    """A store whose bytes are stored at a provider and whose catalog is in `root`, or in memory and made anew."""

    def has_bucket(bucket: str) -> bool:
        return made.find_bucket(bucket) is not None

    inline = -1 if inline_limit is None else inline_limit
    lock = None if root is None else _open_lock(root)
    try:
        backend = open_gateway(settings)
        try:
            is_there = _check(backend, patiently=root is not None and (root / GATEWAY_FILE).exists() and not take_over)
            if root is not None and lock is not None:
                alone = _lock_alone(lock)
                _claim(root, settings, backend, has_bucket, take_over, is_there)
            made = Catalog(None if root is None else root / "catalog.db")
            store = _assemble(root, backend, owner, inline, upload_expiry, clock, lock, made)
        except BaseException:
            backend.close()
            raise
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise
    try:
        if root is not None:
            identity = store._catalog.identify()
            mark = read_mark(root)
            if mark is not None and not is_of(mark, *identity):
                _log.warning(
                    "%s is older than what is stored at %s, or another catalog: nothing that it does not know is "
                    "removed there until it was adopted (`bleepstore adopt`)", root / "catalog.db", settings.url
                )  # fmt: skip
                (root / TAKEN_OVER_FILE).touch()
            if mark is not None:
                clock.go_on_from(mark.time_ms)
            _keep_mark(store, root, identity[0], clock)
        # What this catalog does not know may be another's.
        store._sweeping.orphans.keep_while(lambda: root is None or not is_there or is_adopting(root / "catalog.db"))
        if root is not None and is_there and settings.container is None:
            _claim_buckets(store, backend)
        if root is None:
            for bucket in store.adoptable_buckets():
                store.adopt(bucket)
        elif lock is not None and alone:
            fcntl.flock(lock, fcntl.LOCK_SH)
    except BaseException:
        store.close()
        raise
    return store


_CLAIMS = 8  # under way at once
#: Beside a catalog: which provider's objects it is of.
GATEWAY_FILE = "gateway.json"


def _check(backend: Gateway, *, patiently: bool) -> bool:
    """Whether the provider can be used. With patience it may be down for now: a server's worker that is started again
    at such a time serves what needs the catalog alone."""
    try:
        backend.check()
    except (ProviderBusy, ProviderUnavailable) as error:
        if not patiently:
            raise
        _log.warning("opened without the provider: %s", error)
        return False
    return True


def _claim(
    root: Path,
    settings: GatewaySettings,
    backend: Gateway,
    has_bucket: Callable[[str], bool],
    take_over: bool,
    is_there: bool,
) -> None:
    """Make sure that this catalog and these blobs belong together. The first to open them makes it so."""
    path = root / GATEWAY_FILE
    wanted = {"url": settings.url, "layout": settings.layout.value}
    if path.exists():
        known = json.loads(path.read_text())
        if {name: known[name] for name in wanted} != wanted:
            raise StoreError(
                f"{root} is the catalog of {known['url']} in the layout {known['layout']!r}, "
                f"not of {settings.url} in the layout {settings.layout.value!r}"
            )
    else:
        known = wanted | {"store": secrets.token_hex(16)}
    if take_over or (path.exists() and not (root / "catalog.db").exists()):
        (root / TAKEN_OVER_FILE).touch()  # before anything can be swept
    if not is_there and settings.container is not None:
        return  # it was claimed when it was opened first
    found = backend.claim(known["store"], has_bucket, take_over=take_over)
    if found != known["store"]:
        raise StoreError(
            f"{settings.url} belongs to another catalog than {root}: open it with that one. If it is lost, rebuild it "
            "with `bleepstore adopt --take-over`, or open(..., take_over=True) and adopt()"
        )
    if not path.exists():
        temporary = path.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(known, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)


def _claim_buckets(store: Store, backend: Gateway) -> None:
    """Where each bucket has a container: make sure that none has become another catalog's."""
    outage = Outage()

    def claim(bucket: str) -> None:
        try:
            outage.call(backend.claim_bucket, bucket)
        except BucketAlreadyExists:
            raise StoreError(
                f"The bucket {bucket} at {backend.url} belongs to another catalog than this one, which had it before. "
                "Use that one, or take the buckets back: open(..., take_over=True)"
            ) from None
        except S3Error as error:
            _log.warning("the bucket %s cannot be used now: %s", bucket, error)

    with concurrent.futures.ThreadPoolExecutor(_CLAIMS) as pool:
        list(pool.map(claim, [bucket.name for bucket in store.list_buckets().buckets]))


def _recover(store: Store, backend: LocalBackend, identity: tuple[str, int]) -> bool:
    """Remove what a crash left, and set aside what the catalog should know. False if the disk is too full for it:
    that must not keep anyone from reading, or from freeing space."""
    set_aside = doubt(backend.root, backend, *identity)
    try:
        backend.recover()
        if (backend.root / SNAPSHOTS).exists():
            shutil.rmtree(backend.root / SNAPSHOTS)
        store._sweeping.recover(set_aside, everywhere=set_aside.since_ms == 0)
    except StorageFull:
        _log.warning("the disk is full: what an earlier process left behind is removed once there is space")
        # What the catalog does not know is neither removed now, nor believed to be garbage later.
        store._sweeping.orphans.keep_while(lambda: True)
        return False
    finally:
        set_aside.report()
    return True


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
    with catalog.read() as reader:
        clock.go_on_from(reader.sweep_times()[0])

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
        lease=None if root is None else FolderLease(root),
    )
    if lock is not None:
        store._only_process = functools.partial(_as_only_process, lock)
    return store


@contextlib.contextmanager
def _as_only_process(lock: int) -> Iterator[None]:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)  # a conversion that fails may have released the lock
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
    return _assemble(None, backend, owner, inline_limit, upload_expiry, steady, catalog=catalog)
