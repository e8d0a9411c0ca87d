"""Blobs in this process's memory: for tests, and for what need not outlive the process."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Protocol, Self

from bleepstore.backends.base import BlobId, BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.errors import BlobNotFound
from bleepstore.model import UploadToken


class Underlay(Protocol):
    """Blobs that several backends in memory have beneath them. They never change, and nobody removes them."""

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        """As `StorageBackend.get_object`."""

    def head_object(self, handle: str) -> int:
        """As `StorageBackend.head_object`."""

    def share(self) -> Self:
        """The same, for one more backend that closes it."""

    def close(self) -> None:
        """Release it; after the last one nothing keeps its blobs."""


class MemoryBackend:
    """The protocol of `bleepstore.backends.base` over a dictionary, and over an `underlay`, if there is one, which
    answers for what is not in the dictionary. It is closed with this."""

    def __init__(self, *, underlay: Underlay | None = None) -> None:
        self._underlay = underlay
        #: (time, bytes, or the handle that the underlay knows them by) by our handle
        self._blobs: dict[str, tuple[int, bytes | str]] = {}
        self._lock = threading.Lock()

    @property
    def has_underlay(self) -> bool:
        """Whether something may be read from elsewhere than memory."""
        return self._underlay is not None

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        """Buckets need no container."""

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        """Buckets need no container."""
        return True

    def _store(self, new_id: Callable[[], BlobId], data: bytes | str) -> StoredBlob:
        blob_id = new_id()
        with self._lock:
            self._blobs[blob_id] = (blob_id.time_ms, data)
        return StoredBlob(blob_id, blob_id.time_ms)

    def _find(self, handle: str) -> bytes | tuple[Underlay, str]:
        """The bytes, or who has them and by which handle."""
        data = self._blobs.get(handle, (0, handle))[1]
        if isinstance(data, bytes):
            return data
        if self._underlay is None:
            raise BlobNotFound(handle)
        return self._underlay, data

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        return self._store(spec.new_id, b"".join(chunks))

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        found = self._find(handle)
        if not isinstance(found, bytes):
            return found[0].get_object(found[1], start, stop)
        return io.BytesIO(found if start == 0 and stop is None else found[start:stop])

    def bytes_of(self, handle: str) -> bytes | None:
        """All bytes of a blob, without a file around them; None if they are not in this dictionary."""
        data = self._blobs.get(handle, (0, handle))[1]
        return data if isinstance(data, bytes) else None

    def _read(self, handle: str, start: int = 0, stop: int | None = None) -> bytes:
        with self.get_object(handle, start, stop) as reader:
            return reader.read()

    def head_object(self, handle: str) -> int:
        found = self._find(handle)
        return len(found) if isinstance(found, bytes) else found[0].head_object(found[1])

    def delete_object(self, handle: str) -> None:
        with self._lock:
            self._blobs.pop(handle, None)

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        found = self._find(handle)
        if not isinstance(found, bytes):
            found[0].head_object(found[1])
            return self._store(spec.new_id, found[1])
        return self._store(spec.new_id, found)

    def begin_parts(self, spec: BlobSpec) -> None:
        """A part is a blob of its own."""

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
            return self._store(new_id, self._read(source.handle, source.start, source.stop))
        return self._store(new_id, b"".join(source))

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        return self._store(spec.new_id, b"".join(self._read(part.handle) for part in parts))

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        for handle in handles:
            self.delete_object(handle)

    def copy(self) -> MemoryBackend:
        """Another backend with the same blobs, which no change of either shows in the other."""
        made = MemoryBackend(underlay=self._underlay and self._underlay.share())
        with self._lock:
            made._blobs = dict(self._blobs)
        return made

    def adopt(self, other: MemoryBackend) -> None:
        """Have the blobs of an earlier `copy` again, beside those that came since."""
        with other._lock, self._lock:
            self._blobs |= other._blobs
            own, self._underlay = self._underlay, other._underlay and other._underlay.share()
        if own is not None:
            own.close()

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str]:
        with self._lock:
            found = [handle for handle, (stored_ms, _) in self._blobs.items() if since_ms <= stored_ms < until_ms]
        return iter(found)

    def recover(self) -> None:
        """Nothing outlives the process."""

    def close(self) -> None:
        with self._lock:
            self._blobs.clear()
            underlay, self._underlay = self._underlay, None
        if underlay is not None:
            underlay.close()
