"""What is not installed is named by the extra that brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SERVE = """
from bleepstore_server.cli import main
sys.exit(main(["serve", "--data", sys.argv[1], "--port", "0"]))
"""
IN_PROCESS = "from bleepstore_server import in_process\nwith in_process(): import boto3"
CLIENT_FOR = "from bleepstore_server.clients import client_for\nimport bleepstore\nclient_for(bleepstore.open())"
LIVE_CLIENT = "from bleepstore_server import live_server\nwith live_server() as server: server.client()"
APP = "from bleepstore_server import create_app"
EXPORT = """
from bleepstore_server.cli import main
sys.exit(main(["sync", ".", "./out", "--data", sys.argv[1]]))
"""
ADOPT = """
from bleepstore_server.cli import main
sys.exit(main(["adopt", "--backend-url", "s3://cats", "--data", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("missing", "script", "extras"),
    [
        ("werkzeug", IN_PROCESS, "server,aws"),
        ("werkzeug", LIVE_CLIENT, "server"),
        ("werkzeug", APP, "server"),
        ("werkzeug", SERVE, "server"),
        ("werkzeug", ADOPT, "server"),
        ("defusedxml", CLIENT_FOR, "server,aws"),
        ("defusedxml", SERVE, "server"),
        ("gunicorn", SERVE, "server"),
        ("opentelemetry", SERVE.replace('"serve"', '"serve", "--traces"'), "server,traces"),
        ("boto3", CLIENT_FOR, "server,aws"),
        ("boto3", LIVE_CLIENT, "server,aws"),
        ("botocore", IN_PROCESS, "server,aws"),
        ("botocore", EXPORT, "server,aws"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, missing: str, script: str, extras: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules[{missing!r}] = None\n{script}", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode
    assert f"needs the package {missing}: pip install 'bleepstore[{extras}" in done.stderr.splitlines()[-1]
    if script in (SERVE, EXPORT, ADOPT):
        assert "Traceback" not in done.stderr
