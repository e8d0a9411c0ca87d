"""Clients that hold on to a server: `python -m tests.serving.rude PORT COUNTS [CERTIFICATE]`.

They are a process of their own, so that they do not slow down the client that is measured. It needs a bucket "open"
that anybody may write to, with an object "large" that anybody may read; prints a line when all are there, and goes on,
each with a byte a second, until its standard input ends. Those that drip and are cut off are replaced.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from tests.serving.conftest import Served

_TURNS = 20
"""In a second."""


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

    def __init__(self, port: int, stack: contextlib.ExitStack, certificate: str | None) -> None:
        self._port = port
        self._stack = stack
        #: Each with what it begins with.
        self._dripping: list[tuple[socket.socket, bytes, bool]] = []
        self._next = 0
        self._context = None if certificate is None else ssl.create_default_context(cafile=certificate)

    def connect(self, tls: bool = True) -> socket.socket:
        made: socket.socket = self._stack.enter_context(socket.create_connection(("127.0.0.1", self._port), 60))
        if self._context is not None and tls:
            made = self._stack.enter_context(self._context.wrap_socket(made, server_hostname="localhost"))
        return made

    def hold(self, rude: Rude) -> None:
        for _ in range(rude.idle):
            self.connect()
        for _ in range(rude.bodies):
            self._begin(b"PUT /open/body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(rude.readers):
            self.connect().sendall(b"GET /open/large HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(rude.handshakes if self._context else 0):
            self._begin(b"\x16\x03\x01\x20\x00", tls=False)  # the beginning of a record of 8 KiB
        for _ in range(rude.headers):
            self._begin(b"GET / HTTP/1.1\r\nHost: x\r\nX-Drip: ")

    def _begin(self, text: bytes, tls: bool = True) -> None:
        connection = self.connect(tls)
        connection.sendall(text)
        self._dripping.append((connection, text, tls))

    def drip(self, share: int = 1) -> None:
        """Have one in `share` of them send a byte."""
        count = -(-len(self._dripping) // share)
        for _ in range(count):
            self._next = (self._next + 1) % len(self._dripping)
            connection, text, tls = self._dripping[self._next]
            try:
                connection.sendall(b"x")
            except OSError:
                connection.close()
                with contextlib.suppress(OSError):
                    connection = self.connect(tls)
                    connection.sendall(text)
                    self._dripping[self._next] = connection, text, tls


@contextlib.contextmanager
def beside(served: Served, rude: Rude) -> Iterator[None]:
    """The rude clients hold on to the server for the length of the block."""
    with contextlib.closing(served.client()) as s3:
        if "open" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket="open", ACL="public-read-write")
            s3.put_object(Bucket="open", Key="large", Body=bytes(8 * 1024 * 1024), ACL="public-read")
    counts = ",".join(map(str, attrs.astuple(rude)))
    command = [sys.executable, "-m", "tests.serving.rude", str(served.port), counts]
    if served.certificate is not None:
        command.append(str(served.certificate))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "all are there\n"
        yield
    finally:
        process.communicate("")


def main() -> None:
    port, counts = int(sys.argv[1]), sys.argv[2]
    certificate = sys.argv[3] if len(sys.argv) > 3 else None
    with contextlib.ExitStack() as stack:
        clients = RudeClients(port, stack, certificate)
        clients.hold(Rude(*map(int, counts.split(","))))
        sys.stdout.write("all are there\n")
        sys.stdout.flush()
        due = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            due += 1 / _TURNS
            clients.drip(_TURNS)


if __name__ == "__main__":
    main()
