"""Callers x operations x policy, access control lists, public access block and ownership, against a second evaluator.

The evaluator below is written from AWS's documentation ("How Amazon S3 authorizes a request", "Access control list
(ACL) overview", "Blocking public access", "Controlling ownership of objects") and shares no code with the store.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import (
    ANONYMOUS,
    Caller,
    CannedAcl,
    ObjectOwnership,
    Owner,
    PublicAccessBlock,
    Store,
)
from bleepstore.errors import AccessDenied

ALICE, BOB = Owner("111122223333", "Alice"), Owner("444455556666", "Bob")
BUCKET, KEYS, NEW = "photos", {"alice": "of-alice", "bob": "of-bob"}, "new"
#: What the canned lists of a bucket let everybody do.
OF_ALL: Mapping[str, Sequence[str]] = {"private": (), "public-read": ("list",), "public-read-write": ("list", "put")}
PREFERRED, WRITER = ObjectOwnership.BUCKET_OWNER_PREFERRED, ObjectOwnership.OBJECT_WRITER
ENFORCED = ObjectOwnership.BUCKET_OWNER_ENFORCED


@attrs.frozen
class Asker:
    """`identity` is what its own policies allow; None: all of its account's, for it is the root of it."""

    account: str | None
    user: str | None = None
    identity: frozenset[str] | None = None


ASKERS: Mapping[str, Asker] = {
    "alice": Asker("alice"),
    "bob": Asker("bob"),
    "a stranger": Asker(None),
    "ann, a reader of alice's": Asker("alice", "ann", frozenset({"get", "list"})),
    "amy, of alice's, without a policy": Asker("alice", "amy", frozenset()),
    "ben, who may get and put for bob": Asker("bob", "ben", frozenset({"get", "put"})),
}
ACTIONS = {"get": "s3:GetObject", "get acl": "s3:GetObjectAcl", "list": "s3:ListBucket", "put": "s3:PutObject"}


@attrs.frozen
class Rule:
    """A statement about everything in the bucket and the bucket itself."""

    effect: str
    principal: str  # "*", an account, or a user
    actions: frozenset[str]


POLICIES: Mapping[str, Sequence[Rule]] = {
    "none": (),
    "all may get": (Rule("Allow", "*", frozenset({"get"})),),
    "bob may do all": (Rule("Allow", "bob", frozenset(ACTIONS)),),
    "amy may get and list": (Rule("Allow", "amy", frozenset({"get", "list"})),),
    "alice's account may get": (Rule("Allow", "alice", frozenset({"get"})),),
    "bob may not get": (Rule("Allow", "*", frozenset({"get", "list"})), Rule("Deny", "bob", frozenset({"get"}))),
    "ann may not list": (Rule("Deny", "ann", frozenset({"list"})),),
}
BLOCKS: Mapping[str, PublicAccessBlock | None] = {
    "no block": None,
    "lists ignored": PublicAccessBlock(ignore_public_acls=True),
    "policies restricted": PublicAccessBlock(restrict_public_buckets=True),
}


@attrs.frozen
class Case:
    ownership: ObjectOwnership
    bucket_acl: str
    object_acl: str
    policy: str
    block: str


# --- the second evaluator ---


def names(asker: Asker) -> set[str]:
    return {one for one in (asker.account, asker.user) if one is not None} | {"*"}


def by_lists(case: Case, account: str | None, operation: str, owner: str) -> bool:
    """By ownership and access control lists, which know accounts alone."""
    is_ignored = case.block == "lists ignored"
    public_bucket = (
        set() if is_ignored else {"private": set(), "public-read": {"list"}}.get(case.bucket_acl, {"list", "put"})
    )
    if operation in ("list", "put"):
        return account == "alice" or operation in public_bucket
    if case.ownership is ENFORCED:
        return account == "alice"  # who owns all, and lists count no more
    if account == owner:
        return True
    return operation == "get" and case.object_acl == "public-read" and not is_ignored


def may(case: Case, asker: Asker, operation: str, owner: str) -> bool:
    rules = [rule for rule in POLICIES[case.policy] if operation in rule.actions]
    named = [rule for rule in rules if rule.principal in names(asker)]
    if any(rule.effect == "Deny" for rule in named):
        return False
    is_public = any(rule.effect == "Allow" and rule.principal == "*" for rule in POLICIES[case.policy])
    is_restricted = case.block == "policies restricted" and is_public and asker.account != "alice"
    # A policy of the bucket is about objects of the bucket's owner.
    is_about_it = operation in ("list", "put") or case.ownership is ENFORCED or owner == "alice"
    allowing = [] if is_restricted or not is_about_it else [rule for rule in named if rule.effect == "Allow"]
    account_may = bool(allowing) or by_lists(case, asker.account, operation, owner)
    if asker.identity is None:
        return account_may
    if operation in asker.identity:
        return account_may
    # Within its own account a bucket's policy that names the user, or everybody, is enough.
    return asker.account == "alice" and any(rule.principal in ("*", asker.user) for rule in allowing)


# --- the store ---


def principal(name: str) -> str | dict[str, str]:
    if name == "*":
        return "*"
    if name in ("alice", "bob"):
        return {"AWS": (ALICE if name == "alice" else BOB).id}
    return {"AWS": f"arn:aws:iam::{ALICE.id}:user/{name}"}


def text_of(rules: Sequence[Rule]) -> str:
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]

    def statements(rule: Rule) -> Iterator[dict[str, Any]]:
        for resource, actions in zip(resources, (rule.actions & {"list"}, rule.actions - {"list"}), strict=True):
            if actions:
                wanted = sorted(ACTIONS[action] for action in actions)
                yield {
                    "Effect": rule.effect,
                    "Principal": principal(rule.principal),
                    "Action": wanted,
                    "Resource": resource,
                }

    return json.dumps({"Version": "2012-10-17", "Statement": [one for rule in rules for one in statements(rule)]})


def callers_of(store: Store) -> dict[str, Caller]:
    """Those of ASKERS, with their users and policies."""
    for account in (ALICE, BOB):
        store.put_credential(f"AK{account.display_name}", "secret", owner=account)
    found = {"alice": Caller(ALICE), "bob": Caller(BOB), "a stranger": ANONYMOUS}
    for name, asker in ASKERS.items():
        if asker.user is not None:
            account = ALICE if asker.account == "alice" else BOB
            store.users.add(asker.user, account=account)
            if asker.identity:
                allowed = {"Effect": "Allow", "Action": sorted(ACTIONS[one] for one in asker.identity), "Resource": "*"}
                text = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
                store.users.put_policy(asker.user, "own", text, account=account)
            found[name] = Caller.of_user(store.users.get(asker.user, account=account))
    return found


def operations_of(store: Store, key: str) -> dict[str, Callable[[Caller], object]]:
    return {
        "get": lambda caller: store.get_object(BUCKET, key, caller=caller).close(),
        "get acl": lambda caller: store.get_object_acl(BUCKET, key, caller=caller),
        "list": lambda caller: store.list_objects(BUCKET, caller=caller),
        "put": lambda caller: store.put_object(BUCKET, NEW, b"x", caller=caller),
    }


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Store, dict[str, Caller]]]:
    with bleepstore.open(acl_defaults="legacy") as store:
        yield store, callers_of(store)


def make(store: Store, case: Case) -> None:
    """The bucket of a case, with an object of Alice's and one of Bob's."""
    alice, bob = Caller(ALICE), Caller(BOB)
    store.create_bucket(BUCKET, caller=alice)
    store.put_bucket_acl(BUCKET, CannedAcl.PUBLIC_READ_WRITE)
    for writer, key in ((alice, KEYS["alice"]), (bob, KEYS["bob"])):
        store.put_object(BUCKET, key, b"x", acl=CannedAcl(case.object_acl), caller=writer)
    store.put_bucket_acl(BUCKET, CannedAcl(case.bucket_acl))
    store.put_bucket_ownership(BUCKET, case.ownership)
    if POLICIES[case.policy]:
        store.put_bucket_policy(BUCKET, text_of(POLICIES[case.policy]))
    block = BLOCKS[case.block]
    if block is not None:
        store.put_public_access_block(BUCKET, block)


def unmake(store: Store) -> None:
    for key in (*KEYS.values(), NEW):
        store.delete_object(BUCKET, key)
    store.delete_bucket(BUCKET)


#: Where ACLs are disabled a bucket's own list grants nothing to others.
CASES = [
    Case(*one)
    for one in itertools.product(
        (WRITER, PREFERRED, ENFORCED),
        ("private", "public-read", "public-read-write"),
        ("private", "public-read"),
        POLICIES,
        BLOCKS,
    )
    if one[0] is not ENFORCED or one[1] == "private"
]


@pytest.mark.parametrize("ownership", [WRITER, PREFERRED, ENFORCED])
def test_every_decision_is_that_of_a_second_evaluator(
    shared: tuple[Store, dict[str, Caller]], ownership: ObjectOwnership
) -> None:
    store, callers = shared
    differences, allowed, total = [], 0, 0
    for case in (one for one in CASES if one.ownership is ownership):
        make(store, case)
        try:
            for (name, asker), (owner, key) in itertools.product(ASKERS.items(), KEYS.items()):
                for operation, run in operations_of(store, key).items():
                    is_allowed = False
                    with contextlib.suppress(AccessDenied):
                        run(callers[name])
                        is_allowed = True
                    if operation == "put" and is_allowed:
                        store.delete_object(BUCKET, NEW)
                    total += 1
                    allowed += is_allowed
                    if is_allowed is not may(case, asker, operation, owner):
                        differences.append((case, name, operation, owner, is_allowed))
        finally:
            unmake(store)
    assert differences == []
    assert total / 10 < allowed < total * 9 / 10, "both answers are given"
