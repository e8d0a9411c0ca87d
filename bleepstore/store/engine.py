"""What the parts of a store share: catalog, committer, backend, clocks, ids and jobs, and every operation's first
questions."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import functools
import operator
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import attrs

from bleepstore.access import Action, Caller, Facts, authorize, authorize_absent
from bleepstore.backends.base import BlobId, BlobSpec, Gateway, KeyedBackend, new_blob_id
from bleepstore.backends.local import LocalBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.conditions import check_owner
from bleepstore.catalog.port import CatalogReader
from bleepstore.catalog.quotas import refusal_of
from bleepstore.clock import TickingStamps
from bleepstore.cluster_status import ClusterStatus
from bleepstore.commands import PutBucketSetting
from bleepstore.committer import RESERVE
from bleepstore.configurations import ConfigurationKind
from bleepstore.errors import InvalidArgument, NoSuchBucket, NotSupported, ServiceUnavailable
from bleepstore.events import Origin
from bleepstore.jobs import Jobs, Sweeping
from bleepstore.jobs.deliveries import Deliveries
from bleepstore.jobs.events import EventsJob
from bleepstore.jobs.lease import Lease, SoleLease
from bleepstore.jobs.log_spool import LogSpool
from bleepstore.jobs.orphans import GRACE_MS
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.waking import Waker
from bleepstore.model import (
    MAX_PAGE,
    NO_SETTINGS,
    NULL_VERSION,
    Bucket,
    BucketSetting,
    BucketSettings,
    ObjectAttributes,
    Versioning,
)
from bleepstore.object_lock import check_future, no_lock
from bleepstore.preconditions import WriteCondition
from bleepstore.quotas import Growth
from bleepstore.store.blob_engine import BlobEngine, ObjectEngine
from bleepstore.store.folder_lock import FolderLock
from bleepstore.store.keyed_engine import KeyedEngine
from bleepstore.store.new_objects import as_owned
from bleepstore.store.settings import ACL_DEFAULTS, Settings
from bleepstore.store.verifying import Verifier

if TYPE_CHECKING:
    from bleepstore.sealing.keys import KeyService
    from bleepstore.store.encrypting import Encrypting

#: Beside a catalog: lines of access logs that are to be delivered.
LOG_FOLDER = "access-logs"


class Engine:
    """The engine of one store. `close` is called once its jobs have stopped, to close the parts that are this store's;
    also where the engine is dropped without being closed, of which a warning tells. `open_keys` gives the master keys
    of encryption; None: there are none, and what one process made another could not read.

    `submit` gives the result of a command and raises a refusal, which `committer.submit` returns. `clock` is that of
    blobs and sweeps, `wall_clock` the one that the store was given. `object_engine` is how objects are written.
    `folder` is that of the catalog; None if it is in memory. `exclusive` gives a block in which no other process has
    the store open, or raises StoreError. `opened_ms` is when a store with a `random_seed` was opened, by `wall_clock`;
    None for any other.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        *,
        close: Callable[[], None],
        folder: Path | None = None,
        lock: FolderLock | None = None,
        lease: Lease | None = None,
        open_keys: Callable[[], KeyService] | None = None,
    ) -> None:
        self.catalog = catalog = parts.catalog
        self.read_only = catalog.read_only
        self.settings = settings
        self.committer = parts.committer
        self.parts = parts
        self._is_alone = parts.committer.is_alone
        self.backend = backend = parts.backend
        self.clock = parts.clock
        self.wall_clock = parts.wall_clock
        self.random_bytes = parts.random_bytes
        # The jobs have stamps of their own then: when they make one is a matter of chance.
        is_seeded = settings.random_seed is not None
        self.opened_ms = parts.wall_clock() if is_seeded else None
        self.stamp = TickingStamps(parts.clock, parts.wall_clock, parts.random_bytes) if is_seeded else parts.stamp
        self.submit = parts.submit
        self.owner = settings.owner
        self.new_bucket_settings = ACL_DEFAULTS[settings.acl_defaults]
        self.inline_limit = -1 if settings.inline_limit is None else settings.inline_limit
        self.object_engine = _object_engine_of(parts)
        self.verifier = Verifier(backend)
        #: Whether nothing of the store is at rest anywhere.
        self.in_memory = isinstance(backend, MemoryBackend) and not backend.has_underlay and folder is None
        self.open_keys = _once(open_keys or _no_keys)
        self.exclusive: Callable[[], contextlib.AbstractContextManager[None]]
        self.exclusive = contextlib.nullcontext if lock is None else lock.exclusive
        self.folder = folder
        self.lease = lease = lease or SoleLease()
        self.jobs = Jobs(parts.clock, lease, folder=folder, read_only=self.read_only)
        #: Makes a call that a disk or a provider may hold for long. A program that runs many operations in one thread,
        #: each of which can wait without keeping the thread, sets another.
        self.run_blocking: Callable[[Callable[[], object]], object] = operator.call
        #: The buckets with an access log, of those that were asked for since the store was opened.
        self.logged_buckets: set[str] = set()
        self.log_spool = LogSpool(None if folder is None else folder / LOG_FOLDER)
        delete = None if self.object_engine.keeps_versions else self.object_engine.delete
        self.sweeping = Sweeping(self.jobs, parts, settings.upload_expiry_ms, delete, self.log_spool)
        #: What ends before the catalog and the backend do.
        self.closers: list[Callable[[], None]] = [self.log_spool.close]
        self._close = close = functools.partial(_end, self.closers, close)
        delivers = settings.event_destinations and not self.read_only
        self.deliveries: Deliveries | None = self._deliver() if delivers else None
        name = "in memory" if folder is None else f"in {folder}"
        self._dropped = weakref.finalize(self, _drop, os.getpid(), name, self.jobs, close)
        self._dropped.atexit = False  # a process that ends frees everything by itself

    def _deliver(self) -> Deliveries:
        """From now on send events to where they go."""
        deliveries = Deliveries(self.parts, self.settings.senders, Waker(self.folder))
        self.closers.append(deliveries.stop)
        self.jobs.add(EventsJob(deliveries, self.lease))
        self.catalog.watch(deliveries.hear)
        self.jobs.start()
        return deliveries

    @functools.cached_property
    def encrypting(self) -> Encrypting:
        """Raises NotSupported without the extra `encryption`, and where nothing can be encrypted."""
        check_encrypts(self)
        try:
            from bleepstore.store.encrypting import Encrypting
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "cryptography":
                raise
            raise NotSupported(
                "Encryption needs the package cryptography: pip install 'bleepstore[encryption]'"
            ) from None
        return Encrypting(self.backend, self.committer, self.open_keys)

    def new_blob_id(self) -> BlobId:
        return new_blob_id(self.clock(), self.random_bytes)

    def new_name(self, size: int) -> str:
        """The id of something that its maker gives none: `size` random bytes as text."""
        return base64.urlsafe_b64encode(self.random_bytes(size)).rstrip(b"=").decode()

    # -- questions

    def find_bucket(self, bucket: str) -> Bucket:
        if not self._is_alone:
            self.committer.read_barrier()
        found = self.catalog.find_bucket(bucket)
        if found is None:
            raise NoSuchBucket(bucket)
        if found.settings.configurations is not None:
            self._note_log(found)
        return found if self.settings.public_access_block is None else self.blocked(found)

    def _note_log(self, bucket: Bucket) -> None:
        if ConfigurationKind.LOGGING in (bucket.settings.configurations or {}) and not self.read_only:
            self.logged_buckets.add(bucket.name)

    def blocked(self, bucket: Bucket) -> Bucket:
        """A bucket as the catalog has it, with what is blocked in all buckets."""
        own, of_all = bucket.settings.public_access_block, self.settings.public_access_block
        if of_all is None:
            return bucket
        block = of_all if own is None else own | of_all
        return attrs.evolve(bucket, settings=attrs.evolve(bucket.settings, public_access_block=block))

    def own_settings(self, bucket: Bucket) -> BucketSettings:
        """Without what is blocked in all buckets."""
        if self.settings.public_access_block is None:
            return bucket.settings
        found = self.catalog.find_bucket(bucket.name)
        return NO_SETTINGS if found is None else found.settings

    def bucket_for(self, bucket: str, action: Action, caller: Caller | None, **facts: Unpack[Facts]) -> Bucket:
        """The bucket, if it exists and `caller` may do `action` there."""
        found = self.find_bucket(bucket)
        authorize(action, caller, found, **facts)
        return found

    def origin_of(self, caller: Caller | None, event: str | None = None) -> Origin:
        """What a command carries of its request, for events: see `bleepstore.commands`."""
        if caller is None:
            return Origin(event=event, principal=self.owner.id)
        return Origin(
            event="ObjectCreated:Post" if caller.by_form else event,
            request_id=caller.request_id,
            principal=caller.requester,
            source_ip=caller.source_ip,
        )

    def put_setting(self, bucket: Bucket, name: str, value: object, *, makes_public: bool = False) -> None:
        """Replace one of the settings of a bucket, or remove it, if the value is None."""
        self.submit(
            PutBucketSetting(
                **self.stamp(),
                bucket=bucket.name,
                bucket_id=bucket.id,
                setting=BucketSetting(name, value),
                makes_public=makes_public,
            )
        )

    @contextlib.contextmanager
    def listing_of(
        self, bucket: str, action: Action, caller: Caller | None, limit: int, **facts: Unpack[Facts]
    ) -> Iterator[tuple[CatalogReader, Bucket, int]]:
        """What reads a page of a bucket, if `caller` may list it, the bucket, and how long the page may be."""
        check_limit(limit)
        found = self.find_bucket(bucket)
        facts["max_keys"] = limit
        authorize(action, caller, found, **facts)
        with self.catalog.read() as reader:
            yield reader, found, min(limit, MAX_PAGE)

    def condition_for(
        self,
        action: Action,
        bucket: Bucket,
        key: str,
        condition: WriteCondition,
        caller: Caller | None,
        **facts: Unpack[Facts],
    ) -> WriteCondition:
        """The condition of a write that `caller` may do, with whose object alone it may replace."""
        facts["write_condition"] = condition
        only_of = authorize(action, caller, bucket, None, key, **facts)
        if only_of is None and condition.if_match is None:
            return condition
        return self.narrowed(condition, bucket, key, caller, only_of)

    def narrowed(
        self, condition: WriteCondition, bucket: Bucket, key: str, caller: Caller | None, only_of: str | None
    ) -> WriteCondition:
        """The condition of a write that may replace the objects `only_of` this account (None: of any). If there is one
        of another already, nothing else is looked at."""
        if condition.if_match is not None:
            self.check_comparison(condition, bucket, key, caller)
        if only_of is None:
            return condition
        with self.catalog.read() as reader:
            current = reader.find_object(bucket.name, key, with_data=False)
        condition = attrs.evolve(condition, replaces_only_of=only_of)
        if refused := check_owner(condition, None if current is None else current.version.owner.id):
            raise refused
        return condition

    def check_comparison(self, condition: WriteCondition, bucket: Bucket, key: str, caller: Caller | None) -> None:
        """Refuse to compare the ETag of an object that `caller` may not read. "To perform conditional deletes with an
        If-Match header with the ETag value, you must have the s3:DeleteObject and s3:GetObject permissions"; the policy
        in "Enforce conditional writes" allows s3:GetObject for the same reason."""
        if caller is None or condition.if_match in (None, "*"):
            return
        with self.catalog.read() as reader:
            current = reader.find_object(bucket.name, key, with_data=False)
        if current is None:
            authorize_absent(Action.GET_OBJECT, caller, bucket, key)
        else:
            authorize(Action.GET_OBJECT, caller, bucket, as_owned(current, bucket).version)

    def check_quota(self, bucket: Bucket, key: str, size: int, creator_id: str | None) -> None:
        """Raise QuotaExceeded if an object of `size` bytes is too much for a bucket that `keeps_usage`, or for who
        makes it, before its bytes are sent for nothing. It is decided again when the change is made; where each object
        is stored under its own key at a provider, this alone decides, and writes that come at the same time may
        together be too much."""
        with self.catalog.read() as reader:
            quotas = reader.quotas_of(bucket.id, creator_id)
            replaced = None
            if bucket.versioning is not Versioning.ENABLED:
                replaced = reader.find_version(bucket.name, key, NULL_VERSION, with_data=False)
        before = None if replaced is None else (replaced.version.creator_id, replaced.version.size)
        if refused := refusal_of(quotas, bucket.name, Growth.by_write(creator_id, size, before)):
            raise refused

    def spec_for(
        self,
        bucket: Bucket,
        key: str,
        attributes: ObjectAttributes,
        size: int | None = None,
        etag: Callable[[], str] | None = None,
    ) -> BlobSpec:
        """What a backend is told of a blob, or of an upload, besides its bytes."""
        return BlobSpec(
            bucket=bucket.name,
            key=key,
            size=size,
            attributes=attributes,
            etag=etag,
            new_id=self.new_blob_id,
            keeps_versions=bucket.versioning is Versioning.ENABLED,
        )

    def check_attributes(self, bucket: Bucket, key: str, attributes: ObjectAttributes, caller: Caller | None) -> None:
        """Refuse a write with tags or locks of its own that `caller` may not set, or with locks that the bucket has not
        or that are over already. What the bucket has is decided again when the change is made."""
        if attributes.tags:
            authorize(Action.PUT_OBJECT_TAGGING, caller, bucket, None, key, attributes=attributes)
        if attributes.retention is None and attributes.legal_hold is None:
            return
        if attributes.retention is not None:
            authorize(Action.PUT_OBJECT_RETENTION, caller, bucket, None, key, attributes=attributes)
        if attributes.legal_hold is not None:
            authorize(Action.PUT_OBJECT_LEGAL_HOLD, caller, bucket, None, key, attributes=attributes)
        if bucket.settings.object_lock is None:
            raise no_lock()
        if attributes.retention is not None and (refused := check_future(attributes.retention, self.wall_clock())):
            raise refused

    # -- life

    def sweep(self, *, grace: dt.timedelta | None = None) -> None:
        """Remove garbage, orphans and expired uploads now.

        An orphan is a blob that no command has brought in since `grace`, which is how long a write may take from the
        end of its bytes to its commit: ten minutes. If nothing else writes, no time at all finds every orphan.
        """
        self.sweeping.sweep(GRACE_MS if grace is None else grace // dt.timedelta(milliseconds=1))

    def ping(self) -> None:
        """Raise if the catalog cannot be read, or if nothing can be written though the store is not read-only: on a
        full disk, StorageFull; on one that is read-only or fails, StorageUnavailable; while another process keeps all
        others from writing, SlowDown; in a cluster without a leader, or at a node that has left it, ServiceUnavailable.
        """
        status = self.committer.cluster_status()
        if status is not None and (status.trouble or status.leader is None):
            raise ServiceUnavailable(status.trouble or "no leader of the cluster is known here")
        self.check_catalog()

    def check_catalog(self) -> None:
        """The same of the catalog alone."""
        with self.catalog.read() as reader:
            reader.applied_index()
        if not self.read_only:
            self.catalog.check_disk(RESERVE)

    def cluster_status(self) -> ClusterStatus | None:
        """What the node of a cluster that the store is on is at, and what it knows of the others; None: the store is
        on no cluster. Never waits."""
        return self.committer.cluster_status()

    def close(self) -> None:
        """Stop the jobs and release files and connections. Closing twice is allowed."""
        self._dropped.detach()
        self.jobs.stop()
        self._close()


def _object_engine_of(parts: Parts) -> ObjectEngine:
    """How objects are written, by what their bytes are stored in."""
    backend = parts.backend
    # To look at all attributes of a protocol takes a quarter of the time in which a store in memory is opened.
    is_local = isinstance(backend, MemoryBackend | LocalBackend)
    if not is_local and isinstance(backend, KeyedBackend):
        return KeyedEngine(parts.catalog, parts.committer, backend, parts.stamp)
    return BlobEngine(backend, parts.committer)


def _drop(pid: int, name: str, jobs: Jobs, close: Callable[[], None]) -> None:
    """What becomes of a store that nobody refers to any more and nobody closed."""
    if pid != os.getpid():  # a forked child has its parent's object, not its connections
        return

    try:
        text = f"The store {name} was not closed: use it in a `with` block, or call close()."
        warnings.warn(text, ResourceWarning, stacklevel=2)
    finally:
        jobs.abandon(close)


def _end(closers: list[Callable[[], None]], close: Callable[[], None]) -> None:
    with contextlib.ExitStack() as stack:  # each is called, also if one before it fails
        for call in (close, *reversed(closers)):
            stack.callback(call)


def check_keeps_versions(engine: Engine) -> None:
    """Raise NotSupported where each object is stored under its own key at a provider, which keeps one of each."""
    if not engine.object_engine.keeps_versions:
        raise NotSupported(
            "A store in layout 'keys' keeps one object under each key at its provider. "
            "Versioning needs a store in layout 'blobs'."
        )


def check_encrypts(engine: Engine) -> None:
    """Raise NotSupported where each object is stored under its own key at a provider, as others can read it there."""
    if not engine.object_engine.keeps_versions:
        raise NotSupported(
            "A store in layout 'keys' leaves the encryption of its objects to its provider. "
            "Encryption needs a store in layout 'blobs'."
        )
    if engine.folder is None and isinstance(engine.backend, Gateway):
        raise NotSupported(
            "The catalog of this store is in memory, and a new one is made of what is stored at the provider, where "
            "nothing tells how an object is encrypted. Encryption needs a catalog in a folder."
        )


def _once(open_keys: Callable[[], KeyService]) -> Callable[[], KeyService]:
    """Gives what `open_keys` gives the first time, to all threads and to the store's forks: keys that are made in
    memory are nowhere else."""
    lock = threading.Lock()
    opened: list[KeyService] = []

    def get() -> KeyService:
        with lock:
            if not opened:
                opened.append(open_keys())
            return opened[0]

    return get


def _no_keys() -> KeyService:
    raise NotSupported(
        "Nothing can be encrypted here without configured keys, the same wherever the store is opened: set "
        "encryption_keys."
    )


def check_limit(limit: int) -> None:
    if limit < 0:
        raise InvalidArgument("A limit must not be negative.", "limit", str(limit))
