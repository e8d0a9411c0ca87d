"""A store as one file, and back."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import bleepstore
from bleepstore import Algorithm, CompletedPart, SystemMetadata
from bleepstore.errors import ArchiveDamaged
from bleepstore_server.cli import main

pytestmark = pytest.mark.stores("local")

MIB = 1024 * 1024
LARGE = 100_000  # more than is kept in the catalog


def fill(store: bleepstore.Store) -> dict[str, bytes]:
    """Objects of every kind in the bucket `bbb`: what reads must give."""
    store.create_bucket("bbb")
    store.put_credential("KEY", "secret")
    data = {
        "small": b"s",
        "large": os.urandom(LARGE),
        "parts": os.urandom(5 * MIB + 7),
        "composite": b"1" * 5 * MIB + b"2",
    }
    store.put_object("bbb", "small", data["small"], metadata={"a": "b"}, system=SystemMetadata(content_type="x/y"))
    store.put_object("bbb", "large", data["large"], checksum_algorithm=Algorithm.SHA256)
    for key, algorithm in (("parts", None), ("composite", Algorithm.SHA256)):
        upload = store.create_upload("bbb", key, checksum_algorithm=algorithm)
        parts = []
        for number, start in enumerate((0, 5 * MIB), 1):
            chunk = data[key][start : start + 5 * MIB]
            part = store.put_part("bbb", key, upload.upload_id, number, chunk, checksum_algorithm=algorithm)
            parts.append(CompletedPart(number=number, etag=part.etag, checksum=part.checksum))
        store.complete_upload("bbb", key, upload.upload_id, parts)
    store.copy_object("bbb", "parts", "bbb", "copy")
    data["copy"] = data["parts"]
    return data


def contents(store: bleepstore.Store) -> dict[str, bytes]:
    found = {}
    for listed in store.list_objects("bbb").objects:
        with store.get_object("bbb", listed.key) as stored:
            found[listed.key] = stored.read()
    return found


@pytest.mark.parametrize("name", ["backup.tar", "backup.tar.gz"])
def test_a_restored_store_has_all_that_was_backed_up(store: bleepstore.Store, tmp_path: Path, name: str) -> None:
    data = fill(store)
    pending = store.create_upload("bbb", "pending")
    store.put_part("bbb", "pending", pending.upload_id, 1, b"part")
    seen: list[tuple[int, int]] = []
    store.backup(tmp_path / name, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == seen[0][1] > sum(map(len, data.values())) - 2
    store.put_object("bbb", "later", b"")
    back: list[tuple[int, int]] = []
    bleepstore.restore(tmp_path / name, tmp_path / "restored", lambda done, total: back.append((done, total)))
    assert back[-1] == seen[-1]
    with bleepstore.open(tmp_path / "restored") as restored:
        assert contents(restored) == data
        assert restored.head_object("bbb", "small").version == store.head_object("bbb", "small").version
        assert restored.get_credential("KEY") == store.get_credential("KEY")
        part = restored.list_parts("bbb", "pending", pending.upload_id).parts[0]
        restored.complete_upload("bbb", "pending", pending.upload_id, [CompletedPart(number=1, etag=part.etag)])
        restored.sweep()
        assert contents(restored) == data | {"pending": b"part"}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == [name, "restored"]


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """Each writer makes its objects in order and replaces them, so a moment has no gap, and every blob is there."""
    stop = threading.Event()
    with bleepstore.open(tmp_path / "store") as store:
        store.create_bucket("bbb")

        def write() -> None:
            number = 0
            while not stop.is_set():
                store.put_object("bbb", f"{number:06d}", os.urandom(LARGE))
                store.put_object("bbb", "same", os.urandom(LARGE))
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            while len(store.list_objects("bbb").objects) < 5:
                store.sweep()
            for number in range(3):
                store.backup(tmp_path / f"{number}.tar")
                store.sweep()
        finally:
            stop.set()
            writer.join()
    for number in range(3):
        bleepstore.restore(tmp_path / f"{number}.tar", tmp_path / f"restored-{number}")
        with bleepstore.open(tmp_path / f"restored-{number}") as restored:
            keys = [key for key in contents(restored) if key != "same"]
            assert keys == [f"{index:06d}" for index in range(len(keys))]


def test_the_command_line_backs_up_a_store_that_is_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        data = fill(store)
        assert main(["backup", str(tmp_path / "store"), str(tmp_path / "a.tar")]) == 0
        assert main(["backup", str(tmp_path / "store"), str(tmp_path / "a.tar")]) == 2
        assert "never replaces" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "a.tar"), str(tmp_path / "new" / "restored")]) == 0
    assert main(["restore", str(tmp_path / "a.tar"), str(tmp_path / "new" / "restored")]) == 2
    assert main(["backup", str(tmp_path / "missing"), str(tmp_path / "b.tar")]) == 2
    with bleepstore.open(tmp_path / "new" / "restored") as restored:
        assert contents(restored) == data


# -- bad archives


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with bleepstore.open() as store:
        store.create_bucket("bbb")
        store.put_object("bbb", "inline", b"inline data")
        store.put_credential("KEY", "a secret")
        store.put_object("bbb", "large", bytes(LARGE))
        store.put_object("bbb", "other", b"x" * LARGE)
        store.backup(tmp_path / "a.tar")
    return tmp_path / "a.tar"


def assert_refused(archive: Path, match: str | None = None) -> None:
    target = archive.parent / "folder" / "restored"
    with pytest.raises(ArchiveDamaged, match=match):
        bleepstore.restore(archive, target)
    assert list(target.parent.iterdir()) == []


def rewrite(archive: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)


def set_catalog(members: list[tuple[tarfile.TarInfo, bytes]], data: bytes) -> None:
    """Another catalog, with its digest."""
    members[0][0].size = len(data)
    members[0] = (members[0][0], data)
    members[1] = (members[1][0], f"{hashlib.sha256(data).hexdigest()}  catalog.db\n".encode())


def test_a_backup_is_an_ordinary_tar_file(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        assert [name.split("/")[0] for name in tar.getnames()] == ["catalog.db", "catalog.db.sha256", "blobs", "blobs"]


@pytest.mark.parametrize("share", [0, 100, 512, 0.2, 0.5, 0.999])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_cut_off_archive_is_refused(archive: Path, share: float, compressed: bool) -> None:
    data = archive.read_bytes()
    data = gzip.compress(data) if compressed else data
    archive.write_bytes(data[: int(share * len(data) if share < 1 else share)])
    assert_refused(archive)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("where", ["in the first", "behind the first", "header", "in the second", "size", "the end"])
def test_of_an_archive_that_cannot_be_read_on_the_rest_can_be_left_out(
    archive: Path, where: str, compressed: bool
) -> None:
    data = bytearray(archive.read_bytes())
    with tarfile.open(archive) as tar:
        first, second = tar.getmembers()[2:]
    behind = "other" if data[first.offset_data] == 0 else "large"
    match where:
        case "in the first":
            del data[first.offset_data + 100 :]
        case "behind the first":
            del data[second.offset :]
        case "header":
            data[second.offset + 10] ^= 1
        case "in the second":
            del data[second.offset_data + 100 :]
        case "size":
            shorter = tarfile.TarInfo(second.name)
            shorter.size = 5
            data[second.offset : second.offset_data] = shorter.tobuf(tarfile.GNU_FORMAT)
        case _:
            del data[-1:]
    archive.write_bytes(gzip.compress(data) if compressed else data)
    assert_refused(archive)
    target = archive.parent / "restored"
    left_out = bleepstore.restore(archive, target, skip_damaged=True)
    lost = {"in the first": ["large", "other"], "the end": []}.get(where, [behind])
    assert [damage.key for damage in left_out] == lost
    assert all("cannot be read as far as its bytes" in damage.reason for damage in left_out)
    with bleepstore.open(target) as store:
        listed = [found.key for found in store.list_objects("bbb").objects]
        assert listed == [key for key in ("inline", "large", "other") if key not in lost]
        assert store.get_object("bbb", "inline").read() == b"inline data"
        assert "large" in lost or store.get_object("bbb", "large").read() == bytes(LARGE)
    assert bleepstore.fsck(target) == []


def test_of_a_compressed_archive_that_is_cut_off_what_came_before_is_brought(archive: Path) -> None:
    data = gzip.compress(archive.read_bytes())
    archive.write_bytes(data[:-20])
    bleepstore.restore(archive, archive.parent / "restored", skip_damaged=True)
    with bleepstore.open(archive.parent / "restored") as store:
        assert store.get_object("bbb", "inline").read() == b"inline data"


def test_a_damaged_catalog_is_refused_also_where_damage_is_skipped(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ArchiveDamaged):
        bleepstore.restore(archive, archive.parent / "restored", skip_damaged=True)
    assert not (archive.parent / "restored").exists()


def test_what_follows_behind_the_end_is_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes() + b"more")
    assert_refused(archive, "follows")


def test_a_file_of_something_else_is_refused(archive: Path) -> None:
    archive.write_bytes(os.urandom(10_000))
    assert_refused(archive)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "blobs/../escaped", "blobs/unknown", "catalog.db"])
def test_a_member_that_the_catalog_does_not_know_is_refused(archive: Path, name: str) -> None:
    def add(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        extra = tarfile.TarInfo(name)
        extra.size = 1
        members.append((extra, b"x"))

    rewrite(archive, add)
    assert_refused(archive, "does not know")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE]
)
def test_anything_but_plain_files_is_refused(archive: Path, kind: bytes) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2][0].type = kind
        members[2][0].linkname = "/etc/passwd"

    rewrite(archive, change)
    assert_refused(archive, "not a plain file")


def test_a_blob_that_comes_twice_or_not_at_all_is_refused(archive: Path) -> None:
    original = archive.read_bytes()
    rewrite(archive, lambda members: members.append(members[2]))
    assert_refused(archive, "came before")
    archive.write_bytes(original)
    rewrite(archive, lambda members: members.__delitem__(3))
    assert_refused(archive, "bbb/(large|other): the archive does not have its bytes")


def test_bytes_that_changed_are_refused(archive: Path) -> None:
    def flip(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2] = (members[2][0], b"\1" + members[2][1][1:])

    rewrite(archive, flip)
    assert_refused(archive, "ETag")


@pytest.mark.parametrize("text", [b"inline data", b"a secret", b"bbb"])
def test_a_catalog_that_changed_is_refused(archive: Path, text: bytes) -> None:
    original = archive.read_bytes()
    at = original.index(text)
    archive.write_bytes(original[:at] + b"I" + original[at + 1 :])
    assert_refused(archive, "SHA-256 differs")


def test_a_catalog_without_its_digest_is_refused(archive: Path) -> None:
    rewrite(archive, lambda members: members.__delitem__(1))
    assert_refused(archive, r"no catalog\.db\.sha256")


def test_the_bytes_in_a_catalog_are_verified_too(archive: Path) -> None:
    """By an archive whose digest fits."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        set_catalog(members, members[0][1].replace(b"inline data", b"Inline data"))

    rewrite(archive, change)
    assert_refused(archive, "inline|damaged")


def test_a_blob_larger_than_the_catalog_says_is_refused_before_it_is_read(archive: Path) -> None:
    def swell(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2][0].size = 50 * MIB
        members[2] = (members[2][0], bytes(50 * MIB))

    rewrite(archive, swell)
    archive.write_bytes(gzip.compress(archive.read_bytes()))
    assert_refused(archive, "its catalog says")


def test_a_catalog_with_a_trigger_is_refused(archive: Path, tmp_path: Path) -> None:
    def infect(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        path = tmp_path / "c.db"
        path.write_bytes(members[0][1])
        connection = apsw.Connection(str(path))
        connection.execute("CREATE TRIGGER t AFTER UPDATE ON object_version BEGIN DELETE FROM bucket; END")
        connection.close()
        set_catalog(members, path.read_bytes())

    rewrite(archive, infect)
    assert_refused(archive, "not of this kind")


def test_a_folder_in_use_is_never_restored_into(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        bleepstore.restore(archive, tmp_path / "used")
    with pytest.raises(FileExistsError):
        bleepstore.restore(archive, tmp_path / "used" / "mine")
    (tmp_path / "empty").mkdir()
    bleepstore.restore(archive, tmp_path / "empty")
    with bleepstore.open(tmp_path / "empty") as restored:
        assert len(contents(restored)) == 3


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_only_the_owner_can_read_what_has_the_secrets(tmp_path: Path, name: str) -> None:
    (tmp_path / "fork").mkdir(mode=0o755)
    (tmp_path / "restored").mkdir(mode=0o755)
    with bleepstore.open(tmp_path / "store") as store:
        store.put_credential("KEY", "secret")
        store.backup(tmp_path / name)
        with store.fork(tmp_path / "fork"), store.snapshot():
            bleepstore.restore(tmp_path / name, tmp_path / "restored")
            catalogs = [tmp_path / name, *tmp_path.rglob("catalog.db*")]
            assert len(catalogs) >= 5
            assert {path: oct(path.stat().st_mode & 0o077) for path in catalogs} == dict.fromkeys(catalogs, "0o0")


# -- kill -9

_KILLED = """
import os, signal, sys, bleepstore
def progress(done, total):
    if done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "backup":
    bleepstore.open(sys.argv[2]).backup(sys.argv[3], progress)
else:
    bleepstore.restore(sys.argv[2], sys.argv[3], progress)
"""


def killed(*arguments: object) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_is_killed_leaves_nothing_half_under_the_final_name(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        data = fill(store)
    killed("backup", tmp_path / "store", tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()
    with bleepstore.open(tmp_path / "store") as store:
        assert not (tmp_path / "store" / "snapshots").exists()  # what the killed process left is gone
        store.backup(tmp_path / "a.tar")
    killed("restore", tmp_path / "a.tar", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    bleepstore.restore(tmp_path / "a.tar", tmp_path / "restored")
    with bleepstore.open(tmp_path / "restored") as restored:
        assert contents(restored) == data
