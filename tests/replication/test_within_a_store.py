"""Versions of a bucket that are copied to another bucket of the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.access import Caller
from bleepstore.encryption import BucketEncryption, CustomerKey, NamedKey, StoreKey
from bleepstore.errors import AccessDenied, InvalidRequest, NoSuchReplication
from bleepstore.model import CompletedPart, Owner
from bleepstore.object_lock import Retention, RetentionMode
from bleepstore.replication import ReplicationStatus
from bleepstore.testing.clock import Clock
from tests.replication.tools import copy_all, error_of, make_buckets, replicate, rule, status_of, versions

PENDING, COMPLETED = ReplicationStatus.PENDING, ReplicationStatus.COMPLETED
FAILED, REPLICA = ReplicationStatus.FAILED, ReplicationStatus.REPLICA
PART = 5 * 1024**2
BOB = Owner("bob-id", "bob")
IN_2100 = 4_102_444_800_000  # milliseconds since the epoch


@pytest.fixture
def store() -> Iterator[Store]:
    with bleepstore.open() as store:
        make_buckets(store, "photos", "copies")
        yield store


def test_a_version_is_pending_and_then_copied_with_its_id_and_all_that_goes_with_it(store: Store) -> None:
    replicate(store, "photos", rule())
    with store.jobs.paused():
        put = store.put_object(
            "photos",
            "k",
            b"x" * 5000,
            tags={"a": "1"},
            metadata={"m": "n"},
            content_type="text/x",
            storage_class="GLACIER_IR",
        )
        assert status_of(store, "photos", "k") is PENDING
        (waiting,) = store.replication_destinations()
        assert (waiting.name, waiting.waiting, waiting.error) == ("copies", 1, None)
    copy_all(store)
    assert (status_of(store, "photos", "k"), status_of(store, "copies", "k")) == (COMPLETED, REPLICA)
    copy = store.get_object("copies", "k")
    assert copy.read() == b"x" * 5000
    version = copy.version
    assert (version.version_id, version.modified_ms, version.etag) == (put.version_id, put.modified_ms, put.etag)
    assert (version.tags, version.metadata, version.content_type) == ({"a": "1"}, {"m": "n"}, "text/x")
    assert (version.storage_class, version.checksum) == ("GLACIER_IR", put.checksum)
    assert store.replication_destinations() == ()


def test_the_versions_of_a_key_are_copied_in_their_order_with_delete_markers(store: Store) -> None:
    replicate(store, "photos", rule())
    for number in range(5):
        store.put_object("photos", "k", b"%d" % number)
        store.put_object("photos", f"other {number}", b"")
    store.delete_object("photos", "k")
    store.delete_objects("photos", [bleepstore.DeleteEntry(key="other 3")])
    copy_all(store)
    assert versions(store, "copies") == versions(store, "photos")


@pytest.mark.parametrize("is_earlier", [True, False])
def test_which_delete_markers_are_copied(store: Store, is_earlier: bool) -> None:
    if is_earlier:
        given = {"Prefix": "", "Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::copies"}}
    else:
        given = rule(DeleteMarkerReplication={"Status": "Disabled"})
    replicate(store, "photos", given)
    store.put_object("photos", "k", b"")
    store.delete_object("photos", "k")
    copy_all(store)
    assert [one[2] for one in versions(store, "copies")] == ([True, False] if is_earlier else [False])


def test_the_removal_of_a_version_is_not_copied(store: Store) -> None:
    replicate(store, "photos", rule())
    put = store.put_object("photos", "k", b"1")
    copy_all(store)
    store.delete_object("photos", "k", version_id=put.version_id)
    with store.jobs.paused():
        gone = store.put_object("photos", "gone", b"2")
        store.delete_object("photos", "gone", version_id=gone.version_id)
    copy_all(store)
    assert [one[0] for one in versions(store, "copies")] == ["k"]
    assert store.replication_destinations() == ()


def test_objects_in_parts_keep_their_parts(store: Store) -> None:
    replicate(store, "photos", rule())
    upload = store.create_upload("photos", "k", tags={"a": "1"})
    parts = [store.put_part("photos", "k", upload.upload_id, n, bytes([n]) * size) for n, size in ((1, PART), (2, 7))]
    done = [CompletedPart(number=part.number, etag=part.etag) for part in parts]
    put = store.complete_upload("photos", "k", upload.upload_id, done)
    copy_all(store)
    with store.get_object("copies", "k", part_number=2) as copy:
        assert (copy.read(), copy.version.etag, copy.version.parts_count) == (b"\x02" * 7, put.etag, 2)
    assert store.list_object_parts("copies", "k")[1] == store.list_object_parts("photos", "k")[1]
    assert store.get_object("copies", "k").read() == b"\x01" * PART + b"\x02" * 7


def test_copies_of_objects_are_copied_too(store: Store) -> None:
    replicate(store, "photos", rule())
    store.put_object("photos", "a", b"x" * 3000)
    store.copy_object("photos", "a", "photos", "b")
    copy_all(store)
    assert versions(store, "copies") == versions(store, "photos")
    store.copy_object("photos", "a", "photos", "c", metadata={"n": "o"}, replace_metadata=True)
    copied = store.copy_object("copies", "a", "copies", "d")
    assert copied.replication is None


# -- which objects


@pytest.mark.parametrize(
    ("given", "copied"),
    [
        ({"Filter": {"Prefix": "a/"}}, ["a/1", "a/2"]),
        ({"Filter": {}}, ["a/1", "a/2", "b/1"]),
        ({"Filter": {"Tag": {"Key": "t", "Value": "1"}}}, ["a/1", "b/1"]),
        ({"Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "t", "Value": "1"}]}}}, ["a/1"]),
        ({"Filter": {"Not": {"Prefix": "a/"}}}, ["b/1"]),
        ({"Filter": {"And": {"Prefix": "a/", "Not": {"Or": {"Prefixes": ["a/2", "x"]}}}}}, ["a/1"]),
        ({"Filter": {"Not": {"Tag": {"Key": "t", "Value": "1"}}}}, ["a/2"]),
        ({"Status": "Disabled"}, []),
    ],
    ids=["prefix", "all", "tag", "and", "not", "not or", "not tag", "disabled"],
)
def test_filters(store: Store, given: dict[str, Any], copied: list[str]) -> None:
    replicate(store, "photos", rule(DeleteMarkerReplication={"Status": "Disabled"}, **given))
    for key, tags in (("a/1", {"t": "1"}), ("a/2", {"t": "2"}), ("b/1", {"t": "1"})):
        store.put_object("photos", key, b"", tags=tags)
    copy_all(store)
    assert [one[0] for one in versions(store, "copies")] == copied
    states = [status_of(store, "photos", key) for key in ("a/1", "a/2", "b/1")]
    assert states == [COMPLETED if key in copied else None for key in ("a/1", "a/2", "b/1")]


def test_of_the_rules_for_one_destination_the_one_with_the_highest_priority_counts(store: Store) -> None:
    make_buckets(store, "more")
    cold, colder = ({"Bucket": "arn:aws:s3:::copies", "StorageClass": name} for name in ("STANDARD_IA", "GLACIER_IR"))
    replicate(store, "photos", rule(Destination=cold), rule(Priority=2, Destination=colder), rule("more", Priority=0))
    store.put_object("photos", "k", b"")
    copy_all(store)
    assert store.head_object("copies", "k").version.storage_class == "GLACIER_IR"
    assert store.head_object("more", "k").version.storage_class == "STANDARD"
    state = store.head_object("photos", "k").version.replication
    assert state is not None
    assert [(one.destination, one.status) for one in state.replicas] == [("copies", COMPLETED), ("more", COMPLETED)]


def test_what_was_written_before_and_what_is_a_copy_are_copied_when_that_is_asked(store: Store) -> None:
    make_buckets(store, "more")
    for number in range(3):
        store.put_object("photos", "k", b"%d" % number)
    store.delete_object("photos", "k")
    store.put_object("photos", "l", b"")
    replicate(store, "photos", rule())
    replicate(store, "copies", rule("more"))
    copy_all(store)
    assert versions(store, "copies") == []
    assert store.replicate_existing("photos") == 5
    copy_all(store)
    assert versions(store, "copies") == versions(store, "photos")
    assert versions(store, "more") == []  # "replicas that were created by another replication rule"
    assert store.replicate_existing("copies", prefix="k") == 4
    copy_all(store)
    assert versions(store, "more") == versions(store, "photos")[:4]
    with store.jobs.paused():
        store.replicate_existing("photos")
        assert [one.waiting for one in store.replication_destinations()] == [1]  # the marker has no state
    with pytest.raises(NoSuchReplication):
        store.replicate_existing("more")


def test_versions_without_an_id_of_their_own_get_one(store: Store) -> None:
    store.create_bucket("old")
    store.put_object("old", "k", b"old")
    store.put_bucket_versioning("old", bleepstore.Versioning.ENABLED)
    replicate(store, "old", rule())
    store.put_object("copies", "k", b"kept")
    for _ in range(2):
        store.replicate_existing("old")
        copy_all(store)
    latest, older = versions(store, "copies")
    assert store.get_object("copies", "k", version_id=older[1]).read() == b"old"
    assert store.get_object("copies", "k", version_id=latest[1]).read() == b"kept"


# -- changes


def test_changes_of_tags_acls_and_locks_follow_their_version() -> None:
    with bleepstore.open(acl_defaults="legacy") as store:
        for name in ("photos", "copies"):
            store.create_bucket(name, object_lock=True)
        replicate(store, "photos", rule())
        first = store.put_object("photos", "k", b"1")
        store.put_object("photos", "k", b"2")
        copy_all(store)
        until = Retention(RetentionMode.GOVERNANCE, IN_2100)
        with store.jobs.paused():
            store.put_object_tags("photos", "k", {"a": "1"}, version_id=first.version_id)
            assert status_of(store, "photos", "k", first.version_id) is PENDING
            store.put_object_acl("photos", "k", bleepstore.CannedAcl.PUBLIC_READ, version_id=first.version_id)
            store.put_object_retention("photos", "k", until, version_id=first.version_id)
            store.put_object_legal_hold("photos", "k", True, version_id=first.version_id)
            assert [one.waiting for one in store.replication_destinations()] == [1]
        copy_all(store)
        there, here = (
            store.head_object(name, "k", version_id=first.version_id).version for name in ("copies", "photos")
        )
        assert (there.tags, there.acl, there.retention, there.legal_hold) == ({"a": "1"}, here.acl, until, True)
        assert len(versions(store, "copies")) == 2
        assert store.head_object("copies", "k").version.tags == {}


def test_a_lock_of_a_copy_is_never_weakened() -> None:
    with bleepstore.open() as store:
        for name in ("photos", "copies"):
            store.create_bucket(name, object_lock=True)
        replicate(store, "photos", rule())
        short, long = (Retention(RetentionMode.COMPLIANCE, IN_2100 + more) for more in (0, 1000))
        store.put_object("photos", "k", b"", retention=short)
        copy_all(store)
        assert store.head_object("copies", "k").version.retention == short
        store.put_object_retention("copies", "k", long)
        store.put_object_tags("photos", "k", {"a": "1"})
        copy_all(store)
        copy = store.head_object("copies", "k").version
        assert (copy.retention, copy.tags) == (long, {"a": "1"})


def test_a_legal_hold_of_a_copy_stays_on() -> None:
    with bleepstore.open() as store:
        for name in ("photos", "copies"):
            store.create_bucket(name, object_lock=True)
        replicate(store, "photos", rule())
        store.put_object("photos", "k", b"", legal_hold=False)
        copy_all(store)
        store.put_object_legal_hold("copies", "k", True)
        store.put_object_tags("photos", "k", {"a": "1"})
        copy_all(store)
        copy = store.head_object("copies", "k").version
        assert (copy.legal_hold, copy.tags) == (True, {"a": "1"})


def test_a_copy_of_the_owner_of_its_bucket_keeps_its_acl() -> None:
    with bleepstore.open(acl_defaults="legacy") as store:
        make_buckets(store, "photos", "copies")
        destination = {
            "Bucket": "arn:aws:s3:::copies",
            "Account": store.owner.id,
            "AccessControlTranslation": {"Owner": "Destination"},
        }
        replicate(store, "photos", rule(Destination=destination))
        store.put_object("photos", "k", b"")
        copy_all(store)
        store.put_object_acl("copies", "k", bleepstore.CannedAcl.PUBLIC_READ)
        public = store.head_object("copies", "k").version.acl
        store.put_object_tags("photos", "k", {"a": "1"})
        copy_all(store)
        copy = store.head_object("copies", "k").version
        assert (copy.acl, copy.tags) == (public, {"a": "1"})


def test_a_rule_that_is_disabled_leaves_the_status_of_what_was_copied(store: Store) -> None:
    replicate(store, "photos", rule())
    store.put_object("photos", "k", b"")
    copy_all(store)
    replicate(store, "photos", rule(Status="Disabled"))
    store.put_object_tags("photos", "k", {"a": "1"})
    copy_all(store)
    assert status_of(store, "photos", "k") is COMPLETED
    assert store.head_object("copies", "k").version.tags == {}


def test_two_buckets_that_copy_to_each_other_come_to_rest(store: Store) -> None:
    both: dict[str, Any] = {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}
    replicate(store, "photos", rule(**both))
    replicate(store, "copies", rule("photos", **both))
    for number in range(3):
        store.put_object("photos", f"p{number}", b"")
        store.put_object("copies", f"c{number}", b"")
    store.delete_object("photos", "p1")
    copy_all(store)
    copy_all(store)
    assert store.replication_destinations() == ()
    assert versions(store, "photos") == versions(store, "copies")
    assert len(versions(store, "photos")) == 7
    store.put_object_tags("copies", "p0", {"a": "1"})  # a change of what is a copy itself
    copy_all(store)
    copy_all(store)
    assert store.get_object_tags("photos", "p0") == {"a": "1"}
    assert store.replication_destinations() == ()


# -- encryption


@pytest.mark.parametrize("size", [100, 200_000])
@pytest.mark.parametrize("default", [None, BucketEncryption()], ids=["plain", "encrypted"])
def test_encrypted_objects_are_encrypted_anew(tmp_path: Any, size: int, default: BucketEncryption | None) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        make_buckets(store, "photos", "copies")
        if default is not None:
            store.put_bucket_encryption("copies", default)
        replicate(store, "photos", rule())
        store.put_object("photos", "plain", b"p" * size)
        store.put_object("photos", "own", b"o" * size, encryption=StoreKey())
        store.put_object("photos", "theirs", b"c" * size, encryption=CustomerKey(b"k" * 32))
        copy_all(store)
        assert store.get_object("copies", "plain").read() == b"p" * size
        assert store.get_object("copies", "own").read() == b"o" * size
        kinds = [store.head_object("copies", key).version.encryption for key in ("plain", "own")]
        assert [one is not None for one in kinds] == [default is not None, True]
        state = store.head_object("photos", "theirs", customer_key=CustomerKey(b"k" * 32)).version.replication
        assert state is not None
        assert (state.status, state.replicas[0].error) == (
            FAILED,
            "InvalidRequest: It is encrypted with a key of its writer's, which is stored nowhere.",
        )


def test_objects_with_a_named_key_are_copied_if_the_rule_says_so(tmp_path: Any) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        make_buckets(store, "photos", "copies")
        replicate(store, "photos", rule())
        store.put_object("photos", "k", b"x", encryption=NamedKey())
        copy_all(store)
        assert status_of(store, "photos", "k") is None
        replicate(store, "photos", rule(SourceSelectionCriteria={"SseKmsEncryptedObjects": {"Status": "Enabled"}}))
        store.put_object("photos", "k", b"x" * 100_000, encryption=NamedKey())
        copy_all(store)
        assert status_of(store, "photos", "k") is COMPLETED
        with store.get_object("copies", "k") as copy:
            assert copy.read() == b"x" * 100_000
            assert copy.version.encryption is not None
            assert copy.version.encryption.key_id == "aws/s3"


def test_an_encrypted_object_in_parts_keeps_its_parts(tmp_path: Any) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        make_buckets(store, "photos", "copies")
        replicate(store, "photos", rule())
        upload = store.create_upload("photos", "k", encryption=StoreKey())
        parts = [
            store.put_part("photos", "k", upload.upload_id, n, bytes([n]) * size) for n, size in ((3, PART), (5, 7))
        ]
        done = [CompletedPart(number=part.number, etag=part.etag) for part in parts]
        store.complete_upload("photos", "k", upload.upload_id, done)
        copy_all(store)
        assert store.get_object("copies", "k").read() == b"\x03" * PART + b"\x05" * 7
        assert store.get_object("copies", "k", part_number=2).read() == b"\x05" * 7
        assert list(store.scrub()) == []


# -- what fails


def test_a_destination_that_is_gone_fails_with_its_reason_and_can_be_tried_again(store: Store) -> None:
    replicate(store, "photos", rule())
    store.delete_bucket("copies")
    store.put_object("photos", "k", b"1")
    copy_all(store)
    assert status_of(store, "photos", "k") is FAILED
    assert (error_of(store, "photos", "k") or "").startswith("NoSuchBucket: ")
    make_buckets(store, "copies")
    store.replicate_existing("photos")
    copy_all(store)
    assert (status_of(store, "photos", "k"), error_of(store, "photos", "k")) == (COMPLETED, None)


def test_a_destination_that_keeps_no_versions_any_more(store: Store) -> None:
    replicate(store, "photos", rule())
    store.put_bucket_versioning("copies", bleepstore.Versioning.SUSPENDED)
    store.put_object("photos", "k", b"1")
    copy_all(store)
    assert error_of(store, "photos", "k") == "InvalidRequest: Destination bucket must have versioning enabled."
    assert versions(store, "copies") == []


def test_quotas_count_for_copies(store: Store) -> None:
    store.put_quota(bucket="copies", max_bytes=10)
    replicate(store, "photos", rule())
    store.put_object("photos", "small", b"x" * 10)
    store.put_object("photos", "large", b"x" * 11)
    copy_all(store)
    assert (status_of(store, "photos", "small"), status_of(store, "photos", "large")) == (COMPLETED, FAILED)
    assert store.usage("copies").bytes == 10


def test_a_rule_that_was_removed_copies_no_more(store: Store) -> None:
    replicate(store, "photos", rule())
    with store.jobs.paused():
        store.put_object("photos", "k", b"1")
        store.delete_bucket_configuration("photos", bleepstore.ConfigurationKind.REPLICATION)
    copy_all(store)
    assert versions(store, "copies") == []
    store.put_object("photos", "l", b"1")
    assert status_of(store, "photos", "l") is None


# -- who copies


def test_a_bucket_of_another_account_takes_copies_if_its_policy_says_so(store: Store) -> None:
    bob = Caller(BOB)
    store.create_bucket("bobs", caller=bob)
    store.put_bucket_versioning("bobs", bleepstore.Versioning.ENABLED)
    replicate(store, "photos", rule("bobs"))
    store.put_object("photos", "k", b"1")
    copy_all(store)
    assert (error_of(store, "photos", "k") or "").startswith("AccessDenied: ")
    account = store.owner.id
    store.put_bucket_policy(
        "bobs",
        f'{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{account}"}},'
        '"Action":["s3:ReplicateObject","s3:ReplicateDelete"],"Resource":"arn:aws:s3:::bobs/*"}}',
    )
    store.replicate_existing("photos")
    copy_all(store)
    assert status_of(store, "photos", "k") is COMPLETED
    copy = store.get_object("bobs", "k", caller=bob)
    assert (copy.read(), copy.version.owner) == (b"1", BOB)


def policy(action: str, resource: str) -> str:
    return (
        f'{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":{action},'
        f'"Resource":"arn:aws:s3:::{resource}"}}}}'
    )


TRUST = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}}'
)


def test_a_role_of_the_store_copies_what_its_policies_allow(store: Store) -> None:
    reads = policy('"s3:GetObjectVersionForReplication"', "photos/*")
    writes = policy('["s3:ReplicateObject","s3:ReplicateTags"]', "copies/in/*")
    role = store.put_role("copier", TRUST, {"reads": reads, "writes": writes})
    replicate(store, "photos", rule(), role=role.arn)
    store.put_object("photos", "in/k", b"1", tags={"a": "1"})
    store.put_object("photos", "out/k", b"1")
    copy_all(store)
    assert [one[0] for one in versions(store, "copies")] == ["in/k"]
    assert (error_of(store, "photos", "out/k") or "").startswith("AccessDenied: ")
    store.delete_role("copier")
    store.put_object("photos", "in/l", b"1")
    copy_all(store)
    assert "copier" in (error_of(store, "photos", "in/l") or "")


def test_a_role_that_does_not_trust_the_service_is_refused(store: Store) -> None:
    distrusts = TRUST.replace("s3.amazonaws.com", "ec2.amazonaws.com")
    role = store.put_role("copier", distrusts, {})
    with pytest.raises(InvalidRequest):
        replicate(store, "photos", rule(), role=role.arn)


def test_a_user_who_configures_a_replication_copies_no_more_than_it_may_write(store: Store) -> None:
    store.users.add("ann")
    allowed = policy('["s3:PutReplicationConfiguration","s3:GetObjectVersionForReplication"]', "*")
    store.users.put_policy("ann", "p", allowed)
    replicate(store, "photos", rule(), caller=Caller.of_user(store.users.get("ann")))
    store.put_object("photos", "k", b"1")
    copy_all(store)
    assert (error_of(store, "photos", "k") or "").startswith("AccessDenied: ")


def test_a_role_that_does_not_trust_the_service_any_more_copies_nothing(store: Store) -> None:
    policies = {"all": policy('"s3:*"', "*")}
    role = store.put_role("copier", TRUST, policies)
    replicate(store, "photos", rule(), role=role.arn)
    store.put_role("copier", TRUST.replace("s3.amazonaws.com", "ec2.amazonaws.com"), policies)
    store.put_object("photos", "k", b"1")
    copy_all(store)
    assert "does not trust" in (error_of(store, "photos", "k") or "")
    assert versions(store, "copies") == []


def test_a_role_is_passed_by_those_who_may(store: Store) -> None:
    role = store.put_role("copier", TRUST, {"all": policy('"s3:*"', "*")})
    store.users.add("ann")
    configures = policy('"s3:PutReplicationConfiguration"', "photos")
    store.users.put_policy("ann", "configures", configures)
    store.create_bucket("bobs", caller=Caller(BOB))
    stranger = f'"Effect":"Allow","Principal":{{"AWS":"{BOB.id}"}},"Action":"s3:PutReplicationConfiguration"'
    store.put_bucket_policy(
        "photos",
        f'{{"Version":"2012-10-17","Statement":{{{stranger},"Resource":"arn:aws:s3:::photos"}}}}',
    )
    passes = (
        f'{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"iam:PassRole","Resource":"{role.arn}",'
        '"Condition":{"StringEquals":{"iam:PassedToService":"%s"}}}}'
    )
    for given in (None, passes % "ec2.amazonaws.com"):
        if given is not None:
            store.users.put_policy("ann", "passes", given)
        with pytest.raises(AccessDenied):
            replicate(store, "photos", rule(), role=role.arn, caller=Caller.of_user(store.users.get("ann")))
    with pytest.raises(AccessDenied):
        replicate(store, "photos", rule(), role=role.arn, caller=Caller(BOB))
    store.users.put_policy("ann", "passes", passes % "s3.amazonaws.com")
    replicate(store, "photos", rule(), role=role.arn, caller=Caller.of_user(store.users.get("ann")))
    replicate(store, "photos", rule(), role=role.arn, caller=Caller(store.owner))


def test_delete_markers_tell_no_keys_to_who_may_not_read(store: Store) -> None:
    store.users.add("ann")
    store.users.put_policy("ann", "configures", policy('"s3:PutReplicationConfiguration"', "photos"))
    store.users.put_policy("ann", "writes", policy('"s3:*"', "copies*"))
    replicate(store, "photos", rule(), caller=Caller.of_user(store.users.get("ann")))
    store.put_object("photos", "k", b"1")
    store.delete_object("photos", "k")
    copy_all(store)
    assert versions(store, "copies") == []


def test_a_bucket_of_another_account_than_the_rule_names_gets_nothing(store: Store) -> None:
    allows = (
        f'{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{store.owner.id}"}},'
        '"Action":"s3:ReplicateObject","Resource":"arn:aws:s3:::theirs/*"}}'
    )
    replaced = Owner("eve-id", "eve")
    for account in (BOB, replaced):
        store.create_bucket("theirs", caller=Caller(account))
        store.put_bucket_versioning("theirs", bleepstore.Versioning.ENABLED)
        store.put_bucket_policy("theirs", allows)
        if account is BOB:
            replicate(store, "photos", rule(Destination={"Bucket": "arn:aws:s3:::theirs", "Account": BOB.id}))
            store.delete_bucket("theirs")
    store.put_object("photos", "k", b"1")
    copy_all(store)
    assert "does not belong" in (error_of(store, "photos", "k") or "")
    assert versions(store, "theirs") == []


def test_what_is_older_than_what_is_there_comes_behind_it(store: Store) -> None:
    """The rule comes between two versions; a bucket that is written at both ends."""
    for number in range(3):
        store.put_object("photos", "k", b"old %d" % number)
    store.delete_object("photos", "k")
    replicate(store, "photos", rule())
    store.put_object("photos", "k", b"new")
    copy_all(store)
    own = store.put_object("copies", "k", b"written here")
    store.replicate_existing("photos")
    copy_all(store)
    assert store.get_object("copies", "k").read() == b"written here"
    assert versions(store, "copies")[1:] == versions(store, "photos")
    store.delete_object("copies", "k", version_id=own.version_id)
    assert store.get_object("copies", "k").read() == b"new"
    for version in versions(store, "copies")[:2]:
        store.delete_object("copies", "k", version_id=version[1])
    assert versions(store, "copies")[0] == versions(store, "photos")[2]
    assert store.get_object("copies", "k").read() == b"old 2"


def test_two_buckets_that_are_both_written_agree_on_the_latest() -> None:
    clock = Clock()
    with bleepstore.open(clock=clock) as store:
        make_buckets(store, "photos", "copies")
        replicate(store, "photos", rule())
        replicate(store, "copies", rule("photos"))
        with store.jobs.paused():
            for bucket in ("photos", "copies", "photos", "copies"):
                clock.advance(seconds=1)
                store.put_object(bucket, "k", bucket.encode())
        copy_all(store)
        copy_all(store)
        assert versions(store, "photos") == versions(store, "copies")
        assert len(versions(store, "photos")) == 4
        assert store.get_object("photos", "k").read() == b"copies"
