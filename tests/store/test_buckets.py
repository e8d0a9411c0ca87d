"""Buckets, listings and access control lists, by the Python API: every feature works without the server."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import bleepstore
from bleepstore import (
    ANONYMOUS,
    Acl,
    Algorithm,
    Caller,
    CannedAcl,
    ChecksumType,
    CompletedPart,
    Grant,
    Group,
    Owner,
    Permission,
    Store,
    errors,
)

pytestmark = pytest.mark.stores("local", "cluster", "aws-keys")

ALICE, BOB = Owner("alice", "Alice"), Owner("bob", "Bob")


def test_a_bucket_says_what_it_is(store: Store) -> None:
    made = store.create_bucket("photos", location="eu-central-1", caller=Caller(ALICE))
    assert (made.name, made.owner, made.location) == ("photos", ALICE, "eu-central-1")
    assert made.acl == Acl.private("alice")
    assert abs(made.created - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert store.head_bucket("photos") == store.get_bucket("photos") == made


def test_names_are_checked_and_taken_names_refused(store: Store) -> None:
    with pytest.raises(errors.InvalidBucketName):
        store.create_bucket("No")
    store.create_bucket("photos", caller=Caller(ALICE))
    with pytest.raises(errors.BucketAlreadyOwnedByYou):
        store.create_bucket("photos", caller=Caller(ALICE))
    with pytest.raises(errors.BucketAlreadyExists):
        store.create_bucket("photos", caller=Caller(BOB))
    with pytest.raises(errors.AccessDenied):
        store.create_bucket("other", caller=ANONYMOUS)


def test_only_an_empty_bucket_goes(store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "k", b"")
    with pytest.raises(errors.BucketNotEmpty):
        store.delete_bucket("photos")
    store.delete_object("photos", "k")
    store.delete_bucket("photos")
    for call in (store.head_bucket, store.delete_bucket, store.get_bucket_acl, store.list_objects, store.list_uploads):
        with pytest.raises(errors.NoSuchBucket):
            call("photos")


def test_listing_buckets_in_pages(store: Store) -> None:
    for name in ("aaa", "bbb", "bbc", "ccc"):
        store.create_bucket(name, caller=Caller(ALICE if name != "ccc" else BOB))
    assert [b.name for b in store.list_buckets().buckets] == ["aaa", "bbb", "bbc", "ccc"]
    assert [b.name for b in store.list_buckets(caller=Caller(ALICE)).buckets] == ["aaa", "bbb", "bbc"]
    assert [b.name for b in store.list_buckets(prefix="bb").buckets] == ["bbb", "bbc"]
    store.create_bucket("ddd", location="EU")
    store.create_bucket("eee", location="eu-west-1")
    found = store.list_buckets(locations={"EU", "eu-west-1"}, limit=1)
    assert ([b.name for b in found.buckets], found.next_name) == (["ddd"], "ddd")
    assert [b.name for b in store.list_buckets(locations=[""], after="aaa", limit=2).buckets] == ["bbb", "bbc"]
    assert store.list_buckets(locations=()).buckets == []
    store.delete_bucket("ddd")
    store.delete_bucket("eee")
    page = store.list_buckets(limit=3)
    assert ([b.name for b in page.buckets], page.next_name) == (["aaa", "bbb", "bbc"], "bbc")
    rest = store.list_buckets(limit=3, after="bbc")
    assert ([b.name for b in rest.buckets], rest.next_name) == (["ccc"], None)
    with pytest.raises(errors.InvalidArgument):
        store.list_buckets(limit=-1)
    with pytest.raises(errors.AccessDenied):
        store.list_buckets(caller=ANONYMOUS)


@pytest.mark.legacy_acls
def test_acls_are_replaced_whole(store: Store) -> None:
    store.create_bucket("photos", caller=Caller(ALICE))
    store.put_bucket_acl("photos", CannedAcl.PUBLIC_READ, caller=Caller(ALICE))
    assert Grant(Group.ALL_USERS, Permission.READ) in store.get_bucket_acl("photos", caller=Caller(ALICE)).grants
    mine = Acl("alice", (Grant("bob", Permission.READ_ACP),))
    store.put_bucket_acl("photos", mine, caller=Caller(ALICE))
    assert store.get_bucket_acl("photos", caller=Caller(BOB)) == mine
    with pytest.raises(errors.AccessDenied):
        store.put_bucket_acl("photos", Acl("bob", ()), caller=Caller(ALICE))
    with pytest.raises(errors.AccessDenied):
        store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=Caller(BOB))
    store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=Caller(ALICE))
    store.put_object("photos", "k", b"", caller=Caller(ALICE))
    store.put_object_acl("photos", "k", (Grant("bob", Permission.READ),), caller=Caller(ALICE))
    assert store.get_object_acl("photos", "k", caller=Caller(ALICE)).grants == (Grant("bob", Permission.READ),)
    with pytest.raises(errors.NoSuchKey):
        store.put_object_acl("photos", "absent", CannedAcl.PRIVATE)
    with pytest.raises(errors.NoSuchVersion):
        store.get_object_acl("photos", "k", version_id="v" * 32)


def test_listing_objects_in_pages(store: Store) -> None:
    store.create_bucket("photos")
    for key in ("a", "b/1", "b/2", "c"):
        store.put_object("photos", key, key.encode())
    page = store.list_objects("photos", delimiter="/", limit=2)
    assert ([o.key for o in page.objects], page.common_prefixes, page.next_key) == (["a"], ["b/"], "b/")
    rest = store.list_objects("photos", delimiter="/", after="b/")
    assert ([o.key for o in rest.objects], rest.next_key) == (["c"], None)
    assert [o.key for o in store.list_objects("photos", prefix="b/").objects] == ["b/1", "b/2"]
    assert store.list_objects("photos", limit=0).objects == []
    with pytest.raises(errors.InvalidArgument):
        store.list_objects("photos", limit=-1)


def test_the_parts_of_an_object_in_pages(store: Store) -> None:
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k", checksum_algorithm=Algorithm.SHA256)
    assert upload.checksum_type == ChecksumType.COMPOSITE
    part = store.put_part("photos", "k", upload.upload_id, 3, b"data", checksum_algorithm=Algorithm.SHA256)
    listed = [CompletedPart(number=3, etag=part.etag, checksum=part.checksum)]
    store.complete_upload("photos", "k", upload.upload_id, listed)
    version, parts, following = store.list_object_parts("photos", "k")
    assert (version.parts_count, [p.size for p in parts], following) == (1, [4], None)
    assert store.list_object_parts("photos", "k", limit=0)[1] == []
    store.put_object("photos", "plain", b"data")
    assert store.list_object_parts("photos", "plain")[1] == []


@pytest.mark.parametrize("limit", [-1, 0, 5, 1_000_000])
def test_where_small_objects_are_stored_is_a_choice(tmp_path: Path, limit: int) -> None:
    with bleepstore.open(tmp_path, inline_limit=limit) as store:
        store.create_bucket("photos")
        blobs = 0
        for size in (0, 1, 5, 6, 100_000):
            store.put_object("photos", f"k{size}", b"x" * size)
            blobs += size > limit
            assert len(list((tmp_path / "blobs").glob("*/*"))) == blobs
        for size in (0, 1, 5, 6, 100_000):
            store.put_object("photos", "k", b"x" * size)
            with store.get_object("photos", "k") as found:
                assert found.read() == b"x" * size
            store.copy_object("photos", "k", "photos", "copy")
            with store.get_object("photos", "copy") as found:
                assert b"".join(found) == b"x" * size


def test_an_owner_of_ones_own(store: Store) -> None:
    with bleepstore.open(owner=ALICE) as other:
        assert other.create_bucket("photos").owner == other.owner == ALICE
        other.ping()
    assert store.owner.id == "bleepstore"
