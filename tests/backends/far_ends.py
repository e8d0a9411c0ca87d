"""S3 endpoints for the gateway to S3, as processes of their own: BleepStore itself, and moto."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.serving.conftest import Served, start

_PATIENCE = 30.0  # seconds


@contextlib.contextmanager
def far_end(folder: Path, certificate: Path | None = None) -> Iterator[Served]:
    served = start(folder / "far-end", "--workers", "1", "--threads", "16", certificate=certificate)
    try:
        yield served
    finally:
        served.stop()


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """moto's server; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "moto.log").open("w+") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + _PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise AssertionError(f"moto did not start: {log.read()}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
