"""`bleepstore doctor`, and what `bleepstore completion` prints."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore.posix import file_system_of
from bleepstore_server.admin.checks import State
from bleepstore_server.cli import main, make_parser
from bleepstore_server.completion import commands_of
from bleepstore_server.config import load_config
from bleepstore_server.doctor import examine
from tests.serving.conftest import make_certificate

Doctor = Callable[..., dict[str, tuple[str, str, str]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Examines a folder with a store and a key: check -> (state, detail, advice), the worst of each."""
    with bleepstore.open(tmp_path / "data") as store:
        store.put_credential("A", "secret")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def run(**flags: str) -> dict[str, tuple[str, str, str]]:
        found: dict[str, tuple[str, str, str]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = load_config(environ={}, flags={"data": str(tmp_path / "data"), "port": str(port), **flags})
        for finding in examine(config):
            if finding.check not in found or finding.state is not State.OK:
                found[finding.check] = (finding.state.value, finding.detail, finding.advice)
                assert bool(finding.advice) == (finding.state is not State.OK)
        return found

    return run


def test_a_sound_store_is_all_right(doctor: Doctor) -> None:
    found = doctor()
    assert {name: state for name, (state, _, _) in found.items() if state != "ok" and name != "descriptors"} in (
        {}, {"file system": "warning"},  # tests may run in memory
    )  # fmt: skip
    assert {"versions", "permissions", "space", "secrets", "catalog", "keys", "clock", "port"} <= set(found)


def test_the_status_tells_the_worst(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bleepstore.open(tmp_path / "data"):
        pass
    monkeypatch.setenv("BLEEPSTORE_PORT", "0")
    assert main(["doctor", "--data", str(tmp_path / "data"), "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["warning", "no access key is enabled"] in [[one["state"], one["detail"]] for one in found]
    (tmp_path / "data" / "catalog.db").write_bytes(b"not a database" * 1000)
    assert main(["doctor", "--data", str(tmp_path / "data")]) == 2
    shown = capsys.readouterr().out
    assert "failure  catalog" in shown
    assert "-> `bleepstore fsck`" in shown
    (tmp_path / "file").touch()
    assert main(["doctor", "--data", str(tmp_path / "file")]) == 2
    assert "is no directory" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [{"access_key": "ADMIN", "secret_key": "the-secret"}, {"allow_well_known_key": "true"}], ids=", ".join
)
def test_a_key_of_the_configuration_is_one(tmp_path: Path, flags: dict[str, str]) -> None:
    with bleepstore.open(tmp_path / "data"):
        pass
    config = load_config(environ={}, flags={"data": str(tmp_path / "data"), "port": "0", **flags})
    [found] = [finding for finding in examine(config) if finding.check == "keys"]
    assert (found.state, found.advice) == (State.OK, "")


def test_secrets_that_others_may_read_are_told(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "data" / "catalog.db").chmod(0o644)
    state, _, advice = doctor()["secrets"]
    assert state == "warning"
    assert advice == f"chmod 600 {tmp_path / 'data' / 'catalog.db'}"


def test_certificates_are_looked_at(doctor: Doctor, tmp_path: Path) -> None:
    make_certificate(tmp_path / "tls.pem")  # for two days
    pair = {"tls_cert": str(tmp_path / "tls.pem"), "tls_key": str(tmp_path / "tls.key")}
    (tmp_path / "tls.key").chmod(0o600)
    state, detail, _ = doctor(**pair)["tls"]
    assert (state, detail.split(" on ")[0]) == ("warning", f"the certificate in {tmp_path / 'tls.pem'} expires")
    (tmp_path / "tls.key").write_text("no key")
    assert doctor(**pair)["tls"][0] == "failure"
    assert doctor(host="0.0.0.0")["tls"][:2] == ("warning", "requests to 0.0.0.0 are not encrypted")


def test_a_port_that_is_taken_is_told(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        state, detail, _ = doctor(port=str(server.getsockname()[1]))["port"]
    assert (state, "in use" in detail) == ("warning", True)


def test_an_admin_port_that_is_taken_is_told(doctor: Doctor) -> None:
    assert "admin port" not in doctor(), "a server takes any that is free"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert doctor(admin_port=port)["admin port"][0] == "warning"
        assert "admin port" not in doctor(admin_port=port, admin="false")
    assert doctor(admin_port=port)["admin port"] == ("ok", f"127.0.0.1 port {port} is free", "")


def test_secrets_in_files_are_looked_at_before_there_is_a_store(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the-secret-of-the-server")
    for mode, state in ((0o600, "ok"), (0o640, "warning")):
        (tmp_path / "secret").chmod(mode)
        assert doctor(access_key="ADMIN", secret_key_file=str(tmp_path / "secret"))["secrets"][0] == state
    shutil.rmtree(tmp_path / "data")
    assert doctor(admin_token_file=str(tmp_path / "secret"))["secrets"][0] == "warning"


def test_an_audit_log_that_cannot_be_written_or_moved_on_is_told(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs tests as root may write everywhere."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "audit"
    denied: list[Path] = []
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path not in denied and may(path, mode))
    assert "audit log" not in doctor(audit_log="syslog:")
    assert doctor(audit_log=str(path))["audit log"][0] == "ok"
    assert not path.exists(), "nothing is changed"
    denied = [path.parent]
    assert doctor(audit_log=str(path))["audit log"][0] == "failure"
    path.touch()
    assert doctor(audit_log=str(path))["audit log"][0] == "warning"
    assert doctor(audit_log=str(path), audit_max_bytes="0")["audit log"][0] == "ok"
    denied = [path]
    assert doctor(audit_log=str(path))["audit log"][0] == "failure"


def test_a_full_disk_is_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs("/")
    for blocks, state in ((0, "failure"), (500 * 1024 * 1024 // found.f_frsize, "warning")):
        few: Any = list(found)
        few[4] = blocks  # f_bavail
        monkeypatch.setattr(os, "statvfs", lambda _path, few=few: os.statvfs_result(few))
        assert doctor()["space"][0] == state


def test_a_catalog_that_cannot_be_read_is_told(doctor: Doctor, tmp_path: Path) -> None:
    """SQLite opens a folder, and cannot read it: an error of the disk, as others are."""
    (tmp_path / "data" / "catalog.db").unlink()
    (tmp_path / "data" / "catalog.db").mkdir()
    state, detail, _ = doctor()["catalog"]
    assert state == "failure"
    assert "catalog.db cannot be read: disk I/O error" in detail


def test_a_clock_that_was_set_back_is_told(tmp_path: Path) -> None:
    later = int((dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).timestamp() * 1000)
    with bleepstore.open(tmp_path / "data", clock=lambda: later) as store:
        store.put_credential("A", "secret")
    config = load_config(environ={}, flags={"data": str(tmp_path / "data"), "port": "0"})
    (found,) = [finding for finding in examine(config) if finding.check == "clock"]
    assert found.state is State.FAILURE
    assert "behind what the store has seen" in found.detail


def test_the_kind_of_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "30 22 0:50 / /srv rw shared:2 - nfs4 host:/srv rw,vers=4.2\n"
        "31 30 8:2 / /srv/with\\040space rw - xfs /dev/sdb rw\n"
        "32 22 0:51 / /srvs rw - tmpfs none rw\n"
    )
    for folder, kind in (("/srv/data", "nfs4"), ("/srv/with space/x", "xfs"), ("/srvs/a", "tmpfs"), ("/srvx", "ext4")):
        assert file_system_of(Path(folder), mounts) == kind
    assert file_system_of(Path("/"), tmp_path / "none") == ""


# -- completion


def complete(script: str, *words: str) -> list[str]:
    """What bash offers after these words, the last of which is being typed."""
    typed = " ".join(f"'{word}'" for word in ("bleepstore", *words))
    asked = (
        f"{script}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; _bleepstore; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-uc", asked], capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_flags_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert {"serve", "keys", "cp", "doctor"} <= set(complete(script, ""))
    assert complete(script, "ke") == ["keys"]
    assert {"add", "rotate"} <= set(complete(script, "keys", ""))
    assert complete(script, "keys", "rot") == ["rotate"]
    assert "--secret-file" in complete(script, "keys", "add", "--s")
    assert complete(script, "users", "add", "--canned", "read") == ["readonly", "readwrite"]
    assert complete(script, "serve", "--tls-c") == ["--tls-cert"]
    assert complete(script, "cp", "some") == [], "files are the shell's"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_the_script_of_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in commands_of(make_parser()):
        for flag in command.flags:
            assert (flag[2:] if shell == "fish" else flag) in script
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True, capture_output=True)
