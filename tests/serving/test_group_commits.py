"""Which commands the loop of a worker has committed together, round by round."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import DeleteObject
from bleepstore.committer import DirectCommitter
from bleepstore_server.http1.commits import GroupCommits
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.tasks import Pool, PoolThread, Task


class Rounds:
    """What commits ask of a loop, whose rounds are carried out by hand."""

    def __init__(self, connections: int) -> None:
        self.connections = range(connections)
        self.leader = PoolThread(Pool(1))
        self.after_round: list[Callable[[], object]] = []
        self.is_asked_for_another = False

    def soon(self, _call: Callable[[], object]) -> None:
        self.is_asked_for_another = True

    def post(self, call: Callable[[], object]) -> None: ...

    def offer(self, call: Callable[[], object]) -> None:
        call()

    def switch(self, task: Task, outcome: object) -> None:
        task.switch(outcome)


class Worker:
    """A loop with so many connections, and what it commits."""

    def __init__(self, catalog: Catalog, connections: int) -> None:
        self._committer = DirectCommitter(catalog)
        self._committer.on_commit = lambda count, _seconds: self.commits.append(count)
        self._loop = Rounds(connections)
        self.group = GroupCommits(cast("Loop", cast("Any", self._loop)), self._committer)
        self.commits: list[int] = []
        self.answered = 0

    def round(self, requests: int) -> bool:
        """A round in which so many requests come; whether another one is to follow at once."""
        self._loop.is_asked_for_another = False
        for _ in range(requests):
            self._loop.leader.make_task(self._request).switch()
        for call in self._loop.after_round:
            call()
        return self._loop.is_asked_for_another

    def _request(self) -> None:
        self._committer.submit(DeleteObject(request_id="1", time_ms=1, bucket="photos", key="key"))
        self.answered += 1


@pytest.fixture
def work() -> Iterator[Callable[[int], Worker]]:
    with contextlib.ExitStack() as stack:
        catalog = stack.enter_context(contextlib.closing(Catalog(None)))

        def start(connections: int) -> Worker:
            worker = Worker(catalog, connections)
            stack.callback(worker.group.close)
            return worker

        yield start


def test_a_commit_takes_along_what_came_while_its_round_was_carried_out(work: Callable[[int], Worker]) -> None:
    worker = work(8)
    assert worker.round(3)
    assert worker.commits == []
    assert worker.round(2)
    assert not worker.round(0), "nothing more has come"
    assert (worker.commits, worker.answered) == ([5], 5)


def test_where_all_connections_wait_nothing_is_put_off(work: Callable[[int], Worker]) -> None:
    worker = work(2)
    assert not worker.round(2)
    assert worker.commits == [2]
    alone = work(1)
    assert not alone.round(1)
    assert alone.commits == [1]


def test_a_commit_is_not_put_off_for_ever(work: Callable[[int], Worker]) -> None:
    worker = work(1000)
    rounds = 1
    while worker.round(1):
        rounds += 1
    assert rounds == 5
    assert (worker.commits, worker.answered) == ([5], 5)
    assert worker.round(1), "the next one is"
