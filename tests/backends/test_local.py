"""What is particular to blobs as files."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from bleepstore.backends.base import BlobSpec, PartBlob, new_blob_id
from bleepstore.backends.local import LocalBackend
from bleepstore.errors import BlobBusy, BlobNotFound

NOW = 1_700_000_000_000
SPEC = BlobSpec(bucket="photos", key="k", new_id=lambda: new_blob_id(NOW))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(tmp_path: Path, clock: Clock) -> LocalBackend:
    return LocalBackend(tmp_path, clock=clock)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def assemble(backend: LocalBackend, *bodies: bytes) -> str:
    parts = [
        PartBlob(backend.put_part(None, n, [body], new_id=new_blob_id).handle, len(body))
        for n, body in enumerate(bodies, 1)
    ]
    handle = backend.assemble_parts(None, SPEC, parts).handle
    backend.delete_parts(None, [part.handle for part in parts])
    return handle


@pytest.mark.parametrize(
    "handle",
    ["", "x", "../../etc/passwd", "0" * 27, "0" * 29, "0" * 28 + "/..", "0" * 28 + ".partz", "/etc/passwd", "é" * 28],
)
def test_a_handle_that_is_none_reaches_no_file(backend: LocalBackend, handle: str) -> None:
    for use in (backend.get_object, backend.head_object, lambda h: backend.copy_object(h, SPEC)):
        with pytest.raises(BlobNotFound):
            use(handle)
    backend.delete_object(handle)


def test_blobs_of_one_minute_share_a_folder_that_goes_with_the_last(
    backend: LocalBackend, clock: Clock, tmp_path: Path
) -> None:
    handles = [backend.put_object(SPEC, [b"data"]).handle for _ in range(3)]
    (folder,) = (tmp_path / "blobs").iterdir()
    for handle in handles:
        backend.delete_object(handle)
    assert folder.exists(), "another process may be about to write into the present minute"
    old = backend.put_object(SPEC, [b"data"]).handle
    clock.now += 10 * 60_000
    backend.delete_object(old)
    assert not folder.exists()


def test_a_write_survives_the_removal_of_its_folder(backend: LocalBackend, tmp_path: Path) -> None:
    """Between two writes of a minute the folder may have been given up by a process whose clock is ahead."""
    backend.delete_object(backend.put_object(SPEC, [b"data"]).handle)
    (folder,) = (tmp_path / "blobs").iterdir()

    def body() -> Iterator[bytes]:
        yield b"da"
        folder.rmdir()
        yield b"ta"

    with backend.get_object(backend.put_object(SPEC, body()).handle) as reader:
        assert reader.read() == b"data"


MIB = 1024 * 1024


class Reservations(list[tuple[int, int, int]]):
    """What was reserved: from which byte of the file, how many, and how many had been written."""

    def __init__(self, refusal: OSError | None = None) -> None:
        super().__init__()
        self._refusal = refusal

    def note(self, fd: int, start: int, size: int) -> None:
        self.append((start, size, os.lseek(fd, 0, os.SEEK_CUR)))
        if self._refusal is not None:
            raise self._refusal
        os.truncate(fd, start + size)


def backend_on(kind: str, root: Path, reserved: Reservations, monkeypatch: pytest.MonkeyPatch) -> LocalBackend:
    monkeypatch.setattr("bleepstore.backends.local.file_system_of", lambda _folder: kind)
    monkeypatch.setattr(os, "posix_fallocate", reserved.note)
    return LocalBackend(root)


def content(backend: LocalBackend, handle: str) -> bytes:
    with backend.get_object(handle) as reader:
        return reader.read()


def test_no_more_space_is_reserved_than_for_four_mebibytes_that_have_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved = Reservations()
    backend = backend_on("ext4", tmp_path, reserved, monkeypatch)
    pieces = [bytes([n]) * size for n, size in enumerate([64_000, *[MIB] * 12, 5])]
    data = b"".join(pieces)
    stored = backend.put_object(attrs.evolve(SPEC, size=len(data)), pieces)
    assert content(backend, stored.handle) == data
    assert [start for start, _size, _written in reserved] == [0, 5 * MIB + 64_000, 10 * MIB + 64_000]
    for start, size, written in reserved:
        assert start == written
        assert start + size == min(written + (5 * MIB if written else 5 * MIB + 64_000), len(data))


@pytest.mark.parametrize("size", [None, MIB])
def test_of_a_blob_that_is_small_or_of_unknown_size_nothing_is_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    reserved = Reservations()
    backend = backend_on("ext4", tmp_path, reserved, monkeypatch)
    pieces = [bytes(MIB // 2)] * (2 if size else 8)
    backend.put_object(attrs.evolve(SPEC, size=size), pieces)
    backend.put_part(None, 1, pieces, size, new_id=new_blob_id)
    assert reserved == []


def test_where_it_is_not_known_to_pay_nothing_is_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = Reservations()
    backend = backend_on("btrfs", tmp_path, reserved, monkeypatch)
    backend.put_object(attrs.evolve(SPEC, size=2 * MIB), [bytes(MIB)] * 2)
    assert reserved == []


def test_what_was_reserved_and_did_not_come_is_no_part_of_the_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved = Reservations()
    backend = backend_on("ext4", tmp_path, reserved, monkeypatch)
    stored = backend.put_object(attrs.evolve(SPEC, size=8 * MIB), [b"a" * MIB, b"b" * 1000])
    assert reserved == [(0, 5 * MIB, 0)]
    assert content(backend, stored.handle) == b"a" * MIB + b"b" * 1000


def test_a_disk_that_cannot_reserve_takes_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_on("ext4", tmp_path, Reservations(OSError(errno.ENOSPC, "No space left")), monkeypatch)
    stored = backend.put_object(attrs.evolve(SPEC, size=2 * MIB), [b"a" * MIB] * 2)
    assert content(backend, stored.handle) == b"a" * 2 * MIB


def test_an_interrupt_in_the_middle_of_a_write_leaves_no_file(backend: LocalBackend, tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"data"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend.put_object(SPEC, body())
    with pytest.raises(KeyboardInterrupt):
        backend.put_part(None, 1, body(), new_id=new_blob_id)
    assert files(tmp_path) == []


def test_a_temporary_file_that_cannot_be_removed_does_not_hide_what_was_wrong(
    backend: LocalBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def body() -> Iterator[bytes]:
        yield bytes(1_000_000)
        (file,) = (tmp_path / "tmp").iterdir()
        file.unlink()
        file.mkdir()  # which no unlink removes
        raise EOFError("the client went away")

    with pytest.raises(EOFError, match="the client went away"):
        backend.put_object(SPEC, body())
    assert len(caplog.messages) == 1


def test_a_failed_assembly_leaves_no_file(backend: LocalBackend, tmp_path: Path) -> None:
    part = backend.put_part(None, 1, [b"data"], new_id=new_blob_id).handle
    before = files(tmp_path)
    with pytest.raises(BlobNotFound):
        backend.assemble_parts(None, SPEC, [PartBlob(part, 4), PartBlob("0" * 28, 4)])
    assert files(tmp_path) == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_assembling_moves_no_bytes(backend: LocalBackend, tmp_path: Path) -> None:
    parts = [
        backend.put_part(None, number, [bytes([number]) * 100_000], new_id=new_blob_id).handle for number in (1, 2)
    ]
    inodes = {path.stat().st_ino for path in (tmp_path / "blobs").rglob("*") if path.is_file()}
    assembled = backend.assemble_parts(None, SPEC, [PartBlob(part, 100_000) for part in parts]).handle
    folder = next(path for path in (tmp_path / "blobs").rglob("*") if path.name == assembled)
    assert {(folder / name).stat().st_ino for name in ("00001", "00002")} == inodes
    copy = backend.copy_object(assembled, SPEC).handle
    folder = next(path for path in (tmp_path / "blobs").rglob("*") if path.name == copy)
    assert {(folder / name).stat().st_ino for name in ("00001", "00002")} == inodes


def test_where_no_hard_link_can_be_made_the_bytes_are_copied(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems such as FAT have no links, and others only so many for a file."""
    source = backend.put_object(SPEC, [b"data"]).handle

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    copy = backend.copy_object(source, SPEC).handle
    assembled = assemble(backend, b"da", b"ta")
    monkeypatch.undo()
    backend.delete_object(source)
    for handle in (copy, assembled):
        with backend.get_object(handle) as reader:
            assert reader.read() == b"data"


def test_a_reader_of_parts_makes_the_delete_wait_and_no_other(backend: LocalBackend, tmp_path: Path) -> None:
    handle = assemble(backend, b"da", b"ta")
    with backend.get_object(handle) as first, backend.get_object(handle) as second:
        assert first.read(1) == b"d"
        with pytest.raises(BlobBusy):
            backend.delete_object(handle)
        with backend.get_object(handle) as third:
            assert third.read() == b"data", "a delete that has to wait leaves the blob readable"
        assert first.read() == b"ata"
        assert second.read() == b"data"
    backend.delete_object(handle)
    assert files(tmp_path) == []


def _hold(root: str, handle: str, opened: multiprocessing.Queue[bytes], go_on: multiprocessing.Queue[None]) -> None:
    with LocalBackend(Path(root)).get_object(handle) as reader:
        opened.put(reader.read(1))
        go_on.get()
        opened.put(reader.read())


def test_a_reader_in_another_process_counts_too(backend: LocalBackend, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    handle = assemble(backend, b"da", b"ta")
    opened: multiprocessing.Queue[bytes] = context.Queue()
    go_on: multiprocessing.Queue[None] = context.Queue()
    process = context.Process(target=_hold, args=(str(tmp_path), handle, opened, go_on))
    process.start()
    try:
        assert opened.get(timeout=60) == b"d"
        with pytest.raises(BlobBusy):
            backend.delete_object(handle)
    finally:
        go_on.put(None)
    assert opened.get(timeout=60) == b"ata"
    process.join()
    for queue in (opened, go_on):
        queue.close()
        queue.join_thread()
    backend.delete_object(handle)
    with pytest.raises(BlobNotFound):
        backend.get_object(handle)


def test_a_delete_that_was_cut_off_is_finished_by_the_next(backend: LocalBackend, tmp_path: Path) -> None:
    handle = assemble(backend, b"da", b"ta")
    next((tmp_path / "blobs").rglob("manifest")).unlink()  # as far as the first one came
    with pytest.raises(BlobNotFound):
        backend.get_object(handle)
    backend.delete_object(handle)
    assert files(tmp_path) == []


def test_recovery_removes_what_was_under_way_and_opening_only_what_is_a_day_old(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    kept = backend.put_object(SPEC, [b"data"]).handle
    old, young = tmp_path / "tmp" / "old", tmp_path / "tmp" / "young"
    for path in (old, young):
        path.mkdir()
        (path / "00001").write_bytes(b"part")
    (tmp_path / "tmp" / "file").write_bytes(b"bytes")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    again = LocalBackend(tmp_path)
    assert sorted(path.name for path in (tmp_path / "tmp").iterdir()) == ["file", "young"]
    again.recover()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert again.head_object(kept) == 4


def test_only_the_owner_of_the_store_can_read_its_files(backend: LocalBackend, tmp_path: Path) -> None:
    backend.put_object(SPEC, [b"data"])
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0


def test_a_strange_file_among_the_blobs_is_nobodys_blob(backend: LocalBackend, tmp_path: Path) -> None:
    handle = backend.put_object(SPEC, [b"data"]).handle
    (folder,) = (tmp_path / "blobs").iterdir()
    (folder / "README").write_text("what is this")
    (tmp_path / "blobs" / "lost+found").mkdir()
    (tmp_path / "blobs" / "notes.txt").write_text("x")
    assert list(backend.iter_blobs(0, 1 << 47)) == [handle]


def test_a_blob_in_quarantine_keeps_its_path_and_its_bytes(backend: LocalBackend, clock: Clock, tmp_path: Path) -> None:
    plain = backend.put_object(SPEC, [b"data"]).handle
    assembled = assemble(backend, b"one", b"two")
    minute = f"{clock.now // 60_000:08x}"
    assert backend.quarantine(plain) == tmp_path / "quarantine" / "blobs" / minute / plain
    assert backend.quarantine(assembled) == tmp_path / "quarantine" / "blobs" / minute / assembled
    assert list(backend.iter_blobs(0, 1 << 60)) == []
    for handle in (plain, assembled):
        with pytest.raises(BlobNotFound):
            backend.get_object(handle)
        with pytest.raises(BlobNotFound):
            backend.quarantine(handle)
    kept = tmp_path / "quarantine" / "blobs" / minute
    assert (kept / plain).read_bytes() == b"data"
    assert [(kept / assembled / name).read_bytes() for name in ("00001", "00002")] == [b"one", b"two"]


def test_what_is_in_quarantine_is_never_replaced(backend: LocalBackend, tmp_path: Path) -> None:
    """The same name may come twice, out of a backup for one."""
    handle = backend.put_object(SPEC, [b"first"]).handle
    (source,) = (tmp_path / "blobs").glob(f"*/{handle}")
    first = backend.quarantine(handle)
    kept = [first]
    for number in (1, 2):
        source.write_bytes(b"again")
        kept.append(backend.quarantine(handle))
        assert kept[-1] == first.with_name(f"{handle}.{number}")
    assert [path.read_bytes() for path in kept] == [b"first", b"again", b"again"]


def test_an_assembled_blob_that_is_being_read_is_not_moved(backend: LocalBackend) -> None:
    handle = assemble(backend, b"one", b"two")
    with backend.get_object(handle) as reader:
        with pytest.raises(BlobBusy):
            backend.quarantine(handle)
        assert reader.read() == b"onetwo"
    backend.quarantine(handle)
