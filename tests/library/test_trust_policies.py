"""Who may assume a role: a table, with its source in "Using IAM roles" and "Cross-account policy evaluation logic"."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from bleepstore.access import (
    ANONYMOUS,
    Assumption,
    Caller,
    RoleSession,
    WebIdentity,
    check_session_policy,
    check_trust_policy,
    may_assume,
    may_assume_by_web,
)
from bleepstore.errors import InvalidArgument, MalformedPolicy
from bleepstore.model import Owner, User
from bleepstore.roles import Role

ALICE, BOB = Owner("alice"), Owner("bob")
ROLE = "arn:aws:iam::alice:role/reader"
ASSUME = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trusts(principal: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}


def user(account: Owner, *statements: dict[str, Any]) -> Caller:
    policies = {"own": policy(*statements)} if statements else {}
    return Caller.of_user(User(account=account, name="eve", id="AIDA1", policies=policies), source_ip="10.0.0.1")


def session(*statements: dict[str, Any], limit: str | None = None, name: str = "s1") -> Caller:
    policies = {"own": policy(*statements)} if statements else {}
    role = Role(name="first", id="AROA1", account=ALICE, trust_policy="", policies=policies)
    return Caller.of_user(RoleSession(role, name, limit))


def role(*statements: dict[str, Any]) -> Role:
    return Role(name="reader", id="AROA2", account=ALICE, trust_policy=policy(*statements))


EVE_OF_ALICE, EVE_OF_BOB = ({"AWS": f"arn:aws:iam::{name}:user/eve"} for name in ("alice", "bob"))
FIRST = {"AWS": "arn:aws:iam::alice:role/first"}
DENY = {**ASSUME, "Effect": "Deny"}

TABLE: dict[str, tuple[Caller, Role, bool]] = {
    "the root of a trusted account": (Caller(ALICE), role(trusts({"AWS": "alice"})), True),
    "by its ARN": (Caller(ALICE), role(trusts({"AWS": "arn:aws:iam::alice:root"})), True),
    "the root of another account that is trusted": (Caller(BOB), role(trusts({"AWS": "bob"})), True),
    "an account that is not trusted": (Caller(BOB), role(trusts({"AWS": "alice"})), False),
    "its own account, that is not trusted": (Caller(ALICE), role(trusts({"AWS": "bob"})), False),
    "everybody who signs": (Caller(BOB), role(trusts("*")), True),
    "nobody who does not": (ANONYMOUS, role(trusts("*")), False),
    "a trust that is denied": (Caller(BOB), role(trusts("*"), trusts({"AWS": "bob"}, Effect="Deny")), False),
    "a user by name": (user(ALICE), role(trusts(EVE_OF_ALICE)), True),
    "a user of a trusted account has no right by that": (user(ALICE), role(trusts({"AWS": "alice"})), False),
    "but by a policy of its own": (user(ALICE, ASSUME), role(trusts({"AWS": "alice"})), True),
    "any action": (user(ALICE, {**ASSUME, "Action": "*"}), role(trusts({"AWS": "alice"})), True),
    "any of sts": (user(ALICE, {**ASSUME, "Action": "sts:*"}), role(trusts({"AWS": "alice"})), True),
    "any role": (
        user(ALICE, {**ASSUME, "Resource": "arn:aws:iam::alice:role/*"}),
        role(trusts({"AWS": "alice"})),
        True,
    ),
    "another role": (user(ALICE, {**ASSUME, "Resource": ROLE + "2"}), role(trusts({"AWS": "alice"})), False),
    "all actions of s3": (user(ALICE, {**ASSUME, "Action": "s3:*"}), role(trusts({"AWS": "alice"})), False),
    "all but it": (
        user(ALICE, {"Effect": "Allow", "NotAction": "sts:AssumeRole", "Resource": "*"}),
        role(trusts({"AWS": "alice"})),
        False,
    ),
    "all but another": (
        user(ALICE, {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:iam::alice:role/x"}),
        role(trusts({"AWS": "alice"})),
        True,
    ),
    "a user by name whose policy denies": (user(ALICE, DENY), role(trusts(EVE_OF_ALICE)), False),
    "a policy without trust": (user(ALICE, ASSUME), role(trusts({"AWS": "bob"})), False),
    "a user of another account by name": (user(BOB), role(trusts(EVE_OF_BOB)), False),
    "with a policy": (user(BOB, ASSUME), role(trusts(EVE_OF_BOB)), True),
    "another account with a policy": (user(BOB, ASSUME), role(trusts({"AWS": "bob"})), True),
    "a role by name": (session(), role(trusts(FIRST)), True),
    "a session by name": (
        session(),
        role(trusts({"AWS": "arn:aws:sts::alice:assumed-role/first/s1"})),
        True,
    ),
    "another session": (
        session(name="s2"),
        role(trusts({"AWS": "arn:aws:sts::alice:assumed-role/first/s1"})),
        False,
    ),
    "a session whose policy is silent": (
        session(limit=policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})),
        role(trusts(FIRST)),
        False,
    ),
    "a session whose policy allows it": (session(limit=policy(ASSUME)), role(trusts(FIRST)), True),
    "a session whose policy denies it": (session(ASSUME, limit=policy(ASSUME, DENY)), role(trusts(FIRST)), False),
    "another action": (Caller(ALICE), role(trusts("*", Action="sts:AssumeRoleWithWebIdentity")), False),
    "an action in any case": (Caller(ALICE), role(trusts("*", Action=["STS:assumerole"])), True),
    "a service is nobody": (Caller(ALICE), role(trusts({"Service": "ec2.amazonaws.com"})), False),
    "the address": (user(ALICE), role(trusts("*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})), True),
    "another address": (user(ALICE), role(trusts("*", Condition={"IpAddress": {"aws:SourceIp": "11.0.0.0/8"}})), False),
    "what is not known": (Caller(BOB), role(trusts("*", Condition={"StringEquals": {"aws:New": "a"}})), False),
    "a policy that cannot be read": (Caller(ALICE), attrs.evolve(role(trusts("*")), trust_policy="{"), False),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_who_may_assume_a_role(row: tuple[Caller, Role, bool]) -> None:
    caller, found, allowed = row
    assert may_assume(found, Assumption("session", caller=caller)) is allowed


def test_the_external_id_and_the_name_of_the_session_are_conditions() -> None:
    """ "The confused deputy problem": who asks in the name of another must say for whom."""
    found = role(trusts({"AWS": "bob"}, Condition={"StringEquals": {"sts:ExternalId": "for-bob"}}))
    asked = [(None, False), ("", False), ("for-eve", False), ("for-bob", True)]
    for external_id, allowed in asked:
        assert may_assume(found, Assumption("s", caller=Caller(BOB), external_id=external_id)) is allowed
    found = role(trusts({"AWS": "bob"}, Condition={"StringLike": {"sts:RoleSessionName": "job-*"}}))
    for name, allowed in (("job-1", True), ("task", False)):
        assert may_assume(found, Assumption(name, caller=Caller(BOB))) is allowed


PROVIDER = {"Federated": "arn:aws:iam::alice:oidc-provider/id.example.org/realms/Main"}
IDENTITY = WebIdentity("https://id.example.org/realms/Main", "app", "eve")


def by_web(**more: Any) -> dict[str, Any]:
    return trusts(PROVIDER, Action="sts:AssumeRoleWithWebIdentity", **more)


KEY = "id.example.org/realms/Main"
WEB: dict[str, tuple[dict[str, Any], bool]] = {
    "its provider": (by_web(), True),
    "its audience": (by_web(Condition={"StringEquals": {f"{KEY}:aud": "app"}}), True),
    "in any case": (by_web(Condition={"StringEquals": {f"{KEY.upper()}:AUD": "app"}}), True),
    "another audience": (by_web(Condition={"StringEquals": {f"{KEY}:aud": "other"}}), False),
    "its subject": (by_web(Condition={"StringLike": {f"{KEY}:sub": "e*"}}), True),
    "another subject": (by_web(Condition={"StringEquals": {f"{KEY}:sub": "bob"}}), False),
    "a claim that is not known": (by_web(Condition={"StringEquals": {f"{KEY}:email": "eve"}}), False),
    "a claim of another provider": (by_web(Condition={"StringEquals": {"id.example.org:sub": "eve"}}), False),
    "another action": ({**by_web(), "Action": "sts:AssumeRole"}, False),
    "everybody": ({**by_web(), "Principal": "*"}, False),
    "the account": ({**by_web(), "Principal": {"AWS": "alice"}}, False),
    "another provider": (
        {**by_web(), "Principal": {"Federated": "arn:aws:iam::alice:oidc-provider/id.example.org/realms/Mai"}},
        False,
    ),
    "a provider of another account": (
        {**by_web(), "Principal": {"Federated": PROVIDER["Federated"].replace("alice", "bob")}},
        False,
    ),
}


@pytest.mark.parametrize("row", WEB.values(), ids=WEB)
def test_which_web_identities_may_assume_a_role(row: tuple[dict[str, Any], bool]) -> None:
    statement, allowed = row
    assert may_assume_by_web(role(statement), Assumption("s", identity=IDENTITY)) is allowed
    assert not may_assume_by_web(role(statement), Assumption("s"))
    assert not may_assume(role(by_web()), Assumption("s", identity=IDENTITY))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", policy(), '{"Statement": 5}',
        policy({"Effect": "Allow", "Action": "sts:AssumeRole"}),
        policy({"Effect": "Allow", "Principal": "*"}),
        policy({"Effect": "Maybe", "Principal": "*", "Action": "sts:AssumeRole"}),
        policy(trusts("*", Resource="*")),
        policy({"Effect": "Allow", "NotPrincipal": {"AWS": "alice"}, "Action": "sts:AssumeRole"}),
        policy({"Effect": "Allow", "Principal": "*", "NotAction": "sts:AssumeRole"}),
        policy(trusts({"Federated": "https://id.example.org"})),
        policy(trusts({"Federated": "arn:aws:iam::bob:oidc-provider/id.example.org"})),
        policy(trusts({"AWS": "*", "Federated": PROVIDER["Federated"]})),
        policy(trusts({"Federated": 5})),
        policy(trusts({})),
        policy(trusts("*", Condition={"StringWhatever": {"aws:SourceIp": "a"}})),
        policy(trusts("*", Action=[])),
    ],
)  # fmt: skip
def test_what_is_no_trust_policy_is_refused(text: str) -> None:
    with pytest.raises(MalformedPolicy):
        check_trust_policy(text, "alice")


def test_what_is_no_policy_of_a_session_is_refused() -> None:
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    check_session_policy(policy(allow))
    with pytest.raises(InvalidArgument):
        check_session_policy(policy({**allow, "Sid": "x" * 2048}))
    for text in ("", "{}", policy({**allow, "Principal": "*"})):
        with pytest.raises(MalformedPolicy):
            check_session_policy(text)
