"""The commands of pages run, as a reader would type them beside a running server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.admin.test_listener import admin_url
from tests.clients.conftest import client_environment, need
from tests.docs.test_documentation import ROOT
from tests.serving.conftest import Served, clean_environment, serve

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["serve"]

_SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


def statement(**elements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", **elements}})


def save_policy(_s3: S3Client, text: str, folder: Path) -> None:
    found = _JSON.search(text)
    assert found is not None
    (folder / "policy.json").write_text(found[1])


def nothing(_s3: S3Client, _text: str, _folder: Path) -> None: ...


def publish(s3: S3Client, _text: str, _folder: Path) -> None:
    s3.create_bucket(Bucket="site")
    s3.delete_public_access_block(Bucket="site")
    resource = "arn:aws:s3:::site/public/*"
    s3.put_bucket_policy(Bucket="site", Policy=statement(Principal="*", Action="s3:GetObject", Resource=resource))
    s3.put_object(Bucket="site", Key="public/index.html", Body=b"<h1>Hello</h1>")


def set_cors(s3: S3Client, _text: str, _folder: Path) -> None:
    s3.create_bucket(Bucket="uploads")
    rule: Any = {"AllowedOrigins": ["http://localhost:*"], "AllowedMethods": ["PUT"]}
    s3.put_bucket_cors(Bucket="uploads", CORSConfiguration={"CORSRules": [rule]})


def give_uploads(s3: S3Client, _text: str, folder: Path) -> None:
    for added in (
        ["keys", "add", "--access-key", "APP", "--owner-id", "app"],
        ["users", "add", "ann", "--canned", "readonly"],
    ):
        subprocess.run(
            [sys.executable, "-m", "bleepstore_server", *added], cwd=folder, check=True, env=clean_environment()
        )
    s3.create_bucket(Bucket="uploads")
    written = statement(Principal={"AWS": "app"}, Action="s3:PutObject", Resource="arn:aws:s3:::uploads/*")
    s3.put_bucket_policy(Bucket="uploads", Policy=written)


#: Each page, what there is before its commands, and something that they print.
PAGES: dict[str, tuple[Callable[[S3Client, str, Path], None], str]] = {
    "give-access.md": (save_policy, "2030.txt"),
    "publish-files.md": (publish, "<h1>Hello</h1>"),
    "browser-uploads.md": (set_cors, "Access-Control-Allow-Origin: http://localhost:3000"),
    "observe.md": (nothing, "bleepstore_objects_total 0.0"),
    "admin-api.md": (nothing, '"access_key": "APP"'),
    "command-line.md": (nothing, '"key": "dog.txt"'),
    "test-a-policy.md": (give_uploads, "is allowed to app"),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, serve: Callable[..., Served], tmp_path: Path) -> None:
    text = (ROOT / "docs" / "howto" / page).read_text(encoding="utf-8")
    prepare, printed = PAGES[page]
    commands = "".join(_SHELL.findall(text))
    programs = [Path(sys.executable).parent]
    if "aws " in commands:
        programs.append(need("aws").parent)
    server = serve("--workers", "1", data=tmp_path / "bleepstore-data")
    s3 = server.client()
    prepare(s3, text, tmp_path)
    s3.close()
    environ = client_environment(server)
    environ["PATH"] = os.pathsep.join([*map(str, programs), environ["PATH"]])
    script = commands.replace("http://127.0.0.1:9000", server.url).replace("http://127.0.0.1:9001", admin_url(server))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert printed in done.stdout
