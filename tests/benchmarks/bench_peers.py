"""The server beside other S3 servers, in one run: `python -m tests.benchmarks.bench_peers --s3load PATH`.

All requests are signed by a header, as SDKs do, with the digest of the payload. Client and server share the cores of
one machine, so the ratios of a table count, and not its figures. `--s3load` is a load generator that is not in this
repository (it takes -url, -key, -secret, -op, -conns, -secs, -size, -pids and prints JSON); without one see
`bench_server`, which has wrk and presigned URLs. `--install` fetches and builds the peers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.benchmarks.limits import BIG, limits
from tests.benchmarks.peers import KINDS, Kind, Peer, install

KIB = 1 << 10
CONNECTIONS = (8, 64)
BULK_CONNECTIONS = 2
#: A request for a large body takes a tenth of a second and more: so long a row has a few dozen of them.
BULK_SECONDS = 3.0
BUCKETS = ("bench", "listed", "folders")


@attrs.frozen
class Row:
    """What is measured: an operation of the load generator, with its options."""

    name: str
    op: str
    size: int = KIB
    options: tuple[str, ...] = ()
    #: Whether it is shown in MB/s, of few connections.
    is_bulk: bool = False


def _of(prefix: str, count: int, *more: str) -> tuple[str, ...]:
    return ("-prefix", prefix, "-keys", str(count), *more)


#: GET and HEAD read what the PUT of their size wrote.
ROWS = (
    Row("PUT 1 KiB", "put", KIB, _of("k", 1000, "-cycle")),
    Row("GET 1 KiB", "get", KIB, _of("k", 1000)),
    Row("HEAD", "head", KIB, _of("k", 1000)),
    Row("PUT 64 KiB", "put", 64 * KIB, _of("m", 200, "-cycle")),
    Row("GET 64 KiB", "get", 64 * KIB, _of("m", 200)),
    Row("list 1,000", "list", options=("-bucket", "listed")),
    Row("list with delimiter", "listd", options=("-bucket", "folders")),
    Row("DELETE", "delete"),
    Row("PUT 64 MiB", "put", BIG, _of("g", 2, "-cycle"), is_bulk=True),
    Row("GET 64 MiB", "get", BIG, _of("g", 2), is_bulk=True),
    Row("multipart 5 x 8 MiB", "mp", is_bulk=True),
)
SHORT = {"PUT 1 KiB", "GET 1 KiB", "HEAD", "GET 64 KiB", "PUT 64 KiB", "list 1,000", "DELETE"}


class NoneDoneError(RuntimeError):
    """No request was done in the time that there was."""


@attrs.frozen
class Load:
    """The load generator against one server."""

    program: str
    peer: Peer
    seconds: float

    def run(
        self, op: str, conns: int, size: int, *options: str, count: int = 0, seconds: float | None = None
    ) -> dict[str, Any]:
        """Its report. So many requests, or as many as fit in the time. Raises RuntimeError."""
        peer = self.peer
        command = [self.program, "-url", peer.url, "-key", peer.key, "-secret", peer.secret, "-pids", str(peer.pid)]
        command += ["-op", op, "-conns", str(conns), "-size", str(size), *options]
        command += ["-n", str(count)] if count else ["-secs", str(seconds or self.seconds)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        try:
            report: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            raise RuntimeError(run.stdout[-200:] + run.stderr[-200:]) from None
        if not report["errs"] and not report["n"]:
            raise NoneDoneError("none was done in time")
        if report["errs"]:
            raise RuntimeError(f"{report['errs']} of {report['n']} failed: {report.get('err')}")
        return report

    def fill(self) -> None:
        for bucket in BUCKETS:
            self.run("create", 1, 0, "-bucket", bucket, count=1)
        self.run("put", 8, KIB, *_of("k", 1000, "-cycle"), count=1000)
        self.run("put", 8, 64 * KIB, *_of("m", 200, "-cycle"), count=200)
        self.run("put", 8, 0, *_of("k", 1000, "-cycle", "-bucket", "listed"), count=1000)
        for folder in range(10):
            self.run("put", 8, 0, *_of(f"folder-{folder}/k", 20, "-cycle", "-bucket", "folders"), count=20)

    def measure(self, row: Row, conns: int) -> dict[str, Any]:
        seconds = self.seconds
        if row.is_bulk:
            conns, seconds = BULK_CONNECTIONS, max(seconds, BULK_SECONDS)
        if row.op != "delete":
            try:
                return self.run(row.op, conns, row.size, *row.options, seconds=seconds)
            except NoneDoneError:
                return self.run(row.op, conns, row.size, *row.options, count=2 * conns)
        name = f"deleted-{conns}-"  # so many that they take about a second
        count = max(100, min(6000, int(4000 * self.seconds)))
        self.run("put", conns, 0, "-prefix", name, count=count)
        return self.run("delete", conns, 0, "-prefix", name, count=count)


def _show(report: dict[str, Any], row: Row) -> str:
    if row.is_bulk:
        own = 1000 * report["own_cores"] * report["secs"] / report["n"]
        return f"{report['MBps']:,.0f} MB/s ({report['cpu_ms_per_k'] / 1000:.0f}, {own:.0f})"
    return f"{report['rps']:,.0f} ({report['cpu_ms_per_k']:.0f}, {report['p99']:.0f})"


def measure(kind: Kind, rows: Sequence[Row], load: Load, table: dict[tuple[str, int], dict[str, str]]) -> None:
    """Add a server's column to the table, of (row, connections) -> name of the server -> what is shown."""
    if kind.is_static:
        rows = [row for row in rows if row.op == "get"]
    elif kind.is_limit:
        rows = [row for row in rows if row.is_bulk]
    else:
        load.fill()
    for conns in CONNECTIONS:
        for row in rows:
            if (row.is_bulk or row.op == "list") and conns != CONNECTIONS[0]:
                continue
            try:
                shown = _show(load.measure(row, conns), row)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{kind.name}: {row.name}: {error}", file=sys.stderr)
                shown = "failed"
            used = BULK_CONNECTIONS if row.is_bulk else conns
            table.setdefault((row.name, used), {})[kind.name] = shown
            print(f"{kind.name:11} {used:3} {row.name:20} {shown}", file=sys.stderr, flush=True)


def _fill_folder(folder: Path) -> None:
    """What nginx has."""
    (folder / "bench").mkdir()
    for prefix, count, size in (("k", 1000, KIB), ("m", 200, 64 * KIB), ("g", 2, BIG)):
        for number in range(count):
            (folder / "bench" / f"{prefix}{number:07}").write_bytes(os.urandom(size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--s3load", default=shutil.which("s3load"), help="the load generator")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each measurement takes")
    parser.add_argument("--short", action="store_true", help="fewer rows, and one peer")
    parser.add_argument("--only", help="names of servers, by commas")
    parser.add_argument("--rows", default="", help="a part of the names of the rows that are measured")
    parser.add_argument("--install", action="store_true", help="fetch and build what is missing, and end")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [kind.name for kind in KINDS]
    if options.short and not options.only:
        names = ["bleepstore", "versitygw"]
    kinds = [kind for kind in KINDS if kind.name in names]
    if options.install:
        for kind in kinds:
            if kind.find() is None and kind.install:
                install(kind)
        return
    if options.s3load is None:
        sys.exit("the load generator is missing: name it by --s3load, or run tests.benchmarks.bench_server")
    rows = [row for row in ROWS if options.rows in row.name and (row.name in SHORT or not options.short)]
    table: dict[tuple[str, int], dict[str, str]] = {}
    shown = []
    for kind in kinds:
        program = kind.find()
        if program is None:
            print(f"{kind.name} is skipped: it is not installed (--install)", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
            if kind.is_static or kind.is_limit:
                _fill_folder(Path(name))
            try:
                with kind.run(program, Path(name)) as peer:
                    measure(kind, rows, Load(options.s3load, peer, options.seconds), table)
            except RuntimeError as error:
                print(f"{kind.name} is skipped: {error}", file=sys.stderr)
                continue
        shown.append(kind)
    print("Requests/s (microseconds of the server's processor time for each, p99 in ms); of large bodies MB/s")
    print("(milliseconds of the server's processor time for each request, and of the load generator's).\n")
    titles = [kind.name + (", durable" if kind.is_durable else "") for kind in shown]
    print("| connections | |", " | ".join(titles), "|")
    print("| ---: | --- |", " | ".join("---:" for _ in shown), "|")
    for (row_name, conns), cells in table.items():
        print(f"| {conns} | {row_name} |", " | ".join(cells.get(kind.name, "") for kind in shown), "|")
    if any(kind.is_limit for kind in shown):
        print("\nOne thread alone, MB/s:", ", ".join(f"{name} {speed:,.0f}" for name, speed in limits().items()))


if __name__ == "__main__":
    main()
