"""Objects that are stored: how one is found, and read."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Unpack

import attrs

from bleepstore.access import (
    Action,
    Caller,
    Facts,
    authorize,
    authorize_absent,
    of_version,
)
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import Result
from bleepstore.encryption import CustomerKey, EncryptionKind, layout_of
from bleepstore.errors import (
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
    OperationAborted,
    Precondition,
    S3Error,
)
from bleepstore.lifecycle_due import expiry_in
from bleepstore.model import (
    ARCHIVED_CLASSES,
    MAX_PAGE,
    NULL_VERSION,
    Bucket,
    ObjectVersion,
    PartSummary,
)
from bleepstore.names import check_key, check_version_id
from bleepstore.store.arguments import ReadOptions
from bleepstore.store.engine import Engine, check_limit
from bleepstore.store.new_objects import as_owned
from bleepstore.store.reading import (
    WHOLE_SIZE,
    StoredObject,
    check_read,
    is_archived,
    range_counts,
    resolve_part,
    resolve_range,
)
from bleepstore.store.verifying import Verifier

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal

#: How often a change is decided on anew, where the object is replaced each time.
_CHANGE_ATTEMPTS = 20
#: Amazon's words, which programs look for.
_NEEDS_KEY = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
_NEEDS_NO_KEY = "The encryption parameters are not applicable to this object."


class StoredObjects:
    """The objects of a store, for all that reads or changes one. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._memory = engine.backend if isinstance(engine.backend, MemoryBackend) else None

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

    def change(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        action: Action,
        caller: Caller | None,
        submit: Callable[[FoundObject, Bucket], Result],
        **facts: Unpack[Facts],
    ) -> tuple[FoundObject, Result]:
        """Change what goes with an object or a version, if it exists and `caller` may do `action` with it: `submit`
        gets it and its bucket, and returns the result of the command. Where the object was replaced since it was
        decided on, all of this begins anew. Returns what was decided on, and the result; raises the refusal."""
        for _ in range(_CHANGE_ATTEMPTS):
            in_bucket = self._engine.find_bucket(bucket)
            found = self.find(bucket, key, version_id, action, caller, data=False, **facts)
            result = submit(found, in_bucket)
            if not isinstance(result, OperationAborted):
                break
        if isinstance(result, S3Error):
            raise result
        return found, result

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
        caller: Caller | None = None,
        **options: Unpack[ReadOptions],
    ) -> StoredObject:
        """Open an object, or a `range` or a part of it (`part_number`), for reading, if `condition` holds. Close what
        is returned. `customer_key` is the key that it is encrypted with, if it is the caller's.

        Raises NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied, PreconditionFailed, NotModified, InvalidRange,
        InvalidPartNumber; InvalidObjectState if it is archived and not restored; ObjectDamaged, here or instead of the
        last bytes, if they are not those that were written.
        """
        for _ in range(self._engine.object_engine.open_attempts):
            found, stored = self._find_span(bucket, key, version_id, options, caller, data=True)
            if found.version.attributes.storage_class in ARCHIVED_CLASSES:
                self._check_restored(found.version)
            seal = None
            if found.version.attributes.encryption is not None:
                seal = self.seal_of(found.version, options.get("customer_key"))
            data = found.data
            if data is not None:
                if seal is not None or not self._engine.in_memory:
                    data = self.opened_inline(found, seal).data or b""
            elif seal is None and self._memory is not None:
                data = self._memory.bytes_of(found.handle or "")
            if data is not None:
                stored.data = data[stored.start : stored.stop]
                return stored
            assert found.handle is not None
            try:
                self._engine.run_blocking(functools.partial(self._open, stored, found, seal))
            except BlobNotFound:
                self._engine.object_engine.bytes_missing(found)
                continue  # it was replaced or deleted since we looked
            return stored
        raise InternalError(f"The bytes of {bucket}/{key} are missing from the storage backend.")

    def _open(self, stored: StoredObject, found: FoundObject, seal: Seal | None) -> None:
        """Open what is stored in a file or at a provider, and read it if it is little."""
        file = stored.file = self.open_span(found, stored.start, stored.stop, seal)
        if stored.length > WHOLE_SIZE:
            stored.open_span = functools.partial(self.open_span, found, seal=seal)
            return
        with file:
            stored.data = stored.read()
        stored.file = None
        stored.seek(0)

    def _check_restored(self, version: ObjectVersion) -> None:
        if is_archived(version.attributes, self._engine.clock):
            raise InvalidObjectState(None, version.storage_class)

    def head_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
        **options: Unpack[ReadOptions],
    ) -> StoredObject:
        """As get_object, without the bytes."""
        return self._find_span(bucket, key, version_id, options, caller, data=False)[1]

    def _find_span(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        options: ReadOptions,
        caller: Caller | None,
        *,
        data: bool,
    ) -> tuple[FoundObject, StoredObject]:
        """An object and the span of it that a read asks for, which is not refused before the backend was asked too."""
        found = self.find(bucket, key, version_id, Action.GET_OBJECT, caller, data)
        if not options and found.version.attributes.encryption is None:
            return found, StoredObject(found.version, 0, found.version.size)
        self.check_customer_key(found.version, options.get("customer_key"))
        try:
            return found, self._span(found, options)
        except (Precondition, InvalidRange, InvalidPartNumber):
            if not self._engine.object_engine.is_outdated(found):
                raise
        found = self.find(bucket, key, version_id, Action.GET_OBJECT, caller, data)
        return found, self._span(found, options)

    def _span(self, found: FoundObject, options: ReadOptions) -> StoredObject:
        wanted, number, condition = options.get("range"), options.get("part_number"), options.get("condition")
        version = found.version
        if condition is not None:
            check_read(condition, version, self._engine.clock())
        if number is not None:
            if wanted is not None:
                raise InvalidRequest("range and part_number exclude each other.", "part_number")
            parts = self.parts_of(version)
            start, stop = resolve_part(number, version.size, parts)
            return StoredObject(version, start, stop, partial=True, part=parts[number - 1] if parts else None)
        if wanted is not None and (condition is None or range_counts(condition, version)):
            start, stop = resolve_range(wanted, version.size)
            return StoredObject(version, start, stop, partial=True)
        return StoredObject(version, 0, version.size)

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
