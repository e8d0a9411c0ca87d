"""Work in threads, and what is left of it when the main thread is interrupted."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bleepstore.backends.gateway.bodies import send_behind
from bleepstore.threads import Background, Call, Calls, call_uninterrupted, map_in_threads
from tests.interrupts import NoThreads

ROOT = Path(__file__).parent.parent.parent


class Work:
    """Counts what is under way; none of it is instant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.under_way = self.done = 0
        self.is_stopped = False

    def __call__(self, item: int) -> int:
        with self._lock:
            self.under_way += 1
        time.sleep(0.001)
        with self._lock:
            self.under_way -= 1
            self.done += 1
        return 2 * item

    def stop(self) -> None:
        self.is_stopped = True

    def until_stopped(self) -> None:
        for item in range(5):
            if not self.is_stopped:
                self(item)


def mapped(work: Work) -> None:
    assert map_in_threads(work, range(7), 3) == [0, 2, 4, 6, 8, 10, 12]


def sent_behind(work: Work) -> None:
    def send(block: int) -> None:
        work(block)

    send_behind(range(4), send)


def shielded(work: Work) -> None:
    call_uninterrupted(work.until_stopped, work.stop)


def interrupts_everywhere(
    function: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Work, BaseException | None]]:
    """What is left of the work, and what was raised, with an interrupt at the first call of a Python function in this
    thread, which is where one is raised, then at the second, and so on until the last of them. In what the interpreter
    calls by itself, as when an object is freed, it drops them."""
    before = sys.gettrace()
    tell = sys.unraisablehook
    monkeypatch.setattr(sys, "unraisablehook", lambda one: one.exc_type is KeyboardInterrupt or tell(one))
    is_over = False
    number = 0
    while not is_over:
        number += 1
        left = number

        def interrupt(_frame: FrameType, event: str, _argument: Any) -> None:
            nonlocal left
            left -= event == "call"
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt

        work, raised = Work(), None
        sys.settrace(interrupt)
        try:
            function(work)
        except BaseException as error:  # noqa: BLE001  # it is told
            raised = error
        finally:
            sys.settrace(before)
        is_over = left > 0
        yield work, raised


@pytest.mark.parametrize("function", [mapped, sent_behind, shielded])
def test_nothing_is_under_way_after_an_interrupt_wherever_it_is_raised(
    function: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[BaseException | None, int]] = []
    for work, raised in interrupts_everywhere(function, monkeypatch):
        under_way, done = work.under_way, work.done
        assert not under_way, f"interrupted {len(seen)} times"
        seen.append((raised, done))
    assert sum(isinstance(raised, KeyboardInterrupt) for raised, _ in seen) > 20
    assert {done for _, done in seen} >= {0, 1}, "interrupts before work begins, and after"


def test_nothing_begins_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    began = threading.Event()

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        assert began.wait(10)
        raise KeyboardInterrupt

    def work(item: int) -> None:
        done.append(item)
        began.set()
        time.sleep(0.01)

    done: list[int] = []
    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    with pytest.raises(KeyboardInterrupt):
        map_in_threads(work, range(1000), 4)
    assert len(done) < 20


def test_interrupts_of_the_wait_are_raised_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    work, began, is_awaited = Work(), threading.Event(), threading.Event()
    finish, interrupts = Call.finish, [KeyboardInterrupt(), KeyboardInterrupt()]

    def interrupted_finish(call: Call[object]) -> None:
        if interrupts:
            raise interrupts.pop()
        is_awaited.set()
        finish(call)

    def work_when_awaited() -> None:
        began.set()
        assert is_awaited.wait(10)
        work(1)

    def start() -> None:
        with Calls() as calls:
            calls.start(work_when_awaited)
            assert began.wait(10)

    monkeypatch.setattr(Call, "finish", interrupted_finish)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert (work.under_way, work.done, interrupts) == (0, 1, [])


def test_the_first_error_ends_a_map() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise OSError(f"no {item}")

    with pytest.raises(OSError, match=r"no [01]"):
        map_in_threads(work, range(1000), 2)
    assert len(begun) <= 2


def test_a_map_of_nothing_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", None)
    assert map_in_threads(str, (), 3) == []


@pytest.mark.parametrize("given", [0, 1])
def test_a_map_needs_no_more_threads_than_there_are(given: int) -> None:
    work = Work()
    with NoThreads(after=given):
        mapped(work)
    assert work.done == 7


def test_work_in_the_background_is_started_once_and_waited_for() -> None:
    done, may_end = [], threading.Event()

    def work() -> None:
        assert may_end.wait(10)
        done.append(1)

    background = Background("work")
    background.join()
    background.start(work)
    background.start(work)
    assert background.is_alive
    may_end.set()
    background.end()
    assert done == [1]


def test_work_that_was_ended_before_is_not_started() -> None:
    background = Background("work")
    background.end()
    background.start(lambda: None)
    assert not background.is_started


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_start_that_fails_leaves_nothing_that_works_and_can_be_repeated(interrupted: bool) -> None:
    background, done = Background("work"), []
    with NoThreads(interrupted=interrupted) as none, pytest.raises(KeyboardInterrupt if interrupted else RuntimeError):
        background.start(lambda: done.append(1))
    for thread in none.interrupted:
        thread.join(10)
    assert (background.is_started, done) == (False, [])
    background.start(lambda: done.append(2))
    background.end()
    assert done == [2]


def test_the_library_has_no_other_pools() -> None:
    """An executor's threads outlive an interrupt."""
    assert not [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "bleepstore").rglob("*.py"))
        if path.relative_to(ROOT).parts[1] != "testing" and re.search(r"\w+PoolExecutor\(", path.read_text())
    ]
