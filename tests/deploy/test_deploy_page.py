"""The commands of the page on deploying name files, units and options that exist; what needs no daemon runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.containers import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
IMAGE = {step.word: step.text for step in parse(ROOT / "docs" / "deploy" / "Containerfile")}


def test_files_are_there() -> None:
    named = {name for command in COMMANDS for name in re.findall(r"(?:docs/deploy|\.ci)/\S+", command)}
    made = {"docs/deploy/secret"}
    assert {name for name in named if not (ROOT / name).exists()} == made
    listed = {path.name for path in (ROOT / "docs" / "deploy").iterdir() if path.name != "secret"}
    assert {name for name in listed if f"(../deploy/{name})" not in PAGE} == set(), "files that the page does not name"


def test_the_container_is_run_as_the_image_is_made() -> None:
    (run,) = [command for command in COMMANDS if command.startswith("podman run")]
    assert f":{IMAGE['VOLUME']}" in run
    assert f":{IMAGE['EXPOSE']} " in run
    assert run.endswith(" bleepstore")
    (build,) = [command for command in COMMANDS if command.startswith("podman build")]
    assert build == "podman build -f docs/deploy/Containerfile -t bleepstore ."
    (own,) = [command for command in COMMANDS if command.startswith("chown")]
    assert own.startswith(f"chown {IMAGE['USER'].partition(':')[0]} ")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_secrets_are_made_as_one_line(tmp_path: Path) -> None:
    makers = [command for command in COMMANDS if "openssl rand" in command and "kubectl" not in command]
    assert len(makers) == 2
    for command in makers:
        written = re.sub(r"\S*/\S*secret", "secret", command)
        subprocess.run(["sh", "-ec", written], cwd=tmp_path, check=True)
        assert re.fullmatch(r"[0-9a-f]{40}\n", (tmp_path / "secret").read_text())
        (tmp_path / "secret").unlink()


def test_the_systemd_credential_is_the_file_that_the_page_makes() -> None:
    unit = (ROOT / "docs" / "deploy" / "bleepstore.service").read_text(encoding="utf-8")
    for path in re.findall(r"(/etc/bleepstore\.\w+)", unit):
        assert path == "/etc/bleepstore.service" or any(path in command for command in COMMANDS), path
    programs = re.findall(r"^ExecStart=(\S+)/bin/bleepstore ", unit, re.MULTILINE)
    assert any(f"-m venv {programs[0]} " in command for command in COMMANDS)


def test_the_secret_of_kubernetes_is_the_one_that_is_mounted() -> None:
    (create,) = [command for command in COMMANDS if command.startswith("kubectl create secret")]
    made = re.match(r"kubectl create secret generic (\S+) --from-literal=([^=]+)=", create)
    assert made is not None
    manifest = (ROOT / "docs" / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")
    assert f"secretName: {made[1]}\n" in manifest
    assert f"/{made[2]}\n" in manifest
