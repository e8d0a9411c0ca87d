"""`bleepstore.open`, and the store that it gives: one object with a method for each operation."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from bleepstore.backends.gateway.settings import is_gateway_url
from bleepstore.backends.local import LocalBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.clock import now_ms
from bleepstore.errors import StoreError
from bleepstore.jobs import Jobs
from bleepstore.model import Owner
from bleepstore.store.access_logs import AccessLogs
from bleepstore.store.accounts import Accounts
from bleepstore.store.acls import AccessRules
from bleepstore.store.adopting import Adoption
from bleepstore.store.archived import ArchivedObjects
from bleepstore.store.archiving import Archives
from bleepstore.store.arguments import checked, method_of
from bleepstore.store.buckets import Buckets
from bleepstore.store.configurations import StoredConfigurations
from bleepstore.store.copies import Copies
from bleepstore.store.cross_origin import CrossOrigin
from bleepstore.store.encryptions import Encryptions
from bleepstore.store.engine import Engine
from bleepstore.store.eventing import Eventing
from bleepstore.store.forking import Forks
from bleepstore.store.inventories import Inventories
from bleepstore.store.iterating import Listings
from bleepstore.store.lifecycles import Lifecycles
from bleepstore.store.locks import ObjectLocks
from bleepstore.store.objects import Objects
from bleepstore.store.opening import open_catalog, open_folder, open_memory, open_read_only
from bleepstore.store.ownership import OwnershipControls
from bleepstore.store.policies import Policies
from bleepstore.store.provider import open_at_provider
from bleepstore.store.quotas import Quotas
from bleepstore.store.rates import Rates
from bleepstore.store.replications import Replications
from bleepstore.store.roles import Roles
from bleepstore.store.scrubbing import Scrubs
from bleepstore.store.sessions import Sessions
from bleepstore.store.settings import (
    DEFAULT_OWNER,
    UPLOAD_EXPIRY,
    OpenOptions,
    ProviderSettings,
    Settings,
    check_location,
)
from bleepstore.store.stored_objects import StoredObjects
from bleepstore.store.tags import Tags
from bleepstore.store.uploads import Uploads
from bleepstore.store.versions import Versions

if TYPE_CHECKING:
    from bleepstore.sealing.keys import KeyService


class Store:
    """An object store: buckets, objects, multipart uploads, access keys, forks and scrubs of the whole, what is stored
    at a provider.

    Made by `bleepstore.open`.

    All methods are thread-safe. Several processes may open the same directory; each opens it for itself, after a fork.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.accounts = Accounts(engine)
        self.users = self.accounts.users
        self.sessions = Sessions(engine, self.accounts)
        self.roles = Roles(engine, self.sessions)
        self.buckets = Buckets(engine)
        self.objects = Objects(engine)
        self.stored = StoredObjects(engine)
        self.uploads = Uploads(engine)
        self.versions = Versions(engine)
        self.copies = Copies(engine, self.stored, self.uploads)
        self.access = AccessRules(engine, self.stored, self.uploads)
        self.policies = Policies(engine)
        self.tags = Tags(engine, self.stored)
        self.lifecycles = Lifecycles(engine)
        self.locks = ObjectLocks(engine, self.stored)
        self.encryptions = Encryptions(engine, self.stored)
        self.cross_origin = CrossOrigin(engine)
        self.configurations = StoredConfigurations(engine)
        self.access_logs = AccessLogs(engine, self.objects)
        self.inventories = Inventories(engine, self.objects)
        self.replications = Replications(engine, self.stored)
        self.ownership = OwnershipControls(engine)
        self.quotas = Quotas(engine)
        self.rates = Rates(engine, self.accounts)
        self.archived = ArchivedObjects(engine, self.stored)
        self.listings = Listings(self.buckets, self.objects, self.stored, self.uploads, self.versions)
        self.forks = Forks(engine, self.accounts, self.sessions)
        self.archives = Archives(self.forks)
        self.scrubs = Scrubs(engine)
        self.adoption = Adoption(engine)
        self.events = Eventing(engine)

    def __repr__(self) -> str:
        """Where the objects are: in memory, in a folder, or at a provider. No two open stores look the same: fsspec and
        dask know what is in their caches by its text."""
        at = getattr(self.engine.backend, "url", None) or self.path
        where = "in memory" if at is None else f"at {str(at)!r}"
        return f"<{type(self).__name__} {where}, {id(self):#x}>"

    create_bucket = method_of("buckets", Buckets.create_bucket)
    delete_bucket = method_of("buckets", Buckets.delete_bucket)
    head_bucket = method_of("buckets", Buckets.head_bucket)
    get_bucket = method_of("buckets", Buckets.get_bucket)
    list_buckets = method_of("buckets", Buckets.list_buckets)
    iter_buckets = method_of("listings", Listings.iter_buckets)

    put_object = method_of("objects", Objects.put_object)
    get_object = method_of("stored", StoredObjects.get_object)
    head_object = method_of("stored", StoredObjects.head_object)
    list_object_parts = method_of("stored", StoredObjects.list_object_parts)
    iter_object_parts = method_of("listings", Listings.iter_object_parts)
    delete_object = method_of("objects", Objects.delete_object)
    delete_objects = method_of("objects", Objects.delete_objects)
    copy_object = method_of("copies", Copies.copy_object)
    list_objects = method_of("objects", Objects.list_objects)
    iter_objects = method_of("listings", Listings.iter_objects)

    put_bucket_versioning = method_of("versions", Versions.put_bucket_versioning)
    get_bucket_versioning = method_of("versions", Versions.get_bucket_versioning)
    list_object_versions = method_of("versions", Versions.list_object_versions)
    iter_object_versions = method_of("listings", Listings.iter_object_versions)

    create_upload = method_of("uploads", Uploads.create_upload)
    put_part = method_of("uploads", Uploads.put_part)
    copy_part = method_of("copies", Copies.copy_part)
    complete_upload = method_of("uploads", Uploads.complete_upload)
    abort_upload = method_of("uploads", Uploads.abort_upload)
    list_uploads = method_of("uploads", Uploads.list_uploads)
    iter_uploads = method_of("listings", Listings.iter_uploads)
    list_parts = method_of("uploads", Uploads.list_parts)
    iter_parts = method_of("listings", Listings.iter_parts)

    get_bucket_acl = method_of("access", AccessRules.get_bucket_acl)
    put_bucket_acl = method_of("access", AccessRules.put_bucket_acl)
    get_object_acl = method_of("access", AccessRules.get_object_acl)
    put_object_acl = method_of("access", AccessRules.put_object_acl)
    get_bucket_policy = method_of("policies", Policies.get_bucket_policy)
    put_bucket_policy = method_of("policies", Policies.put_bucket_policy)
    delete_bucket_policy = method_of("policies", Policies.delete_bucket_policy)
    is_bucket_policy_public = method_of("policies", Policies.is_bucket_policy_public)
    get_object_tags = method_of("tags", Tags.get_object_tags)
    put_object_tags = method_of("tags", Tags.put_object_tags)
    delete_object_tags = method_of("tags", Tags.delete_object_tags)
    get_bucket_tags = method_of("tags", Tags.get_bucket_tags)
    put_bucket_tags = method_of("tags", Tags.put_bucket_tags)
    delete_bucket_tags = method_of("tags", Tags.delete_bucket_tags)
    put_bucket_lifecycle = method_of("lifecycles", Lifecycles.put_bucket_lifecycle)
    get_bucket_lifecycle = method_of("lifecycles", Lifecycles.get_bucket_lifecycle)
    delete_bucket_lifecycle = method_of("lifecycles", Lifecycles.delete_bucket_lifecycle)
    put_bucket_cors = method_of("cross_origin", CrossOrigin.put_bucket_cors)
    get_bucket_cors = method_of("cross_origin", CrossOrigin.get_bucket_cors)
    delete_bucket_cors = method_of("cross_origin", CrossOrigin.delete_bucket_cors)
    put_bucket_configuration = method_of("configurations", StoredConfigurations.put_bucket_configuration)
    get_bucket_configuration = method_of("configurations", StoredConfigurations.get_bucket_configuration)
    delete_bucket_configuration = method_of("configurations", StoredConfigurations.delete_bucket_configuration)
    update_bucket_metadata = method_of("configurations", StoredConfigurations.update_bucket_metadata)
    list_bucket_configurations = method_of("configurations", StoredConfigurations.list_bucket_configurations)
    put_bucket_ownership = method_of("ownership", OwnershipControls.put_bucket_ownership)
    get_bucket_ownership = method_of("ownership", OwnershipControls.get_bucket_ownership)
    delete_bucket_ownership = method_of("ownership", OwnershipControls.delete_bucket_ownership)
    put_bucket_payer = method_of("ownership", OwnershipControls.put_bucket_payer)
    get_bucket_payer = method_of("ownership", OwnershipControls.get_bucket_payer)
    put_public_access_block = method_of("ownership", OwnershipControls.put_public_access_block)
    get_public_access_block = method_of("ownership", OwnershipControls.get_public_access_block)
    delete_public_access_block = method_of("ownership", OwnershipControls.delete_public_access_block)
    put_bucket_object_lock = method_of("locks", ObjectLocks.put_bucket_object_lock)
    get_bucket_object_lock = method_of("locks", ObjectLocks.get_bucket_object_lock)
    put_object_retention = method_of("locks", ObjectLocks.put_object_retention)
    get_object_retention = method_of("locks", ObjectLocks.get_object_retention)
    put_object_legal_hold = method_of("locks", ObjectLocks.put_object_legal_hold)
    get_object_legal_hold = method_of("locks", ObjectLocks.get_object_legal_hold)
    restore_object = method_of("archived", ArchivedObjects.restore_object)
    restorations_of = method_of("archived", ArchivedObjects.restorations_of)
    put_bucket_encryption = method_of("encryptions", Encryptions.put_bucket_encryption)
    get_bucket_encryption = method_of("encryptions", Encryptions.get_bucket_encryption)
    delete_bucket_encryption = method_of("encryptions", Encryptions.delete_bucket_encryption)
    update_object_encryption = method_of("encryptions", Encryptions.update_object_encryption)
    check_access = method_of("access", AccessRules.check_access)
    explain_access = method_of("access", AccessRules.explain)

    put_quota = method_of("quotas", Quotas.put_quota)
    delete_quota = method_of("quotas", Quotas.delete_quota)
    list_quotas = method_of("quotas", Quotas.list_quotas)
    usage = method_of("quotas", Quotas.usage)
    totals = method_of("quotas", Quotas.totals)
    recount_usage = method_of("quotas", Quotas.recount_usage)

    put_rate_limit = method_of("rates", Rates.put_rate_limit)
    delete_rate_limit = method_of("rates", Rates.delete_rate_limit)
    list_rate_limits = method_of("rates", Rates.list_rate_limits)

    put_credential = method_of("accounts", Accounts.put_credential)
    disable_credential = method_of("accounts", Accounts.disable_credential)
    delete_credential = method_of("accounts", Accounts.delete_credential)
    seal_secrets = method_of("accounts", Accounts.seal_secrets)
    list_credentials = method_of("accounts", Accounts.list_credentials)
    get_credential = method_of("accounts", Accounts.get_credential)
    find_owner = method_of("accounts", Accounts.find_owner)
    display_name = method_of("accounts", Accounts.display_name)
    owner_by_email = method_of("accounts", Accounts.owner_by_email)

    create_session = method_of("sessions", Sessions.create_session)
    find_session = method_of("sessions", Sessions.find_session)
    revoke_sessions = method_of("sessions", Sessions.revoke_sessions)
    assume_role = method_of("sessions", Sessions.assume_role)
    assume_role_with_web_identity = method_of("sessions", Sessions.assume_role_with_web_identity)
    put_role = method_of("roles", Roles.put_role)
    get_role = method_of("roles", Roles.get_role)
    list_roles = method_of("roles", Roles.list_roles)
    delete_role = method_of("roles", Roles.delete_role)

    snapshot = method_of("forks", Forks.snapshot)
    restore = method_of("forks", Forks.restore)
    backup = method_of("archives", Archives.backup)
    scrub = method_of("scrubs", Scrubs.scrub)
    scrub_every = method_of("scrubs", Scrubs.scrub_every)
    scrub_when_asked = method_of("scrubs", Scrubs.scrub_when_asked)
    adoptable_buckets = method_of("adoption", Adoption.adoptable_buckets)
    adopt = method_of("adoption", Adoption.adopt)
    adopt_all = method_of("adoption", Adoption.adopt_all)
    on_event = method_of("events", Eventing.on_event)
    flush_events = method_of("events", Eventing.flush_events)
    replication_destinations = method_of("replications", Replications.replication_destinations)
    replicate_existing = method_of("replications", Replications.replicate_existing)
    event_destinations = method_of("events", Eventing.event_destinations)

    @checked
    def fork(self, path: str | os.PathLike[str] | None = None, *, clock: Callable[[], int] | None = None) -> Store:
        """An isolated store with the contents of this one, in O(1) bytes: what either writes the other never sees.

        Without a `path` it is in memory. If this store is on disk, the fork reads what was there from its files, which
        keep what this store removes until the fork is closed; what the fork writes is in memory.

        A store on disk can also be forked into the new folder `path`, for good. That one shares the bytes by hard
        links where it is on the same file system, and copies them where it is not and where they are kept in the
        catalog (`inline_limit`). `clock` replaces this store's clock in the fork.

        Raises StoreError if there is no such fork; OSError. Close the fork as any store.
        """
        return Store(self.forks.fork(path, clock))

    def wall_time_ms(self) -> int:
        """The time by the clock that `bleepstore.open` was given, which may also go back; signatures are checked by
        it."""
        return self.engine.wall_clock()

    def check_open(self) -> None:
        """Raise StoreClosed if the store was closed, or was opened before this process was forked."""
        self.engine.catalog.check_usable()

    sweep = method_of("engine", Engine.sweep)
    ping = method_of("engine", Engine.ping)
    cluster_status = method_of("engine", Engine.cluster_status)
    close = method_of("engine", Engine.close)

    @property
    def owner(self) -> Owner:
        """The owner of what the embedding application creates."""
        return self.engine.owner

    @property
    def path(self) -> Path | None:
        """The folder of the store; None if it is in memory or its bytes are elsewhere."""
        backend = self.engine.backend
        return backend.root if isinstance(backend, LocalBackend) else None

    @property
    def in_memory(self) -> bool:
        """Whether nothing of the store is at rest anywhere: all of it ends with the process. Not so a fork in memory of
        a store on disk, and a store at a provider whose catalog is in memory."""
        return self.engine.in_memory

    @property
    def random_seed(self) -> int | None:
        """What ids are made of, so that each run of a test is the same; None: of chance."""
        return self.engine.settings.random_seed

    @functools.cached_property
    def read_only(self) -> bool:
        """Whether the store was opened with `read_only`."""
        return self.engine.read_only

    @property
    def is_local(self) -> bool:
        """Whether all of it is on this machine, and not at a provider."""
        return isinstance(self.engine.backend, LocalBackend | MemoryBackend)

    @property
    def inline_limit(self) -> int:
        """Objects of up to so many bytes are kept in the catalog: to write one is one commit. -1: none are."""
        return self.engine.inline_limit

    @property
    def damaged_reads(self) -> int:
        """How often this store, since it was opened, met bytes that are not those that were written."""
        return self.engine.verifier.comparisons.damaged

    @property
    def jobs(self) -> Jobs:
        """What the store does by itself: what of it is done and due, and a way to have it done now."""
        return self.engine.jobs

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    owner: Owner = DEFAULT_OWNER,
    inline_limit: int | None = None,
    upload_expiry: dt.timedelta = UPLOAD_EXPIRY,
    clock: Callable[[], int] = now_ms,
    encryption_keys: KeyService | str | os.PathLike[str] | None = None,
    read_only: bool = False,
    **options: Unpack[OpenOptions],
) -> Store:
    """Open the store in the directory `path`, which is made if need be, or a new one in memory if it is None.

    `owner` owns what the application itself creates. Objects of up to `inline_limit` bytes are kept in the catalog
    (64 KiB; 1 KiB in memory, where a fork copies them; none where the bytes are at a provider).
    An upload that is neither completed nor aborted within `upload_expiry` is removed. An archived object can be read
    `restore_delay` after it was asked for, by default at once. `clock` gives milliseconds since the epoch.

    `encryption_keys` are the master keys of objects that are encrypted: the path of a file of them, or a `KeyService`
    (`bleepstore.sealing.keys`). Without them a directory has such a file, `encryption.keys`, once one is needed. If one
    of them has the name `secrets`, it encrypts the secrets of access keys (`Store.seal_secrets`).

    `read_only` opens a directory that holds a store already without changing anything in it, also if nothing can be
    changed there; what other processes write meanwhile is seen. Every change raises StoreReadOnly.

    `acl_defaults` says what new buckets are set to: "s3", as at Amazon since April 2023, ACLs are disabled and public
    access is blocked; "legacy", objects belong to their writers, and ACLs count. `public_access_block` is blocked in
    all buckets, whatever they are set to themselves.

    `event_destinations` are the queues, topics and functions that notifications of buckets may name: by the name in an
    ARN, the URL to which events are sent, or a function that opens a `bleepstore.senders.Sender`.

    `replication_destinations` are buckets at other endpoints of S3 that the replication of buckets may name as its
    destination: by that name, the URL of the bucket there (see `bleepstore.remotes`).

    `random_seed` is for tests alone, and for a store in memory: whatever the program does in one thread has the same
    ids, ETags and times in each run. Ids of uploads can then be predicted; secrets of keys and sessions still cannot.
    Without a `clock` the time is a fixed one, which goes on by a millisecond with each change.

    `path` may also be a URL: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix` keep the bytes of
    the objects there, and `s3:///prefix` in a bucket for each, named `prefix` and the bucket's name. The options of
    such a store are:

    - `catalog`: the directory of the catalog. Without one it is made anew in memory, of all that is stored there; then
      nobody else may write there meanwhile.
    - `layout`: "keys", where each object is stored under its own key, or "blobs".
    - `endpoint_url`: another address of the provider.
    - `connections`: how many requests may be under way there at once: 16.
    - `take_over`: make the catalog that of blobs that belonged to another one, which is lost; `Store.adopt` then fills
      it.

    Use the store in a `with` block, or close it. Raises StoreError where no store can be, CatalogDamaged,
    CatalogTooNew, StorageFull, OSError; TypeError for options of a wrong type.
    """
    settings = Settings.of(
        options,
        owner=owner,
        inline_limit=inline_limit,
        upload_expiry=upload_expiry,
        clock=clock,
        encryption_keys=encryption_keys,
    )
    return Store(_open_engine(path, settings, ProviderSettings.of(options), read_only=read_only))


def _open_engine(
    path: str | os.PathLike[str] | None, settings: Settings, at_provider: ProviderSettings, *, read_only: bool
) -> Engine:
    check_location(path, "path", urls=True)
    if settings.random_seed is not None and path is not None:
        raise StoreError("random_seed is for a store in memory: elsewhere nobody may predict the ids of uploads")
    if read_only:
        if path is None or is_gateway_url(path) or at_provider.catalog is not None:
            raise StoreError("read_only is for the directory of a store")
        return open_read_only(Path(path).absolute(), settings)
    if is_gateway_url(path):
        return open_at_provider(str(path), settings, at_provider)
    if at_provider.catalog is not None or at_provider.endpoint_url is not None:
        raise StoreError(
            "A catalog or an endpoint_url is for a store at a provider: open('s3://...'), 'gs://' or 'az://'."
        )
    return open_memory(settings) if path is None else open_folder(Path(path).absolute(), settings)


_Part = TypeVar("_Part")


@contextlib.contextmanager
def _open_part(
    path: str | os.PathLike[str],
    make: Callable[[Engine], _Part],
    encryption_keys: KeyService | str | os.PathLike[str] | None = None,
) -> Iterator[_Part]:
    """A part of the store whose catalog is in `path`, wherever its bytes are. Raises StoreError, CatalogDamaged."""
    with contextlib.closing(open_catalog(Path(path), encryption_keys=encryption_keys)) as engine:
        yield make(engine)


def open_accounts(
    path: str | os.PathLike[str], *, encryption_keys: KeyService | str | os.PathLike[str] | None = None
) -> AbstractContextManager[Accounts]:
    """The access keys and users of the store whose catalog is in `path`, wherever its bytes are. For
    `encryption_keys`, which may encrypt the secrets, see `bleepstore.open`.

    Raises StoreError, CatalogDamaged.
    """
    return _open_part(path, Accounts, encryption_keys)


def open_roles(path: str | os.PathLike[str]) -> AbstractContextManager[Roles]:
    """The roles and sessions of the store whose catalog is in `path`, wherever its bytes are.

    Raises StoreError, CatalogDamaged.
    """
    return _open_part(path, lambda engine: Roles(engine, Sessions(engine, Accounts(engine))))


def open_rates(path: str | os.PathLike[str]) -> AbstractContextManager[Rates]:
    """The rates of the store whose catalog is in `path`, wherever its bytes are.

    Raises StoreError, CatalogDamaged.
    """
    return _open_part(path, lambda engine: Rates(engine, Accounts(engine)))


def open_replications(path: str | os.PathLike[str]) -> AbstractContextManager[Replications]:
    """The replication of the store whose catalog is in `path`, wherever its bytes are; what is queued is copied by a
    process that has the whole store open.

    Raises StoreError, CatalogDamaged.
    """
    return _open_part(path, lambda engine: Replications(engine, None))


def open_quotas(path: str | os.PathLike[str]) -> AbstractContextManager[Quotas]:
    """The quotas of the store whose catalog is in `path`, wherever its bytes are.

    Raises StoreError, CatalogDamaged.
    """
    return _open_part(path, Quotas)
