"""The Containerfile: its steps run as they are written, and what they make serves as a container would."""

from __future__ import annotations

import fnmatch
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from bleepstore_server.config import load_config
from tests.deploy.containers import Image, build, need_namespaces, parse
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "docs" / "deploy" / "Containerfile"


def test_the_context_has_what_is_copied_and_no_keys() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = [line.removeprefix("!") for line in lines if line.startswith("!")]
    copied = [step for step in parse(CONTAINERFILE) if step.word == "COPY" and "--from" not in step.text]
    sources = [name for step in copied for name in step.words()[:-1]]
    assert sorted(admitted) == sorted(sources)
    assert all((ROOT / name).exists() for name in sources)
    assert "*" in lines
    assert not any(fnmatch.fnmatch("bleepstore-data/catalog.db", name) for name in admitted)


def test_it_runs_as_nobody_in_particular_and_ends_by_sigterm() -> None:
    steps = parse(CONTAINERFILE)
    last = {step.word: step for step in steps[max(at for at, step in enumerate(steps) if step.word == "FROM") :]}
    assert last["USER"].text == "10001:10001", "by numbers: Kubernetes checks runAsNonRoot by them"
    assert last["STOPSIGNAL"].text == "SIGTERM"
    assert last["HEALTHCHECK"].words()[0] == "python"
    environ = dict(step.split("=", 1) for step in " ".join(s.text for s in steps if s.word == "ENV").split())
    config = load_config(environ={name: text for name, text in environ.items() if name.startswith("BLEEPSTORE_")})
    assert (config.data, config.port) == (last["VOLUME"].text, int(last["EXPOSE"].text))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    need_namespaces()
    environ = {name: text for name, text in os.environ.items() if name.startswith("PIP_") and "LINKS" not in name}
    return build(CONTAINERFILE, ROOT, tmp_path_factory.mktemp("image"), environ)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
def test_the_image_serves_with_a_root_that_cannot_be_written(image: Image) -> None:
    port = free_port()
    environ = image.environ | {
        "BLEEPSTORE_PORT": str(port), "BLEEPSTORE_ACCESS_KEY": ACCESS_KEY, "BLEEPSTORE_SECRET_KEY": SECRET_KEY,
    }  # fmt: skip
    command = image.command([*image.settings["ENTRYPOINT"], *image.settings["CMD"]], read_only=True)
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        output = ""
        while "AWS CLI" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        first = int(children[0])
        status = Path(f"/proc/{first}/status").read_text()
        assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
        assert "\nNSpid:\t" + f"{first}\t1\n" in status, "the first process of the container"

        s3 = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY, region_name="us-east-1", config=Config(retries={"max_attempts": 1}),
        )  # fmt: skip
        s3.create_bucket(Bucket="photos")
        body = bytes(6 << 20)
        s3.put_object(Bucket="photos", Key="big", Body=body, ChecksumAlgorithm="SHA256")
        assert s3.get_object(Bucket="photos", Key="big")["Body"].read() == body
        form = s3.generate_presigned_post("photos", "form")  # its body is kept in a file for a moment
        import requests

        answer = requests.post(form["url"], data=form["fields"], files={"file": body}, timeout=60)
        assert answer.status_code == 204
        s3.close()

        check = ["nsenter", "--target", str(first), "--mount", "--pid", "--root", "--wd", "-S", "10001", "-G", "10001"]
        checked = subprocess.run(
            [*check, *image.settings["HEALTHCHECK"]], env=environ, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        written = subprocess.run([*check, "touch", "/opt/x"], env=environ, capture_output=True, text=True, check=False)
        assert "Read-only file system" in written.stderr

        os.kill(first, getattr(signal, image.settings["STOPSIGNAL"][0]))
        started = time.monotonic()
        output, _ = process.communicate(timeout=40)
        assert time.monotonic() - started < 10
        assert process.returncode == 0, output
        (data,) = image.volumes
        assert (image.inside(data) / "catalog.db").stat().st_uid == 10001
    finally:
        process.kill()
        process.communicate()
    no_server = subprocess.run(
        image.command(image.settings["HEALTHCHECK"], read_only=True), env=environ, capture_output=True, check=False
    )
    assert no_server.returncode != 0
