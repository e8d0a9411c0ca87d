"""Proxies with the documented configurations, changed where a test must: ports, folders, and what it is about."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.clients.conftest import need

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
#: What a proxy says instead of the Host that came.
CHANGED_HOST = "backend.internal"


def replace(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def documented(name: str, *changes: tuple[str, str]) -> str:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for old, new in changes:
        text = replace(text, old, new)
    return text


@attrs.frozen
class Setup:
    """What a proxy is to do: listen on `port`, pass on to `upstream` (HOST:PORT), and change Host or not."""

    folder: Path
    port: int
    upstream: str
    changes_host: bool


def _nginx(setup: Setup) -> tuple[list[str], dict[str, str]]:
    changes = [("listen 80;", f"listen 127.0.0.1:{setup.port};"), ("127.0.0.1:9000", setup.upstream)]
    if setup.changes_host:
        changed = f"proxy_set_header Host {CHANGED_HOST}; proxy_set_header X-Forwarded-Host $http_host;"
        changes.append(("proxy_set_header Host $http_host;", changed))
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {setup.folder}/{name};\n" for name in folders)
    file = setup.folder / "nginx.conf"
    file.write_text(
        f"daemon off;\nmaster_process off;\npid {setup.folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{documented('nginx.conf', *changes)}\n}}\n"
    )
    return [str(need("nginx")), "-p", str(setup.folder), "-c", str(file)], {}


def _haproxy(setup: Setup) -> tuple[list[str], dict[str, str]]:
    changes = [("bind :80 ", f"bind 127.0.0.1:{setup.port} "), ("127.0.0.1:9000", setup.upstream)]
    if setup.changes_host:
        default = "    default_backend bleepstore\n"
        kept = "    http-request set-header X-Forwarded-Host %[req.hdr(host)]\n"
        changes.append((default, f"{kept}    http-request set-header Host {CHANGED_HOST}\n{default}"))
    file = setup.folder / "haproxy.cfg"
    file.write_text(documented("haproxy.cfg", *changes))
    program = need("haproxy")
    libraries = next(program.parents[1].glob("lib/*-linux-gnu"))
    return [str(program), "-f", str(file)], {"LD_LIBRARY_PATH": str(libraries)}


def _caddy(setup: Setup) -> tuple[list[str], dict[str, str]]:
    names = ", ".join(f"http://{name}:{setup.port}" for name in ("127.0.0.1", "*.s3.example.com"))
    changes = [("\ns3.example.com {", f"\n{names} {{"), ("127.0.0.1:9000", setup.upstream)]
    if setup.changes_host:
        changes.append(("flush_interval -1", f"flush_interval -1\nheader_up Host {CHANGED_HOST}"))
    file = setup.folder / "Caddyfile"
    file.write_text("{\nadmin off\ndefault_bind 127.0.0.1\n}\n" + documented("Caddyfile", *changes))
    environ = {"HOME": str(setup.folder), "XDG_DATA_HOME": str(setup.folder), "XDG_CONFIG_HOME": str(setup.folder)}
    return [str(need("caddy")), "run", "--config", str(file), "--adapter", "caddyfile"], environ


def _traefik(setup: Setup) -> tuple[list[str], dict[str, str]]:
    routes, file = setup.folder / "routes.yaml", setup.folder / "traefik.yaml"
    changes = [("127.0.0.1:9000", setup.upstream), ("Host(`s3.example.com`)", "Host(`127.0.0.1`)")]
    if setup.changes_host:
        changes.append(("passHostHeader: true", "passHostHeader: false"))
    routes.write_text(documented("traefik-routes.yaml", *changes))
    file.write_text(
        documented(
            "traefik.yaml", ('":80"', f'"127.0.0.1:{setup.port}"'), ("/etc/traefik/bleepstore.yaml", str(routes))
        )
    )
    return [str(need("traefik")), f"--configFile={file}"], {}


PROXIES: dict[str, Callable[[Setup], tuple[list[str], dict[str, str]]]] = {
    "nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy, "traefik": _traefik,
}  # fmt: skip


@contextlib.contextmanager
def running(name: str, folder: Path, upstream: str, changes_host: bool = False) -> Iterator[str]:
    """A proxy before the server at `upstream`, for a block, which gets its URL."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command, environ = PROXIES[name](Setup(folder, port, upstream, changes_host))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environ, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            os.sched_yield()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    """Whether the proxy passes a request on: it may listen before it has read its routes, or asked the server."""
    with socket.socket() as connection:
        connection.settimeout(5)
        if connection.connect_ex(("127.0.0.1", port)):
            return False
        connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(100).startswith(b"HTTP/1.1 200")
