"""Temporary credentials as programs ask for them and use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bleepstore_server.cli import main
from tests.clients.conftest import client_environment, need, run
from tests.serving.conftest import Served

#: The scheme makes no difference to who may do what.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("shared_server", ["http"], indirect=True, scope="module"),
]


def make_role(
    server: Served, name: str, bucket: str, canned: str = "readwrite", ownership: Any = "BucketOwnerEnforced"
) -> str:
    """A role with rights on one bucket. Its ARN."""
    s3 = server.client()
    s3.create_bucket(Bucket=bucket, ObjectOwnership=ownership)
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    s3.close()
    owner = json.loads(run(server, [need("aws"), "sts", "get-caller-identity"]).stdout)["Account"]
    words = ["roles", "add", "--data", str(server.data), name, "--trusts", owner]
    assert main([*words, "--canned", canned, "--on", bucket]) == 0
    return f"arn:aws:iam::{owner}:role/{name}"


def assume(server: Served, arn: str, *more: str) -> dict[str, str]:
    command: list[str | Path] = [
        need("aws"),
        "sts",
        "assume-role",
        "--role-arn",
        arn,
        "--role-session-name",
        "by-clients",
        *more,
    ]
    made: dict[str, Any] = json.loads(run(server, command).stdout)
    assert made["AssumedRoleUser"]["Arn"].endswith("/by-clients")
    found: dict[str, str] = made["Credentials"]
    return found


def run_with(server: Served, keys: dict[str, str], command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    environ = client_environment(server) | {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_the_aws_command_line(shared_server: Served, tmp_path: Path) -> None:
    aws = need("aws")
    keys = assume(shared_server, make_role(shared_server, "aws-cli", "sessions-aws-cli"))
    copied = run_with(shared_server, keys, [aws, "s3", "cp", "s3://sessions-aws-cli/k", str(tmp_path / "k")])
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "k").read_bytes() == b"kept"
    refused = run_with(shared_server, keys, [aws, "s3", "ls"])
    assert "AccessDenied" in refused.stderr
    who = run_with(shared_server, keys, [aws, "sts", "get-caller-identity", "--query", "Arn", "--output", "text"])
    assert who.stdout.strip().endswith("assumed-role/aws-cli/by-clients")
    assert main(["sessions", "revoke", "--data", str(shared_server.data), "--role", "aws-cli"]) == 0


def test_rclone(shared_server: Served, tmp_path: Path) -> None:
    program = need("rclone")
    # It sends x-amz-acl.
    keys = assume(shared_server, make_role(shared_server, "rclone", "sessions-rclone", "admin", "ObjectWriter"))
    (tmp_path / "new.txt").write_text("by rclone")
    (tmp_path / "rclone.conf").write_text(
        f"""
[here]
type = s3
provider = Other
endpoint = {shared_server.url}
access_key_id = {keys["AccessKeyId"]}
secret_access_key = {keys["SecretAccessKey"]}
session_token = {keys["SessionToken"]}
no_check_bucket = true
"""
    )
    rclone: list[str | Path] = [program, "--config", tmp_path / "rclone.conf"]
    for words in (["copy", str(tmp_path / "new.txt"), "here:sessions-rclone"], ["cat", "here:sessions-rclone/new.txt"]):
        answer = run(shared_server, [*rclone, *words])
    assert answer.stdout == "by rclone"
    link = run(shared_server, [*rclone, "link", "here:sessions-rclone/new.txt"]).stdout
    assert "X-Amz-Security-Token=" in link


ICEBERG = """
import os, sys
import pyarrow as pa
from pyarrow import fs, parquet

# What pyiceberg makes of s3.access-key-id, s3.secret-access-key and s3.session-token.
store = fs.S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    session_token=os.environ["AWS_SESSION_TOKEN"], endpoint_override=os.environ["AWS_ENDPOINT_URL"],
    region="us-east-1", allow_bucket_creation=False,
)
table = pa.table({"n": [1, 2, 3]})
parquet.write_table(table, "sessions-tables/one/data.parquet", filesystem=store)
assert parquet.read_table("sessions-tables/one/data.parquet", filesystem=store) == table
try:
    parquet.write_table(table, "sessions-tables/two/data.parquet", filesystem=store)
except OSError as error:
    assert "AccessDenied" in str(error) or "ACCESS_DENIED" in str(error), error
    print("of this table alone")
"""


def test_a_catalog_vends_credentials_of_one_table(shared_server: Served) -> None:
    """A role of all tables, and a session of one: what an Iceberg REST catalog gives its clients."""
    arn = make_role(shared_server, "tables", "sessions-tables")
    table = "arn:aws:s3:::sessions-tables/one/*"
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], "Resource": table},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::sessions-tables"},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    keys = assume(shared_server, arn, "--policy", policy)
    done = run_with(shared_server, keys, [sys.executable, "-c", ICEBERG])
    assert done.stdout.strip() == "of this table alone", done.stderr


S3FS = """
import os
import s3fs

fs = s3fs.S3FileSystem(
    key=os.environ["AWS_ACCESS_KEY_ID"], secret=os.environ["AWS_SECRET_ACCESS_KEY"],
    token=os.environ["AWS_SESSION_TOKEN"], endpoint_url=os.environ["AWS_ENDPOINT_URL"],
)
fs.pipe("sessions-s3fs/new", b"by s3fs")
assert fs.cat("sessions-s3fs/new") == b"by s3fs"
print("all went well")
"""


def test_s3fs(shared_server: Served) -> None:
    python = need("s3fs")
    keys = assume(shared_server, make_role(shared_server, "s3fs", "sessions-s3fs"))
    done = run_with(shared_server, keys, [python, "-c", S3FS])
    assert done.stdout.strip() == "all went well", done.stderr
