"""A store that is read and never changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import bleepstore
from bleepstore.errors import CatalogTooNew, CatalogTooOld, StoreError, StoreReadOnly

LARGE = 100_000  # more than is kept in the catalog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    with bleepstore.open(root) as store:
        store.create_bucket("bbb")
        store.put_object("bbb", "small", b"s")
        store.put_object("bbb", "large", b"l" * LARGE)
    return root


def state_of(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in (".db-wal", ".db-shm")
    }


def read(store: bleepstore.Store, key: str) -> bytes:
    with store.get_object("bbb", key) as stored:
        return stored.read()


def test_reading_changes_nothing(folder: Path) -> None:
    before = state_of(folder)
    with bleepstore.open(folder, read_only=True) as store:
        assert [entry.key for entry in store.list_objects("bbb").objects] == ["large", "small"]
        assert (read(store, "small"), read(store, "large")) == (b"s", b"l" * LARGE)
    assert state_of(folder) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put_object("bbb", "new", b"x"),
        lambda store: store.put_object("bbb", "new", b"x" * LARGE),
        lambda store: store.delete_object("bbb", "small"),
        lambda store: store.create_bucket("other"),
        lambda store: store.copy_object("bbb", "large", "bbb", "copy"),
        lambda store: store.create_upload("bbb", "new"),
        lambda store: store.put_credential("KEY", "secret"),
        lambda store: store.sweep(),
        lambda store: store.snapshot(),
    ],
)
def test_every_change_is_refused(folder: Path, change: Callable[[bleepstore.Store], object]) -> None:
    before = state_of(folder)
    with bleepstore.open(folder, read_only=True) as store, pytest.raises(StoreReadOnly, match="read_only=True"):
        change(store)
    assert state_of(folder) == before


def test_it_sees_what_another_process_writes_and_is_seen_by_it(folder: Path) -> None:
    script = "import bleepstore, sys; s = bleepstore.open(sys.argv[1]); s.put_object('bbb', 'other', b'o'); s.close()"
    with bleepstore.open(folder, read_only=True) as store:
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
        assert read(store, "other") == b"o"
        writer = bleepstore.open(folder)
        with writer, pytest.raises(StoreError, match="close it there first"), writer.engine.exclusive():
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="drops the rights of root, which may write anywhere")
def test_a_folder_that_cannot_be_written_can_be_read(folder: Path, tmp_path: Path) -> None:
    for path in (tmp_path, folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    script = (
        "import os, sys\n"
        "import bleepstore\n"
        "if os.getuid() == 0:\n"
        "    os.setuid(65534)\n"
        "assert not os.access(sys.argv[1], os.W_OK)\n"
        "with bleepstore.open(sys.argv[1], read_only=True) as store, store.get_object('bbb', 'large') as found:\n"
        "    print(len(found.read()))\n"
    )
    opened = tmp_path
    while opened != opened.parent:  # pytest's folders are its user's own
        opened = opened.parent
        if opened.stat().st_uid == os.getuid() and opened.name.startswith(("pytest-", "popen-")):
            opened.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    for path in (tmp_path, folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    assert done.stdout.strip() == str(LARGE), done.stderr


def test_what_is_no_store_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store in"):
        bleepstore.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()
    with pytest.raises(StoreError, match="the directory of a store"):
        bleepstore.open(read_only=True)


@pytest.mark.parametrize(("version", "error"), [(0, CatalogTooOld), (99, CatalogTooNew)])
def test_a_catalog_of_another_version_is_refused(folder: Path, version: int, error: type[StoreError]) -> None:
    connection = apsw.Connection(str(folder / "catalog.db"))
    connection.pragma("user_version", version)
    connection.close()
    with pytest.raises(error):
        bleepstore.open(folder, read_only=True)


def test_what_would_write_in_the_folder_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    bleepstore.open(tmp_path / "s").close()
    with bleepstore.open(tmp_path / "s", read_only=True) as store:
        before = sorted(tmp_path.rglob("*"))
        for refused in (store.snapshot, lambda: store.backup(tmp_path / "a.tar"), lambda: store.fork(tmp_path / "f")):
            with pytest.raises(StoreReadOnly, match=r"backup link.* changes no object: open it without read_only"):
                refused()
        assert sorted(tmp_path.rglob("*")) == before
