"""The verbs of a storage backend, as requests to S3."""

from __future__ import annotations

import abc
import base64
import contextlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast
from urllib.parse import urlencode

import attrs
from botocore.exceptions import ClientError, FlexibleChecksumError, ParamValidationError

from bleepstore.backends.aws.errors import (
    PROVIDER,
    ContainerNotFound,
    ProviderNotFound,
    ProviderPreconditionFailed,
)
from bleepstore.backends.aws.listing import AwsListing
from bleepstore.backends.aws.pins import (
    CODEC,
    SYSTEM,
    Pin,
    ProviderUpload,
    bare,
    is_md5,
    notes_of,
    read_handle,
    read_token,
    version_of,
    write_of,
)
from bleepstore.backends.base import BlobId, BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.backends.gateway.bodies import IN_MEMORY, BufferedBody, buffered
from bleepstore.backends.gateway.names import Address
from bleepstore.backends.gateway.streams import Check, Crc32c, Md5, ResumingReader
from bleepstore.errors import (
    BlobChanged,
    BlobNotFound,
    BucketAlreadyExists,
    InvalidBucketName,
    ServiceUnavailable,
    UploadNotFound,
)
from bleepstore.model import UploadToken

_log = logging.getLogger("bleepstore.gateway")

#: A source of at most this many bytes cannot be copied in ranges.
_MIN_RANGE = 5 * 1024 * 1024


class AwsBackend(AwsListing, abc.ABC):
    """What both layouts share: see `bleepstore.backends.aws.layouts`."""

    # -- buckets

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        if self._settings.container is not None:
            return
        container = self._names.container_of(bucket)
        parameters: dict[str, Any] = {"Bucket": container}
        region: str = self._client.meta.region_name
        if region != "us-east-1":
            parameters["CreateBucketConfiguration"] = {"LocationConstraint": region}

        def create() -> bool:
            try:
                self._client.create_bucket(**parameters)
            except ParamValidationError as error:
                raise InvalidBucketName(bucket, f"{PROVIDER} does not take this name: {error}") from None
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "InvalidBucketName":
                    raise InvalidBucketName(bucket, f"{PROVIDER} does not take this name.") from None
                if code == "BucketAlreadyExists":  # another customer's
                    raise BucketAlreadyExists(bucket) from None
                if code != "BucketAlreadyOwnedByYou":
                    raise
                return False
            return region != "us-east-1"  # where S3 answers so too for a bucket that one has already

        is_new = self._retry.run(create)
        self._claims.claim_bucket(bucket, is_new=is_new or known)

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        if self._settings.container is not None:
            return True
        container, file = self._names.container_of(bucket), self._claims.address(bucket)
        try:
            left = self._call("list_objects_v2", Bucket=container, MaxKeys=2).get("Contents", [])
            is_emptied = self._claims.is_emptied(bucket, [found["Key"] for found in left])
            if not is_emptied:
                return is_emptied is None
            self._call("delete_object", Bucket=container, Key=file.name)
            if self._retry.run(lambda: self._delete_container(container)):
                return True
            if not self._is_empty(container):
                return False
            _log.warning("the bucket %s of the storage is left: there are old versions in it", container)
            return True
        except ContainerNotFound:
            return True

    def _delete_container(self, container: str) -> bool:
        """S3 refuses it if something came into it since."""
        try:
            self._client.delete_bucket(Bucket=container)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            return False
        return True

    # -- what goes with an object

    def _address(self, spec: BlobSpec) -> tuple[Address, str]:
        """Where a new blob goes, and the number of its write."""
        address = self._naming.address_of(spec)
        return address, self._new_write(address)

    @abc.abstractmethod
    def _new_write(self, address: Address) -> str:
        """A number that tells this write from all others of that name."""

    def _described(self, spec: BlobSpec, address: Address, write: str, known: _Bytes | None) -> dict[str, Any]:
        """The parameters of a request that makes an object. `known` is None before all bytes were seen."""
        with_key = not self._naming.is_native(spec.bucket, address.name)
        notes: dict[str, Any] = {}
        if known is not None:
            notes = {"crc32c": known.crc32c, "size": known.size, "of": known.etags}
            notes["etag"] = None if spec.etag is None else spec.etag()
        parameters: dict[str, Any] = {
            "Bucket": address.container,
            "Key": address.name,
            "Metadata": CODEC.encode(spec, write=write, with_key=with_key, with_tags=not self.keeps_tags, **notes),
        }
        if spec.attributes.tags and self.keeps_tags:
            parameters["Tagging"] = urlencode(spec.attributes.tags)
        for name, text in CODEC.native(spec.attributes.system).items():
            parameters[SYSTEM[name]] = text
        return parameters

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        """The parameters that make a write depend on what it replaces."""
        return {}

    @abc.abstractmethod
    def _stored(self, pin: Pin) -> StoredBlob:
        """What a write returns."""

    # -- objects

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        address, write = self._address(spec)
        with buffered(chunks, IN_MEMORY, spec.etag) as body:
            known = _Bytes(body.size, body.crc32c, (body.md5,))
            parameters = self._described(spec, address, write, known) | self._condition(spec)
            try:
                answer = self._send("put_object", body, **parameters)
            except (ProviderNotFound, ProviderPreconditionFailed) as refused:
                return self._written(spec, address, write, refused)
        return self._finished(address, write, answer, body.md5)

    def _send(self, operation: str, body: BufferedBody, **parameters: Any) -> Any:
        """The answer to a request with a body, which S3 refuses if it comes with another MD5."""
        parameters |= {"ContentLength": body.size, "ContentMD5": base64.b64encode(bytes.fromhex(body.md5)).decode()}
        call = getattr(self._client, operation)
        return self._retry.run(lambda: call(Body=body.body(), **parameters), sends=True)

    def _written(self, spec: BlobSpec, address: Address, write: str, refused: Exception) -> StoredBlob:
        """What is stored there, if it is of this write of ours: a request whose answer was lost had been carried
        out."""
        pin = self._find_write(address, write)
        if pin is None:
            raise BlobChanged(spec.bucket, spec.key) from refused
        return self._stored(pin)

    def _find_write(self, address: Address, write: str) -> Pin | None:
        try:
            head = self._head(Bucket=address.container, Key=address.name)
        except ProviderNotFound:
            return None
        if write_of(head) != write:
            return None
        return Pin(address.container, address.name, bare(head["ETag"]), write, version_of(head))

    def _finished(self, address: Address, write: str, answer: Mapping[str, Any], md5: str) -> StoredBlob:
        etag = bare(answer["ETag"])
        pin = Pin(address.container, address.name, etag, write, version_of(answer))
        if is_md5(etag, answer) and etag != md5:
            self.delete_object(pin.handle)
            raise ServiceUnavailable(f"{PROVIDER} stored bytes with the MD5 {etag}; sent were {md5}. Send it again.")
        return self._stored(pin)

    # -- reading

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        pin = read_handle(handle)
        if stop is not None and stop <= start:
            self.head_object(handle)
            return io.BytesIO()

        def open_at(position: int, address: Mapping[str, Any]) -> dict[str, Any]:
            span = {"Range": f"bytes={position}-{'' if stop is None else stop - 1}"}
            ranged = span if position or stop is not None else {}
            answer: dict[str, Any] = self._call("get_object", **{**pin.named, **address, **ranged})
            if not pin.is_in(answer):
                answer["Body"].close()
                raise ProviderPreconditionFailed
            return answer

        def stream_at(position: int) -> Any:
            try:
                return open_at(position, pin.address)["Body"]
            except (ProviderNotFound, ProviderPreconditionFailed):
                raise BlobNotFound(handle) from None

        try:
            first = open_at(start, {})
        except (ProviderNotFound, ProviderPreconditionFailed):
            if stop is None and start and self.head_object(handle) <= start:
                return io.BytesIO()
            raise BlobNotFound(handle) from None
        end = start + first["ContentLength"]
        body, check = first["Body"], None
        if start == 0 and first.get("ContentRange", "").rpartition("/")[2] in ("", str(end)):
            body, check = _Validated(body, end), _check_of(first, end)
        return cast("BinaryIO", ResumingReader(stream_at, start, end, self._retry, first=body, check=check))

    def head_object(self, handle: str) -> int:
        pin = read_handle(handle)
        try:
            head = self._head(**pin.named)
        except (ProviderNotFound, ProviderPreconditionFailed):
            raise BlobNotFound(handle) from None
        if not pin.is_in(head):
            raise BlobNotFound(handle)
        size: int = head["ContentLength"]
        return size

    def delete_object(self, handle: str) -> None:
        with contextlib.suppress(ContainerNotFound):  # nor is anything else there then
            self.remove(handle)

    def remove(self, handle: str) -> bool:
        pin = read_handle(handle)
        try:
            self._delete(handle, pin)
        except (BlobNotFound, ProviderNotFound, ProviderPreconditionFailed):
            return False
        return True

    @abc.abstractmethod
    def _delete(self, handle: str, pin: Pin) -> None:
        """Raises BlobNotFound, or what the provider says, if it is not there."""

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        source = read_handle(handle)
        address, write = self._address(spec)
        # Amazon gives a copy of what was uploaded in parts another ETag.
        etags = (source.etag,) if is_md5(source.etag, {}) else ()
        described = self._described(spec, address, write, _Bytes(spec.size, None, etags))
        parameters = {**described, **self._condition(spec), "MetadataDirective": "REPLACE"}
        if self.keeps_tags:
            parameters["TaggingDirective"] = "REPLACE"
        parameters |= self._source(handle)
        try:
            answer = self._call("copy_object", **parameters)
        except (ProviderNotFound, ProviderPreconditionFailed) as refused:
            self.head_object(handle)  # raises if it was the source that changed
            return self._written(spec, address, write, refused)
        copied = bare(answer["CopyObjectResult"]["ETag"])
        return self._stored(Pin(address.container, address.name, copied, write, version_of(answer)))

    def _source(self, handle: str) -> dict[str, Any]:
        """The parameters of a copy."""
        pin = read_handle(handle)
        return {"CopySource": pin.address, "CopySourceIfMatch": f'"{pin.etag}"'}

    # -- parts

    def begin_parts(self, spec: BlobSpec) -> UploadToken:
        address, write = self._address(spec)
        answer = self._call("create_multipart_upload", **self._described(spec, address, write, None))
        return ProviderUpload(address.container, address.name, answer["UploadId"], write).token

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        parameters = read_token(token).address | {"PartNumber": number}
        if isinstance(source, BlobRange):
            return self._copy_part(parameters, source, new_id)
        with buffered(source, IN_MEMORY) as body:
            return self._send_part(parameters, body, new_id)

    def _send_part(self, parameters: Mapping[str, Any], body: BufferedBody, new_id: Callable[[], BlobId]) -> StoredBlob:
        try:
            answer = self._send("upload_part", body, **parameters)
        except ProviderNotFound as missing:
            raise UploadNotFound(parameters["UploadId"]) from missing
        etag = bare(answer["ETag"])
        if is_md5(etag, answer) and etag != body.md5:
            raise ServiceUnavailable(
                f"{PROVIDER} stored a part with the MD5 {etag}; sent were {body.md5}. Send it again."
            )
        return self._stored_part(parameters["PartNumber"], etag, new_id())

    def _copy_part(self, parameters: dict[str, Any], source: BlobRange, new_id: Callable[[], BlobId]) -> StoredBlob:
        length = source.stop - source.start
        if length > _MIN_RANGE:
            parameters |= {"CopySourceRange": f"bytes={source.start}-{source.stop - 1}"}
        elif self.head_object(source.handle) > length:
            # "You can copy a range only if the source object is greater than 5 MB"; a range as small as this may be of
            # such a source, and passes through this process.
            with self.get_object(source.handle, source.start, source.stop) as reader:
                body = reader.read()
            with buffered([body], IN_MEMORY) as small:
                return self._send_part(parameters, small, new_id)
        try:
            answer = self._on_blob(source.handle, "upload_part_copy", **self._source(source.handle), **parameters)
        except BlobNotFound:
            self.head_object(source.handle)  # raises if it is the source that is gone
            raise UploadNotFound(parameters["UploadId"]) from None
        etag = bare(answer["CopyPartResult"]["ETag"])
        md5 = etag if is_md5(etag, answer) else None
        return attrs.evolve(self._stored_part(parameters["PartNumber"], etag, new_id()), md5=md5)

    def _stored_part(self, number: int, etag: str, blob_id: BlobId) -> StoredBlob:
        # The id makes the handle of a part that is sent again with the same bytes another one.
        handle = json.dumps([number, etag, blob_id], separators=(",", ":"))
        return StoredBlob(handle, int(time.time() * 1000))

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        upload = read_token(token)
        address = Address(upload.container, upload.name)
        listed = [dict(zip(("PartNumber", "ETag"), json.loads(part.handle)[:2], strict=True)) for part in parts]
        condition = self._condition(spec)
        try:
            answer = self._call(
                "complete_multipart_upload", **upload.address, **condition, MultipartUpload={"Parts": listed}
            )
        except (ProviderNotFound, ProviderPreconditionFailed) as refused:
            # A request whose answer was lost, or a process that died, may have completed it.
            pin = self._find_write(address, upload.write)
            if pin is None and (isinstance(refused, ProviderPreconditionFailed) or refused.code == "NoSuchKey"):
                raise BlobChanged(spec.bucket, spec.key) from refused
            if pin is None:
                raise UploadNotFound(upload.upload_id) from None
        else:
            pin = Pin(upload.container, upload.name, bare(answer["ETag"]), upload.write, version_of(answer))
        return self._stored(pin)

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        # S3 removes parts only with their upload, at its completion or its end.
        if token is not None and not handles:
            with contextlib.suppress(ContainerNotFound):
                self._abort(read_token(token))

    def _abort(self, upload: ProviderUpload) -> None:
        with contextlib.suppress(ProviderNotFound):
            self._call("abort_multipart_upload", **upload.address)

    def recover(self) -> None:
        """A write that was cut off left nothing: S3 stores an object when it has all of it."""


@attrs.frozen
class _Bytes:
    """What is known of all bytes of a write, and the ETags that S3 may give them, before it is told to store them."""

    size: int | None
    crc32c: str | None
    etags: tuple[str, ...]


class _Validated:
    """The body of a whole object of `left` bytes, to whose end the SDK compares the checksum that S3 sent along. What
    fails then must not be asked for again from where it ended."""

    def __init__(self, body: Any, left: int) -> None:
        self._body = body
        self._left = left

    def read(self, size: int, /) -> bytes:
        data: bytes = self._body.read(size)
        self._left -= len(data)
        if data and self._left == 0:
            try:
                self._body.read(1)
            except FlexibleChecksumError as error:
                raise ServiceUnavailable(f"{PROVIDER} sent other bytes than it has. Read it again. ({error})") from None
        return data

    def close(self) -> None:
        self._body.close()


def _check_of(head: Mapping[str, Any], size: int) -> Check | None:
    """What all bytes must have: what we noted of them, or what the ETag says."""
    notes = notes_of(head, size)
    if notes.crc32c is not None and notes.of and bare(head["ETag"]) in notes.of:
        return Check(Crc32c(), notes.crc32c)
    etag = bare(head["ETag"])
    return Check(Md5(), etag) if is_md5(etag, head) else None
