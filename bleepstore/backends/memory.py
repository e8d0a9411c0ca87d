"""Blobs in this process's memory: for tests, and for what need not outlive the process."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from bleepstore.backends.base import BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.errors import BlobNotFound


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryBackend:
    """The protocol of `bleepstore.backends.base` over a dictionary."""

    def __init__(self, *, clock: Callable[[], int] = _now_ms) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._blobs: dict[str, tuple[int, bytes]] = {}
        self._lock = threading.Lock()

    def create_bucket(self, bucket: str) -> None:
        """Buckets need no room."""

    def delete_bucket(self, bucket: str) -> None:
        """Buckets need no room."""

    def _store(self, data: bytes) -> StoredBlob:
        handle, now = f"m{next(self._numbers)}", self._clock()
        with self._lock:
            self._blobs[handle] = (now, data)
        return StoredBlob(handle, now)

    def _find(self, handle: str) -> bytes:
        found = self._blobs.get(handle)
        if found is None:
            raise BlobNotFound(handle)
        return found[1]

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        return self._store(b"".join(chunks))

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        data = self._find(handle)
        return io.BytesIO(data if start == 0 and stop is None else data[start:stop])

    def head_object(self, handle: str) -> int:
        return len(self._find(handle))

    def delete_object(self, handle: str) -> None:
        with self._lock:
            self._blobs.pop(handle, None)

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        return self._store(self._find(handle))

    def begin_parts(self, spec: BlobSpec) -> str:
        return ""

    def put_part(
        self, token: str, number: int, source: Iterable[bytes] | BlobRange, size: int | None = None
    ) -> StoredBlob:
        if isinstance(source, BlobRange):
            return self._store(self._find(source.handle)[source.start : source.stop])
        return self._store(b"".join(source))

    def assemble_parts(self, token: str, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        return self._store(b"".join(self._find(part.handle) for part in parts))

    def delete_parts(self, token: str, handles: Sequence[str]) -> None:
        for handle in handles:
            self.delete_object(handle)

    def copy(self) -> MemoryBackend:
        """Another backend with the same blobs, which no change of either shows in the other."""
        made = MemoryBackend(clock=self._clock)
        with self._lock:
            made._blobs = dict(self._blobs)
            made._numbers = itertools.count(next(self._numbers))
        return made

    def use_clock(self, clock: Callable[[], int]) -> None:
        """Stamp what is stored from now on by another clock."""
        self._clock = clock

    def adopt(self, other: MemoryBackend) -> None:
        """Have the blobs of an earlier `copy` again, beside those that came since."""
        with other._lock, self._lock:
            self._blobs |= other._blobs

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str]:
        with self._lock:
            found = [handle for handle, (stored_ms, _) in self._blobs.items() if since_ms <= stored_ms < until_ms]
        return iter(found)

    def recover(self) -> None:
        """Nothing outlives the process."""

    def close(self) -> None:
        with self._lock:
            self._blobs.clear()
