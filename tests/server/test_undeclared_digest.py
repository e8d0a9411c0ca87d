"""Requests of version 4 that do not say the digest of their body: refused by default, as AWS does."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import attrs
import pytest

import bleepstore
from bleepstore_server import AppConfig
from bleepstore_server.live import live_server
from bleepstore_server.wire.bodies import MAX_UNDECLARED
from tests.server.tools import Answer, Wire

KEYS = {"access_key": "alice", "secret_key": "alice-secret"}


@pytest.fixture(params=[True, False], ids=["required", "not-required"])
def required(request: pytest.FixtureRequest) -> bool:
    value: bool = request.param
    return value


@pytest.fixture
def wire(required: bool) -> Iterator[Wire]:
    config = AppConfig(**KEYS, require_content_sha256=required)  # type: ignore[arg-type]  # strings by name
    with bleepstore.open() as store, live_server(store, config=config) as server:
        store.create_bucket("photos")
        store.put_object("photos", "kept", b"kept")
        yield Wire(server.url)


def send(wire: Wire, method: str, target: str, body: bytes, signed: bytes | None = None) -> Answer:
    """A request that is signed with the digest of `signed`, and does not say so."""
    digest = hashlib.sha256(body if signed is None else signed).hexdigest()
    headers = wire.sign_without_digest(method, target, digest)
    return wire.send(method, target, body, headers, signed=False)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 70_000, 3_000_000])
def test_a_body_whose_digest_is_not_said(wire: Wire, required: bool, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = send(wire, "PUT", "/photos/k", body)
    if required:
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert "x-amz-content-sha256" in answer.error["Message"]
        return
    assert answer.status == 200, answer
    assert send(wire, "GET", "/photos/k", b"").body == body


def test_a_body_that_is_another(wire: Wire, required: bool) -> None:
    for body in (b"other", b"y" * 100_000):
        answer = send(wire, "PUT", "/photos/k", body, signed=b"data")
        assert answer.code == ("InvalidRequest" if required else "SignatureDoesNotMatch")
    assert wire.send("GET", "/photos/k").code == "NoSuchKey"


@pytest.mark.parametrize("wrong", ["key", "date", "header"])
def test_a_body_is_not_read_for_whoever_cannot_have_signed(wire: Wire, required: bool, wrong: str) -> None:
    """What can be seen to be wrong without the body is refused before it is asked for."""
    sender = attrs.evolve(wire, access_key="nobody") if wrong == "key" else wire
    digest = hashlib.sha256(b"data").hexdigest()
    at = 1_000_000_000.0 if wrong == "date" else None
    headers = sender.sign("PUT", "/photos/k", {"x-amz-content-sha256": ""}, digest, at)
    if wrong == "header":
        headers["x-amz-acl"] = "public-read"  # which is not signed
    headers |= {"Expect": "100-continue", "Content-Length": "4"}
    lines = ["PUT /photos/k HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    host, _, port = wire.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")


def test_a_body_too_large_to_keep(wire: Wire, required: bool) -> None:
    headers = wire.sign_without_digest("PUT", "/photos/k", hashlib.sha256(b"").hexdigest())
    headers["Content-Length"] = str(MAX_UNDECLARED + 1)
    answer = wire.send("PUT", "/photos/k", b"", headers, signed=False)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
