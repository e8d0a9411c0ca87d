"""Users of accounts: their names, policies and access keys, and what they may do in a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import Action, Caller, CannedPolicy, Owner, Store, User
from bleepstore.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidBucketName,
    MalformedPolicy,
    NoSuchCredential,
    NoSuchKey,
    NoSuchUser,
    NoSuchUserPolicy,
    TooManyUserPolicies,
    UserAlreadyExists,
)
from bleepstore.model import MAX_USER_POLICIES
from bleepstore.store.users import MAX_DOCUMENT

pytestmark = pytest.mark.stores("cluster")

ALICE, BOB = Owner("alice", "Alice"), Owner("bob", "Bob")
READS = CannedPolicy.READONLY.document()


def written(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_user_is_there_until_it_is_removed(store: Store) -> None:
    ann = store.users.add("ann", account=ALICE, path="/lab/")
    assert (ann.account, ann.arn, ann.policies) == (ALICE, "arn:aws:iam::alice:user/lab/ann", {})
    assert ann.id.startswith("AIDA")
    assert len(ann.id) == 21
    assert store.users.get("ANN", account=ALICE) == ann
    with pytest.raises(UserAlreadyExists):
        store.users.add("Ann", account=ALICE)
    own = store.users.add("ann")  # of the store's account, another one
    assert own.account == store.owner
    assert own.id != ann.id
    assert store.users.list() == sorted([ann, own], key=lambda user: user.account.id)
    store.users.remove("ann", account=ALICE)
    with pytest.raises(NoSuchUser):
        store.users.get("ann", account=ALICE)
    with pytest.raises(NoSuchUser):
        store.users.remove("ann", account=ALICE)
    assert store.users.list() == [own]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a*", "a" * 65, "a\n", "a:b"])
def test_what_is_no_name_of_a_user(store: Store, name: str) -> None:
    with pytest.raises(InvalidArgument):
        store.users.add(name)
    assert store.users.list() == []


@pytest.mark.parametrize("path", ["", "lab", "/lab", "lab/", "//", "/a b/", "/*/", f"/{'a' * 511}/"])
def test_what_is_no_path(store: Store, path: str) -> None:
    with pytest.raises(InvalidArgument):
        store.users.add("ann", path=path)


@pytest.mark.parametrize(
    "account_id", ["\ud800", "", "a:b", "a/b", "a b", "*", "${x}", bleepstore.ANONYMOUS.account.id]
)
def test_what_account_can_have_no_users(store: Store, account_id: str) -> None:
    with pytest.raises(InvalidArgument):
        store.users.add("ann", account=Owner(account_id))


def test_wrong_types_are_told(store: Store) -> None:
    store.users.add("ann")
    with pytest.raises(TypeError, match="account is an Owner or None"):
        store.users.add("ann", account="alice")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="document is a str"):
        store.users.put_policy("ann", "p", {"Statement": []})  # type: ignore[arg-type]


def test_policies_are_kept_as_they_are_given(store: Store) -> None:
    store.users.add("ann")
    text = " " + READS + "\n"
    with pytest.raises(NoSuchUserPolicy):
        store.users.get_policy("ann", "reads")
    store.users.put_policy("ann", "reads", text)
    assert store.users.get_policy("ann", "reads") == text
    store.users.put_policy("ann", "reads", CannedPolicy.ADMIN.document())
    assert store.users.get("ann").policies == {"reads": CannedPolicy.ADMIN.document()}
    store.users.remove_policy("ann", "reads")
    assert store.users.get("ann").policies == {}
    with pytest.raises(NoSuchUserPolicy):
        store.users.remove_policy("ann", "reads")
    for wrong in (lambda: store.users.put_policy("joe", "p", READS), lambda: store.users.get_policy("joe", "p")):
        with pytest.raises(NoSuchUser):
            wrong()


#: "Grammar of the IAM JSON policy language": of an identity.
MALFORMED: dict[str, str] = {
    "no JSON": "{",
    "no statement": '{"Version": "2012-10-17"}',
    "a principal": written({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}),
    "no principal": written({"Effect": "Allow", "NotPrincipal": "*", "Action": "s3:*", "Resource": "*"}),
    "no action": written({"Effect": "Allow", "Resource": "*"}),
    "no resource": written({"Effect": "Allow", "Action": "s3:*"}),
    "a resource that is no ARN": written({"Effect": "Allow", "Action": "s3:*", "Resource": "photos/*"}),
    "an unknown operator": written(
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"Like": {"aws:userid": "x"}}}
    ),
    "an unknown key of S3": written(
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"s3:nothing": "x"}}}
    ),
    "too long": written({"Sid": "a" * MAX_DOCUMENT, "Effect": "Allow", "Action": "s3:*", "Resource": "*"}),
}


@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_policy_of_a_user(store: Store, document: str) -> None:
    store.users.add("ann")
    with pytest.raises(MalformedPolicy):
        store.users.put_policy("ann", "p", document)
    assert store.users.get("ann").policies == {}


def test_policies_about_other_services_are_kept_and_say_nothing_here(store: Store) -> None:
    """An application's own policy, with all that it needs elsewhere."""
    store.users.add("ann")
    store.create_bucket("photos")
    store.put_object("photos", "k", b"v")
    document = written(
        {"Effect": "Allow", "Action": ["sqs:SendMessage", "kms:Decrypt"], "Resource": "arn:aws:sqs:eu-west-1:1:q"},
        {
            "Effect": "Allow",
            "Action": "dynamodb:*",
            "Resource": "*",
            "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]}},
        },
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"},
    )
    store.users.put_policy("ann", "p", document)
    ann = Caller.of_user(store.users.get("ann"))
    assert store.get_object("photos", "k", caller=ann).read() == b"v"
    with pytest.raises(AccessDenied):
        store.delete_object("photos", "k", caller=ann)


def test_a_user_has_a_limited_number_of_policies(store: Store) -> None:
    store.users.add("ann")
    for number in range(MAX_USER_POLICIES):
        store.users.put_policy("ann", f"p{number}", READS)
    with pytest.raises(TooManyUserPolicies):
        store.users.put_policy("ann", "more", READS)
    store.users.put_policy("ann", "p0", READS)
    for name in ("", "a b", "a/b", "a" * 129):
        with pytest.raises(InvalidArgument):
            store.users.put_policy("ann", name, READS)


def test_the_keys_of_a_user_are_its_own_and_end_with_it(store: Store) -> None:
    store.users.add("ann", account=ALICE)
    root = store.put_credential("AKROOT", "s", owner=ALICE)
    made = store.put_credential("AKANN", "s", owner=ALICE, user="ANN")
    assert store.get_credential("AKANN") == made
    assert made.user == store.users.get("ann", account=ALICE)
    assert store.list_credentials() == [made, root]
    store.users.put_policy("ann", "reads", READS, account=ALICE)
    found = store.get_credential("AKANN")  # at once, in this process
    assert found is not None
    assert found.user is not None
    assert found.user.policies == {"reads": READS}
    for owner in (BOB, None):
        with pytest.raises(NoSuchUser):
            store.put_credential("AKANN", "other", owner=owner, user="ann")
    store.users.remove("ann", account=ALICE)
    assert store.get_credential("AKANN") is None
    assert store.list_credentials() == [root]
    store.delete_credential("AKROOT")
    assert store.get_credential("AKROOT") is None
    with pytest.raises(NoSuchCredential):
        store.delete_credential("AKROOT")


def test_a_bucket_policy_names_users_that_there_are(store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "k", b"v")
    ann = store.users.add("ann", path="/lab/")

    def naming(arn: str) -> str:
        return written(
            {
                "Effect": "Allow",
                "Principal": {"AWS": arn},
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/*",
            }
        )

    store.put_bucket_policy("photos", naming(ann.arn))
    assert store.get_object("photos", "k", caller=Caller.of_user(ann)).read() == b"v"
    for arn in ("user/ann", "user/lab/joe", "user/lab/ANN", "user/"):
        with pytest.raises(MalformedPolicy):
            store.put_bucket_policy("photos", naming(f"arn:aws:iam::{store.owner.id}:{arn}"))
    with pytest.raises(MalformedPolicy):
        store.put_bucket_policy("photos", naming(ann.arn.replace(store.owner.id, "carol")))


def test_who_begins_an_upload_is_shown(store: Store) -> None:
    store.create_bucket("photos")
    store.users.add("ann")
    store.users.put_policy("ann", "all", CannedPolicy.ADMIN.document())
    ann = Caller.of_user(store.users.get("ann"))
    upload = store.create_upload("photos", "k", caller=ann)
    assert upload.initiator == Owner(f"arn:aws:iam::{store.owner.id}:user/ann", "ann")
    assert upload.owner == store.owner
    assert store.find_owner(upload.initiator.id) is None
    store.abort_upload("photos", "k", upload.upload_id, caller=Caller(store.owner))


@pytest.mark.parametrize("folder", [None, "data"], ids=["memory", "folder"])
def test_users_are_in_forks_and_snapshots(tmp_path: Path, folder: str | None) -> None:
    with bleepstore.open(None if folder is None else tmp_path / folder) as store:
        _fork_and_restore(store)


def _fork_and_restore(store: Store) -> None:
    ann = store.users.add("ann")
    store.put_credential("AKANN", "s", user="ann")
    with store.fork() as fork:
        assert fork.users.list() == [ann]
        fork.users.remove("ann")
        assert fork.get_credential("AKANN") is None
    assert store.users.list() == [ann]
    snapshot = store.snapshot()
    store.users.put_policy("ann", "reads", READS)
    assert store.get_credential("AKANN") is not None
    store.restore(snapshot)
    assert store.users.list() == [ann]
    found = store.get_credential("AKANN")
    assert found is not None
    assert found.user == ann


def test_users_are_in_backups(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "a") as store:
        store.users.add("ann")
        store.users.put_policy("ann", "reads", READS)
        store.put_credential("AKANN", "s", user="ann")
        store.backup(tmp_path / "backup.tar")
        users, keys = store.users.list(), store.list_credentials()
    bleepstore.restore(tmp_path / "backup.tar", tmp_path / "b")
    with bleepstore.open(tmp_path / "b") as store:
        assert (store.users.list(), store.list_credentials()) == (users, keys)


# -- canned policies


@pytest.fixture
def shelf(store: Store) -> Store:
    """Three buckets, each with objects below two prefixes."""
    for bucket in ("photos", "papers", "other"):
        store.create_bucket(bucket)
        for key in ("a/1", "b/1", "new?"):
            store.put_object(bucket, key, b"v")
    return store


def may(store: Store, policy: str) -> set[str]:
    """What a user with this policy may do: of a few actions, on a few things."""
    user = User(account=store.owner, name="ann", id="AIDA", policies={"p": policy})
    found = set()
    for bucket in ("photos", "papers"):
        for action, key in (("Get", "a/1"), ("Get", "b/1"), ("Put", "a/1"), ("Put", "b/1"), ("Delete", "a/1")):
            known = Action(f"s3:{action}Object")
            if store.explain_access(known, bucket, key, caller=Caller.of_user(user)).allowed:
                found.add(f"{action} {bucket}/{key}")
        for prefix in ("", "a/", "b/"):
            try:
                store.list_objects(bucket, prefix=prefix, caller=Caller.of_user(user))
                found.add(f"List {bucket}/{prefix}")
            except AccessDenied:
                pass
        if store.explain_access(Action.PUT_BUCKET_POLICY, bucket, caller=Caller.of_user(user)).allowed:
            found.add(f"Policy {bucket}")
    try:
        store.list_buckets(caller=Caller.of_user(user))
        found.add("Buckets")
    except AccessDenied:
        pass
    return found


def of(bucket: str, *actions: str) -> set[str]:
    ends = {"Get": ("a/1", "b/1"), "Put": ("a/1", "b/1"), "Delete": ("a/1",), "List": ("", "a/", "b/")}
    return {f"{action} {bucket}/{end}" for action in actions for end in ends[action]}


CANNED: list[tuple[CannedPolicy, list[str], set[str]]] = [
    (CannedPolicy.READONLY, [], of("photos", "Get", "List") | of("papers", "Get", "List") | {"Buckets"}),
    (CannedPolicy.READONLY, ["photos"], of("photos", "Get", "List")),
    (CannedPolicy.READONLY, ["photos/a/"], {"Get photos/a/1", "List photos/a/"}),
    (
        CannedPolicy.READONLY,
        ["photos/a/", "papers"],
        {"Get photos/a/1", "List photos/a/"} | of("papers", "Get", "List"),
    ),
    (CannedPolicy.WRITEONLY, [], of("photos", "Put") | of("papers", "Put")),
    (CannedPolicy.WRITEONLY, ["photos/a/"], {"Put photos/a/1"}),
    (CannedPolicy.READWRITE, ["photos"], of("photos", "Get", "Put", "Delete", "List")),
    (
        CannedPolicy.READWRITE,
        ["photos/b/"],
        {"Get photos/b/1", "Put photos/b/1", "List photos/b/"},
    ),
    (CannedPolicy.ADMIN, ["photos"], of("photos", "Get", "Put", "Delete", "List") | {"Policy photos"}),
    (CannedPolicy.ADMIN, ["photos/a/"], {"Get photos/a/1", "Put photos/a/1", "Delete photos/a/1", "List photos/a/"}),
    (
        CannedPolicy.ADMIN,
        [],
        of("photos", "Get", "Put", "Delete", "List")
        | of("papers", "Get", "Put", "Delete", "List")
        | {"Policy photos", "Policy papers", "Buckets"},
    ),
]


@pytest.mark.parametrize(
    ("canned", "locations", "expected"), CANNED, ids=[f"{row[0]} {' '.join(row[1]) or 'all'}" for row in CANNED]
)
def test_a_canned_policy_is_a_document(
    shelf: Store, canned: CannedPolicy, locations: list[str], expected: set[str]
) -> None:
    document = canned.document(locations)
    shelf.users.add("checked")
    shelf.users.put_policy("checked", "p", document)  # it is one that can be given
    assert may(shelf, document) == expected


def test_a_prefix_is_no_pattern(shelf: Store) -> None:
    user = User(
        account=shelf.owner, name="ann", id="A", policies={"p": CannedPolicy.READONLY.document(["photos/new?"])}
    )
    assert shelf.get_object("photos", "new?", caller=Caller.of_user(user)).read() == b"v"
    shelf.put_object("photos", "newx", b"v")
    with pytest.raises(AccessDenied):
        shelf.get_object("photos", "newx", caller=Caller.of_user(user))
    for wrong in ("*", "", "/a", "p*"):
        with pytest.raises(InvalidBucketName):
            CannedPolicy.READONLY.document([wrong])


# -- in a store


def test_what_a_user_is_told_of_what_is_not_there(store: Store) -> None:
    """ "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403 error." """
    store.create_bucket("photos")
    get = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}
    lists = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::photos"}
    for statements, expected in (([get], AccessDenied), ([lists], AccessDenied), ([get, lists], NoSuchKey)):
        user = User(account=store.owner, name="ann", id="A", policies={"p": written(*statements)})
        with pytest.raises(expected):
            store.get_object("photos", "nothing", caller=Caller.of_user(user))


def test_who_makes_buckets_sets_what_it_may_set(store: Store) -> None:
    creates = {"Effect": "Allow", "Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::lab-*"}
    user = User(account=store.owner, name="ann", id="A", policies={"p": written(creates)})
    caller = Caller.of_user(user)
    assert store.create_bucket("lab-1", caller=caller).owner == store.owner
    for options in (
        {"acl": bleepstore.CannedAcl.PUBLIC_READ},
        {"object_lock": True},
        {"ownership": bleepstore.ObjectOwnership.OBJECT_WRITER},
        {"tags": {"team": "red"}},
    ):
        with pytest.raises(AccessDenied):
            store.create_bucket("lab-2", caller=caller, **options)
    with pytest.raises(AccessDenied):
        store.create_bucket("photos", caller=caller)
    assert [bucket.name for bucket in store.list_buckets().buckets] == ["lab-1"]
