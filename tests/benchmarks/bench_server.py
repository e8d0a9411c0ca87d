"""The server against moto_server and the bare gunicorn floor, in one run: `python -m tests.benchmarks.bench_server`.

wrk drives presigned URLs from the same machine, so client and server share its cores. Figures are comparable within a
run only; the table shows them with their ratios to the floor and to moto. Needs wrk (Debian package) and moto[server].
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = ("bench", "bench-secret")
WORKERS, THREADS, CONNECTIONS = 2, 8, 16
MIB = 1 << 20
BIG = 64 * MIB

_LUA = """
local paths = {{ {paths} }}
local n = {first}
wrk.method = "{method}"
{body}
request = function()
  n = n + 1
  return wrk.format(nil, paths[n % #paths + 1])
end
"""


@attrs.define
class Peer:
    """A server under test."""

    name: str
    url: str
    master: int
    certificate: Path | None = None

    @property
    def pids(self) -> list[int]:
        """Its processes, as many as there are now."""
        return [self.master, *_children(self.master)]

    @property
    def s3(self) -> S3Client:
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEYS[0],
            aws_secret_access_key=KEYS[1],
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
            verify=str(self.certificate) if self.certificate else None,
        )
        return client

    def peak_mib(self) -> float:
        """The largest sum of resident memory so far, workers together."""
        total = 0
        for pid in self.pids:
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]  # every process has it
        return total / 1024

    def processor_ns(self) -> int:
        """The processor time of all threads of its processes so far, in nanoseconds."""
        threads = (thread for pid in self.pids for thread in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        os.sched_yield()
    raise RuntimeError(f"nothing listens on port {port}")


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def _started(name: str, command: list[str], certificate: Path | None = None, **environ: str) -> Iterator[Peer]:
    port = _free_port()
    command = [part.replace("PORT", str(port)) for part in command]
    process = subprocess.Popen(
        command, env=os.environ | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(port)
        scheme = "https" if certificate else "http"
        yield Peer(name, f"{scheme}://127.0.0.1:{port}", process.pid, certificate)
    finally:
        process.terminate()
        process.wait(timeout=40)


def ours(data: Path, certificate: Path | None = None) -> contextlib.AbstractContextManager[Peer]:
    """Its key is beside the certificate, with the suffix .key."""
    command = [sys.executable, "-m", "bleepstore_server", "serve", "--data", str(data), "--port", "PORT"]
    command += ["--workers", str(WORKERS), "--threads", str(THREADS)]
    if certificate is not None:
        command += ["--tls-cert", str(certificate), "--tls-key", str(certificate.with_suffix(".key"))]
    return _started("bleepstore", command, certificate, BLEEPSTORE_ACCESS_KEY=KEYS[0], BLEEPSTORE_SECRET_KEY=KEYS[1])


def floor(file: Path) -> contextlib.AbstractContextManager[Peer]:
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--workers", str(WORKERS), "--threads", str(THREADS)]
    command += ["--reuse-port", "--keep-alive", "75", "--no-control-socket", "-b", "127.0.0.1:PORT"]
    return _started("gunicorn", [*command, "tests.benchmarks.floor_app:app"], FLOOR_FILE=str(file))


def moto() -> contextlib.AbstractContextManager[Peer]:
    return _started("moto", [shutil.which("moto_server") or "moto_server", "-H", "127.0.0.1", "-p", "PORT"])


def wrk(url: str, paths: list[str], method: str, seconds: int, body: int = 0, connections: int = CONNECTIONS) -> float:
    """Requests per second, all of them answered with a 2xx; raises RuntimeError otherwise."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        quoted = ", ".join(f'"{path}"' for path in paths)
        text = f'wrk.body = string.rep("x", {body})' if body else ""
        script.write(_LUA.format(paths=quoted, first=0, method=method, body=text))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script.name, url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(f"{method} {url} failed:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]  # wrk always prints it


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def signed(peer: Peer, operation: str, **parameters: object) -> str:
    return _path(peer.s3.generate_presigned_url(operation, Params=parameters, ExpiresIn=3600))


def fill(peer: Peer) -> None:
    s3 = peer.s3
    s3.create_bucket(Bucket="bench")
    s3.create_bucket(Bucket="thousand")
    s3.put_object(Bucket="bench", Key="small", Body=b"x" * 1024)
    s3.put_object(Bucket="bench", Key="empty", Body=b"")  # wrk waits for the body that Content-Length of a HEAD says
    for number in range(1000):
        s3.put_object(Bucket="thousand", Key=f"key-{number:04}", Body=b"")


def small_requests(peer: Peer, seconds: int) -> dict[str, float]:
    """Requests per second of 1 KiB."""
    puts = [signed(peer, "put_object", Bucket="bench", Key=f"put-{number}") for number in range(64)]
    listing = [signed(peer, "list_objects_v2", Bucket="thousand")]
    get = signed(peer, "get_object", Bucket="bench", Key="small")
    head = signed(peer, "head_object", Bucket="bench", Key="empty")
    return {
        "GET 1 KiB /s": wrk(peer.url, [get], "GET", seconds),
        "HEAD /s": wrk(peer.url, [head], "HEAD", seconds),
        "PUT 1 KiB /s": wrk(peer.url, puts, "PUT", seconds, body=1024),
        "list 1,000 /s": wrk(peer.url, listing, "GET", seconds),
    }


def big_put(peer: Peer, path: str, rounds: int) -> float:
    """MB/s of PUTs of 64 MiB, one after the other."""
    data = os.urandom(MIB)
    connection = http.client.HTTPConnection(peer.url.removeprefix("http://"), timeout=120)
    begun = time.perf_counter()
    for _ in range(rounds):
        connection.putrequest("PUT", path)
        connection.putheader("Content-Length", str(BIG))
        connection.endheaders()
        for _ in range(BIG // MIB):
            connection.send(data)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"PUT of 64 MiB failed: {answer.status}")
    elapsed = time.perf_counter() - begun
    connection.close()
    return rounds * BIG / elapsed / 1e6


def md5_rate() -> float:
    """MB/s of MD5 alone on one core."""
    data = os.urandom(MIB)
    begun = time.perf_counter()
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(256):
        digest.update(data)
    return 256 * MIB / (time.perf_counter() - begun) / 1e6


def write_rate(folder: Path) -> float:
    """MB/s of writing and fsyncing files of 64 MiB."""
    data = os.urandom(MIB)
    begun = time.perf_counter()
    for number in range(4):
        with (folder / f"raw-{number}").open("wb") as file:
            for _ in range(BIG // MIB):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return 4 * BIG / (time.perf_counter() - begun) / 1e6


def measure_ours(folder: Path, seconds: int) -> dict[str, float]:
    with ours(folder / "data") as peer:
        fill(peer)
        found = small_requests(peer, seconds)
        found["peak memory, small, MiB"] = peer.peak_mib()
        put = signed(peer, "put_object", Bucket="bench", Key="big")
        found["PUT 64 MiB MB/s"] = big_put(peer, put, 6)
        get = signed(peer, "get_object", Bucket="bench", Key="big")
        found["GET 64 MiB MB/s"] = wrk(peer.url, [get], "GET", seconds, connections=2) * BIG / 1e6
        found["peak memory, MiB"] = peer.peak_mib()
        return found


def measure_floor(folder: Path, seconds: int) -> dict[str, float]:
    file = folder / "floor"
    file.write_bytes(os.urandom(BIG))
    with floor(file) as peer:
        rate = wrk(peer.url, ["/"], "GET", seconds)
        put = wrk(peer.url, ["/"], "PUT", seconds, body=1024)
        big = wrk(peer.url, ["/file"], "GET", seconds, connections=2) * BIG / 1e6
        return {
            "GET 1 KiB /s": rate,
            "HEAD /s": wrk(peer.url, ["/empty"], "HEAD", seconds),
            "PUT 1 KiB /s": put,
            "GET 64 MiB MB/s": big,
            "PUT 64 MiB MB/s": md5_rate(),
            "peak memory, small, MiB": peer.peak_mib(),
        }


def measure_moto(seconds: int) -> dict[str, float]:
    with moto() as peer:
        fill(peer)
        found = small_requests(peer, seconds)
        found["peak memory, small, MiB"] = peer.peak_mib()
        put = signed(peer, "put_object", Bucket="bench", Key="big")
        found["PUT 64 MiB MB/s"] = big_put(peer, put, 3)
        get = signed(peer, "get_object", Bucket="bench", Key="big")
        found["GET 64 MiB MB/s"] = wrk(peer.url, [get], "GET", seconds, connections=2) * BIG / 1e6
        found["peak memory, MiB"] = peer.peak_mib()
        return found


def _ratio(mine: float, other: float | None) -> str:
    return "" if not other else f"{mine / other:.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="how long each measurement takes")
    parser.add_argument("--skip-moto", action="store_true")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: python -m tests.clients.install wrk")
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        print("measuring the floor", file=sys.stderr)
        lowest = measure_floor(folder, options.seconds)
        print("measuring bleepstore", file=sys.stderr)
        mine = measure_ours(folder, options.seconds)
        print("measuring the floor again", file=sys.stderr)
        again = measure_floor(folder, options.seconds)
        raw = write_rate(folder)
        peer: dict[str, float] = {}
        if not options.skip_moto:
            print("measuring moto", file=sys.stderr)
            peer = measure_moto(options.seconds)
    print(f"{WORKERS} workers x {THREADS} threads, {CONNECTIONS} connections, {os.cpu_count()} cores shared with wrk;")
    print(f"the floor is bare gunicorn (two runs), for PUT 64 MiB it is MD5 alone; raw write + fsync {raw:,.0f} MB/s\n")
    print("| | bleepstore | floor | of the floor | moto | times moto |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for what, value in mine.items():
        low, high = sorted((lowest.get(what, 0.0), again.get(what, 0.0)))
        shown = f"{low:,.0f} to {high:,.0f}" if high else ""
        beside = f"{peer[what]:,.0f}" if what in peer else ""
        share = _ratio(value, (low + high) / 2)
        print(f"| {what} | {value:,.0f} | {shown} | {share} | {beside} | {_ratio(value, peer.get(what))} |")


if __name__ == "__main__":
    main()
