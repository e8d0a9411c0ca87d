"""Versions of a bucket that are copied to a bucket at another endpoint of S3: here, another store behind HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import Caller, Store
from bleepstore.encryption import CustomerKey, StoreKey
from bleepstore.errors import InvalidBucketName, InvalidRequest, StoreError
from bleepstore.jobs import replication
from bleepstore.model import Owner, Versioning
from bleepstore.object_lock import Retention, RetentionMode
from bleepstore.remotes import MARK, Remote, RemoteBucket, RemoteCopy, open_remote
from bleepstore.replication import ReplicationStatus
from bleepstore_server.faults import Faults, Refuse
from bleepstore_server.live import live_server
from tests.replication.tools import copy_all, error_of, make_buckets, replicate, rule, status_of, versions

PENDING, COMPLETED = ReplicationStatus.PENDING, ReplicationStatus.COMPLETED
FAILED, REPLICA = ReplicationStatus.FAILED, ReplicationStatus.REPLICA
KEY, SECRET = "AKIAFAR", "far-secret"
IN_2100 = 4_102_444_800_000  # milliseconds since the epoch


@pytest.fixture
def far() -> Iterator[Store]:
    with bleepstore.open() as store:
        make_buckets(store, "far")
        store.put_credential(KEY, SECRET)
        yield store


@attrs.frozen
class Pair:
    near: Store
    far: Store
    url: str


def remote_url(url: str, path: str = "far", query: str = "") -> str:
    scheme, _, rest = url.partition("://")
    return f"s3+{scheme}://{KEY}:{SECRET}@{rest}/{path}{query}"


@pytest.fixture
def pair(far: Store) -> Iterator[Pair]:
    with (
        live_server(far) as server,
        bleepstore.open(replication_destinations={"copies": remote_url(server.url)}) as near,
    ):
        make_buckets(near, "photos")
        replicate(near, "photos", rule())
        yield Pair(near, far, server.url)


def test_a_version_is_copied_with_what_goes_with_it(pair: Pair) -> None:
    near, far = pair.near, pair.far
    put = near.put_object(
        "photos",
        "a b/ü",
        b"x" * 70_000,
        tags={"a": "ü 1"},
        metadata={"m": "é"},
        content_type="text/x",
        cache_control="no-store",
        storage_class="GLACIER_IR",
    )
    copy_all(near)
    assert (status_of(near, "photos", "a b/ü"), status_of(far, "far", "a b/ü")) == (COMPLETED, REPLICA)
    with far.get_object("far", "a b/ü") as copy:
        assert copy.read() == b"x" * 70_000
        version = copy.version
    assert version.metadata == {"m": "é", MARK: put.version_id}
    assert (version.tags, version.content_type, version.etag) == ({"a": "ü 1"}, "text/x", put.etag)
    assert (version.system.cache_control, version.storage_class) == ("no-store", "GLACIER_IR")
    state = near.head_object("photos", "a b/ü").version.replication
    assert state is not None
    assert state.replicas[0].version_id == version.version_id != put.version_id


def test_versions_and_delete_markers_come_in_their_order(pair: Pair) -> None:
    near, far = pair.near, pair.far
    for number in range(3):
        near.put_object("photos", "k", b"%d" % number)
    near.delete_object("photos", "k")
    near.put_object("photos", "k", b"last")
    near.delete_object("photos", "absent")
    copy_all(near)
    kinds = [(one[0], one[2], one[3]) for one in versions(near, "photos") if one[0] == "k"]
    assert [(one[0], one[2], one[3]) for one in versions(far, "far")] == kinds


def test_changes_of_tags_and_locks_follow_their_version(far: Store) -> None:
    far.create_bucket("locked", object_lock=True)
    with (
        live_server(far) as server,
        bleepstore.open(replication_destinations={"copies": remote_url(server.url, "locked")}) as near,
    ):
        near.create_bucket("photos", object_lock=True)
        replicate(near, "photos", rule())
        first = near.put_object("photos", "k", b"1", tags={"a": "1"})
        near.put_object("photos", "k", b"2")
        copy_all(near)
        until = Retention(RetentionMode.GOVERNANCE, IN_2100)
        near.put_object_tags("photos", "k", {"b": "2"}, version_id=first.version_id)
        near.put_object_retention("photos", "k", until, version_id=first.version_id)
        near.put_object_legal_hold("photos", "k", True, version_id=first.version_id)
        copy_all(near)
        latest, oldest = (
            far.head_object("locked", one[0], version_id=one[1]).version for one in versions(far, "locked")
        )
        assert (oldest.tags, oldest.retention, oldest.legal_hold) == ({"b": "2"}, until, True)
        assert (latest.tags, latest.retention) == ({}, None)


def test_large_objects_are_uploaded_in_parts(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bleepstore.remotes.aws._PART", 5 * 1024**2)
    body = bytes(range(256)) * (44 * 1024)  # 11 MiB
    pair.near.put_object("photos", "k", body)
    copy_all(pair.near)
    assert pair.far.get_object("far", "k").read() == body
    assert pair.far.head_object("far", "k").version.parts_count == 3
    assert status_of(pair.far, "far", "k") is REPLICA
    assert list(pair.far.iter_uploads("far")) == []


def test_an_upload_that_is_refused_and_cannot_be_aborted_counts_as_refused(
    far: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleepstore.remotes.aws._PART", 1000)
    faults = Faults()
    faults.add(Refuse(status=400, code="InvalidArgument"), operations="UploadPart")
    faults.add(Refuse(status=403, code="AccessDenied"), operations="AbortMultipartUpload")
    with (
        live_server(far, faults=faults) as server,
        bleepstore.open(replication_destinations={"copies": remote_url(server.url)}) as near,
    ):
        make_buckets(near, "photos")
        replicate(near, "photos", rule())
        near.put_object("photos", "k", bytes(2000))
        copy_all(near)
        assert status_of(near, "photos", "k") is FAILED, "what is refused is not tried again"


def test_encrypted_objects_are_encrypted_there(far: Store, tmp_path: Path) -> None:
    with (
        live_server(far) as server,
        bleepstore.open(tmp_path / "store", replication_destinations={"copies": remote_url(server.url)}) as near,
    ):
        make_buckets(near, "photos")
        replicate(near, "photos", rule())
        near.put_object("photos", "own", b"x" * 100_000, encryption=StoreKey())
        near.put_object("photos", "theirs", b"x", encryption=CustomerKey(b"k" * 32))
        copy_all(near)
        version = far.head_object("far", "own").version
        assert version.encryption is not None
        assert far.get_object("far", "own").read() == b"x" * 100_000
        assert [one[0] for one in versions(far, "far")] == ["own"]


@attrs.define
class Forgetful:
    """A bucket after each of whose writes the process ends before it is noted, as often as it is told."""

    inner: RemoteBucket
    times: list[int]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put(self, key: str, copy: RemoteCopy, body: Any) -> str | None:
        version_id = self.inner.put(key, copy, body)
        self._forget()
        return version_id

    def delete(self, key: str) -> str | None:
        version_id = self.inner.delete(key)
        self._forget()
        return version_id

    def _forget(self) -> None:
        if self.times[0]:
            self.times[0] -= 1
            raise ConnectionResetError("it was stored, and nobody heard")


def test_what_was_stored_and_not_noted_is_not_stored_again(far: Store) -> None:
    with live_server(far) as server:
        opened, times = open_remote(remote_url(server.url)), [2]
        remote = Remote(lambda bucket: Forgetful(opened.open(bucket), times))
        with bleepstore.open(replication_destinations={"copies": remote}) as near:
            make_buckets(near, "photos")
            replicate(near, "photos", rule())
            near.put_object("photos", "k", b"1")
            near.delete_object("photos", "k")
            while near.replication_destinations():
                copy_all(near)
            assert times == [0]
            assert [one[2] for one in versions(far, "far")] == [True, False]


def test_two_stores_that_copy_to_each_other_come_to_rest() -> None:
    urls: dict[str, str] = {}

    def opened(name: str) -> Store:
        other = Remote(lambda bucket: open_remote(remote_url(urls[name], "photos")).open(bucket))
        return bleepstore.open(replication_destinations={"other": other})

    with opened("two") as one, opened("one") as two, live_server(one) as first, live_server(two) as second:
        urls |= {"one": first.url, "two": second.url}
        for number, store in enumerate((one, two)):
            store.put_credential(KEY, SECRET)
            make_buckets(store, "photos")
            replicate(store, "photos", rule("other"))
            store.put_object("photos", f"k{number}", b"1")
            store.put_object("photos", f"gone{number}", b"1")
            store.delete_object("photos", f"gone{number}")
        for _ in range(3):
            copy_all(one)
            copy_all(two)
        assert (one.replication_destinations(), two.replication_destinations()) == ((), ())
        for store in (one, two):
            assert [(row[0], row[2]) for row in versions(store, "photos")] == [
                ("gone0", True), ("gone0", False), ("gone1", True), ("gone1", False), ("k0", False), ("k1", False),
            ]  # fmt: skip


def test_the_copy_of_a_copy_by_a_client_is_an_object_of_its_own(pair: Pair) -> None:
    pair.near.put_object("photos", "k", b"1", metadata={"m": "n"})
    copy_all(pair.near)
    copied = pair.far.copy_object("far", "k", "far", "l")
    assert (copied.metadata, copied.replication) == ({"m": "n"}, None)


def test_nobody_makes_copies_with_the_right_to_write_objects(far: Store) -> None:
    far.users.add("ann")
    far.users.put_policy(
        "ann",
        "p",
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}}',
    )
    ann = Caller.of_user(far.users.get("ann"))
    assert far.put_object("far", "k", b"", metadata={MARK: "x"}, caller=ann).replication is None
    assert far.put_object("far", "k", b"", metadata={MARK: "x"}).replication is not None


# -- what fails


def test_a_destination_that_is_down_is_tried_again(pair: Pair) -> None:
    near = pair.near
    pair.far.delete_bucket("far")
    near.put_object("photos", "k", b"1")
    copy_all(near)
    assert status_of(near, "photos", "k") is PENDING
    (waiting,) = near.replication_destinations()
    assert (waiting.name, waiting.waiting) == ("copies", 1)
    assert "NoSuchBucket" in (waiting.error or "")
    make_buckets(pair.far, "far")
    while near.replication_destinations():
        copy_all(near)
    assert status_of(near, "photos", "k") is COMPLETED


def test_a_destination_that_stays_down_is_given_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.far.delete_bucket("far")
    monkeypatch.setattr(replication, "GIVE_UP_MS", 0)
    pair.near.put_object("photos", "k", b"1")
    copy_all(pair.near)
    assert status_of(pair.near, "photos", "k") is FAILED
    assert "NoSuchBucket" in (error_of(pair.near, "photos", "k") or "")


def test_many_versions_of_a_key_that_waits_hold_up_no_other(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "_PAGE", 2)
    statement = '{"Effect":"Deny","Principal":"*","Action":"s3:GetObject*","Resource":"arn:aws:s3:::far/waits"}'
    pair.far.put_bucket_policy("far", f'{{"Version":"2012-10-17","Statement":{statement}}}')
    with pair.near.jobs.paused():
        for _ in range(5):
            pair.near.put_object("photos", "waits", b"")
        pair.near.put_object("photos", "other", b"")
    copy_all(pair.near)
    assert status_of(pair.near, "photos", "other") is COMPLETED
    assert status_of(pair.near, "photos", "waits") is PENDING


def test_an_object_that_is_refused_holds_up_no_other(pair: Pair) -> None:
    near = pair.near
    near.put_object("photos", "k", b"1", metadata={"m": "x" * 2040})  # with the mark it is too much
    near.put_object("photos", "l", b"1", expires="never")
    near.put_object("photos", "m", b"1")
    copy_all(near)
    assert [status_of(near, "photos", key) for key in "klm"] == [FAILED, FAILED, COMPLETED]
    assert "MetadataTooLarge" in (error_of(near, "photos", "k") or "")


def test_whose_buckets_may_be_copied_elsewhere(far: Store) -> None:
    bob = Caller(Owner("bob-id", "bob"))
    for query, account, may in (("", "bob-id", False), ("?account=*", "bob-id", True), ("?account=bob-id", "x", False)):
        with bleepstore.open(
            replication_destinations={"copies": remote_url("http://127.0.0.1:9", query=query)}
        ) as near:
            caller = bob if account == "bob-id" else None
            near.create_bucket("photos", caller=caller)
            near.put_bucket_versioning("photos", Versioning.ENABLED)
            if may:
                replicate(near, "photos", rule())
            else:
                with pytest.raises(InvalidRequest, match="must exist"):
                    replicate(near, "photos", rule())


def test_the_keys_of_several_buckets_are_kept_apart_by_a_prefix(far: Store) -> None:
    with (
        live_server(far) as server,
        bleepstore.open(replication_destinations={"copies": remote_url(server.url, "far/{bucket}/")}) as near,
    ):
        make_buckets(near, "photos", "videos")
        for bucket in ("photos", "videos"):
            replicate(near, bucket, rule())
            near.put_object(bucket, "k", b"")
        copy_all(near)
        assert [one[0] for one in versions(far, "far")] == ["photos/k", "videos/k"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("copies", "ftp://host/bucket"),
        ("copies", "s3+https://host"),
        ("copies", "s3+https://host/bucket?unknown=1"),
        ("NO", "s3+https://host/bucket"),
    ],
)
def test_urls_that_name_nothing(name: str, url: str) -> None:
    with pytest.raises((StoreError, InvalidBucketName)):
        bleepstore.open(replication_destinations={name: url})


def test_an_older_version_does_not_hide_a_newer_one(pair: Pair) -> None:
    near, far = pair.near, pair.far
    near.delete_bucket_configuration("photos", bleepstore.ConfigurationKind.REPLICATION)
    old = near.put_object("photos", "k", b"old")
    replicate(near, "photos", rule())
    near.put_object("photos", "k", b"new")
    copy_all(near)
    near.replicate_existing("photos")
    copy_all(near)
    assert far.get_object("far", "k").read() == b"new"
    assert len(versions(far, "far")) == 1
    assert status_of(near, "photos", "k", old.version_id) is FAILED
