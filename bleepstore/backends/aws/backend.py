"""The verbs of a storage backend, as requests to S3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

import attrs
from botocore.exceptions import ClientError, FlexibleChecksumError, ParamValidationError

from bleepstore.backends.aws.errors import PROVIDER, Gone, Unequal
from bleepstore.backends.aws.listing import AwsListing
from bleepstore.backends.aws.pins import (
    CODEC,
    STAGING,
    SYSTEM,
    Pin,
    Upload,
    bare,
    is_md5,
    new_write,
    notes_of,
    read_handle,
    read_token,
    stored_ms,
    version_of,
)
from bleepstore.backends.base import BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.backends.gateway.names import OWN, Place
from bleepstore.backends.gateway.streams import Check, Crc32c, Md5, ResumingReader, blocks_of, head_of
from bleepstore.errors import (
    AccessDenied,
    BlobChanged,
    BlobNotFound,
    BucketAlreadyExists,
    InvalidBucketName,
    ServiceUnavailable,
    SlowDown,
)

_log = logging.getLogger("bleepstore.gateway")

#: Up to so many bytes go in one request, from memory, so that they can be sent again; at least the 5 MiB of a part.
_IN_MEMORY = 8 * 1024 * 1024
#: A source of at most this many bytes cannot be copied in ranges.
_LEAST_RANGE = 5 * 1024 * 1024


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

    def _described(self, spec: BlobSpec, place: Place, write: str, known: _Bytes | None) -> dict[str, Any]:
        """The parameters of a request that makes an object. `known` is None before all bytes were seen."""
        located = not self.own_names or self._names.is_named_by_digest(spec.bucket, place.name)
        noted: dict[str, Any] = {}
        if known is not None:
            noted = {"crc32c": known.crc32c, "size": known.size, "of": known.etags}
            noted["etag"] = None if spec.etag is None else spec.etag()
        parameters: dict[str, Any] = {
            "Bucket": place.container,
            "Key": place.name,
            "Metadata": CODEC.encode(spec, write=write, place=located, **noted),
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

    def _stored(self, pin: Pin) -> StoredBlob:
        """What a write returns. The sweep asks for the provider's time only of blobs that do not lie under a key."""
        if self.own_names:
            return StoredBlob(pin.handle, int(time.time() * 1000))
        head = self._on_blob(pin.handle, "head_object", **pin.address)
        return StoredBlob(pin.handle, stored_ms(head))

    # -- objects

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        body, rest = head_of(chunks, _IN_MEMORY)
        place, write = self._place(spec.bucket, spec.key)
        if rest is None:
            return self._put_bytes(spec, place, write, body)
        with self._staged(self._names.own(spec.bucket), rest) as staged:
            described = self._described(spec, place, write, staged)
            try:
                return self._copy(staged.pin, spec, place, write, described, staged.md5)
            except BlobChanged as changed:
                if spec.only_over is not None:
                    raise
                raise _lost_upload(changed) from None

    def _put_bytes(self, spec: BlobSpec, place: Place, write: str, body: bytes) -> StoredBlob:
        crc = Crc32c()
        crc.update(body)
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        known = _Bytes(len(body), digest.hex(), crc.text, (digest.hex(),))
        parameters = self._described(spec, place, write, known) | self._condition(spec)
        checked = base64.b64encode(digest).decode()
        try:
            answer = self._call("put_object", Body=body, ContentMD5=checked, **parameters)
        except (Gone, Unequal) as refused:
            return self._written(spec, place, write, refused)
        return self._finished(place, write, answer, digest.hex())

    def _written(self, spec: BlobSpec, place: Place, write: str, refused: Exception) -> StoredBlob:
        """What lies there, if it is of this write of ours: a request whose answer was lost had been carried out."""
        pin = self._find_write(place, write)
        if pin is None:
            raise BlobChanged(spec.bucket, spec.key) from refused
        return self._stored(pin)

    def _find_write(self, place: Place, write: str) -> Pin | None:
        try:
            head = self._call("head_object", Bucket=place.container, Key=place.name)
        except Gone:
            return None
        if CODEC.decode(head.get("Metadata")).write != write:
            return None
        return Pin(place.container, place.name, bare(head["ETag"]), write, version_of(head))

    def _finished(self, place: Place, write: str, answer: Mapping[str, Any], md5: str | None) -> StoredBlob:
        etag = bare(answer["ETag"])
        pin = Pin(place.container, place.name, etag, write, version_of(answer))
        if md5 is not None and is_md5(etag, answer) and etag != md5:
            self.delete_object(pin.handle)
            raise ServiceUnavailable(f"{PROVIDER} stored bytes with the MD5 {etag}; sent were {md5}. Send it again.")
        return self._stored(pin)

    # -- bodies of more than one request

    @contextlib.contextmanager
    def _staged(self, own: Place, chunks: Iterable[bytes]) -> Iterator[_Staged]:
        """An object in our `own` folder with these bytes, until the block ends.

        A body that does not fit in memory is sent in parts, each with its MD5 and again if need be. S3 puts them
        together there, so that what lies under the key is replaced only by a whole and checked body, whose ETag is
        known by then.
        """
        address = {"Bucket": own.container, "Key": f"{own.name}{STAGING}{self._names.new_token()}"}
        upload = {"UploadId": self._call("create_multipart_upload", **address)["UploadId"]}
        try:
            known, listed = self._send_blocks(address | upload, chunks)
            staged = self._join(address, upload, known, listed)
        except BaseException:
            self._clean("abort_multipart_upload", **address, **upload)
            raise
        try:
            yield staged
        finally:
            self._clean("delete_object", **staged.pin.address)

    def _send_blocks(self, upload: Mapping[str, Any], chunks: Iterable[bytes]) -> tuple[_Bytes, list[dict[str, Any]]]:
        whole, crc = hashlib.md5(usedforsecurity=False), Crc32c()
        size = 0
        listed: list[dict[str, Any]] = []
        for block in blocks_of(chunks, _IN_MEMORY):  # `enumerate` would hold each until it has the next
            number = len(listed) + 1
            listed.append({"PartNumber": number, "ETag": self._send_part(upload, number, block)})
            whole.update(block)
            crc.update(block)
            size += len(block)
            del block
        return _Bytes(size, whole.hexdigest(), crc.text, (whole.hexdigest(),)), listed

    def _send_part(self, upload: Mapping[str, Any], number: int, body: bytes) -> str:
        """The ETag of a part that was sent from memory."""
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        checked = base64.b64encode(digest).decode()
        try:
            answer = self._call("upload_part", Body=body, ContentMD5=checked, PartNumber=number, **upload)
        except Gone as gone:
            raise _lost_upload(gone) from None
        return _checked_etag(answer, answer, digest.hex())

    def _join(
        self, address: Mapping[str, Any], upload: Mapping[str, Any], known: _Bytes, listed: list[dict[str, Any]]
    ) -> _Staged:
        try:
            parts = {"Parts": listed}
            answer = self._call("complete_multipart_upload", **address, **upload, MultipartUpload=parts)
        except Gone as gone:
            try:  # a request whose answer was lost had been carried out
                answer = self._call("head_object", **address)
            except Gone:
                raise _lost_upload(gone) from None
        pin = Pin(address["Bucket"], address["Key"], bare(answer["ETag"]), "", version_of(answer))
        return _Staged(**attrs.asdict(attrs.evolve(known, etags=(*known.etags, pin.etag))), pin=pin)

    def _clean(self, operation: str, /, **parameters: Any) -> None:
        """Remove what was staged for a write that ended. If that fails the write has still ended as it did, and the
        sweep finds the rest."""
        try:
            with contextlib.suppress(Gone):
                self._call(operation, **parameters)
        except (AccessDenied, SlowDown, ServiceUnavailable) as error:
            _log.warning("what was staged at %s is left for the sweep: %s", parameters["Key"], error)

    # -- reading

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
        body, check = first["Body"], None
        if start == 0 and first.get("ContentRange", "").rpartition("/")[2] in ("", str(end)):
            body, check = _Validated(body, end), _check_of(first, end)
        return cast("BinaryIO", ResumingReader(stream_at, start, end, self._retry, first=body, check=check))

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
        if self._is_staged(pin):
            self._remove_staged(pin)
            return True
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

    def _is_staged(self, pin: Pin) -> bool:
        # The folder is the container's, or that of the one for all buckets.
        return pin.name.startswith(f"{self._names.own('').name}{STAGING}")

    def _remove_staged(self, pin: Pin) -> None:
        """By its version, of which nothing must stay in a bucket that keeps them."""
        with contextlib.suppress(Gone):
            version = version_of(self._call("head_object", Bucket=pin.container, Key=pin.name))
            self._call("delete_object", **attrs.evolve(pin, version=version).address)

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        source = read_handle(handle)
        place, write = self._place(spec.bucket, spec.key)
        # Amazon gives a copy of what was uploaded in parts another ETag.
        etags = (source.etag,) if is_md5(source.etag, {}) else ()
        described = self._described(spec, place, write, _Bytes(spec.size, None, None, etags))
        try:
            return self._copy(source, spec, place, write, described, None)
        except BlobChanged:
            self.head_object(handle)  # raises if it was the source that changed
            raise

    def _copy(
        self, source: Pin, spec: BlobSpec, place: Place, write: str, described: Mapping[str, Any], md5: str | None
    ) -> StoredBlob:
        parameters = {**described, **self._condition(spec), "MetadataDirective": "REPLACE"}
        parameters |= {"CopySource": source.address, "CopySourceIfMatch": f'"{source.etag}"'}
        try:
            answer = self._call("copy_object", **parameters)
        except (Gone, Unequal) as refused:
            return self._written(spec, place, write, refused)
        copied = {name: text for name, text in answer.items() if name != "CopyObjectResult"}
        return self._finished(place, write, copied | {"ETag": answer["CopyObjectResult"]["ETag"]}, md5)

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
        body, rest = head_of(source, _IN_MEMORY)
        if rest is None:
            return self._stored_part(number, self._send_part(upload.address, number, body))
        with self._staged(Place(upload.container, self._names.own("").name), rest) as staged:
            try:
                answer = self._call(
                    "upload_part_copy",
                    CopySource=staged.pin.address,
                    CopySourceIfMatch=f'"{staged.pin.etag}"',
                    **parameters,
                )
            except (Gone, Unequal) as gone:
                raise _lost_upload(gone) from None
            return self._stored_part(number, _checked_etag(answer["CopyPartResult"], answer, staged.md5))

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
            number = parameters.pop("PartNumber")
            return self._stored_part(number, self._send_part(parameters, number, body))
        answer = self._on_blob(
            source.handle,
            "upload_part_copy",
            CopySource=pin.address,
            CopySourceIfMatch=f'"{pin.etag}"',
            **parameters,
        )
        etag = bare(answer["CopyPartResult"]["ETag"])
        md5 = etag if is_md5(etag, answer) else None
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
                raise BlobChanged(spec.bucket, spec.key) from refused
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


@attrs.frozen
class _Bytes:
    """What is known of all bytes of a write, and the ETags that S3 may give them, before it is told to store them."""

    size: int | None
    md5: str | None
    crc32c: str | None
    etags: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class _Staged(_Bytes):
    pin: Pin


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


def _lost_upload(gone: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(f"{PROVIDER} no longer has what was sent of this upload, start another: {gone}")


def _checked_etag(result: Mapping[str, Any], answer: Mapping[str, Any], md5: str | None) -> str:
    etag = bare(result["ETag"])
    if md5 is not None and is_md5(etag, answer) and etag != md5:
        raise ServiceUnavailable(f"{PROVIDER} stored a part with the MD5 {etag}; sent were {md5}. Send it again.")
    return etag
