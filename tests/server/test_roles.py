"""AssumeRole on the wire, and the ways in which clients get the credentials of a role by themselves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

from bleepstore.access import Caller
from bleepstore.roles import Role
from tests.server.conftest import ALICE, Server
from tests.server.test_sessions import Service, code_of, service

__all__ = ["service"]

REPORTS = "arn:aws:s3:::photos/reports/*"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def role(server: Server, service: Service) -> Role:
    trusts = {
        "Effect": "Allow",
        "Principal": {"AWS": ["alice-id", "bob-id"]},
        "Action": "sts:AssumeRole",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    allows = policy({"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": REPORTS})
    server.store.put_object("photos", "reports/1", b"kept", caller=Caller(ALICE))
    return server.store.put_role("reporter", policy(trusts), {"reports": allows}, account=ALICE)


def test_a_role_is_assumed(service: Service, role: Role) -> None:
    made = service.sts("bob", "bob-secret").assume_role(RoleArn=role.arn, RoleSessionName="nightly")
    arn = "arn:aws:sts::alice-id:assumed-role/reporter/nightly"
    assert made["AssumedRoleUser"] == {"AssumedRoleId": f"{role.id}:nightly", "Arn": arn}
    keys = made["Credentials"]
    s3 = service.s3(keys)
    assert s3.get_object(Bucket="photos", Key="reports/1")["Body"].read() == b"kept"
    assert code_of(lambda: s3.get_object(Bucket="photos", Key="other")) == (403, "AccessDenied")
    assert code_of(s3.list_buckets) == (403, "AccessDenied")
    sts = service.sts(keys["AccessKeyId"], keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    identity = sts.get_caller_identity()
    assert (identity["Arn"], identity["UserId"], identity["Account"]) == (arn, f"{role.id}:nightly", "alice-id")


def test_a_policy_goes_with_the_session(service: Service, role: Role) -> None:
    limit = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": REPORTS, "Sid": "x" * 1800})
    made = service.sts().assume_role(RoleArn=role.arn, RoleSessionName="nightly", Policy=limit)
    assert 90 < made["PackedPolicySize"] <= 100
    s3 = service.s3(made["Credentials"])
    assert s3.get_object(Bucket="photos", Key="reports/1")["Body"].read() == b"kept"
    assert code_of(lambda: s3.put_object(Bucket="photos", Key="reports/1", Body=b"")) == (403, "AccessDenied")
    url = s3.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "reports/1"})
    assert len(made["Credentials"]["SessionToken"]) < 2500
    assert len(url) < 4000, "of letters of one kind"


TOO_LONG = policy({"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": "x" * 2048})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"RoleArn": "arn:aws:iam::alice-id:role/missing"}, (403, "AccessDenied")),
        ({"RoleArn": "arn:aws:iam::nobody:role/reporter"}, (403, "AccessDenied")),
        ({"RoleArn": "reporter"}, (400, "ValidationError")),
        ({"RoleArn": ""}, (400, "ValidationError")),
        ({"RoleSessionName": "a b"}, (400, "ValidationError")),
        ({"RoleSessionName": ""}, (400, "ValidationError")),
        ({"DurationSeconds": 899}, (400, "ValidationError")),
        ({"DurationSeconds": 43_201}, (400, "ValidationError")),
        ({"DurationSeconds": 7200}, (400, "ValidationError")),
        ({"Policy": "{}"}, (400, "MalformedPolicyDocument")),
        ({"Policy": "\x00"}, (400, "MalformedPolicyDocument")),
        ({"Policy": TOO_LONG}, (400, "ValidationError")),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}]}, (400, "ValidationError")),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, (400, "ValidationError")),
        ({"TransitiveTagKeys": ["a"]}, (400, "ValidationError")),
        ({"SourceIdentity": "eve"}, (400, "ValidationError")),
        ({"SerialNumber": "a", "TokenCode": "123456"}, (400, "ValidationError")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value[1],
)
def test_what_no_session_of_a_role_may_be_is_refused(
    service: Service, role: Role, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    asked: dict[str, Any] = {"RoleArn": role.arn, "RoleSessionName": "nightly", **change}
    assert code_of(lambda: service.sts().assume_role(**asked)) == expected


def test_who_is_not_trusted_is_refused_as_if_there_were_no_role(service: Service, server: Server, role: Role) -> None:
    server.store.put_credential("eve", "eve-secret", owner=ALICE.__class__("eve-id"))
    sts = service.sts("eve", "eve-secret")

    def message_of(arn: str) -> str:
        with pytest.raises(ClientError) as caught:
            sts.assume_role(RoleArn=arn, RoleSessionName="nightly")
        return str(caught.value).replace(arn, "ROLE")

    assert message_of(role.arn) == message_of("arn:aws:iam::alice-id:role/missing")


def profile_of(path: Path, url: str, role: Role) -> Callable[[], Any]:
    path.write_text(
        f"""
[profile base]
aws_access_key_id = alice
aws_secret_access_key = alice-secret

[profile reports]
role_arn = {role.arn}
source_profile = base
role_session_name = nightly
region = us-east-1
endpoint_url = {url}
"""
    )
    return lambda: boto3.Session(botocore_session=botocore.session.Session(profile="reports"))


def test_a_profile_of_an_sdk_assumes_the_role(
    service: Service, role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    # The profile's endpoint is of its own clients; that of the provider of credentials is in the environment.
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.server.url)
    session = profile_of(tmp_path / "config", service.server.url, role)()
    with contextlib.closing(session.client("s3")) as s3, contextlib.closing(session.client("sts")) as sts:
        assert s3.get_object(Bucket="photos", Key="reports/1")["Body"].read() == b"kept"
        assert sts.get_caller_identity()["Arn"].endswith("assumed-role/reporter/nightly")
