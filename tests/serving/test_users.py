"""`bleepstore users` and `keys --user`: what they change counts in a server that runs."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import botocore.exceptions
import pytest

import bleepstore
from bleepstore.errors import StoreError
from bleepstore_server.banner import render_banner
from bleepstore_server.cli import main
from bleepstore_server.config import load_config
from bleepstore_server.serving import keys_for
from tests.serving.conftest import Served

Serve = Callable[..., Served]


@pytest.fixture
def users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`bleepstore`, on a store in a folder, within this process: what it prints, or why it fails."""

    def run(*words: str, status: int = 0) -> str:
        assert main([*words[:2], "--data", str(tmp_path / "data"), *words[2:]]) == status
        shown = capsys.readouterr()
        return shown.err if status == 2 else shown.out

    return run


@pytest.mark.slow
def test_users_count_while_the_server_runs(serve: Serve) -> None:
    server = serve("--workers", "2")
    data = ["--data", str(server.data)]
    root = server.client()
    root.create_bucket(Bucket="photos")
    root.put_object(Bucket="photos", Key="k", Body=b"v")
    assert main(["users", "add", *data, "ann", "--canned", "readonly", "--on", "photos"]) == 0
    assert main(["keys", "add", *data, "--access-key", "ANN", "--user", "ann", "--secret-key", "s3cret"]) == 0
    ann = server.client("ANN", "s3cret")
    assert ann.get_object(Bucket="photos", Key="k")["Body"].read() == b"v"

    def code() -> str:
        try:
            ann.get_object(Bucket="photos", Key="k")["Body"].close()
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        return ""

    def becomes(wanted: str) -> bool:
        """Each worker remembers a key for a second."""
        deadline = time.monotonic() + 10
        while code() != wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        return code() == wanted

    assert main(["users", "policy", *data, "ann", "--name", "readonly", "--remove"]) == 0
    assert becomes("AccessDenied")
    assert main(["users", "remove", *data, "ann"]) == 0
    assert becomes("InvalidAccessKeyId")


def test_users_are_added_shown_and_removed(users: Callable[..., str], tmp_path: Path) -> None:
    assert users("users", "add", "ann", "--path", "/lab/", "--owner-id", "alice") == "arn:aws:iam::alice:user/lab/ann\n"
    users("users", "add", "ben", "--canned", "admin")
    listed = users("users", "list").splitlines()
    assert listed == [
        "alice\tann\tarn:aws:iam::alice:user/lab/ann\tno policy",
        "bleepstore\tben\tarn:aws:iam::bleepstore:user/ben\tadmin",
    ]
    file = tmp_path / "policy.json"
    document = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
    file.write_text(document)
    assert users("users", "policy", "ann", "--owner-id", "alice", "--name", "all", "--file", str(file)) != ""
    assert users("users", "policy", "ann", "--owner-id", "alice", "--name", "all") == f"{document}\n"
    users("keys", "add", "--access-key", "ANN", "--owner-id", "alice", "--user", "ann")
    shown = users("users", "show", "ann", "--owner-id", "alice")
    assert shown.startswith("arn:aws:iam::alice:user/lab/ann\tAIDA")
    assert f"\nkey ANN\tenabled\npolicy all\n{document}\n" in shown
    assert "ANN\tenabled\talice\t\tann\n" in users("keys", "list")
    users("users", "remove", "ann", "--owner-id", "alice")
    assert users("keys", "list") == ""


def test_a_key_of_a_user_does_not_become_its_accounts(users: Callable[..., str], tmp_path: Path) -> None:
    """A new secret, an enabled key, a key that is added again: all of it keeps whose it is."""
    users("users", "add", "ann")
    users("keys", "add", "--access-key", "ANN", "--user", "ann")

    def user_of_key() -> str | None:
        with bleepstore.open(tmp_path / "data", read_only=True) as store:
            (found,) = store.list_credentials()
        return None if found.user is None else found.user.name

    for words in (
        ["rotate", "--access-key", "ANN"],
        ["disable", "--access-key", "ANN"],
        ["enable", "--access-key", "ANN"],
        ["add", "--access-key", "ANN"],
        ["add", "--access-key", "ANN", "--owner-id", "bleepstore"],
    ):
        users("keys", *words)
        assert user_of_key() == "ann", words
    assert "--owner-id" in users("keys", "add", "--access-key", "ANN", "--owner-id", "other", status=2)
    users("keys", "remove", "--access-key", "ANN")
    assert users("keys", "list") == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["users", "add", "a b"], "The name of a user has"),
        (["users", "add", "ann", "--canned", "readonly", "--on", "*"], "bucket"),
        (["users", "add", "ann", "--on", "photos"], "add --canned"),
        (["users", "show", "joe"], "there is no user joe"),
        (["users", "policy", "known"], "say which policy"),
        (["users", "policy", "known", "--name", "p"], "no policy of this name"),
        (["users", "policy", "known", "--name", "p", "--file", "/nowhere"], "/nowhere"),
        (["users", "policy", "known", "--name", "p", "--remove"], "no policy of this name"),
        (["users", "policy", "known", "--canned", "admin", "--remove"], "one of them"),
        (["users", "add", "KNOWN"], "a user of this name"),
        (["keys", "add", "--access-key", "A", "--user", "joe"], "no user of this name"),
        (["keys", "remove", "--access-key", "A"], "no access key of this name"),
        (["access", "explain", "s3:GetObject", "photos"], "say who asks"),
        (["access", "explain", "--user", "joe", "s3:GetObject", "photos"], "has no user joe"),
        (["access", "explain", "--owner-id", "a", "--anonymous", "s3:GetObject", "photos"], "alone who asks"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_wrong_is_told(users: Callable[..., str], words: list[str], said: str) -> None:
    users("users", "add", "known")
    assert said in users(*words, status=2)
    assert [line.split("\t")[1] for line in users("users", "list").splitlines()] == ["known"]
    assert users("keys", "list") == ""


def test_it_is_explained_what_a_user_may(users: Callable[..., str], tmp_path: Path) -> None:
    users("users", "add", "ann", "--canned", "writeonly", "--on", "photos/in/")
    with bleepstore.open(tmp_path / "data") as store:
        store.create_bucket("photos")
    said = users("access", "explain", "--user", "ann", "s3:PutObject", "photos", "in/k")
    assert "is allowed to arn:aws:iam::bleepstore:user/ann." in said
    assert "It is statement 1 of writeonly that decides." in said
    said = users("access", "explain", "--user", "ann", "s3:GetObject", "photos", "in/k", status=1)
    assert "No policy of the user allows it" in said
    assert "writeonly: statement 1 (Allow) does not apply: it is not about s3:GetObject" in said


# -- secrets where they are stored


def test_secrets_are_encrypted_by_the_keys_of_the_servers_environment(
    users: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users("keys", "add", "--access-key", "ANN")
    assert "1 secrets are stored as they are" in users("keys", "seal", status=2)
    key = base64.b64encode(bytes(32)).decode()
    monkeypatch.setenv("BLEEPSTORE_ENCRYPTION_KEYS", f"secrets {key}")
    assert users("keys", "seal") == "1 secrets are encrypted\n"
    secret = users("keys", "show-secret", "--access-key", "ANN").strip()
    assert secret.encode() not in (tmp_path / "data" / "catalog.db").read_bytes()
    config = load_config(environ=os.environ, flags={"data": str(tmp_path / "data")})
    _, shown = keys_for(config)
    assert shown.storage_note == "stored encrypted"
    users("keys", "rotate", "--access-key", "ANN")
    monkeypatch.delenv("BLEEPSTORE_ENCRYPTION_KEYS")
    said = "the secret of the access key 'ANN' is encrypted by the key 'secrets:"
    assert said in users("keys", "show-secret", "--access-key", "ANN", status=2)
    with pytest.raises(StoreError, match=said):  # as a server that is started
        keys_for(load_config(environ=os.environ, flags={"data": str(tmp_path / "data")}))


def test_the_start_says_how_secrets_are_stored(tmp_path: Path) -> None:
    config = load_config(environ={}, flags={"data": str(tmp_path / "data")})
    _, shown = keys_for(config)
    assert shown.storage_note.startswith("1 stored as they are, in a file that its owner alone may read")
    assert f"  secrets     {shown.storage_note}\n" in render_banner(config, "http://127.0.0.1:9000", shown)
    assert (tmp_path / "data" / "catalog.db").stat().st_mode & 0o077 == 0
