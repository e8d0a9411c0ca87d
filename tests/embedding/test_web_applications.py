"""The web applications of docs/howto/embed-a-store.md, served by several processes of gunicorn over one folder."""

from __future__ import annotations

import concurrent.futures
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bleepstore

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "embed-a-store.md"
_APP = re.compile(r"^```python\n# app.py\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs the page's application in two workers; gives its port and what it logged by then."""
    found = _APP.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    (tmp_path / "app.py").write_text(found[1], encoding="utf-8")
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", "127.0.0.1:0"]
        process = subprocess.Popen(
            [*command, "--no-control-socket", *options, "app:make_app('data')"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stderr is not None
        log = ""
        while log.count("Booting worker") < 2:
            line = process.stderr.readline()
            assert line, log
            log += line
        port = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log)
        assert port is not None, log
        return int(port[1]), log

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=40)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_two_processes_share_a_store(serve: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    port, _ = serve()
    body = os.urandom(300_000)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: ask(port, "PUT", f"/files/{number % 10}", body)[0], range(40)))
    assert sorted(statuses) == [201] * 10 + [409] * 30
    for number in range(10):
        assert ask(port, "GET", f"/files/{number}") == (200, body)
    assert ask(port, "GET", "/files/none")[0] == 404
    with bleepstore.open(tmp_path / "data") as store:  # a third process, beside them
        assert len(store.list_objects("uploads").objects) == 10


def test_a_store_that_was_opened_before_the_fork_says_so(serve: Callable[..., tuple[int, str]]) -> None:
    port, _ = serve("--preload")
    assert ask(port, "PUT", "/files/a", b"1")[0] == 500
