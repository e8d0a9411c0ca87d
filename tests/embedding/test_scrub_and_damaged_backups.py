"""What is damaged in a store is found, named, set aside; and it does not keep anybody from the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.errors import ArchiveDamaged, BackupIncomplete, StoreError
from bleepstore.errors import InternalError as Refused
from bleepstore_server import cli
from tests.store.test_damaged_bytes import BUCKET, MIB, cut, files_of, flip, flip_inline, lengthen, upload_parts

SOUND = {"a-small": b"small", "b-large": bytes(100_000)}


def fill(store: Store) -> None:
    store.create_bucket(BUCKET)
    for key, body in SOUND.items():
        store.put_object(BUCKET, key, body)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A store with one object of each kind of damage, beside the sound ones."""
    with bleepstore.open(tmp_path / "data") as store:
        fill(store)
        for key, damage in (("flipped", flip), ("longer", lengthen), ("missing", Path.unlink), ("shorter", cut)):
            before = set(files_of(store))
            # The last byte is no zero: a backup fills with zeros what is cut off, and would have made it whole again.
            store.put_object(BUCKET, key, os.urandom(99_999) + b"\1")
            damage((set(files_of(store)) - before).pop())
        store.put_object(BUCKET, "inline", b"inline bytes")
        flip_inline(store, "inline")
        before = set(files_of(store))
        upload_parts(store, "parts")
        store.sweep()
        flip(sorted(set(files_of(store)) - before)[0])
        upload = store.create_upload(BUCKET, "under-way")
        before = set(files_of(store))
        store.put_part(BUCKET, "under-way", upload.upload_id, 7, bytes(MIB))
        flip((set(files_of(store)) - before).pop())
    return tmp_path / "data"


DAMAGED_KEYS = ["flipped", "inline", "longer", "missing", "parts", "shorter", "under-way"]


def test_a_scrub_names_what_is_damaged_and_nothing_else(damaged: Path) -> None:
    with bleepstore.open(damaged, read_only=True) as store:
        seen: list[tuple[int, int]] = []
        found = list(store.scrub(progress=lambda done, total: seen.append((done, total))))
        assert sorted(damage.key for damage in found) == DAMAGED_KEYS
        part = next(damage for damage in found if damage.key == "under-way")
        assert part.part_number == 7
        assert part.upload_id is not None
        assert seen[-1][0] == seen[-1][1]
        assert all(not damage.quarantined for damage in found)


def test_a_scrub_of_more_than_one_page_sees_each_object_once(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data", inline_limit=0) as store:
        for bucket in ("one", "two"):
            store.create_bucket(bucket)
            for number in range(220):
                store.put_object(bucket, f"{number:04}", b"x")
        for path in files_of(store):
            cut(path)
        found = [(damage.bucket, damage.key) for damage in store.scrub()]
        assert found == [(bucket, f"{number:04}") for bucket in ("one", "two") for number in range(220)]


def test_what_is_quarantined_is_kept_listed_and_refused(damaged: Path) -> None:
    with bleepstore.open(damaged) as store:
        moved = [damage.key for damage in store.scrub(quarantine=True) if damage.quarantined]
        assert sorted(moved) == ["flipped", "longer", "parts", "shorter", "under-way"]
        assert len([path for path in (damaged / "quarantine").rglob("*") if path.is_file()]) >= len(moved)
        assert "flipped" in [found.key for found in store.list_objects(BUCKET).objects]
        with pytest.raises(Refused, match="missing"):
            store.get_object(BUCKET, "flipped")
        for key, body in SOUND.items():
            with store.get_object(BUCKET, key) as stored:
                assert stored.read() == body
        assert sorted(damage.key for damage in store.scrub()) == DAMAGED_KEYS
        for key in DAMAGED_KEYS:
            store.delete_object(BUCKET, key)
        store.abort_upload(BUCKET, "under-way", store.list_uploads(BUCKET).uploads[0].upload_id)
        assert list(store.scrub()) == []


def test_what_is_deleted_while_it_is_scrubbed_is_not_damaged(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        fill(store)
        store.put_object(BUCKET, "gone", bytes(100_000))

        def delete(_done: int, _total: int) -> None:
            store.delete_object(BUCKET, "gone")
            store.sweep()

        assert list(store.scrub(progress=delete)) == []


def test_a_scrub_keeps_to_its_rate(tmp_path: Path) -> None:
    waits: list[float] = []
    with bleepstore.open(tmp_path / "data") as store:
        fill(store)
        assert list(store.scrub(rate=1000, sleep=waits.append)) == []
    assert max(waits) == pytest.approx(100, rel=0.05)


def test_a_scrub_of_a_store_in_memory_finds_nothing() -> None:
    with bleepstore.open() as store:
        fill(store)
        upload_parts(store, "parts")
        assert list(store.scrub()) == []


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_backup_names_what_is_damaged_and_restoring_without_it_brings_the_rest(
    damaged: Path, tmp_path: Path, name: str
) -> None:
    archive, target = tmp_path / name, tmp_path / "restored"
    with bleepstore.open(damaged) as store, pytest.raises(BackupIncomplete) as incomplete:
        store.backup(archive)
    assert sorted(damage.key for damage in incomplete.value.damaged) == DAMAGED_KEYS
    with pytest.raises(ArchiveDamaged, match="--skip-damaged"):
        bleepstore.restore(archive, target)
    assert not target.exists()
    left_out = bleepstore.restore(archive, target, skip_damaged=True)
    assert [damage.key for damage in left_out if damage.key != "longer"] == [
        key for key in DAMAGED_KEYS if key != "longer"
    ]
    with bleepstore.open(target) as store:
        listed = [found.key for found in store.list_objects(BUCKET).objects]
        assert [key for key in listed if key != "longer"] == sorted(SOUND)
        for key, body in SOUND.items():
            with store.get_object(BUCKET, key) as stored:
                assert stored.read() == body
        upload = store.list_uploads(BUCKET).uploads[0]
        assert store.list_parts(BUCKET, "under-way", upload.upload_id).parts == []
        assert list(store.scrub()) == []


def test_a_sound_backup_leaves_nothing_out(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        fill(store)
        store.backup(tmp_path / "a.tar")
    assert bleepstore.restore(tmp_path / "a.tar", tmp_path / "restored", skip_damaged=True) == []


def test_the_commands_name_what_is_damaged_and_end_with_1(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, target = str(tmp_path / "a.tar"), str(tmp_path / "restored")
    assert cli.main(["scrub", "--data", str(damaged), "--rate", "1GB/s"]) == 1
    told = capsys.readouterr().err
    assert all(f"damaged: {BUCKET}/{key}" in told for key in DAMAGED_KEYS)
    assert cli.main(["backup", str(damaged), archive]) == 1
    assert f"damaged: {BUCKET}/flipped" in capsys.readouterr().err
    assert cli.main(["restore", archive, target]) == 2
    assert "--skip-damaged" in capsys.readouterr().err
    assert cli.main(["restore", archive, target, "--skip-damaged"]) == 1
    assert f"left out: {BUCKET}/flipped" in capsys.readouterr().err
    assert cli.main(["scrub", "--data", target]) == 0
    assert cli.main(["scrub", "--data", str(damaged), "--quarantine"]) == 1
    assert f"quarantined: {BUCKET}/flipped" in capsys.readouterr().err
    assert cli.main(["scrub", "--data", str(tmp_path / "not-there")]) == 2


def test_an_export_brings_the_sound_ones_names_the_others_and_fails(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "exported"
    assert cli.main(["export", BUCKET, str(target), "--data", str(damaged)]) == 2
    told = capsys.readouterr().err
    brought = sorted(path.name for path in target.rglob("*") if path.is_file())
    assert brought == sorted(SOUND)
    for key in ("flipped", "inline", "longer", "missing", "parts", "shorter"):
        assert f"failed: '{key}'" in told


def test_a_scrub_works_beside_another_process(damaged: Path) -> None:
    with bleepstore.open(damaged) as store:
        command = [sys.executable, "-m", "bleepstore_server", "scrub", "--data", str(damaged), "--quarantine"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        store.put_object(BUCKET, "new", bytes(100_000))
        with pytest.raises(Refused):
            store.get_object(BUCKET, "flipped")


def test_a_scrub_of_a_store_that_is_closed_is_refused(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        pass
    with pytest.raises(StoreError):
        store.scrub()
