"""What BleepStore needs of a database of metadata: whoever implements this can keep the catalog.

- `CatalogReader`: what the store, its jobs and the copies of a store ask. Answers are records, never cursors.
- `CatalogPort`: the whole, as the committer and the store have it.
- `Tables`: the rows that commands look at and change; what they do with them is in `bleepstore.catalog.apply`.

`bleepstore.testing.catalog_contract` is the suite that an implementation must pass. `bleepstore.catalog.sqlite` is the
one that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypedDict

from bleepstore.catalog.port_of_passes import AgeReader, ContentReader
from bleepstore.catalog.records import (
    AwaitedRestoration,
    CompletedUpload,
    DeleteMarker,
    FoundObject,
    Garbage,
    ObjectSince,
    ProtectedVersion,
    RecordedEvent,
    StoredBucket,
    StoredVersion,
)
from bleepstore.commands import (
    Command,
    CreateBucket,
    CreateUpload,
    PutCredential,
    PutObject,
    PutRole,
    RegisterPart,
    Result,
)
from bleepstore.events import Event, FailedReplication, WaitingEvent, WaitingEvents
from bleepstore.model import (
    Acl,
    Bucket,
    BucketSetting,
    Credential,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    Part,
    PartSummary,
    Upload,
    UploadToken,
    User,
    Versioning,
)
from bleepstore.pages import ObjectPage, UploadPage, VersionPage
from bleepstore.quotas import CountedQuota, Quota, QuotaScope, Totals, Usage
from bleepstore.rates import Rate, RateLimit, RateScope
from bleepstore.replication import ReplicationTask, WaitingReplication
from bleepstore.roles import Role


class CatalogReader(ContentReader, AgeReader, Protocol):
    """The questions. Each answer is of one moment, and sees all that was committed before it was asked.

    Names and keys are strings; anything else is a TypeError. A page of a listing is in the byte order of UTF-8.
    """

    def applied_index(self) -> int:
        """The number of commands applied so far."""

    # -- buckets

    def find_bucket(self, bucket: str) -> Bucket | None: ...

    def list_buckets(
        self,
        owner_id: str | None,
        prefix: str,
        locations: Collection[str] | None,
        after: str,
        limit: int,
    ) -> list[Bucket]:
        """Up to `limit` buckets that follow the name `after`, in the order of their names: of one owner and in
        `locations`, or of all if that is None."""

    # -- objects

    def find_object(self, bucket: str, key: str, *, with_data: bool) -> FoundObject | None:
        """The current version, or None if there is none or the bucket does not exist. Inline bytes only if asked
        for."""

    def find_version(self, bucket: str, key: str, version_id: str, *, with_data: bool) -> FoundObject | None:
        """As find_object, a version by its id, which may be a delete marker."""

    def latest_version(self, bucket: str, key: str) -> FoundObject | None:
        """The latest version of a key, which may be a delete marker. Never with inline bytes."""

    def protected_versions(self) -> list[ProtectedVersion]:
        """All of them; nothing but the buckets is looked at, if none has object lock."""

    def object_parts(self, version: ObjectVersion) -> tuple[PartSummary, ...]:
        """The parts of a multipart object; empty for any other, and for one that is gone."""

    def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int, start_after: str = ""
    ) -> ObjectPage:
        """A page of at most `limit` objects and common prefixes: those that follow the entry `after` of an earlier
        page, or, if that is "", those of the keys after `start_after`."""

    def list_versions(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_version_id: str, limit: int
    ) -> VersionPage:
        """A page of versions and common prefixes, in the order of the keys and of each key the newest first: what
        follows the version `after_version_id` of `after_key`; all that follows `after_key`, if that is "".

        If that version is gone, the page begins with the newest of that key, lest one be left out."""

    # -- uploads

    def find_upload(self, bucket: str, key: str, upload_id: str) -> Upload | None: ...

    def object_since(self, bucket: str, key: str, upload_id: str) -> ObjectSince:
        """What became of the key of an upload since it was created."""

    def find_completed(self, bucket: str, key: str, upload_id: str) -> CompletedUpload | None:
        """What became of an upload that was completed a short while ago."""

    def list_parts(self, upload_id: str, after: int, limit: int) -> list[Part]:
        """Up to `limit` parts with numbers above `after`, in their order."""

    def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_upload_id: str, limit: int
    ) -> UploadPage:
        """A page of uploads and common prefixes, in the order of key and time of creation."""

    def expired_uploads(self, before_ms: int, limit: int) -> list[Upload]:
        """Up to `limit` uploads created before `before_ms`, the oldest first."""

    # -- accounts

    def find_credential(self, access_key: str) -> Credential | None: ...

    def list_credentials(self) -> list[Credential]:
        """All, in the order of the access keys."""

    def find_user(self, account_id: str, name: str) -> User | None:
        """The user that has this name, in whatever case."""

    def list_users(self) -> list[User]:
        """All, in the order of their accounts' ids and of their names."""

    def owner_by_email(self, email: str) -> Owner | None:
        """The account that has this address, in whatever case."""

    def find_owner(self, owner_id: str) -> Owner | None:
        """An owner that the catalog has met: of a credential, a bucket or an object."""

    def list_rate_limits(self) -> list[RateLimit]:
        """All, those of accounts first, in the order of their names."""

    def rate_limits_of(self, access_key: str | None, account_id: str) -> tuple[RateLimit, ...]:
        """Those of a key and of an account."""

    # -- quotas

    def list_quotas(self) -> list[CountedQuota]:
        """All, those of accounts first, then those of buckets, in the order of their names."""

    def quotas_of(self, bucket_id: int, creator_id: str | None) -> list[CountedQuota]:
        """Those in which a bucket counts, and what `creator_id` makes in it."""

    def count_usage(self, bucket_id: int) -> Usage:
        """What is in a bucket, by looking at all of it."""

    def count_quota(self, scope: QuotaScope, name: str) -> Usage:
        """What counts in a quota, by looking at all of it."""

    def totals(self) -> Totals:
        """What is in the store, by looking at all of it."""

    # -- roles and sessions

    def find_role(self, account_id: str, name: str) -> Role | None: ...

    def list_roles(self) -> list[Role]:
        """All, in the order of the accounts' ids and the names."""

    def session_key(self) -> tuple[str, str | None] | None:
        """What seals the tokens of sessions, once the first one was made: (how it is stored, what encrypts it)."""

    def revoked_until(self, principals: Collection[str]) -> int:
        """The latest time up to which the sessions of one of these were ended, in milliseconds; 0: none were."""

    # -- what the jobs ask

    def list_garbage(self, limit: int, after: int = 0) -> list[Garbage]:
        """In the order of their ids, those after `after`."""

    def is_garbage(self, handle: str) -> bool:
        """Whether this blob is to be removed."""

    def is_referenced(self, stored: str | UploadToken) -> bool:
        """Whether an object, a part or the list of garbage knows this blob; or an upload under way has this token."""

    def waiting_events(self, destination: str, limit: int) -> list[WaitingEvent]:
        """The oldest events that wait for a destination, in their order."""

    def outbox(self) -> list[WaitingEvents]:
        """Every destination that events were ever kept for, in the order of their names."""

    def replication_destinations(self) -> list[str]:
        """Those that versions wait to be copied to."""

    def waiting_replications(self, destination: str, after: int, limit: int) -> list[ReplicationTask]:
        """The oldest tasks of a destination with numbers above `after`, in their order."""

    def count_replications(self) -> list[WaitingReplication]:
        """What waits for each destination, in the order of their names."""

    def next_restoration_ms(self) -> int | None:
        """When the next archived version can be read that was asked for; None: none was."""

    def sweep_times(self) -> tuple[int, int]:
        """(begun, ended): up to when the last sweep was begun and ended, in milliseconds."""


class EventDetails(TypedDict, total=False):
    """Fields of `Event` that not every event has."""

    version_id: str | None
    size: int | None
    etag: str | None
    storage_class: str | None
    restored_until_ms: int | None
    replication: FailedReplication | None


class Tables(Protocol):
    """The rows that commands look at and change, within the transaction that all of it belongs to.

    Each operation is one step of a deterministic machine: the same operations on equal tables leave equal tables. Ids
    that it gives (of buckets, of garbage) depend on what is in the tables alone.
    """

    # -- the log

    def applied_index(self) -> int: ...

    def set_applied_index(self, index: int) -> None: ...

    def advance(self, count: int) -> None:
        """So many commands more were applied."""

    def find_result(self, request_id: str) -> str | None:
        """What was kept of a command that was applied before."""

    def keep_result(self, request_id: str, index: int, result: str) -> None: ...

    def forget_results(self, through: int) -> None:
        """Those of commands up to the index `through`."""

    # -- owners, access keys

    def remember_owner(self, owner: Owner) -> None:
        """Keep the display name of an id; a later one replaces it, none does not."""

    def put_credential(self, command: PutCredential) -> None:
        """A new access key, or a new secret, owner and address for a known one, which this also enables."""

    def disable_credential(self, access_key: str) -> bool:
        """Whether there is such a key."""

    def put_rate_limit(self, scope: RateScope, name: str, rate: Rate | None) -> None:
        """Instead of what there was; none, if it is None."""

    def delete_credential(self, access_key: str) -> bool:
        """Whether there was such a key."""

    def replace_secret(self, access_key: str, expected: str, secret_key: str, sealed_by: str | None) -> bool:
        """Whether there is such a key, and its secret was stored as `expected`."""

    def find_user(self, account_id: str, name: str) -> User | None:
        """The user that has this name, in whatever case."""

    def put_user(self, user: User) -> None:
        """A new user, or the policies of a known one."""

    def delete_user(self, user: User) -> Sequence[str]:
        """With its access keys, which are returned."""

    # -- quotas

    def put_quota(self, scope: QuotaScope, name: str, quota: Quota | None) -> None:
        """Instead of what there was; none, if it is None. The name is a bucket's, which exists, an account's id, or the
        ARN of a user or a role. What is stored is counted by `recount` alone."""

    def quotas_of(self, bucket_id: int, creator_id: str | None) -> Sequence[CountedQuota]:
        """Those in which a bucket counts, and what `creator_id` makes in it: the account itself, if that is None or no
        ARN."""

    def add_usage(self, bucket_id: int, creator_id: str | None, objects: int, size: int) -> None:
        """Count so many objects and bytes more, or fewer, in these quotas of a bucket that `keeps_usage`."""

    def recount(self, scope: QuotaScope, name: str) -> None:
        """Have a quota count what is stored."""

    def list_quotas(self) -> Sequence[CountedQuota]:
        """All, those of accounts first, then those of buckets, in the order of their names."""

    # -- roles and sessions

    def put_role(self, command: PutRole) -> None:
        """A new role, or other documents and another length of sessions for a known one."""

    def has_role(self, account_id: str, name: str) -> bool: ...

    def delete_role(self, account_id: str, name: str) -> bool:
        """Whether there was such a role."""

    def put_session_key(self, key: str, sealed_by: str | None, expected: str | None) -> None:
        """The key of the tokens of sessions instead of the one that is stored as `expected`; None: if there is none."""

    def forget_revocations(self, before_ms: int) -> None:
        """Those of sessions that all began before."""

    def revoke_sessions(self, principal: str, until_ms: int) -> None:
        """The time never goes back."""

    # -- buckets

    def find_bucket(self, name: str, bucket_id: int | None = None) -> StoredBucket | None:
        """The bucket that has this name, if it also has this id; None: whichever it has."""

    def insert_bucket(self, command: CreateBucket) -> None: ...

    def set_bucket_acl(self, bucket: StoredBucket, acl: Acl) -> None: ...

    def bucket_acl(self, bucket: StoredBucket) -> Acl: ...

    def set_bucket_setting(self, bucket: StoredBucket, setting: BucketSetting) -> None:
        """Instead of what it had; none, if the value is None."""

    def lock_time(self, time_ms: int) -> int:
        """The time from which locks are set, in a command of the time `time_ms`: the latest that any command had which
        set one. It never goes back, so that a clock that was set back shortens no lock."""

    def set_bucket_versioning(self, bucket: StoredBucket, versioning: Versioning) -> None: ...

    def setting_document(self, bucket_id: int, name: str) -> str | None:
        """A setting of a bucket as `bleepstore.bucket_settings.document_of` gives it."""

    def has_versions(self, bucket_id: int) -> bool:
        """Whether there is any version in the bucket, or a delete marker."""

    def remove_bucket(self, bucket_id: int) -> None:
        """And the uploads in it, whose parts become garbage in the order of upload and number."""

    # -- objects

    def current_version(self, bucket_id: int, key: str) -> StoredVersion | None:
        """The version that a read without a version id sees."""

    def latest_version(self, bucket_id: int, key: str) -> StoredVersion | None:
        """The version with the highest sequence, which may be a delete marker."""

    def find_version(self, bucket_id: int, key: str, version_id: str) -> StoredVersion | None:
        """The version that has this id, which may be a delete marker."""

    def write_version(
        self, bucket_id: int, command: PutObject, version_id: str, sequence: int, replaced: StoredVersion | None
    ) -> None:
        """Insert the current version of a key, with its bytes if they are inline, instead of the current one,
        `replaced`, whose row and inline bytes go; its blob is not looked at. None: the key has no current version."""

    def insert_delete_marker(self, bucket_id: int, marker: DeleteMarker) -> None: ...

    def make_noncurrent(self, bucket_id: int, key: str, latest: StoredVersion, time_ms: int) -> None:
        """Keep the latest version of a key, or delete marker, as an older one from now on."""

    def make_latest(self, bucket_id: int, key: str, version: StoredVersion) -> None:
        """Make the newest version of a key, which has no current one, the latest: current, if it is no delete
        marker."""

    def version_at(self, bucket_id: int, key: str, sequence: int) -> StoredVersion | None:
        """The version that has this sequence, which may be a delete marker."""

    def is_only_version(self, bucket_id: int, key: str, version: StoredVersion) -> bool:
        """Whether a key has no other version than this."""

    def newer_noncurrent(self, bucket_id: int, key: str, sequence: int, limit: int) -> int:
        """How many older versions of a key, none of them the latest, are newer than `sequence`; no more than `limit`
        are counted."""

    def remove_version(self, bucket_id: int, key: str, version: StoredVersion) -> None:
        """Remove a version and its inline bytes."""

    def object_attributes(self, bucket_id: int, key: str, version: StoredVersion) -> ObjectAttributes: ...

    def set_object_attributes(
        self, bucket_id: int, key: str, version: StoredVersion, attributes: ObjectAttributes
    ) -> None: ...

    # -- uploads

    def initiator_of(self, bucket_id: int, key: str, upload_id: str) -> str | None:
        """The id of who began an upload, if it is under way."""

    def find_upload(self, bucket: str, bucket_id: int, key: str, upload_id: str) -> Upload | None: ...

    def replaced_sequence(self, upload_id: str) -> int | None:
        """The sequence of the version that was current when the upload was created."""

    def set_replaced_sequence(self, bucket_id: int, key: str, old: int, new: int) -> None:
        """Of the uploads of a key that have `old`."""

    def insert_upload(self, bucket_id: int, command: CreateUpload, replaced_sequence: int | None) -> None: ...

    def discard_upload(self, upload_id: str) -> None:
        """Remove an upload and its parts, which become garbage in the order of their numbers."""

    def find_part(self, upload_id: str, number: int) -> tuple[str, int] | None:
        """(handle, size) of a part."""

    def parts_size(self, upload_id: str) -> int:
        """The bytes of all parts of an upload."""

    def parts_by_initiator(self, bucket_id: int) -> Sequence[tuple[str, int]]:
        """(id of who began an upload, bytes of all parts of its uploads in the bucket), in the order of the ids."""

    def part_handles(self, upload_id: str) -> dict[int, str]:
        """The blob of each part, by its number."""

    def put_part(self, command: RegisterPart) -> None:
        """Instead of one with this number. Its blob is not looked at."""

    def keep_completed(self, bucket_id: int, upload_id: str, completed: PutObject, version_id: str | None) -> None:
        """Remember what became of an upload."""

    def find_completed(self, bucket_id: int, upload_id: str, key: str) -> CompletedUpload | None:
        """What became of an upload, if it is remembered."""

    def forget_completed(self, before_ms: int) -> None: ...

    # -- events

    def next_sequencer(self, time_ms: int, *, is_kept: bool) -> int:
        """A number greater than all before it, near the time. One that `is_kept` is among the rows that replicas have
        in common."""

    def add_event(self, event: Event, rules: Sequence[tuple[str, str]], max_waiting: int) -> None:
        """Keep an event for destinations, each with the id of the rule that names it. If more than `max_waiting` wait
        for one, it drops the oldest of the account of which most wait, and counts that. What watches all events of the
        process is told of it after the commit, whether it is kept or not."""

    def forget_events(self, destination: str, through: int) -> None:
        """Those of a destination up to this number."""

    # -- restorations

    def await_restoration(self, awaited: AwaitedRestoration) -> None: ...

    def take_restorations(self, until_ms: int, limit: int) -> list[AwaitedRestoration]:
        """Those that end up to then, the earliest first, which are awaited no more."""

    # -- replication

    def queue_replication(self, destination: str, bucket_id: int, key: str, version_id: str, time_ms: int) -> None:
        """Have a version copied to a destination, after what was queued before. If it is queued already, it keeps its
        position, and its task has another revision. What listens is told after the commit."""

    def find_replication(self, destination: str, number: int) -> ReplicationTask | None: ...

    def forget_replication(self, destination: str, number: int) -> None: ...

    # -- garbage and sweeps

    def discard(self, handle: str) -> None:
        """Record that nothing refers to a blob any more; a job removes it after the commit."""

    def discard_part(self, upload_id: str, number: int) -> None:
        """The same for the blob of a part."""

    def forget_garbage(self, garbage_ids: Sequence[int]) -> None:
        """Those that are still recorded."""

    def sweep_begun_ms(self) -> int: ...

    def begin_sweep(self, until_ms: int) -> None:
        """The time never goes back."""

    def end_sweep(self, until_ms: int) -> None:
        """The time never goes back."""


class CatalogPort(Protocol):
    """A catalog, for any number of threads. What it raises are errors of `bleepstore.errors`, never the database's.

    Every method raises StoreClosed after `close`, and in a process that was forked since it was opened.
    """

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""

    watches_all: bool
    """Whether `watch_all` was asked for."""

    def read(self) -> AbstractContextManager[CatalogReader]:
        """A reader for the length of a `with` block."""

    def find_bucket(self, name: str) -> Bucket | None:
        """As the reader's, for the question that every operation begins with: it may be answered from memory."""

    def transaction(self) -> AbstractContextManager[Tables]:
        """A `with` block over the tables: all that it does, durably, or nothing of it. Raises StorageFull."""

    def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Apply `commands` in order in one transaction and return their results."""

    def apply_next(self, drain: Callable[[], Sequence[Command]]) -> list[Result]:
        """As `apply`, with what `drain` returns once it is this caller's turn, after all other writers."""

    def watch(self, listener: Callable[[Sequence[RecordedEvent]], None] | None) -> None:
        """After each commit of this process, tell `listener` which events it recorded, if it recorded any. It is called
        before anything else is committed, and must return at once, and not raise."""

    def watch_replications(self, listener: Callable[[], None]) -> None:
        """After each commit of this process that queued a version to be copied, call `listener`, which must return at
        once, and not raise."""

    def time_syncs(self, listener: Callable[[float], object]) -> None:
        """After each transaction of this process, tell `listener` too how many seconds it took to make it durable. It
        must return at once, and not raise."""

    def watch_all(self, watches: bool) -> None:
        """From now on record the events of all buckets for the listener, or only of those that have rules."""

    def is_stalled(self) -> bool:
        """Whether another process, stopped or hung, has kept everyone from writing for some seconds."""

    def spare_bytes(self) -> float:
        """How much the catalog may still grow before its disk is full; infinite if that is no matter of a disk here.
        Raises what a failed transaction does."""

    def check_disk(self, reserve: int) -> None:
        """Raise StorageFull or StorageUnavailable if the disk takes no more than `reserve` bytes, or nothing; SlowDown
        if another process lets nobody write."""

    def check_usable(self) -> None:
        """Raise StoreClosed if it is closed, or another process's."""

    def close(self) -> None:
        """Closing twice is allowed."""
