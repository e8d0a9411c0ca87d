"""Which thread does what a disk may hold for long."""

from __future__ import annotations

import threading

from bleepstore_server.http1.blocking import BlockingCalls
from tests.serving.answering import answer_of, answering, ask


def test_files_that_are_slow_to_open_are_opened_by_other_threads_until_that_is_tried_again() -> None:
    now, took = 0.0, 0.001
    is_leader: list[bool] = []

    with answering() as server:
        calls = BlockingCalls(server.loop, server.pool, lambda: now)

        def call() -> None:
            nonlocal now
            is_leader.append(threading.current_thread() is server.loop.leader)
            now += took

        def respond(name: str) -> bytes:
            calls.run(call)
            return name.encode()

        client = server.connect()
        server.respond = respond

        def read(count: int) -> list[bool]:
            is_leader.clear()
            for _ in range(count):
                ask(client, "read")
                assert answer_of(client) == b"read"
            return is_leader

        assert read(20) == 20 * [True]
        took = 0.03
        assert read(5) == [True, True, False, False, False]
        now += 1
        assert read(4) == [True, True, False, False]
        now, took = now + 1, 0.001
        assert read(20) == 20 * [True]
