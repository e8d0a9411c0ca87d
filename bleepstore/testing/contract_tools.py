"""What the contract tests of a backend are written with. See `bleepstore.testing.backend_contract`."""

from __future__ import annotations

import concurrent.futures
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal, TypeVar

import pytest

from bleepstore.backends.base import BlobSpec, KeyedBackend, PartBlob, StorageBackend, StoredBlob, new_blob_id
from bleepstore.model import UploadToken

T = TypeVar("T")

BUCKET = "contract-bucket"
KIB = 1024
MIB = 1024 * KIB
END_OF_TIME_MS = 1 << 47

#: Keys that are legal in S3 and that file systems, URLs and other providers are apt to mistreat.
ODD_KEYS = (
    "plain",
    "folder/",
    "a//b",
    "/leading",
    "..",
    "../up",
    "a/./b",
    "a/../b",
    "a b+c%2Fd%25",
    "query?x=1&y=2#fragment",
    "back\\slash",
    "quote\"and'<&>",
    "tab\tand\nnewline",
    "\x01control\x7f",
    "\u00e9",
    "e\u0301",  # the same letter, decomposed: another key
    "ü/€/\U0001f600",
    "CASE",
    "case",
    "x" * 1024,
    "é" * 512,
)


def pattern(size: int, seed: int = 0) -> bytes:
    """`size` bytes in which every byte differs from its neighbourhood."""
    return random.Random(seed).randbytes(size)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in chunks of `size` bytes, with an empty chunk here and there."""
    for number, start in enumerate(range(0, len(data), size)):
        if number % 3 == 0:
            yield b""
        yield data[start : start + size]


class Broken(Exception):
    """What a body raises in the middle."""


def broken_after(data: bytes) -> Iterator[bytes]:
    yield from pieces(data, 10_000)
    raise Broken


class ContractTools:
    """The fixtures, the abilities and the vocabulary of the contract tests."""

    #: Whether the blob of a key outlives a later write of the same bucket and key. False for a backend that stores
    #: objects under their own names; reading the older handle then raises BlobNotFound.
    keeps_superseded: ClassVar[bool] = True
    #: Whether bytes pass through in bounded memory. False for a backend whose store is this process's memory.
    streams: ClassVar[bool] = True
    #: Whether parts can be assembled once more after `assemble_parts` (a conditional completion that was refused).
    parts_survive_assembly: ClassVar[bool] = True
    #: What `iter_blobs` gives of an upload under way: its parts, its token where the provider removes the parts with
    #: it, or nothing where uploads of others cannot be told from ours.
    sweeps: ClassVar[Literal["parts", "uploads", "nothing"]] = "parts"
    #: The least size in bytes of parts other than the last.
    minimum_part: ClassVar[int] = 1
    #: How many parts the longest assembly has. S3's limit is 10,000.
    many_parts: ClassVar[int] = 10_000
    #: Threads that upload at the same time.
    threads: ClassVar[int] = 8
    #: Bytes of the object that must pass in bounded memory, and the bound on what Python allocates meanwhile.
    large: ClassVar[int] = 48 * MIB
    memory_bound: ClassVar[int] = 20 * MIB

    @pytest.fixture
    def backend(self) -> Iterator[StorageBackend]:
        """The backend under test, empty and open. A subclass supplies it."""
        raise NotImplementedError("supply a fixture `backend` in the subclass")

    @pytest.fixture
    def other_process(self, backend: StorageBackend) -> StorageBackend:
        """The same storage as another process would see it. A subclass overrides it where that is another instance."""
        return backend

    @pytest.fixture(autouse=True)
    def bucket(self, backend: StorageBackend) -> str:
        backend.create_bucket(BUCKET)
        return BUCKET

    # -- helpers

    @staticmethod
    def spec(key: str = "key", size: int | None = None) -> BlobSpec:
        return BlobSpec(bucket=BUCKET, key=key, size=size, new_id=new_blob_id)

    def put(self, backend: StorageBackend, data: bytes, key: str = "key") -> StoredBlob:
        return backend.put_object(self.spec(key, len(data)), pieces(data, 300_000))

    @staticmethod
    def read(backend: StorageBackend, handle: str, start: int = 0, stop: int | None = None) -> bytes:
        with backend.get_object(handle, start, stop) as reader:
            return b"".join(iter(lambda: reader.read(70_000), b""))

    @staticmethod
    def listed(backend: StorageBackend, since_ms: int = 0, until_ms: int = END_OF_TIME_MS) -> set[str | UploadToken]:
        return set(ContractTools.visited(backend, since_ms, until_ms))

    @staticmethod
    def visited(
        backend: StorageBackend, since_ms: int = 0, until_ms: int = END_OF_TIME_MS
    ) -> Iterator[str | UploadToken]:
        """All that is stored. What is stored under its own name is not for the sweep, so it is found by another way."""
        yield from backend.iter_blobs(since_ms, until_ms)
        if isinstance(backend, KeyedBackend):
            for bucket in backend.buckets():
                for _, blob in backend.iter_found(bucket):
                    if blob is not None:
                        yield blob.handle

    def put_parts(
        self, backend: StorageBackend, token: UploadToken | None, bodies: Sequence[tuple[int, bytes]]
    ) -> list[tuple[PartBlob, StoredBlob]]:
        def put(numbered: tuple[int, bytes]) -> tuple[PartBlob, StoredBlob]:
            number, body = numbered
            stored = backend.put_part(token, number, pieces(body, 300_000), new_id=new_blob_id)
            return PartBlob(stored.handle, len(body)), stored

        with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(put, bodies))

    def assembled(self, backend: StorageBackend, bodies: Sequence[bytes], key: str = "assembled") -> StoredBlob:
        """A blob that was uploaded in parts."""
        spec = self.spec(key)
        token = backend.begin_parts(spec)
        parts = [part for part, _ in self.put_parts(backend, token, list(enumerate(bodies, start=1)))]
        blob = backend.assemble_parts(token, self.spec(key, sum(map(len, bodies))), parts)
        backend.delete_parts(token, [part.handle for part in parts])
        backend.delete_parts(token, [])
        return blob

    def bodies(self, count: int) -> list[bytes]:
        """Bodies of legal parts, each of another size, the last one short."""
        sizes = [max(self.minimum_part, 1000) + 17 * number for number in range(count - 1)]
        return [pattern(size, seed) for seed, size in enumerate([*sizes, 5])]

    def readers(self, backend: StorageBackend) -> Iterator[tuple[bytes, str]]:
        data = pattern(3 * MIB + 17)
        yield data, self.put(backend, data).handle
        bodies = self.bodies(3)
        yield b"".join(bodies), self.assembled(backend, bodies).handle

    def within_bound(self, action: Callable[[], T]) -> T:
        tracemalloc.start()
        try:
            result = action()
            _current, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < self.memory_bound, f"{peak:,} bytes were held at once"
        return result
