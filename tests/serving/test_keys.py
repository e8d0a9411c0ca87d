"""`bleepstore keys`: secrets come in without being seen, and what cannot be is refused clearly."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Owner
from bleepstore_server.cli import main
from tests.serving.conftest import Served, clean_environment
from tests.serving.forking import run_command

Serve = Callable[..., Served]


def run(*arguments: str | bytes, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    words = [word for word in arguments if isinstance(word, str)]
    if not stdin and len(words) == len(arguments):
        done = run_command(words, clean_environment(**environ))
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.encode(), done.stderr.encode())
    return subprocess.run(
        [sys.executable, "-m", "bleepstore_server", *arguments],
        env=clean_environment(**environ),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def add(data: Path, *arguments: str | bytes, **options: str | bytes) -> subprocess.CompletedProcess[bytes]:
    return run("keys", "add", "--data", str(data), "--access-key", "carol", *arguments, **options)  # type: ignore[arg-type]


def secret_of(data: Path, access_key: str = "carol") -> str:
    shown = run("keys", "show-secret", "--data", str(data), "--access-key", access_key)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.decode().removesuffix("\n")


def test_keys_are_added_and_disabled_while_the_server_runs(serve: Serve) -> None:
    server = serve("--workers", "2")
    added = add(server.data, "--secret-file", "-", "--owner-id", "c1", "--display-name", "C", stdin=b"s3cret\n")
    assert (added.returncode, added.stdout, added.stderr) == (0, b"carol belongs to C\n", b"")
    answer = server.client("carol", "s3cret").list_buckets()
    assert answer["Owner"] == {"ID": "c1", "DisplayName": "C"}
    data = ("--data", str(server.data))
    assert run("keys", "disable", *data, "--access-key", "carol").returncode == 0
    assert b"carol\tdisabled\tc1\tC" in run("keys", "list", *data).stdout
    assert run("keys", "disable", *data, "--access-key", "nobody").returncode == 2


def test_a_secret_comes_by_file_standard_input_or_environment(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "secret"
    file.write_bytes("ünter\r\n".encode())
    cases: list[tuple[list[str], dict[str, str | bytes], str]] = [
        (["--secret-file", str(file)], {}, "ünter"),
        (["--secret-file", "-"], {"stdin": b" with spaces "}, " with spaces "),
        (["--secret-env", "CAROLS"], {"CAROLS": "by variable"}, "by variable"),
    ]
    for arguments, options, secret in cases:
        added = add(data, *arguments, **options)
        assert (added.returncode, added.stderr) == (0, b"")
        assert secret.encode() not in added.stdout
        assert secret_of(data) == secret


def test_a_secret_on_the_command_line_is_taken_with_a_warning(tmp_path: Path) -> None:
    added = add(tmp_path, "--secret-key", "seen by all")
    assert added.returncode == 0
    assert b"--secret-key is seen by every user of this machine" in added.stderr
    assert b"seen by all" not in added.stdout + added.stderr
    assert secret_of(tmp_path) == "seen by all"


@pytest.mark.parametrize(
    ("again", "status", "said"), [(b"typed\n", 0, b"belongs to"), (b"tipped\n", 2, b"the two differ")]
)
def test_a_secret_is_asked_for_on_the_terminal_and_not_shown(
    tmp_path: Path, again: bytes, status: int, said: bytes
) -> None:
    command = [
        sys.executable,
        "-m",
        "bleepstore_server",
        "keys",
        "add",
        "--access-key",
        "carol",
        "--data",
    ]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], [*command, str(tmp_path), "--ask-secret"], clean_environment())
    shown = b""
    for question, answer in [(b"Secret key: ", b"typed\n"), (b"Again: ", again), (None, b"")]:
        while question is None or not shown.endswith(question):
            try:
                data = os.read(terminal, 1024)
            except OSError:  # Linux says so when the other end is closed
                data = b""
            if not data:
                break
            shown += data
        os.write(terminal, answer) if answer else None
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status, shown
    assert said in shown
    assert b"typed" not in shown


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["--display-name", "C"], {}, b"--display-name: it names the owner that --owner-id gives: add --owner-id"),
        (["--display-name", b"C\xff", "--owner-id", "c"], {}, b"argument 8 (after --display-name) is not UTF-8"),
        (["--owner-id", b"\xe9"], {}, b"argument 8 (after --owner-id) is not UTF-8"),
        (["--email", b"\xe9@example.com"], {}, b"argument 8 (after --email) is not UTF-8"),
        (["--secret-key", b"\xe9"], {}, b"argument 8 (after --secret-key) is not UTF-8"),
        (["--secret-file", "-"], {"stdin": b"\xe9\n"}, b"--secret-file: the secret is not UTF-8"),
        (["--secret-file", "-"], {"stdin": b""}, b"--secret-file: the secret is empty"),
        (["--secret-file", "-"], {"stdin": b"two\nlines\n"}, b"must be one line"),
        (["--secret-file", "-"], {"stdin": b"x" * 100_000}, b"- is too long for a secret"),
        (["--secret-file", "missing"], {}, b"--secret-file: missing cannot be read: No such file"),
        (["--secret-env", "MISSING"], {}, b"there is no environment variable MISSING"),
        (["--secret-env", "BAD"], {"BAD": os.fsdecode(b"\xe9")}, b"BAD: the secret is not UTF-8"),
        (["--ask-secret"], {}, b"--ask-secret: there is no terminal to ask on"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    arguments: list[str | bytes],
    options: dict[str, str | bytes],
    said: bytes,
) -> None:
    given = io.BytesIO(options.get("stdin", b""))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    for name, value in options.items():
        monkeypatch.setenv(name, str(value))
    command = ["keys", "add", "--data", str(tmp_path / "data"), "--access-key", "carol"]
    assert main([*command, *map(os.fsdecode, arguments)]) == 2
    assert said in capsysbinary.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["serve", "import", "sync", "backup"])
def test_no_command_takes_bytes_that_are_no_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, os.fsdecode(b"--data=\xff")]) == 2
    assert capsys.readouterr().err == f"bleepstore: argument 2 (after {command}) is not UTF-8\n"


def test_settings_that_are_no_text_are_named() -> None:
    refused = run("serve", BLEEPSTORE_REGION=os.fsdecode(b"\xff"))
    assert (refused.returncode, refused.stderr) == (2, b"bleepstore: BLEEPSTORE_REGION is not UTF-8\n")


def test_a_new_secret_leaves_a_key_with_its_owner(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        store.put_credential("carol", "old", owner=Owner("c1", "C"), email="c@example.com")
    assert add(tmp_path, "--secret-file", "-", stdin=b"new").returncode == 0
    with bleepstore.open(tmp_path) as store:
        (carol,) = store.list_credentials()
        assert (carol.secret_key, carol.owner, carol.email) == ("new", Owner("c1", "C"), "c@example.com")


def test_a_key_is_rotated_disabled_and_enabled_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"

    def keys(action: str, *words: str) -> int:
        return main(["keys", action, "--data", str(data), "--access-key", "carol", *words])

    assert keys("add", "--owner-id", "c1", "--display-name", "C", "--email", "c@example.com") == 0
    first = secret_of(data)
    assert keys("rotate") == 0
    second = secret_of(data)
    assert f"secret key {second}" in capsys.readouterr().out
    assert second != first
    with bleepstore.open(data) as store:
        known = store.get_credential("carol")
        assert known is not None
        assert (known.owner, known.email) == (Owner("c1", "C"), "c@example.com")
    assert keys("disable") == 0
    assert keys("rotate") == 2  # it would be accepted again
    assert "is disabled" in capsys.readouterr().err
    assert keys("enable") == 0
    with bleepstore.open(data) as store:
        known = store.get_credential("carol")
        assert known is not None
        assert known.secret_key == second
    for action in ("rotate", "enable"):
        assert main(["keys", action, "--data", str(data), "--access-key", "none"]) == 2
        assert "there is no key none" in capsys.readouterr().err
