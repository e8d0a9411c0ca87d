"""The decision: every action, by every kind of caller."""

from __future__ import annotations

import itertools

import attrs
import pytest

from bleepstore import ANONYMOUS, Acl, Action, Bucket, Caller, Grant, Group, ObjectVersion, Owner, Permission, Upload
from bleepstore.access import authorize, is_allowed, is_of_object, of_version
from bleepstore.errors import AccessDenied
from bleepstore_server.router import ROUTES

ALICE, BOB, CAROL = (Caller(Owner(name)) for name in ("alice", "bob", "carol"))
PHOTOS = Bucket("photos", ALICE.account, 0, id=1, acl=Acl.private("alice"))
OPEN = attrs.evolve(PHOTOS, acl=Acl("alice", (Grant(Group.ALL_USERS, Permission.FULL_CONTROL),)))
CAT = ObjectVersion(bucket="photos", key="cat", etag="", size=0, modified_ms=0, owner=CAROL.account)
UPLOAD = Upload(
    bucket="photos", bucket_id=1, key="cat", upload_id="1", initiated_ms=0, owner=CAROL.account,
    initiator=CAROL.account,
)  # fmt: skip


def test_the_embedding_program_is_above_all_rules() -> None:
    assert all(
        is_allowed(action, None, bucket, found)
        for action, bucket, found in itertools.product(Action, (None, PHOTOS), (None, CAT, UPLOAD))
    )


def test_an_action_of_no_rule_is_denied_to_everyone_else() -> None:
    unknown: list[Action] = ["s3:PauseReplication", "s3:*", ""]  # type: ignore[list-item]  # on purpose
    for action, caller in itertools.product(unknown, (ALICE, CAROL, ANONYMOUS)):
        for found in (None, CAT):
            with pytest.raises(AccessDenied):
                authorize(action, caller, OPEN, found)


def test_every_action_is_of_some_rule_and_some_operation() -> None:
    """The owner of a bucket may do in it whatever is not of an object of another; of each action there is a row."""
    cats = attrs.evolve(CAT, owner=ALICE.account)
    for action in Action:
        bucket = None if action in (Action.CREATE_BUCKET, Action.LIST_ALL_MY_BUCKETS) else PHOTOS
        authorize(action, ALICE, bucket, cats if is_of_object(action) else None)
    of_rows = {route.action for route in ROUTES if route.action is not None}
    of_options = {
        Action.BYPASS_GOVERNANCE_RETENTION,  # what deletes and changes of a retention may ask for besides
        Action.TAG_RESOURCE,  # and what the creation of a bucket may
    }
    of_jobs = {
        Action.GET_OBJECT_VERSION_FOR_REPLICATION, Action.REPLICATE_OBJECT, Action.REPLICATE_DELETE,
        Action.REPLICATE_TAGS, Action.OBJECT_OWNER_OVERRIDE, Action.INITIATE_REPLICATION,
    }  # fmt: skip
    assert set(Action) == of_rows | {of_version(action, "null") for action in of_rows} | of_options | of_jobs


def test_a_stranger_may_do_nothing_in_a_private_bucket() -> None:
    for action, caller, found in itertools.product(Action, (BOB, ANONYMOUS), (None, CAT, UPLOAD)):
        assert not is_allowed(action, caller, PHOTOS, found)


def test_no_list_gives_away_what_is_the_owners() -> None:
    """Nor does being asked for without the object that decides give anything."""
    given = {action for action in Action if is_allowed(action, BOB, OPEN)}
    assert given == {
        Action.LIST_BUCKET,
        Action.LIST_BUCKET_VERSIONS,
        Action.LIST_BUCKET_MULTIPART_UPLOADS,
        Action.GET_BUCKET_ACL,
        Action.PUT_BUCKET_ACL,
        Action.PUT_OBJECT,
        Action.DELETE_OBJECT,
        Action.ABORT_MULTIPART_UPLOAD,
        Action.LIST_MULTIPART_UPLOAD_PARTS,
    }


_OF_BOTH = frozenset(
    {
        Action.RESTORE_OBJECT,
        Action.UPDATE_OBJECT_ENCRYPTION,
        Action.GET_OBJECT_RETENTION,
        Action.PUT_OBJECT_RETENTION,
        Action.GET_OBJECT_LEGAL_HOLD,
        Action.PUT_OBJECT_LEGAL_HOLD,
    }
)


def test_an_object_is_its_owners_whosever_the_bucket_is() -> None:
    """But for tags, locks and what is archived: "By default, the bucket owner has this permission." """
    for action in filter(is_of_object, Action):
        assert is_allowed(action, CAROL, PHOTOS, CAT)
        is_of_both = "Tagging" in action or action in _OF_BOTH
        assert is_allowed(action, ALICE, OPEN, CAT) == is_of_both
        assert not is_of_both or not is_allowed(action, BOB, OPEN, CAT)


def test_an_upload_is_its_initiators_and_the_buckets_owner_may_see_and_end_it() -> None:
    of_uploads = (Action.PUT_OBJECT, Action.ABORT_MULTIPART_UPLOAD, Action.LIST_MULTIPART_UPLOAD_PARTS)
    allowed = {
        caller.account.id: [is_allowed(action, caller, OPEN, UPLOAD) for action in of_uploads]
        for caller in (CAROL, ALICE, BOB)
    }
    assert allowed == {"carol": [True, True, True], "alice": [False, True, True], "bob": [False, False, False]}
    # Who may write no longer may still end what it began, and see what it has.
    assert [is_allowed(action, CAROL, PHOTOS, UPLOAD) for action in of_uploads] == [False, True, True]


def test_buckets_are_made_and_listed_by_whoever_signs() -> None:
    for action in (Action.CREATE_BUCKET, Action.LIST_ALL_MY_BUCKETS):
        assert is_allowed(action, BOB, None)
        assert not is_allowed(action, ANONYMOUS, None)
        assert not is_allowed(action, BOB, PHOTOS)


def test_a_caller_of_a_program_is_an_account_and_nothing_else_is_known_of_it() -> None:
    assert Caller(Owner("alice")) == ALICE
    facts = attrs.asdict(ALICE, recurse=False)
    assert {name for name, value in facts.items() if value not in (None, False)} == {"account"}
    assert not ALICE.is_anonymous
    assert ANONYMOUS.is_anonymous
    assert attrs.evolve(ANONYMOUS, source_ip="127.0.0.1").is_anonymous
