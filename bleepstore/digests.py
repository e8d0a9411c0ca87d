"""Streaming digests: the ETag's MD5 and the additional checksums of S3 ("Checking object integrity in Amazon S3").

CRC values are big-endian bytes, and every value that a user sees is base64. CRC32C, CRC64NVME and the XXHASHes come
from awscrt, which computes them at tens of GB/s.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Protocol, Self

from awscrt import checksums, crypto

try:
    from zlib_ng.zlib_ng import crc32  # a dozen times as fast as most builds of zlib, which takes 16 ms for 64 MiB
except ImportError:  # it comes with the server
    from zlib import crc32


class Algorithm(enum.StrEnum):
    """The algorithms of S3's additional checksums."""

    CRC32 = "CRC32"
    CRC32C = "CRC32C"
    CRC64NVME = "CRC64NVME"
    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"
    MD5 = "MD5"
    XXHASH64 = "XXHASH64"
    XXHASH3 = "XXHASH3"
    XXHASH128 = "XXHASH128"


class Hasher(Protocol):
    """Feed it bytes, then ask for the digest's bytes."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A CRC with the interface of hashlib."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    __slots__ = ("_hash",)

    def __init__(self, state: checksums.XXHash) -> None:
        self._hash = state

    def update(self, data: bytes, /) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return bytes(self._hash.finalize())


#: CRCs: their function of (data, previous) and of (crc of a, crc of b, length of b), and their size in bytes.
_CRCS: dict[Algorithm, tuple[Callable[[bytes, int], int], Callable[[int, int, int], int], int]] = {
    Algorithm.CRC32: (crc32, checksums.combine_crc32, 4),
    Algorithm.CRC32C: (checksums.crc32c, checksums.combine_crc32c, 4),
    Algorithm.CRC64NVME: (checksums.crc64nvme, checksums.combine_crc64nvme, 8),
}

#: Of (bytes or any buffer, CRC of what came before): the fastest of them, by which the store compares what it reads.
crc64nvme: Callable[..., int] = checksums.crc64nvme

DIGEST_SIZES: dict[Algorithm, int] = {
    Algorithm.CRC32: 4,
    Algorithm.CRC32C: 4,
    Algorithm.CRC64NVME: 8,
    Algorithm.SHA1: 20,
    Algorithm.SHA256: 32,
    Algorithm.SHA512: 64,
    Algorithm.MD5: 16,
    Algorithm.XXHASH64: 8,
    Algorithm.XXHASH3: 8,
    Algorithm.XXHASH128: 16,
}


def new_hasher(algorithm: Algorithm) -> Hasher:
    """A fresh hasher."""
    crc = _CRCS.get(algorithm)
    if crc is not None:
        return _Crc(crc[0], crc[2])
    match algorithm:
        case Algorithm.XXHASH64:
            return _XxHash(checksums.XXHash.new_xxhash64())
        case Algorithm.XXHASH3:
            return _XxHash(checksums.XXHash.new_xxhash3_64())
        case Algorithm.XXHASH128:
            return _XxHash(checksums.XXHash.new_xxhash3_128())
        case _:
            return hashlib.new(algorithm.value.lower(), usedforsecurity=False)


def digest(algorithm: Algorithm, data: bytes) -> bytes:
    """The digest of `data` in one go."""
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return hasher.digest()


def digests_of(data: bytes, algorithms: Iterable[Algorithm]) -> tuple[str, dict[Algorithm, str]]:
    """Of bytes in memory: the MD5 in hex, which is their ETag, and the base64 digests by `algorithms`."""
    md5 = hashlib.md5(data, usedforsecurity=False)
    values: dict[Algorithm, str] = {}
    for algorithm in algorithms:
        if algorithm not in values:
            crc = _CRCS.get(algorithm)
            raw = digest(algorithm, data) if crc is None else crc[0](data, 0).to_bytes(crc[2], "big")
            values[algorithm] = binascii.b2a_base64(raw, newline=False).decode()
    return md5.hexdigest(), values


def encode_value(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def decode_value(algorithm: Algorithm, value: str) -> bytes | None:
    """The bytes of a base64 digest, or None if it is not one of this algorithm's length."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == DIGEST_SIZES[algorithm] else None


def multipart_etag(part_etags: Sequence[str]) -> str:
    """The ETag of a multipart object: the MD5 of the parts' binary MD5s, and how many there are."""
    joined = bytes.fromhex("".join(part_etags))
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(part_etags)}"


def composite_value(algorithm: Algorithm, values: Iterable[str]) -> str:
    """The base64 digest of the parts' digests, without the `-N` that S3 shows behind it."""
    return encode_value(digest(algorithm, b"".join(base64.b64decode(value) for value in values)))


def combine_full_object(algorithm: Algorithm, parts: Iterable[tuple[str, int]]) -> str:
    """The CRC of a whole object from its parts' (base64 CRC, size in bytes). Only CRCs can be combined."""
    _function, combine, size = _CRCS[algorithm]
    total = 0
    for value, length in parts:
        total = combine(total, int.from_bytes(base64.b64decode(value), "big"), length)
    return encode_value(total.to_bytes(size, "big"))


def can_combine(algorithm: Algorithm) -> bool:
    """Whether a full-object checksum of a multipart upload can be had from those of its parts."""
    return algorithm in _CRCS


class _Behind:
    """Calls `hash_chunk` for each chunk in order: for large ones in a thread that starts with the second of them, and
    again when it has ended, since none came for a while. Up to `_MAX_WAITING` chunks are kept for it, with the one that
    it works on."""

    _LARGE = 128 * 1024
    _MAX_WAITING = 2
    #: Clients that stall in the middle of a body must not hold a thread each.
    _IDLE_SECONDS = 1.0

    def __init__(self, hash_chunk: Callable[[bytes], None]) -> None:
        self._hash_chunk = hash_chunk
        # A queue.Queue that is bounded takes several times as long as two that are not.
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._MAX_WAITING):
            self._permits.put(None)
        #: For the end of the thread, and for what it is given.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen_large = False

    def hash(self, chunk: bytes) -> None:
        if self._thread is None and (len(chunk) < self._LARGE or not self._seen_large):
            self._seen_large = self._seen_large or len(chunk) >= self._LARGE
            self._hash_chunk(chunk)
            return
        self._permits.get()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bleepstore-digest", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # there is none to be had: this one does it
                    self._thread = None
                    self._hash_chunk(chunk)
                    self._permits.put(None)
                    return
            self._chunks.put(chunk)

    def _run(self) -> None:
        while (chunk := self._next_chunk()) is not None:
            self._hash_chunk(chunk)
            self._permits.put(None)

    def _next_chunk(self) -> bytes | None:
        """None ends the thread."""
        try:
            return self._chunks.get(timeout=self._IDLE_SECONDS)
        except queue.Empty:
            with self._lock:
                if not self._chunks.empty():
                    return self._chunks.get()
                self._thread = None
                return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            thread = self._thread
            self._chunks.put(None)
        if thread is not None and thread.is_alive():  # else an interrupt kept it from starting
            thread.join()


class Digester:
    """MD5, the length, and any further algorithms of bytes that pass by. Digests are asked for when all have."""

    def __init__(self, *algorithms: Algorithm) -> None:
        self._md5 = crypto.Hash.md5_new()  # a twentieth faster than OpenSSL's
        self._crcs: dict[Algorithm, int] = {}
        self._hashers: dict[Algorithm, Hasher] = {}
        for algorithm in algorithms:
            if algorithm in _CRCS:
                self._crcs[algorithm] = 0
            elif algorithm is not Algorithm.MD5:
                self._hashers[algorithm] = new_hasher(algorithm)
        self.size = 0

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        self._hash(data)

    def _hash(self, data: bytes) -> None:
        """All but MD5."""
        for algorithm, value in self._crcs.items():
            self._crcs[algorithm] = _CRCS[algorithm][0](data, value)
        for hasher in self._hashers.values():
            hasher.update(data)

    def wrap(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass `chunks` through and take note of them.

        MD5 of large chunks is computed by a thread of its own: it takes about as long as all the rest, which is done
        beside it. The digests are complete when the iteration is; `size` is right all the time.
        """
        with _Behind(self._md5.update) as behind:
            for chunk in chunks:
                self.size += len(chunk)
                behind.hash(chunk)
                self._hash(chunk)
                yield chunk

    @cached_property
    def _md5_digest(self) -> bytes:
        return bytes(self._md5.digest())

    @property
    def md5_hex(self) -> str:
        return self._md5_digest.hex()

    def values(self) -> dict[Algorithm, str]:
        """The base64 digests by MD5 and by the algorithms asked for."""
        found: dict[Algorithm, bytes] = {Algorithm.MD5: self._md5_digest}
        for algorithm, value in self._crcs.items():
            found[algorithm] = value.to_bytes(_CRCS[algorithm][2], "big")
        for algorithm, hasher in self._hashers.items():
            found[algorithm] = hasher.digest()
        values = {}
        for algorithm, raw in found.items():
            values[algorithm] = binascii.b2a_base64(raw, newline=False).decode()
        return values


class PartsEtag:
    """The ETag of a multipart object from its bytes, as they pass by, and the sizes of its parts."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._sizes = iter(sizes)
        self._etags: list[str] = []
        self._size = 0
        self._left = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._begin()

    def _begin(self) -> None:
        """The next part that has bytes; empty ones end at once."""
        for size in self._sizes:
            self._size = self._left = size
            self._md5 = hashlib.md5(usedforsecurity=False)
            if size:
                return
            self._etags.append(self._md5.hexdigest())

    def update(self, data: bytes, /) -> None:
        view = memoryview(data)
        while view and self._left:
            taken = view[: self._left]
            self._md5.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
            if not self._left:
                self._etags.append(self._md5.hexdigest())
                self._begin()

    def etag(self) -> str:
        """The last part may be shorter than its size."""
        begun = [self._md5.hexdigest()] if 0 < self._left < self._size else []
        return multipart_etag(self._etags + begun)
