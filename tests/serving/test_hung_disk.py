"""A disk or a provider that does not answer: it holds the requests that need it, and no others."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bleepstore_server.http1 import loop as loops
from bleepstore_server.http1 import tasks
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool
from tests.admin.test_listener import admin_url
from tests.serving.conftest import ACCESS_KEY, LEGACY_ACLS, SECRET_KEY, Served
from tests.stopping import stop
from tests.tracing import can_trace

Serve = Callable[..., Served]
#: Of requests whose answers need nothing of them.
HEAD: Any = None
BODY: Any = None
#: More than is kept in the catalog, and little enough for the loop's thread.
SIZE = 100_000
THREADS = 2


def is_healthy(served: Served) -> bool:
    with urllib.request.urlopen(f"{served.url}/healthz", timeout=20) as answer:
        return bool(answer.status == 200)


def ask(served: Served, key: str, stack: contextlib.ExitStack, field: str = "Connection: close") -> socket.socket:
    """Send a request whose answer is not waited for."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
    connection.sendall(f"GET /open/{key} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode())
    return connection


def make_hang(data: Path) -> Path:
    """Have the one file of a blob open only when it is opened for writing too."""
    (blob,) = (data / "blobs").glob("*/*")
    blob.unlink()
    os.mkfifo(blob)
    return blob


def serve_hang(serve: Serve, size: int = SIZE, **options: Any) -> tuple[Served, Any, Path]:
    """A server of one worker, a client, and the file of the object "hangs", which everybody may read."""
    served = serve("--workers", "1", "--threads", str(THREADS), *LEGACY_ACLS, **options)
    s3 = served.client(read_timeout=20)
    s3.create_bucket(Bucket="open", ACL="public-read-write")
    s3.put_object(Bucket="open", Key="hangs", Body=bytes(size), ACL="public-read")
    return served, s3, make_hang(served.data)


def begin_upload(served: Served, key: str, stack: contextlib.ExitStack) -> socket.socket:
    """A PUT for whose 1000 bytes the app waits."""
    upload = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 20))
    head = f"PUT /open/{key} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n"
    upload.sendall(head.encode())
    assert upload.recv(100).startswith(b"HTTP/1.1 100 ")
    return upload


@pytest.mark.parametrize(
    "hanging", [1, pytest.param(5, marks=pytest.mark.slow)], ids=["one request", "more than threads"]
)
def test_a_file_that_hangs_holds_its_own_requests(serve: Serve, hanging: int) -> None:
    served, s3, file = serve_hang(serve)
    s3.put_object(Bucket="open", Key="small", Body=b"small")
    s3.put_object(Bucket="open", Key="file", Body=bytes(SIZE))
    with contextlib.ExitStack() as stack:
        stack.callback(s3.close)
        held = [ask(served, "hangs", stack) for _ in range(hanging)]
        for number in range(3):
            assert is_healthy(served)
            assert s3.get_object(Bucket="open", Key="small")["Body"].read() == b"small"
            assert s3.get_object(Bucket="open", Key="file")["Body"].read() == bytes(SIZE)
            s3.put_object(Bucket="open", Key=f"new-{number}", Body=b"new")
        assert select.select(held, [], [], 0)[0] == [], "those that need the file still wait"
        os.close(os.open(file, os.O_WRONLY))  # which waits for somebody who reads
        assert s3.list_objects_v2(Bucket="open")["KeyCount"] == 6
    assert served.stop() == 0


def test_a_file_that_hangs_holds_no_requests_that_are_on_their_way(serve: Serve) -> None:
    served, s3, file = serve_hang(serve)
    with contextlib.ExitStack() as stack:
        stack.callback(s3.close)
        uploads = [begin_upload(served, str(number), stack) for number in range(5)]
        held = []
        for _ in range(3):
            held.append(ask(served, "hangs", stack))
            assert is_healthy(served)
        for upload in uploads:
            upload.sendall(bytes(1000))
        for upload in uploads:
            assert upload.recv(100).startswith(b"HTTP/1.1 200 ")
        assert select.select(held, [], [], 0)[0] == [], "those that need the file still wait"
        stack.callback(os.close, os.open(file, os.O_RDWR))  # who opens it from now on need not wait
        assert served.stop() == 0


#: In a server: who asks for "hangs" has lost the lead of the loop by the time it is found.
FOUND_LATE = """
import threading
from bleepstore.store.stored_objects import StoredObjects
from bleepstore_server.http1.loop import Loop
starts, is_lost, start, find = [], threading.Event(), Loop.start, StoredObjects._find_span

def start_again(loop):
    start(loop)
    starts.append(loop)
    if len(starts) > 1:
        is_lost.set()

def find_late(objects, bucket, key, *arguments, **options):
    if key == "hangs":
        is_lost.wait(20)
    return find(objects, bucket, key, *arguments, **options)

Loop.start, StoredObjects._find_span = start_again, find_late
"""


@pytest.mark.parametrize(
    "size", [SIZE, pytest.param(4 * SIZE, marks=pytest.mark.slow)], ids=["read at once", "streamed"]
)
def test_a_file_that_hangs_in_a_thread_that_led_holds_no_requests_that_are_on_their_way(
    serve: Serve, size: int
) -> None:
    served, s3, file = serve_hang(serve, size, before=FOUND_LATE)
    with contextlib.ExitStack() as stack:
        stack.callback(s3.close)
        upload = begin_upload(served, "new", stack)
        held = ask(served, "hangs", stack)
        assert is_healthy(served), "another thread leads"
        upload.sendall(bytes(1000))
        assert upload.recv(100).startswith(b"HTTP/1.1 200 ")
        assert select.select([held], [], [], 0)[0] == [], "who needs the file still waits"
        stack.callback(os.close, os.open(file, os.O_RDWR))  # who opens it from now on need not wait
        assert served.stop() == 0


#: In a server: twice as many threads at most, as soon as somebody looks; and who waits for one waits a moment.
HELD_SOON = """
from bleepstore_server.http1 import tasks
tasks._IDLE_SECONDS = tasks._WAIT_SECONDS = 0
tasks._MAX_TIMES = 2
"""
#: The last field of a request that the loop leaves to the threads, and its body.
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n0"


def answer_of(served: Served, request: str, field: str, body: bytes = b"") -> tuple[list[bytes], bytes]:
    """The lines of the head, and what comes until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", served.port), 30) as connection:
        connection.sendall(f"{request} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode() + body)
        with connection.makefile("rb") as answer:
            head, _, document = answer.read().partition(b"\r\n\r\n")
            return head.split(b"\r\n"), document


def test_who_waits_in_vain_for_a_thread_is_told_to_come_later(serve: Serve) -> None:
    served = serve("--workers", "1", "--threads", str(THREADS), *LEGACY_ACLS, before=HELD_SOON)
    s3 = served.client(retries={"max_attempts": 0})
    s3.create_bucket(Bucket="open", ACL="public-read-write")
    s3.put_object(Bucket="open", Key="hangs", Body=bytes(SIZE), ACL="public-read")
    blob = make_hang(served.data)
    s3.put_object(Bucket="open", Key="large", Body=bytes(10 * SIZE), ACL="public-read")
    with contextlib.ExitStack() as stack:
        held = [ask(served, "hangs", stack, CHUNKED) for _ in range(2 * THREADS)]
        lines: list[bytes] = []
        while b"Retry-After: 1" not in lines:  # until all threads are held; the loop has begun the answer
            lines, _ = answer_of(served, "GET /open/large", "Connection: close")
        body = bytes(20 * SIZE)
        for request, field in (("PUT /open/new", f"Content-Length: {len(body)}"), ("HEAD /open/hangs", CHUNKED)):
            lines, document = answer_of(served, request, field, body)
            assert lines[0].startswith(b"HTTP/1.1 503 ")
            assert {b"Retry-After: 1", b"Connection: close"} < set(lines)
            assert (b"<Code>SlowDown</Code>" in document) == (request[:4] != "HEAD")
        with pytest.raises(ClientError, match="SlowDown"):
            s3.put_object(Bucket="open", Key="new", Body=body)
        with urllib.request.urlopen(f"{admin_url(served)}/metrics", timeout=20) as metrics:
            assert b'bleepstore_s3_errors_total{code="SlowDown"}' in metrics.read()
        held.append(ask(served, "hangs", stack))  # in the loop's thread, so that it is careful
        lines, document = answer_of(served, "GET /open/hangs", "Connection: close")
        assert lines[0].startswith(b"HTTP/1.1 503 ")
        assert b"<Code>SlowDown</Code>" in document
        patient = served.client(retries={"max_attempts": 5})  # it may be more careful for a second on a busy machine
        for number in range(3):
            assert is_healthy(served)
            patient.put_object(Bucket="open", Key="small", Body=b"small")
            assert patient.get_object(Bucket="open", Key="small")["Body"].read() == b"small"
            assert patient.head_object(Bucket="open", Key="hangs")["ContentLength"] == SIZE
            assert patient.list_objects_v2(Bucket="open")["KeyCount"] == (2 if number else 3)
            patient.delete_object(Bucket="open", Key="large")
        with pytest.raises(ClientError, match="SlowDown"):
            s3.get_object(Bucket="open", Key="hangs")
        assert select.select(held, [], [], 0)[0] == []
        os.close(os.open(blob, os.O_WRONLY))
        assert select.select(held, [], [], 20)[0]


@pytest.mark.slow
def test_a_provider_that_hangs_holds_no_health_checks(serve: Serve, tmp_path: Path) -> None:
    provider = serve("--workers", "1", data=tmp_path / "provider")
    with contextlib.closing(provider.client()) as s3:
        s3.create_bucket(Bucket="blobs")
    served = serve(
        "--workers", "1", "--threads", str(THREADS), "--backend-url", "s3://blobs",
        "--backend-layout", "blobs", "--backend-endpoint-url", provider.url, *LEGACY_ACLS,
        data=tmp_path / "gateway",
        environ={"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
    )  # fmt: skip
    s3 = served.client(read_timeout=20)
    s3.create_bucket(Bucket="open", ACL="public-read-write")
    s3.put_object(Bucket="open", Key="hangs", Body=bytes(SIZE), ACL="public-read")
    for pid in (provider.process.pid, *children_of(provider.process.pid)):
        stop(pid)
    try:
        with contextlib.ExitStack() as stack:
            held = [ask(served, "hangs", stack) for _ in range(THREADS + 2)]
            for _ in range(3):
                assert is_healthy(served)
                assert s3.list_objects_v2(Bucket="open")["KeyCount"] == 1, "which only needs the catalog"
            assert select.select(held, [], [], 0)[0] == []
            os.killpg(provider.process.pid, signal.SIGCONT)
            for connection in held:
                assert connection.recv(15) == b"HTTP/1.1 200 OK"
    finally:
        os.killpg(provider.process.pid, signal.SIGCONT)


def children_of(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def hanging(served: Served, call: str) -> Iterator[None]:
    """A block in which each system call of a kind hangs in the only worker."""
    pid = served.process.pid
    (worker,) = children_of(pid)
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    tracer = subprocess.Popen([*command, "-e", f"inject={call}:delay_enter=100s", "-p", str(worker)])
    try:
        traced = f"TracerPid:\t{tracer.pid}\n"
        while any(traced not in (task / "status").read_text() for task in Path(f"/proc/{worker}/task").iterdir()):
            assert tracer.poll() is None
        yield
    finally:
        tracer.terminate()
        tracer.wait(20)


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        pytest.param("fdatasync", "PUT /open/new", id="a commit"),
        pytest.param("pread64", "GET /open/small", id="a read of the catalog", marks=pytest.mark.slow),
    ],
)
def test_a_catalog_that_hangs_holds_its_own_requests(serve: Serve, call: str, asked: str) -> None:
    if not can_trace():
        pytest.skip("this machine has no strace, or lets no one trace")
    served = serve("--workers", "1", "--threads", str(THREADS), *LEGACY_ACLS)
    with contextlib.closing(served.client(read_timeout=20)) as s3:
        s3.create_bucket(Bucket="open", ACL="public-read-write")
        s3.put_object(Bucket="open", Key="small", Body=b"small", ACL="public-read")
    with socket.create_connection(("127.0.0.1", served.port), 30) as held:
        with hanging(served, call):
            held.sendall(f"{asked} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            for _ in range(3):
                assert is_healthy(served)
            assert select.select([held], [], [], 0)[0] == [], "it still waits for the disk"
        assert held.recv(15) == b"HTTP/1.1 200 OK"


#: In a server: what the audit log has kept is tried again in each tick, in the file that is there.
LOOKS_SOON = """
from bleepstore_server import audit, worker
audit._LOOK_SECONDS = worker._LOOK_SECONDS = 0
"""


def test_an_audit_log_that_failed_and_then_hangs_holds_no_others(serve: Serve, tmp_path: Path) -> None:
    logs, fresh = tmp_path / "logs", tmp_path / "fresh"
    for folder in (logs, fresh):
        folder.mkdir()
    os.mkfifo(fresh / "audit.log")  # to open it hangs, since nobody reads
    served = serve("--workers", "1", "--audit-log", str(logs / "audit.log"), before=LOOKS_SOON)
    warned = threading.Event()

    def watch() -> None:
        assert served.process.stdout is not None
        if any("hangs" in line for line in served.process.stdout):
            warned.set()

    logs.rename(tmp_path / "away")
    with contextlib.closing(served.client()) as s3:
        s3.create_bucket(Bucket="photos")  # its line is kept
    fresh.rename(logs)
    watching = threading.Thread(target=watch)
    watching.start()
    while not warned.is_set():
        assert is_healthy(served)
    for _ in range(3):
        assert is_healthy(served)
    with (logs / "audit.log").open() as lines:
        assert "CreateBucket" in lines.readline()
    served.kill()
    watching.join()


def test_a_request_that_hangs_leaves_those_that_came_with_it_to_the_next_leader() -> None:
    loop: Loop
    next_began, returned, done = threading.Event(), threading.Event(), threading.Event()
    threads: dict[str, Any] = {}

    def answer(connection: Any, _head: object, _body: object) -> None:
        threads[connection] = threading.current_thread()
        if connection == "hangs":
            for _ in range(2):
                loop.relieve()  # as the thread that watches does, meanwhile
            next_began.wait(20)
        elif connection == "next":
            next_began.set()
            threads["hangs"].post(returned.set)  # once it has nothing else to do
            returned.wait(20)
        elif connection == "last":
            done.set()

    def begin() -> None:
        names: list[Any] = ["first", "hangs", "next", "last"]
        for name in names:
            loop.begin_request(name, HEAD, BODY)

    pool = Pool(THREADS)
    loop = Loop(Settings(), pool, [], None, answer, lambda *_: None)
    loop.start()
    loop.post(begin)
    assert done.wait(20)
    assert returned.is_set()
    assert threads["first"] is threads["hangs"]
    assert threads["last"] is threads["next"] is loop.leader is not threads["hangs"]
    loop.post(loop.end)
    pool.close()


def test_who_hangs_although_the_loop_is_careful_makes_it_more_so() -> None:
    pool = Pool(THREADS)
    loop = Loop(Settings(), pool, [], None, lambda *_: None, lambda *_: None)
    loop.start()
    goes_on = threading.Event()
    levels = [loop.careful]
    for _ in range(3):
        begun = threading.Event()

        def hang(begun: threading.Event = begun) -> None:
            begun.set()
            goes_on.wait(20)

        loop.post(partial(loop.begin, hang))
        assert begun.wait(20)
        for _ in range(2):  # it is the same call as a moment ago
            loop.relieve()
        levels.append(loop.careful)
    assert levels == [0, 1, 2, 2]
    goes_on.set()
    loop.post(loop.end)
    pool.close()


def times_told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """How often something hung, by each warning. What else is logged may be of a thread that an earlier test began."""
    told = [record for record in caplog.records if "a request hangs" in record.msg]
    return [record.args[0] for record in told if isinstance(record.args, tuple)]


def test_many_quick_requests_of_one_round_are_no_hang(caplog: pytest.LogCaptureFixture) -> None:
    loop: Loop
    done = threading.Event()
    leaders: list[object] = []

    def answer(connection: Any, _head: object, _body: object) -> None:
        loop.relieve()  # each takes as long as it takes until somebody looks again
        leaders.append(loop.leader)
        if connection == 9:
            done.set()

    def begin() -> None:
        numbers: list[Any] = [*range(10)]
        for number in numbers:
            loop.begin_request(number, HEAD, BODY)

    pool = Pool(THREADS)
    loop = Loop(Settings(), pool, [], None, answer, lambda *_: None)
    loop.start()
    with caplog.at_level(logging.WARNING, "bleepstore.server"):
        loop.post(begin)
        assert done.wait(20)
    assert len(set(leaders)) == 1
    assert not times_told(caplog)
    loop.post(loop.end)
    pool.close()


def test_threads_that_were_added_stay_as_long_as_others_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each request would wait again until all seem to be held."""
    monkeypatch.setattr(tasks, "_IDLE_SECONDS", -1)
    monkeypatch.setattr(tasks, "_IDLE_PART", 1e9)  # whatever it took to begin
    pool, goes_on, begun = Pool(THREADS), threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        goes_on.wait(60)

    for _ in range(THREADS + 1):
        pool.start(hang, pytest.fail)
    for _ in range(THREADS):
        assert begun.acquire(timeout=20)
    for _ in range(2):  # nobody has taken anything since the first look
        pool.relieve()
    assert begun.acquire(timeout=20)
    pool.relieve()
    done = threading.Event()
    pool.start(done.set, pytest.fail)
    assert done.wait(20), "nobody has relieved it since"
    goes_on.set()
    deadline = time.monotonic() + 20
    while pool.thread_count > THREADS:
        pool.relieve()
        assert time.monotonic() < deadline
    pool.close()


class Computing:
    """A pool whose one thread computes until it hangs. A second call waits: it is `done` or `given_up`."""

    def __init__(self) -> None:
        self.pool = Pool(1)
        self.done, self.given_up = threading.Event(), threading.Event()
        self._hangs, self._goes_on = threading.Event(), threading.Event()
        self._computed = threading.Semaphore(0)
        self.pool.start(self._compute, pytest.fail)
        self.pool.start(self.done.set, self.given_up.set)

    def _compute(self) -> None:
        while not self._hangs.is_set():
            before = time.thread_time_ns()
            while time.thread_time_ns() < before + 100_000:
                pass
            self._computed.release()
        self._goes_on.wait(60)

    def look(self, times: int) -> None:
        """Have the pool look so often, each time when the thread has computed since the last one."""
        for _ in range(times):
            while self._computed.acquire(blocking=False):
                pass
            for _ in range(2):  # the second ends after the look
                assert self._computed.acquire(timeout=20)
            self.pool.relieve()

    def hang(self, until: threading.Event) -> None:
        """Compute no more, and have the pool look until that has an effect."""
        self._hangs.set()
        deadline = time.monotonic() + 20
        while not until.is_set():
            self.pool.relieve()
            assert time.monotonic() < deadline
        self._goes_on.set()
        self.pool.close()


def test_threads_that_compute_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_IDLE_SECONDS": -1, "_IDLE_PART": 1e-6, "_HELD_SECONDS": 1000}.items():
        monkeypatch.setattr(tasks, name, value)
    computing = Computing()
    computing.look(5)
    assert computing.pool.thread_count == 1
    computing.hang(until=computing.done)


def test_calls_are_given_up_where_there_may_be_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_IDLE_SECONDS", -1)
    monkeypatch.setattr(tasks, "_IDLE_PART", 1e9)  # whatever it took to begin
    monkeypatch.setattr(tasks, "_WAIT_SECONDS", -1)
    pool, goes_on, begun = Pool(1), threading.Event(), threading.Semaphore(0)
    given_up: list[int] = []

    def hang() -> None:
        begun.release()
        goes_on.wait(60)

    threads = tasks._MAX_TIMES
    for number in range(threads + 2):
        pool.start(hang, partial(given_up.append, number))
    for _ in range(threads):
        assert begun.acquire(timeout=20)
        assert not given_up, "another thread may be had"
        for _ in range(2):  # nobody has taken anything since the first look
            pool.relieve()
    assert pool.thread_count == threads
    assert given_up == [threads, threads + 1]
    assert pool.waiting == 0
    goes_on.set()
    pool.close()


def test_a_call_that_fails_ends_no_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The pool would count on it for ever, and the worker would end when it asks what the thread has computed."""
    monkeypatch.setattr(tasks, "_IDLE_SECONDS", -1)
    monkeypatch.setattr(tasks, "_IDLE_PART", 1e9)  # whatever it took to begin
    pool, goes_on, begun, done = Pool(1), threading.Event(), threading.Event(), threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    def hang() -> None:
        begun.set()
        goes_on.wait(60)

    pool.start(fail, pytest.fail)
    pool.start(hang, pytest.fail)
    pool.start(done.set, pytest.fail)
    assert begun.wait(20)
    for _ in range(2):  # nobody has taken anything since the first look
        pool.relieve()
    assert done.wait(20)
    assert pool.thread_count == 2
    assert ZeroDivisionError in [record.exc_info and record.exc_info[0] for record in caplog.records]
    goes_on.set()
    pool.close()


def test_calls_wait_for_threads_that_are_merely_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_IDLE_SECONDS": -1, "_IDLE_PART": 1e-6, "_WAIT_SECONDS": 0, "_MAX_TIMES": 1}.items():
        monkeypatch.setattr(tasks, name, value)
    computing = Computing()
    computing.look(5)
    assert not computing.given_up.is_set()
    computing.hang(until=computing.given_up)
    assert not computing.done.is_set()


def hang_once(loop: Loop) -> None:
    """Have a request hang, and another thread take the lead."""
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        goes_on.wait(20)
        ended.set()

    loop.post(lambda: loop.begin(hang))
    assert begun.wait(20)
    for _ in range(2):  # it is the same call as a moment ago
        loop.relieve()
    goes_on.set()
    assert ended.wait(20)


def test_one_warning_a_minute_tells_how_often_something_hung(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(THREADS)
    loop = Loop(Settings(), pool, [], None, lambda *_: None, lambda *_: None)
    loop.start()
    with caplog.at_level(logging.WARNING, "bleepstore.server"):
        for _ in range(3):
            hang_once(loop)
        assert times_told(caplog) == [1]
        monkeypatch.setattr(loops, "_WARNING_SECONDS", 0)
        hang_once(loop)
        assert times_told(caplog) == [1, 2, 1]
    loop.post(loop.end)
    pool.close()
