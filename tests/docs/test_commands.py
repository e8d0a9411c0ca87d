"""The commands of pages run, as a reader would type them beside a running server."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.admin.test_listener import admin_url
from tests.clients.conftest import client_environment, need
from tests.docs.test_documentation import ROOT
from tests.serving.conftest import Served, clean_environment, make_certificate, serve

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["serve"]

HOWTO = ROOT / "docs" / "howto"
_SHELL = re.compile(r"^```(sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TYPED = re.compile(r"^\$ ((?:.*\\\n)*.*\n)", re.MULTILINE)
#: Folders of a reader's machine that a test has below its own.
_FOLDERS = re.compile(r"(?<![\w.])/(srv|backups|etc)/")
#: What goes on until it is ended.
_SERVERS = re.compile(r"^(?:bleepstore serve|gunicorn) .*\n", re.MULTILINE)


def commands_of(page: str) -> str:
    """All that is typed on a page. What begins with a dollar sign is, and the rest of such a block is not."""
    found = []
    for kind, block in _SHELL.findall((HOWTO / page).read_text(encoding="utf-8")):
        found += _TYPED.findall(block) if kind == "console" else [block]
    return "".join(found)


def bleepstore(folder: Path, *words: str) -> None:
    """What a reader did before, beside the server."""
    subprocess.run([sys.executable, "-m", "bleepstore_server", *words], cwd=folder, check=True, env=clean_environment())


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
    bleepstore(folder, "keys", "add", "--access-key", "APP", "--owner-id", "app")
    bleepstore(folder, "users", "add", "ann", "--canned", "readonly")
    s3.create_bucket(Bucket="uploads")
    written = statement(Principal={"AWS": "app"}, Action="s3:PutObject", Resource="arn:aws:s3:::uploads/*")
    s3.put_bucket_policy(Bucket="uploads", Policy=written)


def fill_folders(_s3: S3Client, _text: str, folder: Path) -> Mapping[str, str]:
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.jpg").write_bytes(b"cat")
    bleepstore(folder, "import", "./photos", "photos", "--data", str(folder / "srv" / "bleepstore"))
    bleepstore(folder, "backup", str(folder / "srv" / "bleepstore"), str(folder / "backups" / "monday.tar"))
    return {"monday.tar /srv/restored": "monday.tar /srv/again"}


def build_site(_s3: S3Client, _text: str, folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("<h1>Hello</h1>")


def fill_other_endpoint(s3: S3Client, _text: str, folder: Path) -> Mapping[str, str]:
    """The server itself is each endpoint, and a store beside it that of the folder."""
    for bucket in ("old-bucket", "photos"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="cat.jpg", Body=b"cat")
    (folder / "photos").mkdir()
    (folder / "photos" / "dog.jpg").write_bytes(b"dog")
    s3.create_bucket(Bucket="ledger-2030")
    (folder / ".aws").mkdir()
    (folder / ".aws" / "config").write_text("[profile old]\n[profile new]\n")
    keys = "aws_access_key_id = acceptance\naws_secret_access_key = acceptance-secret\n"
    (folder / ".aws" / "credentials").write_text(f"[old]\n{keys}[new]\n{keys}")
    return {"https://minio.example.com": s3.meta.endpoint_url}


def add_tenant(s3: S3Client, _text: str, folder: Path) -> None:
    s3.create_bucket(Bucket="photos")
    bleepstore(folder, "keys", "add", "--access-key", "ALICE", "--owner-id", "alice-id")
    bleepstore(folder, "users", "add", "ann", "--owner-id", "alice-id")


def begin_store(_s3: S3Client, _text: str, folder: Path) -> Mapping[str, str]:
    (folder / "etc" / "bleepstore").mkdir()
    bleepstore(folder, "keys", "add", "--data", str(folder / "srv" / "bleepstore"), "--access-key", "BOB")
    return {}


def keep_letters(s3: S3Client, _text: str, _folder: Path) -> Mapping[str, str]:
    s3.create_bucket(Bucket="letters")
    s3.put_bucket_versioning(Bucket="letters", VersioningConfiguration={"Status": "Enabled"})
    made = s3.put_object(Bucket="letters", Key="a.txt", Body=b"Dear Ann")
    return {"3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH": made["VersionId"]}


def keep_ledger(s3: S3Client, _text: str, _folder: Path) -> Mapping[str, str]:
    put = "".join(f"echo 1 | aws s3 cp - s3://ledger/{key}\n" for key in ("2030-01", "letter"))
    return {"aws s3api put-object-lock-configuration": f"{put}aws s3api put-object-lock-configuration"}


def add_reporters(s3: S3Client, _text: str, folder: Path) -> Mapping[str, str]:
    s3.create_bucket(Bucket="reports")
    bleepstore(folder, "keys", "add", "--access-key", "ALICE", "--owner-id", "alice")
    bleepstore(folder, "users", "add", "ann")
    return {"pip install '.[oidc]'     # in a checkout of the repository\n": ""}


#: Each page, what there is before its commands (and what these say instead of some words, as names that a reader fills
#: in), and something that they print.
PAGES: dict[str, tuple[Callable[[S3Client, str, Path], Mapping[str, str] | None], str]] = {
    "give-access.md": (save_policy, "2030.txt"),
    "publish-files.md": (publish, "<h1>Hello</h1>"),
    "browser-uploads.md": (set_cors, "Access-Control-Allow-Origin: http://localhost:3000"),
    "observe.md": (nothing, "bleepstore_objects_total 0.0"),
    "admin-api.md": (nothing, '"access_key": "APP"'),
    "command-line.md": (nothing, '"key": "dog.txt"'),
    "test-a-policy.md": (give_uploads, "is allowed to app"),
    "backup.md": (fill_folders, ""),
    "host-a-site.md": (build_site, ""),
    "import-export-sync.md": (fill_other_endpoint, ""),
    "limit-tenants.md": (add_tenant, "ann"),
    "serve.md": (begin_store, "ALICE"),
    "keep-versions.md": (keep_letters, '"Key": "a.txt"'),
    "protect-objects.md": (keep_ledger, ""),
    "session-credentials.md": (add_reporters, ":role/reporter"),
}
#: Pages whose commands run in a test of their own, or nowhere: they need an account at a provider.
ELSEWHERE = {
    "deploy.md": "tests/deploy",
    "events-to-brokers.md": "tests/senders/test_howto.py",
    "gateway-aws.md": None,
    "gateway-azure.md": None,
    "gateway-gcs.md": None,
}
#: Those that start servers, but for gunicorn's own: tests/serving/test_gunicorn.py has that.
SERVERS = [
    (page.name, command.strip())
    for page in sorted(HOWTO.glob("*.md"))
    if page.name not in ELSEWHERE
    for command in _SERVERS.findall(commands_of(page.name))
    if not command.startswith("gunicorn")
]


def test_every_page_with_commands_is_known() -> None:
    known = {*PAGES, *ELSEWHERE, *(page for page, _command in SERVERS)}
    assert {page.name for page in HOWTO.glob("*.md") if commands_of(page.name)} == known
    assert [page for page, where in ELSEWHERE.items() if where and not (ROOT / where).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, serve: Callable[..., Served], tmp_path: Path) -> None:
    prepare, printed = PAGES[page]
    commands = _SERVERS.sub("", commands_of(page))
    programs = [Path(sys.executable).parent]
    if "aws " in commands:
        programs.append(need("aws").parent)
    for name in ("srv", "backups", "etc"):
        (tmp_path / name).mkdir()
    server = serve("--workers", "1", data=tmp_path / "bleepstore-data")
    s3 = server.client()
    instead = prepare(s3, (HOWTO / page).read_text(encoding="utf-8"), tmp_path) or {}
    s3.close()
    environ = client_environment(server)
    environ["PATH"] = os.pathsep.join([*map(str, programs), environ["PATH"]])
    for written, word in instead.items():
        assert written in commands
        commands = commands.replace(written, word)
    script = commands.replace("http://127.0.0.1:9000", server.url).replace("http://127.0.0.1:9001", admin_url(server))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _FOLDERS.sub(rf"{tmp_path}/\1/", script)],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert printed in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "command"), SERVERS, ids=[f"{page}-{number}" for number, (page, _) in enumerate(SERVERS)]
)
def test_a_server_starts_as_the_page_has_it(page: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "seed" / "photos").mkdir(parents=True)
    (tmp_path / "seed" / "photos" / "cat.jpg").write_bytes(b"cat")
    init = re.search(
        r"^<!-- init -->\n```toml\n(.*?)^```", (HOWTO / "administer.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert init is not None
    (tmp_path / "init.toml").write_text(init[1])
    make_certificate(tmp_path / "chain.pem")
    (tmp_path / "chain.key").rename(tmp_path / "key.pem")
    keys = tmp_path / "etc" / "bleepstore" / "keys"
    keys.parent.mkdir(parents=True)
    keys.write_text(f"store {'A' * 43}=\n")
    words = shlex.split(_FOLDERS.sub(rf"{tmp_path}/\1/", command), comments=True)[1:]
    environ = clean_environment(APP_SECRET="secret of the app", FAR_SECRET="far", HOOK_SECRET="hook")
    with subprocess.Popen(
        [sys.executable, "-m", "bleepstore_server", *words, "--port", "0"],
        cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        text = ""
        while "AWS CLI" not in text and (line := process.stdout.readline()):
            text += line
        process.terminate()
    assert " serves " in text, text
