"""The verbs of a storage backend, as requests to Azure Blob Storage."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import logging
import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast

import attrs
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobBlock, BlobLeaseClient

from bleepstore.backends.azure.client import WINDOW, put_blob
from bleepstore.backends.azure.copies import AzureCopies
from bleepstore.backends.azure.downloads import DownloadAnswer, DownloadBody, raise_answer
from bleepstore.backends.azure.errors import (
    PROVIDER,
    ContainerNotFound,
    OtherType,
    ProviderNotFound,
    ProviderPreconditionFailed,
    code_of,
)
from bleepstore.backends.azure.pins import (
    CODEC,
    Pin,
    ProviderUpload,
    StagedPart,
    content_settings,
    new_upload,
    notes_of,
    read_handle,
    read_part,
    read_token,
)
from bleepstore.backends.base import BlobId, BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.backends.gateway.bodies import (
    IN_MEMORY,
    BufferedBody,
    FileBody,
    HashingReader,
    StreamingBody,
    blocks_of,
    buffered,
    files_of,
    send_behind,
)
from bleepstore.backends.gateway.names import Address
from bleepstore.backends.gateway.retry import ProviderRefused
from bleepstore.backends.gateway.streams import ResumingReader, combined_crc32c
from bleepstore.cleanup import on_error
from bleepstore.errors import (
    AccessDenied,
    BlobNotFound,
    EntityTooLarge,
    InvalidBucketName,
    ServiceUnavailable,
    SlowDown,
    UploadNotFound,
)
from bleepstore.model import UploadToken

_log = logging.getLogger("bleepstore.gateway")

#: "A blob has at most 50,000 committed blocks", and an upload 10,000 parts.
_MAX_BLOCKS = 50_000
_BLOCKS_OF_A_PART = _MAX_BLOCKS // 10_000
#: Bytes of one request that makes a blob at most: 5,000 MiB (and 4,000 of one that stages a block).
_MAX_PUT = 4000 * 1024 * 1024
#: Seconds of a lease on a container that is about to be deleted.
_LEASE = 60
#: How long the end of a write may wait for the removal of what was staged for it.
_FORGET_SECONDS = 3.0
#: How often a completion gives way to others of the same upload.
_COMPLETIONS = 20

_MD5 = re.compile("[0-9a-f]{32}")


class AzureBackend(AzureCopies):
    """What both layouts share: see `bleepstore.backends.azure.layouts`."""

    # -- buckets

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        if self._settings.container is not None:
            return
        container = self._service.get_container_client(self._names.container_of(bucket))

        def create() -> bool:
            try:
                container.create_container()
            except ResourceExistsError as error:
                if code_of(error) != "ContainerAlreadyExists":  # then it is the account's own
                    raise
                self._unless_leased(_deleting(container).release)
                return False
            except HttpResponseError as error:
                if error.status_code == 400:
                    raise InvalidBucketName(bucket, f"{PROVIDER} does not take this name: {code_of(error)}") from None
                raise
            return True

        is_new = self._call(create)
        self._claims.claim_bucket(bucket, is_new=is_new or known)

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        if self._settings.container is not None:
            return True
        container = self._service.get_container_client(self._names.container_of(bucket))
        # Azure would delete what comes after a look too. So a deletion takes a lease first, which a creation of the
        # bucket takes away: then nothing is deleted. A creation that ended before the lease is seen by `is_back`.
        lease = _deleting(container)
        try:
            if not self._unless_leased(lambda: lease.acquire(lease_duration=_LEASE)):
                _log.warning("the container %s is left: others have leased it", container.container_name)
                return True
            names = (blob.name for _, blob in self._pages(Address(container.container_name, ""), include=()))
            is_emptied = None if is_back() else self._claims.is_emptied(bucket, names)
            if not is_emptied:
                self._unless_leased(lease.release)
                return is_emptied is None
            return self._unless_leased(lambda: container.delete_container(lease=lease))
        except ContainerNotFound:
            return True

    def _unless_leased(self, call: Callable[[], object]) -> bool:
        """Whether Azure did it, rather than refuse it for a lease."""

        def attempt() -> bool:
            try:
                call()
            except HttpResponseError as error:
                if not code_of(error).startswith("Lease"):
                    raise
                return False
            return True

        return self._call(attempt)

    # -- what goes with a blob

    def _described(
        self, spec: BlobSpec, address: Address, write: str, size: int | None, crc32c: str | None, md5: bytes | None
    ) -> dict[str, Any]:
        with_key = not self._naming.is_native(spec.bucket, address.name)
        etag = None if spec.etag is None else spec.etag()
        return {
            "metadata": CODEC.encode(spec, write=write, etag=etag, crc32c=crc32c, size=size, with_key=with_key),
            "content_settings": content_settings(spec, md5),
        }

    # -- objects

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        """A large body is sent while it comes, under a name of its own. Azure says what MD5 it stored; if that is right
        it copies the blob to where it belongs, and else the body is sent once more, from disk with its MD5 before it.
        """
        address, write = self._naming.address_of(spec), secrets.token_hex(8)
        upload = new_upload(self._names.own(spec.bucket))
        sent: list[Mapping[str, Any]] = []

        def send(body: StreamingBody) -> None:
            sent.append(self._put_early(upload, spec, body))

        early = send if spec.size is not None and spec.size <= _MAX_PUT else None
        try:
            with buffered(chunks, IN_MEMORY, spec.etag, size=spec.size, early=early) as body:
                md5 = bytes.fromhex(body.md5)
                described = self._described(spec, address, write, body.size, body.crc32c, md5)
                if sent and sent[0].get("content_md5") == md5:
                    # What Azure does not copy over, a request with the bytes replaces at once.
                    with contextlib.suppress(ProviderNotFound, _Restaged, OtherType):
                        staged = Pin(upload.container, upload.name, sent[0]["etag"])
                        return self._move(staged, address, spec, write, described)
                if body.size > _MAX_PUT:
                    return self._put_blocks(spec, address, write, body, described)
                return self._put_blob(spec, address, write, body, described)
        finally:
            if sent:
                self._forget(upload)

    def _put_early(self, upload: ProviderUpload, spec: BlobSpec, body: StreamingBody) -> Mapping[str, Any]:
        """The answer to a request that can be sent only once, for the body is read meanwhile; nothing if it failed."""
        blob = self._blob(upload.address)
        try:
            return put_blob(blob, body, len(body), metadata={}, content_settings=content_settings(spec))
        except Exception as error:
            if body.failure is not None:
                raise body.failure from None
            if self._retry.translate(error) is None:
                raise
            return {}

    def _put_blob(
        self, spec: BlobSpec, address: Address, write: str, body: BufferedBody, described: Mapping[str, Any]
    ) -> StoredBlob:
        blob, condition = self._blob(address), self._condition(spec)
        try:
            answer = self._retry.run(
                lambda: put_blob(blob, body.body(), body.size, md5=body.md5, **described, **condition), sends=True
            )
        except (ProviderNotFound, ProviderPreconditionFailed) as refused:
            found = self._find_write(address, write)
            if found is None:
                self._raise_changed(spec, refused)
            answer = found
        stored = answer.get("content_md5")
        if stored and bytes(stored).hex() != body.md5:
            with on_error(lambda: self.delete_object(self._stored(address, answer).handle)):
                raise ServiceUnavailable(f"{PROVIDER} stored other bytes than were sent. Send them again.")
        return self._stored(address, answer)

    def _put_blocks(
        self, spec: BlobSpec, address: Address, write: str, body: BufferedBody, described: Mapping[str, Any]
    ) -> StoredBlob:
        """Stage the blocks under a name of their own and have Azure copy them: under the key's, whatever another writes
        there would discard them."""
        upload, part = new_upload(self._names.own(spec.bucket)), StagedPart(1, secrets.token_hex(4), 0)
        try:
            for start in range(0, body.size, _MAX_PUT):
                stop = min(start + _MAX_PUT, body.size)
                self._stage(upload, part.block_id(part.blocks), functools.partial(body.body, start, stop), stop - start)
                part = attrs.evolve(part, blocks=part.blocks + 1)
            staged = self._commit(upload, part.block_ids, described)
            return self._replace_any_type(
                address, spec, lambda expected: self._move(staged, address, expected, write, described)
            )
        except (ProviderNotFound, _Restaged) as missing:
            raise ServiceUnavailable(f"What was staged was taken away: send it again. ({missing})") from None
        finally:
            self._forget(upload)

    def _stage(
        self, upload: ProviderUpload, block_id: str, body: Callable[[], bytes | io.RawIOBase], length: int
    ) -> None:
        blob = self._blob(upload.address)
        self._retry.run(lambda: blob.stage_block(block_id, body(), length=length, validate_content=True), sends=True)

    def _commit(self, upload: ProviderUpload, block_ids: Sequence[str], described: Mapping[str, Any]) -> Pin:
        blocks = [BlobBlock(one) for one in block_ids]
        answer = self._call(self._blob(upload.address).commit_block_list, blocks, **described)
        return Pin(upload.container, upload.name, answer["etag"])

    def _move(
        self, staged: Pin, address: Address, spec: BlobSpec, write: str, described: Mapping[str, Any]
    ) -> StoredBlob:
        """Copy a staged blob, with all that was noted at its commit, to where it belongs. Raises ProviderNotFound or
        _Restaged if it is no longer as it was staged."""
        try:
            return self._copy(staged, address, self._condition(spec), write, described, described["content_settings"])
        except ProviderPreconditionFailed as refused:
            try:
                self._call(self._blob(staged.address).get_blob_properties, **staged.condition)
            except ProviderPreconditionFailed:
                raise _Restaged from None
            self._raise_changed(spec, refused)

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        pin = read_handle(handle)
        if stop is not None and stop <= start:
            self.head_object(handle)
            return io.BytesIO()
        first = self._open(handle, pin, start, stop)
        if first is None:
            return io.BytesIO()
        end = first.size if stop is None else min(stop, first.size)

        def open_at(position: int) -> DownloadBody:
            found = self._open(handle, pin, position, end)
            if found is None:
                raise BlobNotFound(handle)
            return found

        is_whole = start == 0 and end == first.size
        check = first.check(functools.partial(self._doubts.accept, handle)) if is_whole else None
        return cast("BinaryIO", ResumingReader(open_at, start, end, self._retry, first=first, check=check))

    def _open(self, handle: str, pin: Pin, start: int, stop: int | None) -> DownloadBody | None:
        """The answer to one request for all bytes of a range; None if the blob ends before it."""
        length = None if stop is None else stop - start
        blob = self._blob(pin.address)

        def download() -> DownloadBody:
            try:
                blob.download_blob(offset=start, length=length, decompress=False, cls=raise_answer, **pin.condition)
            except DownloadAnswer as answer:
                return DownloadBody(answer)
            return DownloadBody(None)  # an empty blob, which the SDK knows from the refusal of any range

        try:
            found = self._call(download)
        except ProviderNotFound:
            if self.head_object(handle) <= start:
                return None
            raise BlobNotFound(handle) from None
        except ProviderPreconditionFailed:
            raise BlobNotFound(handle) from None
        return found if found.size > start else None

    def head_object(self, handle: str) -> int:
        pin = read_handle(handle)
        try:
            size: int = self._call(self._blob(pin.address).get_blob_properties, **pin.condition).size
        except (ProviderNotFound, ProviderPreconditionFailed):
            raise BlobNotFound(handle) from None
        return size

    def delete_object(self, handle: str) -> None:
        with contextlib.suppress(ContainerNotFound):  # nor is anything else there then
            self.remove(handle)

    def remove(self, handle: str) -> bool:
        pin = read_handle(handle)
        try:
            self._call(self._blob(pin.address).delete_blob, delete_snapshots="include", **pin.condition)
        except (ProviderNotFound, ProviderPreconditionFailed):
            return False
        return True

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        pin = read_handle(handle)
        try:
            source = self._call(self._blob(pin.address).get_blob_properties, **pin.condition)
        except (ProviderNotFound, ProviderPreconditionFailed):
            raise BlobNotFound(handle) from None
        address, write = self._naming.address_of(spec), secrets.token_hex(8)
        known = source.content_settings.content_md5
        notes = notes_of(source.metadata, source.size, bytes(known).hex() if known else None)
        md5 = None if known else _md5_in(spec)
        described = self._described(spec, address, write, source.size, notes.crc32c, md5)
        try:
            return self._replace_any_type(
                address,
                spec,
                lambda expected: self._copy(
                    pin, address, self._condition(expected), write, described, source.content_settings
                ),
                source.blob_type,
            )
        except ProviderNotFound:
            raise BlobNotFound(handle) from None
        except ProviderPreconditionFailed as refused:
            self.head_object(handle)  # raises if it was the source that changed
            self._raise_changed(spec, refused)

    # -- parts

    def begin_parts(self, spec: BlobSpec) -> UploadToken:
        return new_upload(self._names.own(spec.bucket)).token

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        upload = read_token(token)
        part = StagedPart(number, new_id(), 0)
        if isinstance(source, BlobRange):
            # Azure's Put Block From URL does this without us, but needs a URL that carries its own credentials, and the
            # ETag of a part is the MD5 of its bytes, which nobody else computes.
            with self.get_object(source.handle, source.start, source.stop) as reader:
                return self._stage_part(
                    upload, part, iter(lambda: reader.read(WINDOW), b""), source.stop - source.start
                )
        return self._stage_part(upload, part, source, size)

    def _stage_part(
        self, upload: ProviderUpload, part: StagedPart, chunks: Iterable[bytes], size: int | None
    ) -> StoredBlob:
        """Stage a part of as many blocks as every part may have, each while the next one comes. Blocks that are larger
        than what is held in memory are written to disk first, since a block is sent with its MD5 before it, and maybe
        again."""
        length = max(WINDOW, -(-(size or 0) // _BLOCKS_OF_A_PART))
        reader, count = HashingReader(chunks), itertools.count()

        def stage(block: bytes | BinaryIO) -> None:
            block_id = part.block_id(next(count))
            if isinstance(block, bytes):
                self._stage(upload, block_id, lambda: block, len(block))
                return
            with block as file:
                stored = file.seek(0, io.SEEK_END)
                self._stage(upload, block_id, lambda: FileBody(file, 0, stored), stored)

        with contextlib.ExitStack() as files:
            blocks: Iterable[bytes | BinaryIO] = blocks_of(reader, length)
            if length > WINDOW:
                blocks = (file for file, _is_last in files_of(reader, length, files))
            send_behind(blocks, stage)
        staged = attrs.evolve(part, blocks=next(count), crc32c=reader.crc32c)
        return StoredBlob(staged.handle, int(time.time() * 1000))

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        upload = read_token(token)
        block_ids = [one for part in parts for one in read_part(part.handle).block_ids]
        if len(block_ids) > _MAX_BLOCKS:
            raise EntityTooLarge(sum(part.size for part in parts), _MAX_BLOCKS * WINDOW)
        address, write = self._naming.address_of(spec), secrets.token_hex(8)
        staged_parts = [(read_part(part.handle).crc32c, part.size) for part in parts]
        known = [(crc32c, size) for crc32c, size in staged_parts if crc32c is not None]
        crc32c = combined_crc32c(known) if len(known) == len(parts) else None
        described = self._described(spec, address, write, sum(part.size for part in parts), crc32c, None)
        try:
            staged = self._commit(upload, block_ids, described)
            for _ in range(_COMPLETIONS):
                try:
                    return self._replace_any_type(
                        address, spec, functools.partial(self._move, staged, address, write=write, described=described)
                    )
                except _Restaged:
                    staged = self._commit_unless_equal(upload, block_ids, described)
        except ProviderNotFound:
            raise UploadNotFound(upload.name) from None
        raise ServiceUnavailable("Too many completions of this upload at once: send it again.")

    def _commit_unless_equal(
        self, upload: ProviderUpload, block_ids: Sequence[str], described: Mapping[str, Any]
    ) -> Pin:
        """After a completion by another: if it was of the same parts, what it staged is as good, and staging it anew
        would take it from under that completion."""
        blob = self._blob(upload.address)
        pin = Pin(upload.container, upload.name, self._call(blob.get_blob_properties)["etag"])
        committed, _ = self._call(blob.get_block_list, "committed")
        if [block.id for block in committed] == list(block_ids):
            return pin
        return self._commit(upload, block_ids, described)

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        # Azure removes blocks only with their blob.
        if token is not None and not handles:
            with contextlib.suppress(ContainerNotFound):
                self._end_upload(read_token(token))

    def _forget(self, upload: ProviderUpload) -> None:
        """Remove what was staged for a write that ended. If that fails the write has still ended as it did, and the
        sweep finds the rest; so it does not wait for long."""
        try:
            with self._retry.within(_FORGET_SECONDS):
                self._end_upload(upload)
        except (AccessDenied, SlowDown, ServiceUnavailable, ProviderRefused) as error:
            _log.warning("what was staged at %s is left for the sweep: %s", upload.name, error)

    def _end_upload(self, upload: ProviderUpload) -> None:
        """Remove a staged blob. One that was never committed cannot be deleted, but a blob that replaces it can."""
        blob = self._blob(upload.address)
        try:
            self._call(blob.delete_blob)
        except ProviderNotFound:
            folder = self._pages(upload.address, include=("uncommittedblobs",))
            if any(found.name == upload.name for _, found in folder):
                self._call(blob.commit_block_list, [])
                with contextlib.suppress(ProviderNotFound):
                    self._call(blob.delete_blob)

    def recover(self) -> None:
        """What was being staged when a process died is found by the sweep."""


def _deleting(container: Any) -> BlobLeaseClient:
    """The lease of whoever deletes a container, of an id that all know; anybody else's is left alone."""
    return BlobLeaseClient(container, lease_id=str(uuid.uuid5(uuid.NAMESPACE_URL, container.url)))


class _Restaged(Exception):
    """Another completion of the same upload came between."""


def _md5_in(spec: BlobSpec) -> bytes | None:
    """The MD5 of the bytes, if the ETag of what is written is that."""
    etag = "" if spec.etag is None else spec.etag()
    return bytes.fromhex(etag) if _MD5.fullmatch(etag) else None
