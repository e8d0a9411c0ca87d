"""What is written before the answers of a round: together, and whatever becomes of the thread that does it."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bleepstore_server.http1.answers import GroupAnswers
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool
from tests.serving.conftest import Served
from tests.serving.test_reload import workers_of

Write = Callable[[Sequence[int]], object]


@contextlib.contextmanager
def looping(write: Write) -> Iterator[tuple[Loop, GroupAnswers[int]]]:
    pool = Pool(2)
    loop = Loop(Settings(), pool, [], None, lambda *_: None, lambda *_: None)
    answers = GroupAnswers(loop, write)
    loop.start()
    yield loop, answers
    loop.post(loop.end)
    pool.close()


def begin(loop: Loop, answers: GroupAnswers[int], numbers: range, told: list[int]) -> threading.Event:
    """Have a round of the loop in which so many requests are ready; the event is set when all are answered."""
    done = threading.Event()

    def respond(number: int) -> None:
        assert answers.add(number)
        assert answers.hold(tell, number)
        assert not answers.hold(tell, number), "it has added nothing more"

    def tell(number: int) -> None:
        told.append(number)
        if len(told) == len(numbers):
            done.set()

    def begin_all() -> None:
        for number in numbers:
            loop.begin(partial(respond, number))

    loop.post(begin_all)
    return done


def test_all_of_a_round_are_written_together_before_the_first_is_answered() -> None:
    told: list[int] = []
    written: list[tuple[list[int], list[int]]] = []
    with looping(lambda items: written.append((list(items), list(told)))) as (loop, answers):
        assert begin(loop, answers, range(5), told).wait(20)
        assert not answers.add(6), "another thread has to write for itself"
    assert written == [([0, 1, 2, 3, 4], [])]
    assert told == [0, 1, 2, 3, 4]


def test_a_write_that_hangs_holds_its_own_answers() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    told: list[int] = []

    def write(_items: Sequence[int]) -> None:
        begun.set()
        goes_on.wait(20)

    with looping(write) as (loop, answers):
        done = begin(loop, answers, range(3), told)
        assert begun.wait(20)
        for _ in range(2):  # it is the same call as a moment ago
            loop.relieve()
        other = threading.Event()
        loop.post(other.set)
        assert other.wait(20), "another thread leads"
        assert told == []
        goes_on.set()
        assert done.wait(20)
    assert told == [0, 1, 2]


def test_a_write_that_fails_by_our_fault_keeps_back_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []

    def write(_items: Sequence[int]) -> None:
        raise RuntimeError("ours")

    with caplog.at_level(logging.ERROR, "bleepstore.server"), looping(write) as (loop, answers):
        assert begin(loop, answers, range(2), told).wait(20)
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
