"""Encryption from Python: every kind, on every way out of the store; damaged bytes, and lost keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import bleepstore
from bleepstore import ByteRange, CustomerKey, EncryptionKind, NamedKey, Store, StoreKey, errors
from bleepstore.backends.memory import MemoryBackend
from bleepstore.catalog.sqlite import Catalog
from bleepstore.clock import SteadyClock, now_ms
from bleepstore.encryption import CHUNK, DEFAULT_KEY, HEADER_SIZE, STORE_KEY, TAG_SIZE, EncryptionRequest
from bleepstore.sealing.keys import MasterKeys
from bleepstore.store.opening import assemble
from bleepstore.store.settings import KEY_FILE, Settings
from tests.cluster_store import open_on_follower

CUSTOMER = CustomerKey(b"k" * 32)
LARGE = bytes(range(256)) * 1000
REQUESTS: dict[str, EncryptionRequest] = {
    "store": StoreKey(),
    "named": NamedKey(context={"a": "1"}),
    "customer": CUSTOMER,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def fill(store: Store) -> None:
    store.create_bucket("photos")
    for kind, request in REQUESTS.items():
        for size, body in (("small", b"data"), ("large", LARGE)):
            version = store.put_object("photos", f"{kind}-{size}", body, encryption=request)
            assert version.encryption is not None
            assert version.encryption.kind is EncryptionKind(kind)
    upload = store.create_upload("photos", "parts", encryption=StoreKey())
    for number in (2, 9):
        part = store.put_part("photos", "parts", upload.upload_id, number, bytes([number]) * (5 << 20))
        assert part.size == 5 << 20
    parts = store.list_parts("photos", "parts", upload.upload_id).parts
    done = [bleepstore.CompletedPart(number=part.number, etag=part.etag) for part in parts]
    store.complete_upload("photos", "parts", upload.upload_id, done)
    waiting = store.create_upload("photos", "waiting", encryption=StoreKey())
    store.put_part("photos", "waiting", waiting.upload_id, 1, LARGE)


def read(store: Store, key: str, span: ByteRange | None = None) -> bytes:
    customer_key = CUSTOMER if key.startswith("customer") else None
    with store.get_object("photos", key, range=span, customer_key=customer_key) as found:
        return found.read()


def check(store: Store) -> None:
    for kind in REQUESTS:
        assert read(store, f"{kind}-small") == b"data"
        assert read(store, f"{kind}-large") == LARGE
        assert read(store, f"{kind}-large", ByteRange(100_000, 199_999)) == LARGE[100_000:200_000]
    assert read(store, "parts", ByteRange((5 << 20) - 1, 5 << 20)) == b"\2\11"


def blob_of(folder: Path, store: Store, key: str) -> Path:
    with store.engine.catalog.read() as reader:
        found = reader.find_object("photos", key, with_data=False)
    assert found is not None
    assert found.handle is not None
    (path,) = folder.rglob(found.handle)
    return path


def test_what_the_store_gives_on_every_way(folder: Path, tmp_path: Path) -> None:
    with bleepstore.open(folder) as store:
        fill(store)
        check(store)
        with store.get_object("photos", "store-large") as found:  # as a file, which seeks
            found.seek(200_000)
            assert found.read(7) == LARGE[200_000:200_007]
        with store.fork() as fork:
            check(fork)
            fork.put_object("photos", "more", LARGE, encryption=StoreKey())
            assert read(fork, "more") == LARGE
        with store.fork(tmp_path / "fork") as fork:
            check(fork)
        with store.snapshot() as snapshot:
            store.delete_object("photos", "store-large")
            store.restore(snapshot)
        check(store)
        assert list(store.scrub()) == []
        store.backup(tmp_path / "backup.tar")
    assert bleepstore.fsck(folder) == []
    with bleepstore.open(folder, read_only=True) as store:
        check(store)
        assert list(store.scrub()) == []
    assert KEY_FILE.encode() not in (tmp_path / "backup.tar").read_bytes()
    assert bleepstore.restore(tmp_path / "backup.tar", tmp_path / "restored") == []
    with bleepstore.open(tmp_path / "restored") as store:
        with pytest.raises(errors.ServiceUnavailable, match="put back the file of its keys"):
            read(store, "store-large")
        with pytest.raises(errors.EncryptionKeyNotFound):
            read(store, "named-large")
        assert read(store, "customer-large") == LARGE
        assert store.head_object("photos", "store-large").size == len(LARGE)
    (tmp_path / "restored" / KEY_FILE).unlink(missing_ok=True)
    (tmp_path / "restored" / KEY_FILE).write_bytes((folder / KEY_FILE).read_bytes())
    with bleepstore.open(tmp_path / "restored") as store:
        check(store)


def test_in_a_cluster_with_configured_keys() -> None:
    with open_on_follower() as store:
        fill(store)
        check(store)


def test_without_configured_keys_nothing_is_encrypted_where_several_nodes_are() -> None:
    engine = assemble(Settings(), SteadyClock(now_ms), Catalog(None), MemoryBackend())  # as a node opens it
    with Store(engine) as store:
        store.create_bucket("photos")
        with pytest.raises(errors.NotSupported, match="without configured keys"):
            store.put_object("photos", "k", b"data", encryption=StoreKey())
        with pytest.raises(errors.NotSupported, match="without configured keys"):
            store.put_bucket_encryption("photos", bleepstore.BucketEncryption())
        assert not store.list_objects("photos").objects


def test_configured_keys_and_no_others(folder: Path) -> None:
    keys = MasterKeys({STORE_KEY: [b"1" * 32], "orders": [b"2" * 32]})
    with bleepstore.open(folder, encryption_keys=keys) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data", encryption=NamedKey(key_id="alias/orders"))
        for key_id in (None, "customers", STORE_KEY):
            with pytest.raises(errors.EncryptionKeyNotFound):
                store.put_object("photos", "new", b"data", encryption=NamedKey(key_id=key_id))
        assert read(store, "k") == b"data"
        assert [one.key for one in store.list_objects("photos").objects] == ["k"]
    assert not (folder / KEY_FILE).exists()
    rotated = MasterKeys({STORE_KEY: [b"1" * 32], "orders": [b"2" * 32, b"3" * 32]})
    with bleepstore.open(folder, encryption_keys=rotated) as store:
        assert read(store, "k") == b"data"
        store.put_object("photos", "new", b"data", encryption=NamedKey(key_id="orders"))
    with bleepstore.open(folder, encryption_keys=keys) as store, pytest.raises(errors.EncryptionKeyNotFound):
        read(store, "new")


class Service:
    """A key management service of others."""

    def __init__(self) -> None:
        self._keys = MasterKeys({DEFAULT_KEY: [b"1" * 32]})
        self.asked: list[str] = []

    def wrap(self, name: str, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        self.asked.append("wrap")
        return self._keys.wrap(name, data_key, context)

    def unwrap(self, master_key: str, wrapped: bytes, context: bytes) -> bytes:
        self.asked.append("unwrap")
        return self._keys.unwrap(master_key, wrapped, context)


def test_a_service_of_ones_own(folder: Path) -> None:
    service = Service()
    with bleepstore.open(folder, encryption_keys=service) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", LARGE, encryption=NamedKey())
        assert read(store, "k") == LARGE
        store.head_object("photos", "k")
    assert service.asked == ["wrap", "unwrap"]


def flip(position: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def swap(data: bytes) -> bytes:
    one, two = HEADER_SIZE, HEADER_SIZE + CHUNK + TAG_SIZE
    return data[:one] + data[two : two + CHUNK + TAG_SIZE] + data[one:two] + data[two + CHUNK + TAG_SIZE :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "header": flip(8),
    "ciphertext": flip(HEADER_SIZE + 5),
    "tag": flip(HEADER_SIZE + CHUNK + 3),
    "last chunk": flip(-20),
    "order": swap,
    "cut off": lambda data: data[:-30],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_on_disk_under_a_running_store(folder: Path, name: str) -> None:
    with bleepstore.open(folder) as store:
        fill(store)
        path = blob_of(folder, store, "store-large")
        path.write_bytes(DAMAGES[name](path.read_bytes()))
        with pytest.raises(errors.ObjectDamaged):
            read(store, "store-large")
        with pytest.raises(errors.ObjectDamaged):
            store.copy_object("photos", "store-large", "photos", "copy")
        assert store.damaged_reads == 2
        (damage,) = store.scrub()
        assert damage.key == "store-large"
        assert read(store, "named-large") == LARGE


def test_the_bytes_of_one_object_are_not_those_of_another(folder: Path) -> None:
    """Not even with the catalog's own record of them, which is of one bucket and key."""
    with bleepstore.open(folder) as store:
        fill(store)
        one, other = (blob_of(folder, store, f"{kind}-large") for kind in ("store", "named"))
        one.write_bytes(other.read_bytes())
        with pytest.raises(errors.ObjectDamaged):
            read(store, "store-large")
    catalog = apsw.Connection(str(folder / "catalog.db"))
    catalog.execute(
        "UPDATE object_version SET (encryption, handle) = (SELECT encryption, handle FROM object_version WHERE "
        "key = 'named-large') WHERE key = 'store-large'"
    )
    catalog.close()
    with bleepstore.open(folder) as store, pytest.raises(errors.EncryptionKeyNotFound):
        read(store, "store-large")


def test_parts_that_are_swapped_are_not_read(folder: Path) -> None:
    with bleepstore.open(folder) as store:
        fill(store)
        parts = blob_of(folder, store, "parts")
        (parts / "00001").rename(parts / "moved")
        (parts / "00002").rename(parts / "00001")
        (parts / "moved").rename(parts / "00002")
        for span in (None, ByteRange(0, 9), ByteRange(6 << 20, None)):
            with pytest.raises(errors.ObjectDamaged):
                read(store, "parts", span)


def test_inline_bytes_that_went_bad(folder: Path) -> None:
    with bleepstore.open(folder) as store:
        fill(store)
    catalog = apsw.Connection(str(folder / "catalog.db"))
    catalog.execute("UPDATE inline_data SET data = CAST(substr(data, 1, length(data) - 9) || zeroblob(9) AS BLOB)")
    catalog.close()
    with bleepstore.open(folder) as store:
        assert {damage.key for damage in store.scrub()} == {f"{kind}-small" for kind in REQUESTS}
        catalog = apsw.Connection(str(folder / "catalog.db"))
        catalog.execute("UPDATE inline_data SET data = zeroblob(length(data))")
        catalog.close()
        for kind in REQUESTS:
            with pytest.raises(errors.ObjectDamaged):
                read(store, f"{kind}-small")


def test_without_the_extra_the_rest_goes_on(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["cryptography"] = None
import bleepstore
with bleepstore.open(sys.argv[1]) as store:
    store.create_bucket("photos")
    store.put_object("photos", "k", bytes(100_000))
    assert store.get_object("photos", "k").read() == bytes(100_000)
    try:
        store.put_object("photos", "k", b"", encryption=bleepstore.StoreKey())
    except bleepstore.errors.NotSupported as error:
        print(error)
    assert list(store.scrub()) == []
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        capture_output=True, text=True, timeout=60, check=True, env={**os.environ},
    )  # fmt: skip
    assert "pip install 'bleepstore[encryption]'" in done.stdout
    assert not (tmp_path / "store" / KEY_FILE).exists()
