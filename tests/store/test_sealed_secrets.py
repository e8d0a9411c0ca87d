"""Secrets of access keys where they are stored: encrypted, if the store's encryption keys have one for them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Owner, Store
from bleepstore.errors import StoreError
from bleepstore.store.facade import open_accounts

SECRET = "a-secret-that-nobody-sees"
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(3)]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "master.keys"
    file.write_text(f"secrets {KEYS[0]}\n")
    return file


def everything(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def stored(store: Store) -> list[tuple[str, str | None]]:
    with store.engine.catalog.read() as reader:
        return [(found.secret_key, found.sealed_by) for found in reader.list_credentials()]


def test_nobody_reads_a_secret_without_its_key(tmp_path: Path, key_file: Path) -> None:
    root = tmp_path / "data"
    with bleepstore.open(root, encryption_keys=key_file) as store:
        store.users.add("ann")
        made = store.put_credential("ANN", SECRET, user="ann")
        assert (made.secret_key, made.sealed_by) == (SECRET, None)
        assert store.list_credentials() == [made]
        assert store.get_credential("ANN") == made
        assert store.accounts.count_secrets() == (1, 0)
        store.backup(tmp_path / "backup.tar")
        with store.fork() as fork:
            assert fork.get_credential("ANN") == made
    assert SECRET.encode() not in everything(tmp_path)
    bleepstore.restore(tmp_path / "backup.tar", tmp_path / "restored")
    with bleepstore.open(tmp_path / "restored", encryption_keys=key_file) as store:
        assert store.list_credentials() == [made]
    with open_accounts(root, encryption_keys=key_file) as accounts:
        assert accounts.get_credential("ANN") == made


@pytest.mark.parametrize("keys", ["", f"secrets {KEYS[1]}\n", f"other {KEYS[0]}\n"], ids=["none", "another", "unnamed"])
def test_a_missing_or_wrong_key_is_told(tmp_path: Path, key_file: Path, keys: str) -> None:
    root = tmp_path / "data"
    with bleepstore.open(root, encryption_keys=key_file) as store:
        store.put_credential("ANN", SECRET)
    key_file.write_text(keys)
    for options in ({"encryption_keys": key_file}, {}):
        with bleepstore.open(root, **options) as store:  # type: ignore[arg-type]  # one option
            for ask in (store.list_credentials, store.seal_secrets, lambda: store.get_credential("ANN")):
                with pytest.raises(StoreError, match="'ANN' is encrypted by the key 'secrets:"):
                    ask()
    if not keys.startswith("secrets"):  # it is not stored as it is, beside one that is encrypted
        with bleepstore.open(root, encryption_keys=key_file) as store:
            with pytest.raises(StoreError, match="that of 'ANN' is"):
                store.put_credential("BEN", SECRET)
            store.delete_credential("ANN")
            store.put_credential("BEN", SECRET)


def test_a_key_is_rotated(tmp_path: Path, key_file: Path) -> None:
    root = tmp_path / "data"
    with bleepstore.open(root, encryption_keys=key_file) as store:
        store.put_credential("ANN", SECRET)
        store.put_credential("BEN", "another")
        store.disable_credential("BEN")
        before = stored(store)
    with key_file.open("a") as file:
        file.write(f"secrets {KEYS[1]}\n")
    with bleepstore.open(root, encryption_keys=key_file) as store:
        known = store.list_credentials()
        assert stored(store) == before
        assert store.seal_secrets() == (2, 0)
        assert {name for _, name in stored(store)}.isdisjoint(name for _, name in before)
    key_file.write_text(f"secrets {KEYS[1]}\n")
    with bleepstore.open(root, encryption_keys=key_file) as store:
        assert store.list_credentials() == known
        assert [found.enabled for found in known] == [True, False]


def test_what_was_stored_as_it_is_is_encrypted_once_there_is_a_key(tmp_path: Path) -> None:
    """A key in the file of the folder, which no backup has."""
    root = tmp_path / "data"
    with bleepstore.open(root) as store:
        store.put_credential("ANN", SECRET)
        assert store.seal_secrets() == (0, 1)
        assert stored(store) == [(SECRET, None)]
    assert (root / "catalog.db").stat().st_mode & 0o077 == 0
    (root / "encryption.keys").write_text(f"secrets {KEYS[0]}\n")
    with bleepstore.open(root) as store:
        assert store.get_credential("ANN") is not None  # one is not encrypted yet
        assert store.seal_secrets() == (1, 0)
        assert [name is not None for _, name in stored(store)] == [True]
        found = store.get_credential("ANN")
    assert found is not None
    assert found.secret_key == SECRET


def test_a_secret_is_of_its_access_key_alone(tmp_path: Path, key_file: Path) -> None:
    """Whoever can write into the catalog cannot give one key the secret of another."""
    with bleepstore.open(tmp_path / "data", encryption_keys=key_file) as store:
        store.put_credential("ANN", SECRET)
        store.put_credential("BEN", "another", owner=Owner("ben"))
        (anns, _), (bens, sealed_by) = stored(store)
        command = bleepstore.commands.ReplaceSecret(
            **store.engine.stamp(), access_key="BEN", expected=bens, secret_key=anns, sealed_by=sealed_by
        )
        store.engine.submit(command)
        with pytest.raises(StoreError, match="'BEN' is encrypted"):
            store.get_credential("BEN")
