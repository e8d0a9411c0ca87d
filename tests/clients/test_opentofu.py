"""OpenTofu keeps its state in a bucket, and lets one run at a time change it (`use_lockfile`: conditional writes)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import client_environment, need, run
from tests.serving.conftest import Served

# To build it takes five minutes, so it is not part of the default run: tox -e clients.
pytestmark = pytest.mark.slow

CONFIGURATION = """
terraform {
  backend "s3" {
    bucket                      = "tofu-state"
    key                         = "dev/terraform.tfstate"
    region                      = "us-east-1"
    use_path_style              = true
    encrypt                     = true
    use_lockfile                = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
    skip_region_validation      = true
    skip_metadata_api_check     = true
  }
}
variable "value" {}
variable "command" { default = "true" }
resource "terraform_data" "it" {
  input            = var.value
  triggers_replace = var.value
  provisioner "local-exec" { command = var.command }
}
output "value" { value = terraform_data.it.output }
"""
KEY, LOCK = "dev/terraform.tfstate", "dev/terraform.tfstate.tflock"


@pytest.fixture
def folder(shared_server: Served, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    s3 = shared_server.client()
    s3.create_bucket(Bucket="tofu-state")
    yield tmp_path
    for found in s3.list_objects_v2(Bucket="tofu-state").get("Contents", []):
        s3.delete_object(Bucket="tofu-state", Key=found["Key"])
    s3.delete_bucket(Bucket="tofu-state")
    s3.close()


def test_state_is_kept_in_a_bucket_and_locked(shared_server: Served, folder: Path) -> None:
    tofu: list[str | Path] = [need("tofu"), f"-chdir={folder}"]
    apply = [*tofu, "apply", "-no-color", "-input=false", "-auto-approve"]
    s3 = shared_server.client()

    def keys() -> list[str]:
        return [found["Key"] for found in s3.list_objects_v2(Bucket="tofu-state").get("Contents", [])]

    def state() -> dict[str, object]:
        with s3.get_object(Bucket="tofu-state", Key=KEY)["Body"] as body:
            loaded: dict[str, object] = json.load(body)
        return loaded

    run(shared_server, [*tofu, "init", "-no-color", "-input=false"])
    run(shared_server, [*apply, "-var=value=first"])
    first = state()
    assert first["outputs"] == {"value": {"value": "first", "type": "string"}}
    assert keys() == [KEY]

    holding, go_on = folder / "holding", folder / "go-on"
    os.mkfifo(holding)
    os.mkfifo(go_on)
    slow = [*apply, "-var=value=second", f"-var=command=echo held > {holding}; cat {go_on}"]
    with subprocess.Popen(slow, env=client_environment(shared_server), stdout=subprocess.DEVNULL) as running:
        assert holding.read_text() == "held\n"  # it waits for us, with the lock
        assert keys() == [KEY, LOCK]
        other = run(shared_server, [*apply, "-var=value=third"], check=False)
        go_on.write_text("")
    assert running.returncode == 0
    assert other.returncode == 1
    assert "Error acquiring the state lock" in other.stderr
    assert "PreconditionFailed" in other.stderr
    assert state()["outputs"] == {"value": {"value": "second", "type": "string"}}
    assert state()["lineage"] == first["lineage"]
    assert keys() == [KEY]

    run(shared_server, [*apply, "-destroy", "-var=value=second"])
    assert state()["resources"] == []
    s3.close()
