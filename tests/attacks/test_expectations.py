"""Clients that wait for "100 Continue" (RFC 9110 section 10.1.1): asked once, and only for what is taken."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import bleepstore
from bleepstore_server import AppConfig
from bleepstore_server.live import live_server
from tests.serving.conftest import ACCESS_KEY, LEGACY_ACLS, SECRET_KEY, certificate, start

__all__ = ["certificate"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OPEN, PRIVATE = "/open/k", "/photos/k"


class Client:
    """Connections to a server that has an open and a private bucket."""

    def __init__(self, url: str, certificate: Path | None, *, reads_on: bool) -> None:
        """`reads_on`: the server reads what comes after its answer until the client says that there is no more."""
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 0)
        self._reads_on = reads_on
        self._tls = None if certificate is None else ssl.create_default_context(cafile=str(certificate))

    @contextlib.contextmanager
    def connect(self) -> Iterator[socket.socket]:
        with socket.create_connection(self.address, timeout=30) as connection:
            if self._tls is None:
                yield connection
            else:
                with self._tls.wrap_socket(connection, server_hostname=self.address[0]) as wrapped:
                    yield wrapped

    def exchange(self, head: str, body: bytes = b"", asked: bool = False) -> bytes:
        """All that is answered to one request until the connection ends; `body` is sent once there was an answer."""
        with self.connect() as connection:
            connection.sendall(head.encode("latin-1"))
            received = connection.recv(len(CONTINUE) if asked else 65536)
            if body:
                with contextlib.suppress(OSError):  # the server need not wait for it
                    connection.sendall(body)
                    if self._reads_on:
                        connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(65536):
                    received += data
        return received


@pytest.fixture(scope="module", params=["gunicorn", "gunicorn-tls", "live_server"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: Path
) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        if request.param == "live_server":
            config = AppConfig(access_key=ACCESS_KEY, secret_key=SECRET_KEY)
            store = stack.enter_context(bleepstore.open(acl_defaults="legacy"))
            live = stack.enter_context(live_server(store, config=config))
            url, tls, s3 = live.url, None, live.client()
        else:
            tls = certificate if request.param == "gunicorn-tls" else None
            data = tmp_path_factory.mktemp("expecting") / "data"
            served = start(data, "--workers", "1", *LEGACY_ACLS, certificate=tls)
            stack.callback(served.stop)
            url, s3 = served.url, served.client()
        with contextlib.closing(s3):
            s3.create_bucket(Bucket="photos")
            s3.create_bucket(Bucket="open", ACL="public-read-write")
            s3.put_object(Bucket="open", Key="kept", Body=b"kept", ACL="public-read")
        yield Client(url, tls, reads_on=request.param == "live_server")


def head(method: str, target: str, *fields: str, length: int | None = 4) -> str:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""])


EXPECT = "Expect: 100-continue"


def test_a_body_that_is_taken_is_asked_for_once(client: Client) -> None:
    answer = client.exchange(head("PUT", OPEN, EXPECT, "Connection: close"), b"data", asked=True)
    assert answer.startswith(CONTINUE + b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"100 Continue") == 1
    answer = client.exchange(head("GET", OPEN, "Connection: close", length=None))
    assert answer.endswith(b"\r\n\r\ndata")


def test_a_chunked_body_is_asked_for_once(client: Client) -> None:
    fields = (EXPECT, "Transfer-Encoding: chunked", "Connection: close")
    answer = client.exchange(head("PUT", OPEN, *fields, length=None), b"6\r\nchunks\r\n0\r\n\r\n", asked=True)
    assert answer.startswith(CONTINUE + b"HTTP/1.1 200 OK\r\n")
    assert client.exchange(head("GET", OPEN, "Connection: close", length=None)).endswith(b"\r\n\r\nchunks")


def test_a_connection_goes_on_after_a_body_that_was_asked_for(client: Client) -> None:
    """And what was asked for on one request is not taken for asked on the next."""
    with client.connect() as connection:
        for _ in range(3):
            connection.sendall(head("PUT", OPEN, EXPECT).encode())
            assert connection.recv(len(CONTINUE)) == CONTINUE
            connection.sendall(b"data")
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            if b"\r\nconnection: close\r\n" in answer.lower():
                return  # the live server ends each connection with its answer


REFUSED = [
    ("PUT", PRIVATE, (), b"403"),
    ("PUT", "/absent/k", (), b"404"),
    ("PUT", f"{PRIVATE}?uploadId=x&partNumber=1", (), b"403"),
    ("PUT", f"{OPEN}?uploadId=x&partNumber=1", (), b"404"),
    ("POST", f"{PRIVATE}?uploadId=x", (), b"403"),
    ("POST", "/photos?delete", (), b"403"),
    ("PUT", "/photos?acl", (), b"403"),
    ("PUT", f"{PRIVATE}?acl", (), b"403"),
    ("PUT", "/made", (), b"403"),
    ("PUT", OPEN, ("Authorization: AWS4-HMAC-SHA256 x",), b"400"),
    ("PUT", OPEN, ("x-amz-content-sha256: x",), b"400"),
    ("PUT", OPEN, ("x-amz-meta-a: " + "x" * 3000,), b"400"),
    ("PUT", OPEN, ("x-amz-checksum-crc32: x",), b"400"),
    ("PUT", OPEN, ("If-Match: *",), b"501"),
]


@pytest.mark.parametrize("length", [4, 100_000, None], ids=["short", "long", "chunked"])
def test_a_body_that_is_refused_is_not_asked_for(client: Client, length: int | None) -> None:
    """Nor is it taken for the next request, whatever it looks like, if it comes nevertheless."""
    smuggled = head("GET", "/open/kept", length=None).encode()
    for method, target, fields, status in REFUSED:
        framing = ("Transfer-Encoding: chunked",) if length is None else ()
        answer = client.exchange(head(method, target, EXPECT, *framing, *fields, length=length), smuggled)
        assert answer.split(b" ")[1] == status, (method, target, fields, answer)
        assert answer.count(b"HTTP/1.1 ") == 1, answer
        assert b"\r\nconnection: close\r\n" in answer.lower(), answer


def test_a_body_that_nobody_reads_is_not_taken_for_a_request(client: Client) -> None:
    """The answer is a success, and the body was never needed."""
    smuggled = head("GET", "/open/kept", length=None).encode()
    for method, target, fields in (
        ("GET", "/open/kept", ()),
        ("DELETE", "/open/absent", ()),
        ("PUT", "/open/copy", ("x-amz-copy-source: /open/kept",)),
    ):
        answer = client.exchange(head(method, target, EXPECT, *fields, length=len(smuggled)), smuggled)
        assert answer.split(b" ")[1] in (b"200", b"204"), answer
        assert answer.count(b"HTTP/1.1 ") == 1, answer


def test_an_old_client_is_not_asked(client: Client) -> None:
    """ "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation." """
    request = head("PUT", OPEN, EXPECT).replace("HTTP/1.1", "HTTP/1.0")
    with client.connect() as connection:
        connection.sendall(request.encode() + b"data")
        received = b""
        while data := connection.recv(65536):
            received += data
    assert b"100 Continue" not in received
    assert received.split(b" ")[1] == b"200"
