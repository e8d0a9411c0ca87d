"""`bleepstore roles` and `sessions`: what they change counts for every session that is under way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.errors import ExpiredToken
from bleepstore_server.cli import main


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Of a process that serves it."""
    with bleepstore.open(tmp_path / "data") as store:
        yield store


@pytest.fixture
def run(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`bleepstore`, within this process: what it prints, or why it fails."""

    def bleep(*words: str, status: int = 0) -> str:
        assert main([*words[:2], "--data", str(tmp_path / "data"), *words[2:]]) == status
        store.accounts.forget_remembered()
        store.sessions.forget_remembered()
        shown = capsys.readouterr()
        return shown.err if status == 2 else shown.out

    return bleep


def test_roles_are_added_shown_and_removed(store: Store, run: Callable[..., str], tmp_path: Path) -> None:
    arn = f"arn:aws:iam::{store.owner.id}:role/reporter"
    (tmp_path / "more.json").write_text('{"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}')
    added = run("roles", "add", "reporter", "--trusts", "alice", "--canned", "readonly", "--on", "reports",
                "--policy", f"more={tmp_path / 'more.json'}", "--max-session", "7200")  # fmt: skip
    assert added.strip() == arn
    assert run("roles", "list").split("\t")[1:] == ["reporter", arn, "more, readonly\n"]
    shown = run("roles", "show", "reporter")
    assert "sessions of up to 2:00:00" in shown
    assert '"AWS": ["alice"]' in shown
    assert "policy more\n" in shown
    role = store.get_role("reporter")
    assert json.loads(role.trust_policy)["Statement"][0]["Action"] == "sts:AssumeRole"
    assert "is removed" in run("roles", "remove", "reporter")
    assert run("roles", "list") == ""
    assert run("roles", "remove", "reporter", status=2) == "bleepstore: there is no role reporter\n"


def test_a_provider_is_trusted(store: Store, run: Callable[..., str]) -> None:
    provider = f"arn:aws:iam::{store.owner.id}:oidc-provider/id.example.org"
    run("roles", "add", "pods", "--trusts", provider, "--trusts", "alice")
    one, two = json.loads(store.get_role("pods").trust_policy)["Statement"]
    assert (one["Principal"], two["Principal"]) == ({"AWS": ["alice"]}, {"Federated": [provider]})
    assert two["Action"] == "sts:AssumeRoleWithWebIdentity"


@pytest.mark.parametrize("words", [[], ["--role", "reporter"], ["--user", "ann"]], ids=["account", "role", "user"])
def test_sessions_are_revoked(store: Store, run: Callable[..., str], words: list[str]) -> None:
    run("roles", "add", "reporter", "--trusts", store.owner.id)
    user = store.accounts.users.add("ann")
    key = store.put_credential("ROOT", "a-secret")
    anns = store.put_credential("ANN", "a-secret", user=user.name)
    made = {
        "root": store.create_session(key),
        "role": store.assume_role(key, store.get_role("reporter").arn, "job-1"),
        "user": store.create_session(anns),
    }
    run("sessions", "revoke", *words)
    over = set()
    for name, one in made.items():
        try:
            store.find_session(one.token, one.session.access_key)
        except ExpiredToken:
            over.add(name)
    assert over == ({"root", "role", "user"} if not words else {words[0].removeprefix("--")})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["roles", "add", "a b", "--trusts", "alice"], "The name of a role"),
        (["roles", "add", "a", "--trusts", "*x"], "Invalid principal"),
        (["roles", "add", "a", "--trust", "/nowhere"], "/nowhere"),
        (["roles", "add", "a", "--trusts", "alice", "--policy", "x"], "POLICY=FILE"),
        (["roles", "add", "a", "--trusts", "alice", "--on", "photos"], "--canned"),
        (["roles", "add", "a", "--trusts", "alice", "--max-session", "60"], "3600 to 43200"),
        (["roles", "show", "a"], "there is no role a"),
        (["sessions", "revoke", "--role", "a"], "no role of this name"),
        (["sessions", "revoke", "--user", "a"], "no user of this name"),
    ],
    ids=["name", "principal", "file", "policy", "on", "length", "show", "role", "user"],
)
def test_what_is_wrong_is_told(run: Callable[..., str], words: list[str], said: str) -> None:
    assert said in run(*words, status=2)
