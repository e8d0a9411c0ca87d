"""Whose objects are, and what may be public: ownership controls and public access blocks of buckets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import (
    ANONYMOUS,
    Acl,
    Caller,
    CannedAcl,
    DeleteEntry,
    DeleteFailure,
    Grant,
    Group,
    ObjectAttributes,
    ObjectOwnership,
    Owner,
    Payer,
    Permission,
    PublicAccessBlock,
    Store,
)
from bleepstore.commands import PutBucketAcl, PutBucketSetting, PutObject, PutObjectAcl
from bleepstore.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidBucketAclWithBlockPublicAccess,
    InvalidBucketAclWithObjectOwnership,
    NoSuchBucketPolicy,
    NoSuchOwnershipControls,
    NoSuchPublicAccessBlock,
    NoSuchUpload,
    S3Error,
    StoreError,
)
from bleepstore.model import BucketSetting
from bleepstore.ownership import BLOCK_ALL

pytestmark = pytest.mark.stores("cluster")

ALICE, BOB = Owner("alice-id", "Alice"), Owner("bob-id", "Bob")
alice, bob = Caller(ALICE), Caller(BOB)
ENFORCED, PREFERRED = ObjectOwnership.BUCKET_OWNER_ENFORCED, ObjectOwnership.BUCKET_OWNER_PREFERRED
FULL = Permission.FULL_CONTROL
WRITABLE = (Grant(ALICE.id, FULL), Grant(BOB.id, Permission.WRITE), Grant(BOB.id, Permission.READ))
ALL_MAY_READ = (Grant(ALICE.id, FULL), Grant(Group.ALL_USERS, Permission.READ))


def shared(store: Store, ownership: ObjectOwnership) -> None:
    """A bucket of Alice's into which Bob may write."""
    store.create_bucket("photos", ownership=ownership, caller=alice)
    store.delete_public_access_block("photos", caller=alice)
    store.put_bucket_acl("photos", WRITABLE, caller=alice)


def read_by(store: Store, key: str, caller: Caller) -> bool:
    try:
        store.head_object("photos", key, caller=caller)
    except AccessDenied:
        return False
    return True


# -- what new buckets are set to


def test_new_buckets_are_as_those_of_s3(store: Store) -> None:
    made = store.create_bucket("photos")
    assert made.settings.ownership is ENFORCED
    assert made.settings.public_access_block == BLOCK_ALL
    assert store.get_bucket_ownership("photos") is ENFORCED
    assert store.get_public_access_block("photos") == BLOCK_ALL


def test_a_store_with_the_old_defaults() -> None:
    with bleepstore.open(acl_defaults="legacy") as store:
        store.create_bucket("photos")
        with pytest.raises(NoSuchOwnershipControls):
            store.get_bucket_ownership("photos")
        with pytest.raises(NoSuchPublicAccessBlock):
            store.get_public_access_block("photos")
        store.put_object("photos", "k", b"", acl=CannedAcl.PUBLIC_READ)
        assert read_by(store, "k", ANONYMOUS)
        with store.fork() as fork:
            assert fork.create_bucket("more").settings.ownership is None
    with pytest.raises(StoreError, match="acl_defaults"):
        bleepstore.open(acl_defaults="old")


@pytest.mark.parametrize(
    ("ownership", "acl", "refusal"),
    [
        (None, CannedAcl.PUBLIC_READ, InvalidBucketAclWithObjectOwnership),
        (None, (Grant(BOB.id, Permission.READ),), InvalidBucketAclWithObjectOwnership),
        (None, CannedAcl.LOG_DELIVERY_WRITE, InvalidBucketAclWithObjectOwnership),
        (ObjectOwnership.OBJECT_WRITER, CannedAcl.PUBLIC_READ, InvalidBucketAclWithBlockPublicAccess),
        (PREFERRED, CannedAcl.AUTHENTICATED_READ, InvalidBucketAclWithBlockPublicAccess),
    ],
)
def test_a_new_bucket_whose_acl_does_not_fit(
    store: Store, ownership: ObjectOwnership | None, acl: CannedAcl | tuple[Grant, ...], refusal: type[S3Error]
) -> None:
    with pytest.raises(refusal):
        store.create_bucket("photos", acl=acl, ownership=ownership, caller=alice)
    assert store.list_buckets().buckets == []


def test_a_new_bucket_whose_acl_fits(store: Store) -> None:
    store.create_bucket("one", acl=CannedAcl.PRIVATE, caller=alice)
    store.create_bucket("two", acl=(Grant(BOB.id, Permission.READ),), ownership=PREFERRED, caller=alice)
    assert store.get_bucket_acl("two").grants == (Grant(BOB.id, Permission.READ),)


# -- the owner of the bucket owns all


def test_without_acls_all_is_the_bucket_owners(store: Store) -> None:
    store.create_bucket("photos", caller=alice)
    store.put_object("photos", "k", b"", caller=alice)
    for request in (CannedAcl.BUCKET_OWNER_FULL_CONTROL, (Grant(ALICE.id, FULL),)):
        store.put_object("photos", "k", b"", acl=request, caller=alice)
        store.put_object_acl("photos", "k", request, caller=alice)
        store.put_bucket_acl("photos", request, caller=alice)
        store.copy_object("photos", "k", "photos", "copy", acl=request, caller=alice)
        store.abort_upload("photos", "m", store.create_upload("photos", "m", acl=request, caller=alice).upload_id)
    assert store.get_bucket_acl("photos") == store.get_object_acl("photos", "k") == Acl.private(ALICE.id)


REQUESTS = (
    CannedAcl.PRIVATE,
    CannedAcl.PUBLIC_READ,
    CannedAcl.BUCKET_OWNER_READ,
    (),
    (Grant(BOB.id, FULL),),
    (Grant(ALICE.id, FULL), Grant(BOB.id, Permission.READ)),
)
CALLS: dict[str, Callable[[Store, CannedAcl | tuple[Grant, ...]], object]] = {
    "put_object": lambda store, acl: store.put_object("photos", "k", b"new", acl=acl, caller=alice),
    "copy_object": lambda store, acl: store.copy_object("photos", "k", "photos", "new", acl=acl, caller=alice),
    "create_upload": lambda store, acl: store.create_upload("photos", "k", acl=acl, caller=alice),
    "put_object_acl": lambda store, acl: store.put_object_acl("photos", "k", acl, caller=alice),
    "put_bucket_acl": lambda store, acl: store.put_bucket_acl("photos", acl, caller=alice),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("request_number", range(len(REQUESTS)))
def test_where_acls_are_disabled_none_can_be_set(store: Store, call: str, request_number: int) -> None:
    store.create_bucket("photos", caller=alice)
    kept = store.put_object("photos", "k", b"", caller=alice)
    with pytest.raises(AccessControlListNotSupported):
        CALLS[call](store, REQUESTS[request_number])
    assert store.head_object("photos", "k").version.etag == kept.etag
    assert store.list_uploads("photos").uploads == []
    assert [one.key for one in store.list_objects("photos").objects] == ["k"]


def test_grants_among_the_attributes_are_an_acl_too(store: Store) -> None:
    store.create_bucket("photos", caller=alice)
    with pytest.raises(AccessControlListNotSupported):
        store.put_object("photos", "k", b"", attributes=ObjectAttributes(grants=ALL_MAY_READ), caller=alice)


def test_objects_are_the_bucket_owners_while_it_is_enforced(store: Store) -> None:
    shared(store, ObjectOwnership.OBJECT_WRITER)
    store.put_object("photos", "k", b"1", acl=(Grant(BOB.id, FULL),), caller=bob)
    assert store.head_object("photos", "k", caller=bob).version.owner == BOB
    assert not read_by(store, "k", alice)
    with pytest.raises(InvalidBucketAclWithObjectOwnership):
        store.put_bucket_ownership("photos", ENFORCED, caller=alice)
    store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=alice)
    store.put_bucket_ownership("photos", ENFORCED, caller=alice)
    assert store.head_object("photos", "k", caller=alice).version.owner == ALICE
    assert store.get_object_acl("photos", "k", caller=alice) == Acl.private(ALICE.id)
    assert [one.owner_id for one in store.list_objects("photos").objects] == [ALICE.id]
    assert [one.owner_id for one in store.list_object_versions("photos").versions] == [ALICE.id]
    assert store.get_object_tags("photos", "k", caller=alice) == {}
    assert not read_by(store, "k", bob)
    with pytest.raises(AccessDenied):
        store.get_object_acl("photos", "k", caller=bob)
    store.delete_bucket_ownership("photos", caller=alice)
    assert store.head_object("photos", "k", caller=bob).version.owner == BOB
    assert not read_by(store, "k", alice)
    assert store.get_object_acl("photos", "k").grants == (Grant(BOB.id, FULL),)


def test_what_is_written_meanwhile_stays_the_bucket_owners(store: Store) -> None:
    """Also by an upload that began before."""
    shared(store, ObjectOwnership.OBJECT_WRITER)
    upload = store.create_upload("photos", "parts", acl=CannedAcl.PUBLIC_READ, caller=bob)
    part = store.put_part("photos", "parts", upload.upload_id, 1, b"1", caller=bob)
    store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=alice)
    store.put_bucket_ownership("photos", ENFORCED, caller=alice)
    store.complete_upload("photos", "parts", upload.upload_id, [bleepstore.CompletedPart(number=1, etag=part.etag)])
    store.put_bucket_ownership("photos", ObjectOwnership.OBJECT_WRITER, caller=alice)
    assert store.head_object("photos", "parts").version.owner == ALICE
    assert store.get_object_acl("photos", "parts") == Acl.private(ALICE.id)


# -- the owner of the bucket is preferred


@pytest.mark.parametrize("way", ["put", "copy", "upload"])
def test_a_writer_can_give_its_object_to_the_bucket_owner(store: Store, way: str) -> None:
    shared(store, PREFERRED)
    store.put_object("photos", "source", b"1", acl=(Grant(BOB.id, FULL),), caller=bob)
    for acl, owner in ((CannedAcl.BUCKET_OWNER_FULL_CONTROL, ALICE), (CannedAcl.BUCKET_OWNER_READ, BOB), (None, BOB)):
        key = f"by {acl}"
        if way == "put":
            store.put_object("photos", key, b"", acl=acl, caller=bob)
        elif way == "copy":
            store.copy_object("photos", "source", "photos", key, acl=acl, caller=bob)
        else:
            upload = store.create_upload("photos", key, acl=acl, caller=bob)
            assert upload.initiator == BOB
            part = store.put_part("photos", key, upload.upload_id, 1, b"1", caller=bob)
            done = [bleepstore.CompletedPart(number=1, etag=part.etag)]
            store.complete_upload("photos", key, upload.upload_id, done, caller=bob)
        assert store.head_object("photos", key).version.owner == owner
        assert (store.get_object_acl("photos", key) == Acl.private(ALICE.id)) is (owner is ALICE)


# -- what may be public


def test_public_acls_are_refused(store: Store) -> None:
    shared(store, ObjectOwnership.OBJECT_WRITER)
    store.put_object("photos", "k", b"", caller=alice)
    store.put_public_access_block("photos", PublicAccessBlock(block_public_acls=True), caller=alice)
    for acl in (CannedAcl.PUBLIC_READ, CannedAcl.AUTHENTICATED_READ, ALL_MAY_READ):
        for call in CALLS.values():
            with pytest.raises(AccessDenied):
                call(store, acl)
    for call in CALLS.values():
        call(store, CannedAcl.LOG_DELIVERY_WRITE)


def test_public_grants_are_ignored(store: Store) -> None:
    shared(store, ObjectOwnership.OBJECT_WRITER)
    public = (*WRITABLE, Grant(Group.ALL_USERS, Permission.READ))
    store.put_bucket_acl("photos", public, caller=alice)
    store.put_object("photos", "k", b"", acl=(*ALL_MAY_READ, Grant(BOB.id, Permission.READ)), caller=alice)
    assert read_by(store, "k", ANONYMOUS)
    store.list_objects("photos", caller=ANONYMOUS)
    store.put_public_access_block("photos", PublicAccessBlock(ignore_public_acls=True), caller=alice)
    assert not read_by(store, "k", ANONYMOUS)
    assert not read_by(store, "k", Caller(Owner("carol")))
    assert read_by(store, "k", bob)
    with pytest.raises(AccessDenied):
        store.list_objects("photos", caller=ANONYMOUS)
    store.list_objects("photos", caller=bob)
    assert store.get_bucket_acl("photos", caller=alice).grants == public
    store.put_object("photos", "more", b"", acl=CannedAcl.PUBLIC_READ, caller=alice)
    store.delete_public_access_block("photos", caller=alice)
    assert read_by(store, "k", ANONYMOUS)


def test_what_is_blocked_in_all_buckets() -> None:
    with bleepstore.open(
        acl_defaults="legacy", public_access_block=PublicAccessBlock(ignore_public_acls=True)
    ) as store:
        store.create_bucket("photos", acl=CannedAcl.PUBLIC_READ, caller=alice)
        store.put_object("photos", "k", b"", acl=CannedAcl.PUBLIC_READ, caller=alice)
        assert not read_by(store, "k", ANONYMOUS)
        with pytest.raises(AccessDenied):
            store.list_objects("photos", caller=ANONYMOUS)
        with pytest.raises(NoSuchPublicAccessBlock):
            store.get_public_access_block("photos", caller=alice)
        own = PublicAccessBlock(block_public_acls=True)
        store.put_public_access_block("photos", own, caller=alice)
        assert store.get_public_access_block("photos", caller=alice) == own
        with pytest.raises(AccessDenied):
            store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ, caller=alice)
        assert not read_by(store, "k", ANONYMOUS)
    with (
        bleepstore.open(acl_defaults="legacy", public_access_block=BLOCK_ALL) as store,
        pytest.raises(InvalidBucketAclWithBlockPublicAccess),
    ):
        store.create_bucket("photos", acl=CannedAcl.PUBLIC_READ)


def test_only_the_bucket_owner_sets_these(store: Store) -> None:
    shared(store, ObjectOwnership.OBJECT_WRITER)
    calls: list[Callable[[], object]] = [
        lambda: store.put_bucket_ownership("photos", PREFERRED, caller=bob),
        lambda: store.get_bucket_ownership("photos", caller=bob),
        lambda: store.delete_bucket_ownership("photos", caller=bob),
        lambda: store.put_public_access_block("photos", PublicAccessBlock(), caller=bob),
        lambda: store.get_public_access_block("photos", caller=bob),
        lambda: store.delete_public_access_block("photos", caller=bob),
    ]
    for call in calls:
        with pytest.raises(AccessDenied):
            call()
    assert store.get_bucket_ownership("photos") is ObjectOwnership.OBJECT_WRITER


# -- decided again when the change is made


def test_what_was_decided_before_the_bucket_changed_is_refused(store: Store) -> None:
    """Commands that were made while ACLs counted, and come when they are disabled or blocked."""
    shared(store, ObjectOwnership.OBJECT_WRITER)
    store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=alice)
    store.put_object("photos", "k", b"", caller=alice)
    engine = store.engine
    named: dict[str, Any] = {"bucket": "photos", "bucket_id": engine.find_bucket("photos").id}
    public = Acl(ALICE.id, ALL_MAY_READ)
    set_acls: list[PutBucketAcl | PutObjectAcl] = [
        PutBucketAcl(**engine.stamp(), **named, acl=public),
        PutObjectAcl(**engine.stamp(), **named, key="k", acl=public),
    ]
    store.put_bucket_ownership("photos", ENFORCED, caller=alice)
    for command in set_acls:
        assert engine.committer.submit(command) == AccessControlListNotSupported()
    store.put_bucket_ownership("photos", ObjectOwnership.OBJECT_WRITER, caller=alice)
    store.put_public_access_block("photos", BLOCK_ALL, caller=alice)
    for command in set_acls:
        assert isinstance(engine.committer.submit(attrs.evolve(command, **engine.stamp())), AccessDenied)
    store.delete_public_access_block("photos", caller=alice)
    enforce = PutBucketSetting(**engine.stamp(), **named, setting=BucketSetting("ownership", ENFORCED))
    store.put_bucket_acl("photos", WRITABLE, caller=alice)
    assert engine.committer.submit(enforce) == InvalidBucketAclWithObjectOwnership()


def test_a_write_that_was_decided_before_is_the_bucket_owners() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos", caller=alice)
        engine = store.engine
        late = PutObject(
            **engine.stamp(),
            bucket="photos",
            key="k",
            owner=BOB,
            size=0,
            etag="d41d8cd98f00b204e9800998ecf8427e",
            data=bleepstore.model.Inline(b""),
            attributes=ObjectAttributes(grants=(Grant(BOB.id, FULL),)),
        )
        engine.submit(late)
        store.put_bucket_ownership("photos", ObjectOwnership.OBJECT_WRITER, caller=alice)
        assert store.head_object("photos", "k").version.owner == ALICE
        assert store.get_object_acl("photos", "k") == Acl.private(ALICE.id)
        store.put_public_access_block("photos", BLOCK_ALL, caller=alice)
        public = attrs.evolve(late, **engine.stamp(), attributes=ObjectAttributes(grants=ALL_MAY_READ))
        assert isinstance(engine.committer.submit(public), AccessDenied)


# -- policies that are public


def policy(principal: Any, action: str = "s3:GetObject") -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "arn:aws:s3:::photos/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_public_policies_are_refused(store: Store) -> None:
    store.create_bucket("photos", caller=alice)
    store.put_object("photos", "k", b"", caller=alice)
    store.put_credential("bob", "secret", owner=BOB)
    for caller in (alice, None):
        with pytest.raises(AccessDenied):
            store.put_bucket_policy("photos", policy("*"), caller=caller)
    store.put_bucket_policy("photos", policy({"AWS": BOB.id}), caller=alice)
    assert read_by(store, "k", bob)
    block = attrs.evolve(BLOCK_ALL, block_public_policy=False)
    store.put_public_access_block("photos", block, caller=alice)
    store.put_bucket_policy("photos", policy("*"), caller=alice)
    assert store.is_bucket_policy_public("photos", caller=alice)


@pytest.mark.parametrize("principal", ["*", {"AWS": BOB.id}], ids=["public", "of an account"])
def test_a_policy_meets_the_block_that_was_set_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch, principal: Any
) -> None:
    """It was decided on while the bucket blocked nothing."""
    store.create_bucket("photos", caller=alice)
    store.put_credential("bob", "secret", owner=BOB)
    store.delete_public_access_block("photos", caller=alice)
    submit = store.engine.committer.submit

    def submit_late(command: Any) -> Any:
        monkeypatch.setattr(store.engine.committer, "submit", submit)
        store.put_public_access_block("photos", BLOCK_ALL, caller=alice)
        return submit(command)

    monkeypatch.setattr(store.engine.committer, "submit", submit_late)
    if principal == "*":
        with pytest.raises(AccessDenied, match="BlockPublicPolicy"):
            store.put_bucket_policy("photos", policy(principal), caller=alice)
        with pytest.raises(NoSuchBucketPolicy):
            store.get_bucket_policy("photos", caller=alice)
    else:
        store.put_bucket_policy("photos", policy(principal), caller=alice)
        assert store.get_bucket_policy("photos", caller=alice) == policy(principal)


def test_a_public_policy_can_be_restricted_to_the_owner(store: Store) -> None:
    store.create_bucket("photos", caller=alice)
    store.put_object("photos", "k", b"", caller=alice)
    store.delete_public_access_block("photos", caller=alice)
    store.put_bucket_policy("photos", policy("*", "s3:*Object"), caller=alice)
    assert read_by(store, "k", ANONYMOUS)
    store.put_public_access_block("photos", PublicAccessBlock(restrict_public_buckets=True), caller=alice)
    assert not read_by(store, "k", ANONYMOUS)
    assert not read_by(store, "k", bob)
    assert read_by(store, "k", alice)
    (outcome,) = store.delete_objects("photos", [DeleteEntry(key="k")], caller=bob)
    assert isinstance(outcome, DeleteFailure)
    assert isinstance(outcome.error, AccessDenied)
    assert read_by(store, "k", alice)
    store.put_credential("bob", "secret", owner=BOB)
    store.put_bucket_policy("photos", policy({"AWS": BOB.id}), caller=alice)
    assert read_by(store, "k", bob)  # that one is not public


# -- who pays


def test_who_pays(store: Store) -> None:
    shared(store, ObjectOwnership.OBJECT_WRITER)
    store.put_object("photos", "k", b"", acl=(*WRITABLE, *ALL_MAY_READ), caller=alice)
    assert store.get_bucket_payer("photos", caller=alice) is Payer.BUCKET_OWNER
    store.put_bucket_payer("photos", Payer.REQUESTER, caller=alice)
    assert store.get_bucket_payer("photos", caller=alice) is Payer.REQUESTER
    paying = Caller(BOB, pays=True)
    assert read_by(store, "k", alice)
    assert read_by(store, "k", paying)
    store.list_objects("photos", caller=paying)
    for caller in (bob, ANONYMOUS, attrs.evolve(ANONYMOUS, pays=True)):
        assert not read_by(store, "k", caller)
        with pytest.raises(AccessDenied):
            store.list_objects("photos", caller=caller)
    with pytest.raises(AccessDenied):
        store.put_bucket_payer("photos", Payer.BUCKET_OWNER, caller=paying)
    store.put_bucket_payer("photos", Payer.BUCKET_OWNER, caller=alice)
    assert read_by(store, "k", ANONYMOUS)


# -- uploads


def test_an_upload_is_its_initiators_and_the_bucket_owners_to_end(store: Store) -> None:
    shared(store, ObjectOwnership.OBJECT_WRITER)
    uploads = [store.create_upload("photos", "k", caller=bob).upload_id for _ in range(2)]
    store.put_bucket_acl("photos", (), caller=alice)
    carol = Caller(Owner("carol-id"))
    with pytest.raises(AccessDenied):
        store.put_part("photos", "k", uploads[0], 1, b"", caller=bob)
    for upload_id, caller in zip(uploads, (bob, alice), strict=True):
        with pytest.raises(AccessDenied):
            store.list_parts("photos", "k", upload_id, caller=carol)
        with pytest.raises(AccessDenied):
            store.abort_upload("photos", "k", upload_id, caller=carol)
        store.list_parts("photos", "k", upload_id, caller=caller)
        store.abort_upload("photos", "k", upload_id, caller=caller)
    assert store.list_uploads("photos").uploads == []


@pytest.mark.parametrize("action", ["s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"])
def test_a_policy_gives_others_an_upload(store: Store, action: str) -> None:
    store.create_bucket("photos", caller=alice)
    store.put_credential("bob", "secret", owner=BOB)
    store.put_bucket_policy("photos", policy({"AWS": BOB.id}, action), caller=alice)
    upload_id = store.create_upload("photos", "k", caller=alice).upload_id
    calls: dict[str, Callable[[], object]] = {
        "s3:ListMultipartUploadParts": lambda: store.list_parts("photos", "k", upload_id, caller=bob),
        "s3:AbortMultipartUpload": lambda: store.abort_upload("photos", "k", upload_id, caller=bob),
    }
    for name, call in calls.items():
        if name == action:
            call()
        else:
            with pytest.raises((AccessDenied, NoSuchUpload)):
                call()
