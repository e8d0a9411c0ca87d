"""Until when a connection waits for its client, between requests and within the head of one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bleepstore_server.http1.bodies import RequestBody
from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.heads import Head
from bleepstore_server.http1.settings import Settings

HEAD = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"


class Loop:
    """Keeps what its connection asks for."""

    settings = Settings(header_seconds=5, stall_seconds=1000, keepalive_seconds=500)
    idle_seconds = 500.0
    leader = None

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.calls: list[Callable[[], object]] = []

    def begin_request(self, _connection: Connection, head: Head, _body: RequestBody) -> None:
        self.targets.append(head.target)

    def soon(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


class Client:
    """A client, and the connection that it has with a loop. `receive` gives the deadline after what was sent."""

    def __init__(self, sock: socket.socket, connection: Connection, loop: Loop) -> None:
        self._sock = sock
        self.connection = connection
        self.loop = loop

    def receive(self, data: bytes) -> float | None:
        self._sock.sendall(data)
        self.connection.on_ready()
        return self.connection.deadline


@pytest.fixture
def client() -> Iterator[Client]:
    loop: Any = Loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = Connection(loop, ours, "", "")
        connection.begin()
        yield Client(theirs, connection, loop)


def test_the_time_of_a_head_begins_with_its_first_byte(client: Client) -> None:
    connection, loop = client.connection, client.loop
    assert connection.deadline is not None
    before = connection.deadline
    first = client.receive(b"GET /1 HT")
    assert first is not None
    assert first < before - 900
    assert client.receive(b"TP/1.1\r\n") == first
    assert client.receive(b"Host: x\r\n\r\nGET /2 HTTP/1.1\r\n") is None
    assert loop.targets == ["/1"]

    connection.end_request()
    between = connection.deadline
    loop.calls.pop()()  # what came of the next one
    assert connection.deadline < between - 400
    assert client.receive(b"Host: x\r\n\r\n") is None
    assert loop.targets == ["/1", "/2"]


def test_empty_lines_before_a_head_gain_no_time(client: Client) -> None:
    deadlines = [client.receive(data) for data in (b"\r", b"\n\r", b"\n")]
    assert deadlines == [deadlines[0]] * 3


@pytest.mark.parametrize("pieces", [[b"\r\n" + HEAD], [b"\r", b"\n", HEAD], [b"\r\n", HEAD]], ids=len)
def test_an_empty_line_before_a_head_is_ignored(client: Client, pieces: list[bytes]) -> None:
    for data in pieces:
        client.receive(data)
    assert client.loop.targets == ["/1"]
    assert not client.connection.buffer
