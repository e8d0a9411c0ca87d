"""Which commands the loop of a worker has committed together."""

from __future__ import annotations

import contextlib
import selectors
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import DeleteObject
from bleepstore.committer import DirectCommitter
from bleepstore_server.http1 import loop, pace
from bleepstore_server.http1.commits import GroupCommits
from tests.serving.answering import Answering, answer_of, answering, ask, ask_together


class Committing:
    """A server each of whose requests has a command committed, but for the first one of a client."""

    def __init__(self, server: Answering, committer: DirectCommitter) -> None:
        self.server = server
        #: How many commands each transaction had.
        self.commits: list[int] = []
        #: Called with the name of each request, before its command is submitted.
        self.before: Callable[[str], object] = lambda _name: None
        #: Called after each transaction, before those that wait for it go on.
        self.after: Callable[[], object] = lambda: None
        self.committer = committer
        committer.on_commit = self._on_commit

    def _on_commit(self, count: int, _seconds: float) -> None:
        self.commits.append(count)
        self.after()

    def respond(self, name: str) -> bytes:
        if name != "hello":
            self.before(name)
            self.committer.submit(DeleteObject(request_id="1", time_ms=1, bucket="photos", key=name))
        return name.encode()


@pytest.fixture
def committing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Committing]:
    monkeypatch.setattr(loop, "_MAX_SECONDS", 60.0)  # however busy the machine is
    with contextlib.closing(Catalog(None)) as catalog, answering() as server:
        committer = DirectCommitter(catalog)
        committing = Committing(server, committer)
        group = GroupCommits(server.loop, committer)
        try:
            yield committing
        finally:
            group.close()


def test_the_commands_of_a_round_share_a_commit(committing: Committing) -> None:
    clients = {name: committing.server.connect() for name in "abc"}
    ask_together(committing.server, clients, committing.respond)
    assert [answer_of(client) for client in clients.values()] == [b"a", b"b", b"c"]
    assert committing.commits == [3]


def test_a_commit_takes_along_what_comes_while_its_round_is_carried_out(committing: Committing) -> None:
    """But it is not put off for ever: each request here has the next one come."""
    clients = [committing.server.connect() for _ in range(8)]

    def ask_next(name: str) -> None:
        number = int(name) + 1
        if number < len(clients):
            ask(clients[number], str(number))

    committing.before = ask_next
    committing.server.respond = committing.respond
    ask(clients[0], "0")
    assert [answer_of(client) for client in clients] == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
    assert committing.commits == [5, 3]


def test_where_all_connections_wait_nothing_is_put_off(committing: Committing) -> None:
    looks: list[int] = []
    poller = committing.server.loop._poller
    select = poller.select

    def look(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        looks.append(len(committing.commits))
        return select(timeout)

    clients = {name: committing.server.connect() for name in "ab"}
    committing.before = lambda _name: looks.clear()
    poller.select = look  # type: ignore[method-assign]  # it counts
    ask_together(committing.server, clients, committing.respond)
    assert [answer_of(client) for client in clients.values()] == [b"a", b"b"]
    assert committing.commits == [2]
    assert 0 not in looks, "it looked again although nobody was left who could ask"


def test_where_commits_are_slow_one_takes_along_what_those_send_whom_the_last_one_answered(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_QUICK_SECONDS", -1.0)  # a thread commits
    one, other = committing.server.connect(), committing.server.connect()
    other_waits = threading.Event()

    def ask_other() -> None:
        if len(committing.commits) == 1:
            ask(other, "b")
            assert other_waits.wait(20)

    committing.after = ask_other
    committing.before = lambda name: other_waits.set() if name == "b" else None
    committing.server.respond = committing.respond
    requests = [b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n" % name for name in (b"a", b"next")]
    one.sendall(b"".join(requests))  # the second one is read when the first one is answered
    received = b""
    while not received.endswith(b"\r\n\r\nnext"):
        received += one.recv(65536)
    assert answer_of(other) == b"b"
    assert committing.commits == [1, 2]


def test_a_command_whose_thread_has_just_lost_the_lead_is_committed_at_once(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = committing.server
    client = server.connect()
    is_stalled = committing.committer.is_stalled

    def lose_lead() -> bool:
        committing.committer.is_stalled = is_stalled  # type: ignore[method-assign]  # it is asked last of all
        before = server.loop.leader
        for _ in range(2):
            server.loop.relieve()
        while server.loop.leader in (None, before) or server.loop._posted or not server.loop._sleeps:
            time.sleep(0)  # the next one has carried out its first round
        return False

    committing.committer.is_stalled = lose_lead  # type: ignore[method-assign]  # as above
    monkeypatch.setattr(loop, "_TICK_SECONDS", 60.0)  # nothing else wakes the loop
    server.respond = committing.respond
    ask(client, "a")
    assert answer_of(client) == b"a"
    assert committing.commits == [1]
