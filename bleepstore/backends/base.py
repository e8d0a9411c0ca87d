"""The protocol of a storage backend: ten verbs and an iterator.

A backend stores immutable byte strings, *blobs*, under ids that its caller gives (`BlobId`), and hands out a *handle*
for each, in which the id is. Only the backend reads handles, the catalog keeps them. A backend knows nothing of
versions, conditions or listings.

Laws, checked by `bleepstore.testing.backend_contract`:
- A blob is durable (file and directory fsynced, or acknowledged by the provider) when the verb that wrote it returns.
- A blob never changes. Two writes never give the same handle, whatever their bucket and key.
- A failed write leaves nothing behind that a read or `iter_blobs` would show.
- Deleting what is not there is not an error. A reader that was opened before a delete finishes undisturbed.
- All verbs are thread-safe; none holds a whole blob in memory.

A `KeyedBackend` obeys another law: it keeps one object under each key.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Protocol, runtime_checkable

import attrs

from bleepstore.backends.watching import CallWatch
from bleepstore.model import NO_ATTRIBUTES, ObjectAttributes, UploadToken

CHUNK = 1024 * 1024  # bytes moved at a time


class BlobId(str):
    """What a blob is called: 12 hex digits of milliseconds since the epoch, then 16 of chance.

    So names sort by the time at which they were given, and no two are the same."""

    __slots__ = ()

    @property
    def time_ms(self) -> int:
        return int(self[:12], 16)


def new_blob_id(now_ms: int | None = None, random_bytes: Callable[[int], bytes] = os.urandom) -> BlobId:
    """An id of this time; of the present, by the system's clock, if none is given."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return BlobId(f"{now_ms:012x}{random_bytes(8).hex()}")


@attrs.frozen
class KeyState:
    """What is stored under a key, where a backend keeps one object for each: its handle, or None: nothing."""

    handle: str | None


@attrs.frozen(kw_only=True)
class BlobSpec:
    """What a blob is for, and what it is called. Gateways store the rest natively with the object.

    `new_id` gives the blob's id. It is called once, as late as the backend can: where bytes are collected first, after
    the last of them; where a provider must know a name before the bytes come, or before the parts of an upload, then.

    `keeps_versions` says that its bucket does: nothing that is written later replaces the blob.

    `size` is the declared length in bytes, or None when it is not known before the end. `etag` may be called once
    all bytes were consumed and gives the S3 ETag, which of a put is the MD5 of its bytes in hex.
    """

    bucket: str
    key: str
    new_id: Callable[[], BlobId]
    size: int | None = None
    attributes: ObjectAttributes = NO_ATTRIBUTES
    etag: Callable[[], str] | None = None
    keeps_versions: bool = False


@attrs.frozen(kw_only=True)
class KeyedSpec(BlobSpec):
    """What is written to a `KeyedBackend`. With `expected_current` it raises BlobChanged, and replaces nothing, unless
    that is what the key has."""

    expected_current: KeyState | None = None


@attrs.frozen
class StoredBlob:
    """What a write returns. `stored_ms` is the time, by the backend's clock, that `iter_blobs` compares with. `md5` is
    the digest in hex of what was copied on the backend's side, where it says so."""

    handle: str
    stored_ms: int
    md5: str | None = None


@attrs.frozen
class BlobRange:
    """Bytes `start` (inclusive) to `stop` (exclusive) of a stored blob, as the source of a part."""

    handle: str
    start: int
    stop: int


@attrs.frozen
class PartBlob:
    """A part to assemble: its handle and its length in bytes."""

    handle: str
    size: int


@attrs.frozen(kw_only=True)
class FoundBlob:
    """A blob as its provider describes it: all that a catalog can be rebuilt from. `name` is what it is called there,
    `native` says whether after its key, so that it is found in the order of keys. `etag` is S3's, bare. For
    `keeps_versions` see `BlobSpec`."""

    bucket: str
    key: str
    name: str
    handle: str
    size: int
    etag: str
    stored_ms: int
    attributes: ObjectAttributes = NO_ATTRIBUTES
    native: bool = False
    keeps_versions: bool = False


class StorageBackend(Protocol):
    """See the module's docstring for the laws. Chunks are never empty-checked: an iterable may yield b""."""

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        """Prepare a container for a bucket, where one is needed. Creating one that exists is not an error; but a
        Gateway raises BucketAlreadyExists for a container that is another store's or, unless the bucket is `known` to
        the catalog, that has objects in it."""

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        """Remove that container; whether that is done: not as long as there is garbage in it. Called after the
        catalog removed the bucket; `is_back` says whether it has it again, and needs the container."""

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        """Store the bytes of `chunks`. An exception raised by the iterable passes through and nothing is stored."""

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        """A binary file that reads bytes `start` to `stop` (exclusive) and then ends.

        If it is backed by one real file it has `fileno()`, positioned at `start`; otherwise `fileno()` raises
        io.UnsupportedOperation. Raises BlobNotFound.
        """

    def head_object(self, handle: str) -> int:
        """The blob's length in bytes. Raises BlobNotFound."""

    def delete_object(self, handle: str) -> None:
        """Remove the blob. Raises BlobBusy if that must wait for a reader; call again later."""

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        """A new blob with the same bytes, without moving them through this process where possible."""

    def begin_parts(self, spec: BlobSpec) -> UploadToken | None:
        """Start a multipart upload. Where the provider has to know of it, any process goes on with the token."""

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        """Store one part, under an id of its own, from bytes (`size` of them, where that is known before) or from a
        range of a stored blob. Raises BlobNotFound for that, UploadNotFound."""

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        """One blob out of parts, in O(parts): no bytes move. The parts stay until `delete_parts`. Raises BlobNotFound,
        UploadNotFound if they are gone."""

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        """Remove these parts; no handles end the upload, assembled or not, and remove all that is left of it."""

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        """Handles of all blobs and parts with since_ms <= stored_ms < until_ms, for the sweep of orphans. Where the
        provider removes parts with their upload alone, its token instead, of the end of the time that it may take."""

    def recover(self) -> None:
        """Remove what writes that were cut off left behind. Called when no other process uses the store."""

    def close(self) -> None:
        """Release files, connections and threads."""


@runtime_checkable
class Gateway(StorageBackend, Protocol):
    """A backend whose blobs are stored at a provider and describe themselves, so that a catalog can be rebuilt from
    them.

    Failures of the provider: AccessDenied, SlowDown, ServiceUnavailable, and InvalidRequest for what it
    refuses for good (a 400, say), each with the cause as its reason. What may pass is retried with jittered back-off
    first.
    """

    url: str
    """Where the blobs are, without credentials."""

    calls: CallWatch
    """Tells of each call to the provider."""

    def check(self) -> None:
        """Raise ServiceUnavailable or AccessDenied if the provider cannot be used as configured."""

    def check_bucket(self, bucket: str) -> None:
        """Raise ServiceUnavailable if the container of a bucket does not exist: then nothing is known of its blobs."""

    def claim(
        self, store_id: str, has_bucket: Callable[[str], bool] = lambda _bucket: True, *, take_over: bool = False
    ) -> str:
        """The id of the store that these blobs belong to, which is `store_id` if none was noted before or if it is
        taken over. Two catalogs over the same blobs would remove each other's parts. `has_bucket` says later on whether
        the catalog has a bucket."""

    def claim_bucket(self, bucket: str) -> None:
        """Claim what is stored in a bucket that is to be adopted. Raises BucketAlreadyExists if it is another
        store's."""

    def belongs_to_another_store(self, bucket: str) -> bool:
        """Whether what is stored in a bucket at the provider is another store's, or may not be looked into."""

    def buckets(self) -> Iterator[str]:
        """The names of the buckets that blobs are stored in, in the order of UTF-8."""

    def remove(self, handle: str) -> bool:
        """As delete_object; and whether it was this call that removed the blob."""

    def iter_found(self, bucket: str, after: str = "") -> Iterator[tuple[str, FoundBlob | None]]:
        """The blobs of a bucket, each with a text to go on from as `after`. None is something that is no object of
        ours and cannot be one."""

    def names(self, bucket: str, after: str = "") -> Iterator[str]:
        """What each thing that iter_found would give is called there, by listings alone: a page is one request."""


@runtime_checkable
class KeyedBackend(Gateway, Protocol):
    """A gateway that keeps one object under each key (the layout `keys`), where others may write too.

    A write replaces what the key has, if that is what its `KeyedSpec` expects. A handle pins what was written: that of
    what was replaced gives BlobNotFound, never other bytes. No sweep removes what is stored under a key.
    """

    def find(self, bucket: str, key: str) -> FoundBlob | None:
        """What is stored under a key now, whoever wrote it."""

    def put_tags(self, handle: str, tags: Mapping[str, str]) -> str:
        """Replace the tags of what is stored under a key; the handle that it has then. Raises BlobNotFound if something
        else is stored there."""
