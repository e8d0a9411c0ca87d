"""The answers of a round leave together, behind what has to be written before, whatever hangs meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import signal
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

import pytest

from bleepstore_server.http1 import loop
from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Task, current_task
from tests.serving.answering import Answering, answer_of, answering, ask, ask_together, has_answer
from tests.serving.conftest import Served
from tests.serving.test_reload import workers_of


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers wait for those of others, however busy the machine is."""
    monkeypatch.setattr(loop, "_MAX_SECONDS", 60.0)


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as server:
        yield server


def test_the_answers_of_a_round_leave_when_all_are_ready(server: Answering) -> None:
    clients = {name: server.connect() for name in "abc"}
    had: list[bool] = []

    def respond(name: str) -> bytes:
        had.extend(has_answer(client) for client in clients.values())
        return name.encode()

    ask_together(server, clients, respond)
    assert [answer_of(client) for client in clients.values()] == [b"a", b"b", b"c"]
    assert had == 9 * [False]


def test_a_round_takes_in_what_comes_while_it_is_carried_out(server: Answering) -> None:
    """But not for ever: each request here has the next one come."""
    clients = [server.connect() for _ in range(8)]
    had: list[bool] = []

    def respond(name: str) -> bytes:
        number = int(name)
        had.append(has_answer(clients[0]))
        if number + 1 < len(clients):
            ask(clients[number + 1], str(number + 1))
        return name.encode()

    server.respond = respond
    ask(clients[0], "0")
    assert [answer_of(client) for client in clients[1:]] == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
    assert had == 5 * [False] + 3 * [True]


def test_an_answer_does_not_wait_long_for_those_of_others(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {name: server.connect() for name in "abc"}
    had: list[int] = []
    last = threading.Event()

    def respond(name: str) -> bytes:
        had.append(sum(map(has_answer, clients.values())))
        if len(had) == len(clients):
            last.set()
        return name.encode()

    monkeypatch.setattr(loop, "_MAX_SECONDS", 0.0)
    ask_together(server, clients, respond)
    assert last.wait(20)
    assert [answer_of(client) for client in clients.values()] == [b"a", b"b", b"c"]
    assert had == [0, 1, 2]


def test_a_client_that_does_not_read_keeps_back_no_other_answer(server: Answering) -> None:
    clients = {name: server.connect() for name in "abc"}
    large = os.urandom(16 << 20)
    ask_together(server, clients, lambda name: large if name == "a" else name.encode())
    assert answer_of(clients["b"]) == b"b"
    assert answer_of(clients["c"]) == b"c"
    assert answer_of(clients["a"]) == large
    ask(clients["a"], "b")
    assert answer_of(clients["a"]) == b"b", "its connection goes on"


def test_a_client_that_went_away_keeps_back_no_other_answer(server: Answering) -> None:
    clients = {name: server.connect() for name in "abc"}

    def respond(name: str) -> bytes:
        if clients["a"].fileno() >= 0:
            clients["a"].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            clients["a"].close()
        return name.encode()

    ask_together(server, clients, respond)
    assert answer_of(clients["b"]) == b"b"
    assert answer_of(clients["c"]) == b"c"
    counts: SimpleQueue[int] = SimpleQueue()
    count = 3
    while count == 3:
        server.loop.post(lambda: counts.put(len(server.loop.connections)))
        count = counts.get(timeout=20)
    assert count == 2


def test_a_request_that_hangs_keeps_back_no_other_answer(server: Answering) -> None:
    clients = {name: server.connect() for name in "ab"}
    hangs, goes_on = threading.Event(), threading.Event()

    def respond(name: str) -> bytes:
        if len(server.received) == 4:  # the hellos, and the other one
            hangs.set()
            goes_on.wait(20)
        return name.encode()

    ask_together(server, clients, respond)
    assert hangs.wait(20)
    first, second = server.received[2:]
    for _ in range(2):  # it is the same call as a moment ago
        server.loop.relieve()
    assert answer_of(clients[first]) == first.encode()
    assert not has_answer(clients[second])
    goes_on.set()
    assert answer_of(clients[second]) == second.encode()


def test_who_reads_slowly_is_served_while_a_request_hangs(server: Answering) -> None:
    clients = {name: server.connect() for name in "ab"}
    large = os.urandom(16 << 20)
    hangs, goes_on = threading.Event(), threading.Event()

    def respond(name: str) -> bytes:
        if name == "a":
            return large
        hangs.set()
        assert goes_on.wait(20)
        return name.encode()

    server.respond = respond
    ask(clients["a"], "a")
    first = clients["a"].recv(1000)
    ask(clients["b"], "b")
    assert hangs.wait(20)
    for _ in range(2):  # it is the same call as a moment ago
        server.loop.relieve()
    answer = bytearray(first)
    while not answer.endswith(large[-1000:]):
        answer += clients["a"].recv(1 << 20)
    assert answer.partition(b"\r\n\r\n")[2] == large
    goes_on.set()
    assert answer_of(clients["b"]) == b"b"


def test_requests_that_wait_behind_a_long_answer_are_told_apart(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One and a half have come with the first, and the rest comes in the round in which the long answer ends."""
    one, other = server.connect(), server.connect()
    heads = b"".join(b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n" % name for name in (b"first", b"second", b"third"))
    send_now = Connection.send_now

    def send_little(connection: Connection, pieces: Sequence[bytes | memoryview]) -> int:
        monkeypatch.undo()
        monkeypatch.setattr(loop, "_MAX_SECONDS", 60.0)
        one.sendall(heads[-10:])
        ask(other, "meanwhile")
        return send_now(connection, [pieces[0][:1]])

    monkeypatch.setattr(Connection, "send_now", send_little)
    one.sendall(heads[:-10])
    answers = b""
    while not answers.endswith(b"third") and (data := one.recv(1000)):
        answers += data
    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.index(b"first") < answers.index(b"second")


def test_a_connection_keeps_nothing_of_an_answer_that_was_sent(server: Answering) -> None:
    client = server.connect()
    large = os.urandom(16 << 20)
    server.respond = lambda name: large if name == "large" else name.encode()
    tracemalloc.start()
    try:
        for name in ("large", "small"):
            ask(client, name)
            answer_of(client)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


def test_who_reads_nothing_for_too_long_is_given_up() -> None:
    with answering(settings=Settings(stall_seconds=0.05)) as server:
        client = server.connect()
        server.respond = lambda _name: bytes(64 << 20)
        ask(client, "a")
        ended: SimpleQueue[bool] = SimpleQueue()
        while True:
            server.loop.post(lambda: ended.put(not server.loop.connections))
            if ended.get(timeout=20):
                break
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer_of(client)


def test_who_is_too_slow_is_told_in_the_round_that_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(settings=Settings(header_seconds=0.05)) as slow:

        def respond(name: str) -> bytes:
            (connection,) = slow.loop.connections
            connection.hurry()
            with pytest.raises(TimeoutError):
                connection.receive(1)
            monkeypatch.setattr(loop, "_TICK_SECONDS", 60.0)  # nothing else wakes the loop
            return name.encode()

        client = slow.connect()
        slow.respond = respond
        ask(client, "late")
        assert answer_of(client) == b"late"


# -- what is written before


def test_all_of_a_round_is_written_together_before_the_first_is_answered() -> None:
    clients: dict[str, socket.socket] = {}
    written: list[tuple[list[str], list[bool]]] = []

    def write(names: Sequence[str]) -> None:
        written.append((list(names), [has_answer(client) for client in clients.values()]))

    with answering(write) as server:
        clients |= {name: server.connect() for name in "abcde"}
        written.clear()
        ask_together(server, clients, str.encode)
        assert sorted(map(answer_of, clients.values())) == [b"a", b"b", b"c", b"d", b"e"]
        assert not server.answers.add("f"), "another thread has to write for itself"
    assert written == [(server.received[5:], 5 * [False])]


def test_a_write_that_hangs_holds_its_own_answers() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    writes: list[list[str]] = []

    def write(names: Sequence[str]) -> None:
        writes.append(sorted(names))
        if "a" in names:
            begun.set()
            goes_on.wait(20)

    with answering(write) as server:
        clients = {name: server.connect() for name in "abcdef"}
        other = server.connect()
        del writes[:]
        ask_together(server, {name: clients[name] for name in "abc"}, str.encode)
        assert begun.wait(20)
        for _ in range(2):
            server.loop.relieve()
        for name in "def":
            ask(clients[name], name)
            ask(other, "read")
            assert answer_of(other) == b"read", "another thread leads"
        assert not any(map(has_answer, clients.values()))
        goes_on.set()
        assert [answer_of(client) for client in clients.values()] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert writes == [["a", "b", "c"], ["d", "e", "f"]], "no more than one write hangs"


def test_a_write_that_hangs_holds_no_request_that_is_on_its_way() -> None:
    paused: SimpleQueue[Task] = SimpleQueue()
    begun, goes_on = threading.Event(), threading.Event()

    def write(names: Sequence[str]) -> None:
        if "hangs" in names:
            begun.set()
            goes_on.wait(20)

    def respond(name: str) -> bytes:
        task = current_task()
        if name == "read" and task is not None:
            paused.put(task)
            task.pause()
        return name.encode()

    with answering(write) as server:
        client, other = server.connect(), server.connect()
        server.respond = respond
        ask(other, "read")
        task = paused.get(timeout=20)
        ask(client, "hangs")
        assert begun.wait(20)
        for _ in range(2):
            server.loop.relieve()
        server.loop.post(partial(server.loop.switch, task))
        assert answer_of(other) == b"read"
        assert not has_answer(client)
        goes_on.set()
        assert answer_of(client) == b"hangs"


def test_what_a_request_added_before_it_hung_is_written_before_its_answer_leaves() -> None:
    hangs, goes_on = threading.Event(), threading.Event()
    clients: dict[str, socket.socket] = {}
    written: list[tuple[str, bool]] = []

    def write(names: Sequence[str]) -> None:
        written.extend((name, has_answer(clients[name])) for name in names if name in clients)

    def respond(name: str) -> bytes:
        if name == "a":
            hangs.set()
            goes_on.wait(20)
        return name.encode()

    with answering(write) as server:
        clients |= {name: server.connect() for name in "ab"}
        server.respond = respond
        ask(clients["a"], "a")
        assert hangs.wait(20)
        for _ in range(2):
            server.loop.relieve()
        ask(clients["b"], "b")
        assert answer_of(clients["b"]) == b"b", "another thread leads"
        goes_on.set()
        assert answer_of(clients["a"]) == b"a"
    assert written == [("b", False), ("a", False)]


def test_a_write_that_fails_by_our_fault_keeps_back_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def write(names: Sequence[str]) -> None:
        if "hello" not in names:
            raise RuntimeError("ours")

    with caplog.at_level(logging.ERROR, "bleepstore.server"), answering(write) as server:
        clients = {name: server.connect() for name in "ab"}
        ask_together(server, clients, str.encode)
        assert [answer_of(client) for client in clients.values()] == [b"a", b"b"]
    assert len(caplog.records) == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="sees workers by Linux's /proc")
def test_what_was_acknowledged_is_in_the_audit_log_of_a_worker_that_is_killed(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    served = serve("--audit-log", str(log), "--workers", "1")
    s3 = served.client(signature_version="s3v4")
    s3.create_bucket(Bucket="photos")
    links = [s3.generate_presigned_url("put_object", {"Bucket": "photos", "Key": f"k{n}"}) for n in range(24)]
    (worker,) = workers_of(served)
    acknowledged: list[str] = []
    enough = threading.Event()

    def put(share: list[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            for link in share:
                url = urlsplit(link)
                connection.request("PUT", f"{url.path}?{url.query}", body=b"x")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                acknowledged.append(url.path.rpartition("/")[2])
                if len(acknowledged) >= 8:
                    enough.set()

    threads = [threading.Thread(target=put, args=(links[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    os.kill(worker, signal.SIGKILL)
    for thread in threads:
        thread.join()
    keys = [json.loads(line).get("key") for line in log.read_text().splitlines()]
    assert set(acknowledged) <= set(keys)
    assert len(keys) == len(set(keys)), "each has one line"
