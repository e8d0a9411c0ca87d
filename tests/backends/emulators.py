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
from collections.abc import Iterator, Mapping, Sequence
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


class Announcing:
    """A process that says when it listens: `announces` is a regular expression with one group, of which `announced` is
    what it found. All that the process says goes to `log`."""

    def __init__(
        self, command: Sequence[str | Path], announces: str, log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=log.parent, env=environ
        )
        said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, args=(announces, log, said))
        self._reading.start()
        try:
            announced = said.get(timeout=_PATIENCE)
            assert announced is not None, f"{command[0]} did not start: {log.read_text()}"
        except BaseException:
            self.kill()
            raise
        self.announced = announced

    def _read(self, announces: str, log: Path, said: queue.SimpleQueue[str | None]) -> None:
        found: re.Match[str] | None = None
        assert self.process.stdout is not None
        with log.open("a") as output:
            for line in self.process.stdout:  # to the end, so that it never waits for a reader
                output.write(line)
                if found is None and (found := re.search(announces, line)):
                    said.put(found[1])
        said.put(None)

    def kill(self) -> None:
        """By SIGKILL."""
        self.process.kill()
        self.process.wait(10)
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def running(command: Sequence[str | Path], announces: str, log: Path) -> Iterator[str]:
    """A process that is gone when the block ends; gives what it announced, when it listens."""
    process = Announcing(command, announces, log)
    try:
        yield process.announced
    finally:
        process.kill()


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
