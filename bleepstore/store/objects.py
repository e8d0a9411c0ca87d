"""Operations on objects."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Unpack

import attrs

from bleepstore.access import AclRequest, Action, Caller, authorize, of_version, resolve_acl
from bleepstore.backends.base import CHUNK, BlobSpec, StoredBlob
from bleepstore.catalog.objects import check_write
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import (
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    PutObject,
    PutObjectAcl,
    Removed,
    Written,
)
from bleepstore.digests import Algorithm, Digester
from bleepstore.errors import (
    BlobNotFound,
    InternalError,
    InvalidPartNumber,
    InvalidRange,
    InvalidRequest,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    NotModified,
    OperationAborted,
    Precondition,
    PreconditionFailed,
    S3Error,
    TooManyEntries,
)
from bleepstore.model import (
    MAX_PAGE,
    MAX_SINGLE_PUT,
    NO_ATTRIBUTES,
    NULL_VERSION,
    STANDARD,
    Acl,
    BlobRef,
    ByteRange,
    Checksum,
    Data,
    DeletedObject,
    Inline,
    ObjectAttributes,
    ObjectPage,
    ObjectVersion,
    PartSummary,
    ReadCondition,
    WriteCondition,
)
from bleepstore.names import check_key, check_version_id
from bleepstore.store.blob_engine import Write
from bleepstore.store.bodies import DEFAULT_ALGORITHM, Body, expected_of, stage
from bleepstore.store.engine import Engine, check_limit
from bleepstore.store.options import (
    CopyOptions,
    PutOptions,
    check_copied_headers,
    copied_attributes,
    given_attributes,
    with_acl,
)
from bleepstore.store.reading import StoredObject, check_read, range_counts, resolve_part, resolve_range

_MD5 = re.compile("[0-9a-f]{32}")
_ALWAYS = WriteCondition()
#: How often setting an ACL is decided anew, where the object or its ACL is changed each time.
_ACL_ATTEMPTS = 20
#: Amazon's words, which programs look for.
_COPY_OF_ITSELF = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
    "metadata, storage class, website redirect location or encryption attributes."
)


@attrs.frozen(kw_only=True)
class DeleteFailure:
    """An entry of delete_objects that was refused."""

    key: str
    version_id: str | None
    error: S3Error


class ObjectOperations(Engine):
    """The object operations of a store. For `caller` see `BucketOperations`."""

    # -- writing

    def put_object(
        self,
        bucket: str,
        key: str,
        body: Body,
        *,
        attributes: ObjectAttributes = NO_ATTRIBUTES,
        condition: WriteCondition = _ALWAYS,
        caller: Caller | None = None,
        **options: Unpack[PutOptions],
    ) -> ObjectVersion:
        """Store an object, durably, replacing the one of this key.

        `body` is bytes, a binary file or an iterable of bytes, streamed in bounded memory. What goes with it are
        `attributes`, whose fields can be keywords of their own: `system` and its fields (`content_type`, ...),
        `metadata`, `storage_class`; `acl` is a canned ACL or a tuple of grants. `size`, `content_md5` and `checksum`
        are compared with what came: see `BodyOptions`. `condition` is evaluated atomically with the write.

        Raises InvalidArgument, KeyTooLong, MetadataTooLarge, EntityTooLarge, IncompleteBody, InvalidDigest, BadDigest,
        PreconditionFailed, NoSuchBucket, AccessDenied, StorageFull; then nothing has changed.
        """
        check_key(key)
        attributes = given_attributes(attributes, options)
        expected = expected_of(options, MAX_SINGLE_PUT)
        found = self._find_bucket(bucket)
        condition = self._condition_for(Action.PUT_OBJECT, found, key, condition, caller)
        owner = self._owner_of_new(caller, found)
        if (acl := options.get("acl")) is not None:
            attributes = with_acl(attributes, acl, owner, found.owner)
        algorithm = expected.checksum_algorithm or DEFAULT_ALGORITHM
        write = self._engine.begin(bucket, key, condition)

        def put(chunks: Iterable[bytes], etag: Callable[[], str]) -> StoredBlob:
            spec = BlobSpec(
                bucket=bucket,
                key=key,
                size=expected.size,
                attributes=attributes,
                etag=etag,
                new_id=self._new_blob_id,
            )
            return write.put(spec, chunks)

        staged = stage(body, expected, (algorithm,), self._inline_limit, put)
        command = PutObject(
            **self._stamp(),
            bucket=bucket,
            bucket_id=found.id,
            key=key,
            owner=owner,
            size=staged.size,
            etag=staged.etag,
            data=staged.data,
            stored_ms=staged.stored_ms,
            attributes=attributes,
            checksum=Checksum(algorithm, staged.checksums[algorithm]),
            crc64nvme=staged.crc64nvme,
            condition=condition,
        )
        return self._commit_object(write, command)

    def _commit_object(self, write: Write, command: PutObject) -> ObjectVersion:
        result = write.commit(command)
        if isinstance(result, S3Error):
            raise result
        assert isinstance(result, Written)
        self._jobs.notify()
        return ObjectVersion(
            bucket=command.bucket,
            key=command.key,
            version_id=result.version_id,
            etag=command.etag,
            size=command.size,
            modified_ms=result.modified_ms,
            owner=command.owner,
            attributes=command.attributes,
            checksum=command.checksum,
            parts_count=len(command.parts) or None,
        )

    # -- reading

    def _find_object(
        self, bucket: str, key: str, version_id: str | None, action: Action, caller: Caller | None, data: bool
    ) -> FoundObject:
        """The object, if it exists and `caller` may do `action` with it."""
        bucket_record = self._find_bucket(bucket)
        with self._catalog.read() as reader:
            found = reader.find_object(bucket, key, with_data=data)
        if found is None:
            check_key(key)
            # "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403 error."
            authorize(Action.LIST_BUCKET, caller, bucket_record)
            found = self._engine.find_unknown(bucket, key)
        if found is None:
            raise _absent(bucket, key, version_id)
        authorize(of_version(action, version_id), caller, bucket_record, found.version)
        if version_id not in (None, NULL_VERSION):
            raise _absent(bucket, key, version_id)
        return found

    def get_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        range: ByteRange | None = None,
        part_number: int | None = None,
        condition: ReadCondition | None = None,
        caller: Caller | None = None,
    ) -> StoredObject:
        """Open an object, or a range or a part of it, for reading. Close what is returned.

        Raises NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied, PreconditionFailed, NotModified, InvalidRange,
        InvalidPartNumber; ObjectDamaged, here or instead of the last bytes, if they are not those that were written.
        """
        span = functools.partial(self._span, range=range, part_number=part_number, condition=condition)
        for _ in builtin_range(self._engine.open_attempts):
            found, stored = self._find_span(bucket, key, version_id, span, caller, data=True)
            if found.data is not None:
                self._check_inline(found)
                stored.data = found.data[stored.start : stored.stop]
                return stored
            assert found.handle is not None
            try:
                stored.file = self._open_span(found, stored.start, stored.stop)
                stored.open_span = functools.partial(self._open_span, found)
            except BlobNotFound:
                self._engine.bytes_missing(found)
                continue  # it was replaced or deleted since we looked
            return stored
        raise InternalError(f"The bytes of {bucket}/{key} are missing from the storage backend.")

    def head_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        range: ByteRange | None = None,
        part_number: int | None = None,
        condition: ReadCondition | None = None,
        caller: Caller | None = None,
    ) -> StoredObject:
        """As get_object, without the bytes."""
        span = functools.partial(self._span, range=range, part_number=part_number, condition=condition)
        return self._find_span(bucket, key, version_id, span, caller, data=False)[1]

    def _find_span(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        span: Callable[[FoundObject], StoredObject],
        caller: Caller | None,
        *,
        data: bool,
    ) -> tuple[FoundObject, StoredObject]:
        """An object and its `span` that a read asks for, which is not refused before the backend was asked too."""
        found = self._find_object(bucket, key, version_id, Action.GET_OBJECT, caller, data)
        try:
            return found, span(found)
        except (Precondition, InvalidRange, InvalidPartNumber):
            if not self._engine.is_outdated(found):
                raise
        found = self._find_object(bucket, key, version_id, Action.GET_OBJECT, caller, data)
        return found, span(found)

    def _span(
        self, found: FoundObject, *, range: ByteRange | None, part_number: int | None, condition: ReadCondition | None
    ) -> StoredObject:
        version = found.version
        if condition is not None:
            check_read(condition, version, self._clock())
        if part_number is not None:
            if range is not None:
                raise InvalidRequest("range and part_number exclude each other.", "part_number")
            parts = self._parts_of(version)
            start, stop = resolve_part(part_number, version.size, parts)
            return StoredObject(version, start, stop, partial=True, part=parts[part_number - 1] if parts else None)
        if range is not None and (condition is None or range_counts(condition, version)):
            start, stop = resolve_range(range, version.size)
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
        caller: Caller | None = None,
    ) -> tuple[ObjectVersion, list[PartSummary], int | None]:
        """An object, its parts with numbers above `after`, and the number to go on after, if there are more."""
        check_limit(limit)
        found = self._find_object(bucket, key, version_id, Action.GET_OBJECT_ATTRIBUTES, caller, data=False)
        parts = [part for part in self._parts_of(found.version) if part.number > after]
        page = parts[:limit]
        return found.version, page, page[-1].number if page and len(parts) > limit else None

    # -- deleting

    def delete_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        condition: WriteCondition = _ALWAYS,
        caller: Caller | None = None,
    ) -> DeletedObject:
        """Delete an object. Deleting what is not there succeeds, unless `condition` asks that it be there."""
        check_key(key)
        found = self._find_bucket(bucket)
        action = of_version(Action.DELETE_OBJECT, version_id)
        condition = self._condition_for(action, found, key, condition, caller)
        check_version_id(version_id)
        command = DeleteObject(
            **self._stamp(), bucket=bucket, bucket_id=found.id, key=key, version_id=version_id, condition=condition
        )
        self._engine.delete(command)
        self._jobs.notify()
        return DeletedObject(key=key, version_id=version_id)

    def delete_objects(
        self, bucket: str, entries: Sequence[DeleteEntry], *, caller: Caller | None = None
    ) -> list[DeletedObject | DeleteFailure]:
        """Delete up to 1,000 objects in one step; the outcome of each, in order."""
        if len(entries) > MAX_PAGE:
            raise TooManyEntries(MAX_PAGE)
        found = self._find_bucket(bucket)
        only_of = authorize(Action.DELETE_OBJECT, caller, found)
        if only_of is not None:
            entries = [_of_account(entry, only_of) for entry in entries]
        command = DeleteObjects(**self._stamp(), bucket=bucket, bucket_id=found.id, entries=tuple(entries))
        outcomes = self._engine.delete_many(command)
        self._jobs.notify()
        return [
            DeletedObject(key=outcome.key, version_id=outcome.version_id)
            if isinstance(outcome, Removed)
            else DeleteFailure(key=entry.key, version_id=entry.version_id, error=outcome)
            for entry, outcome in zip(entries, outcomes, strict=True)
        ]

    # -- copying

    def copy_object(
        self,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        *,
        attributes: ObjectAttributes = NO_ATTRIBUTES,
        condition: WriteCondition = _ALWAYS,
        caller: Caller | None = None,
        **options: Unpack[CopyOptions],
    ) -> ObjectVersion:
        """Copy an object. Its bytes are shared with the source, or copied on the backend's side.

        What goes with it comes along, unless `replace_metadata` gives it `attributes` of its own; the storage class,
        the ACL and the redirect never do. `source_version_id` and `source_condition` say of which source. A copy onto
        itself must name metadata, a storage class, a redirect or a source version, else it raises InvalidRequest,
        unless `allow_unchanged`.

        A copy is one part: of a source that was uploaded in parts it has neither the ETag nor the parts, but the MD5
        and a checksum of all bytes, which are read for that (as they are for another checksum than the source's).
        """
        check_key(key)
        check_copied_headers(options)
        given = given_attributes(attributes, options)
        found = self._find_bucket(bucket)
        condition = self._condition_for(Action.PUT_OBJECT, found, key, condition, caller)
        owner = self._owner_of_new(caller, found)
        if (acl := options.get("acl")) is not None:
            given = with_acl(given, acl, owner, found.owner)
        replaces = options.get("replace_metadata", False)
        version_id = options.get("source_version_id")
        changes = replaces or version_id is not None or bool(options.get("allow_unchanged"))
        changes = changes or given.storage_class != STANDARD or options.get("storage_class") is not None
        changes = changes or given.system.website_redirect_location is not None
        for _ in builtin_range(self._engine.open_attempts):
            source = self._open_source(source_bucket, source_key, version_id, options.get("source_condition"), caller)
            version = source.version
            if (source_bucket, source_key) == (bucket, key) and not changes:
                raise check_write(condition, version.etag, bucket, key) or InvalidRequest(_COPY_OF_ITSELF)
            write = self._engine.begin(bucket, key, condition)
            made = given if replaces else copied_attributes(version.attributes, given)
            try:
                # First: a copy onto itself may replace the source, and if it cannot be read nothing is replaced.
                etag, checksum = self._copied_digests(source, options.get("checksum_algorithm"))
                data, stored_ms = self._copy_bytes(
                    write,
                    source,
                    BlobSpec(
                        bucket=bucket,
                        key=key,
                        size=version.size,
                        attributes=made,
                        etag=lambda etag=etag: etag,  # type: ignore[misc]  # mypy cannot infer the default
                        new_id=self._new_blob_id,
                    ),
                )
            except BlobNotFound:
                self._engine.bytes_missing(source)
                continue
            command = PutObject(
                **self._stamp(),
                bucket=bucket,
                bucket_id=found.id,
                key=key,
                owner=owner,
                size=version.size,
                etag=etag,
                data=data,
                stored_ms=stored_ms,
                attributes=made,
                checksum=checksum,
                crc64nvme=source.crc64nvme,
                condition=condition,
            )
            return self._commit_object(write, command)
        raise InternalError(f"The bytes of {source_bucket}/{source_key} are missing from the storage backend.")

    def _open_source(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        condition: ReadCondition | None,
        caller: Caller | None,
        max_size: int = MAX_SINGLE_PUT,
    ) -> FoundObject:
        """The source of a copy. Where a read would be "not modified", a copy's precondition has failed."""
        found = self._find_object(bucket, key, version_id, Action.GET_OBJECT, caller, data=True)
        if condition is not None:
            try:
                check_read(condition, found.version, self._clock())
            except (PreconditionFailed, NotModified) as error:
                if self._engine.is_outdated(found):
                    return self._open_source(bucket, key, version_id, condition, caller, max_size)
                raise PreconditionFailed(error.condition, bucket, key, of_source=True) from None
        self._check_inline(found)
        if found.version.size > max_size:
            raise InvalidRequest(
                f"The specified copy source is larger than the maximum allowable size for a copy source: {max_size}"
            )
        return found

    def _copy_bytes(self, write: Write, source: FoundObject, spec: BlobSpec) -> tuple[Data, int | None]:
        if source.data is not None:
            return Inline(source.data), None
        assert source.handle is not None
        stored = write.copy(source.handle, spec)
        return BlobRef(stored.handle), stored.stored_ms

    def _copied_digests(self, source: FoundObject, algorithm: Algorithm | None) -> tuple[str, Checksum | None]:
        """The ETag and the checksum of a copy: those of one whole, also if its source was uploaded in parts.

        They are the source's where it has them. Else its bytes are read, once for all of them.
        """
        version = source.version
        have = version.checksum
        is_whole = version.parts_count is None and _MD5.fullmatch(version.etag) is not None
        algorithm = algorithm or (have.algorithm if have else None) or (None if is_whole else DEFAULT_ALGORITHM)
        if is_whole and algorithm == (have.algorithm if have else None):
            return version.etag, have
        assert algorithm is not None  # a whole without a checksum was returned, and what is none gets the default
        digester = Digester(algorithm)
        if source.data is not None:
            digester.update(source.data)
        else:
            with self._open_span(source, 0, version.size) as reader:
                for _ in digester.wrap(iter(lambda: reader.read(CHUNK), b"")):
                    pass
        return version.etag if is_whole else digester.md5_hex, Checksum(algorithm, digester.values()[algorithm])

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
        check_limit(limit)
        self._committer.read_barrier()
        with self._catalog.read() as reader:
            found = reader.find_bucket(bucket)
            if found is None:
                raise NoSuchBucket(bucket)
            authorize(Action.LIST_BUCKET, caller, found)
            return reader.list_objects(bucket, prefix, delimiter, after, min(limit, MAX_PAGE), start_after)

    # -- access control lists

    def get_object_acl(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> Acl:
        return self._find_object(bucket, key, version_id, Action.GET_OBJECT_ACL, caller, data=False).version.acl

    def put_object_acl(
        self,
        bucket: str,
        key: str,
        acl: AclRequest | Acl,
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> None:
        """Replace an object's ACL. An `Acl` must name the object's owner."""
        for _ in builtin_range(_ACL_ATTEMPTS):
            found = self._find_bucket(bucket)
            version = self._find_object(bucket, key, version_id, Action.PUT_OBJECT_ACL, caller, data=False).version
            command = PutObjectAcl(
                **self._stamp(),
                bucket=bucket,
                bucket_id=found.id,
                key=key,
                version_id=version_id,
                expected_acl=version.acl,
                acl=resolve_acl(acl, version.owner.id, found.owner.id),
            )
            result = self._committer.submit(command)
            if not isinstance(result, OperationAborted):
                break  # else it is not what was decided on any more
        if isinstance(result, S3Error):
            raise result


def _of_account(entry: DeleteEntry, owner_id: str) -> DeleteEntry:
    """The entry, which deletes an object of this account alone."""
    return attrs.evolve(entry, condition=attrs.evolve(entry.condition, replaces_only_of=owner_id))


def _absent(bucket: str, key: str, version_id: str | None) -> S3Error:
    """What is said of a version that is not there."""
    check_version_id(version_id)
    if version_id in (None, NULL_VERSION):
        return NoSuchKey(bucket, key)
    return NoSuchVersion(bucket, key, version_id or "")


builtin_range = range  # `range` is what S3 calls the option of a read
