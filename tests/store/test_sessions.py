"""Sessions: what a token is worth, and when it ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

import bleepstore
from bleepstore import Credential, Owner, SessionCredentials, Store, errors
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
        fork.revoke_sessions("account:alice-id")
        assert not is_live(fork, made)
    assert is_live(store, made)


def test_a_session_ends_with_its_access_key(store: Store, made: SessionCredentials) -> None:
    store.disable_credential("alice")
    assert not is_live(store, made)
    store.put_credential("alice", "alice-secret", owner=ALICE)
    assert is_live(store, made)


def test_a_session_ends_when_its_access_key_gets_another_secret(store: Store, made: SessionCredentials) -> None:
    store.put_credential("alice", "another", owner=ALICE)
    assert not is_live(store, made)


def test_a_session_ends_when_its_access_key_gets_another_owner(store: Store, made: SessionCredentials) -> None:
    store.put_credential("alice", "alice-secret", owner=Owner("bob-id"))
    assert not is_live(store, made)


def test_the_sessions_of_an_account_are_revoked(
    store: Store, clock: Clock, alice: Credential, made: SessionCredentials
) -> None:
    bob = store.create_session(store.put_credential("bob", "bob-secret", owner=Owner("bob-id")))
    store.revoke_sessions("account:alice-id")
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
        one.revoke_sessions("account:alice-id")
        assert not is_live(two, made)


def test_what_a_snapshot_did_not_know_is_forgotten(store: Store, alice: Credential) -> None:
    snapshot = store.snapshot()
    made = store.create_session(alice)
    assert is_live(store, made)
    store.restore(snapshot)
    with pytest.raises(errors.InvalidToken):
        store.find_session(made.token, made.session.access_key)
