"""The hash of a catalog, and copies of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.snapshot import catalog_hash, copy_catalog, write_copy
from bleepstore.commands import Done
from tests.catalog.conftest import Applier


def hash_of(catalog: Catalog) -> str:
    with catalog.read() as reader:
        return catalog_hash(reader.connection)


def keys_of(catalog: Catalog) -> list[str]:
    with catalog.read() as reader:
        return [row[0] for row in reader.connection.execute("SELECT key FROM object_version ORDER BY key")]


def test_catalogs_that_applied_the_same_have_the_same_hash(catalog: Catalog, apply: Applier) -> None:
    other = Catalog(None)
    try:
        twin = Applier(other)
        twin.create_bucket("photos")
        for applier in (apply, twin):
            for number in range(30):
                applier.put("photos", f"key-{number * 7 % 30:02}", b"x" * number)
            applier.delete("photos", "key-07")
        assert hash_of(catalog) == hash_of(other)
    finally:
        other.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE state SET applied_index = applied_index + 1",
        "UPDATE object_version SET etag = 'other'",
        "UPDATE inline_data SET data = x'00'",
        "DELETE FROM applied_request",
        "UPDATE sqlite_sequence SET seq = seq + 1",
        "UPDATE object_version SET metadata = '{}'",
        "INSERT INTO garbage (handle, token) VALUES ('h', NULL)",
    ],
)
def test_every_change_of_state_changes_the_hash(catalog: Catalog, apply: Applier, change: str) -> None:
    apply.put("photos", "cat.jpg", b"cat")
    before = hash_of(catalog)
    with catalog.hold() as held:
        held.connection.execute(change)
    assert hash_of(catalog) != before


def test_statistics_of_the_planner_are_no_state(catalog: Catalog, apply: Applier) -> None:
    apply.put("photos", "cat.jpg", b"cat")
    before = hash_of(catalog)
    with catalog.hold() as held:
        held.connection.execute("ANALYZE")
    assert hash_of(catalog) == before


@pytest.mark.parametrize("to_file", [False, True])
def test_a_copy_equals_its_original_and_goes_on_apart(
    catalog: Catalog, apply: Applier, tmp_path: Path, to_file: bool
) -> None:
    apply.put("photos", "cat.jpg", b"cat")
    original = hash_of(catalog)
    copy = copy_catalog(catalog, tmp_path / "copy.db" if to_file else None)
    try:
        assert hash_of(copy) == original
        twin = Applier(copy)
        assert isinstance(twin.create_bucket("of-the-copy"), Done)
        assert hash_of(catalog) == original
        apply.put("photos", "dog.jpg", b"dog")
        assert keys_of(copy) == ["cat.jpg"]
    finally:
        copy.close()


def test_a_copy_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """Each command adds one key; a copy with applied index n + 1 must have exactly the first n keys."""
    catalog = Catalog(tmp_path / "catalog.db")
    apply = Applier(catalog)
    apply.create_bucket("photos")
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            apply.put("photos", f"{number:06}", b"x" * 2000)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(15):
            path = tmp_path / f"copy-{number}.db"
            index = write_copy(catalog, path)
            copy = Catalog(path)
            assert keys_of(copy) == [f"{one:06}" for one in range(index - 1)]
            copy.close()
    finally:
        done.set()
        writer.join()
        catalog.close()


def test_a_copy_never_replaces_a_file(catalog: Catalog, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_bytes(b"something else")
    with pytest.raises(FileExistsError, match=r"copy\.db"):
        copy_catalog(catalog, target)
    assert target.read_bytes() == b"something else"


def test_a_copy_that_fails_leaves_nothing_behind(catalog: Catalog, tmp_path: Path) -> None:
    catalog.close()
    folder = tmp_path / "copies"
    folder.mkdir()
    with pytest.raises(Exception, match="closed"):
        copy_catalog(catalog, folder / "copy.db")
    assert list(folder.iterdir()) == []


def test_the_remains_of_an_interrupted_copy_are_no_obstacle(catalog: Catalog, apply: Applier, tmp_path: Path) -> None:
    (tmp_path / "copy.db.partial").write_bytes(b"torn")
    copy = copy_catalog(catalog, tmp_path / "copy.db")
    try:
        assert hash_of(copy) == hash_of(catalog)
    finally:
        copy.close()
