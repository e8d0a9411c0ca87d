"""Sessions: what a token is worth, and when it ends."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

import bleepstore
from bleepstore import ANONYMOUS, Action, Caller, Credential, Owner, SessionCredentials, Store, errors
from bleepstore.roles import Role
from bleepstore.sealing.keys import MasterKeys
from bleepstore.testing.clock import Clock

ALICE = Owner("alice-id", "Alice")
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    with bleepstore.open(clock=clock) as store:
        yield store


@pytest.fixture
def alice(store: Store) -> Credential:
    return store.put_credential("alice", "alice-secret", owner=ALICE)


@pytest.fixture
def made(store: Store, alice: Credential) -> SessionCredentials:
    return store.create_session(alice, duration=HOUR)


def is_live(store: Store, made: SessionCredentials) -> bool:
    store.accounts.forget_remembered()
    store.sessions.forget_remembered()
    try:
        return store.find_session(made.token, made.session.access_key).session == made.session
    except errors.ExpiredToken:
        return False


def test_a_session_is_found_by_its_token_and_access_key(store: Store, made: SessionCredentials) -> None:
    found = store.find_session(made.token, made.session.access_key)
    assert found.session == made.session
    assert (found.owner, found.secret_key) == (ALICE, made.session.secret_key)
    assert made.session.access_key.startswith("ASIA")
    assert len(made.session.access_key) == 20
    assert made.session.expires_ms - made.session.issued_ms == 3600_000


def test_a_token_says_nothing_to_who_has_it(made: SessionCredentials) -> None:
    assert made.session.secret_key not in repr(made)
    assert made.token not in repr(made)
    assert "alice" not in made.token


@pytest.mark.parametrize(("asked", "given"), [(900, 900), (3600, 3600), (3601, 3600), (129_600, 3600)])
def test_a_session_of_a_root_key_lasts_an_hour_at_most(store: Store, alice: Credential, asked: int, given: int) -> None:
    session = store.create_session(alice, duration=dt.timedelta(seconds=asked)).session
    assert session.expires_ms - session.issued_ms == given * 1000


@pytest.mark.parametrize("seconds", [-1, 0, 899, 129_601])
def test_other_durations_are_refused(store: Store, alice: Credential, seconds: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        store.create_session(alice, duration=dt.timedelta(seconds=seconds))


def test_a_session_ends_by_its_time(store: Store, clock: Clock, made: SessionCredentials) -> None:
    clock.advance(seconds=3599)
    assert is_live(store, made)
    clock.advance(seconds=1)
    assert not is_live(store, made)


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_a_session_does_not_come_back_with_its_key(
    store: Store, clock: Clock, alice: Credential, made: SessionCredentials, change: str
) -> None:
    clock.advance(seconds=1)
    if change == "disable":
        store.disable_credential("alice")
    else:
        store.delete_credential("alice")
    store.put_credential("alice", "alice-secret", owner=ALICE)
    store.sessions.forget_remembered()  # as other processes do within a second
    assert not is_live(store, made)
    clock.advance(seconds=1)
    assert is_live(store, store.create_session(alice))


def test_no_changed_token_is_one(store: Store, made: SessionCredentials) -> None:
    token, access_key = made.token, made.session.access_key
    wrong = [token[:-1], token[:40], "", token + "A", token + "=", " " + token, "A" * 100_000, "ü", "\x00"]
    wrong += [token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :] for at in range(len(token))]
    for text in wrong:
        with pytest.raises(errors.InvalidToken):
            store.find_session(text, access_key)


def test_a_token_is_of_its_own_access_key_alone(store: Store, alice: Credential, made: SessionCredentials) -> None:
    other = store.create_session(alice).session
    for access_key in (other.access_key, "alice", ""):
        with pytest.raises(errors.InvalidToken):
            store.find_session(made.token, access_key)


def test_a_token_of_another_store_is_none(made: SessionCredentials) -> None:
    with bleepstore.open() as other:
        credential = other.put_credential("alice", "alice-secret", owner=ALICE)
        for _ in range(2):  # before the other has a key of its own, and after
            with pytest.raises(errors.InvalidToken):
                other.find_session(made.token, made.session.access_key)
            other.create_session(credential)


def test_a_fork_knows_the_sessions_that_there_were(store: Store, made: SessionCredentials) -> None:
    with store.fork() as fork:
        assert is_live(fork, made)
        fork.revoke_sessions(account=ALICE)
        assert not is_live(fork, made)
    assert is_live(store, made)


def test_a_session_ends_with_its_access_key(store: Store, made: SessionCredentials) -> None:
    store.disable_credential("alice")
    assert not is_live(store, made)


def test_a_session_ends_when_its_access_key_gets_another_secret(store: Store, made: SessionCredentials) -> None:
    store.put_credential("alice", "another", owner=ALICE)
    assert not is_live(store, made)


def test_a_session_ends_when_its_access_key_gets_another_owner(store: Store, made: SessionCredentials) -> None:
    store.put_credential("alice", "alice-secret", owner=Owner("bob-id"))
    assert not is_live(store, made)


@pytest.mark.parametrize(("before", "after"), [("ann", None), (None, "ann"), ("ann", "bob")])
@pytest.mark.parametrize("of_role", [False, True])
def test_a_session_ends_when_its_access_key_gets_another_user(
    store: Store, before: str | None, after: str | None, of_role: bool
) -> None:
    for name in ("ann", "bob"):
        store.users.add(name, account=ALICE)
        store.users.put_policy(name, "assumes", policy(allow("sts:AssumeRole", "*")), account=ALICE)
    key = store.put_credential("key", "the-secret", owner=ALICE, user=before)
    made = store.create_session(key)
    if of_role:
        role = store.put_role("reader", TRUSTS_ALICE, {"reads": READS}, account=ALICE)
        made = store.assume_role(key, role.arn, "job")
    assert is_live(store, made)
    store.put_credential("key", "the-secret", owner=ALICE, user=after)
    assert not is_live(store, made)


def test_the_sessions_of_an_account_are_revoked(
    store: Store, clock: Clock, alice: Credential, made: SessionCredentials
) -> None:
    bob = store.create_session(store.put_credential("bob", "bob-secret", owner=Owner("bob-id")))
    store.revoke_sessions(account=ALICE)
    assert not is_live(store, made)
    assert is_live(store, bob)
    clock.advance(seconds=1)
    assert is_live(store, store.create_session(alice))
    clock.advance(hours=-1)  # and what was ended stays so on a clock that was set back
    assert not is_live(store, made)


def test_another_process_opens_what_one_sealed(tmp_path: pytest.TempPathFactory) -> None:
    path = str(tmp_path)
    with bleepstore.open(path) as one, bleepstore.open(path) as two:
        made = one.create_session(one.put_credential("alice", "s", owner=ALICE))
        again = two.create_session(two.accounts.list_credentials()[0])
        assert is_live(two, made)
        assert is_live(one, again)
        one.revoke_sessions(account=ALICE)
        assert not is_live(two, made)


def test_the_key_of_sessions_is_encrypted_where_secrets_are() -> None:
    keys = MasterKeys({"secrets": [b"1" * 32]})
    with bleepstore.open(encryption_keys=keys) as store:
        made = store.create_session(store.put_credential("alice", "s", owner=ALICE))
        with store.engine.catalog.read() as reader:
            stored, sealed_by = reader.session_key() or ("", None)
        assert (sealed_by or "").startswith("secrets:")
        assert len(stored) > 60, "encrypted, with what proves it"
        newer = MasterKeys({"secrets": [b"1" * 32, b"2" * 32]})
        store.engine.open_keys = lambda: newer
        store.accounts.seal_secrets()
        with store.engine.catalog.read() as reader:
            again, by_newer = reader.session_key() or ("", None)
        assert again != stored
        assert by_newer != sealed_by
        assert is_live(store, made)


def test_what_a_snapshot_did_not_know_is_forgotten(store: Store, alice: Credential) -> None:
    snapshot = store.snapshot()
    made = store.create_session(alice)
    assert is_live(store, made)
    store.restore(snapshot)
    with pytest.raises(errors.InvalidToken):
        store.find_session(made.token, made.session.access_key)


# -- roles


BOB = Owner("bob-id", "Bob")


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str = "s3:*", resource: str = "arn:aws:s3:::*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


TRUSTS_ALICE = policy({"Effect": "Allow", "Principal": {"AWS": "alice-id"}, "Action": "sts:AssumeRole"})
READS = policy(allow("s3:GetObject", "arn:aws:s3:::photos/*"))


@pytest.fixture
def reader(store: Store, alice: Credential) -> Role:
    store.create_bucket("photos", caller=Caller(ALICE))
    for key in ("a/1", "b/1"):
        store.put_object("photos", key, b"kept", caller=Caller(ALICE))
    return store.put_role("reader", TRUSTS_ALICE, {"reads": READS}, account=ALICE)


def caller_of(store: Store, made: SessionCredentials) -> Caller:
    found = store.find_session(made.token, made.session.access_key)
    return Caller(found.owner, user=found.user, access_key=found.access_key, session=found.session)


def may(store: Store, caller: Caller, action: Action, key: str = "a/1") -> bool:
    try:
        store.check_access(action, "photos", key, caller=caller)
    except errors.AccessDenied:
        return False
    return True


def test_a_session_of_a_role_may_do_what_the_role_may(store: Store, alice: Credential, reader: Role) -> None:
    made = store.assume_role(alice, reader.arn, "job-1")
    caller = caller_of(store, made)
    assert store.get_object("photos", "a/1", caller=caller).read() == b"kept"
    assert not may(store, caller, Action.PUT_OBJECT)
    with pytest.raises(errors.AccessDenied):
        store.list_buckets(caller=caller)
    store.put_role("reader", TRUSTS_ALICE, {"all": policy(allow())}, account=ALICE)
    assert store.get_role("reader", account=ALICE).id == reader.id
    assert may(store, caller_of(store, made), Action.PUT_OBJECT), "the policies of the role count as they are now"


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        (policy(allow("s3:GetObject", "arn:aws:s3:::photos/a/*")), [("a/1", True), ("b/1", False)]),
        (policy(allow("s3:PutObject")), [("a/1", False), ("b/1", False)]),
        (policy(allow()), [("a/1", True), ("b/1", True)]),
        (
            policy(allow(), {**allow("s3:Get*", "arn:aws:s3:::*/b/*"), "Effect": "Deny"}),
            [("a/1", True), ("b/1", False)],
        ),
    ],
    ids=["fewer", "others", "more", "denies"],
)
def test_the_policy_of_a_session_only_narrows(
    store: Store, alice: Credential, reader: Role, limit: str, allowed: list[tuple[str, bool]]
) -> None:
    caller = caller_of(store, store.assume_role(alice, reader.arn, "job-1", policy=limit))
    assert [(key, may(store, caller, Action.GET_OBJECT, key)) for key, _ in allowed] == allowed
    assert not may(store, caller, Action.PUT_OBJECT), "which the role may not"
    store.put_bucket_policy("photos", policy({**allow("s3:PutObject", "arn:aws:s3:::photos/*"),
                                              "Principal": {"AWS": reader.arn}}))  # fmt: skip
    assert may(store, caller, Action.PUT_OBJECT) is ("s3:PutObject" in limit or '"s3:*"' in limit)
    assert not may(store, caller, Action.DELETE_OBJECT)


def test_a_bucket_names_a_role_or_one_session_of_it(store: Store, alice: Credential, reader: Role) -> None:
    one, two = (caller_of(store, store.assume_role(alice, reader.arn, name)) for name in ("s1", "s2"))
    writes = allow("s3:PutObject", "arn:aws:s3:::photos/*")
    session_arn = "arn:aws:sts::alice-id:assumed-role/reader/s1"
    for principal, expected in ((session_arn, [True, False]), (reader.arn, [True, True]), ("alice-id", [False, False])):
        store.put_bucket_policy("photos", policy({**writes, "Principal": {"AWS": principal}}))
        assert [may(store, caller, Action.PUT_OBJECT) for caller in (one, two)] == expected
        store.put_bucket_policy("photos", policy({**allow("s3:GetObject", "arn:aws:s3:::photos/*"), "Effect": "Deny",
                                                  "Principal": {"AWS": principal}}))  # fmt: skip
        denied = [True, True] if principal == "alice-id" else expected
        assert [not may(store, caller, Action.GET_OBJECT) for caller in (one, two)] == denied


CONDITIONS = {
    "aws:PrincipalArn": "arn:aws:iam::alice-id:role/reader",
    "aws:PrincipalType": "AssumedRole",
    "aws:PrincipalAccount": "alice-id",
    "aws:TokenIssueTime": "2026-01-01T00:00:00+00:00",
}


@pytest.mark.parametrize("key", [*CONDITIONS, "aws:userid", "aws:username"])
def test_policies_know_who_has_a_session(store: Store, alice: Credential, reader: Role, key: str) -> None:
    value = f"{reader.id}:s1" if key == "aws:userid" else CONDITIONS.get(key, "reader")
    condition = {"StringEquals": {key: value}}
    store.put_role("reader", TRUSTS_ALICE, {"all": policy(allow(Condition=condition))}, account=ALICE)
    caller = caller_of(store, store.assume_role(alice, reader.arn, "s1"))
    assert may(store, caller, Action.PUT_OBJECT) is (key != "aws:username"), "which roles have not"
    if key != "aws:username":
        other = caller_of(store, store.assume_role(alice, reader.arn, "s2"))
        assert may(store, other, Action.PUT_OBJECT) is (key != "aws:userid")


def test_older_sessions_are_told_by_the_time_of_their_token(
    store: Store, clock: Clock, alice: Credential, reader: Role
) -> None:
    """The policy that AWS itself attaches to a role to revoke its older sessions."""
    denies = {
        **allow(),
        "Effect": "Deny",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2026-01-01T00:00:30Z"}},
    }
    store.put_role("reader", TRUSTS_ALICE, {"reads": READS, "older": policy(denies)}, account=ALICE)
    older = caller_of(store, store.assume_role(alice, reader.arn, "s1"))
    clock.advance(minutes=1)
    newer = caller_of(store, store.assume_role(alice, reader.arn, "s1"))
    assert [may(store, caller, Action.GET_OBJECT) for caller in (older, newer)] == [False, True]


def test_an_upload_of_a_session_is_gone_on_with_by_another_of_its_role(
    store: Store, alice: Credential, reader: Role
) -> None:
    store.put_role("writer", TRUSTS_ALICE, {"w": policy(allow("s3:PutObject"))}, account=ALICE)
    arn = reader.arn.replace("reader", "writer")
    one, two = (caller_of(store, store.assume_role(alice, arn, name)) for name in ("s1", "s2"))
    upload = store.create_upload("photos", "big", caller=one)
    assert upload.initiator == Owner(arn, "writer")
    store.put_part("photos", "big", upload.upload_id, 1, b"1", caller=two)
    assert [part.number for part in store.list_parts("photos", "big", upload.upload_id, caller=two).parts] == [1]
    other = caller_of(store, store.assume_role(alice, reader.arn, "s1"))
    with pytest.raises(errors.AccessDenied):
        store.list_parts("photos", "big", upload.upload_id, caller=other)


def test_who_is_not_trusted_gets_no_session(store: Store, reader: Role) -> None:
    bob = store.put_credential("bob", "bob-secret", owner=BOB)
    with pytest.raises(errors.AccessDenied, match="not authorized to perform: sts:AssumeRole"):
        store.assume_role(bob, reader.arn, "job-1")
    with pytest.raises(errors.AccessDenied):
        store.assume_role(bob, "arn:aws:iam::alice-id:role/missing", "job-1")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"role": "reader"}, errors.InvalidArgument),
        ({"role": "arn:aws:iam::alice-id:user/reader"}, errors.InvalidArgument),
        ({"session_name": "a"}, errors.InvalidArgument),
        ({"session_name": "a" * 65}, errors.InvalidArgument),
        ({"session_name": "a/b"}, errors.InvalidArgument),
        ({"duration": dt.timedelta(seconds=899)}, errors.InvalidArgument),
        ({"duration": dt.timedelta(seconds=3601)}, errors.InvalidArgument),
        ({"policy": "{}"}, errors.MalformedPolicy),
        ({"policy": "x" * 2049}, errors.InvalidArgument),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__,
)
def test_what_no_session_of_a_role_may_be_is_refused(
    store: Store, alice: Credential, reader: Role, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.assume_role(alice, **{"role": reader.arn, "session_name": "job-1", **change})


def test_a_role_says_how_long_its_sessions_last(store: Store, clock: Clock, alice: Credential, reader: Role) -> None:
    store.put_role("reader", TRUSTS_ALICE, {}, account=ALICE, max_session_seconds=43_200)
    made = store.assume_role(alice, reader.arn, "job-1", duration=dt.timedelta(hours=12))
    clock.advance(hours=11)
    assert is_live(store, made)
    with pytest.raises(errors.InvalidArgument):
        store.assume_role(alice, reader.arn, "job-1", duration=dt.timedelta(hours=12, seconds=1))


def test_a_session_ends_with_its_role(store: Store, alice: Credential, reader: Role) -> None:
    made = store.assume_role(alice, reader.arn, "job-1")
    assert is_live(store, made)
    store.delete_role("reader", account=ALICE)
    assert not is_live(store, made)
    again = store.put_role("reader", TRUSTS_ALICE, {"all": policy(allow())}, account=ALICE)
    assert again.id != reader.id
    assert not is_live(store, made), "another role has its name"


def test_the_sessions_of_a_role_end_with_the_key_and_when_they_are_revoked(
    store: Store, alice: Credential, reader: Role
) -> None:
    one = store.assume_role(alice, reader.arn, "job-1")
    root = store.create_session(alice)
    store.revoke_sessions(role="reader", account=ALICE)
    assert [is_live(store, made) for made in (one, root)] == [False, True]
    store.disable_credential("alice")
    assert not is_live(store, root)


def test_a_session_goes_from_role_to_role_for_an_hour(
    store: Store, clock: Clock, alice: Credential, reader: Role
) -> None:
    trusts = {"Effect": "Allow", "Principal": {"AWS": reader.arn}, "Action": "sts:AssumeRole"}
    second = store.put_role("second", policy(trusts), {"all": policy(allow())}, account=BOB, max_session_seconds=43_200)
    reads = policy(allow("sts:AssumeRole", second.arn))
    store.put_role("reader", TRUSTS_ALICE, {"assumes": reads}, account=ALICE)
    made = store.assume_role(alice, reader.arn, "job-1")
    live = store.find_session(made.token, made.session.access_key)
    with pytest.raises(errors.InvalidArgument, match="role chaining"):
        store.assume_role(live, second.arn, "job-2", duration=dt.timedelta(hours=2))
    chained = store.assume_role(live, second.arn, "job-2")
    found = store.find_session(chained.token, chained.session.access_key)
    assert (found.owner, found.session.origin) == (BOB, "alice")
    clock.advance(seconds=1)
    store.revoke_sessions(role="reader", account=ALICE)
    assert not is_live(store, chained), "who was on the way to it"
    with pytest.raises(errors.ExpiredToken):
        store.assume_role(live, second.arn, "job-2")  # what is remembered of a session begins no other


@pytest.mark.parametrize(
    "account_id", ["", "a:b", "a/b", "a*", "a?", "a b", "${aws:userid}", "\ud800", ANONYMOUS.account.id]
)
def test_what_account_can_have_no_roles(store: Store, account_id: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="can have no users and roles"):
        store.put_role("reader", TRUSTS_ALICE, {"reads": READS}, account=Owner(account_id))


def test_a_session_may_begin_the_next_for_ever(store: Store, alice: Credential) -> None:
    trusts = {"Effect": "Allow", "Principal": {"AWS": ALICE.id}, "Action": "sts:AssumeRole"}
    for name in ("there", "back"):
        store.put_role(name, policy(trusts), {"all": policy(allow("*", "*"))}, account=ALICE)
    here, there = (store.get_role(name, account=ALICE) for name in ("back", "there"))
    made = store.assume_role(alice, here.arn, "job")
    for _ in range(20):
        here, there = there, here
        made = store.assume_role(store.find_session(made.token, made.session.access_key), here.arn, "job")
    assert made.session.principals == ("account:alice-id", "key:alice", f"role:{here.id}", f"role:{there.id}"), (
        "each once"
    )
    store.revoke_sessions(role="there", account=ALICE)
    assert not is_live(store, made)
