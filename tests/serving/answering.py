"""A loop whose requests are answered by a function, and plain clients of it."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

from bleepstore_server.http1.answers import GroupAnswers
from bleepstore_server.http1.bodies import RequestBody
from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.heads import Head
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool

Write = Callable[[Sequence[str]], object]


class Answering:
    """A loop that answers requests for names by `respond`, in the leader's thread; what a name has to have written is
    the name, of "read" nothing."""

    def __init__(self, write: Write | None = None, settings: Settings | None = None) -> None:
        self.respond: Callable[[str], bytes] = str.encode
        self.received: list[str] = []
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.pool = Pool(2)
        self.loop = Loop(settings or Settings(), self.pool, [self._listener], None, self._answer, _refuse)
        self.answers = GroupAnswers[str](self.loop, self.pool, write or (lambda _: None))
        self._adds = write is not None

    def _answer(self, connection: Connection, head: Head, _body: RequestBody) -> None:
        name = head.target[1:]
        self.received.append(name)
        if self._adds and name != "read":
            assert self.answers.add(name)
        body = self.respond(name)
        pieces = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body
        if not self.answers.take(connection, pieces, lambda: None):
            connection.send(*pieces)
            self.loop.post(connection.end_request)

    def connect(self) -> socket.socket:
        """A client that has had an answer."""
        client = socket.create_connection(self._listener.getsockname(), timeout=20)
        self._clients.append(client)
        ask(client, "hello")
        assert answer_of(client) == b"hello"
        return client

    def close(self) -> None:
        ended = threading.Event()

        def end() -> None:
            self.loop.stop_accepting()
            self.loop.end()
            ended.set()

        self.loop.post(end)
        assert ended.wait(20)
        self.pool.close()
        for client in self._clients:
            client.close()


def _refuse(connection: Connection, _refusal: object) -> None:
    connection.close()


@contextlib.contextmanager
def answering(write: Write | None = None, settings: Settings | None = None) -> Iterator[Answering]:
    server = Answering(write, settings)
    server.loop.start()
    try:
        yield server
    finally:
        server.close()


def ask(client: socket.socket, name: str) -> None:
    client.sendall(b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n" % name.encode())


def has_answer(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


def answer_of(client: socket.socket) -> bytes:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.read()


def ask_together(server: Answering, clients: dict[str, socket.socket], respond: Callable[[str], bytes]) -> None:
    """Have the requests of these clients ready in one round, whose answers are those of `respond`."""
    begun, goes_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        goes_on.wait(20)

    server.respond = respond
    server.loop.post(wait)
    assert begun.wait(20)
    for name, client in clients.items():
        ask(client, name)
    goes_on.set()
