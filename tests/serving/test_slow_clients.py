"""Clients that are slow on purpose: none of them keeps a server from those that are not."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from bleepstore_server.http1.connection import Patience
from tests.serving.conftest import LEGACY_ACLS, Served, start
from tests.serving.rude import FEW, MANY, Rude, RudeClients, beside

Serve = Callable[..., Served]
ROUNDS = 5
GETS = 1000
MANY_OF_TLS = attrs.evolve(FEW, handshakes=200, bodies=200)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_others_are_served_while_the_rude_hold_on(serve: Serve, certificate: Path, scheme: str) -> None:
    served = serve(
        "--workers", "1", "--threads", "2", *LEGACY_ACLS, certificate=certificate if scheme == "https" else None
    )
    with beside(served, FEW), contextlib.closing(served.client(read_timeout=30)) as s3:
        for number in range(3):
            s3.put_object(Bucket="open", Key=f"small-{number}", Body=b"small")
            s3.put_object(Bucket="open", Key="larger", Body=bytes(200_000))
            assert s3.get_object(Bucket="open", Key=f"small-{number}")["Body"].read() == b"small"
            assert len(s3.get_object(Bucket="open", Key="larger")["Body"].read()) == 200_000
            assert s3.list_objects_v2(Bucket="open")["KeyCount"] == number + 3


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "rude"), [("http", MANY), ("https", MANY_OF_TLS)], ids=["http", "https"])
def test_many_rude_clients_cost_honest_ones_little(tmp_path: Path, certificate: Path, scheme: str, rude: Rude) -> None:
    """A quarter more of a GET's time, which is a fifth of its rate, and 100 ms at the 99th percentile of a health
    check: whatever looked at each of them would cost several times that. A server that they hold on to and one that
    they do not know take turns with each request, since other programs of the machine cost both."""
    tls = certificate if scheme == "https" else None
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("held", "free"):
            served = start(tmp_path / name, "--workers", "2", *LEGACY_ACLS, certificate=tls)
            stack.callback(served.stop)
            with contextlib.closing(served.client()) as s3:
                s3.create_bucket(Bucket="open", ACL="public-read-write")
                s3.put_object(Bucket="open", Key="large", Body=bytes(8 * 1024 * 1024), ACL="public-read")
                s3.put_object(Bucket="open", Key="small", Body=b"small", ACL="public-read")
            servers.append(served)
        held, free = servers
        seconds_of_a_get(held, free)
        memory = resident_of(held)
        stack.enter_context(beside(held, rude))
        connections = rude.idle + rude.headers + rude.bodies + rude.readers
        each = (resident_of(held) - memory) / connections
        rounds = [seconds_of_a_get(held, free) for _ in range(ROUNDS)]
        ratio = statistics.median(seconds / alone for seconds, alone in rounds)
        health = [(slowest_of_health(held), slowest_of_health(free)) for _ in range(ROUNDS)]
        slowest, usual = map(min, zip(*health, strict=True))
        sys.stdout.write(
            f"{scheme}: beside {connections} rude clients a GET takes {ratio:.2f} times as long; p99 of /healthz "
            f"{slowest * 1000:.1f} ms, without {usual * 1000:.1f}; {each / 1024:.1f} KiB of the workers for each\n"
        )
        assert slowest < usual + 0.1
        assert ratio < 1.25


def seconds_of_a_get(*servers: Served) -> list[float]:
    """The median time of a small GET at each of the servers, which take turns with each one."""
    found: list[list[float]] = [[] for _ in servers]
    with contextlib.ExitStack() as stack:
        pairs = [[stack.enter_context(connected(served)) for _ in range(2)] for served in servers]
        for number in range(GETS):
            for seconds, connections in zip(found, pairs, strict=True):
                connection = connections[number % 2]
                begun = time.perf_counter()
                connection.sendall(b"GET /open/small HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
                seconds.append(time.perf_counter() - begun)
    return [statistics.median(seconds) for seconds in found]


@contextlib.contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=30))
        if served.certificate is not None:
            context = ssl.create_default_context(cafile=str(served.certificate))
            made = stack.enter_context(context.wrap_socket(made, server_hostname="localhost"))
        yield made


def slowest_of_health(served: Served) -> float:
    """The 99th percentile of a health check in seconds."""
    tls = served.certificate
    context = None if tls is None else ssl.create_default_context(cafile=str(tls))
    seconds = []
    for _ in range(100):
        begun = time.perf_counter()
        with urllib.request.urlopen(f"{served.url}/healthz", timeout=30, context=context) as answer:
            assert answer.status == 200
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[98]


def resident_of(served: Served) -> int:
    """Bytes of memory of all workers."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


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
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", served.port), 5) as another:
            another.sendall(b"GET /healthz HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n")
            assert another.recv(65536)[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 503", b""), "there may be space or not"
    client = served.client(retries={"total_max_attempts": 5})
    client.create_bucket(Bucket="photos")
    client.close()
    assert served.process.poll() is None


@pytest.mark.parametrize("scheme", ["http", pytest.param("https", marks=pytest.mark.slow)])
def test_a_body_that_comes_too_slowly_is_ended(serve: Serve, certificate: Path, scheme: str) -> None:
    """It never stalls for as long as it may."""
    served = serve(
        "--workers", "1", "--client-timeout", "2", "--min-rate", "1000", *LEGACY_ACLS,
        certificate=certificate if scheme == "https" else None,
    )  # fmt: skip
    with contextlib.closing(served.client()) as s3:
        s3.create_bucket(Bucket="open", ACL="public-read-write")
    with contextlib.ExitStack() as stack:
        slow = RudeClients(served.port, stack, None if scheme == "http" else str(certificate)).connect()
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
    patience.waited += 4
    assert patience.left() == 6
    patience.moved += 300
    assert patience.left() == 9
    patience.waited += 9
    assert patience.left() == 0
    patience.moved += 1_000_000
    assert patience.left() == 10, "nobody may stall for longer"
    without_rate = Patience(10, 0)
    without_rate.waited += 1_000
    assert without_rate.left() == 10
