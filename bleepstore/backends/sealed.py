"""A backend as one encrypted object sees it: what is written through it is encrypted by the object's data key, and what
is read through it decrypted.

It is made for an object, of the backend of the store and of what the catalog knows of the object; handles are those of
the backend within."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, cast

import attrs

from bleepstore.backends.base import CHUNK, BlobId, BlobRange, BlobSpec, PartBlob, StorageBackend, StoredBlob
from bleepstore.encryption import Layout, SealedPart, plain_size, sealed_size
from bleepstore.model import UploadToken
from bleepstore.sealing.cipher import Seal, SealedReader


@attrs.frozen
class SealedBackend:
    """`layout` says of which parts the object consists that is read; None: of one, as long as it is."""

    inner: StorageBackend
    seal: Seal
    layout: Layout | None = None

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        self.inner.create_bucket(bucket, known=known)

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        return self.inner.delete_bucket(bucket, is_back)

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        # The MD5 that the spec may give is that of the bytes before.
        size = None if spec.size is None else sealed_size(spec.size)
        stored = self.inner.put_object(attrs.evolve(spec, size=size, etag=None), self.seal.encrypt(chunks))
        return StoredBlob(stored.handle, stored.stored_ms)

    def _layout(self, handle: str) -> Layout:
        return self.layout or (SealedPart(0, plain_size(self.inner.head_object(handle))),)

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        layout = self._layout(handle)
        stop = sum(part.size for part in layout) if stop is None else stop

        def open_stored(start: int, stop: int) -> BinaryIO:
            return self.inner.get_object(handle, start, stop)

        if start >= stop > 0:
            self.inner.head_object(handle)
        return cast("BinaryIO", SealedReader(self.seal, handle, layout, open_stored, start, stop))

    def head_object(self, handle: str) -> int:
        size = plain_size(self.inner.head_object(handle))
        return size if self.layout is None else sum(part.size for part in self.layout)

    def delete_object(self, handle: str) -> None:
        self.inner.delete_object(handle)

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        """No bytes are shared: it is another part, in which each chunk is encrypted anew."""
        with self.get_object(handle) as reader:
            return self.put_object(spec, _chunks_of(reader))

    def begin_parts(self, spec: BlobSpec) -> UploadToken | None:
        return self.inner.begin_parts(spec)

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        if isinstance(source, BlobRange):
            with self.get_object(source.handle, source.start, source.stop) as reader:
                return self.put_part(token, number, _chunks_of(reader), source.stop - source.start, new_id=new_id)
        sealed = self.seal.encrypt(source, number)
        size = None if size is None else sealed_size(size)
        stored = self.inner.put_part(token, number, sealed, size, new_id=new_id)
        return StoredBlob(stored.handle, stored.stored_ms)

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        sealed = [PartBlob(part.handle, sealed_size(part.size)) for part in parts]
        spec = attrs.evolve(spec, size=sum(part.size for part in sealed), etag=None)
        return self.inner.assemble_parts(token, spec, sealed)

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        self.inner.delete_parts(token, handles)

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        return self.inner.iter_blobs(since_ms, until_ms)

    def recover(self) -> None:
        self.inner.recover()

    def close(self) -> None:
        """The backend within is another's."""


def _chunks_of(reader: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: reader.read(CHUNK), b"")
