"""The format of encrypted bytes: AES-256-GCM in chunks, so that a range can be read alone.

    part    = header chunk... footer
    header  = "BLS1", 16 random bytes (the salt)
    chunk   = CHUNK bytes, the last one 0 to CHUNK; encrypted, with a tag of 16 bytes behind them
    footer  = the CRC64NVME of all before it (big-endian)

An object is one part, or as many as it was uploaded in, one behind the other. The key of a part is HKDF-SHA256 of the
object's data key, with the salt and, as info, the part's number; so no two parts of any objects have the same, and a
chunk of another object, or of another part, is not accepted. The nonce of a chunk is its index in the part (11 bytes)
and 1 if it is the last of it (1 byte), else 0: a chunk that is missing, repeated or moved, and a part that
ends early, is not accepted either. This is the construction STREAM of Hoang, Reyhanitabar, Rogaway and Vizar ("Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015), with a derived key as in NIST SP 800-108.
The key encrypts at most 5 GiB, far below what NIST SP 800-38D allows one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bleepstore.digests import crc64nvme
from bleepstore.encryption import CHUNK, FOOTER_SIZE, HEADER_SIZE, TAG_SIZE, Layout, SealedPart, sealed_size
from bleepstore.errors import BlobDamaged

DATA_KEY_SIZE = 32
_MARK = b"BLS1"
_SEALED_CHUNK = CHUNK + TAG_SIZE
#: So many are written or read at a time: with what becomes of them they stay in a processor's cache.
_AT_A_TIME = 4
#: Opens the stored bytes from `start` to `stop` (exclusive).
OpenStored = Callable[[int, int], BinaryIO]


def _nonce(index: int, is_last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\1" if is_last else b"\0")


def _cut(chunks: Iterable[bytes]) -> Iterator[tuple[bytes | memoryview, bool]]:
    """The same bytes in chunks of CHUNK bytes, and whether each is the last, which has 0 to CHUNK. Bytes are copied
    only where one of ours goes over the end of one of theirs."""
    held: bytes | memoryview = b""  # at most CHUNK bytes, which may be the last
    for chunk in chunks:
        view = memoryview(chunk)
        if held and view:
            missing = CHUNK - len(held)
            held, view = (b"".join((held, view[:missing])), view[missing:]) if missing else (held, view)
        while view:
            if held:
                yield held, False
            held, view = view[:CHUNK], view[CHUNK:]
            if len(held) < CHUNK:
                held = bytes(held)
    yield held, True


def _encrypt_groups(cipher: AESGCM, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The encrypted chunks of a part, a few at a time."""
    group, filled = io.BytesIO(), 0
    for index, (chunk, is_last) in enumerate(_cut(chunks)):
        if is_last and not filled:
            yield cipher.encrypt(_nonce(index, is_last), chunk, None)
            return
        if not filled:
            group = io.BytesIO(bytes(_AT_A_TIME * _SEALED_CHUNK))  # whose value is not copied once more
        with group.getbuffer() as buffer:
            end = filled + len(chunk) + TAG_SIZE
            cipher.encrypt_into(_nonce(index, is_last), chunk, None, buffer[filled:end])
        filled = end
        if is_last:
            group.truncate(filled)
        if is_last or filled == _AT_A_TIME * _SEALED_CHUNK:
            yield group.getvalue()
            filled = 0


class Seal:
    """The data key of one object, and what it encrypts and decrypts."""

    __slots__ = ("_data_key",)

    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != DATA_KEY_SIZE:
            raise ValueError(f"a data key has {DATA_KEY_SIZE} bytes")
        self._data_key = data_key

    def cipher(self, salt: bytes, number: int) -> AESGCM:
        """That of the part with this number."""
        info = b"bleepstore part " + number.to_bytes(4, "big")
        return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(self._data_key))

    def encrypt(self, chunks: Iterable[bytes], number: int = 0, *, salt: bytes | None = None) -> Iterator[bytes]:
        """The bytes of one part as they are stored. A `salt` of one's own is for test vectors."""
        header = _MARK + (os.urandom(HEADER_SIZE - len(_MARK)) if salt is None else salt)
        cipher = self.cipher(header[len(_MARK) :], number)
        crc = crc64nvme(header)
        yield header
        for sealed in _encrypt_groups(cipher, chunks):
            crc = crc64nvme(sealed, crc)
            yield sealed
        yield crc.to_bytes(FOOTER_SIZE, "big")

    def encrypt_bytes(self, data: bytes) -> bytes:
        return b"".join(self.encrypt((data,)))

    def decrypt_bytes(self, sealed: bytes, size: int, name: str) -> bytes:
        """The `size` bytes of an object in one part. Raises BlobDamaged, in which it is called `name`."""
        layout = (SealedPart(0, size),)
        if len(sealed) != sealed_size(size):
            raise BlobDamaged(name, f"there are {len(sealed)} encrypted bytes instead of {sealed_size(size)}")
        with SealedReader(self, name, layout, lambda start, stop: io.BytesIO(sealed[start:stop]), 0, size) as reader:
            return reader.read()


class _Group(NamedTuple):
    """Encrypted chunks of a part, one behind the other with their tags, as they were stored: the number of the first,
    whether the last is that of the part, and which of their bytes are wanted."""

    cipher: AESGCM
    number: int
    is_last: bool
    sealed: memoryview
    low: int
    high: int

    @property
    def plain_size(self) -> int:
        return len(self.sealed) - -(-len(self.sealed) // _SEALED_CHUNK) * TAG_SIZE


class SealedReader(io.RawIOBase):
    """Bytes `start` to `stop` (exclusive) of an encrypted object, as they were before. It raises BlobDamaged instead of
    giving a byte of a chunk that is not as it was written. What `open_stored` raises when it is made passes through."""

    def __init__(self, seal: Seal, name: str, layout: Layout, open_stored: OpenStored, start: int, stop: int) -> None:
        self._seal = seal
        self._name = name
        self._left = 0
        #: Bytes that were decrypted and are wanted, and were not given yet.
        self._rest = memoryview(b"")
        self._file: BinaryIO = io.BytesIO()
        self._sealed = memoryview(b"")
        self._groups: Iterator[_Group] = iter(())
        self._failure: BaseException | None = None
        total = sum(part.size for part in layout)
        stop = min(stop, total)
        if start < stop or (not total and layout):
            self._left = max(0, stop - start)
            self._open(layout, open_stored, start, stop)
            if not total:
                for group in self._groups:  # an empty object is proved to be one
                    self._decrypt(group, memoryview(bytearray()))

    def _open(self, layout: Layout, open_stored: OpenStored, start: int, stop: int) -> None:
        """From the first chunk that is needed to the last, the stored bytes are read in one go."""
        #: (part, first byte and first byte behind it that are wanted of it)
        parts: list[tuple[SealedPart, int, int]] = []
        position = offset = begin = end = 0
        for part in layout:
            first, last = max(start - position, 0), min(stop - position, part.size)
            if first < last or (not part.size and start <= position < max(stop, 1)):
                if not parts:
                    begin = offset
                parts.append((part, first, last))
                chunks = max(1, -(-last // CHUNK))
                end = offset + min(HEADER_SIZE + chunks * _SEALED_CHUNK, sealed_size(part.size) - FOOTER_SIZE)
            position += part.size
            offset += sealed_size(part.size)
        skipped = parts[0][1] // CHUNK
        header = bytearray(HEADER_SIZE)
        if skipped:
            with open_stored(begin, begin + HEADER_SIZE) as file:
                self._fill(memoryview(header), file)
            begin += HEADER_SIZE + skipped * _SEALED_CHUNK
        self._file = open_stored(begin, end)
        self._sealed = memoryview(bytearray(min(_AT_A_TIME * _SEALED_CHUNK, end - begin)))
        self._groups = self._read_groups(parts, header, skipped)

    def _read_groups(self, parts: list[tuple[SealedPart, int, int]], header: bytearray, index: int) -> Iterator[_Group]:
        """Each is overwritten by the next one."""
        is_read = index > 0
        for position, (part, first, stop) in enumerate(parts):
            if position:
                self._fill(self._sealed[:FOOTER_SIZE], self._file)
                index = 0
            if not is_read:
                self._fill(memoryview(header), self._file)
            is_read = False
            if header[: len(_MARK)] != _MARK:
                raise BlobDamaged(self._name, "they do not begin as encrypted bytes do")
            cipher = self._seal.cipher(bytes(header[len(_MARK) :]), part.number)
            last, behind = max(1, -(-part.size // CHUNK)), max(1, -(-stop // CHUNK))
            for number in range(index, behind, _AT_A_TIME):
                count = min(_AT_A_TIME, behind - number)
                begin = number * CHUNK
                size = min(count * CHUNK, part.size - begin)
                sealed = self._sealed[: size + count * TAG_SIZE]
                self._fill(sealed, self._file)
                yield _Group(
                    cipher, number, number + count == last, sealed, max(first - begin, 0), min(stop - begin, size)
                )

    def _fill(self, view: memoryview, file: BinaryIO) -> None:
        while view:
            count = file.readinto(view)  # type: ignore[attr-defined]  # every reader of a backend has it
            if not count:
                raise BlobDamaged(self._name, f"its encrypted bytes end {len(view)} too early")
            view = view[count:]

    def _decrypt(self, group: _Group, into: memoryview) -> None:
        cipher, index, is_last, sealed, _low, _high = group
        begin, sealed_begin = 0, 0  # no slice of `into` has a name, which an error's traceback would keep
        try:
            while len(sealed) - sealed_begin > _SEALED_CHUNK:
                chunk = sealed[sealed_begin : sealed_begin + _SEALED_CHUNK]
                cipher.decrypt_into(_nonce(index, False), chunk, None, into[begin : begin + CHUNK])
                begin, sealed_begin, index = begin + CHUNK, sealed_begin + _SEALED_CHUNK, index + 1
            cipher.decrypt_into(_nonce(index, is_last), sealed[sealed_begin:], None, into[begin:])
        except InvalidTag:
            raise BlobDamaged(self._name, f"chunk {index} of its encrypted bytes is not as it was written") from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as there are bytes. After an error nothing in it is to be believed, and each further
        read raises it again: what comes next is of another position."""
        if self._failure is not None:
            raise self._failure
        try:
            with memoryview(buffer) as whole, whole.cast("B") as octets, octets[: self._left] as view:
                return self._read_into(view)
        except BaseException as error:
            self._failure = error
            raise

    def _read_into(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view):
            if self._rest:
                taken = self._rest[: len(view) - filled]
                view[filled : filled + len(taken)] = taken
                self._rest = self._rest[len(taken) :]
                filled += len(taken)
                continue
            group = next(self._groups)
            size = group.high - group.low
            if size == group.plain_size and size <= len(view) - filled:
                with view[filled : filled + size] as part:
                    self._decrypt(group, part)
                filled += size
            else:
                data = memoryview(bytearray(group.plain_size))
                self._decrypt(group, data)
                self._rest = data[group.low : group.high]
        self._left -= filled
        return filled

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        whole = io.BytesIO(bytes(wanted))  # whose value is not copied once more
        with whole.getbuffer() as buffer:
            self.readinto(buffer)
        return whole.getvalue()

    def close(self) -> None:
        self._file.close()
        super().close()
