"""Bytes that are not those that were written are never handed out whole, and never get a checksum of their own."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.digests import Algorithm
from bleepstore.errors import ObjectDamaged
from bleepstore.filesystem import BleepStoreFileSystem
from bleepstore.model import ByteRange, ChecksumType, CompletedPart

MIB = 1024 * 1024
BUCKET = "photos"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(tmp_path / "data") as store:
        store.create_bucket(BUCKET)
        yield store


def files_of(store: Store) -> list[Path]:
    assert store.path is not None
    return sorted(path for path in (store.path / "blobs").glob("*/**/*") if path.is_file() and path.name != "manifest")


def flip(path: Path, at: int = -1) -> None:
    """Change one bit, as a disk does: neither size nor times change."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def flip_inline(store: Store, key: str) -> None:
    assert store.path is not None
    with sqlite3.connect(store.path / "catalog.db") as connection:
        (data, inline_id) = connection.execute(
            "SELECT data, d.inline_id FROM inline_data d JOIN object_version o USING (inline_id) WHERE key = ?",
            (key,),
        ).fetchone()
        changed = bytes([data[0] ^ 1]) + data[1:]
        connection.execute("UPDATE inline_data SET data = ? WHERE inline_id = ?", (changed, inline_id))
    connection.close()


def upload_parts(
    store: Store, key: str, algorithm: Algorithm | None = None, sizes: tuple[int, ...] = (5, 5, 1)
) -> None:
    kind = None
    if algorithm is not None:
        kind = ChecksumType.COMPOSITE if algorithm == Algorithm.SHA256 else ChecksumType.FULL_OBJECT
    upload = store.create_upload(BUCKET, key, checksum_algorithm=algorithm, checksum_type=kind)
    parts = []
    for number, size in enumerate(sizes, 1):
        part = store.put_part(
            BUCKET, key, upload.upload_id, number, bytes([number]) * size * MIB, checksum_algorithm=algorithm
        )
        parts.append(CompletedPart(number=number, etag=part.etag, checksum=part.checksum))
    store.complete_upload(BUCKET, key, upload.upload_id, parts)


def received_of(store: Store, key: str) -> int:
    """How many bytes of a damaged object are handed out before the error."""
    received = 0

    def read() -> None:
        nonlocal received
        with store.get_object(BUCKET, key) as stored:
            for chunk in stored:
                received += len(chunk)

    with pytest.raises(ObjectDamaged, match=f"{BUCKET}/{key}"):
        read()
    return received


DAMAGES = pytest.mark.parametrize("damage", [flip, cut, lengthen])


@DAMAGES
@pytest.mark.parametrize("algorithm", [Algorithm.CRC64NVME, Algorithm.CRC32, Algorithm.SHA256, Algorithm.MD5])
def test_a_whole_object_that_is_damaged_cannot_be_read(
    store: Store, damage: Callable[[Path], None], algorithm: Algorithm
) -> None:
    store.put_object(BUCKET, "k", bytes(3 * MIB), checksum_algorithm=algorithm)
    damage(files_of(store)[0])
    assert received_of(store, "k") < 3 * MIB
    assert store.damaged_reads == 1
    with pytest.raises(ObjectDamaged), store.get_object(BUCKET, "k") as stored:
        stored.read()


@pytest.mark.parametrize(
    ("damage", "algorithm"),
    [(flip, None), (cut, None), (lengthen, None), (flip, Algorithm.CRC32), (flip, Algorithm.SHA256)],
)
def test_a_damaged_part_shows_in_the_whole(
    store: Store, damage: Callable[[Path], None], algorithm: Algorithm | None
) -> None:
    upload_parts(store, "k", algorithm)
    store.sweep()
    damage(files_of(store)[1])
    assert received_of(store, "k") < 11 * MIB


def test_a_part_that_is_gone_shows_in_the_whole(store: Store) -> None:
    upload_parts(store, "k")
    store.sweep()
    files_of(store)[1].unlink()
    with pytest.raises(ObjectDamaged, match="part 2"), store.get_object(BUCKET, "k") as stored:
        stored.read()


def test_small_objects_in_the_catalog_are_compared_also_for_a_range_and_a_copy(store: Store) -> None:
    store.put_object(BUCKET, "k", b"small bytes")
    flip_inline(store, "k")
    with pytest.raises(ObjectDamaged):
        store.get_object(BUCKET, "k")
    with pytest.raises(ObjectDamaged):
        store.get_object(BUCKET, "k", range=ByteRange(1, 2))
    with pytest.raises(ObjectDamaged):
        store.copy_object(BUCKET, "k", BUCKET, "copy")


def test_what_was_compared_is_compared_again_when_its_file_has_changed(store: Store) -> None:
    store.put_object(BUCKET, "k", bytes(MIB))
    path = files_of(store)[0]
    os.utime(path)
    for _ in range(3):
        with store.get_object(BUCKET, "k") as stored:
            assert stored.read() == bytes(MIB)
    flip(path)
    with pytest.raises(ObjectDamaged), store.get_object(BUCKET, "k") as stored:
        stored.read()


@pytest.mark.parametrize("size", [0, 1, 100_000, MIB])
def test_sound_objects_are_read_in_every_way(store: Store, size: int) -> None:
    body = os.urandom(size)
    with bleepstore.open(store.path, inline_limit=-1) as other:
        other.put_object(BUCKET, "k", body)
        with other.get_object(BUCKET, "k") as stored:
            assert b"".join(stored) == body
        with other.get_object(BUCKET, "k") as stored:
            file = stored if stored.file is None else stored.file
            assert io.BufferedReader(file).read() == body  # type: ignore[type-var]  # it is a RawIOBase
        with other.get_object(BUCKET, "k") as stored:
            assert stored.read(7) + stored.read() + stored.read(7) == body


def test_a_range_of_a_file_that_was_cut_off_is_refused_before_it_begins(store: Store) -> None:
    store.put_object(BUCKET, "k", bytes(MIB))
    cut(files_of(store)[0])
    with pytest.raises(ObjectDamaged, match="instead of 1048576"):
        store.get_object(BUCKET, "k", range=ByteRange(0, 9))


def test_a_file_that_is_cut_off_while_it_is_read_is_no_short_answer(store: Store) -> None:
    store.put_object(BUCKET, "k", bytes(3 * MIB))
    with store.get_object(BUCKET, "k", range=ByteRange(0, 3 * MIB - 2)) as stored:
        stored.read(MIB)
        os.truncate(files_of(store)[0], MIB)
        with pytest.raises(ObjectDamaged):
            stored.read()


def test_a_copy_with_another_checksum_is_refused(store: Store) -> None:
    store.put_object(BUCKET, "k", bytes(3 * MIB))
    flip(files_of(store)[0])
    with pytest.raises(ObjectDamaged):
        store.copy_object(BUCKET, "k", BUCKET, "copy", checksum_algorithm=Algorithm.SHA256)
    assert [found.key for found in store.list_objects(BUCKET).objects] == ["k"]


def test_a_copy_that_shares_the_bytes_has_their_checksum(store: Store) -> None:
    """It is not read, and cannot be read either."""
    store.put_object(BUCKET, "k", bytes(3 * MIB))
    flip(files_of(store)[0])
    store.copy_object(BUCKET, "k", BUCKET, "copy")
    with pytest.raises(ObjectDamaged), store.get_object(BUCKET, "copy") as stored:
        stored.read()


@pytest.mark.parametrize("wanted", [None, ByteRange(0, 99), ByteRange(MIB, 2 * MIB)])
def test_no_part_is_made_of_a_damaged_object(store: Store, wanted: ByteRange | None) -> None:
    """Also where the damage is outside of the range: only the object as a whole has a checksum."""
    store.put_object(BUCKET, "k", bytes(3 * MIB))
    flip(files_of(store)[0])
    upload = store.create_upload(BUCKET, "to")
    with pytest.raises(ObjectDamaged):
        store.copy_part(BUCKET, "k", BUCKET, "to", upload.upload_id, 1, source_range=wanted)
    assert store.list_parts(BUCKET, "to", upload.upload_id).parts == []
    assert len(files_of(store)) == 1


def test_a_part_is_made_of_those_parts_that_are_sound(store: Store) -> None:
    upload_parts(store, "k")
    store.sweep()
    flip(files_of(store)[1])
    upload = store.create_upload(BUCKET, "to")

    def copy(first: int, last: int) -> int:
        wanted = ByteRange(first, last)
        return store.copy_part(BUCKET, "k", BUCKET, "to", upload.upload_id, 1, source_range=wanted).size

    assert copy(0, 5 * MIB - 1) == 5 * MIB
    assert copy(10 * MIB, 11 * MIB - 1) == MIB
    for first, last in ((5 * MIB, 5 * MIB), (5 * MIB - 1, 10 * MIB), (3, 11 * MIB - 1)):
        with pytest.raises(ObjectDamaged):
            copy(first, last)


def test_parts_of_sound_objects_have_the_bytes_of_the_range(store: Store) -> None:
    whole = os.urandom(100_000)
    store.put_object(BUCKET, "single", whole)
    upload_parts(store, "parts", sizes=(5, 5, 1))
    joined = b"".join(bytes([number]) * size * MIB for number, size in ((1, 5), (2, 5), (3, 1)))
    for key, body in (("single", whole), ("parts", joined)):
        for first, last in ((0, len(body) - 1), (1, 5), (len(body) // 3, len(body) - 2)):
            upload = store.create_upload(BUCKET, "to")
            part = store.copy_part(BUCKET, key, BUCKET, "to", upload.upload_id, 1, source_range=ByteRange(first, last))
            store.complete_upload(BUCKET, "to", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
            with store.get_object(BUCKET, "to") as stored:
                assert stored.read() == body[first : last + 1]


def test_a_file_system_says_that_it_is_a_fault_of_the_input(store: Store, tmp_path: Path) -> None:
    store.put_object(BUCKET, "k", bytes(100_000))
    flip(files_of(store)[0])
    fs = BleepStoreFileSystem(store=store)
    reads: list[Callable[[], object]] = [
        lambda: fs.cat_file(f"{BUCKET}/k"),
        lambda: fs.get_file(f"{BUCKET}/k", str(tmp_path / "brought")),
        lambda: fs.open(f"{BUCKET}/k").read(),
    ]
    for read in reads:
        with pytest.raises(OSError, match="damaged") as failed:
            read()
        assert failed.value.errno == errno.EIO
    assert not (tmp_path / "brought").exists()


def test_a_fork_in_memory_compares_what_is_stored_on_the_disk(store: Store) -> None:
    store.put_object(BUCKET, "k", bytes(MIB))
    flip(files_of(store)[0])
    with store.fork() as fork, pytest.raises(ObjectDamaged), fork.get_object(BUCKET, "k") as stored:
        stored.read()
