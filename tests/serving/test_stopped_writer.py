"""A real server beside a process that was stopped while it held the catalog's write lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from botocore.exceptions import ClientError

from tests.serving.conftest import Served
from tests.stopping import stop
from tests.store.test_stopped_writer import HOLDER, WAIT_LESS

Serve = Callable[..., Served]
THREADS = 4


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_a_server_refuses_writes_soon_and_goes_on_reading(serve: Serve) -> None:
    served = serve("--workers", "1", "--threads", str(THREADS), before=WAIT_LESS)
    s3 = served.client(max_pool_connections=4 * THREADS)
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(served.data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    stop(holder.pid)
    refused: list[tuple[str, int]] = []

    def write() -> None:
        try:
            s3.put_object(Bucket="photos", Key="k", Body=b"other")
        except ClientError as error:
            answer = error.response
            refused.append((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]))

    def write_at_once(count: int) -> None:
        threads = [threading.Thread(target=write) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    started = time.monotonic()
    write_at_once(3 * THREADS)  # more than the server has threads
    assert time.monotonic() - started < 30
    waits = threading.Thread(target=write)
    waits.start()  # the one that tries again; all others are refused at once
    for _ in range(3):
        asked = time.monotonic()
        assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"
        assert status_of(f"{served.url}/healthz") == 200
        assert status_of(f"{served.url}/readyz") == 503
        assert time.monotonic() - asked < 4
    waits.join(60)
    assert refused == [("SlowDown", 503)] * (3 * THREADS + 1)
    os.kill(holder.pid, signal.SIGCONT)
    holder.communicate("\n", timeout=60)
    s3.put_object(Bucket="photos", Key="k", Body=b"after")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"after"
    assert status_of(f"{served.url}/readyz") == 200
