"""The verbs of a storage backend, as requests to Google Cloud Storage."""

from __future__ import annotations

import contextlib
import io
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO, cast

import attrs
from google.api_core.exceptions import BadRequest, Conflict, PreconditionFailed

from bleepstore.backends.base import CHUNK, BlobId, BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.backends.gateway.bodies import IN_MEMORY, HashingReader, body_of, files_of, head_of, send_behind
from bleepstore.backends.gateway.names import Address
from bleepstore.backends.gateway.streams import Check, Crc32c, ResumingReader, combined_crc32c
from bleepstore.backends.gcs.errors import (
    PROVIDER,
    ContainerNotFound,
    ProviderNotFound,
    ProviderPreconditionFailed,
    reason_of,
)
from bleepstore.backends.gcs.listing import GcsListing
from bleepstore.backends.gcs.pins import CODEC, Pin, make_token, md5_of, pin_of, read_handle, read_token, to_ms
from bleepstore.cleanup import on_error
from bleepstore.errors import (
    BlobChanged,
    BlobNotFound,
    BucketAlreadyExists,
    InvalidBucketName,
    S3Error,
    ServiceUnavailable,
    UploadNotFound,
)
from bleepstore.model import UploadToken
from bleepstore.threads import map_in_threads

_log = logging.getLogger("bleepstore.gateway")

#: Up to so many bytes go in one request, which the SDK holds several times.
_IN_ONE = 3 * 1024 * 1024
#: Bytes of a block of a resumable upload, in multiples of 256 KiB. Two are on disk: one is sent while the next comes.
_BLOCK = 32 * 1024 * 1024
#: "A compose request has up to 32 source objects."
_MAX_SOURCES = 32
_PARALLEL = 8
_DEFAULT_TYPE = "application/octet-stream"


class GcsBackend(GcsListing):
    """What both layouts share: see `bleepstore.backends.gcs.layouts`."""

    # -- buckets

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        if self._settings.container is not None:
            return
        container = self._names.container_of(bucket)

        def create() -> bool:
            try:
                self._client.create_bucket(container, **self._once())
            except BadRequest as refused:
                raise InvalidBucketName(bucket, f"{PROVIDER} does not take this name: {reason_of(refused)}") from None
            except Conflict:
                # It is ours, or another customer's, into whose bucket our users' objects must not go.
                mine = self._client.list_buckets(prefix=container, **self._once())
                if all(found.name != container for found in mine):
                    raise BucketAlreadyExists(bucket) from None
                return False
            return True

        is_new = self._retry.run(create)
        self._claims.claim_bucket(bucket, is_new=is_new or known)

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        if self._settings.container is not None:
            return True
        container = self._names.container_of(bucket)
        try:
            is_emptied = self._claims.is_emptied(bucket, (blob.name for blob in self._list(Address(container, ""))))
            if not is_emptied:
                return is_emptied is None
            with contextlib.suppress(ProviderNotFound):
                self._call(self._blob(self._claims.address(bucket)).delete)
            if self._retry.run(lambda: self._delete_container(container)):
                return True
            if not self._is_empty(container):
                return False
            _log.warning("the bucket %s of the storage is left: there are old generations in it", container)
            return True
        except (ProviderNotFound, ContainerNotFound):
            return True

    def _delete_container(self, container: str) -> bool:
        """Google refuses it if something came into it since."""
        try:
            self._bucket(container).delete(**self._once())
        except (Conflict, PreconditionFailed) as refused:  # Google's answer, and an emulator's
            if "empty" not in reason_of(refused):
                raise
            return False
        return True

    # -- what goes with an object

    def _described(
        self, spec: BlobSpec, address: Address, write: str, *, note_etag: bool, crc32c: str | None = None
    ) -> Any:
        """A blob to be written, with all that goes with it. `crc32c` is noted to tell whether the ETag is still its."""
        with_key = not self._naming.is_native(spec.bucket, address.name)
        etag = spec.etag() if note_etag and spec.etag is not None else None
        blob = self._blob(address)
        size = None if etag is None else spec.size
        blob.metadata = CODEC.encode(spec, write=write, etag=etag, crc32c=crc32c, size=size, with_key=with_key)
        for name, text in CODEC.native(spec.attributes.system).items():
            setattr(blob, name, text)
        if blob.content_type is None:
            blob.content_type = _DEFAULT_TYPE
        return blob

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        """The parameters that make a write depend on what it replaces."""
        return {}

    def _stored(self, blob: Any) -> StoredBlob:
        return StoredBlob(pin_of(blob).handle, to_ms(blob.time_created))

    def _written(self, spec: BlobSpec, address: Address, write: str, refused: Exception) -> Any:
        """What is stored there, if it is of this write of ours: a request whose answer was lost had been carried
        out."""
        blob = self._blob(address)
        try:
            self._call(blob.reload)
        except ProviderNotFound:
            if isinstance(refused, ProviderNotFound):
                self._check_container(address.container)
        if CODEC.decode(blob.metadata).write == write:
            return blob
        if isinstance(refused, ProviderPreconditionFailed) and self._condition(spec):
            raise BlobChanged(spec.bucket, spec.key) from refused
        raise refused

    def _check(self, blob: Any, crc32c: str) -> StoredBlob:
        if blob.crc32c and blob.crc32c != crc32c:
            self.delete_object(pin_of(blob).handle)
            raise ServiceUnavailable(
                f"{PROVIDER} stored bytes with the CRC32C {blob.crc32c}; sent were {crc32c}. Send them again."
            )
        return self._stored(blob)

    # -- objects

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        address, write = self._naming.address_of(spec), secrets.token_hex(8)
        return self._write(spec, address, write, chunks)

    def _write(self, spec: BlobSpec, address: Address, write: str, chunks: Iterable[bytes]) -> StoredBlob:
        reader = HashingReader(chunks)
        head, rest = head_of(reader, IN_MEMORY)
        blob = self._described(spec, address, write, note_etag=False)
        options = {"content_type": blob.content_type, **self._condition(spec)}
        try:
            if rest is None and len(head) <= _IN_ONE:
                self._call(blob.upload_from_string, head, checksum="crc32c", **options)
            else:
                url = self._call(blob.create_resumable_upload_session, **options)
                with contextlib.ExitStack() as files:
                    blocks = [(head, True)] if rest is None else files_of(rest, _BLOCK, files)
                    blob._set_properties(self._send_blocks(url, blocks, reader).json())
        except (ProviderNotFound, ProviderPreconditionFailed) as refused:
            blob = self._written(spec, address, write, refused)
        return self._check(blob, reader.crc32c)

    def _send_blocks(self, url: str, blocks: Iterable[tuple[bytes | BinaryIO, bool]], reader: HashingReader) -> Any:
        """The answer to the last bytes of a resumable upload. Each block is sent while the next one comes, and again if
        need be; with the last goes the CRC32C of all, by which Google refuses other bytes before it replaces anything.
        """
        position, answer = 0, None

        def send(block: tuple[bytes | BinaryIO, bool]) -> None:
            nonlocal position, answer
            content, is_last = block
            start, size = position, len(content) if isinstance(content, bytes) else content.seek(0, io.SEEK_END)
            position += size
            answer = self._send_block(
                url,
                lambda kept: body_of(content, kept - start, size),
                start,
                position,
                reader.crc32c if is_last else None,
            )
            if not isinstance(content, bytes):
                content.close()

        with on_error(lambda: self._send("DELETE", url, accept=(404, 499))):  # else it ends by itself after a week
            send_behind(blocks, send)
        return answer

    def _send_block(
        self, url: str, body_from: Callable[[int], bytes | io.RawIOBase], start: int, stop: int, crc32c: str | None
    ) -> Any:
        """The answer to the last bytes of a block, which is the last one if it comes with a checksum.

        Google may keep fewer bytes than it was sent, and says how many. After a failure, or an answer that was lost,
        it is asked that first. On a slow line a block may take longer than the deadline, so the time of the first
        attempt from each position does not count.
        """
        total = "*" if crc32c is None else str(stop)
        hashed = {} if crc32c is None else {"X-Goog-Hash": f"crc32c={crc32c}"}
        kept = start
        tried = -1
        failed = False

        def ask_and_send() -> Any:
            nonlocal kept, tried, failed
            if failed:
                answer = self._send("PUT", url, accept=(308,), headers={"Content-Range": f"bytes */{total}"})
                if answer.status_code != 308:
                    return answer
                kept = _kept(answer, start, stop)
            while kept < stop or crc32c is not None:
                failed = True
                span = f"{kept}-{stop - 1}" if kept < stop else "*"
                headers = {"Content-Range": f"bytes {span}/{total}", **hashed}
                try:
                    answer = self._send("PUT", url, accept=(308,), data=body_from(kept), headers=headers)
                finally:
                    if tried != kept:
                        self._retry.renew()
                    tried = kept
                if answer.status_code != 308:
                    return answer
                kept = _kept(answer, start, stop)
                if kept == tried:
                    raise EOFError("none of the bytes that were sent were kept")
            failed = False
            return None

        return self._retry.run(ask_and_send)

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        pin = read_handle(handle)
        if stop is not None and stop <= start:
            self.head_object(handle)
            return io.BytesIO()
        first = self._open(handle, pin, start, stop)
        if first is None:
            return io.BytesIO()
        end = first.size if stop is None else min(stop, first.size)

        def open_at(position: int) -> _Body:
            found = self._open(handle, pin, position, end, resumed=True)
            if found is None:
                raise BlobNotFound(handle)
            return found

        known = first.crc32c if start == 0 and end == first.size else None
        check = None if known is None else Check(Crc32c(), known)
        return cast("BinaryIO", ResumingReader(open_at, start, end, self._retry, first=first, check=check))

    def _open(self, handle: str, pin: Pin, start: int, stop: int | None, *, resumed: bool = False) -> _Body | None:
        """The answer to one request for all bytes of a range; None if the blob ends before it.

        A bucket may keep what was replaced or deleted, under its generation: a read that is under way goes on with
        that, but none begins with it."""
        # With this header, what is labelled gzip comes as it is stored.
        headers = {"Accept-Encoding": "gzip"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        url = self._media_url(pin.address, f"{'generation' if resumed else 'ifGenerationMatch'}={pin.generation}")
        try:
            answer = self._retry.run(lambda: self._send("GET", url, headers=headers, stream=True))
        except ProviderNotFound:
            if not resumed and self.head_object(handle) <= start:
                return None
            raise BlobNotFound(handle) from None
        except ProviderPreconditionFailed:
            raise BlobNotFound(handle) from None
        generation = str(pin.generation)
        if answer.headers.get("x-goog-generation", generation) != generation:  # an emulator knows no condition here
            answer.close()
            raise BlobNotFound(handle)
        return _Body(answer)

    def head_object(self, handle: str) -> int:
        size: int = self._live(handle).size
        return size

    def _live(self, handle: str) -> Any:
        """A blob with what goes with it, if it is what is stored under its name now. Raises BlobNotFound."""
        pin = read_handle(handle)
        blob = self._blob(pin.address)
        try:
            self._call(blob.reload)
        except ProviderNotFound:
            raise BlobNotFound(handle) from None
        if int(blob.generation) != pin.generation:
            raise BlobNotFound(handle)
        return blob

    def delete_object(self, handle: str) -> None:
        with contextlib.suppress(ContainerNotFound):  # nor is anything else there then
            self._delete(read_handle(handle))

    def remove(self, handle: str) -> bool:
        try:
            self._live(handle)
        except BlobNotFound:
            return False
        return self._delete(read_handle(handle))

    def _delete(self, pin: Pin) -> bool:
        """Whether it was there. By its generation it is gone for good, also in a bucket that keeps versions."""
        try:
            self._call(self._blob(pin.address, pin.generation).delete)
        except ProviderNotFound:
            return False
        return True

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        address, write = self._naming.address_of(spec), secrets.token_hex(8)
        return self._copy(handle, self._live(handle), spec, address, write)

    def _copy(self, handle: str, source: Any, spec: BlobSpec, address: Address, write: str) -> StoredBlob:
        condition = self._condition(spec)
        # Google knows no MD5 of what was composed, nor of its copies: the CRC32C tells if the ETag is still theirs.
        is_known = spec.etag is None or spec.etag() == md5_of(source)
        blob = self._described(spec, address, write, note_etag=True, crc32c=None if is_known else source.crc32c)
        token: str | None = None
        try:
            while True:
                token, _done, _total = self._call(
                    blob.rewrite, source, token=token, if_source_generation_match=source.generation, **condition
                )
                if token is None:
                    return attrs.evolve(self._stored(blob), md5=md5_of(blob))
        except ProviderNotFound:
            raise BlobNotFound(handle) from None
        except ProviderPreconditionFailed as refused:
            self._live(handle)  # raises if it was the source that changed
            return self._stored(self._written(spec, address, write, refused))

    # -- parts

    def begin_parts(self, spec: BlobSpec) -> UploadToken:
        own = self._names.own(spec.bucket)
        return make_token(Address(own.container, f"{own.name}parts/{spec.new_id()}/"))

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        folder = read_token(token)
        address = Address(folder.container, f"{folder.name}{number:05d}-{new_id()}")
        spec, write = BlobSpec(bucket="", key="", new_id=new_id), secrets.token_hex(8)
        if not isinstance(source, BlobRange):
            return self._write(spec, address, write, source)
        whole = self._live(source.handle)
        if source.start == 0 and source.stop == whole.size:
            return self._copy(source.handle, whole, spec, address, write)
        with self.get_object(source.handle, source.start, source.stop) as reader:
            return self._write(spec, address, write, iter(lambda: reader.read(CHUNK), b""))

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        folder = read_token(token)
        known = {piece.pin: piece for piece in map(_Piece.of, self._list(folder))}
        try:
            sources = [known[read_handle(part.handle)] for part in parts]
        except KeyError as missing:
            raise BlobNotFound(missing.args[0].handle) from None
        address, write = self._naming.address_of(spec), secrets.token_hex(8)
        crc32c = combined_crc32c((one.crc32c, one.size) for one in sources)
        made: list[_Piece] = []
        try:
            while len(sources) > _MAX_SOURCES:
                groups = [sources[start : start + _MAX_SOURCES] for start in range(0, len(sources), _MAX_SOURCES)]
                sources = self._compose_groups(folder, groups)
                made += sources
            blob = self._described(spec, address, write, note_etag=True, crc32c=crc32c)
            self._compose(blob, sources, **self._condition(spec))
        except ProviderNotFound as missing:
            raise UploadNotFound(folder.name) from missing
        except ProviderPreconditionFailed as refused:
            blob = self._written(spec, address, write, refused)
        finally:
            self._clean_up(made)
        return self._check(blob, crc32c)

    def _compose_groups(self, folder: Address, groups: Sequence[Sequence[_Piece]]) -> list[_Piece]:
        def compose(group: Sequence[_Piece]) -> _Piece:
            blob = self._blob(Address(folder.container, f"{folder.name}composed-{secrets.token_hex(8)}"))
            blob.content_type = _DEFAULT_TYPE
            self._compose(blob, group)
            return _Piece.of(blob)

        return map_in_threads(compose, groups, _PARALLEL)

    def _compose(self, blob: Any, sources: Sequence[_Piece], **condition: Any) -> None:
        blobs = [self._blob(source.pin.address, source.pin.generation) for source in sources]
        pinned = [source.pin.generation for source in sources]
        self._call(blob.compose, blobs, if_source_generation_match=pinned, **condition)

    def _clean_up(self, pieces: Sequence[_Piece]) -> None:
        """Remove what was composed on the way. Whether that works says nothing of the object, and the sweep finds the
        rest."""
        try:
            map_in_threads(self._delete, [piece.pin for piece in pieces], _PARALLEL)
        except S3Error as error:
            _log.warning("intermediate objects of a completion are left for the sweep: %s", error)

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        if token is None:
            return
        if not handles:
            with contextlib.suppress(ContainerNotFound):
                handles = [pin_of(blob).handle for blob in self._list(read_token(token))]
        map_in_threads(self.delete_object, handles, _PARALLEL)

    def recover(self) -> None:
        """What was cut off left a session that ends by itself, or parts that the sweep finds."""


@attrs.frozen
class _Piece:
    """What is known of a part or of several together. The SDK's own record takes 4 KiB, and an upload may have 10,000
    parts."""

    pin: Pin
    size: int
    crc32c: str

    @classmethod
    def of(cls, blob: Any) -> _Piece:
        return cls(pin_of(blob), blob.size, blob.crc32c)


class _Body:
    """The body of an answer as a stream, the size of the whole blob, and its CRC32C where GCS says it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        headers = answer.headers
        total = headers.get("Content-Range", "").rpartition("/")[2]
        self.size = int(total or headers.get("x-goog-stored-content-length") or headers["Content-Length"])
        hashes = dict(item.strip().partition("=")[::2] for item in headers.get("x-goog-hash", "").split(","))
        self.crc32c = hashes.get("crc32c")

    def read(self, size: int, /) -> bytes:
        data: bytes = self._answer.raw.read(size, decode_content=False)
        return data

    def close(self) -> None:
        self._answer.close()


def _kept(answer: Any, position: int, end: int) -> int:
    """Up to where Google has the bytes of an upload, "Range: bytes=0-last", which is within this block."""
    last = answer.headers.get("Range", "").rpartition("-")[2]
    kept = int(last) + 1 if last.isdecimal() else 0
    if not position <= kept <= end:
        raise ServiceUnavailable(f"{PROVIDER} has lost bytes of an upload: it has {kept}. Send it again.")
    return kept
