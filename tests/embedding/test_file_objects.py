"""What a read gives is a binary file, for whatever in Python reads files."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import tarfile
import zipfile
from pathlib import Path

import pandas
import pytest

import bleepstore
from bleepstore.backends.memory import MemoryBackend
from bleepstore.errors import BlobNotFound, PreconditionFailed

pytestmark = pytest.mark.stores("local")

SIZES = [0, 1, 100, 70_000, 1_500_000]


@pytest.fixture
def store(store: bleepstore.Store) -> bleepstore.Store:
    store.create_bucket("photos")
    return store


def parts_of(store: bleepstore.Store, data: bytes) -> None:
    upload = store.create_upload("photos", "k")
    cut = 5 * 1024**2
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    parts = [store.put_part("photos", "k", upload.upload_id, n, piece) for n, piece in enumerate(pieces, 1)]
    listed = [bleepstore.CompletedPart(number=part.number, etag=part.etag) for part in parts]
    store.complete_upload("photos", "k", upload.upload_id, listed)


@pytest.mark.parametrize("size", [*SIZES, 6_000_000])
@pytest.mark.parametrize("span", [None, bleepstore.ByteRange(10, 70_010)], ids=["whole", "range"])
def test_it_reads_and_seeks_as_a_file_in_memory_does(
    store: bleepstore.Store, size: int, span: bleepstore.ByteRange | None
) -> None:
    if span is not None and size < 11:
        pytest.skip("the range is behind the end")
    chance = random.Random(size)
    data = chance.randbytes(size).replace(b"\x07", b"\n")
    if size == 6_000_000:
        parts_of(store, data)
    else:
        store.put_object("photos", "k", data)
    body = data if span is None else data[10:70_011]
    with store.get_object("photos", "k", range=span) as found:
        like = io.BytesIO(body)
        assert found.readable()
        assert found.seekable()
        assert not found.writable()
        for step in range(300):
            match chance.randrange(8):
                case 0 | 1:
                    count = chance.choice([0, 1, 5, 8192, 100_000])
                    assert found.read(count) == like.read(count), step
                case 2:
                    assert found.readline() == like.readline(), step
                case 3:
                    assert list(itertools.islice(found, 3)) == list(itertools.islice(like, 3)), step
                case 4:
                    ours, theirs = bytearray(50), bytearray(50)
                    assert found.readinto(ours) == like.readinto(theirs), step
                    assert ours == theirs
                case 5:
                    position = chance.randrange(len(body) + 100)
                    assert found.seek(position) == like.seek(position), step
                case 6:
                    back = -chance.randrange(len(body) + 1)
                    assert found.seek(back, io.SEEK_END) == like.seek(back, io.SEEK_END), step
                case 7:
                    position = max(0, like.tell() + chance.randrange(-20, 20))
                    assert found.seek(position - like.tell(), io.SEEK_CUR) == like.seek(position), step
            assert found.tell() == like.tell(), step
        found.seek(0)
        assert found.read() == body
        assert found.read() == b""
        with pytest.raises(ValueError, match="no position -1"):
            found.seek(-1)
        with pytest.raises(io.UnsupportedOperation):
            found.write(b"")
    assert found.closed
    for use in (found.read, lambda: found.seek(0), found.__enter__):
        with pytest.raises(ValueError, match="closed"):
            use()


@pytest.mark.parametrize("filler", [10, 100_000])
def test_the_readers_of_the_standard_library(store: bleepstore.Store, filler: int) -> None:
    noise = random.Random(1).randbytes(filler)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("noise", noise)
        made.writestr("a.txt", "zipped")
    store.put_object("photos", "a.zip", packed.getvalue())
    with store.get_object("photos", "a.zip") as found, zipfile.ZipFile(found) as archive:
        assert archive.read("a.txt") == b"zipped"
        assert archive.testzip() is None

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as made_tar:
        info = tarfile.TarInfo("noise")
        info.size = filler
        made_tar.addfile(info, io.BytesIO(noise))
    store.put_object("photos", "a.tar.gz", packed.getvalue())
    with store.get_object("photos", "a.tar.gz") as found, tarfile.open(fileobj=found) as tar:
        member = tar.extractfile("noise")
        assert member is not None
        assert member.read() == noise

    rows = [["name", "size"], *([f"naïve {n}", str(n)] for n in range(filler // 10))]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    store.put_object("photos", "a.csv", text.getvalue().encode())
    with store.get_object("photos", "a.csv") as found:
        assert list(csv.reader(io.TextIOWrapper(found, "utf-8", newline=""))) == rows
    with store.get_object("photos", "a.csv") as found:
        assert len(pandas.read_csv(found)) == len(rows) - 1
    store.put_object("photos", "a.json", json.dumps(rows).encode())
    with store.get_object("photos", "a.json") as found:
        assert json.load(found) == rows
    with store.get_object("photos", "a.json") as found:
        store.put_object("photos", "again", found)
    assert store.head_object("photos", "again").etag == store.head_object("photos", "a.json").etag


def test_chunks_are_closed_with_their_object(store: bleepstore.Store) -> None:
    data = bytes(300_000)
    store.put_object("photos", "k", data)
    found = store.get_object("photos", "k")
    assert b"".join(found.chunks()) == data
    assert found.closed
    given_up = store.get_object("photos", "k").chunks()
    next(given_up)
    given_up.close()
    assert list(given_up) == []


def test_what_is_open_outlives_its_object(store: bleepstore.Store) -> None:
    """Also where it goes back: the bytes are those of the version that was opened."""
    data = random.Random(2).randbytes(300_000)
    store.put_object("photos", "k", data)
    with store.get_object("photos", "k") as found:
        found.read(10)
        store.put_object("photos", "k", b"new")
        store.delete_object("photos", "k")
        store.sweep()
        found.seek(200_000)
        assert found.read() == data[200_000:]
        found.seek(0)
        assert found.read() == data


class Stream(io.RawIOBase):
    """What a provider gives: no seeking, and as many bytes as have come."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._data.read(-1 if size is None or size < 0 else min(size, 7))


def test_a_stream_is_opened_anew_where_it_is_sought(store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(3).randbytes(1_000_000)
    opened: list[tuple[int, int | None]] = []

    def get_object(self: MemoryBackend, handle: str, start: int = 0, stop: int | None = None) -> Stream:
        opened.append((start, stop))
        if len(opened) > 2:
            raise BlobNotFound(handle)
        return Stream(data[start:stop])

    monkeypatch.setattr(MemoryBackend, "get_object", get_object)
    monkeypatch.setattr(MemoryBackend, "bytes_of", lambda _self, _handle: None)
    with bleepstore.open() as ours:
        ours.create_bucket("photos")
        ours.put_object("photos", "k", data)
        with ours.get_object("photos", "k", range=bleepstore.ByteRange(1000, 400_000)) as found:
            assert found.read(100) == data[1000:1100]
            found.seek(20_000)
            found.seek(30_000)
            assert found.read(100) == data[31_000:31_100]
            assert opened == [(1000, 400_001), (31_000, 400_001)]
            found.seek(0)
            with pytest.raises(PreconditionFailed):
                found.read(1)
        assert found.closed


def test_all_is_read_of_a_stream_that_gives_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(4).randbytes(5_000)

    def get_object(self: MemoryBackend, handle: str, start: int = 0, stop: int | None = None) -> Stream:
        return Stream(data[start:stop])

    monkeypatch.setattr(MemoryBackend, "get_object", get_object)
    monkeypatch.setattr(MemoryBackend, "bytes_of", lambda _self, _handle: None)
    with bleepstore.open() as ours:
        ours.create_bucket("photos")
        ours.put_object("photos", "k", data)
        for wanted in (None, bleepstore.ByteRange(10, 4_000)):
            stop = None if wanted is None else 4_001
            with ours.get_object("photos", "k", range=wanted) as found:
                assert found.read() == data[10 if wanted else 0 : stop]
                assert found.read() == b""
            with ours.get_object("photos", "k", range=wanted) as found:
                assert found.peek(5)[:5] == found.read(5)
                assert found.read() == data[15 if wanted else 5 : stop]


def test_bytes_in_memory_are_neither_copied_nor_wrapped_in_a_file() -> None:
    with bleepstore.open() as ours:
        ours.create_bucket("photos")
        ours.put_object("photos", "k", bytes(70_000))
        with ours.get_object("photos", "k") as one, ours.get_object("photos", "k") as other:
            assert one.file is None
            assert one.read() is other.read()
        with ours.get_object("photos", "k", range=bleepstore.ByteRange(10, 70_010)) as found:
            assert found.file is None
            assert len(found.read()) == 69_990


def test_what_is_known_of_it(store: bleepstore.Store) -> None:
    put = store.put_object("photos", "k", b"meow", metadata={"a": "b"}, content_type="image/png", cache_control="no")
    with store.get_object("photos", "k") as found:
        assert (found.etag, found.size, found.metadata, found.content_type) == (put.etag, 4, {"a": "b"}, "image/png")
        assert found.last_modified == put.modified
        assert found.version.system.cache_control == "no"
        assert found.name == "k"
    head = store.head_object("photos", "k")
    assert (head.size, head.read()) == (4, b"")


def test_headers_are_keywords(store: bleepstore.Store) -> None:
    system = bleepstore.SystemMetadata(content_type="text/plain", expires="never")
    store.put_object("photos", "k", b"1", system=system, content_type="image/png", content_disposition="inline")
    wanted = bleepstore.SystemMetadata(content_type="image/png", expires="never", content_disposition="inline")
    assert store.head_object("photos", "k").version.system == wanted
    assert store.create_upload("photos", "k", content_language="de").system.content_language == "de"
    copy = store.copy_object("photos", "k", "photos", "c", replace_metadata=True, content_encoding="gzip")
    assert copy.system == bleepstore.SystemMetadata(content_encoding="gzip")
    with pytest.raises(bleepstore.errors.InvalidRequest, match="replace_metadata=True"):
        store.copy_object("photos", "k", "photos", "d", content_type="image/png")
    moved = store.copy_object("photos", "k", "photos", "e", website_redirect_location="/x")
    assert moved.system.website_redirect_location == "/x"


def test_nothing_that_is_printed_shows_bytes(store: bleepstore.Store, tmp_path: Path) -> None:
    for size in (6, 100_000):
        store.put_object("photos", "k", b"SECRET" * (size // 6))
        with store.get_object("photos", "k") as found:
            assert "SECRET" not in repr(found)
            assert "photos" in repr(found)
    credential = store.put_credential("alice", "SECRET")
    assert "SECRET" not in repr(credential)


def test_a_store_says_where_it_is(tmp_path: Path) -> None:
    with bleepstore.open() as memory, bleepstore.open(tmp_path / "data") as folder:
        assert repr(memory) == f"<Store in memory, {id(memory):#x}>"
        assert repr(folder) == f"<Store at {str(tmp_path / 'data')!r}, {id(folder):#x}>"
    assert repr(memory) == f"<Store in memory, {id(memory):#x}>", "also once it is closed"
