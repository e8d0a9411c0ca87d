"""Who may read and write, as programs set it: policies, lists, ownership and what blocks public access."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import need, run
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

#: The scheme makes no difference to what is allowed.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("shared_server", ["http"], indirect=True, scope="module"),
]

Program = Callable[..., str]


def status_of(url: str, method: str = "GET", body: bytes | None = None) -> int:
    """What somebody gets who does not sign."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=60) as answer:
            answer.read()
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def make_bucket(server: Served, name: str, ownership: Any = "BucketOwnerEnforced") -> str:
    """A bucket that may be made public, with two objects. Its URL."""
    s3 = server.client()
    s3.create_bucket(Bucket=name, ObjectOwnership=ownership)
    s3.delete_public_access_block(Bucket=name)
    for key in ("k", "shared/k"):
        s3.put_object(Bucket=name, Key=key, Body=b"bytes")
    s3.close()
    return f"{server.url}/{name}"


def read_policy(bucket: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_mc_anonymous(shared_server: Served, tmp_path: Path) -> None:
    program, folder = need("mc"), tmp_path / "mc"
    url = make_bucket(shared_server, "mc-anonymous")

    def mc(*arguments: str | Path) -> str:
        return run(shared_server, [program, "--config-dir", folder, *arguments]).stdout

    mc("alias", "set", "here", shared_server.url, ACCESS_KEY, SECRET_KEY)
    assert status_of(f"{url}/k") == 403
    allowed = {"download": (200, 200, 403), "upload": (403, 403, 200), "public": (200, 200, 200), "private": (403,) * 3}
    for permission, expected in allowed.items():
        mc("anonymous", "set", permission, "here/mc-anonymous")
        assert permission in mc("anonymous", "get", "here/mc-anonymous")
        found = (status_of(f"{url}/k"), status_of(f"{url}?list-type=2"), status_of(f"{url}/new", "PUT", b"new"))
        assert found == expected, permission
    mc("anonymous", "set", "download", "here/mc-anonymous/shared")
    assert "mc-anonymous/shared" in mc("anonymous", "list", "here/mc-anonymous")
    assert (status_of(f"{url}/k"), status_of(f"{url}/shared/k")) == (403, 200)
    (tmp_path / "policy.json").write_text(json.dumps(read_policy("mc-anonymous")))
    mc("anonymous", "set-json", tmp_path / "policy.json", "here/mc-anonymous")
    assert json.loads(mc("anonymous", "get-json", "here/mc-anonymous")) == read_policy("mc-anonymous")
    assert status_of(f"{url}/k") == 200


def test_mc_ready(shared_server: Served, tmp_path: Path) -> None:
    program, folder = need("mc"), tmp_path / "mc"
    run(
        shared_server,
        [program, "--config-dir", folder, "alias", "set", "here", shared_server.url, ACCESS_KEY, SECRET_KEY],
    )
    assert "is ready" in run(shared_server, [program, "--config-dir", folder, "ready", "here"]).stdout


def test_rclone_lists_and_links(shared_server: Served, tmp_path: Path) -> None:
    program = need("rclone")
    url = make_bucket(shared_server, "rclone-acl", "ObjectWriter")
    (tmp_path / "k.txt").write_text("by rclone")

    def rclone(*arguments: str | Path, acl: str = "private") -> str:
        command = [program, "--config", tmp_path / "none", "--s3-no-check-bucket", f"--s3-acl={acl}", *arguments]
        return run(shared_server, command).stdout

    remote = f":s3,provider=Other,env_auth=true,endpoint='{shared_server.url}':rclone-acl"
    rclone("copyto", tmp_path / "k.txt", f"{remote}/open.txt", acl="public-read")
    rclone("copyto", tmp_path / "k.txt", f"{remote}/closed.txt")
    assert (status_of(f"{url}/open.txt"), status_of(f"{url}/closed.txt")) == (200, 403)
    rclone("copyto", f"{remote}/closed.txt", f"{remote}/copied.txt", acl="public-read")
    assert status_of(f"{url}/copied.txt") == 200
    with urllib.request.urlopen(rclone("link", "--expire", "1h", f"{remote}/closed.txt").strip()) as answer:
        assert answer.read() == b"by rclone"
    made = f":s3,provider=Other,env_auth=true,bucket_acl=private,endpoint='{shared_server.url}':rclone-made"
    run(shared_server, [program, "--config", tmp_path / "none", "mkdir", made])
    assert status_of(f"{shared_server.url}/rclone-made?list-type=2") == 403


@pytest.fixture
def s3cmd(shared_server: Served, tmp_path: Path) -> Program:
    host = shared_server.url.partition("://")[2]
    common: list[str | Path] = [sys.executable, Path(sys.executable).parent / "s3cmd", "--no-ssl", "--config"]
    common += [tmp_path / "none", f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}"]
    common += [f"--host={host}", f"--host-bucket={host}"]
    (tmp_path / "none").touch()
    return lambda *arguments: run(shared_server, [*common, *arguments]).stdout


def test_s3cmd_policies_and_lists(shared_server: Served, s3cmd: Program, tmp_path: Path) -> None:
    url, bucket = make_bucket(shared_server, "s3cmd-access", "BucketOwnerPreferred"), "s3://s3cmd-access"
    make_bucket(shared_server, "s3cmd-logs")
    (tmp_path / "policy.json").write_text(json.dumps(read_policy("s3cmd-access")))
    s3cmd("setpolicy", tmp_path / "policy.json", bucket)
    assert "s3:GetObject" in s3cmd("info", bucket)
    assert status_of(f"{url}/k") == 200
    s3cmd("delpolicy", bucket)
    assert "s3:GetObject" not in s3cmd("info", bucket)
    assert status_of(f"{url}/k") == 403
    s3cmd("setacl", "--acl-public", f"{bucket}/k")
    assert status_of(f"{url}/k") == 200
    s3cmd("setacl", "--acl-private", f"{bucket}/k")
    assert status_of(f"{url}/k") == 403
    s3cmd("setacl", "--acl-public", bucket)
    assert status_of(f"{url}?list-type=2") == 200
    s3cmd("setacl", "--acl-private", bucket)
    s3cmd("accesslog", "--access-logging-target-prefix=s3://s3cmd-logs/here-", bucket)
    assert "s3cmd-logs/here-" in s3cmd("accesslog", bucket)
    s3cmd("accesslog", "--no-access-logging", bucket)
    s3cmd("payer", "--requester-pays", bucket)
    assert "Payer:     Requester" in s3cmd("info", bucket)
    s3cmd("setownership", bucket, "BucketOwnerEnforced")
    assert "BucketOwnerEnforced" in s3cmd("info", bucket)
    s3cmd("setblockpublicaccess", bucket, "BlockPublicPolicy,RestrictPublicBuckets")
    assert "Block Public Access: BlockPublicPolicy,RestrictPublicBuckets" in " ".join(s3cmd("info", bucket).split())


def test_the_aws_cli_policies_and_lists(shared_server: Served, tmp_path: Path) -> None:
    aws = need("aws")
    url = make_bucket(shared_server, "cli-access")

    def s3api(command: str, *arguments: str | Path, check: bool = True) -> Any:
        answer = run(shared_server, [aws, "s3api", command, "--bucket", "cli-access", *arguments], check=check)
        return json.loads(answer.stdout) if answer.stdout.strip() else answer.stderr

    (tmp_path / "policy.json").write_text(json.dumps(read_policy("cli-access")))
    s3api("put-bucket-policy", "--policy", f"file://{tmp_path / 'policy.json'}")
    assert json.loads(s3api("get-bucket-policy")["Policy"]) == read_policy("cli-access")
    assert s3api("get-bucket-policy-status") == {"PolicyStatus": {"IsPublic": True}}
    assert status_of(f"{url}/k") == 200
    block = "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
    s3api("put-public-access-block", "--public-access-block-configuration", block)
    assert set(s3api("get-public-access-block")["PublicAccessBlockConfiguration"].values()) == {True}
    assert status_of(f"{url}/k") == 403
    refused = s3api("put-bucket-policy", "--policy", f"file://{tmp_path / 'policy.json'}", check=False)
    assert "AccessDenied" in refused
    s3api("delete-bucket-policy")
    assert "NoSuchBucketPolicy" in s3api("get-bucket-policy", check=False)
    assert "AccessControlListNotSupported" in s3api("put-bucket-acl", "--acl", "public-read", check=False)
    s3api("put-bucket-ownership-controls", "--ownership-controls", "Rules=[{ObjectOwnership=ObjectWriter}]")
    assert s3api("get-bucket-ownership-controls")["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "ObjectWriter"}]
    s3api("delete-public-access-block")
    s3api("put-object-acl", "--key", "k", "--acl", "public-read")
    assert [grant["Permission"] for grant in s3api("get-object-acl", "--key", "k")["Grants"]] == [
        "FULL_CONTROL",
        "READ",
    ]
    assert status_of(f"{url}/k") == 200
    all_users = "uri=http://acs.amazonaws.com/groups/global/AllUsers"
    s3api("put-bucket-acl", "--grant-read", all_users)
    assert s3api("get-bucket-acl")["Grants"][0]["Grantee"]["URI"] == all_users.removeprefix("uri=")
    s3api("put-bucket-request-payment", "--request-payment-configuration", "Payer=Requester")
    assert s3api("get-bucket-request-payment") == {"Payer": "Requester"}
    assert status_of(f"{url}/k") == 403
