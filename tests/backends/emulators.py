"""The emulators of cloud providers, as processes of their own. tests/clients/install.py installs them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
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
def running(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """A process that listens on a port when the block begins, and is gone when it ends."""
    with log.open("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            end = time.monotonic() + _PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"{command[0]} did not start: {log.read_text()}")
                time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait(10)


@contextlib.contextmanager
def azurite(folder: Path, certificate: Path | None = None) -> Iterator[str]:
    """Microsoft's emulator of Azure Blob Storage; gives its endpoint. With a certificate it takes bearer tokens."""
    script = need("azurite")
    port = free_port()
    command: list[str | Path] = [
        "node", script, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder, "--silent",
        "--disableTelemetry", "--skipApiVersionCheck",
    ]  # fmt: skip
    if certificate is not None:
        command += ["--oauth", "basic", "--cert", certificate, "--key", certificate.with_suffix(".key")]
    with running(command, port, folder / "azurite.log"):
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}/{AZURITE_ACCOUNT}"


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
        "error", "-external-url", url, "-public-host", f"127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, port, folder / "fake-gcs-server.log"):
        yield url
