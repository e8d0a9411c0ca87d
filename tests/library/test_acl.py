"""Access control lists: what each canned one means, and whom a list lets in."""

from __future__ import annotations

import itertools

import pytest

from bleepstore import ANONYMOUS, Acl, Caller, CannedAcl, Grant, Group, Owner, Permission
from bleepstore.access import make_acl
from bleepstore.access.decisions import allows

OWNER, BUCKET_OWNER, OTHER = (Caller(Owner(name)) for name in ("owner", "bucket-owner", "other"))
P = Permission


@pytest.mark.parametrize(
    ("canned", "expected"),
    [
        (None, ()),
        (CannedAcl.PRIVATE, ()),
        (CannedAcl.PUBLIC_READ, (Grant(Group.ALL_USERS, P.READ),)),
        (CannedAcl.PUBLIC_READ_WRITE, (Grant(Group.ALL_USERS, P.READ), Grant(Group.ALL_USERS, P.WRITE))),
        (CannedAcl.AUTHENTICATED_READ, (Grant(Group.AUTHENTICATED_USERS, P.READ),)),
        (CannedAcl.AWS_EXEC_READ, ()),
        (CannedAcl.BUCKET_OWNER_READ, (Grant("bucket-owner", P.READ),)),
        (CannedAcl.BUCKET_OWNER_FULL_CONTROL, (Grant("bucket-owner", P.FULL_CONTROL),)),
        (CannedAcl.LOG_DELIVERY_WRITE, (Grant(Group.LOG_DELIVERY, P.WRITE), Grant(Group.LOG_DELIVERY, P.READ_ACP))),
    ],
)
def test_canned_lists(canned: CannedAcl | None, expected: tuple[Grant, ...]) -> None:
    acl = make_acl(canned, "owner", "bucket-owner")
    assert acl == Acl("owner", (Grant("owner", P.FULL_CONTROL), *expected))


@pytest.mark.parametrize("canned", [CannedAcl.BUCKET_OWNER_READ, CannedAcl.BUCKET_OWNER_FULL_CONTROL])
def test_a_bucket_owner_is_not_granted_its_own_object_twice(canned: CannedAcl) -> None:
    assert make_acl(canned, "owner", "owner") == Acl.private("owner")


def test_grants_of_ones_own_choice_are_taken_as_they_are() -> None:
    grants = (Grant("other", P.READ),)
    assert make_acl(grants, "owner", "owner") == Acl("owner", grants)
    assert make_acl((), "owner", "owner") == Acl("owner", ())


def test_an_owner_always_reaches_its_list_but_not_more() -> None:
    bare = Acl("owner", ())
    allowed = {permission for permission in Permission if allows(bare, OWNER, permission)}
    assert allowed == {P.READ_ACP, P.WRITE_ACP}
    assert not any(allows(bare, OTHER, permission) for permission in Permission)


@pytest.mark.parametrize("granted", list(Permission))
def test_a_grant_allows_itself_alone_and_full_control_allows_all(granted: Permission) -> None:
    acl = Acl("owner", (Grant("other", granted),))
    allowed = {permission for permission in Permission if allows(acl, OTHER, permission)}
    assert allowed == (set(Permission) if granted == P.FULL_CONTROL else {granted})
    assert not any(allows(acl, who, permission) for who, permission in itertools.product((BUCKET_OWNER, ANONYMOUS), P))


def test_groups() -> None:
    everyone = Acl("owner", (Grant(Group.ALL_USERS, P.READ),))
    known = Acl("owner", (Grant(Group.AUTHENTICATED_USERS, P.READ),))
    logs = Acl("owner", (Grant(Group.LOG_DELIVERY, P.READ),))
    assert [allows(everyone, who, P.READ) for who in (OTHER, ANONYMOUS)] == [True, True]
    assert [allows(known, who, P.READ) for who in (OTHER, ANONYMOUS)] == [True, False]
    assert [allows(logs, who, P.READ) for who in (OTHER, ANONYMOUS)] == [False, False]


def test_the_name_of_a_group_is_not_an_account() -> None:
    """An owner id that reads like a group's name gains nothing by it."""
    acl = Acl("owner", (Grant(Group.LOG_DELIVERY, P.READ),))
    assert not allows(acl, Caller(Owner("LogDelivery")), P.READ)
    assert not allows(Acl("owner", (Grant("AllUsers", P.READ),)), ANONYMOUS, P.READ)
