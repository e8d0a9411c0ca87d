"""Which statement decides, by tables, by laws that hold for all policies, and against a second evaluator."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import ANONYMOUS, Acl, Action, Bucket, Caller, Grant, Group, ObjectVersion, Owner, Permission
from bleepstore.access import authorize, decide, is_allowed
from bleepstore.access.decisions import Ground
from bleepstore.errors import AccessDenied
from bleepstore.model import BucketSettings, ObjectAttributes

ALICE, BOB, CAROL = (Caller(Owner(name), source_ip="203.0.113.7") for name in ("alice", "bob", "carol"))
BUCKET, OBJECTS = "arn:aws:s3:::photos", "arn:aws:s3:::photos/*"


def bucket_with(*statements: dict[str, Any], acl: Acl | None = None, version: str = "2012-10-17") -> Bucket:
    policy = json.dumps({"Version": version, "Statement": list(statements)}) if statements else None
    return Bucket(
        "photos", ALICE.account, 0, id=1, acl=acl or Acl.private("alice"), settings=BucketSettings(policy=policy)
    )


def object_of(owner: str = "alice", key: str = "k") -> ObjectVersion:
    return ObjectVersion(bucket="photos", key=key, etag="", size=0, modified_ms=0, owner=Owner(owner))


def allow(action: Any = "s3:GetObject", resource: Any = OBJECTS, principal: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource, **more}


def deny(*arguments: Any, **more: Any) -> dict[str, Any]:
    return {**allow(*arguments, **more), "Effect": "Deny"}


#: "Determining whether a request is allowed or denied within an account": "By default, all requests are implicitly
#: denied"; "An explicit allow ... overrides this default"; "An explicit deny in any policy overrides any allows".
EFFECTS: list[tuple[list[dict[str, Any]], bool]] = [
    ([allow()], True),
    ([deny()], False),
    ([allow(), deny()], False),
    ([deny(), allow()], False),
    ([allow(), allow()], True),
    ([allow("s3:PutObject")], False),
    ([allow(), deny("s3:PutObject")], True),
    ([allow(), deny("s3:DeleteObject", Condition={"Bool": {"aws:SecureTransport": "false"}})], True),
    ([allow(Condition={"StringEquals": {"aws:PrincipalAccount": "bob"}})], True),
    ([allow(Condition={"StringEquals": {"aws:PrincipalAccount": "carol"}})], False),
    ([allow(Condition={"StringEquals": {"aws:Unknown": "bob"}})], False),
    ([allow(), deny(Condition={"StringEquals": {"aws:Unknown": "bob"}})], True),
    ([allow(), deny(Condition={"StringNotEquals": {"aws:Unknown": "bob"}})], False),
    ([allow(), deny(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})], False),
    ([allow(), deny(Condition={"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}})], True),
    ([allow(Condition={"Bool": {"aws:SecureTransport": "true"}})], False),
    ([allow(Condition={"BoolIfExists": {"aws:SecureTransport": "true"}})], True),
    ([allow(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.7"}, "Null": {"aws:UserAgent": "true"}})], True),
    ([allow(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.7"}, "Null": {"aws:UserAgent": "false"}})], False),
]
#: "IAM JSON policy elements: Resource" and NotResource, Action and NotAction: wildcards, and letters' case.
RESOURCES: list[tuple[list[dict[str, Any]], bool]] = [
    ([allow(resource=BUCKET + "/home/k")], True),
    ([allow(resource=BUCKET + "/home/K")], False),
    ([allow(resource=BUCKET + "/home/?")], True),
    ([allow(resource=BUCKET + "/home/??")], False),
    ([allow(resource=BUCKET + "/*/k")], True),
    ([allow(resource=BUCKET + "/home*")], True),
    ([allow(resource=BUCKET + "/k*")], False),
    ([allow(resource=BUCKET + "*")], True),
    ([allow(resource=[BUCKET + "/a", BUCKET + "/home/*"])], True),
    ([allow("s3:GetObject", None, NotResource=BUCKET + "/home/*")], False),
    ([allow("s3:GetObject", None, NotResource=BUCKET + "/a/*")], True),
    ([allow("s3:*"), deny("s3:GetObject", None, NotResource=BUCKET + "/a/*")], False),
    ([allow("s3:*"), deny("s3:GetObject", None, NotResource=BUCKET + "/home/*")], True),
    ([allow(resource=BUCKET + "/${aws:userid}/*")], False),
    ([allow(resource=BUCKET + "/home/${aws:unknown, 'k'}")], True),
    ([allow(resource=BUCKET + "/home/${aws:unknown}")], False),
    ([allow("s3:*"), deny(resource=BUCKET + "/${aws:unknown}*")], True),
    ([allow("s3:*"), deny("s3:GetObject", None, NotResource=BUCKET + "/${aws:unknown}*")], False),
    ([allow("s3:*")], True),
    ([allow("*")], True),
    ([allow("S3:GETOBJECT")], True),
    ([allow("s3:Get*")], True),
    ([allow("s3:?etObject")], True),
    ([allow("s3:GetObject?*")], False),
    ([allow(["s3:PutObject", "s3:GetObject"])], True),
    ([allow(None, NotAction="s3:PutObject")], True),
    ([allow(None, NotAction="s3:Get*")], False),
    ([allow(), deny(None, NotAction="s3:GetObject")], True),
    ([allow(), deny(None, NotAction="s3:PutObject")], False),
]
#: "AWS JSON policy elements: Principal" and NotPrincipal.
PRINCIPALS: list[tuple[list[dict[str, Any]], bool]] = [
    ([allow(principal={"AWS": "bob"})], True),
    ([allow(principal={"AWS": "carol"})], False),
    ([allow(principal={"AWS": "arn:aws:iam::bob:root"})], True),
    ([allow(principal={"CanonicalUser": "bob"})], True),
    ([allow(principal={"AWS": ["carol", "bob"]})], True),
    ([allow(principal={"AWS": "*"})], True),
    ([allow(principal={"AWS": "arn:aws:iam::bob:user/ann"})], False),
    ([allow(principal={"Service": "s3.amazonaws.com"})], False),
    ([allow(principal=None, NotPrincipal={"AWS": "carol"})], True),
    ([allow(principal=None, NotPrincipal={"AWS": "bob"})], False),
    ([allow(), deny(principal=None, NotPrincipal={"AWS": "bob"})], True),
    ([allow(), deny(principal=None, NotPrincipal={"AWS": "carol"})], False),
    ([allow(), deny(principal={"AWS": "carol"})], True),
    ([allow(), deny(principal={"AWS": ["carol", "bob"]})], False),
    ([allow(), deny(principal={"Service": "s3.amazonaws.com"})], True),
]


def without_none(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if value is not None} for one in statements]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [*EFFECTS, *RESOURCES, *PRINCIPALS],
    ids=[f"{name} {n}" for name, rows in (("effects", EFFECTS), ("resources", RESOURCES), ("principals", PRINCIPALS))
         for n in range(1, len(rows) + 1)],
)  # fmt: skip
def test_bob_reads_as_the_policy_says(statements: list[dict[str, Any]], expected: bool) -> None:
    bucket = bucket_with(*without_none(statements))
    assert is_allowed(Action.GET_OBJECT, BOB, bucket, object_of(key="home/k")) is expected


def test_who_does_not_sign_is_everybody_and_nobody_else() -> None:
    read = object_of()
    assert is_allowed(Action.GET_OBJECT, ANONYMOUS, bucket_with(allow()), read)
    assert not is_allowed(Action.GET_OBJECT, ANONYMOUS, bucket_with(allow(principal={"AWS": "bob"})), read)
    named = allow(principal={"AWS": ANONYMOUS.account.id})
    assert not is_allowed(Action.GET_OBJECT, ANONYMOUS, bucket_with(named), read)


def test_older_policies_have_no_variables() -> None:
    statement = allow(resource=BUCKET + "/${aws:userid}")
    assert is_allowed(Action.GET_OBJECT, BOB, bucket_with(statement), object_of(key="bob"))
    old = bucket_with(statement, version="2008-10-17")
    assert not is_allowed(Action.GET_OBJECT, BOB, old, object_of(key="bob"))
    assert is_allowed(Action.GET_OBJECT, BOB, old, object_of(key="${aws:userid}"))


def test_the_owner_can_always_repair_its_policy() -> None:
    bucket = bucket_with(deny("s3:*", [BUCKET, OBJECTS]))
    kept = {action for action in Action if decide(action, ALICE, bucket, object_of()).allowed}
    assert kept == {Action.GET_BUCKET_POLICY, Action.PUT_BUCKET_POLICY, Action.DELETE_BUCKET_POLICY}
    assert not any(decide(action, BOB, bucket, object_of()).allowed for action in Action)
    assert decide(Action.GET_BUCKET_POLICY, ALICE, bucket).ground is Ground.OWN_POLICY


def test_what_cannot_be_read_denies_all() -> None:
    bucket = attrs.evolve(bucket_with(), settings=BucketSettings(policy='{"Version": "2030-01-01"}'))
    kept = {action for action in Action if decide(action, ALICE, bucket, object_of()).allowed}
    assert kept == {Action.GET_BUCKET_POLICY, Action.PUT_BUCKET_POLICY, Action.DELETE_BUCKET_POLICY}


def test_a_policy_gives_the_objects_of_the_buckets_owner_alone() -> None:
    """ "The permissions attached to a bucket apply to all of the objects in the bucket that are owned by the bucket
    owner." What it denies is denied of all."""
    bucket, carols = bucket_with(allow("s3:*", [BUCKET, OBJECTS])), object_of("carol")
    assert is_allowed(Action.GET_OBJECT, BOB, bucket, object_of())
    assert not is_allowed(Action.GET_OBJECT, BOB, bucket, carols)
    assert is_allowed(Action.GET_OBJECT, CAROL, bucket, carols)
    assert is_allowed(Action.DELETE_OBJECT, BOB, bucket, None, "k")
    denying = bucket_with(deny("s3:GetObject"))
    assert not is_allowed(Action.GET_OBJECT, CAROL, denying, carols)


def test_who_writes_by_a_policy_may_replace_the_objects_of_all() -> None:
    bucket = bucket_with(allow(["s3:PutObject", "s3:DeleteObject"]))
    open_acl = Acl("alice", (Grant(Group.ALL_USERS, Permission.WRITE),))
    for action in (Action.PUT_OBJECT, Action.DELETE_OBJECT):
        assert authorize(action, BOB, bucket, None, "k") is None
        assert authorize(action, BOB, bucket_with(deny("s3:GetObject"), acl=open_acl), None, "k") == "bob"


def test_attributes_need_the_right_to_read() -> None:
    read = object_of()
    for actions, expected in (
        ("s3:GetObjectAttributes", False),
        ("s3:GetObject", False),
        (["s3:GetObject", "s3:GetObjectAttributes"], True),
    ):
        assert is_allowed(Action.GET_OBJECT_ATTRIBUTES, BOB, bucket_with(allow(actions)), read) is expected


# -- laws


def statements(conditions: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    some = [{}, {"Condition": {"StringEquals": {"aws:PrincipalAccount": ["bob"]}}},
            {"Condition": {"StringNotEquals": {"aws:PrincipalAccount": "bob"}}},
            {"Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}},
            {"Condition": {"Null": {"aws:UserAgent": "true"}}}]  # fmt: skip
    return st.builds(
        lambda effect, principal, action, resource, condition: {
            "Effect": effect, **principal, **action, **resource, **condition,
        },
        st.sampled_from(["Allow", "Deny"]),
        st.sampled_from([{"Principal": "*"}, {"Principal": {"AWS": "bob"}}, {"Principal": {"AWS": ["carol", "alice"]}},
                         {"NotPrincipal": {"AWS": "bob"}}]),
        st.sampled_from([{"Action": "s3:*"}, {"Action": ["s3:GetObject*", "s3:ListBucket"]}, {"Action": "s3:Put*"},
                         {"NotAction": "s3:Get*"}, {"Action": "s3:DeleteObject*"}]),
        st.sampled_from([{"Resource": [BUCKET, OBJECTS]}, {"Resource": [BUCKET + "/a/*", BUCKET]},
                         {"NotResource": BUCKET + "/a/*"}, {"Resource": BUCKET + "*"}]),
        st.sampled_from(some if conditions else some[:1]),
    )  # fmt: skip


QUESTIONS = [
    (action, caller, key)
    for action in (Action.GET_OBJECT, Action.PUT_OBJECT, Action.DELETE_OBJECT, Action.LIST_BUCKET,
                   Action.PUT_OBJECT_TAGGING, Action.GET_BUCKET_TAGGING)
    for caller in (ALICE, BOB, CAROL, ANONYMOUS)
    for key in ("a/k", "k")
]  # fmt: skip
ACLS = [
    Acl.private("alice"),
    Acl("alice", (Grant("alice", Permission.FULL_CONTROL), Grant(Group.ALL_USERS, Permission.READ))),
    Acl("alice", (Grant("bob", Permission.WRITE), Grant(Group.AUTHENTICATED_USERS, Permission.READ))),
]


def answers(bucket: Bucket) -> list[bool]:
    return [ask(bucket, *question) for question in QUESTIONS]


def ask(bucket: Bucket, action: Action, caller: Caller, key: str) -> bool:
    if "Bucket" in action:
        return is_allowed(action, caller, bucket)
    if action in (Action.PUT_OBJECT, Action.DELETE_OBJECT):
        return is_allowed(action, caller, bucket, None, key)
    return is_allowed(action, caller, bucket, object_of(key=key))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(statements(), min_size=1, max_size=6).flatmap(lambda all: st.tuples(st.just(all), st.permutations(all)))
)
def test_the_order_of_statements_does_not_matter(orders: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    assert answers(bucket_with(*orders[0])) == answers(bucket_with(*orders[1]))


@settings(max_examples=30, deadline=None)
@given(st.lists(statements(), min_size=1, max_size=5), statements())
def test_one_more_deny_never_allows_more(present: list[dict[str, Any]], added: dict[str, Any]) -> None:
    before = answers(bucket_with(*present))
    after = answers(bucket_with(*present, {**added, "Effect": "Deny"}))
    assert all(may for may, still in zip(before, after, strict=True) if still)


@settings(max_examples=30, deadline=None)
@given(st.lists(statements(), min_size=1, max_size=5), statements())
def test_one_more_allow_never_denies_more(present: list[dict[str, Any]], added: dict[str, Any]) -> None:
    before = answers(bucket_with(*present))
    after = answers(bucket_with(*present, {**added, "Effect": "Allow"}))
    assert all(still for may, still in zip(before, after, strict=True) if may)


@settings(max_examples=30, deadline=None)
@given(st.lists(statements(conditions=False), min_size=1, max_size=5))
def test_what_no_request_has_allows_nothing(present: list[dict[str, Any]]) -> None:
    """Each statement that allows asks for a value that is unknown: then it is as if there were none."""
    unknown = {"Condition": {"StringEquals": {"aws:Unknown": "x"}}}
    allowing = [{**one, "Effect": "Allow", **unknown} for one in present]
    assert answers(bucket_with(*allowing)) == answers(bucket_with())


# -- a second evaluator, written from the documentation and sharing nothing with the first


def second_glob(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(second_glob(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and second_glob(pattern[1:], text[1:])


def second_listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def second_matches(one: dict[str, Any], element: str, texts: list[str], *, fold: bool = False) -> bool:
    patterns = second_listed(one.get(element, one.get("Not" + element)))
    found = any(
        second_glob(pattern.lower() if fold else pattern, text.lower() if fold else text)
        for pattern in patterns
        for text in texts
    )
    return found if element in one else not found


def second_condition(one: dict[str, Any], account: str | None, ip: str | None) -> bool:
    context = {"aws:PrincipalAccount": account, "aws:SourceIp": ip, "aws:UserAgent": None}
    for operator, keys in one.get("Condition", {}).items():
        for key, wanted in keys.items():
            value = context[key]
            if operator == "Null":
                good = (value is None) == (wanted == "true")
            elif operator == "StringEquals":
                good = value in second_listed(wanted)
            elif operator == "StringNotEquals":
                good = value not in second_listed(wanted)
            else:
                good = value is None or re.match(r"203\.0\.113\.", value) is None
            if not good:
                return False
    return True


def second_principal(one: dict[str, Any], account: str | None) -> bool:
    if one.get("Principal") == "*":
        return True
    named = second_listed((one.get("Principal") or one["NotPrincipal"])["AWS"])
    return (account in named) if "Principal" in one else account not in named


def second_acl(acl: Acl, action: Action, account: str | None) -> bool:
    """What the bucket's list grants, and ownership."""
    needs = {Action.LIST_BUCKET: "READ", Action.PUT_OBJECT: "WRITE", Action.DELETE_OBJECT: "WRITE"}.get(action)
    if needs is None:
        return account == "alice"  # the owner's: its objects are private, and its configuration its own
    return any(
        grant.permission.value in (needs, "FULL_CONTROL")
        and (grant.grantee == account or grant.grantee is Group.ALL_USERS
             or (grant.grantee is Group.AUTHENTICATED_USERS and account is not None))
        for grant in acl.grants
    )  # fmt: skip


def second_answer(written: list[dict[str, Any]], acl: Acl, action: Action, caller: Caller, key: str) -> bool:
    account = None if caller.is_anonymous else caller.account.id
    resource = BUCKET if "Bucket" in action else f"{BUCKET}/{key}"
    found = {
        one["Effect"]
        for one in written
        if second_principal(one, account)
        and second_matches(one, "Action", [action.value], fold=True)
        and second_matches(one, "Resource", [resource])
        and second_condition(one, account, caller.source_ip)
    }
    return "Deny" not in found and ("Allow" in found or second_acl(acl, action, account))


@settings(max_examples=25, deadline=None)
@given(st.lists(statements(), min_size=1, max_size=9), st.sampled_from(ACLS))
def test_two_evaluators_agree(written: list[dict[str, Any]], acl: Acl) -> None:
    bucket = bucket_with(*written, acl=acl)
    for action, caller, key in QUESTIONS:
        expected = second_answer(written, acl, action, caller, key)
        assert ask(bucket, action, caller, key) is expected, (action, caller, key)


def test_authorize_raises_what_is_denied() -> None:
    with pytest.raises(AccessDenied):
        authorize(Action.GET_OBJECT, BOB, bucket_with(deny()), object_of())


# -- what a decision costs


def calls_of(act: Callable[[], object]) -> int:
    """How many functions written in Python are called."""
    found = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal found
        found += event == "call"

    act()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(
    ("written", "most"),
    [([], 6), ([allow(principal={"AWS": f"account-{n}"}, resource=f"{BUCKET}/{n}/*") for n in range(20)], 14)],
    ids=["none", "20 statements"],
)
def test_a_decision_is_a_few_calls(written: list[dict[str, Any]], most: int) -> None:
    """`authorize` itself, the list of the object, and the lambda below; with a policy it does not matter how many
    statements it has."""
    bucket, found = bucket_with(*written), object_of()
    assert calls_of(lambda: authorize(Action.GET_OBJECT, ALICE, bucket, found)) <= most


def test_what_is_remembered_of_one_request_is_not_said_of_another() -> None:
    """Many statements with conditions on a few keys: what differs between requests decides, in any order."""
    conditions = [
        {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"StringLike": {"aws:UserAgent": "robot*"}},
        {"StringEquals": {"aws:PrincipalAccount": "carol"}},
        {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}},
        {"StringEquals": {"s3:versionid": "v"}},
    ]
    denials = [deny(["s3:GetObject", "s3:GetObjectVersion"], Condition=one) for one in conditions[:-1]]
    denials.append(deny("s3:GetObjectVersion", Condition=conditions[-1]))
    denials.append(deny(resource=BUCKET + "/${aws:userid}"))
    bucket = bucket_with(allow(["s3:GetObject", "s3:GetObjectVersion"]), *denials)
    secret = attrs.evolve(object_of(), attributes=ObjectAttributes(tags={"secret": "yes"}))
    early, late = 1_700_000_000_000, 1_900_000_000_000
    bob = attrs.evolve(BOB, user_agent="browser", time_ms=early)
    read, version = Action.GET_OBJECT, Action.GET_OBJECT_VERSION
    requests: list[tuple[Caller, ObjectVersion, Action, bool]] = [
        (bob, object_of(), read, True),
        (attrs.evolve(bob, source_ip="192.0.2.7"), object_of(), read, False),
        (attrs.evolve(bob, user_agent="robot/2"), object_of(), read, False),
        (attrs.evolve(bob, user_agent=None), object_of(), read, True),
        (attrs.evolve(bob, account=CAROL.account), object_of(), read, False),
        (bob, secret, read, False),
        (attrs.evolve(bob, time_ms=late), object_of(), read, False),
        (bob, object_of(key="bob"), read, False),
        (bob, object_of(key="carol"), read, True),
        (ANONYMOUS, object_of(), read, True),
    ]
    for _ in range(2):
        for caller, found, action, expected in [*requests, *reversed(requests)]:
            assert is_allowed(action, caller, bucket, found) is expected, (caller, found.key)
    assert not is_allowed(version, bob, bucket, object_of(), version="v")
    assert is_allowed(version, bob, bucket, object_of(), version="w")


@pytest.mark.parametrize(
    "condition",
    [
        {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"Bool": {"aws:SecureTransport": "false"}},
        {"StringLike": {"aws:UserAgent": "other*"}},
        {"NumericEquals": {"s3:signatureAge": "7"}},
    ],
    ids=["address", "truth", "pattern", "number"],
)
def test_a_condition_is_a_few_calls(condition: dict[str, Any]) -> None:
    """What a request has is found and read once for all statements that ask for it."""
    bucket, found = bucket_with(*[deny(Condition=condition)] * 20), object_of()
    caller = Caller(
        ALICE.account,
        source_ip="198.51.100.1",
        secure=True,
        user_agent="mine",
        sent={"signatureage": "1"}.get,
    )
    authorize(Action.GET_OBJECT, caller, bucket, found)
    most = 20 + 20 * 4 if "s3:signatureAge" in str(condition) else 24
    assert calls_of(lambda: authorize(Action.GET_OBJECT, caller, bucket, found)) <= most
