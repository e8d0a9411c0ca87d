"""Behind nginx, with the configuration that the page on serving gives."""

from __future__ import annotations

import configparser
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from bleepstore_server.config import load_config
from tests.clients.conftest import need
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, start

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "serve.md").read_text(encoding="utf-8")


def snippet(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def replace(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@attrs.frozen
class Proxied:
    served: Served
    url: str

    def client(self) -> S3Client:
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        return client


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Callable[[str], Proxied]]:
    """Starts a server, and nginx before it with the documented configuration, changed by the text that is passed."""
    program = need("nginx")
    served = start(tmp_path / "data", "--workers", "1")
    running: list[subprocess.Popen[bytes]] = []

    def begin(host_line: str) -> Proxied:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        text = replace(snippet("nginx"), "listen 80;", f"listen 127.0.0.1:{port};")
        text = replace(text, "http://127.0.0.1:9000;", f"{served.url};")
        text = replace(text, "proxy_set_header Host $http_host;", host_line)
        paths = "".join(
            f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        file = tmp_path / "nginx.conf"
        file.write_text(
            f"daemon off;\nmaster_process off;\npid {tmp_path}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}{text}\n}}\n"
        )
        running.append(subprocess.Popen([program, "-p", tmp_path, "-c", file], stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return Proxied(served, f"http://127.0.0.1:{port}")
            assert running[-1].poll() is None, "nginx did not start"
            assert time.monotonic() < deadline
            os.sched_yield()

    yield begin
    for process in running:
        process.terminate()
        process.wait(timeout=30)
    served.end()


def test_the_documented_nginx_passes_everything_on(proxied: Callable[[str], Proxied], tmp_path: Path) -> None:
    behind = proxied("proxy_set_header Host $http_host;")
    s3 = behind.client()
    s3.create_bucket(Bucket="photos")
    big = random.Random(3).randbytes(17 << 20)
    (tmp_path / "big").write_bytes(big)
    s3.upload_file(str(tmp_path / "big"), "photos", "big")
    with s3.get_object(Bucket="photos", Key="big")["Body"] as body:
        assert body.read() == big
    keys = ["a//b", "/leading", "ü %+&=?#", "x/../y", "x/./y", "é" * 512]
    for key in keys:
        s3.put_object(Bucket="photos", Key=key, Body=key.encode(), Metadata={"my_key": "1", "dotted.key": "2"})
        with s3.get_object(Bucket="photos", Key=key)["Body"] as body:
            assert body.read() == key.encode()
        if "/." not in key:  # requests would leave such segments out
            url = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": key})
            assert requests.get(url, timeout=30).content == key.encode()
        assert s3.head_object(Bucket="photos", Key=key)["Metadata"] == {"my_key": "1", "dotted.key": "2"}
    listed = [found["Key"] for found in s3.list_objects_v2(Bucket="photos")["Contents"]]
    assert sorted(listed) == sorted([*keys, "big"])
    s3.close()


def test_a_changed_host_is_named(proxied: Callable[[str], Proxied]) -> None:
    behind = proxied("proxy_set_header Host backend.internal; proxy_set_header X-Forwarded-Host $http_host;")
    s3 = behind.client()
    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket="photos")
    error = refused.value.response["Error"]
    assert error["Code"] == "SignatureDoesNotMatch"
    assert error["Host"] == "backend.internal"  # type: ignore[typeddict-item]  # an element of ours
    s3.close()
    behind.served.process.send_signal(signal.SIGTERM)
    log, _ = behind.served.process.communicate(timeout=40)
    public = behind.url.removeprefix("http://")
    assert f"came with Host 'backend.internal' and X-Forwarded-Host '{public}'" in log


def test_the_systemd_unit_uses_settings_that_exist(tmp_path: Path) -> None:
    """systemd itself does not run where the tests do."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names in the case that they have
    unit.read_string(snippet("systemd"))
    service = unit["Service"]
    flags = dict(re.findall(r"--([a-z-]+) (\S+)", service["ExecStart"]))
    assert flags.keys() == {"config", "data"}
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", snippet("systemd"), re.MULTILINE))
    (tmp_path / "secret").write_text("s3cret\n")
    environ = {name: text.replace("%d", str(tmp_path)) for name, text in variables.items()}
    config = load_config(environ=environ, flags={"data": flags["data"]})
    assert (config.access_key, config.secret_key) == ("ADMIN", "s3cret")
