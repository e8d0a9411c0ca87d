"""Of a server's workers one runs the jobs of the store."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import bleepstore
from bleepstore.jobs.memory import JobsFile
from tests.library.watched import garbage
from tests.serving.test_damaged_bytes import Serve


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again: a worker tells nobody outside that it runs the jobs, but by what is left of them."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def test_when_the_worker_that_runs_the_jobs_is_killed_another_goes_on(serve: Serve, tmp_path: Path) -> None:
    server = serve("--workers", "2")
    s3 = server.client()
    s3.create_bucket(Bucket="photos")

    def make_garbage() -> None:
        for _ in range(3):
            s3.put_object(Bucket="photos", Key="k", Body=bytes(100_000))

    def holder() -> int:
        return JobsFile(tmp_path / "data").read().holder

    wait_until(lambda: holder() != 0, "a worker runs the jobs")
    with bleepstore.open(tmp_path / "data", read_only=True) as seen:
        first = holder()
        make_garbage()
        wait_until(lambda: garbage(seen) == 0, "the garbage is removed")
        assert holder() == first
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: holder() != first, "another worker goes on")
        s3 = server.client()  # its connection may have been to the one that was killed
        make_garbage()
        wait_until(lambda: garbage(seen) == 0, "the garbage is removed again")
