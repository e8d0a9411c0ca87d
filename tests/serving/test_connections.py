"""One connection and many requests: in what order they are answered, and when the connection ends."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool
from tests.serving.conftest import LEGACY_ACLS, Served, start

Connect = Callable[[], contextlib.AbstractContextManager[socket.socket]]


@pytest.fixture(scope="module", params=["http", "https"])
def connect(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: Path
) -> Iterator[Connect]:
    tls = certificate if request.param == "https" else None
    served: Served = start(tmp_path_factory.mktemp("served") / "data", "--workers", "1", *LEGACY_ACLS, certificate=tls)
    with contextlib.closing(served.client()) as s3:
        s3.create_bucket(Bucket="open", ACL="public-read-write")
    context = None if tls is None else ssl.create_default_context(cafile=str(tls))

    @contextlib.contextmanager
    def connected() -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as plain:
            if context is None:
                yield plain
            else:
                with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                    yield wrapped

    yield connected
    served.end()


def put(key: str, body: bytes, *fields: str) -> bytes:
    lines = (f"PUT /open/{key} HTTP/1.1", "Host: x", "x-amz-acl: public-read", f"Content-Length: {len(body)}", *fields)
    return "\r\n".join((*lines, "", "")).encode() + body


def get(key: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} /open/{key} HTTP/{version}", "Host: x", *fields, "", "")).encode()


class Answers:
    """What comes back on a connection, answer by answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def _more(self) -> bool:
        data = self._connection.recv(65536)
        self._buffer += data
        return bool(data)

    def next(self, has_body: bool = True) -> tuple[int, bytes]:
        """(status, body) of the next answer."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._more(), "the connection ended"
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        size = int(length[1]) if length and has_body else 0
        while len(self._buffer) < size:
            assert self._more(), "the body ended"
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return int(head.split(b" ")[1]), body

    def has_ended(self) -> bool:
        return not self._buffer and not self._more()


SMALL, LARGE = b"small", bytes(range(256)) * 2048


def test_requests_that_come_at_once_are_answered_in_their_order(connect: Connect) -> None:
    """Small and large bodies go different ways within the server."""
    sent = [put("a", SMALL), put("b", LARGE), get("a"), get("b"), get("a", method="HEAD"), put("a", b"other"), get("a")]
    sent += [b"\r\n" + get("absent"), get("b", "Range: bytes=0-1"), get("a", "Connection: close")]
    with connect() as connection:
        connection.sendall(b"".join(sent))  # only the large body is more than the socket takes, and that is read
        answers = Answers(connection)
        found = [answers.next(not request.startswith(b"HEAD")) for request in sent]
        assert [status for status, _body in found] == [200, 200, 200, 200, 200, 200, 200, 404, 206, 200]
        bodies = [body for _status, body in found]
        assert (bodies[2], bodies[4], bodies[6], bodies[8], bodies[9]) == (SMALL, b"", b"other", b"\0\1", b"other")
        assert bodies[3] == LARGE
        assert answers.has_ended()


def test_a_request_in_pieces_of_a_byte(connect: Connect) -> None:
    with connect() as connection:
        for byte in put("bytes", b"abc", "Connection: close"):
            connection.sendall(bytes([byte]))
        answers = Answers(connection)
        assert answers.next()[0] == 200
        assert answers.has_ended()


def test_a_connection_of_http_1_0_ends_unless_it_is_asked_to_go_on(connect: Connect) -> None:
    with connect() as connection:
        connection.sendall(put("old", SMALL))
        answers = Answers(connection)
        assert answers.next()[0] == 200
        connection.sendall(get("old", "Connection: keep-alive", version="1.0"))
        assert answers.next() == (200, SMALL)
        connection.sendall(get("old", version="1.0"))
        assert answers.next() == (200, SMALL)
        assert answers.has_ended()


def test_a_target_with_a_host_is_read(connect: Connect) -> None:
    """ "A server MUST accept the absolute-form in requests" (RFC 9112 section 3.2.2)."""
    with connect() as connection:
        connection.sendall(put("whole", SMALL) + b"GET http://x/open/whole HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = Answers(connection)
        assert [answers.next(), answers.next()] == [(200, b""), (200, SMALL)]


def test_a_body_that_nobody_reads_does_not_become_a_request(connect: Connect) -> None:
    with connect() as connection:
        hidden = get("hidden")
        connection.sendall(put("a", SMALL) + get("a", f"Content-Length: {len(hidden)}") + hidden + get("a"))
        answers = Answers(connection)
        assert [answers.next() for _ in range(3)] == [(200, b""), (200, SMALL), (200, SMALL)]


def test_a_body_that_is_wrong_and_was_read_to_its_end_ends_no_connection(connect: Connect) -> None:
    fields = ("x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-trailer: x-amz-checksum-crc32")
    bad = put("bad", b"5\r\nsmall\r\n0\r\n\r\n", "x-amz-decoded-content-length: 5", *fields)
    with connect() as connection:
        connection.sendall(put("a", SMALL) + bad + get("a"))
        answers = Answers(connection)
        assert answers.next() == (200, b"")
        status, body = answers.next()
        assert status == 400
        assert b"<Code>MalformedTrailerError</Code>" in body
        assert answers.next() == (200, SMALL)


def test_large_bodies_pass_whole_both_ways(connect: Connect) -> None:
    body = hashlib.shake_128(b"large").digest(9_000_001)
    with connect() as connection:
        connection.sendall(put("large", body))
        answers = Answers(connection)
        assert answers.next()[0] == 200
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:100_000], body[100_000:], b""))
        head = put("chunked", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        connection.sendall(head + chunks + get("chunked"))
        assert answers.next()[0] == 200
        assert answers.next() == (200, body)
        connection.sendall(get("large"))
        assert answers.next() == (200, body)


def test_writes_that_come_at_once_are_all_there(connect: Connect) -> None:
    """They share transactions."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect()) for _ in range(50)]
        for turn in range(3):
            for number, connection in enumerate(connections):
                connection.sendall(put(f"many-{number}", b"%d %d" % (turn, number)))
            for connection in connections:
                assert Answers(connection).next()[0] == 200
        for number, connection in enumerate(connections):
            connection.sendall(get(f"many-{number}"))
            assert Answers(connection).next() == (200, b"2 %d" % number)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let a socket choose")
def test_within_the_machine_answers_are_not_paced() -> None:
    begun: queue.SimpleQueue[Connection] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # What is accepted would have the same.
        default = "bbr" if "bbr" in Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text() else "cubic"
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, default.encode())
        listener.setblocking(False)
        pool = Pool(1)
        loop = Loop(Settings(), pool, [listener], None, lambda connection, *_: begun.put(connection), lambda *_: None)
        loop.start()
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: local\r\n\r\n")
            name = begun.get(timeout=20).sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        loop.post(loop.end)
        pool.close()
    assert name.rstrip(b"\0") == b"reno"
