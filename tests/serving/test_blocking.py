"""Which thread does what a disk may hold for long."""

from __future__ import annotations

import gc
import io
import threading
import time
import weakref

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


def test_what_a_call_that_failed_had_open_is_closed_without_a_collection() -> None:
    files: list[weakref.ref[io.RawIOBase]] = []

    def call() -> None:
        file = io.RawIOBase()
        files.append(weakref.ref(file))
        raise OSError("the disk is broken")

    with answering() as server:
        calls = BlockingCalls(server.loop, server.pool)

        def respond(name: str) -> bytes:
            try:
                calls.run(call)
            except OSError as error:
                return str(error).encode()
            return name.encode()

        client = server.connect()
        server.respond = respond
        server.loop.careful = 1
        gc.disable()
        try:
            ask(client, "read")
            assert answer_of(client) == b"the disk is broken"
            deadline = time.monotonic() + 5
            while files[0]() is not None:
                assert time.monotonic() < deadline, "the other thread is done"
        finally:
            gc.enable()
