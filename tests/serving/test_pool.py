"""The threads of a worker: what hangs in one of them holds no other request, and so many run at a time."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from bleepstore_server.http1 import tasks
from bleepstore_server.http1.tasks import Pool, PoolThread, Task, current_task
from tests.serving.conftest import LEGACY_ACLS, Served

Serve = Callable[..., Served]
SIZE = 2
MIB = 1024 * 1024


class Tasks:
    """Tasks of a pool that pause once they have begun."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.paused: list[Task] = []
        self.threads: list[PoolThread] = []
        self.results: list[object] = []
        self._begun: SimpleQueue[Task] = SimpleQueue()
        self._ended = threading.Semaphore(0)

    def begin(self, count: int) -> None:
        for _ in range(count):
            self.pool.start(self.pause, pytest.fail)
        self.wait_for(count)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            task = self._begun.get(timeout=20)
            self.paused.append(task)
            self.threads.append(task.hub)

    def pause(self) -> None:
        task = current_task()
        assert task is not None
        self._begun.put(task)
        self.results.append(task.pause())
        self._ended.release()

    def resume(self) -> None:
        for number, task in enumerate(self.paused):
            task.resume(number)

    def wait(self) -> None:
        """Until all that were resumed have ended, while the pool is relieved as a worker does it."""
        for _ in self.paused:
            deadline = time.monotonic() + 20
            while not self._ended.acquire(timeout=0.01):
                self.pool.relieve()
                assert time.monotonic() < deadline
        assert Counter(self.results) == Counter(range(len(self.paused)))
        self.paused, self.results = [], []


class Hanging:
    """Calls that hang in `open` until the end."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.given_up: list[object] = []
        self._pool = pool
        self._file = folder / "hangs"
        os.mkfifo(self._file)
        self._begun = threading.Semaphore(0)
        self._count = 0

    def begin(self, count: int) -> None:
        """Have so many more hang."""
        self.start(count)
        for _ in range(count):
            deadline = time.monotonic() + 20
            while not self._begun.acquire(timeout=0.01):
                self._pool.relieve()
                assert time.monotonic() < deadline

    def start(self, count: int) -> None:
        for _ in range(count):
            self._pool.start(self._hang, partial(self.given_up.append, None))

    def _hang(self) -> None:
        self._begun.release()
        self._file.open("rb").close()

    def end(self) -> None:
        os.close(os.open(self._file, os.O_RDWR | os.O_NONBLOCK))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads count as held as soon as somebody looks twice, whatever they compute."""
    monkeypatch.setattr(tasks, "_IDLE_SECONDS", -1)
    monkeypatch.setattr(tasks, "_IDLE_PART", 1e9)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(SIZE)
    yield pool
    pool.close()


@pytest.fixture
def hanging(pool: Pool, tmp_path: Path) -> Iterator[Hanging]:
    hanging = Hanging(pool, tmp_path)
    yield hanging
    hanging.end()


@pytest.mark.usefixtures("impatient")
def test_calls_that_hang_hold_no_tasks_that_were_paused_before(pool: Pool, hanging: Hanging) -> None:
    paused, new = Tasks(pool), Tasks(pool)
    paused.begin(10)
    hanging.begin(SIZE)
    paused.resume()
    paused.wait()
    new.begin(1)
    new.resume()
    new.wait()


def test_one_that_hangs_gives_its_turn_to_another_though_others_go_on(
    pool: Pool, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_HELD_SECONDS", 0.05)
    hanging.begin(SIZE - 1)
    inside: list[object] = []
    all_inside, ends = threading.Event(), threading.Event()

    def step() -> None:
        inside.append(None)
        if len(inside) == SIZE:
            all_inside.set()
        all_inside.wait(0.001)
        inside.pop()
        if not ends.is_set():
            pool.start(step, pytest.fail)  # so that there is always one that waits, and one that goes on

    for _ in range(SIZE):
        pool.start(step, pytest.fail)
    deadline = time.monotonic() + 10
    while not all_inside.wait(0.01) and time.monotonic() < deadline:
        pool.relieve()
    ends.set()
    assert all_inside.is_set()


def test_a_thread_with_a_paused_task_takes_no_other_call(pool: Pool) -> None:
    paused = Tasks(pool)
    paused.begin(10)
    assert len(set(paused.threads)) == 10
    paused.resume()
    paused.wait()


def test_the_same_threads_take_one_call_after_the_other(pool: Pool) -> None:
    """Others have nothing to do, and can end."""
    before, done = Tasks(pool), SimpleQueue[object]()
    before.begin(10)
    before.resume()
    before.wait()
    threads = set()
    for _ in range(50):
        pool.start(lambda: done.put(threading.current_thread()), pytest.fail)
        threads.add(done.get(timeout=20))
    assert len(threads) <= SIZE


@pytest.mark.usefixtures("impatient")
def test_what_has_begun_goes_on_where_no_new_call_may(
    monkeypatch: pytest.MonkeyPatch, pool: Pool, hanging: Hanging
) -> None:
    """However many hang: it has its thread."""
    monkeypatch.setattr(tasks, "_MAX_TIMES", 2)
    monkeypatch.setattr(tasks, "_WAIT_SECONDS", 1000)
    paused = Tasks(pool)
    paused.begin(10)
    hanging.begin(2 * SIZE)
    hanging.start(1)
    paused.resume()
    paused.wait()
    assert pool.waiting == 1
    monkeypatch.setattr(tasks, "_WAIT_SECONDS", -1)
    for _ in range(2):
        pool.relieve()
    assert hanging.given_up == [None]


@pytest.mark.usefixtures("impatient")
def test_no_more_go_on_beyond_that_while_these_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tasks, "_MAX_TIMES", 1)
    pool, running = Pool(1), Running()
    hanging, begun = Hanging(pool, tmp_path), SimpleQueue[Task]()
    resumed, goes_on = threading.Semaphore(0), threading.Semaphore(0)

    def call() -> None:
        task = current_task()
        assert task is not None
        begun.put(task)
        task.pause()
        with running():
            resumed.release()
            goes_on.acquire(timeout=20)

    for _ in range(5):
        pool.start(call, pytest.fail)
    paused = [begun.get(timeout=20) for _ in range(5)]
    hanging.begin(1)
    for task in paused:
        task.resume()
    for _ in range(2):
        pool.relieve()
    for _ in paused:
        assert resumed.acquire(timeout=20)
        pool.relieve()
        goes_on.release()
    assert running.highest == 1
    hanging.end()
    pool.close()


class Running:
    """How many are between two pauses, and were at most."""

    def __init__(self) -> None:
        self.highest = 0
        self._count = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._count += 1
            self.highest = max(self.highest, self._count)
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


def test_no_more_run_at_a_time_than_may(pool: Pool) -> None:
    """However many are resumed at once, and however many come meanwhile."""
    running, ended, paused = Running(), threading.Semaphore(0), SimpleQueue[Task]()

    def call() -> None:
        task = current_task()
        assert task is not None
        for _ in range(3):
            with running():
                time.sleep(0)  # gives the others the interpreter
            paused.put(task)
            task.pause()
        ended.release()

    for _ in range(20):
        pool.start(call, pytest.fail)
    for _ in range(3):
        together = [paused.get(timeout=20) for _ in range(20)]
        for task in together:
            task.resume()
    for _ in range(20):
        assert ended.acquire(timeout=20)
    assert running.highest == SIZE


def test_a_call_has_its_turn_although_there_is_always_one_to_resume() -> None:
    pool = Pool(1)
    order: list[str] = []
    begun, goes_on, done = threading.Event(), threading.Event(), threading.Semaphore(0)
    waiting = SimpleQueue[Task]()

    def resumed() -> None:
        task = current_task()
        assert task is not None
        waiting.put(task)
        task.pause()
        order.append("resumed")
        done.release()

    def hold() -> None:
        begun.set()
        goes_on.wait(20)

    def new() -> None:
        order.append("new")
        done.release()

    for _ in range(20):
        pool.start(resumed, pytest.fail)
    paused = [waiting.get(timeout=20) for _ in range(20)]
    pool.start(hold, pytest.fail)
    assert begun.wait(20)
    for task in paused:
        task.resume()
    for _ in range(2):
        pool.start(new, pytest.fail)
    goes_on.set()
    for _ in range(22):
        assert done.acquire(timeout=20)
    some = ["resumed"] * tasks._MAX_IN_A_ROW
    assert order == [*some, "new", *some, "new", *["resumed"] * (20 - 2 * len(some))]
    pool.close()


class NoThreads:
    """A system that has so many more threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        start = PoolThread.start

        def start_or_fail(thread: PoolThread) -> None:
            if not self.left:
                raise RuntimeError("can't start new thread")
            self.left -= 1
            start(thread)

        monkeypatch.setattr(PoolThread, "start", start_or_fail)


def test_where_the_system_has_no_more_threads_they_are_shared(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    NoThreads(monkeypatch, 3)
    pool = Pool(1)
    paused = Tasks(pool)
    paused.begin(12)
    assert sorted(Counter(paused.threads).values()) == [4, 4, 4]
    led = threading.Event()
    pool.run_beside(lambda _thread: led.set())
    assert led.wait(20)
    paused.resume()
    paused.wait()
    for _ in range(3):
        pool.relieve()
        paused.begin(12)
    assert len(caplog.records) == 1
    paused.resume()
    paused.wait()
    pool.close()


def test_a_call_waits_for_the_first_thread_that_the_system_has(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    system = NoThreads(monkeypatch, 0)
    done, led = threading.Event(), threading.Event()
    pool.start(done.set, pytest.fail)
    pool.run_beside(lambda _thread: led.set())
    pool.relieve()
    assert pool.waiting == 1
    system.left = 1
    pool.relieve()
    assert done.wait(20)
    assert led.wait(20)
    assert pool.thread_count == 1


@pytest.mark.usefixtures("impatient")
def test_who_waits_in_vain_for_the_systems_threads_is_given_up(
    pool: Pool, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    NoThreads(monkeypatch, 1)
    monkeypatch.setattr(tasks, "_WAIT_SECONDS", -1)
    hanging.begin(1)
    hanging.start(1)
    for _ in range(2 * tasks._MAX_TIMES):
        pool.relieve()
    assert hanging.given_up == [None]


def test_beyond_a_bound_of_threads_they_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_MAX_THREADS", 4)
    pool = Pool(1)
    paused = Tasks(pool)
    paused.begin(10)
    assert sorted(Counter(paused.threads).values()) == [2, 2, 3, 3]
    assert pool.thread_count == 4
    paused.resume()
    paused.wait()
    pool.close()


def test_a_former_leader_takes_no_call_before_its_own_tasks_have_ended() -> None:
    pool = Pool(1)
    left, others = Tasks(pool), Tasks(pool)
    goes_on, begun, next_goes_on = threading.Event(), threading.Event(), threading.Event()

    def lead(thread: PoolThread) -> None:
        for _ in range(5):
            thread.make_task(left.pause).switch()
        goes_on.wait(20)

    def hold() -> None:
        begun.set()
        next_goes_on.wait(20)

    pool.run_beside(lead)
    left.wait_for(5)
    left.resume()  # it hangs, so they wait for it
    others.begin(3)  # it is not counted among those that run
    assert not left.results
    pool.start(hold, pytest.fail)
    assert begun.wait(20)
    goes_on.set()
    others.begin(0)
    assert not left.results, "one runs, as many as may"
    next_goes_on.set()
    left.wait()
    (former,) = set(left.threads)
    assert former not in others.threads
    others.resume()
    others.wait()
    pool.close()


def test_a_former_leader_with_paused_tasks_takes_no_call() -> None:
    pool = Pool(1)
    left, others = Tasks(pool), Tasks(pool)
    returned = threading.Event()

    def lead(thread: PoolThread) -> None:
        for _ in range(5):
            thread.make_task(left.pause).switch()
        thread.post(returned.set)  # what it does first when it leads no more

    pool.run_beside(lead)
    left.wait_for(5)
    assert returned.wait(20)
    others.begin(5)
    assert not {*left.threads} & {*others.threads}
    for some in (left, others):
        some.resume()
        some.wait()
    pool.close()


def test_threads_that_nobody_needs_end_and_leave_nothing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_KEEP_SECONDS", -1)
    gc.collect()
    before = sum(isinstance(one, Task) for one in gc.get_objects())
    paused = Tasks(pool)
    paused.begin(20)
    threads = list(paused.threads)
    paused.resume()
    paused.wait()
    deadline = time.monotonic() + 20
    while pool.thread_count > SIZE:
        pool.relieve()
        assert time.monotonic() < deadline
    for thread in threads:
        if thread not in pool._threads:
            thread.join(20)
    paused.paused.clear()
    gc.collect()
    assert sum(isinstance(one, Task) for one in gc.get_objects()) - before <= SIZE


def test_the_threads_of_a_closed_pool_end(pool: Pool) -> None:
    done, paused = Tasks(pool), Tasks(pool)
    begun, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        goes_on.wait(20)

    done.begin(5)
    paused.begin(5)
    threads = {*done.threads, *paused.threads}
    done.resume()
    done.wait()
    pool.start(hold, pytest.fail)
    assert begun.wait(20)
    threads |= pool._threads
    pool.close()
    goes_on.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert pool.thread_count == 0


@pytest.mark.parametrize("seed", range(4))
def test_no_wake_up_is_lost_in_a_storm(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that pause and are resumed by several threads, with few threads to share and with enough of them, while
    others come, lead and are relieved: of each second storm nobody is held, so that no more run than were asked for."""
    rng, is_held = random.Random(seed), bool(seed % 2)
    monkeypatch.setattr(tasks, "_IDLE_SECONDS", -1 if is_held else 1000)
    monkeypatch.setattr(tasks, "_IDLE_PART", 1e9)
    monkeypatch.setattr(tasks, "_MAX_THREADS", rng.choice([3, 16, 64]))
    monkeypatch.setattr(tasks, "_KEEP_SECONDS", 0)
    size, count = rng.randint(1, 4), 1000
    pool, running = Pool(size), Running()
    paused, results = SimpleQueue[Any](), SimpleQueue[int]()
    leads = threading.Semaphore(0)

    def call(number: int, pauses: int) -> None:
        task = current_task()
        assert task is not None
        total = number
        for step in range(pauses):
            with running():
                paused.put((task, step))
            total += task.pause()
        with running():
            results.put(total)

    def resume() -> None:
        while (found := paused.get()) is not None:
            task, step = found
            task.resume(step)

    def start(numbers: range) -> None:
        for number in numbers:
            pool.start(partial(call, number, plan[number]), pytest.fail)
            if number % 50 == 0:
                pool.run_beside(lambda _thread: leads.release())

    def relieve() -> None:
        while not done.is_set():
            pool.relieve()

    plan = [rng.randint(0, 5) for _ in range(count)]
    done = threading.Event()
    starters = [threading.Thread(target=start, args=(range(first, count, 4),)) for first in range(4)]
    others = [threading.Thread(target=resume) for _ in range(3)] + [threading.Thread(target=relieve)]
    for thread in (*starters, *others):
        thread.start()
    found = sorted(results.get(timeout=60) for _ in range(count))
    assert found == sorted(number + sum(range(plan[number])) for number in range(count))
    for _ in range(len(range(0, count, 50))):
        assert leads.acquire(timeout=20)
    done.set()
    for _ in range(3):
        paused.put(None)
    for thread in (*starters, *others):
        thread.join(20)
    assert is_held or running.highest <= size
    pool.close()


def test_uploads_and_slow_readers_go_on_while_others_hang(serve: Serve) -> None:
    """Those that are under way when large objects begin to hang, in a worker with fewer threads than either."""
    served = serve("--workers", "1", "--threads", str(SIZE), *LEGACY_ACLS)
    s3 = served.client(read_timeout=20)
    s3.create_bucket(Bucket="open", ACL="public-read-write")
    s3.put_object(Bucket="open", Key="hangs", Body=bytes(2 * MIB), ACL="public-read")
    (blob,) = (served.data / "blobs").glob("*/*")
    s3.put_object(Bucket="open", Key="large", Body=bytes(8 * MIB), ACL="public-read")
    body = bytes(3 * MIB)
    with contextlib.ExitStack() as stack:
        stack.callback(s3.close)

        def ask(head: str, rest: bytes = b"", buffer: int = 0) -> socket.socket:
            connection = stack.enter_context(socket.socket())
            if buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", served.port))
            connection.sendall(f"{head}\r\nHost: x\r\nConnection: close\r\n\r\n".encode() + rest)
            return connection

        length = f"Content-Length: {len(body)}"
        uploads = [ask(f"PUT /open/new-{n} HTTP/1.1\r\n{length}", body[: len(body) // 2]) for n in range(10)]
        readers = [ask("GET /open/large HTTP/1.1", buffer=65536) for _ in range(5)]
        for reader in readers:
            assert reader.recv(15) == b"HTTP/1.1 200 OK"
        blob.unlink()
        os.mkfifo(blob)
        held = [ask("GET /open/hangs HTTP/1.1") for _ in range(2 * SIZE)]
        stack.callback(lambda: os.close(os.open(blob, os.O_RDWR | os.O_NONBLOCK)))
        s3.put_object(Bucket="open", Key="behind them", Body=body)  # so those before it have begun
        for upload in uploads:
            upload.sendall(body[len(body) // 2 :])
        for upload in uploads:
            assert upload.recv(15) == b"HTTP/1.1 200 OK"
        for reader in readers:
            with reader.makefile("rb") as answer:
                assert len(answer.read().partition(b"\r\n\r\n")[2]) == 8 * MIB
        assert select.select(held, [], [], 0)[0] == []
