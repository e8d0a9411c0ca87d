"""The AWS CLI, s3cmd and rclone: round trips with multipart and conditional writes, over HTTP and HTTPS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import OVER_HTTPS, contents, need, run
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

pytestmark = OVER_HTTPS


def test_the_aws_cli(shared_server: Served, files: Path, tmp_path: Path) -> None:
    aws = need("aws")
    server = shared_server

    def cli(*arguments: str | Path, check: bool = True) -> str:
        result = run(server, [aws, *arguments], check=check)
        return result.stdout + result.stderr

    cli("s3", "mb", "s3://cli")
    cli("s3", "sync", files, "s3://cli/here")
    assert "sub/a b+ü%.dat" in cli("s3", "ls", "--recursive", "s3://cli/here/")
    assert "PRE sub/" in cli("s3", "ls", "s3://cli/here/")
    cli("s3", "cp", "--recursive", "s3://cli/here", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(files)
    head = json.loads(cli("s3api", "head-object", "--bucket", "cli", "--key", "here/big.bin"))
    assert head["ETag"].endswith('-3"')
    cli("s3", "cp", "s3://cli/here/big.bin", "s3://cli/copy.bin")  # UploadPartCopy
    cli("s3", "mv", "s3://cli/copy.bin", tmp_path / "moved.bin")
    assert (tmp_path / "moved.bin").read_bytes() == (files / "big.bin").read_bytes()
    put = ("s3api", "put-object", "--bucket", "cli", "--key", "once", "--if-none-match", "*", "--body")
    cli(*put, files / "small.txt")
    assert "PreconditionFailed" in cli(*put, files / "small.txt", check=False)
    cli("s3", "cp", "--checksum-algorithm", "SHA256", files / "big.bin", "s3://cli/sha")
    cli("s3", "cp", "--sse", "AES256", files / "big.bin", "s3://cli/sealed")
    assert json.loads(cli("s3api", "head-object", "--bucket", "cli", "--key", "sealed"))["ServerSideEncryption"]
    cli("s3", "cp", "s3://cli/sealed", tmp_path / "unsealed.bin")
    assert (tmp_path / "unsealed.bin").read_bytes() == (files / "big.bin").read_bytes()
    url = cli("s3", "presign", "s3://cli/once").strip()
    assert url.startswith(server.url)
    cli("s3", "rb", "--force", "s3://cli")
    assert "cli" not in cli("s3", "ls")


@pytest.mark.slow
def test_the_aws_cli_brings_its_own_keys(shared_server: Served, tmp_path: Path) -> None:
    aws, server = need("aws"), shared_server
    if server.certificate is None:
        pytest.skip("a key is sent over TLS alone")
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "text").write_text("by a key")

    def cli(*arguments: str | Path, check: bool = True) -> str:
        answer = run(server, [aws, *arguments], check=check)
        return answer.stdout + answer.stderr

    key = f"fileb://{tmp_path / 'key'}"
    to_copy = ("--sse-c-copy-source", "AES256", "--sse-c-copy-source-key", key)
    cli("s3", "mb", "s3://cli-keys")
    cli("s3", "cp", tmp_path / "text", "s3://cli-keys/customer", "--sse-c", "AES256", "--sse-c-key", key)
    assert "Bad Request" in cli("s3", "cp", "s3://cli-keys/customer", tmp_path / "none", check=False)
    cli("s3", "cp", "s3://cli-keys/customer", tmp_path / "back", "--sse-c", "AES256", "--sse-c-key", key)
    assert (tmp_path / "back").read_text() == "by a key"
    cli("s3", "cp", "s3://cli-keys/customer", "s3://cli-keys/own", *to_copy, "--sse", "AES256")
    head = json.loads(cli("s3api", "head-object", "--bucket", "cli-keys", "--key", "own"))
    assert head["ServerSideEncryption"] == "AES256"
    cli("s3", "rb", "--force", "s3://cli-keys")


def test_s3cmd(shared_server: Served, files: Path, tmp_path: Path) -> None:
    server = shared_server
    scheme, _, host = server.url.partition("://")
    program = Path(sys.executable).parent / "s3cmd"
    common: list[str | Path] = [sys.executable, program, "--config", tmp_path / "none", "--no-progress"]
    common += [f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}", f"--host={host}", f"--host-bucket={host}"]
    common += ["--ssl", f"--ca-certs={server.certificate}"] if scheme == "https" else ["--no-ssl"]
    (tmp_path / "none").touch()

    def s3cmd(*arguments: str | Path) -> str:
        return run(server, [*common, *arguments]).stdout

    s3cmd("mb", "s3://s3cmd")
    s3cmd("setownership", "s3://s3cmd", "BucketOwnerPreferred")
    s3cmd("setblockpublicaccess", "s3://s3cmd", "BlockPublicPolicy")
    assert "Ownership: BucketOwnerPreferred" in " ".join(s3cmd("info", "s3://s3cmd").split())
    rules = tmp_path / "cors.xml"
    rules.write_text(
        "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
        "</CORSConfiguration>"
    )
    s3cmd("setcors", rules, "s3://s3cmd")
    assert "<AllowedOrigin>*" in s3cmd("info", "s3://s3cmd")
    s3cmd("delcors", "s3://s3cmd")
    s3cmd("put", "--multipart-chunk-size-mb=5", files / "big.bin", "s3://s3cmd/big.bin")
    s3cmd("put", "--recursive", f"{files}/sub/", "s3://s3cmd/sub/")
    s3cmd("put", "--acl-public", files / "small.txt", "s3://s3cmd/small.txt")
    assert "s3://s3cmd/sub/a b+ü%.dat" in s3cmd("ls", "--recursive", "s3://s3cmd")
    s3cmd("get", "s3://s3cmd/big.bin", tmp_path / "big.bin")
    assert (tmp_path / "big.bin").read_bytes() == (files / "big.bin").read_bytes()
    s3cmd("get", "s3://s3cmd/sub/a b+ü%.dat", tmp_path / "odd")
    assert (tmp_path / "odd").read_bytes() == (files / "sub" / "a b+ü%.dat").read_bytes()
    assert "*anon*: READ" in s3cmd("info", "s3://s3cmd/small.txt")
    s3cmd("setacl", "--acl-private", "s3://s3cmd/small.txt")
    assert "*anon*" not in s3cmd("info", "s3://s3cmd/small.txt")
    s3cmd("cp", "s3://s3cmd/small.txt", "s3://s3cmd/copied.txt")
    s3cmd("mv", "s3://s3cmd/copied.txt", "s3://s3cmd/moved.txt")
    s3cmd("modify", "--add-header=Cache-Control: no-store", "s3://s3cmd/moved.txt")
    s3cmd("del", "--recursive", "--force", "s3://s3cmd")
    s3cmd("rb", "s3://s3cmd")
    assert "s3cmd" not in s3cmd("ls")


def test_rclone(shared_server: Served, files: Path, tmp_path: Path) -> None:
    program = need("rclone")
    server = shared_server
    remote = f":s3,provider=Other,env_auth=true,endpoint='{server.url}':rclone"
    common: list[str | Path] = [program, "--config", tmp_path / "none", "--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi"]
    common.append("--s3-acl=bucket-owner-full-control")  # what a bucket without ACLs takes
    if server.certificate is not None:
        common += ["--ca-cert", server.certificate]

    def rclone(*arguments: str | Path) -> str:
        return run(server, [*common, *arguments], ca_bundle=False).stdout

    rclone("mkdir", remote)
    rclone("copy", files, f"{remote}/here")
    rclone("check", files, f"{remote}/here")
    rclone("check", "--download", files, f"{remote}/here")
    listed = {
        item["Path"]: item for item in json.loads(rclone("lsjson", "--recursive", "--files-only", f"{remote}/here"))
    }
    assert {name: item["Size"] for name, item in listed.items()} == {
        name: len(data) for name, data in contents(files).items()
    }
    rclone("touch", "--timestamp", "2020-01-02T03:04:05", f"{remote}/here/small.txt")
    assert "2020-01-02" in rclone("lsl", f"{remote}/here/small.txt")
    rclone("copyto", f"{remote}/here/big.bin", f"{remote}/copied.bin")
    rclone("moveto", f"{remote}/copied.bin", f"{remote}/moved.bin")
    rclone("sync", f"{remote}/here", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(files)
    rclone("purge", remote)
    assert "rclone/" not in rclone("lsf", remote.removesuffix("rclone"))
