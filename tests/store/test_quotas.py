"""Quotas of buckets and of accounts: what counts, what is refused, and that both are right whatever is done."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import bleepstore
from bleepstore import (
    Caller,
    CompletedPart,
    CountedQuota,
    Expiration,
    LifecycleRule,
    NoncurrentExpiration,
    Owner,
    Quota,
    QuotaScope,
    Store,
    Usage,
    Versioning,
    errors,
)
from bleepstore.model import MIN_PART
from bleepstore.quotas import Totals
from bleepstore.store.facade import open_quotas
from bleepstore.testing.clock import Clock

pytestmark = pytest.mark.stores("local", "cluster", "aws-blobs")

ALICE, BOB = Caller(Owner("alice", "Alice")), Caller(Owner("bob", "Bob"))


@pytest.fixture
def photos(store: Store) -> Store:
    store.create_bucket("photos", caller=ALICE)
    return store


@pytest.fixture
def versioned(photos: Store) -> Store:
    try:
        photos.put_bucket_versioning("photos", Versioning.ENABLED)
    except errors.NotSupported:
        pytest.skip("one object under each key")
    return photos


def usage_of(store: Store, name: str = "photos") -> Usage:
    """What a quota counts."""
    (found,) = [counted for counted in store.list_quotas() if counted.name == name]
    return found.usage


def looked_at(store: Store) -> Usage:
    with store.engine.catalog.read() as reader:
        return reader.count_usage(store.get_bucket("photos").id)


def upload(store: Store, key: str, *sizes: int) -> tuple[str, list[CompletedPart]]:
    upload_id = store.create_upload("photos", key).upload_id
    parts = [store.put_part("photos", key, upload_id, number, bytes(size)) for number, size in enumerate(sizes, 1)]
    return upload_id, [CompletedPart(number=part.number, etag=part.etag) for part in parts]


def test_a_bucket_holds_no_more_bytes_than_its_quota(photos: Store) -> None:
    photos.put_quota(bucket="photos", max_bytes=10)
    photos.put_object("photos", "a", bytes(6))
    with pytest.raises(errors.QuotaExceeded) as refused:
        photos.put_object("photos", "b", bytes(5))
    assert refused.value == errors.QuotaExceeded("photos", "bucket", "bytes", 10)
    assert "quota of the bucket: 10 bytes" in refused.value.message
    photos.put_object("photos", "b", bytes(4))
    photos.put_object("photos", "a", bytes(6))  # instead of as many
    with pytest.raises(errors.QuotaExceeded):
        photos.put_object("photos", "a", bytes(7))
    assert photos.get_object("photos", "a").read() == bytes(6)
    assert usage_of(photos) == looked_at(photos) == Usage(2, 10)


def test_a_bucket_holds_no_more_objects_than_its_quota(photos: Store) -> None:
    photos.put_quota(bucket="photos", max_objects=1)
    photos.put_object("photos", "a", b"1")
    with pytest.raises(errors.QuotaExceeded) as refused:
        photos.put_object("photos", "b", b"")
    assert refused.value == errors.QuotaExceeded("photos", "bucket", "objects", 1)
    photos.put_object("photos", "a", bytes(1000))
    photos.delete_object("photos", "a")
    photos.put_object("photos", "b", b"1")


def test_all_buckets_of_an_account_count_in_its_quota_whoever_writes(photos: Store) -> None:
    photos.put_quota(account="alice", max_bytes=10)
    photos.create_bucket("more", caller=ALICE)
    photos.create_bucket("other", caller=BOB)
    photos.put_object("photos", "a", bytes(6))
    photos.put_object("other", "a", bytes(100))
    with pytest.raises(errors.QuotaExceeded) as refused:
        photos.put_object("more", "a", bytes(6))
    assert refused.value == errors.QuotaExceeded("more", "account", "bytes", 10)
    photos.delete_object("photos", "a")
    photos.delete_bucket("photos")
    photos.put_object("more", "a", bytes(6))
    assert photos.list_quotas() == [
        CountedQuota(scope=QuotaScope.ACCOUNT, name="alice", quota=Quota(max_bytes=10), usage=Usage(1, 6))
    ]


def test_what_is_there_already_counts_and_stays(photos: Store) -> None:
    photos.put_object("photos", "a", bytes(100))
    upload(photos, "k", 50)
    assert photos.usage("photos") == Usage(1, 150)
    photos.put_quota(bucket="photos", max_bytes=10)
    assert photos.usage("photos") == usage_of(photos) == Usage(1, 150)
    with pytest.raises(errors.QuotaExceeded):
        photos.put_object("photos", "b", b"1")
    photos.put_object("photos", "a", bytes(99))  # less than there was
    photos.put_object("photos", "b", b"")
    photos.delete_objects("photos", [bleepstore.DeleteEntry(key="a"), bleepstore.DeleteEntry(key="b")])
    assert usage_of(photos) == looked_at(photos) == Usage(0, 50)
    photos.delete_quota(bucket="photos")
    assert photos.list_quotas() == []
    photos.put_object("photos", "b", bytes(1000))
    assert photos.usage("photos") == Usage(1, 1050)


def test_parts_count_until_they_are_an_object(photos: Store) -> None:
    photos.put_quota(bucket="photos", max_bytes=MIN_PART + 10, max_objects=1)
    upload_id, parts = upload(photos, "k", MIN_PART, 10)
    assert usage_of(photos) == Usage(0, MIN_PART + 10)
    with pytest.raises(errors.QuotaExceeded):
        photos.put_part("photos", "k", upload_id, 3, b"1")
    photos.put_part("photos", "k", upload_id, 2, bytes(10))  # sent again
    photos.complete_upload("photos", "k", upload_id, parts)
    assert usage_of(photos) == looked_at(photos) == Usage(1, MIN_PART + 10)
    photos.put_quota(bucket="photos", max_objects=1)
    late, parts = upload(photos, "other", 10, 20)
    with pytest.raises(errors.QuotaExceeded):
        photos.complete_upload("photos", "other", late, parts[:1])
    assert [part.size for part in photos.list_parts("photos", "other", late).parts] == [10, 20]
    photos.delete_object("photos", "k")
    photos.complete_upload("photos", "other", late, parts[:1])
    assert usage_of(photos) == looked_at(photos) == Usage(1, 10)
    aborted, _ = upload(photos, "k", 5)
    photos.abort_upload("photos", "k", aborted)
    assert usage_of(photos) == Usage(1, 10)


def test_a_copy_counts_as_any_write(photos: Store) -> None:
    photos.put_object("photos", "a", bytes(6))
    photos.put_quota(bucket="photos", max_bytes=12)
    photos.copy_object("photos", "a", "photos", "b")
    with pytest.raises(errors.QuotaExceeded):
        photos.copy_object("photos", "a", "photos", "c")
    upload_id, _ = upload(photos, "k")
    with pytest.raises(errors.QuotaExceeded):
        photos.copy_part("photos", "a", "photos", "k", upload_id, 1)
    assert usage_of(photos) == looked_at(photos) == Usage(2, 12)


def test_versions_and_markers_count_until_they_are_removed(versioned: Store) -> None:
    versioned.put_quota(bucket="photos", max_bytes=10, max_objects=3)
    first = versioned.put_object("photos", "a", bytes(4))
    versioned.put_object("photos", "a", bytes(4))
    with pytest.raises(errors.QuotaExceeded):
        versioned.put_object("photos", "a", bytes(4))
    versioned.delete_object("photos", "a")
    versioned.delete_object("photos", "a")  # beyond the quota: a delete is never refused
    assert usage_of(versioned) == looked_at(versioned) == Usage(4, 8)
    versioned.delete_object("photos", "a", version_id=first.version_id)
    assert usage_of(versioned) == Usage(3, 4)
    versioned.put_bucket_versioning("photos", Versioning.SUSPENDED)
    versioned.put_quota(bucket="photos", max_bytes=10)
    versioned.put_object("photos", "a", bytes(6))
    versioned.put_object("photos", "a", bytes(5))  # instead of the version "null"
    assert usage_of(versioned) == looked_at(versioned) == Usage(4, 9)


def test_what_a_lifecycle_removes_counts_no_more() -> None:
    clock = Clock()
    with bleepstore.open(clock=clock) as store:
        store.create_bucket("photos")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        store.put_quota(bucket="photos", max_bytes=100)
        rule = LifecycleRule(expiration=Expiration(days=1), noncurrent_expiration=NoncurrentExpiration(days=1))
        store.put_bucket_lifecycle("photos", [rule])
        store.put_object("photos", "a", bytes(60))
        clock.advance(days=3)
        store.jobs.run("lifecycle")
        assert usage_of(store) == looked_at(store) == Usage(2, 60)
        clock.advance(days=3)
        store.jobs.run("lifecycle")
        assert usage_of(store) == looked_at(store)
        assert usage_of(store).bytes == 0


def test_writers_at_the_same_time_do_not_exceed_a_quota_together(photos: Store) -> None:
    if not photos.engine.object_engine.keeps_versions:
        pytest.skip("the bytes are stored at the provider before it is decided")
    photos.put_quota(bucket="photos", max_objects=5)
    outcomes: list[object] = []

    def write(key: str) -> None:
        try:
            outcomes.append(photos.put_object("photos", key, b"1"))
        except errors.QuotaExceeded as refused:
            outcomes.append(refused)

    threads = [threading.Thread(target=write, args=(f"k{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, errors.QuotaExceeded) for outcome in outcomes) == 7
    assert usage_of(photos) == looked_at(photos) == Usage(5, 5)


@pytest.mark.parametrize("seed", range(2))
def test_a_count_is_right_whatever_is_done(photos: Store, seed: int) -> None:
    chance = random.Random(seed)
    photos.put_quota(bucket="photos", max_bytes=300, max_objects=6)
    photos.put_quota(account="alice")
    uploads: list[tuple[str, str]] = []

    def complete() -> None:
        key, upload_id = chance.choice(uploads)
        parts = photos.list_parts("photos", key, upload_id).parts
        photos.complete_upload(
            "photos", key, upload_id, [CompletedPart(number=part.number, etag=part.etag) for part in parts[:1]]
        )

    steps: list[Callable[[], object]] = [
        lambda: photos.put_object("photos", chance.choice("abc"), bytes(chance.randrange(60))),
        lambda: photos.put_object("photos", chance.choice("abcdefgh"), bytes(chance.randrange(60))),
        lambda: photos.copy_object("photos", chance.choice("abc"), "photos", chance.choice("def")),
        lambda: photos.delete_object("photos", chance.choice("abcdef")),
        lambda: uploads.append((key := chance.choice("abc"), upload(photos, key, 5, 7)[0])),
        lambda: photos.abort_upload("photos", *chance.choice(uploads)),
        complete,
    ]
    for _ in range(60):
        with contextlib.suppress(errors.S3Error, IndexError):
            chance.choice(steps)()
        assert usage_of(photos) == usage_of(photos, "alice") == looked_at(photos)


def test_quotas_are_of_the_bucket_that_is_there(photos: Store) -> None:
    photos.put_quota(bucket="photos", max_bytes=0)
    photos.delete_bucket("photos")
    assert photos.list_quotas() == []
    photos.create_bucket("photos")
    photos.put_object("photos", "a", b"1")
    for wrong in ({}, {"bucket": "photos", "account": "alice"}, {"account": ""}, {"bucket": "photos", "max_bytes": -1}):
        with pytest.raises(errors.InvalidArgument):
            photos.put_quota(**wrong)
    with pytest.raises(errors.NoSuchBucket):
        photos.put_quota(bucket="nowhere", max_bytes=1)
    with pytest.raises(errors.NoSuchBucket):
        photos.usage("nowhere")


def test_another_process_heeds_a_quota_at_once_and_fsck_mends_a_count(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with bleepstore.open(folder) as store:
        store.create_bucket("photos")
        store.put_object("photos", "a", bytes(6))
        with open_quotas(folder) as quotas:
            quotas.put_quota(bucket="photos", max_bytes=10)
        with pytest.raises(errors.QuotaExceeded):
            store.put_object("photos", "b", bytes(6))
        fork = store.fork()
        store.delete_object("photos", "a")
        with fork, pytest.raises(errors.QuotaExceeded):
            fork.put_object("photos", "b", bytes(6))
    assert bleepstore.fsck(folder) == []
    damaged = apsw.Connection(str(folder / "catalog.db"))
    damaged.execute("UPDATE quota SET bytes = 7, objects = 3")
    damaged.close()
    (finding,) = bleepstore.fsck(folder)
    assert str(finding) == (
        "miscounted: the quota of the bucket photos: it counts 3 objects of 7 bytes instead of 0 objects of 0 bytes"
    )
    assert [found.kind for found in bleepstore.fsck(folder, repair=True)] == ["miscounted"]
    assert bleepstore.fsck(folder) == []
    with bleepstore.open(folder) as store:
        assert usage_of(store) == Usage(0, 0)
        assert store.snapshot() is not None


def test_totals_count_the_whole_store(store: Store) -> None:
    assert store.totals() == Totals(buckets=0, objects=0, versions=0, bytes=0, uploads=0, garbage=0)
    for bucket in ("first", "second"):
        store.create_bucket(bucket)
        store.put_object(bucket, "key", b"12345")
    upload = store.create_upload("first", "large")
    store.put_part("first", "large", upload.upload_id, 1, b"part")
    found = store.totals()
    assert (found.buckets, found.objects, found.versions, found.bytes, found.uploads) == (2, 2, 2, 14, 1)
    if store.engine.object_engine.keeps_versions:
        store.put_bucket_versioning("second", Versioning.ENABLED)
        store.put_object("second", "key", b"678")
        store.delete_object("second", "key")
        found = store.totals()
        assert (found.objects, found.versions, found.bytes) == (1, 4, 17)
