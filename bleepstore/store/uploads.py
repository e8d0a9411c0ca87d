"""Operations on multipart uploads."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Unpack

import attrs

from bleepstore.access import Action, Caller, Facts, authorize, authorize_new_acl
from bleepstore.backends.base import PartBlob, StoredBlob
from bleepstore.catalog.conditions import check_write
from bleepstore.catalog.quotas import refusal_of
from bleepstore.catalog.uploads import completed_object
from bleepstore.commands import AbortUpload, AssembledPart, CompleteUpload, CreateUpload, RegisterPart
from bleepstore.digests import multipart_etag
from bleepstore.encryption import CustomerKey, sealed_size
from bleepstore.errors import (
    AccessDenied,
    BlobBusy,
    BlobNotFound,
    ConditionalRequestConflict,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    NoSuchBucket,
    NoSuchUpload,
    OperationAborted,
    S3Error,
    UploadNotFound,
)
from bleepstore.lifecycle_due import abort_of
from bleepstore.model import (
    MAX_PAGE,
    MAX_PART,
    MAX_PARTS,
    MIN_PART,
    NO_ATTRIBUTES,
    NULL_VERSION,
    BlobRef,
    Bucket,
    Checksum,
    CompletedPart,
    ObjectAttributes,
    ObjectVersion,
    Part,
    PartSummary,
    Upload,
)
from bleepstore.names import check_key
from bleepstore.pages import PartPage, UploadPage
from bleepstore.preconditions import UNCONDITIONAL, WriteCondition
from bleepstore.quotas import Growth, Usage
from bleepstore.store.arguments import CompletionOptions, PartOptions, UploadOptions
from bleepstore.store.blob_engine import Write
from bleepstore.store.bodies import DEFAULT_ALGORITHM, Body, expected_of, size_of, stage
from bleepstore.store.engine import Engine, check_limit
from bleepstore.store.new_objects import as_replica, given_attributes, owned
from bleepstore.store.objects import committed
from bleepstore.store.sealed_writes import etag_of, sealed_attributes
from bleepstore.store.upload_checksums import (
    check_part_algorithm,
    check_part_checksum,
    check_type,
    resolve_checksum_type,
    whole_of,
)

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal

#: The time in milliseconds and 20 random bytes. One that was ended since is still a position in a listing.
_UPLOAD_ID = re.compile("[0-9a-f]{52}")
#: At a provider, whoever writes the same key meanwhile costs one.
_ATTEMPTS = 20
_COMPLETED = "ObjectCreated:CompleteMultipartUpload"


def check_part_number(number: int) -> None:
    if not 1 <= number <= MAX_PARTS:
        raise InvalidArgument(
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive", "number", str(number)
        )


@attrs.frozen
class PartDigests:
    """What is known of the bytes of a part. `checksum` is kept, `shown` is what the caller gets to see."""

    size: int
    etag: str
    checksum: Checksum | None = None
    shown: Checksum | None = None
    crc64nvme: str | None = None


class Uploads:
    """The multipart uploads of a store. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_upload(
        self,
        bucket: str,
        key: str,
        *,
        attributes: ObjectAttributes = NO_ATTRIBUTES,
        caller: Caller | None = None,
        **options: Unpack[UploadOptions],
    ) -> Upload:
        """Start a multipart upload. For the options see put_object."""
        check_key(key)
        attributes = given_attributes(attributes, options)
        algorithm = options.get("checksum_algorithm")
        kind = resolve_checksum_type(algorithm, options.get("checksum_type"))
        if caller is not None and caller.is_anonymous:
            raise AccessDenied("Anonymous callers cannot start multipart uploads.")
        found, acl = self._engine.find_bucket(bucket), options.get("acl")
        encryption = options.get("encryption")
        facts: Facts = {"attributes": attributes, "acl": acl, "encryption": encryption, "begins_upload": True}
        authorize(Action.PUT_OBJECT, caller, found, None, key, **facts)
        if attributes.tags or attributes.retention is not None or attributes.legal_hold is not None:
            self._engine.check_attributes(found, key, attributes, caller)
        if acl is not None:
            authorize_new_acl(caller, found, key, acl=acl)
        if attributes.metadata:
            attributes = as_replica(attributes, found, key, caller)
        owner, attributes = owned(found, caller, attributes, acl)
        attributes, _seal = sealed_attributes(self._engine, attributes, options, found, key)
        stamp = self._engine.stamp()
        command = CreateUpload(
            **stamp,
            bucket=bucket,
            bucket_id=found.id,
            key=key,
            upload_id=f"{stamp['time_ms']:012x}{self._engine.random_bytes(20).hex()}",
            owner=owner,
            initiator=found.owner if caller is None else caller.principal,
            attributes=attributes,
            checksum_algorithm=algorithm,
            checksum_type=kind,
            backend_token=self._engine.backend.begin_parts(self._engine.spec_for(found, key, attributes)),
        )
        self._engine.submit(command)
        return self.find(bucket, key, command.upload_id, Action.PUT_OBJECT, None)

    def find(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        action: Action,
        caller: Caller | None,
        **facts: Unpack[Facts],
    ) -> Upload:
        """The upload, if it exists and `caller` may do `action` with it."""
        return self._find(bucket, key, upload_id, action, caller, facts)[1]

    def _find(
        self, bucket: str, key: str, upload_id: str, action: Action, caller: Caller | None, facts: Facts
    ) -> tuple[Bucket, Upload]:
        found = self._engine.find_bucket(bucket)
        with self._engine.catalog.read() as reader:
            upload = reader.find_upload(bucket, key, upload_id)
        authorize(action, caller, found, upload, key, **facts)
        if upload is None:
            raise NoSuchUpload(upload_id, bucket, key)
        if upload.bucket_id != found.id:
            raise NoSuchBucket(bucket)  # between the one and the other look another got its name
        if found.settings.lifecycle is not None:
            upload = attrs.evolve(upload, expiry=abort_of(found.settings.lifecycle, key, upload.initiated_ms))
        return found, upload

    # -- parts

    def put_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        caller: Caller | None = None,
        **options: Unpack[PartOptions],
    ) -> Part:
        """Store one part, replacing an earlier one of this number. For the options see put_object.

        A part of an upload whose checksum is composite comes with one, or names its algorithm; else InvalidRequest.
        The `checksum` of the result is None if neither the part nor the upload names an algorithm.
        """
        check_part_number(number)
        expected = expected_of(options, MAX_PART)
        found, upload = self._find(bucket, key, upload_id, Action.PUT_OBJECT, caller, {})
        if found.keeps_usage:
            self._check_quota(found, upload, number, size_of(body, expected))
        seal = self.seal_of(upload, options.get("customer_key"))
        backend = self._engine.backend if seal is None else self._engine.encrypting.backend(seal)
        sent = expected.algorithm
        check_part_algorithm(upload, sent)
        kept = upload.checksum_algorithm or DEFAULT_ALGORITHM
        algorithms = (kept,) if sent in (None, kept) else (kept, sent)

        def write(chunks: Iterable[bytes], _etag: Callable[[], str]) -> StoredBlob:
            return backend.put_part(
                upload.backend_token, number, chunks, expected.size, new_id=self._engine.new_blob_id
            )

        # A part is always a blob, however small: inline_limit -1 keeps even an empty one out of the catalog.
        try:
            staged = stage(body, expected, algorithms, -1, write)
        except UploadNotFound:  # a provider ends uploads that are old, by a rule of its own or of the account
            raise NoSuchUpload(upload_id, bucket, key) from None
        assert isinstance(staged.data, BlobRef)
        assert staged.stored_ms is not None
        stored = StoredBlob(staged.data.handle, staged.stored_ms)
        kept_value = Checksum(kept, staged.checksums[kept])
        shown = sent or upload.checksum_algorithm  # one that nobody asked for is the store's own affair
        shown_value = None if shown is None else Checksum(shown, staged.checksums[shown])
        etag = etag_of(upload.encryption, staged.etag, self._engine.random_bytes)
        digests = PartDigests(staged.size, etag, kept_value, shown_value, staged.crc64nvme)
        return self.register(upload, number, stored, digests)

    def _check_quota(self, bucket: Bucket, upload: Upload, number: int, size: int) -> None:
        """Raise QuotaExceeded before bytes are sent for nothing. It is decided again when the part is registered."""
        with self._engine.catalog.read() as reader:
            replaced = [
                part.size for part in reader.list_parts(upload.upload_id, number - 1, 1) if part.number == number
            ]
            quotas = reader.quotas_of(bucket.id, upload.creator_id)
        growth = Growth.by(upload.creator_id, Usage(0, size - sum(replaced)))
        if refused := refusal_of(quotas, bucket.name, growth):
            raise refused

    def seal_of(self, upload: Upload, customer_key: CustomerKey | None) -> Seal | None:
        """What encrypts the parts of an upload; None: they are not. See `Encrypting.open_part`."""
        if upload.encryption is None and customer_key is None:
            return None
        return self._engine.encrypting.open_part(upload, customer_key)

    def register(self, upload: Upload, number: int, stored: StoredBlob, digests: PartDigests) -> Part:
        command = RegisterPart(
            **self._engine.stamp(),
            bucket=upload.bucket,
            bucket_id=upload.bucket_id,
            key=upload.key,
            upload_id=upload.upload_id,
            number=number,
            size=digests.size,
            etag=digests.etag,
            checksum=digests.checksum,
            crc64nvme=digests.crc64nvme,
            handle=stored.handle,
            stored_ms=stored.stored_ms,
        )
        result = self._engine.committer.submit(command)
        if isinstance(result, S3Error):
            backend, token = self._engine.backend, upload.backend_token
            with contextlib.suppress(BlobBusy):  # the next sweep finds it as an orphan
                backend.delete_parts(token, [stored.handle])
            if isinstance(result, NoSuchUpload):
                backend.delete_parts(token, [])  # the end of the upload came before this part
            raise result
        return Part(
            number=number,
            size=digests.size,
            etag=digests.etag,
            modified_ms=command.time_ms,
            checksum=digests.shown,
            handle=stored.handle,
            encryption=upload.encryption,
        )

    # -- completing

    def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[CompletedPart],
        *,
        condition: WriteCondition = UNCONDITIONAL,
        caller: Caller | None = None,
        **options: Unpack[CompletionOptions],
    ) -> ObjectVersion:
        """Make the listed parts, in ascending order, one object. Sent again, it gives the first answer for a day.

        Raises InvalidPart, InvalidPartOrder, EntityTooSmall (under 5 MiB, other than the last), BadDigest,
        NoSuchUpload, PreconditionFailed, ConditionalRequestConflict, QuotaExceeded.
        """
        if not parts:
            raise InvalidRequest("A multipart upload is completed from at least one part.")
        if any(later.number <= earlier.number for earlier, later in itertools.pairwise(parts)):
            raise InvalidPartOrder(upload_id)
        lost: list[Part] = []
        facts: Facts = {"write_condition": condition, "completes_upload": True}
        for _ in range(_ATTEMPTS):
            try:
                found, upload = self._find(bucket, key, upload_id, Action.PUT_OBJECT, caller, facts)
            except NoSuchUpload:
                return self._completed_before(bucket, key, upload_id, parts)
            check_type(upload, options.get("checksum_type"))
            if (customer_key := options.get("customer_key")) is not None:
                self.seal_of(upload, customer_key)
            allowed = self._engine.condition_for(Action.PUT_OBJECT, found, key, condition, caller, **facts)
            try:
                stored = self._listed_parts(upload, parts)
            except InvalidPart:
                if self._is_under_way(upload):
                    raise
                continue  # somebody else completed it between our look at the upload and that at its parts
            if found.keeps_usage:
                self._engine.check_quota(found, key, 0, upload.creator_id)  # its bytes are counted already, as parts
            write = self._begin_completion(upload, allowed)
            command = self._complete_command(write, found, upload, stored, options, allowed)
            if command is None:
                if stored == lost:  # nobody has sent them again: the provider has ended the upload
                    raise NoSuchUpload(upload_id, bucket, key)
                lost = stored
                continue
            if found.settings.events or self._engine.catalog.watches_all:
                command = attrs.evolve(command, origin=self._engine.origin_of(caller, _COMPLETED))
            result = write.commit_upload(command, upload)
            if isinstance(result, OperationAborted):
                continue
            return committed(self._engine, result, completed_object(command, upload), found)
        raise OperationAborted("The parts of the upload keep changing while it is completed. Try again.")

    def _begin_completion(self, upload: Upload, condition: WriteCondition) -> Write:
        """The condition is checked before anything is assembled, since a provider may have no parts left afterwards to
        try once more with."""
        write = self._engine.object_engine.begin(upload.bucket, upload.bucket_id, upload.key, condition)
        if condition is not UNCONDITIONAL and condition.is_of_etag:
            with self._engine.catalog.read() as reader:
                state = reader.object_since(upload.bucket, upload.key, upload.upload_id)
            if refused := check_write(condition, state.etag, upload.bucket, upload.key):
                raise refused
            if state.changed:
                raise ConditionalRequestConflict(upload.bucket, upload.key, condition.kind)
        return write

    def _is_under_way(self, upload: Upload) -> bool:
        with self._engine.catalog.read() as reader:
            return reader.find_upload(upload.bucket, upload.key, upload.upload_id) is not None

    def _listed_parts(self, upload: Upload, listed: Sequence[CompletedPart]) -> list[Part]:
        """The stored parts that the caller lists, once each proved to be the one that was meant."""
        with self._engine.catalog.read() as reader:
            known = {part.number: part for part in reader.list_parts(upload.upload_id, 0, MAX_PARTS)}
        found = []
        for wanted in listed:
            part = known.get(wanted.number)
            if part is None or part.etag != wanted.etag.strip('"').lower():
                raise InvalidPart(upload.upload_id, wanted.number, wanted.etag)
            check_part_checksum(upload, part, wanted)
            found.append(part)
        for part in found[:-1]:
            if part.size < MIN_PART:
                raise EntityTooSmall(part.size, MIN_PART, part.number, part.etag)
        return found

    def _complete_command(
        self,
        write: Write,
        bucket: Bucket,
        upload: Upload,
        parts: Sequence[Part],
        options: CompletionOptions,
        condition: WriteCondition,
    ) -> CompleteUpload | None:
        """The command, with the blob assembled; None if a part was replaced meanwhile."""
        whole = whole_of(upload, parts, options)
        is_sealed = upload.attributes.encryption is not None
        blobs = [PartBlob(part.handle, sealed_size(part.size) if is_sealed else part.size) for part in parts]
        stored_size = sum(blob.size for blob in blobs)
        etag = None if is_sealed else partial(str, whole.etag)
        spec = self._engine.spec_for(bucket, upload.key, upload.attributes, stored_size, etag)
        try:
            blob = write.assemble(upload.backend_token, spec, blobs)
        except (BlobNotFound, UploadNotFound):
            return None
        return CompleteUpload(
            **self._engine.stamp(),
            bucket=upload.bucket,
            bucket_id=upload.bucket_id,
            key=upload.key,
            upload_id=upload.upload_id,
            assembled=tuple(AssembledPart(number=part.number, handle=part.handle) for part in parts),
            parts=tuple(
                PartSummary(number, part.size, part.checksum.value if part.checksum else None, part.crc64nvme)
                for number, part in enumerate(parts, start=1)
            ),
            size=whole.size,
            etag=whole.etag,
            checksum=whole.checksum,
            crc64nvme=whole.crc64nvme,
            handle=blob.handle,
            stored_ms=blob.stored_ms,
            condition=condition,
        )

    def _completed_before(self, bucket: str, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> ObjectVersion:
        """The answer to a Complete that already succeeded: its client may not have heard."""
        with self._engine.catalog.read() as reader:
            done = reader.find_completed(bucket, key, upload_id)
            version_id = NULL_VERSION if done is None or done.version_id is None else done.version_id
            found = reader.find_version(bucket, key, version_id, with_data=False)
        try:
            etag = multipart_etag([part.etag.strip('"') for part in parts])
        except ValueError:
            etag = ""
        if done is None or found is None or not done.etag == found.version.etag == etag:
            raise NoSuchUpload(upload_id, bucket, key)
        return found.version

    def abort_upload(self, bucket: str, key: str, upload_id: str, *, caller: Caller | None = None) -> None:
        """End an upload and give its parts' space back. Raises NoSuchUpload."""
        upload = self.find(bucket, key, upload_id, Action.ABORT_MULTIPART_UPLOAD, caller)
        self._engine.submit(
            AbortUpload(**self._engine.stamp(), bucket=bucket, bucket_id=upload.bucket_id, key=key, upload_id=upload_id)
        )
        self._engine.backend.delete_parts(upload.backend_token, [])
        self._engine.jobs.notify()

    # -- listing

    def list_uploads(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after_key: str = "",
        after_upload_id: str = "",
        limit: int = MAX_PAGE,
        caller: Caller | None = None,
    ) -> UploadPage:
        """A page of the uploads under way, in the order of key and time, after the upload `after_upload_id` of the key
        `after_key`. Raises InvalidArgument for what can be no upload's id."""
        action = Action.LIST_BUCKET_MULTIPART_UPLOADS
        facts: Facts = {"prefix": prefix, "delimiter": delimiter}
        with self._engine.listing_of(bucket, action, caller, limit, **facts) as (reader, _found, size):
            if after_upload_id and not _UPLOAD_ID.fullmatch(after_upload_id):
                raise InvalidArgument("after_upload_id is not the id of an upload.", "after_upload_id", after_upload_id)
            return reader.list_uploads(bucket, prefix, delimiter, after_key, after_upload_id, size)

    def list_parts(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        *,
        after: int = 0,
        limit: int = MAX_PAGE,
        caller: Caller | None = None,
    ) -> PartPage:
        """A page of an upload's parts with numbers above `after`."""
        check_limit(limit)
        limit = min(limit, MAX_PAGE)
        after = min(after, MAX_PARTS)
        upload = self.find(bucket, key, upload_id, Action.LIST_MULTIPART_UPLOAD_PARTS, caller)
        with self._engine.catalog.read() as reader:
            parts = reader.list_parts(upload_id, after, limit + 1)
        page = parts[:limit]
        more = bool(page) and len(parts) > limit
        return PartPage(upload=upload, parts=page, next_number=page[-1].number if more else None)
