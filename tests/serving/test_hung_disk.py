"""A disk or a provider that does not answer: it holds the requests that need it, and no others."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.conftest import ACCESS_KEY, LEGACY_ACLS, SECRET_KEY, Served

Serve = Callable[..., Served]
#: More than is kept in the catalog, and little enough for the loop's thread.
SIZE = 100_000
THREADS = 2


def is_healthy(served: Served) -> bool:
    with urllib.request.urlopen(f"{served.url}/healthz", timeout=20) as answer:
        return bool(answer.status == 200)


def ask(served: Served, key: str, stack: contextlib.ExitStack) -> socket.socket:
    """Send a request whose answer is not waited for."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
    connection.sendall(f"GET /open/{key} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


def make_hang(data: Path) -> Path:
    """Have the one file of a blob open only when it is opened for writing too."""
    (blob,) = (data / "blobs").glob("*/*")
    blob.unlink()
    os.mkfifo(blob)
    return blob


@pytest.mark.parametrize(
    "hanging", [1, pytest.param(5, marks=pytest.mark.slow)], ids=["one request", "more than threads"]
)
def test_a_file_that_hangs_holds_its_own_requests(serve: Serve, hanging: int) -> None:
    served = serve("--workers", "1", "--threads", str(THREADS), *LEGACY_ACLS)
    s3 = served.client(read_timeout=20)
    s3.create_bucket(Bucket="open", ACL="public-read-write")
    s3.put_object(Bucket="open", Key="hangs", Body=bytes(SIZE), ACL="public-read")
    file = make_hang(served.data)
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
    os.killpg(provider.process.pid, signal.SIGSTOP)
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
