"""The files for systemd, Compose and Kubernetes obey their tools, and name settings and paths that exist."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bleepstore_server.config import ServerConfig, load_config
from tests.clients.conftest import need
from tests.deploy.containers import parse

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
UNIT = (DEPLOY / "bleepstore.service").read_text(encoding="utf-8")
IMAGE = {step.word: step for step in parse(DEPLOY / "Containerfile")}
#: Of systemd's scale from 0 to 10; below 2 is "OK", its best word for what has a network.
MAX_EXPOSURE = 1.5


def configured(environ: dict[str, str], secret_path: str, folder: Path, **flags: str) -> ServerConfig:
    """The configuration of a unit, with a secret where it looks for one."""
    (folder / "secret").write_text("s3cret\n")
    found = {name: text.replace(secret_path, str(folder / "secret")) for name, text in environ.items()}
    config = load_config(environ=found, flags=flags)
    assert (config.access_key, config.secret_key) == ("ADMIN", "s3cret")
    return config


# -- systemd


def test_the_systemd_unit_uses_settings_that_exist(tmp_path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names in the case that they have
    unit.read_string(UNIT)
    service = unit["Service"]
    flags = dict(re.findall(r"--([a-z-]+) (\S+)", service["ExecStart"]))
    assert flags.keys() == {"config", "data"}
    assert flags["data"] == f"/var/lib/{service['StateDirectory']}", "all that it may write"
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT, re.MULTILINE))
    configured(variables, "%d/secret", tmp_path, data=flags["data"])


@pytest.fixture
def unit_file(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    path = tmp_path / "bleepstore.service"
    assert UNIT.count("/opt/bleepstore/bin/bleepstore ") == 1
    path.write_text(UNIT.replace("/opt/bleepstore/bin/bleepstore ", f"{sys.executable} "))
    return path


def test_systemd_understands_the_unit(unit_file: Path) -> None:
    done = subprocess.run(
        [str(need("systemd")), "verify", str(unit_file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_the_service_hardly_exposed(unit_file: Path) -> None:
    command = [str(need("systemd")), "security", "--offline=true", "--no-pager", str(unit_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    level = re.search(r"Overall exposure level for bleepstore.service: ([0-9.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= MAX_EXPOSURE, done.stdout


# -- Compose


def test_the_compose_file_obeys_the_specification(tmp_path: Path) -> None:
    command = [str(need("compose-check")), "--format", "json", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text((DEPLOY / "compose.yaml").read_text(encoding="utf-8").replace("read_only:", "readonly:"))
    command[-1] = str(broken)
    assert subprocess.run(command, cwd=DEPLOY, capture_output=True, check=False, timeout=60).returncode != 0


def test_the_compose_file_fits_the_image(tmp_path: Path) -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["bleepstore"]
    config = configured(service["environment"], "/run/secrets/bleepstore", tmp_path)
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert (context / service["build"]["dockerfile"]).samefile(DEPLOY / "Containerfile")
    assert service["ports"] == [f"127.0.0.1:{config.port}:{IMAGE['EXPOSE'].text}"]
    assert service["volumes"] == [f"data:{IMAGE['VOLUME'].text}"]
    assert service["read_only"] is True


# -- Kubernetes


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))


def test_the_manifests_obey_kubernetes_schemas(tmp_path: Path) -> None:
    program = need("kubernetes-validate")
    for path, is_right in ((DEPLOY / "kubernetes.yaml", True), (tmp_path / "broken.yaml", False)):
        if not is_right:
            path.write_text(yaml.safe_dump_all(documents()).replace("readOnlyRootFilesystem", "readOnlyRoot"))
        done = subprocess.run([program, "--strict", path], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode == 0) is is_right, done.stdout + done.stderr


def test_the_manifests_fit_the_image(tmp_path: Path) -> None:
    by_kind = {document["kind"]: document for document in documents()}
    spec = by_kind["StatefulSet"]["spec"]["template"]["spec"]
    assert spec["enableServiceLinks"] is False, "or BLEEPSTORE_PORT is tcp://..., which no setting is"
    (container,) = spec["containers"]
    configured(
        {variable["name"]: variable["value"] for variable in container["env"]},
        "/run/secrets/bleepstore/secret-key", tmp_path,
    )  # fmt: skip
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted["data"] == IMAGE["VOLUME"].text
    assert [port["containerPort"] for port in container["ports"]] == [int(IMAGE["EXPOSE"].text)]
    user = int(IMAGE["USER"].text.partition(":")[0])
    context = spec["securityContext"]
    assert {context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {user}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["terminationGracePeriodSeconds"] > 40, "gunicorn gives requests 30 seconds"
    services = {document["metadata"]["name"] for document in documents() if document["kind"] == "Service"}
    assert by_kind["StatefulSet"]["spec"]["serviceName"] in services
