"""Access keys and their owners, by the Python API."""

from __future__ import annotations

from typing import Any

import pytest

from bleepstore import ANONYMOUS, Caller, Credential, Owner, Store, errors

pytestmark = pytest.mark.stores("cluster")

ALICE, BOB = Owner("alice", "Alice"), Owner("bob", "Bob")


def test_a_credential_is_found_until_it_is_disabled(store: Store) -> None:
    made = store.put_credential("AKIA", "secret", owner=ALICE, email="Alice@Example.com")
    assert made == Credential("AKIA", "secret", ALICE, "Alice@Example.com", True, made.created_ms)
    assert store.get_credential("AKIA") == made
    assert store.get_credential("akia") is None
    assert store.list_credentials() == [made]
    assert store.owner_by_email("alice@example.com") == ALICE
    store.disable_credential("AKIA")
    assert store.get_credential("AKIA") is None
    assert [found.enabled for found in store.list_credentials()] == [False]
    with pytest.raises(errors.NoSuchCredential):
        store.disable_credential("AKIB")


def test_a_credential_can_be_given_a_new_secret_and_owner(store: Store) -> None:
    store.put_credential("AKIA", "old", owner=ALICE)
    assert store.get_credential("AKIA") is not None
    store.put_credential("AKIA", "new", owner=BOB)
    found = store.get_credential("AKIA")
    assert found is not None
    assert (found.secret_key, found.owner) == ("new", BOB)
    assert len(store.list_credentials()) == 1


def test_without_an_owner_a_credential_is_the_applications(store: Store) -> None:
    assert store.put_credential("AKIA", "secret").owner == store.owner


@pytest.mark.parametrize(
    "access_key", ["", "a b", "a/b", "a,b", "a=b", "a:b", "ü", "a\n", "a\x00", "a" * 129], ids=ascii
)
def test_what_is_no_access_key(store: Store, access_key: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        store.put_credential(access_key, "secret")
    assert store.list_credentials() == []


def test_an_access_key_has_128_characters_at_most(store: Store) -> None:
    for access_key in ("!", "~" * 128):
        store.put_credential(access_key, "secret")
    assert len(store.list_credentials()) == 2


def test_what_else_a_credential_cannot_have(store: Store) -> None:
    with pytest.raises(errors.InvalidArgument):
        store.put_credential("AKIA", "")
    for owner in (ANONYMOUS.account, Owner("")):
        with pytest.raises(errors.InvalidArgument):
            store.put_credential("AKIA", "secret", owner=owner)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"secret_key": "\udcff"}, "secret_key"),
        ({"owner": Owner("\udcff", "A")}, "owner"),
        ({"owner": Owner("a", "\udcff")}, "owner"),
        ({"email": "\udcff@example.com"}, "email"),
    ],
)
def test_what_is_no_text_is_named(store: Store, options: dict[str, Any], named: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot be written as UTF-8") as refused:
        store.put_credential("AKIA", **{"secret_key": "secret", **options})
    assert refused.value.argument_name == named
    assert store.list_credentials() == []


def test_secrets_stay_out_of_messages(store: Store) -> None:
    assert "hush" not in repr(store.put_credential("AKIA", "hush"))


def test_owners_are_those_that_the_store_has_met(store: Store) -> None:
    assert store.find_owner("alice") is None
    assert store.display_name("alice") == ""
    store.create_bucket("photos", caller=Caller(ALICE))
    assert store.find_owner("alice") == ALICE
    assert store.display_name("alice") == "Alice"
    assert store.find_owner(ANONYMOUS.account.id) == ANONYMOUS.account
    assert store.owner_by_email("nobody@example.com") is None


def test_many_credentials_are_remembered_in_bounded_memory(store: Store) -> None:
    from bleepstore.store.accounts import MAX_REMEMBERED_CREDENTIALS

    for number in range(3):
        store.put_credential(f"AKIA{number}", "secret", owner=ALICE)
    for _ in range(2):
        for number in range(MAX_REMEMBERED_CREDENTIALS + 10):
            store.get_credential(f"AKIA{number % 3}")
            store.get_credential(f"nobody{number}")
    assert len(store.accounts._remembered) <= MAX_REMEMBERED_CREDENTIALS
