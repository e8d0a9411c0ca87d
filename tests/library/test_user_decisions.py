"""What a user may do: its own policies, those of buckets, access control lists and what blocks public access together.

By tables with their source in the documentation of AWS, by laws, and against a second evaluator.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import Acl, Action, Bucket, Caller, Group, Owner, PublicAccessBlock, Upload, User
from bleepstore.access import authorize, authorize_absent, authorize_new_acl, authorize_new_bucket, decide, is_allowed
from bleepstore.access.decisions import Ground
from bleepstore.errors import AccessDenied
from bleepstore.model import BucketSettings
from tests.library.test_policy_evaluation import (
    ACLS,
    ALICE,
    BOB,
    BUCKET,
    CAROL,
    OBJECTS,
    allow,
    bucket_with,
    deny,
    object_of,
    second_acl,
    second_condition,
    second_listed,
    second_matches,
    statements,
)

#: Of alice, who owns the bucket `photos`, and of bob, who owns nothing here.
ANN = User(account=ALICE.account, name="ann", id="AIDAANN", path="/lab/")
BEN = User(account=BOB.account, name="ben", id="AIDABEN")
#: How policies name these.
ANNS_ARN, BENS_ARN = "arn:aws:iam::alice:user/lab/ann", "arn:aws:iam::bob:user/ben"
ALICES_ROOT, BOBS_ROOT = "arn:aws:iam::alice:root", "arn:aws:iam::bob:root"


def policy(*written: dict[str, Any], version: str = "2012-10-17") -> dict[str, str]:
    """The policies of a user: one, without the principals that a policy of a bucket has."""
    of_identity = [{name: one[name] for name in one if not name.endswith("Principal")} for one in written]
    return {"its own": json.dumps({"Version": version, "Statement": of_identity})} if written else {}


def having(user: User, policies: Mapping[str, str]) -> Caller:
    return Caller.of_user(attrs.evolve(user, policies=policies), source_ip="203.0.113.7")


NONE: list[dict[str, Any]] = []
#: (user, its policy, the bucket's, whether s3:GetObject is allowed). "Policy evaluation for requests within a single
#: account": "If either the identity-based policy or the resource-based policy within the same account allows the
#: request and the other doesn't, the request is still allowed." "Cross-account policy evaluation logic": "The request
#: is allowed only if both evaluations return a decision of Allow." "AWS JSON policy elements: Principal": an account
#: as a principal "delegates authority to the account".
GETS: list[tuple[User, list[dict[str, Any]], list[dict[str, Any]], bool]] = [
    # within the account
    (ANN, NONE, NONE, False),
    (ANN, [allow()], NONE, True),
    (ANN, [allow("s3:Get*", "*")], NONE, True),
    (ANN, [allow("*", "*")], NONE, True),
    (ANN, [allow("s3:PutObject")], NONE, False),
    (ANN, [allow(resource="arn:aws:s3:::other/*")], NONE, False),
    (ANN, [allow(resource=BUCKET)], NONE, False),
    (ANN, [allow(), deny()], NONE, False),
    (ANN, [deny()], [allow(principal={"AWS": ANNS_ARN})], False),
    (ANN, [allow()], [deny(principal={"AWS": ANNS_ARN})], False),
    (ANN, [allow()], [deny(principal={"AWS": ALICES_ROOT})], False),
    (ANN, [allow()], [deny()], False),
    (ANN, NONE, [allow(principal={"AWS": ANNS_ARN})], True),
    (ANN, NONE, [allow(principal={"AWS": [BENS_ARN, ANNS_ARN]})], True),
    (ANN, NONE, [allow(principal={"AWS": "arn:aws:iam::alice:user/ann"})], False),  # another path is another user
    (ANN, NONE, [allow(principal={"AWS": "arn:aws:iam::alice:user/lab/ANN"})], False),
    (ANN, NONE, [allow()], True),
    (ANN, NONE, [allow(principal={"AWS": "*"})], True),
    (ANN, NONE, [allow(principal={"AWS": ALICES_ROOT})], False),
    (ANN, NONE, [allow(principal={"AWS": "alice"})], False),
    (ANN, NONE, [allow(principal={"CanonicalUser": "alice"})], False),
    (ANN, [allow()], [allow(principal={"AWS": ALICES_ROOT})], True),
    (ANN, [allow("s3:PutObject")], [allow(principal={"AWS": ANNS_ARN})], True),
    # from another account
    (BEN, NONE, NONE, False),
    (BEN, [allow("*", "*")], NONE, False),
    (BEN, NONE, [allow(principal={"AWS": BENS_ARN})], False),
    (BEN, NONE, [allow()], False),
    (BEN, [allow()], [allow(principal={"AWS": BENS_ARN})], True),
    (BEN, [allow()], [allow(principal={"AWS": BOBS_ROOT})], True),
    (BEN, [allow()], [allow(principal={"AWS": "arn:aws:iam::bob:user/other"})], False),
    (BEN, [allow()], [allow(principal={"AWS": ANNS_ARN})], False),
    (BEN, [allow()], [allow()], True),
    (BEN, [allow()], [allow(), deny(principal={"AWS": BOBS_ROOT})], False),
    (BEN, [allow()], [allow(), deny(principal={"AWS": BENS_ARN})], False),
    (BEN, [allow(), deny()], [allow(principal={"AWS": BENS_ARN})], False),
    # "If the NotPrincipal element contained only Bob's ARN, the effect of the policy would be to explicitly deny access
    # to the AWS account that contains the user Bob."
    (ANN, [allow()], [{**deny(), "NotPrincipal": {"AWS": [ANNS_ARN, ALICES_ROOT]}}], True),
    (ANN, [allow()], [{**deny(), "NotPrincipal": {"AWS": ANNS_ARN}}], False),
    (ANN, [allow()], [{**deny(), "NotPrincipal": {"AWS": ALICES_ROOT}}], False),
    (ANN, NONE, [{**allow(), "NotPrincipal": {"AWS": ALICES_ROOT}}], False),
    (ANN, NONE, [{**allow(), "NotPrincipal": {"AWS": BOBS_ROOT}}], True),
    # "Principal key values": of a user
    *(
        (ANN, [allow(Condition={operator: {key: value}})], NONE, expected)
        for operator, key, value, expected in [
            ("StringEquals", "aws:username", "ann", True),
            ("StringEquals", "aws:username", "ben", False),
            ("StringEquals", "aws:userid", "AIDAANN", True),
            ("StringEquals", "aws:userid", "alice", False),
            ("StringEquals", "aws:PrincipalAccount", "alice", True),
            ("StringEquals", "aws:PrincipalType", "User", True),
            ("StringEquals", "aws:PrincipalType", "Account", False),
            ("ArnEquals", "aws:PrincipalArn", ANNS_ARN, True),
            ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::alice:user/lab/*", True),
            ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/sales/*", False),
            ("ArnEquals", "aws:PrincipalArn", ALICES_ROOT, False),
            ("Null", "aws:username", "false", True),
            ("IpAddress", "aws:SourceIp", "203.0.113.0/24", True),
            ("IpAddress", "aws:SourceIp", "192.0.2.0/24", False),
            ("StringEquals", "aws:NotKnown", "x", False),
            ("StringEquals", "dynamodb:LeadingKeys", "x", False),
        ]
    ),
    # variables: "IAM policy elements: Variables and tags"
    (ANN, [allow(resource=BUCKET + "/${aws:username}/*")], NONE, True),
    (ANN, [allow(resource=BUCKET + "/${aws:userid}/*")], NONE, False),
    (BEN, [allow(resource=BUCKET + "/${aws:username}/*")], [allow()], False),
    # "Resource": wildcards in other segments than the last, and other services
    (ANN, [allow(resource="arn:aws:s3:*:*:photos/*")], NONE, True),
    (ANN, [allow(resource="arn:aws:s3:*")], NONE, True),
    (ANN, [allow(resource="arn:*")], NONE, True),
    (ANN, [allow(resource="arn:aws:s3:::p?otos/*")], NONE, True),
    (ANN, [allow(resource="arn:aws:s3:::*/ann/k")], NONE, True),
    (ANN, [allow(resource="arn:aws:sqs:*")], NONE, False),
    (ANN, [allow(), deny(resource="arn:aws:s3:*:*:photos/*")], NONE, False),
    (ANN, [allow(), deny(resource="arn:aws:sqs:*:*:photos/*")], NONE, True),
    (ANN, [allow(), deny("dynamodb:*", "*")], NONE, True),
]


def without_none(written: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A statement has one of an element and its opposite."""
    found = []
    for one in written:
        opposites = {name[3:] for name in one if name.startswith("Not")}
        found.append({name: one[name] for name in one if name not in opposites})
    return found


@pytest.mark.parametrize(("user", "own", "of_bucket", "expected"), GETS)
def test_a_user_reads_as_the_policies_say(
    user: User, own: list[dict[str, Any]], of_bucket: list[dict[str, Any]], expected: bool
) -> None:
    caller = having(user, policy(*own))
    found = is_allowed(Action.GET_OBJECT, caller, bucket_with(*without_none(of_bucket)), object_of(key="ann/k"))
    assert found is expected


def test_what_is_not_about_an_action_is_about_all_others() -> None:
    caller = having(ANN, policy(*without_none([allow(), {**deny(), "NotAction": "dynamodb:*"}])))
    assert not is_allowed(Action.GET_OBJECT, caller, bucket_with(), object_of())


def test_several_policies_are_one() -> None:
    """ "AWS checks all of those policies for at least one Allow", and a denial in any of them counts."""
    reads, writes = policy(allow())["its own"], policy(allow("s3:PutObject"))["its own"]
    both = having(ANN, {"reads": reads, "writes": writes})
    assert is_allowed(Action.GET_OBJECT, both, bucket_with(), object_of())
    assert is_allowed(Action.PUT_OBJECT, both, bucket_with(), None, "k")
    denied = having(ANN, {"reads": reads, "writes": writes, "denies": policy(deny())["its own"]})
    assert not is_allowed(Action.GET_OBJECT, denied, bucket_with(), object_of())
    assert decide(Action.GET_OBJECT, denied, bucket_with(), object_of()).policy == "denies"


def test_what_cannot_be_read_denies_all() -> None:
    caller = having(ANN, {"reads": policy(allow())["its own"], "of a later version": '{"Version": "2031-01-01"}'})
    for bucket in (bucket_with(), bucket_with(allow(principal={"AWS": ANNS_ARN}))):
        assert decide(Action.GET_OBJECT, caller, bucket, object_of()).ground is Ground.IDENTITY_UNREADABLE
    assert not is_allowed(Action.LIST_ALL_MY_BUCKETS, caller, None)


def test_a_user_is_not_the_root_that_may_repair_the_buckets_policy() -> None:
    """ "The root principal in a bucket owner's AWS account can perform the GetBucketPolicy, PutBucketPolicy, and
    DeleteBucketPolicy API actions, even if their bucket policy explicitly denies the root principal's access." """
    everything = having(ANN, policy(allow("s3:*", "*")))
    closed = bucket_with(deny("s3:*", [BUCKET, OBJECTS]))
    unreadable = attrs.evolve(closed, settings=BucketSettings(policy="{}"))
    for action in (Action.GET_BUCKET_POLICY, Action.PUT_BUCKET_POLICY, Action.DELETE_BUCKET_POLICY):
        assert is_allowed(action, ALICE, closed)
        assert not is_allowed(action, everything, closed)
        assert not is_allowed(action, everything, unreadable)


def test_buckets_are_listed_and_made_by_whom_a_policy_allows_it() -> None:
    nobody, lists = having(ANN, {}), having(ANN, policy(allow("s3:ListAllMyBuckets", "*")))
    assert not is_allowed(Action.LIST_ALL_MY_BUCKETS, nobody, None)
    assert is_allowed(Action.LIST_ALL_MY_BUCKETS, lists, None)
    # As AWS's own example has it: `AllowS3ListRead`.
    assert is_allowed(Action.LIST_ALL_MY_BUCKETS, having(ANN, policy(allow("s3:List*", "arn:aws:s3:::*"))), None)
    assert not is_allowed(Action.LIST_ALL_MY_BUCKETS, having(ANN, policy(allow("s3:*", BUCKET))), None)
    makes = having(ANN, policy(allow("s3:CreateBucket", "arn:aws:s3:::lab-*")))
    authorize_new_bucket(makes, "lab-1")
    of_acls = [Action.PUT_BUCKET_ACL]
    for caller, name, further in (
        (makes, "photos", []),
        (lists, "lab-1", []),
        (nobody, "lab-1", []),
        (makes, "lab-1", of_acls),
    ):
        with pytest.raises(AccessDenied):
            authorize_new_bucket(caller, name, further)
    both = having(ANN, policy(allow(["s3:CreateBucket", "s3:PutBucketAcl"], "arn:aws:s3:::lab-*")))
    authorize_new_bucket(both, "lab-1", [Action.PUT_BUCKET_ACL])
    somewhere = {"StringEquals": {"s3:LocationConstraint": "eu-west-1"}}
    there = having(ANN, policy(allow("s3:CreateBucket", "*", Condition=somewhere)))
    authorize_new_bucket(there, "lab-1", location="eu-west-1")
    with pytest.raises(AccessDenied):
        authorize_new_bucket(there, "lab-1", location="eu-west-2")


def test_a_new_acl_needs_a_policy_that_allows_it() -> None:
    writes = having(ANN, policy(allow("s3:PutObject")))
    both = having(ANN, policy(allow(["s3:PutObject", "s3:PutObjectAcl"])))
    authorize_new_acl(both, bucket_with(), "k")
    authorize_new_acl(having(BEN, policy(allow("s3:Put*"))), bucket_with(acl=ACLS[2]), "k")  # bob may write
    for caller in (writes, having(BEN, policy(allow("s3:Put*")))):
        with pytest.raises(AccessDenied):
            authorize_new_acl(caller, bucket_with(), "k")


def test_what_is_not_there_is_told_to_whom_may_read_it_alone() -> None:
    authorize_absent(Action.GET_OBJECT, having(ANN, policy(allow())), bucket_with(), "k")
    authorize_absent(Action.GET_OBJECT, having(ANN, {}), bucket_with(allow(principal={"AWS": ANNS_ARN})), "k")
    for caller, bucket in [
        (having(ANN, {}), bucket_with()),
        (having(ANN, policy(allow("s3:ListBucket", BUCKET))), bucket_with()),
        (having(ANN, policy(allow())), bucket_with(deny())),
        (having(ANN, policy(allow(), deny())), bucket_with()),
    ]:
        with pytest.raises(AccessDenied):
            authorize_absent(Action.GET_OBJECT, caller, bucket, "k")


def test_an_upload_is_its_initiators_and_of_others_with_a_policy() -> None:
    """ "By default, the bucket owner and the initiator of the multipart upload are allowed to perform this action as a
    part of IAM and S3 bucket policies. If the initiator is an IAM user, that user's AWS account is also allowed"."""

    def upload(initiator: Caller) -> Upload:
        return Upload(
            bucket="photos", bucket_id=1, key="k", upload_id="1", initiated_ms=0, owner=ALICE.account,
            initiator=initiator.principal,
        )  # fmt: skip

    of_uploads = (Action.PUT_OBJECT, Action.ABORT_MULTIPART_UPLOAD, Action.LIST_MULTIPART_UPLOAD_PARTS)

    def may(caller: Caller, bucket: Bucket, on: Upload) -> list[bool]:
        return [is_allowed(action, caller, bucket, on) for action in of_uploads]

    writes, other = having(ANN, policy(allow("s3:PutObject"))), attrs.evolve(ANN, name="other")
    assert may(writes, bucket_with(), upload(writes)) == [True, True, True]
    assert may(having(ANN, {}), bucket_with(), upload(writes)) == [False, True, True]
    assert may(ALICE, bucket_with(), upload(writes)) == [True, True, True]
    assert may(having(other, policy(allow("s3:PutObject"))), bucket_with(), upload(writes)) == [True, False, False]
    assert may(having(other, policy(allow("s3:*", "*"))), bucket_with(), upload(writes)) == [True, True, True]
    denies = policy(deny("s3:AbortMultipartUpload"))
    assert may(having(ANN, denies), bucket_with(), upload(writes)) == [False, False, True]
    # of another account, into a bucket that all may write into
    bens = having(BEN, policy(allow("s3:PutObject")))
    assert may(bens, bucket_with(acl=ACLS[2]), upload(bens)) == [True, True, True]
    assert may(bens, bucket_with(acl=ACLS[2]), upload(ALICE)) == [False, False, False]
    assert may(having(ANN, policy(allow("s3:*", "*"))), bucket_with(acl=ACLS[2]), upload(bens)) == [False, True, True]
    assert may(CAROL, bucket_with(acl=ACLS[2]), upload(bens)) == [False, False, False]


def test_whose_objects_a_user_may_replace() -> None:
    """As its account: by an ACL its own alone, by a policy those of all."""
    bens = having(BEN, policy(allow("s3:*", "*")))
    assert authorize(Action.PUT_OBJECT, bens, bucket_with(acl=ACLS[2]), None, "k") == "bob"
    assert authorize(Action.PUT_OBJECT, bens, bucket_with(allow("s3:*", [BUCKET, OBJECTS])), None, "k") is None
    assert authorize(Action.PUT_OBJECT, having(ANN, policy(allow("s3:*", "*"))), bucket_with(), None, "k") is None


def test_attributes_need_the_right_to_read() -> None:
    """ "s3:GetObjectAttributes" and "s3:GetObject"."""
    alone = having(ANN, policy(allow("s3:GetObjectAttributes")))
    both = having(ANN, policy(allow(["s3:GetObject", "s3:GetObjectAttributes"])))
    assert not is_allowed(Action.GET_OBJECT_ATTRIBUTES, alone, bucket_with(), object_of())
    assert is_allowed(Action.GET_OBJECT_ATTRIBUTES, both, bucket_with(), object_of())


# -- laws

_NAMED = [ANNS_ARN, BENS_ARN, ALICES_ROOT, BOBS_ROOT]


def of_buckets() -> st.SearchStrategy[dict[str, Any]]:
    """Statements of a bucket's policy that name users too."""
    names = st.lists(st.sampled_from(_NAMED), min_size=1, max_size=3, unique=True)
    principals = st.one_of(
        st.just({"Principal": "*"}),
        names.map(lambda some: {"Principal": {"AWS": some}}),
        names.map(lambda some: {"NotPrincipal": {"AWS": some}}),
    )
    return st.builds(
        lambda one, principal: {**{name: one[name] for name in one if not name.endswith("Principal")}, **principal},
        statements(),
        principals,
    )


BLOCKS = [
    None,
    PublicAccessBlock(restrict_public_buckets=True),
    PublicAccessBlock(ignore_public_acls=True),
]
_CASES = st.tuples(
    st.lists(statements(), max_size=4),
    st.lists(of_buckets(), max_size=4),
    st.sampled_from(ACLS),
    st.sampled_from(BLOCKS),
)
_ACTIONS = (
    Action.GET_OBJECT,
    Action.PUT_OBJECT,
    Action.DELETE_OBJECT,
    Action.LIST_BUCKET,
    Action.PUT_OBJECT_TAGGING,
    Action.GET_BUCKET_TAGGING,
)
QUESTIONS = list(itertools.product(_ACTIONS, (ANN, BEN), ("a/k", "k")))


def made(of_bucket: list[dict[str, Any]], acl: Acl, block: PublicAccessBlock | None) -> Bucket:
    bucket = bucket_with(*of_bucket, acl=acl)
    return attrs.evolve(bucket, settings=attrs.evolve(bucket.settings, public_access_block=block))


def ask(bucket: Bucket, action: Action, caller: Caller, key: str) -> bool:
    if "Bucket" in action:
        return is_allowed(action, caller, bucket)
    if action in (Action.PUT_OBJECT, Action.DELETE_OBJECT):
        return is_allowed(action, caller, bucket, None, key)
    return is_allowed(action, caller, bucket, object_of(key=key))


def answers(bucket: Bucket, own: list[dict[str, Any]]) -> list[bool]:
    return [ask(bucket, action, having(user, policy(*own)), key) for action, user, key in QUESTIONS]


@settings(max_examples=30, deadline=None)
@given(_CASES, statements())
def test_one_more_deny_never_allows_more(case: Any, added: dict[str, Any]) -> None:
    own, of_bucket, acl, block = case
    before = answers(made(of_bucket, acl, block), own)
    after = answers(made(of_bucket, acl, block), [*own, {**added, "Effect": "Deny"}])
    assert all(may for may, still in zip(before, after, strict=True) if still)


@settings(max_examples=30, deadline=None)
@given(_CASES, statements())
def test_what_allows_taken_away_never_allows_more(case: Any, taken: dict[str, Any]) -> None:
    own, of_bucket, acl, block = case
    before = answers(made(of_bucket, acl, block), [*own, {**taken, "Effect": "Allow"}])
    after = answers(made(of_bucket, acl, block), own)
    assert all(may for may, still in zip(before, after, strict=True) if still)


@settings(max_examples=30, deadline=None)
@given(_CASES)
def test_a_user_may_what_its_account_may_but_for_policies_that_name_it(case: Any) -> None:
    """And for those that tell users from accounts by what they are, which there are none of here."""
    own, of_bucket, acl, block = case
    named = [one for one in of_bucket if not {ANNS_ARN, BENS_ARN} & set(_names_in(one))]
    bucket = made(named, acl, block)
    for action, user, key in QUESTIONS:
        if ask(bucket, action, having(user, policy(*own)), key):
            assert ask(bucket, action, Caller(user.account, source_ip="203.0.113.7"), key)


def _names_in(one: dict[str, Any]) -> list[str]:
    found = one.get("Principal", one.get("NotPrincipal"))
    return [] if found == "*" or found is None else second_listed(found["AWS"])


@settings(max_examples=30, deadline=None)
@given(_CASES)
def test_who_has_no_policy_may_nothing_but_what_a_policy_of_its_accounts_buckets_says(case: Any) -> None:
    _own, of_bucket, acl, block = case
    for action, user, key in QUESTIONS:
        decision = ask(made(of_bucket, acl, block), action, having(user, {}), key)
        assert not decision or (user is ANN and of_bucket)


# -- the second evaluator, of "Policy evaluation logic" and "Blocking public access to your Amazon S3 storage"


def second_named(one: dict[str, Any], user: User, arn: str, *, same_account: bool) -> bool:
    account = f"arn:aws:iam::{user.account.id}:root"
    if one.get("Principal") == "*":
        return True
    named = _names_in(one)
    if "Principal" in one:
        if one["Effect"] == "Deny" or not same_account:
            return arn in named or account in named
        return arn in named
    if one["Effect"] == "Deny":
        return not (arn in named and account in named)
    return arn not in named and account not in named


def second_effects(written: list[dict[str, Any]], action: Action, user: User, resource: str) -> set[str]:
    return {
        one["Effect"]
        for one in written
        if second_matches(one, "Action", [action.value], fold=True)
        and second_matches(one, "Resource", [resource])
        and second_condition(one, user.account.id, "203.0.113.7")
    }


def second_is_public(one: dict[str, Any]) -> bool:
    """None of the conditions that there are here is one of those that limit to fixed values."""
    return one["Effect"] == "Allow" and (one.get("Principal") == "*" or "NotPrincipal" in one)


def second_answer(case: Any, action: Action, user: User, key: str) -> bool:
    own, of_bucket, acl, block = case
    arn = ANNS_ARN if user is ANN else BENS_ARN
    same_account = user is ANN
    resource = BUCKET if "Bucket" in action else f"{BUCKET}/{key}"
    mine = second_effects(own, action, user, resource)
    about = [one for one in of_bucket if second_named(one, user, arn, same_account=same_account)]
    buckets = second_effects(about, action, user, resource)
    if "Deny" in mine | buckets:
        return False
    restricted = block is not None and block.restrict_public_buckets and any(map(second_is_public, of_bucket))
    by_policy = "Allow" in buckets and (same_account or not restricted)
    if same_account and by_policy:
        return True
    if block is not None and block.ignore_public_acls:
        acl = Acl(acl.owner_id, tuple(one for one in acl.grants if not isinstance(one.grantee, Group)))
    return "Allow" in mine and (by_policy or second_acl(acl, action, user.account.id))


@settings(max_examples=60, deadline=None)
@given(_CASES)
def test_two_evaluators_agree(case: Any) -> None:
    own, of_bucket, acl, block = case
    bucket = made(of_bucket, acl, block)
    for action, user, key in QUESTIONS:
        expected = second_answer(case, action, user, key)
        assert ask(bucket, action, having(user, policy(*own)), key) is expected, (action, user, key)


def test_a_caller_of_an_account_is_no_user() -> None:
    assert Caller(Owner("alice")).principal == Owner("alice")
    assert having(ANN, {}).principal == Owner(ANNS_ARN, "ann")
