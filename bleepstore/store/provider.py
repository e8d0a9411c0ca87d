"""Opening a store whose bytes are at a provider, and whose catalog is in a folder here, or in memory and made anew."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from bleepstore.backends.base import Gateway
from bleepstore.backends.gateway.retry import Outage, ProviderBusy, ProviderUnavailable
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.shared import read_mark
from bleepstore.cleanup import on_error
from bleepstore.clock import SteadyClock
from bleepstore.errors import BucketAlreadyExists, S3Error, StoreError
from bleepstore.store.adopting import TAKEN_OVER_FILE, Adoption, is_adopting
from bleepstore.store.buckets import Buckets
from bleepstore.store.engine import Engine
from bleepstore.store.folder_lock import FolderLock
from bleepstore.store.opening import GATEWAY_FILE, assemble, keep_mark
from bleepstore.store.rolled_back import is_of
from bleepstore.store.settings import ProviderSettings, Settings
from bleepstore.threads import map_in_threads

_log = logging.getLogger("bleepstore.store")
_CLAIMS = 8  # under way at once


def open_at_provider(url: str, settings: Settings, provider: ProviderSettings) -> Engine:
    """The store whose bytes are at this URL. Raises StoreError."""
    gateway = provider.gateway(url, settings)
    if provider.catalog is None:
        return _open_in_memory(gateway, settings)
    return _open_in_folder(gateway, Path(provider.catalog).absolute(), settings, provider.take_over)


def _open_in_memory(gateway: GatewaySettings, settings: Settings) -> Engine:
    """With a catalog that is made anew, of all that is stored there."""
    backend = open_gateway(gateway)
    with on_error(backend.close):
        _check(backend, patiently=False)
        engine = assemble(settings, SteadyClock(settings.clock), Catalog(None), backend)
    with on_error(engine.close):
        engine.sweeping.orphans.keep_while(lambda: True)  # what this catalog does not know may be another's
        adoption = Adoption(engine)
        for bucket in adoption.adoptable_buckets():
            adoption.adopt(bucket)
    return engine


def _open_in_folder(gateway: GatewaySettings, root: Path, settings: Settings, take_over: bool) -> Engine:
    def has_bucket(bucket: str) -> bool:
        return catalog.find_bucket(bucket) is not None

    clock = SteadyClock(settings.clock)
    lock = FolderLock.open(root)
    with on_error(lock.close):
        backend = open_gateway(gateway)
        with on_error(backend.close):
            is_there = _check(backend, patiently=(root / GATEWAY_FILE).exists() and not take_over)
            is_alone = lock.acquire()
            _claim(root, gateway, backend, has_bucket, take_over, is_there)
            catalog = Catalog(root / "catalog.db", is_alone=is_alone)
            engine = assemble(settings, clock, catalog, backend, lock)
    with on_error(engine.close):
        _keep_mark(catalog, root, gateway.url, clock)
        # What this catalog does not know may be another's.
        engine.sweeping.orphans.keep_while(lambda: not is_there or is_adopting(root))
        if is_there and gateway.container is None:
            _claim_buckets(engine, backend)
        if is_alone:
            lock.share()
    return engine


def _keep_mark(catalog: Catalog, root: Path, url: str, clock: SteadyClock) -> None:
    identity = catalog.identify()
    mark = read_mark(root)
    if mark is not None:
        if not is_of(mark, *identity):
            _log.warning(
                "%s is older than what is stored at %s, or another catalog: nothing that it does not know is removed "
                "there until it was adopted (`bleepstore adopt`)",
                root / "catalog.db",
                url,
            )
            (root / TAKEN_OVER_FILE).touch()
        clock.go_on_from(mark.time_ms)
    keep_mark(catalog, root, identity[0], clock)


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


def _claim_buckets(engine: Engine, backend: Gateway) -> None:
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

    map_in_threads(claim, [bucket.name for bucket in Buckets(engine).list_buckets().buckets], _CLAIMS)
