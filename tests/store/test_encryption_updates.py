"""What is stored is encrypted by another key, by the Python API: only its data key is encrypted anew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore import (
    Caller,
    CompletedPart,
    CustomerKey,
    EncryptionKind,
    NamedKey,
    Owner,
    Retention,
    Store,
    StoreKey,
    Versioning,
    errors,
)
from bleepstore.encryption import EncryptionRequest
from bleepstore.sealing.keys import MasterKeys
from bleepstore.testing.clock import Clock

pytestmark = pytest.mark.blobs

ALICE, BOB = Caller(Owner("alice-id", "Alice")), Caller(Owner("bob-id", "Bob"))
LARGE = bytes(range(256)) * 1200
CUSTOMER = CustomerKey(b"k" * 32)
NAMED = NamedKey(bucket_key=True)  # by the name that every store has a key of


@pytest.fixture
def photos(store: Store) -> Store:
    store.create_bucket("photos", caller=ALICE)
    return store


def read(store: Store, key: str = "k", version_id: str | None = None) -> bytes:
    with store.get_object("photos", key, version_id=version_id) as found:
        return found.read()


@pytest.mark.stores("local", "cluster", "providers")
@pytest.mark.parametrize("body", [b"small", LARGE], ids=["inline", "blob"])
@pytest.mark.parametrize("before", [StoreKey(), NamedKey(context={"a": "1"})], ids=["store", "named"])
def test_only_the_key_changes(photos: Store, body: bytes, before: EncryptionRequest) -> None:
    old = photos.put_object("photos", "k", body, encryption=before, tags={"a": "b"}, metadata={"c": "d"})
    made = photos.update_object_encryption("photos", "k", NAMED)
    assert made == photos.head_object("photos", "k").version
    assert made.encryption is not None
    assert made.encryption.kind is EncryptionKind.NAMED
    assert (made.encryption.key_id, made.encryption.bucket_key) == ("aws/s3", True)
    assert made.encryption.context == {}
    assert (made.etag, made.modified_ms, made.checksum) == (old.etag, old.modified_ms, old.checksum)
    assert (made.tags, made.metadata) == (old.tags, old.metadata)
    assert read(photos) == body


def test_parts_with_numbers_of_their_own_are_read(photos: Store) -> None:
    upload = photos.create_upload("photos", "k", encryption=StoreKey()).upload_id
    done = []
    for number in (2, 9):
        part = photos.put_part("photos", "k", upload, number, bytes([number]) * (5 << 20))
        done.append(CompletedPart(number=number, etag=part.etag))
    photos.complete_upload("photos", "k", upload, done)
    photos.update_object_encryption("photos", "k", NAMED)
    assert read(photos) == b"\2" * (5 << 20) + b"\11" * (5 << 20)


def test_one_version_of_several_and_what_is_archived(photos: Store) -> None:
    photos.put_bucket_versioning("photos", Versioning.ENABLED)
    first = photos.put_object("photos", "k", b"1", encryption=StoreKey(), storage_class="GLACIER")
    photos.put_object("photos", "k", b"2", encryption=StoreKey())
    photos.update_object_encryption("photos", "k", NAMED, version_id=first.version_id)
    kinds = [
        photos.head_object("photos", "k", version_id=version_id).version.encryption
        for version_id in (first.version_id, None)
    ]
    assert [kind and kind.kind for kind in kinds] == [EncryptionKind.NAMED, EncryptionKind.STORE]
    with pytest.raises(errors.InvalidObjectState):
        read(photos, version_id=first.version_id)
    photos.restore_object("photos", "k", version_id=first.version_id, days=1)
    assert read(photos, version_id=first.version_id) == b"1"


def test_the_key_before_is_no_longer_needed(tmp_path: Path) -> None:
    """So a key that was given away is replaced, without the objects being written again."""
    keys = {"orders": [b"o" * 32], "new": [b"n" * 32]}
    with bleepstore.open(tmp_path / "store", encryption_keys=MasterKeys(keys)) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", LARGE, encryption=NamedKey(key_id="orders"))
        store.update_object_encryption("photos", "k", NamedKey(key_id="new"))
        with pytest.raises(errors.EncryptionKeyNotFound):
            store.update_object_encryption("photos", "k", NamedKey(key_id="absent"))
        with pytest.raises(errors.EncryptionKeyNotFound):
            store.update_object_encryption("photos", "k", NamedKey(key_id="store"))
        assert read(store) == LARGE
        assert list(store.scrub()) == []
        store.backup(tmp_path / "backup.tar")
    bleepstore.restore(tmp_path / "backup.tar", tmp_path / "restored")
    for folder in ("store", "restored"):
        with bleepstore.open(tmp_path / folder, encryption_keys=MasterKeys({"new": keys["new"]})) as store:
            assert read(store) == LARGE


@pytest.mark.parametrize(
    ("encryption", "message"),
    [(None, "unencrypted source objects"), (CUSTOMER, "the encryption type DSSE-KMS or SSE-C")],
    ids=["none", "customer"],
)
def test_what_is_not_encrypted_by_the_stores_keys_is_refused(
    photos: Store, encryption: CustomerKey | None, message: str
) -> None:
    version = photos.put_object("photos", "k", b"1", encryption=encryption)
    with pytest.raises(errors.InvalidRequest, match=message):
        photos.update_object_encryption("photos", "k", NAMED)
    assert photos.head_object("photos", "k", customer_key=encryption).version == version
    with pytest.raises(TypeError, match="a NamedKey, not StoreKey"):
        photos.update_object_encryption("photos", "k", StoreKey())  # type: ignore[arg-type]  # on purpose


def test_a_locked_version_is_left_as_it_is(store: Store) -> None:
    store.create_bucket("photos", object_lock=True)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    store.put_object("photos", "governed", b"1", encryption=StoreKey(), retention=Retention.governance(until))
    store.put_object("photos", "held", b"1", encryption=StoreKey(), legal_hold=True)
    for key in ("governed", "held"):
        with pytest.raises(errors.AccessDenied, match="protected by S3 Object Lock"):
            store.update_object_encryption("photos", key, NAMED)
    store.put_object_retention("photos", "governed", None, bypass_governance=True)
    store.put_object_legal_hold("photos", "held", False)
    for key in ("governed", "held"):
        store.update_object_encryption("photos", key, NAMED)
        assert read(store, key) == b"1"


@pytest.mark.legacy_acls
def test_owners_may_and_nobody_else(photos: Store) -> None:
    photos.put_object("photos", "k", b"1", encryption=StoreKey(), acl=bleepstore.CannedAcl.PUBLIC_READ, caller=ALICE)
    with pytest.raises(errors.AccessDenied):
        photos.update_object_encryption("photos", "k", NAMED, caller=BOB)
    photos.update_object_encryption("photos", "k", NAMED, caller=ALICE)


class Interfering(MasterKeys):
    """Lets something happen while a data key is wrapped."""

    def __init__(self) -> None:
        super().__init__(makes_any=True)
        self.meanwhile: Callable[[], object] | None = None

    def wrap(self, name: str, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().wrap(name, data_key, context)


def test_an_object_that_was_replaced_meanwhile_keeps_its_own_data_key() -> None:
    """Also if it has the sequence of the one before, as where the clock stands still."""
    keys = Interfering()
    with bleepstore.open(clock=Clock(dt.datetime(2030, 1, 1, tzinfo=dt.UTC)), encryption_keys=keys) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"before", encryption=StoreKey())

        def replace() -> None:
            store.delete_object("photos", "k")
            store.put_object("photos", "k", b"after", encryption=StoreKey())

        keys.meanwhile = replace
        made = store.update_object_encryption("photos", "k", NAMED)
        assert read(store) == b"after"
        assert made.etag == store.head_object("photos", "k").version.etag
        assert made.encryption is not None
        assert made.encryption.kind is EncryptionKind.NAMED
