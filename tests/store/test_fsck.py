"""`bleepstore.fsck` and its command: what does not fit is named, and moved if asked for, never removed."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

import bleepstore
from bleepstore.backends.base import BlobSpec, new_blob_id
from bleepstore.backends.local import LocalBackend
from bleepstore.errors import CatalogDamaged, StoreError
from tests.serving.forking import run_command

BIG = b"x" * 100_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos")
        for key in "abc":
            store.put_object("photos", key, BIG)
        store.put_object("photos", "small", b"inline")
    return tmp_path / "s"


def blobs(root: Path) -> list[Path]:
    return sorted((root / "blobs").glob("*/*"))


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command(["fsck", "--data", str(root), *arguments], os.environ)


def test_a_sound_store_has_no_findings(root: Path) -> None:
    assert bleepstore.fsck(root) == []
    assert command(root).returncode == 0


def test_each_kind_of_finding_is_named_and_repaired_into_quarantine(root: Path) -> None:
    first, second, _third = blobs(root)
    first.unlink()
    second.write_bytes(BIG[:-1])
    unknown = LocalBackend(root).put_object(BlobSpec(bucket="", key="", new_id=new_blob_id), [b"unknown"]).handle
    (root / "tmp" / "cut-off").write_bytes(b"left")
    kinds = ["leftover", "missing", "unknown", "wrong size"]
    found = bleepstore.fsck(root)
    assert sorted(finding.kind for finding in found) == kinds
    assert {finding.name for finding in found if finding.kind in ("missing", "wrong size")} < {
        "photos/a", "photos/b", "photos/c"
    }  # fmt: skip
    assert second.exists(), "nothing is moved unless asked for"
    run = command(root, "--repair")
    assert run.returncode == 1
    assert f"unknown: {unknown}" in run.stdout
    kept = sorted(path.read_bytes() for path in (root / "quarantine").rglob("*") if path.is_file())
    assert kept == sorted([BIG[:-1], b"unknown", b"left"])
    assert [finding.kind for finding in bleepstore.fsck(root)] == ["missing", "missing"]


def test_blobs_without_a_catalog_go_to_quarantine_and_the_store_can_begin_anew(root: Path) -> None:
    for path in root.glob("catalog*"):
        path.unlink()
    found = bleepstore.fsck(root, repair=True)
    assert [finding.kind for finding in found] == ["no catalog", "unknown", "unknown", "unknown"]
    with bleepstore.open(root) as store:
        assert store.list_buckets().buckets == []
    assert [path.read_bytes() for path in (root / "quarantine").rglob("*") if path.is_file()] == [BIG] * 3


def test_a_store_in_use_and_no_store_cannot_be_checked(root: Path, tmp_path: Path) -> None:
    with bleepstore.open(root):
        with pytest.raises(StoreError, match="in use"):
            bleepstore.fsck(root)
        run = command(root)
        assert (run.returncode, "in use" in run.stderr) == (2, True)
    with pytest.raises(StoreError, match="no store"):
        bleepstore.fsck(tmp_path)


def test_an_empty_catalog_file_is_a_missing_one_for_every_command(root: Path) -> None:
    """It is what a file system leaves of a new file after a crash. Who opened it as a new catalog would forget all."""
    for path in root.glob("catalog.db*"):
        path.write_bytes(b"")
    for words in (["keys", "list"], ["keys", "add", "--access-key", "ALICE", "--secret-env", "SECRET"], ["scrub"]):
        run = run_command([*words, "--data", str(root)], {**os.environ, "SECRET": "s" * 40})
        assert (run.returncode, run.stdout) == (2, "")
        assert "catalog" in run.stderr
        assert len(run.stderr.splitlines()) == 1
    assert (root / "catalog.db").stat().st_size == 0
    assert [finding.kind for finding in bleepstore.fsck(root)] == ["no catalog", "unknown", "unknown", "unknown"]


@pytest.mark.parametrize("first", [0, 8192], ids=["all of it", "after the schema"])
def test_a_damaged_catalog_is_named_and_nothing_is_moved_because_of_it(root: Path, first: int) -> None:
    with bleepstore.open(root) as store:
        for number in range(100):
            store.put_object("photos", f"small-{number}", b"x" * 2000)
    stored = blobs(root)
    data = (root / "catalog.db").read_bytes()
    random_bytes = random.Random(1).randbytes(len(data) - first)
    (root / "catalog.db").write_bytes(data[:first] + random_bytes)
    found = bleepstore.fsck(root, repair=True)
    assert found[0].kind == "damaged"
    assert {finding.moved_to for finding in found} == {None}
    assert blobs(root) == stored
    for words in (["fsck"], ["scrub"]):
        run = run_command([*words, "--data", str(root)], os.environ)
        assert "Traceback" not in run.stderr
        assert run.returncode != 0
        assert "catalog" in run.stdout + run.stderr
    with pytest.raises(CatalogDamaged), bleepstore.open(root, read_only=True) as store:
        list(store.list_objects("photos").objects)
