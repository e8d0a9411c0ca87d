"""`bleepstore admin`, and other commands in the folder of a running server."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from werkzeug.serving import make_server

import bleepstore
from bleepstore_server.admin.app import AdminApp
from bleepstore_server.admin.services import services_of
from bleepstore_server.cli import main
from bleepstore_server.config import load_config
from tests.admin.signing import Admin
from tests.admin.test_listener import admin_url
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, make_certificate, start

TOKEN = "a-token-of-enough-characters"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = start(
        tmp_path_factory.mktemp("command") / "data", "--workers", "2", environ={"BLEEPSTORE_ADMIN_TOKEN": TOKEN}
    )
    yield server
    server.end()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


def test_a_server_is_asked_by_key_or_token(
    served: Served, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ["--server", admin_url(served)]
    assert main(["admin", "buckets", "POST", '{"name": "photos"}', *server]) == 0
    assert json.loads(capfd.readouterr().out)["name"] == "photos"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert main(["admin", "buckets", *server]) == 2
    assert "SignatureDoesNotMatch" in capfd.readouterr().err
    (tmp_path / "token").write_text(TOKEN)
    assert main(["admin", "buckets?limit=1", *server, "--token-file", str(tmp_path / "token")]) == 0
    assert [one["name"] for one in json.loads(capfd.readouterr().out)["buckets"]] == ["photos"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["buckets/none"], 1, "NoSuchBucket: The specified bucket does not exist."),
        (["nothing"], 1, "/docs lists"),
        (["buckets", "POST", "{"], 2, "the body is no JSON"),
        (["buckets", "POST", '{"nme": 1}'], 2, "there is no 'nme'; known are name"),
        (["store", "--server", "ftp://x"], 2, "is no URL by http or https"),
        (["store", "--server", "http://127.0.0.1:1"], 2, "refused"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refusals_are_one_line(
    served: Served, capfd: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert main(["admin", "--server", admin_url(served), *words]) == status
    shown = capfd.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


def test_a_certificate_is_trusted_as_by_the_aws_cli(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own", "other"):
        make_certificate(tmp_path / f"{name}.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    with bleepstore.open() as store:
        app = AdminApp(services_of(store, attrs.evolve(load_config(environ={}), admin_token=TOKEN)))
        server = make_server("127.0.0.1", 0, app, ssl_context=context)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("BLEEPSTORE_ADMIN_TOKEN", TOKEN)
        command = ["admin", "store", "--server", f"https://127.0.0.1:{server.port}"]
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "own.pem"))
        assert main(command) == 0
        assert json.loads(capfd.readouterr().out)["account"] == store.owner.id
        for file, said in (("other.pem", "VERIFY_FAILED"), ("none.pem", "none.pem: "), ("own.key", "own.key: ")):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / file))
            assert main(command) == 2
            shown = [line for line in capfd.readouterr().err.splitlines() if line.startswith("bleepstore: ")]
            assert len(shown) == 1
            assert said in shown[0]
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address_that_is_not_the_admin_one_is_told(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "store", "--server", served.url]) != 0
    assert "is this the admin address?" in capfd.readouterr().err


def test_commands_in_the_folder_are_heeded_by_both_workers_within_a_second(served: Served) -> None:
    """Why they need no server to ask."""
    data = ["--data", str(served.data)]
    assert main(["users", "add", *data, "ada", "--canned", "admin"]) == 0
    assert main(["keys", "add", *data, "--access-key", "ADA", "--user", "ada", "--secret-key", "s3cret"]) == 0
    ada = Admin(served, "ADA", "s3cret")
    assert {ada.ask("GET", "users/ada")[0] for _ in range(6)} == {200}
    assert main(["quotas", "set", *data, "--account", "alice", "--objects", "5"]) == 0
    assert "alice" in {quota["name"] for quota in ada.do("GET", "quotas")["quotas"]}
    assert main(["keys", "disable", *data, "--access-key", "ADA"]) == 0
    deadline = time.monotonic() + 20
    while {ada.ask("GET", "store")[0] for _ in range(6)} != {403}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
