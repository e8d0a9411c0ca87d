"""What a session of a role may do, against random policies of roles, sessions and buckets."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import Bucket, Caller, Role, RoleSession
from bleepstore.model import User
from tests.library.test_policy_evaluation import ACLS, statements
from tests.library.test_user_decisions import BLOCKS, QUESTIONS, ask, having, made, of_buckets, policy

ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
CASES = st.tuples(
    st.lists(statements(), max_size=4),
    st.lists(of_buckets(), max_size=4),
    st.sampled_from(ACLS),
    st.sampled_from(BLOCKS),
)


def session_of(user: User, own: list[dict[str, Any]], limit: list[dict[str, Any]] | None) -> Caller:
    """Of a role that has the policies that a user would have."""
    role = Role(name="reader", id="AROA1", account=user.account, trust_policy="", policies=policy(*own))
    text = None if limit is None else json.dumps({"Version": "2012-10-17", "Statement": limit})
    return Caller.of_user(RoleSession(role, "s1", text), source_ip="203.0.113.7")


def answers(bucket: Bucket, own: list[dict[str, Any]], limit: list[dict[str, Any]] | None) -> list[bool]:
    return [ask(bucket, action, session_of(user, own, limit), key) for action, user, key in QUESTIONS]


@settings(max_examples=15, deadline=None)
@given(CASES, st.lists(statements(), min_size=1, max_size=4))
def test_the_policy_of_a_session_never_allows_more(case: Any, limit: list[dict[str, Any]]) -> None:
    own, of_bucket, acl, block = case
    bucket = made(of_bucket, acl, block)
    without, within = answers(bucket, own, None), answers(bucket, own, limit)
    assert all(may for may, still in zip(without, within, strict=True) if still)
    assert answers(bucket, own, [ALL]) == without
    assert not any(answers(bucket, own, [{**ALL, "Effect": "Deny"}]))


@settings(max_examples=15, deadline=None)
@given(CASES, st.lists(statements(), min_size=1, max_size=4))
def test_what_a_session_may_its_policy_allows(case: Any, limit: list[dict[str, Any]]) -> None:
    """As if the policy were all that its role has, in a bucket of its account that says nothing of it."""
    own, of_bucket, acl, block = case
    bucket = made(of_bucket, acl, block)
    for action, user, key in QUESTIONS:
        if ask(bucket, action, session_of(user, own, limit), key):
            own_bucket = made([], ACLS[0], None)
            if user.account == own_bucket.owner:
                assert ask(own_bucket, action, session_of(user, limit, None), key)


@settings(max_examples=15, deadline=None)
@given(CASES)
def test_a_role_has_the_rights_of_a_user_with_its_policies(case: Any) -> None:
    """But for policies of buckets that name that user, or all but it."""
    own, of_bucket, acl, block = case
    bucket = made([one for one in of_bucket if one.get("Principal") == "*"], acl, block)
    for action, user, key in QUESTIONS:
        as_user = ask(bucket, action, having(user, policy(*own)), key)
        assert ask(bucket, action, session_of(user, own, None), key) is as_user
