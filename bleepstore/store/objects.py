"""Operations on objects."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Unpack

import attrs

from bleepstore.access import (
    Action,
    Caller,
    Facts,
    authorize,
    authorize_absent,
    authorize_new_acl,
    is_allowed,
    of_version,
)
from bleepstore.backends.base import StoredBlob
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import (
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    PutObject,
    Removed,
    Written,
)
from bleepstore.encryption import CustomerKey, EncryptionKind, layout_of
from bleepstore.errors import (
    AccessDenied,
    BlobNotFound,
    InternalError,
    InvalidObjectState,
    InvalidPartNumber,
    InvalidRange,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    Precondition,
    S3Error,
    TooManyEntries,
)
from bleepstore.lifecycle_due import expiry_in
from bleepstore.model import (
    ARCHIVED_CLASSES,
    MAX_PAGE,
    MAX_SINGLE_PUT,
    NO_ATTRIBUTES,
    NULL_VERSION,
    UNCONDITIONAL,
    Bucket,
    ByteRange,
    Checksum,
    DeletedObject,
    ObjectAttributes,
    ObjectVersion,
    PartSummary,
    ReadCondition,
    WriteCondition,
)
from bleepstore.names import check_key, check_version_id
from bleepstore.pages import ObjectPage
from bleepstore.store.blob_engine import Write
from bleepstore.store.bodies import DEFAULT_ALGORITHM, Body, expected_of, size_of, stage
from bleepstore.store.engine import Engine, check_limit
from bleepstore.store.options import (
    PutOptions,
    given_attributes,
    with_default_lock,
)
from bleepstore.store.owning import as_owned, owned, page_as_owned
from bleepstore.store.reading import StoredObject, check_read, is_archived, range_counts, resolve_part, resolve_range
from bleepstore.store.replica_marks import as_replica
from bleepstore.store.sealed_writes import etag_of, sealed_attributes, sealed_data
from bleepstore.store.verifying import Verifier

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal

_BYPASS = Action.BYPASS_GOVERNANCE_RETENTION
#: Amazon's words, which programs look for.
_NEEDS_KEY = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
_NEEDS_NO_KEY = "The encryption parameters are not applicable to this object."


@attrs.frozen(kw_only=True)
class DeleteFailure:
    """An entry of delete_objects that was refused."""

    key: str
    version_id: str | None
    error: S3Error


class Objects:
    """The objects of a store. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- writing

    def put_object(
        self,
        bucket: str,
        key: str,
        body: Body,
        *,
        attributes: ObjectAttributes = NO_ATTRIBUTES,
        condition: WriteCondition = UNCONDITIONAL,
        caller: Caller | None = None,
        **options: Unpack[PutOptions],
    ) -> ObjectVersion:
        """Store an object, durably, replacing the one of this key; a bucket that keeps versions keeps that too.

        `body` is bytes, a binary file or an iterable of bytes, streamed in bounded memory. What goes with it are
        `attributes`, whose fields can be keywords of their own: `system` and its fields (`content_type`, ...),
        `metadata`, `storage_class`, `tags`, `retention` and `legal_hold`; `acl` is a canned ACL or a tuple of grants,
        `encryption` a `StoreKey`, `NamedKey` or `CustomerKey`, by which the bytes are encrypted where they are stored.
        `size`, `content_md5` and `checksum` are compared with what came: see `BodyOptions`. `condition` is evaluated
        atomically with the write.

        Raises InvalidArgument, KeyTooLong, MetadataTooLarge, EntityTooLarge, IncompleteBody, InvalidDigest, BadDigest,
        InvalidTag, TooManyTags, PreconditionFailed, NoSuchBucket, AccessDenied, QuotaExceeded,
        StorageFull; then nothing has changed.
        """
        check_key(key)
        attributes = given_attributes(attributes, options)
        expected = expected_of(options, MAX_SINGLE_PUT)
        found = self._engine.find_bucket(bucket)
        if attributes.metadata:
            attributes = as_replica(attributes, found, key, caller)
        acl, encryption = options.get("acl"), options.get("encryption")
        if caller is not None:
            condition = self._engine.condition_for(
                Action.PUT_OBJECT, found, key, condition, caller, attributes=attributes, acl=acl, encryption=encryption
            )
        if attributes.tags or attributes.retention is not None or attributes.legal_hold is not None:
            self._engine.check_attributes(found, key, attributes, caller)
        if acl is not None:
            authorize_new_acl(caller, found, key, acl=acl)
        if found.keeps_usage:
            self._engine.check_quota(found, key, size_of(body, expected))
        owner, attributes = owned(found, caller, attributes, acl)
        algorithm = expected.algorithm or DEFAULT_ALGORITHM
        write = self._engine.object_engine.begin(bucket, found.id, key, condition)
        seal = None
        if encryption is not None or found.settings.encryption is not None:
            attributes, seal = sealed_attributes(self._engine, attributes, options, found, key)
            if seal is not None:
                write = self._engine.encrypting.writer(seal)

        def put(chunks: Iterable[bytes], etag: Callable[[], str]) -> StoredBlob:
            return write.put(self._engine.spec_for(found, key, attributes, expected.size, etag), chunks)

        engine = self._engine
        staged = stage(body, expected, (algorithm,), engine.inline_limit, put)
        command = PutObject(
            **engine.stamp(),
            bucket=bucket,
            bucket_id=found.id,
            key=key,
            owner=owner,
            size=staged.size,
            etag=staged.etag
            if seal is None
            else etag_of(attributes.encryption, staged.etag, self._engine.random_bytes),
            data=staged.data if seal is None else sealed_data(seal, staged.data),
            stored_ms=staged.stored_ms,
            attributes=attributes,
            checksum=Checksum(algorithm, staged.checksums[algorithm]),
            crc64nvme=staged.crc64nvme,
            condition=condition,
            origin=engine.origin_of(caller) if found.settings.events or engine.catalog.watches_all else None,
        )
        return self.commit(write, command, found)

    def commit(self, write: Write, command: PutObject, bucket: Bucket) -> ObjectVersion:
        result = write.commit(command)
        if isinstance(result, S3Error):
            raise result
        assert isinstance(result, Written)
        self._engine.jobs.notify()
        version = ObjectVersion(
            bucket=command.bucket,
            key=command.key,
            version_id=result.version_id or NULL_VERSION,
            etag=command.etag,
            size=command.size,
            modified_ms=result.modified_ms,
            owner=command.owner,
            attributes=command.attributes if result.retention is None else with_default_lock(command, result),
            checksum=command.checksum,
            parts_count=len(command.parts) or None,
            is_versioned=result.version_id is not None,
        )
        if bucket.settings.lifecycle is not None:
            version = attrs.evolve(version, expiry=expiry_in(bucket, version))
        return version

    # -- reading

    def find(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        action: Action,
        caller: Caller | None,
        data: bool,
        **facts: Unpack[Facts],
    ) -> FoundObject:
        """The object or the version, if it exists and `caller` may do `action` with it. Raises MethodNotAllowed if it
        is a delete marker."""
        bucket_record = self._engine.find_bucket(bucket)
        with self._engine.catalog.read() as reader:
            if version_id is None:
                found = reader.find_object(bucket, key, with_data=data)
            else:
                found = reader.find_version(bucket, key, version_id, with_data=data)
            expires = bucket_record.settings.lifecycle is not None
            if expires and found is not None and version_id is not None:
                current = reader.find_object(bucket, key, with_data=False)
                expires = current is not None and current.sequence == found.sequence
        if found is None:
            found = self._find_unknown(bucket_record, key, version_id, of_version(action, version_id), caller)
        if found.bucket_id != bucket_record.id:
            raise NoSuchBucket(bucket)  # between the one and the other look another got its name
        if found.version.attributes.grants is not None or found.version.owner.id != bucket_record.owner.id:
            found = as_owned(found, bucket_record)
        if caller is not None:
            action = of_version(action, version_id)
            facts["version"] = version_id
            authorize(action, caller, bucket_record, found.version, **facts)
        if found.version.is_delete_marker:
            raise MethodNotAllowed("DeleteMarker", found.version.version_id, found.version.modified_ms)
        if expires:
            expiry = expiry_in(bucket_record, found.version)
            found = attrs.evolve(found, version=attrs.evolve(found.version, expiry=expiry))
        return found

    def _find_unknown(
        self, bucket: Bucket, key: str, version_id: str | None, action: Action, caller: Caller | None
    ) -> FoundObject:
        """What the catalog did not know, or raise what is said of it."""
        check_key(key)
        current = latest = None
        with self._engine.catalog.read() as reader:
            if version_id is not None:
                current = reader.find_object(bucket.name, key, with_data=False)
            elif bucket.versioning is not None:
                latest = reader.latest_version(bucket.name, key)
        if any(one is not None and one.bucket_id != bucket.id for one in (current, latest)):
            raise NoSuchBucket(bucket.name)
        if current is not None:
            authorize(action, caller, bucket, as_owned(current, bucket).version, version=version_id)
        else:
            authorize_absent(action, caller, bucket, key, version=version_id)
            # "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403 error."
            authorize(Action.LIST_BUCKET, caller, bucket)
            if version_id in (None, NULL_VERSION):
                found = self._engine.object_engine.find_unknown(bucket, key)
                if found is not None:
                    return found
        check_version_id(version_id)
        if version_id is None or (version_id == NULL_VERSION and bucket.versioning is None):
            if latest is None or not latest.version.is_delete_marker:
                raise NoSuchKey(bucket.name, key)
            raise NoSuchKey(bucket.name, key, latest.version.version_id, True)
        raise NoSuchVersion(bucket.name, key, version_id)

    def get_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        range: ByteRange | None = None,
        part_number: int | None = None,
        condition: ReadCondition | None = None,
        customer_key: CustomerKey | None = None,
        caller: Caller | None = None,
    ) -> StoredObject:
        """Open an object, or a range or a part of it, for reading. Close what is returned. `customer_key` is the key
        that it is encrypted with, if it is the caller's.

        Raises NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied, PreconditionFailed, NotModified, InvalidRange,
        InvalidPartNumber; InvalidObjectState if it is archived and not restored; ObjectDamaged, here or instead of the
        last bytes, if they are not those that were written.
        """
        span = self._span_of(range, part_number, condition)
        for _ in builtin_range(self._engine.object_engine.open_attempts):
            found, stored = self._find_span(bucket, key, version_id, span, customer_key, caller, data=True)
            if found.version.attributes.storage_class in ARCHIVED_CLASSES:
                self._check_restored(found.version)
            seal = None
            if found.version.attributes.encryption is not None:
                seal = self.seal_of(found.version, customer_key)
            if found.data is not None:
                found = self.opened_inline(found, seal)
                assert found.data is not None
                stored.data = found.data[stored.start : stored.stop]
                return stored
            assert found.handle is not None
            try:
                stored.file = self.open_span(found, stored.start, stored.stop, seal)
            except BlobNotFound:
                self._engine.object_engine.bytes_missing(found)
                continue  # it was replaced or deleted since we looked
            stored.open_span = functools.partial(self.open_span, found, seal=seal)
            return stored
        raise InternalError(f"The bytes of {bucket}/{key} are missing from the storage backend.")

    def _check_restored(self, version: ObjectVersion) -> None:
        if is_archived(version.attributes, self._engine.clock):
            raise InvalidObjectState(None, version.storage_class)

    def head_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        range: ByteRange | None = None,
        part_number: int | None = None,
        condition: ReadCondition | None = None,
        customer_key: CustomerKey | None = None,
        caller: Caller | None = None,
    ) -> StoredObject:
        """As get_object, without the bytes."""
        span = self._span_of(range, part_number, condition)
        return self._find_span(bucket, key, version_id, span, customer_key, caller, data=False)[1]

    def _find_span(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        span: Callable[[FoundObject], StoredObject],
        customer_key: CustomerKey | None,
        caller: Caller | None,
        *,
        data: bool,
    ) -> tuple[FoundObject, StoredObject]:
        """An object and its `span` that a read asks for, which is not refused before the backend was asked too."""
        found = self.find(bucket, key, version_id, Action.GET_OBJECT, caller, data)
        if customer_key is not None or found.version.attributes.encryption is not None:
            self.check_customer_key(found.version, customer_key)
        try:
            return found, span(found)
        except (Precondition, InvalidRange, InvalidPartNumber):
            if not self._engine.object_engine.is_outdated(found):
                raise
        found = self.find(bucket, key, version_id, Action.GET_OBJECT, caller, data)
        return found, span(found)

    def _span_of(
        self, range: ByteRange | None, part_number: int | None, condition: ReadCondition | None
    ) -> Callable[[FoundObject], StoredObject]:
        """What a read asks for, of the object that is found."""
        if range is None and part_number is None and condition is None:
            return _whole
        return functools.partial(self._span, range=range, part_number=part_number, condition=condition)

    def _span(
        self, found: FoundObject, *, range: ByteRange | None, part_number: int | None, condition: ReadCondition | None
    ) -> StoredObject:
        version = found.version
        if condition is not None:
            check_read(condition, version, self._engine.clock())
        if part_number is not None:
            if range is not None:
                raise InvalidRequest("range and part_number exclude each other.", "part_number")
            parts = self.parts_of(version)
            start, stop = resolve_part(part_number, version.size, parts)
            return StoredObject(version, start, stop, partial=True, part=parts[part_number - 1] if parts else None)
        if range is not None and (condition is None or range_counts(condition, version)):
            start, stop = resolve_range(range, version.size)
            return StoredObject(version, start, stop, partial=True)
        return _whole(found)

    def list_object_parts(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        after: int = 0,
        limit: int = MAX_PAGE,
        customer_key: CustomerKey | None = None,
        caller: Caller | None = None,
    ) -> tuple[ObjectVersion, list[PartSummary], int | None]:
        """An object, its parts with numbers above `after`, and the number to go on after, if there are more."""
        check_limit(limit)
        found = self.find(bucket, key, version_id, Action.GET_OBJECT_ATTRIBUTES, caller, data=False)
        self.check_customer_key(found.version, customer_key)
        parts = [part for part in self.parts_of(found.version) if part.number > after]
        page = parts[:limit]
        return found.version, page, page[-1].number if page and len(parts) > limit else None

    # -- bytes

    def open_span(self, found: FoundObject, start: int, stop: int, seal: Seal | None = None) -> BinaryIO:
        """Bytes of a blob, compared with what was written if these are all of it. `seal` is that of an encrypted
        object."""
        version = found.version
        assert found.handle is not None
        verifier = self._engine.verifier if seal is None else self.sealed_verifier(version, seal)
        return verifier.open(version.bucket, version.key, found.handle, version.size, found.crc64nvme, start, stop)

    def open_found(self, found: FoundObject) -> BinaryIO:
        """All bytes of an object that is not encrypted with a key of a caller's, for who has decided that."""
        seal = self.seal_of(found.version, None)
        if found.data is not None:
            return io.BytesIO(self.opened_inline(found, seal).data or b"")
        return self.open_span(found, 0, found.version.size, seal)

    def opened_inline(self, found: FoundObject, seal: Seal | None) -> FoundObject:
        """With the bytes as they were written, which the catalog has. Raises ObjectDamaged if it has others."""
        assert found.data is not None
        version, verifier = found.version, self._engine.verifier
        if seal is not None:
            found = attrs.evolve(found, data=verifier.decrypt(version, seal, found.data))
        data = found.data or b""
        if not self._engine.in_memory:
            verifier.check_inline(version.bucket, version.key, data, version.size, found.crc64nvme)
        return found

    # -- encryption

    def check_customer_key(self, version: ObjectVersion, customer_key: CustomerKey | None) -> None:
        """Raises InvalidRequest if the object is encrypted with a key of the caller's, and none is given, or the other
        way round; AccessDenied if it is another key."""
        encryption = version.encryption
        if encryption is not None and encryption.kind is EncryptionKind.CUSTOMER:
            if customer_key is None:
                raise InvalidRequest(_NEEDS_KEY, "customer_key")
            self.seal_of(version, customer_key)
        elif customer_key is not None:
            raise InvalidRequest(_NEEDS_NO_KEY, "customer_key")

    def seal_of(self, version: ObjectVersion, customer_key: CustomerKey | None) -> Seal | None:
        """What decrypts an object; None if it is not encrypted. See `Encrypting.open`."""
        encryption = version.encryption
        if encryption is None:
            return None
        return self._engine.encrypting.open(encryption, version.bucket, version.key, customer_key)

    def sealed_verifier(self, version: ObjectVersion, seal: Seal) -> Verifier:
        """The verifier of an encrypted object."""
        assert version.encryption is not None
        layout = layout_of(version.encryption, version.size, (part.size for part in self.parts_of(version)))
        return attrs.evolve(self._engine.verifier, backend=self._engine.encrypting.backend(seal, layout))

    def parts_of(self, version: ObjectVersion) -> tuple[PartSummary, ...]:
        if version.parts_count is None:
            return ()
        with self._engine.catalog.read() as reader:
            return reader.object_parts(version)

    # -- deleting

    def delete_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        bypass_governance: bool = False,
        condition: WriteCondition = UNCONDITIONAL,
        caller: Caller | None = None,
    ) -> DeletedObject:
        """Delete an object. Deleting what is not there succeeds, unless `condition` asks that it be there.

        In a bucket that keeps versions this makes a delete marker, and removes nothing; with a `version_id` it removes
        that version for good. `condition` is evaluated on the current version. A version that is locked is not removed:
        ObjectLocked, unless only a retention of the mode GOVERNANCE protects it, and `bypass_governance` asks not to
        heed that, which the bucket's owner may.
        """
        check_key(key)
        engine = self._engine
        found = engine.find_bucket(bucket)
        action = of_version(Action.DELETE_OBJECT, version_id)
        condition = self._engine.condition_for(action, found, key, condition, caller, version=version_id)
        check_version_id(version_id)
        command = DeleteObject(
            **self._engine.stamp(),
            bucket=bucket,
            bucket_id=found.id,
            key=key,
            version_id=version_id,
            bypasses_governance=bypass_governance and is_allowed(_BYPASS, caller, found, key=key, version=version_id),
            owner=None if caller is None else caller.account,
            condition=condition,
            origin=engine.origin_of(caller) if found.settings.events or engine.catalog.watches_all else None,
        )
        removed = self._engine.object_engine.delete(command)
        self._engine.jobs.notify()
        return DeletedObject(key=key, version_id=version_id, delete_marker_id=removed.delete_marker_id)

    def delete_objects(
        self,
        bucket: str,
        entries: Sequence[DeleteEntry],
        *,
        bypass_governance: bool = False,
        caller: Caller | None = None,
    ) -> list[DeletedObject | DeleteFailure]:
        """Delete up to 1,000 objects and versions in one step; the outcome of each, in order. For `bypass_governance`
        see delete_object: if `caller` may do that to some of them alone, it takes several steps."""
        if len(entries) > MAX_PAGE:
            raise TooManyEntries(MAX_PAGE)
        found = self._engine.find_bucket(bucket)
        decided = self._decided(found, entries, caller)
        allowed = [entry for entry in decided if entry is not None]
        steps: Iterable[tuple[bool, Iterable[DeleteEntry]]] = [(False, allowed)]
        if bypass_governance:
            steps = itertools.groupby(
                allowed, lambda one: is_allowed(_BYPASS, caller, found, key=one.key, version=one.version_id)
            )
        deleted: list[Removed | S3Error] = []
        for bypasses, some in steps:
            command = DeleteObjects(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=found.id,
                bypasses_governance=bypasses,
                owner=None if caller is None else caller.account,
                origin=self._engine.origin_of(caller),
                entries=tuple(some),
            )
            deleted += self._engine.object_engine.delete_many(command)
        outcomes = iter(deleted)
        self._engine.jobs.notify()
        return [
            _outcome(entry, AccessDenied() if may is None else next(outcomes))
            for entry, may in zip(entries, decided, strict=True)
        ]

    def _decided(
        self, bucket: Bucket, entries: Sequence[DeleteEntry], caller: Caller | None
    ) -> Sequence[DeleteEntry | None]:
        """The entries as `caller` may carry them out, None where it may not. Raises AccessDenied for who may nothing
        here, where no policy decides about each."""
        if caller is None:
            return entries
        if bucket.settings.policy is None and caller.user is None:
            only_of = authorize(Action.DELETE_OBJECT, caller, bucket)
            compares = any(entry.condition.if_match is not None for entry in entries)
            if only_of is None and not compares and is_allowed(Action.DELETE_OBJECT_VERSION, caller, bucket):
                return entries
        return [self._decided_entry(bucket, entry, caller) for entry in entries]

    def _decided_entry(self, bucket: Bucket, entry: DeleteEntry, caller: Caller) -> DeleteEntry | None:
        action = of_version(Action.DELETE_OBJECT, entry.version_id)
        try:
            facts: Facts = {"version": entry.version_id, "write_condition": entry.condition}
            only_of = authorize(action, caller, bucket, None, entry.key, **facts)
            if entry.condition.if_match is not None:
                self._engine.check_comparison(entry.condition, bucket, entry.key, caller)
        except AccessDenied:
            return None
        if only_of is None:
            return entry
        return attrs.evolve(entry, condition=attrs.evolve(entry.condition, replaces_only_of=only_of))

    # -- listing

    def list_objects(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        start_after: str = "",
        limit: int = MAX_PAGE,
        caller: Caller | None = None,
    ) -> ObjectPage:
        """A page of at most 1,000 objects and common prefixes in the byte order of UTF-8.

        `after` is the `next_key` of an earlier page: if that is a common prefix, nothing under it is shown again.
        `start_after` is a key of one's own, which need not exist: only keys after it count, and a common prefix is
        shown if there are some under it. With both, `after` decides.
        """
        facts: Facts = {"prefix": prefix, "delimiter": delimiter}
        with self._engine.listing_of(bucket, Action.LIST_BUCKET, caller, limit, **facts) as (reader, found, size):
            page = reader.list_objects(bucket, prefix, delimiter, after, size, start_after)
        return page_as_owned(page, found)


def _whole(found: FoundObject) -> StoredObject:
    return StoredObject(found.version, 0, found.version.size)


def _outcome(entry: DeleteEntry, outcome: Removed | S3Error) -> DeletedObject | DeleteFailure:
    if isinstance(outcome, S3Error):
        return DeleteFailure(key=entry.key, version_id=entry.version_id, error=outcome)
    return DeletedObject(key=outcome.key, version_id=outcome.version_id, delete_marker_id=outcome.delete_marker_id)


builtin_range = range  # `range` is what S3 calls the option of a read
