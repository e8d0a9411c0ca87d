"""Copies: of whole objects, and of objects as parts of uploads."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Unpack

import attrs

from bleepstore.access import Action, Caller, Facts, authorize, authorize_new_acl, of_version
from bleepstore.backends.base import CHUNK, BlobRange, BlobSpec, Gateway, StoredBlob
from bleepstore.catalog.conditions import check_write
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutObject
from bleepstore.digests import Algorithm, Digester
from bleepstore.encryption import CustomerKey, EncryptionKind
from bleepstore.errors import (
    BlobNotFound,
    EntityTooLarge,
    InternalError,
    InvalidArgument,
    InvalidObjectState,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchUpload,
    NotModified,
    PreconditionFailed,
    UploadNotFound,
)
from bleepstore.model import (
    MAX_OBJECT,
    MAX_PART,
    MAX_SINGLE_PUT,
    NO_ATTRIBUTES,
    STANDARD,
    BlobRef,
    Bucket,
    ByteRange,
    Checksum,
    Data,
    Inline,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    Part,
    Upload,
)
from bleepstore.names import check_key
from bleepstore.preconditions import UNCONDITIONAL, ReadCondition, WriteCondition
from bleepstore.store.arguments import CopyOptions, CopyPartOptions
from bleepstore.store.blob_engine import Write
from bleepstore.store.bodies import DEFAULT_ALGORITHM
from bleepstore.store.engine import Engine
from bleepstore.store.new_objects import check_copied_headers, copied_attributes, given_attributes, owned
from bleepstore.store.objects import committed
from bleepstore.store.reading import check_read, is_archived, resolve_range
from bleepstore.store.sealed_writes import etag_of, sealed_attributes, sealed_data
from bleepstore.store.stored_objects import StoredObjects
from bleepstore.store.uploads import PartDigests, Uploads, check_part_number
from bleepstore.store.verifying import Span

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal

#: Those of the source and of the target of a copy, where they are encrypted.
_Seals = tuple["Seal | None", "Seal | None"]
_NO_SEALS = (None, None)
_MD5 = re.compile("[0-9a-f]{32}")
#: At a provider, whoever writes the same key meanwhile costs one.
_ATTEMPTS = 20
#: Amazon's words, which programs look for.
_COPY_OF_ITSELF = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
    "metadata, storage class, website redirect location or encryption attributes."
)


_COPY_OF_DELETE_MARKER = "The source of a copy request may not specifically refer to a delete marker by version id."


@attrs.frozen(kw_only=True)
class _Target:
    """Where a copy goes, whose it will be, who makes it and what it is `given` of its own."""

    bucket: Bucket
    key: str
    condition: WriteCondition
    owner: Owner
    creator_id: str | None
    given: ObjectAttributes


class Copies:
    """Copies within a store. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine, stored: StoredObjects, uploads: Uploads) -> None:
        self._engine = engine
        self._stored = stored
        self._uploads = uploads

    def copy_object(
        self,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        *,
        attributes: ObjectAttributes = NO_ATTRIBUTES,
        condition: WriteCondition = UNCONDITIONAL,
        caller: Caller | None = None,
        **options: Unpack[CopyOptions],
    ) -> ObjectVersion:
        """Copy an object. Its bytes are shared with the source, or copied on the backend's side.

        What is encrypted, or will be, is written anew; how the source is encrypted is no matter for the copy.
        What goes with it comes along, unless `replace_metadata` gives it `attributes` of its own, and `replace_tags`
        tags of its own; the storage class, the ACL, the locks and the redirect never do. `source_version_id` and
        `source_condition` say of which source. A copy onto itself must name metadata, a storage class, a redirect or a
        source version, else it raises InvalidRequest, unless `allow_unchanged`.

        A copy is one part: of a source that was uploaded in parts it has neither the ETag nor the parts, but the MD5
        and a checksum of all bytes, which are read for that (as they are for another checksum than the source's).
        """
        check_key(key)
        check_copied_headers(options)
        given = given_attributes(attributes, options)
        found, source_name = self._engine.find_bucket(bucket), f"{source_bucket}/{source_key}"
        target = self._decide_target(found, key, given, condition, caller, options, source_name)
        for _ in range(self._engine.object_engine.open_attempts):
            source, source_seal = self._open_source(
                source_bucket,
                source_key,
                options.get("source_version_id"),
                options.get("source_condition"),
                caller,
                customer_key=options.get("source_customer_key"),
            )
            if (source_bucket, source_key) == (bucket, key) and not _names_a_change(target.given, options):
                refused = check_write(target.condition, source.version.etag, bucket, key)
                raise refused or InvalidRequest(_COPY_OF_ITSELF)
            copy = self._copy(source, source_seal, target, options, caller)
            if copy is not None:
                return copy
            self._engine.object_engine.bytes_missing(source)
        raise InternalError(f"The bytes of {source_name} are missing from the storage backend.")

    def _decide_target(
        self,
        bucket: Bucket,
        key: str,
        given: ObjectAttributes,
        condition: WriteCondition,
        caller: Caller | None,
        options: CopyOptions,
        source: str,
    ) -> _Target:
        """Where the copy of `source` (bucket/key) goes, if `caller` may write it so."""
        acl = options.get("acl")
        facts: Facts = {
            "attributes": given,
            "acl": acl,
            "source": source,
            "encryption": options.get("encryption"),
            "replaces_metadata": bool(options.get("replace_metadata")),
        }
        condition = self._engine.condition_for(Action.PUT_OBJECT, bucket, key, condition, caller, **facts)
        if acl is not None:
            authorize_new_acl(caller, bucket, key, acl=acl)
        owner, given = owned(bucket, caller, given, acl)
        creator_id = None if caller is None else caller.creator_id
        return _Target(bucket=bucket, key=key, condition=condition, owner=owner, creator_id=creator_id, given=given)

    def _copy(
        self, source: FoundObject, source_seal: Seal | None, to: _Target, options: CopyOptions, caller: Caller | None
    ) -> ObjectVersion | None:
        """None: the bytes of the source are gone."""
        engine, version, bucket = self._engine, source.version, to.bucket
        write = engine.object_engine.begin(bucket.name, bucket.id, to.key, to.condition)
        made = copied_attributes(version.attributes, to.given, options)
        engine.check_attributes(bucket, to.key, made, caller)
        if made.tags and not options.get("replace_tags"):
            self._check_tags_of(version, options.get("source_version_id"), caller)
        if bucket.keeps_usage:
            engine.check_quota(bucket, to.key, version.size, to.creator_id)
        made, seal = sealed_attributes(engine, made, options, bucket, to.key)
        try:
            # First: a copy onto itself may replace the source, and if it cannot be read nothing is replaced.
            etag, checksum = self._copied_digests(source, source_seal, options.get("checksum_algorithm"))
            spec = engine.spec_for(bucket, to.key, made, version.size, partial(str, etag))
            data, stored_ms = self._copy_bytes(write, source, (source_seal, seal), spec)
        except BlobNotFound:
            return None
        command = PutObject(
            **engine.stamp(),
            bucket=bucket.name,
            bucket_id=bucket.id,
            key=to.key,
            owner=to.owner,
            creator_id=to.creator_id,
            size=version.size,
            etag=etag_of(made.encryption, etag, engine.random_bytes),
            data=data,
            stored_ms=stored_ms,
            attributes=made,
            checksum=checksum,
            crc64nvme=source.crc64nvme,
            condition=to.condition,
            origin=engine.origin_of(caller, "ObjectCreated:Copy"),
        )
        copy = committed(engine, write.commit(command), command, bucket)
        return attrs.evolve(copy, source_version_id=_source_id(version))

    def copy_part(
        self,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        *,
        caller: Caller | None = None,
        **options: Unpack[CopyPartOptions],
    ) -> Part:
        """Make a part of a stored object, or of its `source_range`: InvalidArgument if that exceeds the source."""
        check_part_number(number)
        source_name = f"{source_bucket}/{source_key}"
        upload = self._uploads.find(bucket, key, upload_id, Action.PUT_OBJECT, caller, source=source_name)
        seal = self._uploads.seal_of(upload, options.get("customer_key"))
        version_id, condition = options.get("source_version_id"), options.get("source_condition")
        for _ in range(_ATTEMPTS):
            source, source_seal = self._open_source(
                source_bucket,
                source_key,
                version_id,
                condition,
                caller,
                max_size=MAX_OBJECT,
                customer_key=options.get("source_customer_key"),
            )
            start, stop = _span_of_part(source.version.size, options.get("source_range"))
            try:
                stored, digests = self._store_part(upload, number, source, (start, stop), (source_seal, seal))
            except UploadNotFound:
                raise NoSuchUpload(upload_id, bucket, key) from None
            except BlobNotFound:
                self._engine.object_engine.bytes_missing(source)
                continue
            part = self._uploads.register(upload, number, stored, digests)
            return attrs.evolve(part, source_version_id=_source_id(source.version))
        raise InternalError(f"The bytes of {source_bucket}/{source_key} are missing from the storage backend.")

    def _check_tags_of(self, source: ObjectVersion, version_id: str | None, caller: Caller | None) -> None:
        """Refuse a copy with the tags of its source to whom may not read them."""
        action = of_version(Action.GET_OBJECT_TAGGING, version_id)
        authorize(action, caller, self._engine.find_bucket(source.bucket), source, version=version_id)

    def _store_part(
        self, upload: Upload, number: int, source: FoundObject, span: tuple[int, int], seals: _Seals
    ) -> tuple[StoredBlob, PartDigests]:
        """Store a range of an object as a part; a provider copies it, and it is read there for the digests alone,
        unless one of them is encrypted."""
        (start, stop), (source_seal, seal) = span, seals
        algorithm = upload.checksum_algorithm or DEFAULT_ALGORITHM
        backend = self._engine.backend if seal is None else self._engine.encrypting.backend(seal)
        token, new_id = upload.backend_token, self._engine.new_blob_id
        digester = Digester(algorithm, Algorithm.CRC64NVME)
        if source.data is not None:
            stored = backend.put_part(token, number, digester.wrap([source.data[start:stop]]), new_id=new_id)
        elif seals != _NO_SEALS or not isinstance(backend, Gateway):
            chunks = self._verified_chunks(source, start, stop, source_seal)
            stored = backend.put_part(token, number, digester.wrap(chunks), new_id=new_id)
        else:
            assert source.handle is not None
            stored = backend.put_part(token, number, BlobRange(source.handle, start, stop), new_id=new_id)
            if stored.md5 is not None and upload.checksum_algorithm is None:
                return stored, PartDigests(stop - start, stored.md5)
            with backend.get_object(source.handle, start, stop) as reader:
                for chunk in iter(lambda: reader.read(CHUNK), b""):
                    digester.update(chunk)
        values = digester.values()
        checksum, crc = Checksum(algorithm, values[algorithm]), values[Algorithm.CRC64NVME]
        shown = None if upload.checksum_algorithm is None else checksum
        etag = etag_of(upload.encryption, digester.md5_hex, self._engine.random_bytes)
        return stored, PartDigests(stop - start, etag, checksum, shown, crc)

    def _open_source(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        condition: ReadCondition | None,
        caller: Caller | None,
        max_size: int = MAX_SINGLE_PUT,
        customer_key: CustomerKey | None = None,
    ) -> tuple[FoundObject, Seal | None]:
        """The source of a copy, and its seal. Where a read would be "not modified", a copy's precondition has
        failed."""
        try:
            found = self._stored.find(bucket, key, version_id, Action.GET_OBJECT, caller, data=True)
        except MethodNotAllowed:
            raise InvalidRequest(_COPY_OF_DELETE_MARKER) from None
        except NoSuchKey:  # a delete marker is told of only where the object itself is asked for
            raise NoSuchKey(bucket, key) from None
        self._stored.check_customer_key(found.version, customer_key)
        if condition is not None:
            try:
                check_read(condition, found.version, self._engine.clock())
            except (PreconditionFailed, NotModified) as error:
                if self._engine.object_engine.is_outdated(found):
                    return self._open_source(bucket, key, version_id, condition, caller, max_size, customer_key)
                raise PreconditionFailed(error.condition, bucket, key, of_source=True) from None
        if is_archived(found.version.attributes, self._engine.clock):
            raise InvalidObjectState(None, found.version.storage_class, of_source=True)
        seal = self._stored.seal_of(found.version, customer_key)
        if found.data is not None:
            found = self._stored.opened_inline(found, seal)
        if found.version.size > max_size:
            raise InvalidRequest(
                f"The specified copy source is larger than the maximum allowable size for a copy source: {max_size}"
            )
        return found, seal

    def _copy_bytes(self, write: Write, source: FoundObject, seals: _Seals, spec: BlobSpec) -> tuple[Data, int | None]:
        """What is encrypted, or will be, is written anew: no two objects have a key in common."""
        source_seal, seal = seals
        if source.data is not None:
            data = Inline(source.data)
            return data if seal is None else sealed_data(seal, data), None
        assert source.handle is not None
        if seals == _NO_SEALS:
            stored = write.copy(source.handle, spec)
        else:
            chunks = self._verified_chunks(source, 0, source.version.size, source_seal)
            stored = (write if seal is None else self._engine.encrypting.writer(seal)).put(spec, chunks)
        return BlobRef(stored.handle), stored.stored_ms

    def _copied_digests(
        self, source: FoundObject, seal: Seal | None, algorithm: Algorithm | None
    ) -> tuple[str, Checksum | None]:
        """The ETag and the checksum of a copy: those of one whole, also if its source was uploaded in parts.

        They are the source's where it has them. Else its bytes are read, once for all of them.
        """
        version = source.version
        have = version.checksum
        is_whole = version.parts_count is None and _MD5.fullmatch(version.etag) is not None
        is_whole = is_whole and (version.encryption is None or version.encryption.kind is EncryptionKind.STORE)
        algorithm = algorithm or (have.algorithm if have else None) or (None if is_whole else DEFAULT_ALGORITHM)
        if is_whole and algorithm == (have.algorithm if have else None):
            return version.etag, have
        assert algorithm is not None  # a whole without a checksum was returned, and what is none gets the default
        digester = Digester(algorithm)
        if source.data is not None:
            digester.update(source.data)
        else:
            with self._stored.open_span(source, 0, version.size, seal) as reader:
                for _ in digester.wrap(iter(lambda: reader.read(CHUNK), b"")):
                    pass
        return version.etag if is_whole else digester.md5_hex, Checksum(algorithm, digester.values()[algorithm])

    def _verified_chunks(self, found: FoundObject, start: int, stop: int, seal: Seal | None) -> Iterator[bytes]:
        """Bytes of a blob that a copy is made of. What they are part of, the object or its parts, is compared whole: a
        copy must not give damaged bytes a checksum of their own."""
        version = found.version
        assert found.handle is not None
        spans = [Span(0, version.size, found.crc64nvme)]
        if parts := self._stored.parts_of(version):
            ends = list(itertools.accumulate(part.size for part in parts))
            spans = [Span(end - part.size, end, part.crc64nvme) for part, end in zip(parts, ends, strict=True)]
        verifier = self._engine.verifier if seal is None else self._stored.sealed_verifier(version, seal)
        return verifier.chunks(version.bucket, version.key, found.handle, spans, start, stop)


def _source_id(version: ObjectVersion) -> str | None:
    """The id of a copied version, as its copy tells it."""
    return version.version_id if version.is_versioned else None


def _span_of_part(size: int, source_range: ByteRange | None) -> tuple[int, int]:
    """(start, stop) of what a part is made of. Raises InvalidArgument, EntityTooLarge."""
    start, stop = 0, size
    if source_range is not None:
        # The range must be within the source: unlike a read, it is not cut to fit.
        if source_range.last is not None and source_range.last >= size:
            raise InvalidArgument(
                f"Range specified is not valid for source object of size: {size}",
                "source_range",
                f"{source_range.first}-{source_range.last}",
            )
        start, stop = resolve_range(source_range, size)
    if stop - start > MAX_PART:
        raise EntityTooLarge(stop - start, MAX_PART)
    return start, stop


def _names_a_change(given: ObjectAttributes, options: CopyOptions) -> bool:
    """Whether a copy onto itself would be another object than its source, or was asked for all the same."""
    return (
        bool(options.get("replace_metadata") or options.get("allow_unchanged"))
        or options.get("encryption") is not None
        or options.get("source_version_id") is not None
        or options.get("storage_class") is not None
        or given.storage_class != STANDARD
        or given.system.website_redirect_location is not None
    )
