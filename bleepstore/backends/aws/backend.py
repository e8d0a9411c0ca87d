"""The verbs of a storage backend, as requests to S3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import logging
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NoReturn, cast

import attrs
from botocore.exceptions import ClientError

from bleepstore.backends.aws.errors import PROVIDER, Gone, Unequal, client_error_meaning
from bleepstore.backends.aws.listing import AwsListing
from bleepstore.backends.aws.pins import (
    CODEC,
    SYSTEM,
    Pin,
    Upload,
    bare,
    new_write,
    read_handle,
    read_token,
    to_ms,
    version_of,
)
from bleepstore.backends.base import BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.backends.gateway.names import OWN, Place
from bleepstore.backends.gateway.streams import ChunkReader, ResumingReader, chained, head_of
from bleepstore.errors import BlobChanged, BlobNotFound, ServiceUnavailable

_log = logging.getLogger("bleepstore.gateway")

#: Bodies up to this many bytes are sent from memory, so that they can be sent again.
_IN_MEMORY = 8 * 1024 * 1024
_SPOOL = 1024 * 1024
#: A source of at most this many bytes cannot be copied in ranges.
_LEAST_RANGE = 5 * 1024 * 1024
_MD5 = re.compile("[0-9a-f]{32}")


class AwsBackend(AwsListing):
    """See `bleepstore.backends.base`."""

    # -- buckets

    def create_bucket(self, bucket: str) -> None:
        if self._settings.container is not None:
            return
        container = self._names.container_of(bucket)
        parameters: dict[str, Any] = {"Bucket": container}
        region = self._client.meta.region_name
        if region != "us-east-1":
            parameters["CreateBucketConfiguration"] = {"LocationConstraint": region}

        def create() -> None:
            try:
                self._client.create_bucket(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
                    raise

        self._retry.run(create)

    def delete_bucket(self, bucket: str) -> None:
        if self._settings.container is not None:
            return
        container = self._names.container_of(bucket)
        with contextlib.suppress(Gone):
            own = [found["Key"] for found in self._list(Place(container, OWN))]
            others = self._call("list_objects_v2", Bucket=container, MaxKeys=len(own) + 1).get("KeyCount", 0) > len(own)
            if others:
                _log.warning("the bucket %s of the storage is left: others have objects in it", container)
                return
            for name in own:
                self._call("delete_object", Bucket=container, Key=name)
            self._call("delete_bucket", Bucket=container)

    # -- what goes with an object

    def _place(self, bucket: str, key: str) -> tuple[Place, str]:
        """Where a new blob goes, and the number of its write."""
        if self.own_names:
            return self._names.of_key(bucket, key), new_write()
        place = self._names.new_blob(bucket)
        return place, new_write(place.name)

    def _described(self, spec: BlobSpec, place: Place, write: str, etag: str | None) -> dict[str, Any]:
        """The parameters of a request that makes an object."""
        located = not self.own_names or self._names.is_named_by_digest(spec.bucket, place.name)
        parameters: dict[str, Any] = {
            "Bucket": place.container,
            "Key": place.name,
            "Metadata": CODEC.encode(spec, write=write, etag=etag, place=located),
        }
        for name, text in CODEC.native(spec.system).items():
            parameters[SYSTEM[name]] = text
        return parameters

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        if spec.only_over is None or not self.own_names:
            return {}
        if spec.only_over.handle is None:
            return {"IfNoneMatch": "*"}
        return {"IfMatch": f'"{read_handle(spec.only_over.handle).etag}"'}

    def _raise_changed(self, spec: BlobSpec, refused: Exception) -> NoReturn:
        """A condition was refused; also by 404, if what was to be replaced is gone."""
        raise BlobChanged(spec.bucket, spec.key) from refused

    def _stored(self, pin: Pin) -> StoredBlob:
        """What a write returns. The sweep asks for the provider's time only of blobs that do not lie under a key."""
        if self.own_names:
            return StoredBlob(pin.handle, int(time.time() * 1000))
        head = self._on_blob(pin.handle, "head_object", **pin.address)
        return StoredBlob(pin.handle, to_ms(head["LastModified"]))

    # -- objects

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        head, rest = head_of(chunks, _IN_MEMORY)
        place, write = self._place(spec.bucket, spec.key)
        if rest is None:
            return self._put_bytes(spec, place, write, head)
        if spec.size is None:
            with tempfile.TemporaryFile() as spool:
                size = _spool(spool, chained(head, rest))
                return self._put_stream(attrs.evolve(spec, size=size), place, write, _pieces(spool))
        return self._put_stream(spec, place, write, chained(head, rest))

    def _put_bytes(self, spec: BlobSpec, place: Place, write: str, body: bytes) -> StoredBlob:
        etag = None if spec.etag is None else spec.etag()
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        parameters = self._described(spec, place, write, etag) | self._condition(spec)
        sent: list[bool] = []

        def put() -> Any:
            again = bool(sent)
            sent.append(True)
            try:
                return self._client.put_object(Body=body, ContentMD5=base64.b64encode(digest).decode(), **parameters)
            except ClientError as error:
                if (
                    again
                    and isinstance(client_error_meaning(error), Unequal)
                    and (pin := self._find_write(place, write))
                ):
                    # The first request, whose answer was lost, had done it.
                    return {"ETag": pin.etag, "VersionId": pin.version}
                raise

        try:
            answer = self._retry.run(put)
        except (Gone, Unequal) as refused:
            self._raise_changed(spec, refused)
        return self._finished(place, write, answer, digest.hex())

    def _put_stream(self, spec: BlobSpec, place: Place, write: str, chunks: Iterable[bytes]) -> StoredBlob:
        digest = hashlib.md5(usedforsecurity=False)
        reader = ChunkReader(_digested(chunks, digest.update), spec.size)
        parameters = self._described(spec, place, write, None) | self._condition(spec)
        try:
            answer = self._call("put_object", repeatable=False, Body=reader, ContentLength=spec.size, **parameters)
        except (Gone, Unequal) as refused:
            self._raise_changed(spec, refused)
        except Exception:
            if reader.failure is not None:
                raise reader.failure from None
            raise
        return self._finished(place, write, answer, digest.hexdigest())

    def _find_write(self, place: Place, write: str) -> Pin | None:
        """What lies there, if it is of this write of ours."""
        try:
            head = self._call("head_object", Bucket=place.container, Key=place.name)
        except Gone:
            return None
        if CODEC.decode(head.get("Metadata")).write != write:
            return None
        return Pin(place.container, place.name, bare(head["ETag"]), write, version_of(head))

    def _finished(self, place: Place, write: str, answer: Mapping[str, Any], md5: str) -> StoredBlob:
        etag = bare(answer["ETag"])
        pin = Pin(place.container, place.name, etag, write, version_of(answer))
        if _is_md5(etag, answer) and etag != md5:
            self.delete_object(pin.handle)
            raise ServiceUnavailable(f"{PROVIDER} stored bytes with the MD5 {etag}; sent were {md5}. Send it again.")
        return self._stored(pin)

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        pin = read_handle(handle)
        if stop is not None and stop <= start:
            self.head_object(handle)
            return io.BytesIO()

        def open_at(position: int) -> dict[str, Any]:
            parameters = pin.address | {"IfMatch": f'"{pin.etag}"'}
            if position or stop is not None:
                parameters["Range"] = f"bytes={position}-{'' if stop is None else stop - 1}"
            answer: dict[str, Any] = self._call("get_object", **parameters)
            if CODEC.decode(answer.get("Metadata")).write != (pin.write or None):
                answer["Body"].close()
                raise Unequal
            return answer

        def stream_at(position: int) -> Any:
            try:
                return open_at(position)["Body"]
            except (Gone, Unequal):
                raise BlobNotFound(handle) from None

        try:
            first = open_at(start)
        except (Gone, Unequal):
            if stop is None and start and self.head_object(handle) <= start:
                return io.BytesIO()
            raise BlobNotFound(handle) from None
        end = start + first["ContentLength"]
        reader = ResumingReader(stream_at, start, end, self._retry, first=first["Body"])
        return cast("BinaryIO", reader)

    def head_object(self, handle: str) -> int:
        pin = read_handle(handle)
        head = self._on_blob(handle, "head_object", **pin.address, IfMatch=f'"{pin.etag}"')
        if CODEC.decode(head.get("Metadata")).write != (pin.write or None):
            raise BlobNotFound(handle)
        size: int = head["ContentLength"]
        return size

    def delete_object(self, handle: str) -> None:
        self.remove(handle)

    def remove(self, handle: str) -> bool:
        if handle.startswith("{"):
            self._abort(read_token(handle))
            return True
        pin = read_handle(handle)
        try:
            if not self.own_names:
                self._call("delete_object", **pin.address)
                return True
            self.head_object(handle)
            # In a bucket with versions this adds a delete marker: what was there before must not come back.
            self._call("delete_object", Bucket=pin.container, Key=pin.name, IfMatch=f'"{pin.etag}"')
        except (BlobNotFound, Gone, Unequal):
            return False
        return True

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        source = read_handle(handle)
        place, write = self._place(spec.bucket, spec.key)
        etag = None if spec.etag is None else spec.etag()
        parameters = self._described(spec, place, write, etag) | self._condition(spec)
        parameters |= {"CopySource": source.address, "CopySourceIfMatch": f'"{source.etag}"'}
        try:
            answer = self._call("copy_object", MetadataDirective="REPLACE", **parameters)
        except (Gone, Unequal) as refused:
            self.head_object(handle)  # raises if it was the source that changed
            self._raise_changed(spec, refused)
        copied = answer["CopyObjectResult"]["ETag"]
        return self._stored(Pin(place.container, place.name, bare(copied), write, version_of(answer)))

    # -- parts

    def begin_parts(self, spec: BlobSpec) -> str:
        place, write = self._place(spec.bucket, spec.key)
        answer = self._call("create_multipart_upload", **self._described(spec, place, write, None))
        return Upload(place.container, place.name, answer["UploadId"], write).token

    def put_part(
        self, token: str, number: int, source: Iterable[bytes] | BlobRange, size: int | None = None
    ) -> StoredBlob:
        upload = read_token(token)
        parameters = upload.address | {"PartNumber": number}
        if isinstance(source, BlobRange):
            return self._copy_part(parameters, source)
        head, rest = head_of(source, _IN_MEMORY)
        if rest is None:
            return self._send_part(parameters, head)
        if size is not None:
            return self._stream_part(parameters, chained(head, rest), size)
        with tempfile.TemporaryFile() as spool:
            length = _spool(spool, chained(head, rest))
            return self._stream_part(parameters, _pieces(spool), length)

    def _send_part(self, parameters: dict[str, Any], body: bytes) -> StoredBlob:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        try:
            checked = base64.b64encode(digest).decode()
            answer = self._call("upload_part", Body=body, ContentMD5=checked, **parameters)
        except Gone as gone:
            raise _lost_upload(gone) from None
        return self._checked_part(parameters["PartNumber"], answer, digest.hex())

    def _stream_part(self, parameters: dict[str, Any], chunks: Iterable[bytes], size: int) -> StoredBlob:
        digest = hashlib.md5(usedforsecurity=False)
        reader = ChunkReader(_digested(chunks, digest.update), size)
        try:
            answer = self._call("upload_part", repeatable=False, Body=reader, ContentLength=size, **parameters)
        except Gone as gone:
            raise _lost_upload(gone) from None
        except Exception:
            if reader.failure is not None:
                raise reader.failure from None
            raise
        return self._checked_part(parameters["PartNumber"], answer, digest.hexdigest())

    def _checked_part(self, number: int, answer: Mapping[str, Any], md5: str) -> StoredBlob:
        etag = bare(answer["ETag"])
        if _is_md5(etag, answer) and etag != md5:
            raise ServiceUnavailable(f"{PROVIDER} stored a part with the MD5 {etag}; sent were {md5}. Send it again.")
        return self._stored_part(number, etag)

    def _copy_part(self, parameters: dict[str, Any], source: BlobRange) -> StoredBlob:
        pin = read_handle(source.handle)
        length = source.stop - source.start
        if length > _LEAST_RANGE:
            parameters |= {"CopySourceRange": f"bytes={source.start}-{source.stop - 1}"}
        elif self.head_object(source.handle) > length:
            # "You can copy a range only if the source object is greater than 5 MB"; a range as small as this may be of
            # such a source, and passes through this process.
            with self.get_object(source.handle, source.start, source.stop) as reader:
                body = reader.read()
            return self._send_part(parameters, body)
        answer = self._on_blob(
            source.handle,
            "upload_part_copy",
            CopySource=pin.address,
            CopySourceIfMatch=f'"{pin.etag}"',
            **parameters,
        )
        etag = bare(answer["CopyPartResult"]["ETag"])
        md5 = etag if _is_md5(etag, answer) else None
        return attrs.evolve(self._stored_part(parameters["PartNumber"], etag), md5=md5)

    def _stored_part(self, number: int, etag: str) -> StoredBlob:
        # The write's own number makes the handle of a part that is sent again with the same bytes another one.
        handle = json.dumps([number, etag, secrets.token_hex(4)], separators=(",", ":"))
        return StoredBlob(handle, int(time.time() * 1000))

    def assemble_parts(self, token: str, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        upload = read_token(token)
        place = Place(upload.container, upload.name)
        listed = [dict(zip(("PartNumber", "ETag"), json.loads(part.handle)[:2], strict=True)) for part in parts]
        condition = self._condition(spec)
        try:
            answer = self._call(
                "complete_multipart_upload", **upload.address, **condition, MultipartUpload={"Parts": listed}
            )
        except (Gone, Unequal) as refused:
            # A request whose answer was lost, or a process that died, may have completed it.
            pin = self._find_write(place, upload.write)
            if pin is None and (isinstance(refused, Unequal) or refused.code == "NoSuchKey"):
                self._raise_changed(spec, refused)
            if pin is None:
                raise BlobNotFound(token) from None
        else:
            pin = Pin(upload.container, upload.name, bare(answer["ETag"]), upload.write, version_of(answer))
        return self._stored(pin)

    def delete_parts(self, token: str, handles: Sequence[str]) -> None:
        # S3 removes parts only with their upload, at its completion or its end.
        if token and not handles:
            self._abort(read_token(token))

    def _abort(self, upload: Upload) -> None:
        with contextlib.suppress(Gone):
            self._call("abort_multipart_upload", **upload.address)

    def recover(self) -> None:
        """A write that was cut off left nothing: S3 stores an object when it has all of it."""


def _lost_upload(gone: Gone) -> ServiceUnavailable:
    return ServiceUnavailable(f"The storage provider no longer has this upload, abort it and start another: {gone}")


def _is_md5(etag: str, answer: Mapping[str, Any]) -> bool:
    """Whether an ETag is the MD5 of the bytes, which it is not where a key of the customer's encrypts them."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer
    return _MD5.fullmatch(etag) is not None and not encrypted


def _digested(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _spool(file: Any, chunks: Iterable[bytes]) -> int:
    """Write all bytes to a file, for S3 asks for the length before the first of them."""
    size = sum(file.write(chunk) for chunk in chunks)
    file.seek(0)
    return int(size)


def _pieces(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(_SPOOL), b"")
