"""No request to STS ends in an internal error, whatever its parameters have in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from defusedxml.ElementTree import fromstring

import bleepstore
from bleepstore import Owner
from bleepstore_server import AppConfig
from bleepstore_server.transport import InProcessTransport

NASTY = [
    "", " ", "\x00", "\ud7ff\uffff", "é" * 700, "x" * 3000, "-1", "0", "9" * 30, "1e3", "NaN", "{}", "[]", "null",
    "[" * 2000,
    '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a": []}}}]}',
    '{"Statement": [{"Effect": "Allow", "Action": {"a": 1}, "Resource": 5}]}',
    '{"Statement": {"Effect": "Deny", "NotAction": [], "NotResource": ["arn:aws:s3:::${*}"]}}',
    "arn:aws:iam::alice:role/", "arn:aws:iam:::role/reader", "arn:aws:iam::alice:role/reader/../x",
    "eyJhbGciOiJub25lIn0.e30.",
    "a.b.c", "..", "%00", "'; DROP TABLE role; --",
]  # fmt: skip
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "alice"}, "Action": "sts:*"}]}
ROLE = {"RoleArn": "arn:aws:iam::alice:role/reader", "RoleSessionName": "job-1"}
GOOD: dict[str, dict[str, str]] = {
    "GetSessionToken": {},
    "AssumeRole": ROLE,
    "AssumeRoleWithWebIdentity": {**ROLE, "WebIdentityToken": "eyJhbGciOiJSUzI1NiJ9.e30.eA"},
    "GetCallerIdentity": {},
}
NAMES = (
    "Action", "Version", "RoleArn", "RoleSessionName", "WebIdentityToken", "Policy", "ExternalId", "ProviderId",
    "SourceIdentity", "DurationSeconds", "PolicyArns.member.1.arn", "Tags.member.1.Key",
)  # fmt: skip
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def transport() -> Iterator[InProcessTransport]:
    with bleepstore.open() as store:
        store.put_credential("ALICE", "a-secret", owner=Owner("alice"))
        store.put_role("reader", json.dumps(TRUST), {}, account=Owner("alice"))
        yield InProcessTransport(store, AppConfig(oidc_issuer=("https://id.example.org app",)))


def ask(transport: InProcessTransport, parameters: dict[str, str]) -> tuple[int, bytes]:
    """A signed request with these parameters."""
    body = urlencode(parameters).encode()
    request = AWSRequest("POST", "https://sts.amazonaws.com/", {"Content-Type": FORM}, body)
    SigV4Auth(Credentials("ALICE", "a-secret"), "sts", "us-east-1").add_auth(request)
    headers = [(name, str(value)) for name, value in request.headers.items()]
    with transport.request(
        "POST", "https://sts.amazonaws.com/", [*headers, ("Content-Length", str(len(body)))], body
    ) as answer:
        return answer.status, answer.read()


@pytest.mark.parametrize("action", GOOD)
def test_no_parameter_ends_in_an_internal_error(transport: InProcessTransport, action: str) -> None:
    good = {"Action": action, "Version": "2011-06-15", **GOOD[action]}
    status, body = ask(transport, good)
    assert status == (400 if action == "AssumeRoleWithWebIdentity" else 200), body
    for name in NAMES:
        for value in NASTY:
            status, body = ask(transport, {**good, name: value})
            assert status < 500, (name, value)
            assert body.startswith((b"<ErrorResponse ", f"<{action}Response ".encode()))
            fromstring(body)
