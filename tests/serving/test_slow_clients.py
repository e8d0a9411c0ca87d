"""Clients that are slow on purpose: none of them keeps a server from those that are not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from bleepstore_server.http1.connection import Patience
from tests.serving.conftest import LEGACY_ACLS, Served, start

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Serve = Callable[..., Served]


@attrs.frozen
class Rude:
    """How many of each kind hold on to the server at the same time."""

    idle: int
    headers: int
    bodies: int
    readers: int
    handshakes: int


FEW = Rude(idle=200, headers=50, bodies=50, readers=50, handshakes=20)
MANY = Rude(idle=10_000, headers=1_000, bodies=1_000, readers=1_000, handshakes=200)


class RudeClients:
    """Connections that are open, of which some go on a byte at a time."""

    def __init__(self, served: Served, stack: contextlib.ExitStack) -> None:
        self._served = served
        self._stack = stack
        self._host = f"127.0.0.1:{served.port}"
        self._dripping: list[socket.socket] = []
        self._context = None
        if served.certificate is not None:
            self._context = ssl.create_default_context(cafile=str(served.certificate))

    def connect(self, tls: bool = True) -> socket.socket:
        made: socket.socket = self._stack.enter_context(socket.create_connection(("127.0.0.1", self._served.port), 60))
        if self._context is not None and tls:
            made = self._stack.enter_context(self._context.wrap_socket(made, server_hostname="localhost"))
        return made

    def hold(self, rude: Rude) -> None:
        for _ in range(rude.idle):
            self.connect()
        for _ in range(rude.bodies):  # into a bucket that anybody may write to
            self._begin(f"PUT /open/body HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(rude.readers):
            self._begin(f"GET /open/large HTTP/1.1\r\nHost: {self._host}\r\n\r\n", drips=False)
        for _ in range(rude.handshakes if self._context else 0):
            self.connect(tls=False).sendall(b"\x16\x03\x01")
        for _ in range(rude.headers):
            self._begin(f"GET / HTTP/1.1\r\nHost: {self._host}\r\nX-Drip: ")

    def _begin(self, text: str, drips: bool = True) -> None:
        connection = self.connect()
        connection.sendall(text.encode())
        if drips:
            self._dripping.append(connection)

    def drip(self) -> None:
        for connection in self._dripping:
            with contextlib.suppress(OSError):  # that one was cut off
                connection.sendall(b"x")


@contextlib.contextmanager
def beside(served: Served, rude: Rude) -> Iterator[tuple[RudeClients, S3Client]]:
    """The rude clients hold on to the server for the length of the block."""
    s3 = served.client(read_timeout=30, retries={"total_max_attempts": 1})
    s3.create_bucket(Bucket="open", ACL="public-read-write")
    s3.put_object(Bucket="open", Key="large", Body=bytes(8 * 1024 * 1024), ACL="public-read")
    with contextlib.ExitStack() as stack:
        stack.callback(s3.close)
        clients = RudeClients(served, stack)
        clients.hold(rude)
        yield clients, s3


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_others_are_served_while_the_rude_hold_on(serve: Serve, certificate: Path, scheme: str) -> None:
    served = serve(
        "--workers", "1", "--threads", "2", *LEGACY_ACLS, certificate=certificate if scheme == "https" else None
    )
    with beside(served, FEW) as (clients, s3):
        for number in range(3):
            clients.drip()
            s3.put_object(Bucket="open", Key=f"small-{number}", Body=b"small")
            s3.put_object(Bucket="open", Key="larger", Body=bytes(200_000))
            assert s3.get_object(Bucket="open", Key=f"small-{number}")["Body"].read() == b"small"
            assert len(s3.get_object(Bucket="open", Key="larger")["Body"].read()) == 200_000
            assert s3.list_objects_v2(Bucket="open")["KeyCount"] == number + 3


@pytest.mark.slow
def test_thousands_of_rude_clients(tmp_path: Path) -> None:
    """What is asserted is far from what it takes on a machine that does nothing else: it prints that."""
    served = start(tmp_path / "data", "--workers", "2", *LEGACY_ACLS)
    try:
        alone = rate_of(served)
        with beside(served, MANY) as (clients, s3):
            seconds = []
            for _ in range(200):
                clients.drip()
                begun = time.perf_counter()
                with urllib.request.urlopen(f"{served.url}/healthz", timeout=30) as answer:
                    assert answer.status == 200
                seconds.append(time.perf_counter() - begun)
            s3.put_object(Bucket="open", Key="small", Body=b"small")
            besides = rate_of(served)
        slowest = sorted(seconds)[int(0.99 * len(seconds))]
        sys.stdout.write(f"p99 of /healthz {slowest * 1000:.1f} ms; {alone:.0f} requests/s alone, now {besides:.0f}\n")
        assert slowest < 2
    finally:
        served.stop()


def rate_of(served: Served) -> float:
    """Requests a second of one client on one connection."""
    count = 500
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        begun = time.perf_counter()
        for _ in range(count):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return count / (time.perf_counter() - begun)


def test_a_connection_too_many_is_told_so(serve: Serve) -> None:
    served = serve("--workers", "1", "--max-connections", "3")
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30)) for _ in range(3)]
        for connection in idle:  # each is served, so that it has been accepted
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", served.port), 30) as late:
            answer = late.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"<Code>SlowDown</Code>" in answer
    # Those that have ended make space for others.
    client = served.client(retries={"total_max_attempts": 5})
    assert client.list_buckets()["Buckets"] == []
    client.close()


def test_a_server_with_few_descriptors_goes_on(serve: Serve) -> None:
    served = serve("--workers", "1", descriptors=128)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{served.url}/healthz", timeout=5)  # there may be space or not
    client = served.client(retries={"total_max_attempts": 5})
    client.create_bucket(Bucket="photos")
    client.close()
    assert served.process.poll() is None


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_body_that_comes_too_slowly_is_ended(serve: Serve, certificate: Path, scheme: str) -> None:
    """It never stalls for as long as it may."""
    served = serve(
        "--workers", "1", "--client-timeout", "2", "--min-rate", "1000", *LEGACY_ACLS,
        certificate=certificate if scheme == "https" else None,
    )  # fmt: skip
    with contextlib.closing(served.client()) as s3:
        s3.create_bucket(Bucket="open", ACL="public-read-write")
    with contextlib.ExitStack() as stack:
        slow = RudeClients(served, stack).connect()
        slow.sendall(b"PUT /open/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        slow.settimeout(0.2)
        answer = b""
        while not answer:
            slow.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 400 ")


def test_patience() -> None:
    patience = Patience(10, 100)
    assert patience.left() == 10
    patience.waited(4)
    assert patience.left() == 6
    patience.moved += 300
    assert patience.left() == 9
    patience.waited(9)
    assert patience.left() == 0
    patience.moved += 1_000_000
    assert patience.left() == 10, "nobody may stall for longer"
    without_rate = Patience(10, 0)
    without_rate.waited(1_000)
    assert without_rate.left() == 10
