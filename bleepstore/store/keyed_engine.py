"""Stores whose backend keeps one object under each key (a gateway's layout `keys`), where others may write too.

A write replaces the object under its key before the catalog knows of it, so the order of two writes is the provider's,
and the catalog follows it by one command of its own, `FollowProvider`:

- It says what the catalog knew of the key before. If it is refused, another write was committed meanwhile; then the one
  whose bytes are still stored under the key is the last, and the other counts as replaced by it.
- A conditional write is compared with the catalog, then by the provider, where nothing may be stored under the key but
  what the condition held for.
- A read whose bytes are gone, or are others, or that the catalog does not know makes the catalog follow the provider.
  So does whatever the catalog would refuse: what it refuses by may have changed at the provider.
- All of it is of the bucket that was decided on, by its id. A write looks once more whether that bucket is still there
  when its bytes have come, before the request that makes them visible; a deletion removes only what that bucket had.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import attrs

from bleepstore.backends.base import BlobSpec, FoundBlob, KeyedBackend, KeyedSpec, KeyState, PartBlob, StoredBlob
from bleepstore.backends.gateway.retry import Outage
from bleepstore.catalog.conditions import check_owner, check_write
from bleepstore.catalog.port import CatalogPort
from bleepstore.catalog.records import FoundObject
from bleepstore.catalog.uploads import completed_object
from bleepstore.commands import (
    AbortUpload,
    CompleteUpload,
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    FollowProvider,
    PutObject,
    PutObjectTags,
    Removed,
    Result,
    Written,
)
from bleepstore.committer import Committer
from bleepstore.errors import (
    BlobChanged,
    BlobNotFound,
    ConditionalRequestConflict,
    NoSuchBucket,
    NoSuchVersion,
    OperationAborted,
    S3Error,
)
from bleepstore.events import UNKNOWN_ORIGIN, Origin
from bleepstore.model import NULL_VERSION, BlobRef, Bucket, Grant, Owner, Upload, UploadToken
from bleepstore.names import is_version_id
from bleepstore.preconditions import WriteCondition
from bleepstore.threads import map_in_threads

_ATTEMPTS = 20
#: A write replaces the bytes before the catalog knows, so a key that is written all the time is looked up often.
_OPEN_ATTEMPTS = 50
#: Deletes of one DeleteObjects that are under way at a provider at once.
_PARALLEL_DELETES = 16


class ObjectKey(NamedTuple):
    """A key of one bucket, not of another that got its name since. For the id see `bleepstore.commands`."""

    bucket: str
    bucket_id: int | None
    key: str


class KeyedEngine:
    """See `bleepstore.store.blob_engine.ObjectEngine`. `stamp` gives the request id and the time of a new command."""

    keeps_versions = False
    open_attempts = _OPEN_ATTEMPTS

    def __init__(
        self, catalog: CatalogPort, committer: Committer, backend: KeyedBackend, stamp: Callable[[], dict[str, Any]]
    ) -> None:
        self.backend = backend
        self._catalog = catalog
        self._committer = committer
        self._stamp = stamp

    # -- writing

    def begin(self, bucket: str, bucket_id: int | None, key: str, condition: WriteCondition) -> KeyedWrite:
        at = ObjectKey(bucket, bucket_id, key)
        current = self.find_current(at)
        refused = _check(condition, current, at)
        if refused is not None:
            self.follow(at, current)
            current = self.find_current(at)
            refused = _check(condition, current, at)
        if refused is not None:
            raise refused
        return KeyedWrite(engine=self, at=at, condition=condition, replaces=_handle(current))

    def submit(self, written: PutObject, expected_current: str | None, upload_id: str | None = None) -> Result:
        """The result of a write whose bytes are stored under their key. One that was replaced there by a later write
        has its effect undone by that, so it succeeds without a trace in the catalog."""
        handle, at = handle_of(written), ObjectKey(written.bucket, written.bucket_id, written.key)
        for _ in range(_ATTEMPTS):
            result = self._committer.submit(
                FollowProvider(
                    **self._stamp(),
                    bucket=written.bucket,
                    bucket_id=written.bucket_id,
                    key=written.key,
                    expected_current=expected_current,
                    written=written,
                    upload_id=upload_id,
                    origin=written.origin or UNKNOWN_ORIGIN,
                )
            )
            if not isinstance(result, OperationAborted):
                break
            try:
                self.backend.head_object(handle)
            except BlobNotFound:
                return Written(None, written.time_ms)
            try:
                expected_current = _handle(self.find_current(at))
            except NoSuchBucket as refused:
                result = refused
                break
        # What has replaced another object stays, as long as its bucket does.
        if isinstance(result, NoSuchBucket):
            self.backend.delete_object(handle)
        return result

    def end_upload(self, upload: Upload) -> None:
        """Of a completion whose object was replaced at once, the catalog has kept the upload."""
        with self._catalog.read() as reader:
            is_left = reader.find_upload(upload.bucket, upload.key, upload.upload_id) is not None
        if is_left:
            stamp = self._stamp()
            self._committer.submit(
                AbortUpload(
                    **stamp,
                    bucket=upload.bucket,
                    bucket_id=upload.bucket_id,
                    key=upload.key,
                    upload_id=upload.upload_id,
                )
            )

    def error_of_change(self, at: ObjectKey, condition: WriteCondition) -> S3Error:
        """The answer to a conditional write that met something else at the provider than what the catalog knew."""
        current = self.find_current(at)
        self.follow(at, current)
        current = self.find_current(at)
        if refused := _check(condition, current, at):
            return refused
        if condition.is_of_etag:
            return ConditionalRequestConflict(at.bucket, at.key, condition.kind)
        return OperationAborted("The object was replaced meanwhile. Try again.")

    def put_tags(self, command: PutObjectTags, found: FoundObject) -> Result:
        """At the provider first. Where that gives the object another handle, the catalog follows it."""
        assert found.handle is not None
        try:
            handle = self.backend.put_tags(found.handle, command.tags)
        except BlobNotFound:
            self.bytes_missing(found)
            return OperationAborted("The object was replaced meanwhile. Try again.")
        if handle == found.handle:
            return self._committer.submit(command)
        version = found.version
        with self._catalog.read() as reader:
            parts = reader.object_parts(version)
        written = PutObject(
            **self._stamp() | {"time_ms": version.modified_ms},
            bucket=command.bucket,
            bucket_id=command.bucket_id,
            key=command.key,
            owner=version.owner,
            creator_id=version.creator_id,
            size=version.size,
            etag=version.etag,
            data=BlobRef(handle),
            attributes=attrs.evolve(version.attributes, tags=command.tags),
            checksum=version.checksum,
            crc64nvme=found.crc64nvme,
            parts=parts,
            origin=command.origin,
        )
        return self.submit(written, found.handle)

    # -- following the provider

    def check_bucket(self, at: ObjectKey) -> None:
        """Raises NoSuchBucket if it is not the one that was decided on. It was, all the time, if it is."""
        self._committer.read_barrier()
        found = self._catalog.find_bucket(at.bucket)
        if found is None or at.bucket_id not in (None, found.id):
            raise NoSuchBucket(at.bucket)

    def find_current(self, at: ObjectKey) -> FoundObject | None:
        """Raises NoSuchBucket."""
        self._committer.read_barrier()
        with self._catalog.read() as reader:
            found = reader.find_object(at.bucket, at.key, with_data=False)
        if found is None or found.bucket_id != at.bucket_id:
            self.check_bucket(at)
        return found

    def follow(self, at: ObjectKey, known: FoundObject | None) -> None:
        """Make the catalog say of a key what the provider says, if it still says what is `known`."""
        found = self.backend.find(at.bucket, at.key)
        if found is None:
            if known is not None:
                self.backend.check_bucket(at.bucket)  # without its container every object would seem to be gone
                self._submit_removal(at, _handle(known), None)
        elif found.handle != _handle(known):
            self.adopt_as(at, found, known)

    def adopt_as(self, at: ObjectKey, found: FoundBlob, known: FoundObject | None) -> Result:
        """Bring in what is stored at the provider, if the catalog still says what is `known`. It keeps owner and ACL
        of that, and who made it; a new one is the bucket owner's."""
        kept = KeptRights(self._owner_of(at.bucket)) if known is None else rights(known)
        return self._committer.submit(
            FollowProvider(
                **self._stamp(),
                bucket=at.bucket,
                bucket_id=at.bucket_id,
                key=at.key,
                expected_current=_handle(known),
                written=adoption(found, kept, self._stamp()),
            )
        )

    def _owner_of(self, bucket: str) -> Owner:
        """Raises NoSuchBucket."""
        found = self._catalog.find_bucket(bucket)
        if found is None:
            raise NoSuchBucket(bucket)
        return found.owner

    def _submit_removal(self, at: ObjectKey, expected_current: str | None, origin: Origin | None) -> Result:
        command = FollowProvider(**self._stamp(), **at._asdict(), expected_current=expected_current, origin=origin)
        return self._committer.submit(command)

    def find_unknown(self, bucket: Bucket, key: str) -> FoundObject | None:
        """A write of ours that was cut off before its commit, or another's."""
        at = ObjectKey(bucket.name, bucket.id, key)
        self.follow(at, None)
        return self.find_current(at)

    def bytes_missing(self, found: FoundObject) -> None:
        """Have the catalog follow, unless it has changed already."""
        at = _key_of(found)
        current = self.find_current(at)
        if current is not None and current.handle == found.handle:
            self.follow(at, current)

    def is_outdated(self, found: FoundObject) -> bool:
        """Whether the catalog, now that it followed the provider, says something else of this key than `found`."""
        at = _key_of(found)
        self.follow(at, found)
        current = self.find_current(at)
        return current is None or current.handle != found.handle

    # -- deleting

    def delete(self, command: DeleteObject) -> Removed:
        if command.version_id not in (None, NULL_VERSION):
            result = self._committer.submit(command)
            if isinstance(result, S3Error):
                raise result
        else:
            at = ObjectKey(command.bucket, command.bucket_id, command.key)
            self._delete(at, command.condition, command.origin)
        return Removed(command.key, command.version_id)

    def delete_many(self, command: DeleteObjects) -> tuple[Removed | S3Error, ...]:
        delete = functools.partial(self._delete_entry, command, Outage())
        outcomes = tuple(map_in_threads(delete, command.entries, _PARALLEL_DELETES))
        gone = next((outcome for outcome in outcomes if isinstance(outcome, NoSuchBucket)), None)
        if gone is not None:
            raise gone
        return outcomes

    def _delete_entry(self, command: DeleteObjects, outage: Outage, entry: DeleteEntry) -> Removed | S3Error:
        try:
            if entry.version_id is not None and not is_version_id(entry.version_id):
                raise NoSuchVersion(command.bucket, entry.key, entry.version_id)
            if entry.version_id in (None, NULL_VERSION):
                at = ObjectKey(command.bucket, command.bucket_id, entry.key)
                outage.call(self._delete, at, entry.condition, command.origin)
        except S3Error as error:
            return error
        return Removed(entry.key, entry.version_id)

    def _delete(self, at: ObjectKey, condition: WriteCondition, origin: Origin | None) -> None:
        """Remove the object, then tell the catalog. A write that ends after that is later than this and stays."""
        bucket, bucket_id, key = at
        write = self.begin(bucket, bucket_id, key, condition)
        replaces = write.replaces
        gone = [] if replaces is None else [replaces]
        if replaces is None or not self.backend.remove(replaces):
            if condition.is_of_etag:
                raise self.error_of_change(at, condition)
            found = self.backend.find(bucket, key)
            self.check_bucket(at)  # so what was found is not of another that got its name
            if found is None:
                self.backend.check_bucket(bucket)
            elif condition:  # whose it is was not known
                raise self.error_of_change(at, condition)
            elif self.backend.remove(found.handle):
                gone.append(found.handle)  # a write under way may have committed it
        for handle in gone:
            result = self._submit_removal(at, handle, origin or UNKNOWN_ORIGIN)
            if isinstance(result, S3Error) and not isinstance(result, OperationAborted):
                raise result


@attrs.frozen(kw_only=True)
class KeyedWrite:
    """See `bleepstore.store.blob_engine.Write`. `replaces` is the handle of what the catalog had under the key; a
    conditional write is stored only if the provider has that too."""

    engine: KeyedEngine
    at: ObjectKey
    condition: WriteCondition
    replaces: str | None

    def put(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        return self._store(self.engine.backend.put_object, self._spec(spec), self._before_end(chunks))

    def _before_end(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks. A body may take hours; a backend sees its end, and makes it visible, if the bucket is there."""
        yield from chunks
        self.engine.check_bucket(self.at)

    def copy(self, handle: str, spec: BlobSpec) -> StoredBlob:
        self.engine.check_bucket(self.at)
        return self._store(self.engine.backend.copy_object, handle, self._spec(spec))

    def assemble(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        self.engine.check_bucket(self.at)
        return self._store(self.engine.backend.assemble_parts, token, self._spec(spec), parts)

    def _spec(self, spec: BlobSpec) -> BlobSpec:
        if not self.condition:
            return spec
        return KeyedSpec(**attrs.asdict(spec, recurse=False), expected_current=KeyState(self.replaces))

    def _store(self, verb: Callable[..., StoredBlob], /, *arguments: object) -> StoredBlob:
        try:
            return verb(*arguments)
        except BlobChanged:
            raise self.engine.error_of_change(self.at, self.condition) from None

    def commit(self, command: PutObject) -> Result:
        return self.engine.submit(command, self.replaces)

    def commit_upload(self, command: CompleteUpload, upload: Upload) -> Result:
        """An abort or another completion that came between changes nothing: the object is stored under its key."""
        result = self.engine.submit(completed_object(command, upload), self.replaces, upload.upload_id)
        if isinstance(result, Written):
            self.engine.end_upload(upload)
        return result


class KeptRights(NamedTuple):
    """What a provider does not keep of an object."""

    owner: Owner
    grants: tuple[Grant, ...] | None = None
    creator_id: str | None = None


def adoption(found: FoundBlob, kept: KeptRights, stamp: dict[str, Any]) -> PutObject:
    """The object that is stored at a provider, as the command that would have written it. Its checksums beyond the ETag
    are not known."""
    return PutObject(
        **stamp | {"time_ms": found.stored_ms},
        bucket=found.bucket,
        key=found.key,
        owner=kept.owner,
        creator_id=kept.creator_id,
        size=found.size,
        etag=found.etag,
        data=BlobRef(found.handle),
        attributes=attrs.evolve(found.attributes, grants=kept.grants),
    )


def rights(known: FoundObject) -> KeptRights:
    return KeptRights(known.version.owner, known.version.attributes.grants, known.version.creator_id)


def handle_of(command: PutObject) -> str:
    """Of an object whose bytes are at the backend."""
    assert isinstance(command.data, BlobRef)
    return command.data.handle


def _check(condition: WriteCondition, current: FoundObject | None, at: ObjectKey) -> S3Error | None:
    if current is None:
        return check_write(condition, None, at.bucket, at.key)
    version = current.version
    return check_owner(condition, version.owner.id) or check_write(condition, version.etag, at.bucket, at.key)


def _key_of(found: FoundObject) -> ObjectKey:
    return ObjectKey(found.version.bucket, found.bucket_id, found.version.key)


def _handle(found: FoundObject | None) -> str | None:
    return None if found is None else found.handle
