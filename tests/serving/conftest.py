"""Real servers: `bleepstore serve` as a subprocess, over HTTP and HTTPS."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.serving.forking import Forked, forker

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY, SECRET_KEY = "acceptance", "acceptance-secret"


@attrs.define
class Served:
    """A server process that accepts requests."""

    process: subprocess.Popen[str] | Forked
    url: str
    data: Path
    banner: str
    certificate: Path | None
    clients: list[S3Client] = attrs.field(factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, **config: Any) -> S3Client:
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            verify=str(self.certificate) if self.certificate else None,
            config=Config(**{"retries": {"max_attempts": 1}, **config}),
        )
        self.clients.append(client)
        return client

    def stop(self) -> int:
        """End it by SIGTERM; returns its status. It would wait for a while for clients that keep a connection."""
        self._close_clients()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=40)
        return self.process.wait()

    def kill(self) -> None:
        """End it and its workers by SIGKILL, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=40)
        self._close_clients()

    def _close_clients(self) -> None:
        while self.clients:
            self.clients.pop().close()

    def end(self) -> None:
        """What a test does with it in the end that does not ask how it ends: at once, without waiting for anything."""
        if self.process.poll() is None:
            self.kill()
        else:
            self.process.communicate(timeout=40)


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without what configures BleepStore or AWS SDKs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BLEEPSTORE_", "AWS_"))}
    return kept | variables


#: Arguments of a server for tests that need access control lists.
LEGACY_ACLS = ("--acl-defaults", "legacy")


_MAIN = "import sys; from bleepstore_server.cli import main; sys.exit(main())"


def start(
    data: Path,
    *arguments: str,
    keys: bool = True,
    certificate: Path | None = None,
    environ: Mapping[str, str] | None = None,
    descriptors: int | None = None,
    before: str | None = None,
) -> Served:
    """Start a server on a free port and wait for the line with its URL. It may have so many `descriptors`. Its
    process executes `before` first, a line of Python: that it waits less, say."""
    environ = dict(environ or {})
    if keys:
        environ |= {"BLEEPSTORE_ACCESS_KEY": ACCESS_KEY, "BLEEPSTORE_SECRET_KEY": SECRET_KEY}
    words = ["serve", "--data", str(data), "--port", "0", *arguments]
    if certificate is not None:
        words += ["--tls-cert", str(certificate), "--tls-key", str(certificate.with_suffix(".key"))]
    process: subprocess.Popen[str] | Forked
    if before is None and descriptors is None:
        process = forker().start(words, clean_environment(**environ))
    else:
        program = ["-m", "bleepstore_server"] if before is None else ["-c", f"{before}\n{_MAIN}"]
        limit = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"] if descriptors is not None else []
        process = subprocess.Popen(
            [*limit, sys.executable, *program, *words],
            env=clean_environment(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    banner = ""
    while found := process.stdout.readline():
        banner += found
        if found.startswith("  AWS CLI"):
            break
    url = re.search(r"serves .* at (https?://\S+)", banner)
    if url is None:
        process.kill()
        process.communicate()
        raise AssertionError(f"the server did not start: {banner}")
    return Served(process, url[1], data, banner, certificate)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers, and ends them after the test."""
    with contextlib.ExitStack() as stack:

        def start_one(*arguments: str, data: Path | None = None, **options: Any) -> Served:
            served = start(data or tmp_path / "data", *arguments, **options)
            stack.callback(served.end)
            return served

        yield start_one


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 and localhost; its key is stored beside it with the suffix .key."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    make_certificate(path)
    return path


def make_certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture(scope="module")
def shared_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for a module's tests, with one worker; its buckets take ACLs."""
    served = start(tmp_path_factory.mktemp("plain") / "data", "--workers", "1", *LEGACY_ACLS)
    yield served
    served.end()


@pytest.fixture(scope="module", params=["http", "https"])
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: Path
) -> Iterator[Served]:
    """One server for a module's tests, over each scheme."""
    data = tmp_path_factory.mktemp("served") / "data"
    served = start(data, "--workers", "2", certificate=certificate if request.param == "https" else None)
    yield served
    served.end()
