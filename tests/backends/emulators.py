"""The emulators of cloud providers, as processes of their own. tests/clients/install.py installs them."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.clients.install import locate

_PATIENCE = 60.0  # seconds

#: Azurite's well-known account, which is no secret.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def need(name: str) -> Path:
    """Where an emulator is; its tests skip if it is missing (in CI it is installed, or they fail)."""
    found = locate(name)
    if found is None:
        pytest.skip(f"{name} is not installed: python -m tests.clients.install {name}")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def running(command: Sequence[str | Path], announces: str, log: Path) -> Iterator[str]:
    """A process that is gone when the block ends. The block begins with the line in which it says that it listens, and
    gives what `announces`, a regular expression with one group, finds there. All that it says goes to `log`."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=log.parent)
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        found: re.Match[str] | None = None
        assert process.stdout is not None
        with log.open("w") as output:
            for line in process.stdout:  # to the end, so that it never waits for a reader
                output.write(line)
                if found is None and (found := re.search(announces, line)):
                    said.put(found[1])
        said.put(None)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        url = said.get(timeout=_PATIENCE)
        assert url is not None, f"{command[0]} did not start: {log.read_text()}"
        yield url
    finally:
        process.kill()
        process.wait(10)
        reading.join()
        assert process.stdout is not None
        process.stdout.close()


@contextlib.contextmanager
def azurite(folder: Path, certificate: Path | None = None) -> Iterator[str]:
    """Microsoft's emulator of Azure Blob Storage; gives its endpoint. With a certificate it takes bearer tokens."""
    script = need("azurite")
    command: list[str | Path] = [
        "node", script, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", folder, "--disableTelemetry",
        "--skipApiVersionCheck",
    ]  # fmt: skip
    if certificate is not None:
        command += ["--oauth", "basic", "--cert", certificate, "--key", certificate.with_suffix(".key")]
    with running(command, r"listens on (https?://\S+)", folder / "azurite.log") as url:
        yield f"{url}/{AZURITE_ACCOUNT}"


@contextlib.contextmanager
def fake_gcs(folder: Path) -> Iterator[str]:
    """fake-gcs-server; gives its endpoint. At GCS_TESTBENCH_URL there may be Google's own instead."""
    if "GCS_TESTBENCH_URL" in os.environ:
        yield os.environ["GCS_TESTBENCH_URL"]
        return
    program = need("fake-gcs-server")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [
        program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-log-level",
        "info", "-external-url", url, "-public-host", f"127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, r"server started at (\S+)", folder / "fake-gcs-server.log"):
        yield url


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """moto's server, an S3; gives its URL."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with running(command, r"Running on (\S+)", folder / "moto.log") as url:
        yield url
