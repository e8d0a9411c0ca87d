"""Encrypted bytes: their format against known answers, and that nothing else than what was written is accepted."""

from __future__ import annotations

import base64
import io
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore.encryption import (
    CHUNK,
    DEFAULT_KEY,
    FOOTER_SIZE,
    HEADER_SIZE,
    STORE_KEY,
    TAG_SIZE,
    Encryption,
    EncryptionKind,
    Layout,
    SealedPart,
    key_name,
    plain_size,
    sealed_size,
    sealed_size_of,
)
from bleepstore.errors import BlobDamaged, EncryptionKeyNotFound, StoreError
from bleepstore.sealing.cipher import Seal, SealedReader
from bleepstore.sealing.digest import SealedDigest
from bleepstore.sealing.keys import KeyFile, MasterKeys, unwrap_with, wrap_with

SEAL = Seal(bytes(range(32)))


def opened(sealed: bytes, layout: Layout, start: int = 0, stop: int | None = None) -> bytes:
    size = sum(part.size for part in layout)
    stop = size if stop is None else stop
    with SealedReader(SEAL, "blob", layout, lambda a, b: io.BytesIO(sealed[a:b]), start, stop) as reader:
        return b"".join(iter(lambda: reader.read(50_000), b""))


def filled(sealed: bytes, layout: Layout, start: int, stop: int, size: int) -> bytes:
    """The same, read into a buffer of so many bytes."""
    buffer, found = bytearray(size), bytearray()
    with SealedReader(SEAL, "blob", layout, lambda a, b: io.BytesIO(sealed[a:b]), start, stop) as reader:
        while count := reader.readinto(buffer):
            found += buffer[:count]
    return bytes(found)


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def test_the_cipher_is_aes_256_gcm() -> None:
    """Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
        "b16aedf5aa0de657ba637b39"
    )
    known = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    expected = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
        "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
    )
    assert AESGCM(key).encrypt(bytes.fromhex("cafebabefacedbaddecaf888"), plain, known) == expected


def test_the_format_never_changes() -> None:
    """Whatever is stored today must be readable for ever."""
    sealed = b"".join(SEAL.encrypt([b"data"], 3, salt=bytes(16)))
    assert sealed.hex() == (
        "424c5331000000000000000000000000000000000a300ade8fe9def814670efc9288be931f1decffc7a2a16a39d05049"
    )
    assert opened(sealed, (SealedPart(3, 4),)) == b"data"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3 * CHUNK), min_size=1, max_size=4), st.data())
def test_every_range_of_every_layout_is_what_was_written(sizes: list[int], data: st.DataObject) -> None:
    layout = tuple(SealedPart(3 * index + 1, size) for index, size in enumerate(sizes))
    plain = pattern(sum(sizes))
    pieces: list[bytes] = []
    position = 0
    for part in layout:
        body = plain[position : position + part.size]
        step = data.draw(st.sampled_from([1000, CHUNK, 1 << 20]))
        pieces += SEAL.encrypt([body[at : at + step] for at in range(0, len(body), step)], part.number)
        position += part.size
    sealed = b"".join(pieces)
    assert len(sealed) == sealed_size_of(layout)
    start = data.draw(st.integers(0, len(plain)))
    stop = data.draw(st.integers(start, len(plain)))
    assert opened(sealed, layout, start, stop) == plain[start:stop]
    assert opened(sealed, layout) == plain
    assert filled(sealed, layout, start, stop, data.draw(st.sampled_from([1000, CHUNK, 300_000]))) == plain[start:stop]
    digest = SealedDigest(layout)
    for at in range(0, len(sealed), 10_007):
        digest.update(sealed[at : at + 10_007])
    assert digest.is_right()


@given(st.integers(0, 1 << 50))
def test_sizes_lead_back(size: int) -> None:
    assert plain_size(sealed_size(size)) == size


SIZE = 2 * CHUNK + 100
LAYOUT = (SealedPart(0, SIZE),)
SEALED = b"".join(SEAL.encrypt([pattern(SIZE)]))
_STORED_CHUNK = CHUNK + TAG_SIZE


def chunk(number: int) -> slice:
    begin = HEADER_SIZE + number * _STORED_CHUNK
    return slice(begin, min(begin + _STORED_CHUNK, len(SEALED) - FOOTER_SIZE))


def flipped(position: int) -> bytes:
    return SEALED[:position] + bytes([SEALED[position] ^ 1]) + SEALED[position + 1 :]


HEADER = SEALED[:HEADER_SIZE]
FIRST, SECOND, LAST = SEALED[chunk(0)], SEALED[chunk(1)], SEALED[chunk(2)]
FOOTER = SEALED[-FOOTER_SIZE:]
OTHER = b"".join(SEAL.encrypt([pattern(SIZE)]))
OTHER_PART = b"".join(SEAL.encrypt([pattern(SIZE)], 2))
FOREIGN = b"".join(Seal(bytes(32)).encrypt([pattern(SIZE)]))
TAMPERED = {
    "the mark": flipped(0),
    "the salt": flipped(10),
    "the first byte": flipped(HEADER_SIZE),
    "a tag": flipped(chunk(0).stop - 1),
    "in the middle": flipped(chunk(1).start + 5),
    "the last byte": flipped(chunk(2).stop - TAG_SIZE - 1),
    "the last tag": flipped(chunk(2).stop - 1),
    "two chunks swapped": HEADER + SECOND + FIRST + LAST + FOOTER,
    "a chunk twice": HEADER + FIRST + FIRST + LAST + FOOTER,
    "the first chunk is missing": HEADER + SECOND + LAST + FOOTER,
    "the last chunk is missing": HEADER + FIRST + SECOND + FOOTER,
    "cut off": SEALED[:-50],
    "a chunk of another write of the object": HEADER + FIRST + OTHER[chunk(1)] + LAST + FOOTER,
    "another part": OTHER_PART,
    "another object": FOREIGN,
    "nothing": b"",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_not_written_so_is_not_read(name: str) -> None:
    with pytest.raises(BlobDamaged):
        opened(TAMPERED[name], LAYOUT)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("count", [1000, CHUNK, 3 * CHUNK])
def test_who_reads_on_after_an_error_gets_it_again(start: int, count: int) -> None:
    damaged = flipped(chunk(0).start)
    reader = SealedReader(SEAL, "blob", LAYOUT, lambda begin, end: io.BytesIO(damaged[begin:end]), start, SIZE)
    for _ in range(4):
        with pytest.raises(BlobDamaged):
            reader.read(count)


@pytest.mark.parametrize("damaged", range(3))
def test_an_error_keeps_no_hold_of_the_buffer(damaged: int) -> None:
    """Python 3.14 complains of a buffer that is in use when it goes, and who caught the error may have it for long."""
    sealed, buffer = flipped(chunk(damaged).start), bytearray(SIZE)
    reader = SealedReader(SEAL, "blob", LAYOUT, lambda begin, end: io.BytesIO(sealed[begin:end]), 0, SIZE)
    with pytest.raises(BlobDamaged) as caught:
        reader.readinto(buffer)
    buffer.clear()
    assert caught.tb is not None


def test_a_whole_of_a_shorter_object_is_not_the_beginning_of_a_longer_one() -> None:
    """Its last chunk is marked as the last one."""
    shorter = b"".join(SEAL.encrypt([pattern(CHUNK)], salt=bytes(16)))
    longer = b"".join(SEAL.encrypt([pattern(2 * CHUNK)], salt=bytes(16)))
    mixed = shorter[:-FOOTER_SIZE] + longer[len(shorter) - FOOTER_SIZE :]
    with pytest.raises(BlobDamaged):
        opened(mixed, (SealedPart(0, 2 * CHUNK),))
    with pytest.raises(BlobDamaged):
        opened(longer, (SealedPart(0, CHUNK),))


def test_a_range_is_not_disturbed_by_what_it_does_not_need() -> None:
    assert opened(flipped(chunk(0).start), LAYOUT, CHUNK, SIZE) == pattern(SIZE)[CHUNK:]


@pytest.mark.parametrize("name", sorted(TAMPERED.keys() - {"another part", "another object"}))
def test_a_scrub_without_a_key_finds_what_went_bad(name: str) -> None:
    digest = SealedDigest(LAYOUT)
    digest.update(TAMPERED[name])
    assert not digest.is_right()


def test_a_wrapped_key_belongs_to_its_context() -> None:
    wrapped = wrap_with(bytes(32), b"d" * 32, b"context")
    assert unwrap_with(bytes(32), wrapped, b"context") == b"d" * 32
    assert unwrap_with(bytes(32), wrapped, b"other") is None
    assert unwrap_with(b"o" * 32, wrapped, b"context") is None
    assert unwrap_with(bytes(32), b"", b"context") is None
    for position in range(len(wrapped)):
        changed = wrapped[:position] + bytes([wrapped[position] ^ 1]) + wrapped[position + 1 :]
        assert unwrap_with(bytes(32), changed, b"context") is None


def line(name: str, key: bytes) -> str:
    return f"{name} {base64.b64encode(key).decode()}\n"


def test_a_key_is_rotated_by_one_more_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours\n" + line("orders", b"1" * 32))
    old = KeyFile(path).wrap("orders", b"d" * 32, b"")
    path.write_text(path.read_text() + line("orders", b"2" * 32))
    keys = KeyFile(path)
    new = keys.wrap("orders", b"d" * 32, b"")
    assert new[0] != old[0]
    assert [keys.unwrap(*one, b"") for one in (old, new)] == [b"d" * 32] * 2
    path.write_text(line("orders", b"2" * 32))
    with pytest.raises(EncryptionKeyNotFound):
        KeyFile(path).unwrap(*old, b"")


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    files = [KeyFile(path, makes=True) for _ in range(4)]
    wrapped: list[tuple[str, bytes]] = []
    threads = [
        threading.Thread(target=lambda one=one: wrapped.append(one.wrap(STORE_KEY, b"d" * 32, b"")))
        for one in files
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({name for name, _ in wrapped}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().splitlines()) == 1
    KeyFile(path, makes=True).wrap(DEFAULT_KEY, b"d" * 32, b"")
    assert all(KeyFile(path).unwrap(*one, b"") == b"d" * 32 for one in wrapped)
    with pytest.raises(EncryptionKeyNotFound):
        files[0].wrap("orders", b"d" * 32, b"")
    with pytest.raises(EncryptionKeyNotFound):
        KeyFile(tmp_path / "absent").wrap(STORE_KEY, b"d" * 32, b"")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("text", ["orders", "orders x", "a b c", line("orders", b"1" * 16), line("ü", b"1" * 32)])
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(StoreError) as refused:
        MasterKeys.parse(text)
    assert "MTEx" not in str(refused.value)


def test_names_of_keys() -> None:
    names = {
        None: DEFAULT_KEY,
        "orders": "orders",
        "alias/orders": "orders",
        "arn:aws:kms:eu-west-1:123456789012:key/1234": "1234",
        "arn:aws:kms:eu-west-1:123456789012:alias/orders": "orders",
        "alias/aws/s3": DEFAULT_KEY,
    }
    assert {given: key_name(given) for given in names} == names


def test_nothing_shows_a_key() -> None:
    shown = repr(Encryption(kind=EncryptionKind.STORE, wrapped_key="secret")) + repr(SEAL) + repr(MasterKeys())
    assert "secret" not in shown
