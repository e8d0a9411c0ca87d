"""One server over HTTP and HTTPS, and files to move."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clients.install import locate
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, certificate, clean_environment, shared_server

__all__ = ["certificate", "shared_server"]

MIB = 1 << 20

#: Each client is tried over both schemes in the default run, but not by each of its tests.
OVER_HTTP = pytest.mark.parametrize(
    "shared_server", ["http", pytest.param("https", marks=pytest.mark.slow)], indirect=True, scope="module"
)
OVER_HTTPS = pytest.mark.parametrize(
    "shared_server", ["https", pytest.param("http", marks=pytest.mark.slow)], indirect=True, scope="module"
)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: small, empty and big files, and names that need encoding."""
    chance = random.Random(7)
    folder = tmp_path_factory.mktemp("files")
    for name, size in [("small.txt", 1000), ("empty", 0), ("big.bin", 17 * MIB + 5), ("sub/a b+ü%.dat", 70_000)]:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chance.randbytes(size))
    return folder


def need(name: str) -> Path:
    """Where a client is; its tests skip if it is missing (in CI it is installed, or they fail)."""
    found = locate(name)
    if found is None:
        pytest.skip(f"{name} is not installed: python -m tests.clients.install {name}")
    return found


def run(
    server: Served, command: Sequence[str | Path], check: bool = True, ca_bundle: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a client with the server's keys (and certificate) in the environment that AWS SDKs read."""
    result = subprocess.run(
        [os.fspath(part) for part in command],
        env=client_environment(server, ca_bundle),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


def client_environment(server: Served, ca_bundle: bool = True) -> dict[str, str]:
    environ = clean_environment(
        AWS_ACCESS_KEY_ID=ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY=SECRET_KEY,
        AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=server.url,
        AWS_EC2_METADATA_DISABLED="true",
        HOME=str(server.data.parent),
    )
    if server.certificate is not None and ca_bundle:
        for name in ("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            environ[name] = str(server.certificate)
    return environ


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
