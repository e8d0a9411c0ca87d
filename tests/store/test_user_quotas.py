"""Quotas of users and of roles: what they have made in the buckets of their account, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

import bleepstore
from bleepstore import (
    Caller,
    CompletedPart,
    DeleteEntry,
    Expiration,
    LifecycleRule,
    Owner,
    QuotaScope,
    Store,
    Usage,
    Versioning,
    errors,
)
from bleepstore.access.sessions import RoleSession
from bleepstore.testing.clock import Clock

pytestmark = pytest.mark.stores("local", "cluster", "aws-keys", "aws-blobs")

ALICE = Owner("alice", "Alice")
ROOT = Caller(ALICE)
EVERYTHING = json.dumps({"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})


def add_user(store: Store, name: str, account: Owner = ALICE) -> Caller:
    store.users.add(name, account=account)
    store.users.put_policy(name, "all", EVERYTHING, account=account)
    return Caller.of_user(store.users.get(name, account=account))


@pytest.fixture
def photos(store: Store) -> Store:
    store.create_bucket("photos", caller=ROOT)
    return store


@pytest.fixture
def ann(photos: Store) -> Caller:
    return add_user(photos, "ann")


@pytest.fixture
def ben(photos: Store) -> Caller:
    return add_user(photos, "ben")


def arn(caller: Caller) -> str:
    assert caller.user is not None
    return caller.user.arn


def usage_of(store: Store, caller: Caller) -> Usage:
    (found,) = [one.usage for one in store.list_quotas() if one.name == arn(caller)]
    return found


def counted_anew(store: Store, caller: Caller) -> Usage:
    with store.engine.catalog.read() as reader:
        return reader.count_quota(QuotaScope.USER, arn(caller))


def test_a_user_writes_no_more_than_its_quota_and_others_go_on(photos: Store, ann: Caller, ben: Caller) -> None:
    photos.put_quota(user=arn(ann), max_bytes=10, max_objects=2)
    made = photos.put_object("photos", "a", bytes(6), caller=ann)
    assert made.creator_id == arn(ann) == photos.head_object("photos", "a").version.creator_id
    assert made.owner == ALICE
    with pytest.raises(errors.QuotaExceeded) as refused:
        photos.put_object("photos", "b", bytes(5), caller=ann)
    assert refused.value == errors.QuotaExceeded("photos", "user", "bytes", 10)
    assert "quota of the user or role that writes: 10 bytes" in refused.value.message
    photos.put_object("photos", "b", bytes(500), caller=ben)
    photos.put_object("photos", "c", bytes(500), caller=ROOT)
    photos.put_object("photos", "d", bytes(500))
    photos.put_object("photos", "a", bytes(10), caller=ann)  # instead of its own
    photos.put_object("photos", "e", b"", caller=ann)
    with pytest.raises(errors.QuotaExceeded, match="2 objects"):
        photos.put_object("photos", "f", b"", caller=ann)
    assert usage_of(photos, ann) == counted_anew(photos, ann) == Usage(2, 10)
    assert [(one.scope, one.name) for one in photos.list_quotas()] == [("user", arn(ann))]


def test_what_is_deleted_or_replaced_goes_back_to_who_made_it(photos: Store, ann: Caller, ben: Caller) -> None:
    for caller in (ann, ben):
        photos.put_quota(user=arn(caller), max_bytes=10)
    photos.put_object("photos", "a", bytes(8), caller=ann)
    photos.delete_object("photos", "a", caller=ben)
    assert usage_of(photos, ann) == Usage(0, 0)
    photos.put_object("photos", "a", bytes(8), caller=ann)
    photos.put_object("photos", "a", bytes(9), caller=ben)
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(0, 0), Usage(1, 9))
    photos.put_object("photos", "b", bytes(2), caller=ann)
    with pytest.raises(errors.QuotaExceeded):  # fewer bytes than ben's, and all of them ann's
        photos.put_object("photos", "a", bytes(9), caller=ann)
    photos.put_object("photos", "a", bytes(7), caller=ROOT)
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(1, 2), Usage(0, 0))
    photos.delete_objects("photos", [DeleteEntry(key="b")], caller=ROOT)
    assert usage_of(photos, ann) == counted_anew(photos, ann) == Usage(0, 0)


def test_a_copy_is_of_who_copies(photos: Store, ann: Caller, ben: Caller) -> None:
    for caller in (ann, ben):
        photos.put_quota(user=arn(caller), max_bytes=10)
    photos.put_object("photos", "a", bytes(6), caller=ann)
    copied = photos.copy_object("photos", "a", "photos", "b", caller=ben)
    assert copied.creator_id == arn(ben)
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(1, 6), Usage(1, 6))
    with pytest.raises(errors.QuotaExceeded):
        photos.copy_object("photos", "a", "photos", "c", caller=ben)
    photos.put_object_tags("photos", "b", {"by": "ann"}, caller=ann)  # at a provider that may write it anew
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(1, 6), Usage(1, 6))
    assert photos.head_object("photos", "b").version.creator_id == arn(ben)


def test_parts_and_what_they_become_are_of_who_began_the_upload(photos: Store, ann: Caller) -> None:
    photos.put_quota(user=arn(ann), max_bytes=10)

    def begin(*sizes: int) -> tuple[str, list[CompletedPart]]:
        upload_id = photos.create_upload("photos", "k", caller=ann).upload_id
        parts = [
            photos.put_part("photos", "k", upload_id, number, bytes(size), caller=ROOT)
            for number, size in enumerate(sizes, 1)
        ]
        return upload_id, [CompletedPart(number=part.number, etag=part.etag) for part in parts]

    upload_id, parts = begin(8)
    assert usage_of(photos, ann) == Usage(0, 8)
    with pytest.raises(errors.QuotaExceeded):
        photos.put_part("photos", "k", upload_id, 2, bytes(3), caller=ann)
    made = photos.complete_upload("photos", "k", upload_id, parts, caller=ROOT)
    assert made.creator_id == arn(ann)
    assert usage_of(photos, ann) == counted_anew(photos, ann) == Usage(1, 8)
    aborted, _ = begin(2)
    assert usage_of(photos, ann) == Usage(1, 10)
    photos.abort_upload("photos", "k", aborted, caller=ROOT)
    photos.delete_object("photos", "k")
    begin(3)
    assert usage_of(photos, ann) == counted_anew(photos, ann) == Usage(0, 3)
    photos.delete_bucket("photos")
    assert usage_of(photos, ann) == counted_anew(photos, ann) == Usage(0, 0)


def test_versions_and_markers_are_of_who_made_them(photos: Store, ann: Caller, ben: Caller) -> None:
    try:
        photos.put_bucket_versioning("photos", Versioning.ENABLED)
    except errors.NotSupported:
        pytest.skip("one object under each key")
    for caller in (ann, ben):
        photos.put_quota(user=arn(caller), max_bytes=10)
    first = photos.put_object("photos", "a", bytes(6), caller=ann)
    photos.put_object("photos", "a", bytes(7), caller=ben)
    marker = photos.delete_object("photos", "a", caller=ann)
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(2, 6), Usage(1, 7))
    photos.delete_object("photos", "a", version_id=first.version_id, caller=ben)
    photos.delete_object("photos", "a", version_id=marker.delete_marker_id, caller=ben)
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(0, 0), Usage(1, 7))
    photos.put_bucket_versioning("photos", Versioning.SUSPENDED)
    photos.put_object("photos", "a", bytes(9), caller=ann)
    photos.put_object("photos", "a", bytes(2), caller=ben)  # instead of the version "null", which is ann's
    for caller in (ann, ben):
        assert usage_of(photos, caller) == counted_anew(photos, caller)
    assert (usage_of(photos, ann), usage_of(photos, ben)) == (Usage(0, 0), Usage(2, 9))


def test_only_buckets_of_its_account_count(photos: Store, ann: Caller) -> None:
    photos.put_quota(user=arn(ann), max_bytes=10)
    photos.create_bucket("more", caller=ROOT)
    photos.put_object("more", "a", bytes(6), caller=ann)
    with pytest.raises(errors.QuotaExceeded):
        photos.put_object("photos", "a", bytes(6), caller=ann)
    photos.create_bucket("bobs", caller=Caller(Owner("bob")))
    allowed = {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::bobs/*", "Principal": {"AWS": arn(ann)}}
    photos.put_bucket_policy("bobs", json.dumps({"Statement": [{"Effect": "Allow", **allowed}]}))
    photos.put_quota(bucket="bobs", max_bytes=1000)
    assert photos.put_object("bobs", "a", bytes(600), caller=ann).creator_id == arn(ann)
    assert usage_of(photos, ann) == counted_anew(photos, ann) == Usage(1, 6)


def test_all_three_quotas_count_and_each_may_refuse(photos: Store, ann: Caller, ben: Caller) -> None:
    photos.put_quota(user=arn(ann), max_bytes=10)
    photos.put_quota(bucket="photos", max_bytes=15)
    photos.put_quota(account="alice", max_bytes=18)
    photos.put_object("photos", "a", bytes(10), caller=ann)
    for caller, scope in ((ann, "bucket"), (ben, "bucket")):
        with pytest.raises(errors.QuotaExceeded) as refused:
            photos.put_object("photos", "b", bytes(6), caller=caller)
        assert refused.value.scope == scope
    with pytest.raises(errors.QuotaExceeded) as refused:
        photos.put_object("photos", "b", bytes(5), caller=ann)
    assert refused.value.scope == "user"
    photos.put_object("photos", "b", bytes(5), caller=ben)
    photos.put_quota(bucket="photos")
    with pytest.raises(errors.QuotaExceeded) as refused:
        photos.put_object("photos", "c", bytes(4), caller=ben)
    assert refused.value.scope == "account"


def test_all_sessions_of_a_role_count_together(photos: Store) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    role = photos.put_role("writer", json.dumps(trust), {"all": EVERYTHING}, account=ALICE)
    photos.put_quota(user=role.arn, max_bytes=10)
    one, other = (Caller.of_user(RoleSession(role, name)) for name in ("one", "other"))
    assert photos.put_object("photos", "a", bytes(6), caller=one).creator_id == role.arn
    with pytest.raises(errors.QuotaExceeded):
        photos.put_object("photos", "b", bytes(6), caller=other)
    photos.delete_role("writer", account=ALICE)
    assert photos.list_quotas() == []


def test_a_quota_goes_with_its_user_and_what_it_wrote_stays(photos: Store, ann: Caller) -> None:
    photos.put_object("photos", "a", bytes(6), caller=ann)
    photos.put_quota(user=arn(ann), max_bytes=1)
    assert usage_of(photos, ann) == Usage(1, 6)  # what is there already is counted
    photos.users.remove("ann", account=ALICE)
    assert photos.list_quotas() == []
    assert photos.head_object("photos", "a").version.creator_id == arn(ann)
    add_user(photos, "ann")  # another one, which has the name
    photos.put_quota(user=arn(ann), max_bytes=10)
    assert usage_of(photos, ann) == Usage(1, 6)
    photos.delete_quota(user=arn(ann))
    photos.delete_quota(user=arn(ann))
    photos.put_object("photos", "b", bytes(100), caller=ann)


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ({"user": "arn:aws:iam::alice:user/nobody"}, errors.NoSuchUser),
        ({"user": "arn:aws:iam::alice:user/ANN"}, errors.NoSuchUser),  # as it is written, and no other
        ({"user": "arn:aws:iam::alice:user/lab/ann"}, errors.NoSuchUser),
        ({"user": "arn:aws:iam::alice:role/nothing"}, errors.NoSuchRole),
        ({"user": "arn:aws:iam::alice:root"}, errors.InvalidArgument),
        ({"user": "ann"}, errors.InvalidArgument),
        ({"user": ""}, errors.InvalidArgument),
        ({"user": "arn:aws:iam::alice:user/ann", "account": "alice"}, errors.InvalidArgument),
    ],
    ids=str,
)
def test_a_quota_is_of_somebody_who_is_there(
    photos: Store, ann: Caller, named: dict[str, str], refusal: type[errors.S3Error]
) -> None:
    with pytest.raises(refusal):
        photos.put_quota(**named)  # type: ignore[arg-type]  # names alone
    assert photos.list_quotas() == []


@pytest.mark.parametrize("seed", range(2))
def test_a_count_is_right_whatever_is_done(photos: Store, ann: Caller, ben: Caller, seed: int) -> None:
    chance = random.Random(seed)
    for caller in (ann, ben):
        photos.put_quota(user=arn(caller), max_bytes=200, max_objects=5)
    with suppress(errors.NotSupported):
        if seed:
            photos.put_bucket_versioning("photos", Versioning.SUSPENDED)
    uploads: list[tuple[str, str]] = []

    def upload(key: str, caller: Caller) -> None:
        begun = photos.create_upload("photos", key, caller=caller)
        photos.put_part("photos", key, begun.upload_id, 1, bytes(9), caller=ROOT)
        uploads.append((key, begun.upload_id))

    def complete() -> None:
        key, upload_id = chance.choice(uploads)
        (part,) = photos.list_parts("photos", key, upload_id).parts
        photos.complete_upload("photos", key, upload_id, [CompletedPart(number=1, etag=part.etag)])

    def who() -> Caller | None:
        return chance.choice((ann, ben, ROOT, None))

    steps: list[Callable[[], object]] = [
        lambda: photos.put_object("photos", chance.choice("abcdef"), bytes(chance.randrange(60)), caller=who()),
        lambda: photos.copy_object("photos", chance.choice("abc"), "photos", chance.choice("def"), caller=who()),
        lambda: photos.delete_object("photos", chance.choice("abcdef"), caller=who()),
        lambda: upload(chance.choice("abc"), chance.choice((ann, ben))),
        lambda: photos.abort_upload("photos", *chance.choice(uploads)),
        complete,
    ]
    for _ in range(50):
        with suppress(errors.S3Error, IndexError):
            chance.choice(steps)()
        for caller in (ann, ben):
            assert usage_of(photos, caller) == counted_anew(photos, caller)


def test_what_a_lifecycle_marks_is_nobodys(photos: Store) -> None:
    clock = Clock()
    with bleepstore.open(clock=clock) as store:
        store.create_bucket("photos", caller=ROOT)
        ann = add_user(store, "ann")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        store.put_quota(user=arn(ann))
        store.put_bucket_lifecycle("photos", [LifecycleRule(expiration=Expiration(days=1))])
        store.put_object("photos", "a", bytes(6), caller=ann)
        clock.advance(days=3)
        store.jobs.run("lifecycle")
        assert store.usage("photos") == Usage(2, 6)
        assert usage_of(store, ann) == counted_anew(store, ann) == Usage(1, 6)


def test_fsck_compares_and_mends_them_and_copies_of_the_store_keep_them(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with bleepstore.open(folder) as store:
        store.create_bucket("photos", caller=ROOT)
        ann = add_user(store, "ann")
        store.put_quota(user=arn(ann), max_bytes=10)
        store.put_object("photos", "a", bytes(6), caller=ann)
        with store.fork() as fork, pytest.raises(errors.QuotaExceeded):
            fork.put_object("photos", "b", bytes(6), caller=ann)
    assert bleepstore.fsck(folder) == []
    damaged = apsw.Connection(str(folder / "catalog.db"))
    damaged.execute("UPDATE quota SET bytes = 7")
    damaged.close()
    (finding,) = bleepstore.fsck(folder, repair=True)
    assert str(finding) == (
        f"miscounted: the quota of the user {arn(ann)}: it counts 1 objects of 7 bytes instead of 1 objects of 6 bytes"
    )
    assert bleepstore.fsck(folder) == []
