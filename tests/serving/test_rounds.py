"""Which task carries out the rounds of the loop, and the requests within them."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import greenlet

from bleepstore_server.http1.bodies import RequestBody
from bleepstore_server.http1.heads import Head
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool, Task, current_task

HEAD = Head("GET", "/", 1, {}, {})
BODY = RequestBody(cast("Any", None), 0)


@contextlib.contextmanager
def leading(answer: Callable[..., None]) -> Iterator[Loop]:
    pool = Pool(1)
    loop = Loop(Settings(), pool, [], None, answer, lambda *_: None)
    loop.start()
    yield loop
    loop.post(loop.end)
    pool.close()


def request(loop: Loop, name: Any) -> None:
    """Have a request come in the round after this one."""
    loop.post(partial(loop.begin_request, name, HEAD, BODY))


def test_rounds_whose_requests_do_not_pause_switch_to_no_other_task() -> None:
    loop: Loop
    switches: list[object] = []
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def answer(number: int, *_: object) -> None:
        if number == 0:
            greenlet.settrace(lambda event, _of: switches.append(event))
        if number == 9:
            greenlet.settrace(None)
        else:
            request(loop, number + 1)
        tasks.put(current_task())

    with leading(answer) as loop:
        request(loop, 0)
        used = {tasks.get(timeout=20) for _ in range(10)}
    assert len(used) == 1
    assert None not in used
    assert not switches


def test_another_task_goes_on_with_a_round_in_which_a_request_pauses() -> None:
    loop: Loop
    events: queue.SimpleQueue[tuple[str, Task | None]] = queue.SimpleQueue()

    def answer(name: str, *_: object) -> None:
        task = current_task()
        events.put((name, task))
        if name == "pauses":
            assert task is not None
            events.put((task.pause(), current_task()))

    def begin(*names: Any) -> None:
        for name in names:
            loop.begin_request(name, HEAD, BODY)

    with leading(answer) as loop:
        loop.post(partial(begin, "first", "pauses", "beside it"))
        first, pauses, beside = (events.get(timeout=20) for _ in range(3))
        assert [first[0], pauses[0], beside[0]] == ["first", "pauses", "beside it"]
        assert pauses[1] is not None
        assert first[1] is pauses[1] is not beside[1]

        loop.post(partial(loop.switch, pauses[1], "goes on"))
        assert events.get(timeout=20) == ("goes on", pauses[1])

        request(loop, "last")
        assert events.get(timeout=20) == ("last", beside[1]), "the rounds stay where they are"


def test_nothing_pauses_between_requests() -> None:
    """A commit of a job, for example, is made at once there."""
    loop: Loop
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def answer(*_: object) -> None:
        tasks.put(current_task())

    def fail() -> None:
        raise ValueError("a fault of ours")

    with leading(answer) as loop:
        loop.post(lambda: tasks.put(current_task()))
        assert tasks.get(timeout=20) is None
        request(loop, None)
        assert tasks.get(timeout=20) is not None
        loop.post(partial(loop.begin, fail))
        loop.post(lambda: tasks.put(current_task()))
        assert tasks.get(timeout=20) is None
