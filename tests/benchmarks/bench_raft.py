"""Raft's proposals per second, in one run beside its peers: `python -m tests.benchmarks.bench_raft`.

Every node of ours has a log of its own with an fsync before it acknowledges. The baseline is a bare SQLite commit
with its fsync, measured before each group of rows and after the last one: a row's share is of the mean of the two that
enclose it, and where those differ much the machine was not quiet. A figure of ours above it at 1 outstanding is not to
be believed before the difference is explained. PySyncObj runs three nodes in one process as ours do, with its journal
on, which it does not flush per command, and tuned: it looks at its queues every millisecond instead of every 50. etcd,
if it is installed, runs three processes behind its HTTP gateway, so its figures hold the cost of HTTP and of this
client too. What is missing is named, never left out.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import importlib.util
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw
import attrs

from bleepstore.catalog.apply import REMEMBERED_REQUESTS
from bleepstore.cluster import LocalCluster, Member, wrap
from bleepstore.commands import CreateBucket, PutObject
from bleepstore.model import Acl, Inline, Owner
from bleepstore.raft.ids import new_id
from bleepstore.raft.messages import Configuration, Role
from bleepstore.raft.node import Node
from bleepstore.raft.sqlite_log import create_log
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.driver import Echo

OUTSTANDING = (1, 16, 64, 256)
BODY = b"x" * 256
PATIENCE = 60.0  # seconds for a cluster to elect a leader

#: Begins one proposal and calls back when it is applied.
Propose = Callable[[int, Callable[[], None]], None]


@attrs.frozen
class Figure:
    name: str
    outstanding: int
    per_second: float
    p50: float  # seconds
    p99: float


class Nothing(Echo):
    """A state machine that does nothing, so that only Raft is measured."""

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        self.applied = through
        return [None] * len(batch)


def measure(name: str, propose: Propose, outstanding: int, seconds: float) -> Figure:
    """Keep `outstanding` proposals under way for `seconds`."""
    free = threading.Semaphore(outstanding)
    latencies: list[float] = []
    begun = time.perf_counter()
    number = 0
    while time.perf_counter() - begun < seconds:
        free.acquire()
        number += 1
        asked = time.perf_counter()

        def done(asked: float = asked) -> None:
            latencies.append(time.perf_counter() - asked)
            free.release()

        propose(number, done)
    for _ in range(outstanding):
        free.acquire()
    return figure(name, outstanding, latencies, time.perf_counter() - begun)


def figure(name: str, outstanding: int, latencies: list[float], seconds: float) -> Figure:
    count = len(latencies)
    latencies = sorted(latencies) or [math.nan]  # on a machine that is too busy none may end in time
    return Figure(name, outstanding, count / seconds, latencies[count // 2], latencies[int(count * 0.99)])


def wait_for(found: Callable[[], Any]) -> Any:
    """What `found` gives once it gives something."""
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        if time.monotonic() > end:
            sys.exit("no leader was elected in time")
        time.sleep(0.01)
    return result


def floor(folder: Path, seconds: float) -> Figure:
    """A row of the same size, committed and synced, one after the other."""
    path = folder / "floor.db"
    for old in folder.glob(f"{path.name}*"):
        old.unlink()
    connection = apsw.Connection(str(path))
    connection.execute(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log(idx INTEGER PRIMARY KEY, d)"
    ).fetchall()
    latencies = []
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        asked = time.perf_counter()
        connection.execute("INSERT INTO log(d) VALUES (?)", (BODY,))
        latencies.append(time.perf_counter() - asked)
    connection.close()
    return figure("SQLite commit + fsync (baseline)", 1, latencies, time.perf_counter() - begun)


@contextlib.contextmanager
def ours(folder: Path, size: int) -> Iterator[Propose]:
    cluster, ids = new_id(), tuple(new_id() for _ in range(size))
    nodes: list[Node] = []
    network = MemoryNetwork()
    for one in ids:
        path = folder / f"ours-{size}-{one}"
        path.mkdir()
        log = create_log(path / "raft.db", cluster=cluster, node=one, configuration=Configuration(ids))
        nodes.append(Node(log, Nothing(), network))
    try:
        for node in nodes:
            node.start()
        leader: Node = wait_for(lambda: next((one for one in nodes if one.status.role is Role.LEADER), None))
        prefix = iter(range(1 << 62))

        def propose(_: int, done: Callable[[], None]) -> None:
            def answered(future: Future[bytes]) -> None:
                future.result()
                done()

            leader.propose(str(next(prefix)), BODY).add_done_callback(answered)

        yield propose
    finally:
        for node in nodes:
            node.stop()


@contextlib.contextmanager
def ours_with_the_catalog(folder: Path) -> Iterator[Propose]:
    """What is proposed puts an inline object into the catalog of each of three nodes."""
    owner = Owner("alice", "Alice")
    stamp: dict[str, Any] = {"time_ms": 1, "bucket": "photos", "owner": owner}
    with LocalCluster(folder / "with-catalog", MemoryNetwork()) as cluster:
        leader: Member = wait_for(cluster.leader)
        leader.committer.submit(CreateBucket(request_id="b", location="", acl=Acl.private(owner.id), **stamp))

        def propose(_: int, done: Callable[[], None]) -> None:
            number = next(numbers)
            put = PutObject(
                request_id=f"{number}", key=f"{number % 1000}", size=len(BODY), etag="e", data=Inline(BODY), **stamp
            )

            def answered(future: Future[Any]) -> None:
                future.result()
                done()

            data = wrap(put, leader.state_machine.applied + REMEMBERED_REQUESTS)
            leader.node.propose(put.request_id, data).add_done_callback(answered)

        numbers = iter(range(1 << 62))
        yield propose


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def pysyncobj(folder: Path) -> Iterator[Propose]:
    library: Any = importlib.import_module("pysyncobj")

    class Peer(library.SyncObj):  # type: ignore[misc]  # the package has no types
        @library.replicated  # type: ignore[untyped-decorator]
        def put(self, data: bytes) -> None:
            """Nothing, as our state machine."""

    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    peers = [
        Peer(
            address,
            [one for one in addresses if one != address],
            library.SyncObjConf(
                journalFile=str(folder / f"pysyncobj-{n}"),
                appendEntriesUseBatch=True,
                autoTickPeriod=0.001,
                appendEntriesPeriod=0.001,
            ),
        )
        for n, address in enumerate(addresses)
    ]
    try:
        leader = wait_for(
            lambda: next((one for one in peers if one.isReady() and one._isLeader()), None)  # no public name for it
        )

        def propose(_: int, done: Callable[[], None]) -> None:
            def answered(result: object, error: object) -> None:
                if error:
                    sys.stderr.write(f"PySyncObj: error {error}\n")
                done()

            leader.put(BODY, callback=answered)

        yield propose
    finally:
        for peer in peers:
            peer.destroy()


@contextlib.contextmanager
def etcd(folder: Path, program: str) -> Iterator[list[int]]:
    """Three processes; gives the ports for clients."""
    ports = free_ports(6)
    cluster = ",".join(f"e{n}=http://127.0.0.1:{ports[3 + n]}" for n in range(3))
    running = []
    for n in range(3):
        client, peer = (f"http://127.0.0.1:{ports[n]}", f"http://127.0.0.1:{ports[3 + n]}")
        words = [program, "--name", f"e{n}", "--data-dir", str(folder / f"etcd-{n}"), "--initial-cluster", cluster,
                 "--listen-client-urls", client, "--advertise-client-urls", client, "--log-level", "error",
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]  # fmt: skip
        running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        wait_for(lambda: _is_up(ports[0]))
        yield ports[:3]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


_PUT = json.dumps({"key": base64.b64encode(b"key").decode(), "value": base64.b64encode(BODY).decode()})


def _put(connection: http.client.HTTPConnection) -> bool:
    connection.request("POST", "/v3/kv/put", _PUT)
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


def _is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        return _put(connection)
    return False


def measure_etcd(port: int, outstanding: int, seconds: float) -> Figure:
    """One thread and one connection for each proposal under way."""
    latencies: list[float] = []
    begun = time.perf_counter()

    def client() -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            while time.perf_counter() - begun < seconds:
                asked = time.perf_counter()
                if _put(connection):
                    latencies.append(time.perf_counter() - asked)

    threads = [threading.Thread(target=client) for _ in range(outstanding)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return figure("etcd, 3 processes, HTTP", outstanding, latencies, time.perf_counter() - begun)


def table(groups: list[list[Figure]], floors: list[Figure]) -> str:
    """`floors` are the baselines before each group and after the last."""
    lines = [
        "| | outstanding | per second | p50 ms | p99 ms | of the baseline |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number, before in enumerate(floors):
        group = groups[number] if number < len(groups) else []
        after = floors[min(number + 1, len(groups))]
        base = (before.per_second + after.per_second) / 2
        lines += [
            f"| {one.name} | {one.outstanding} | {one.per_second:,.0f} | {one.p50 * 1e3:.2f} | {one.p99 * 1e3:.2f} "
            f"| {one.per_second / base:.2f} x |"
            for one in (before, *group)
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each row is measured")
    seconds = parser.parse_args().seconds
    missing, groups, floors = [], [], []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)

        def take(name: str, proposing: contextlib.AbstractContextManager[Propose]) -> None:
            floors.append(floor(folder, seconds))
            with proposing as propose:
                groups.append([measure(name, propose, count, seconds) for count in OUTSTANDING])

        take("bleepstore, nodes: 1", ours(folder, 1))
        take("bleepstore, nodes: 3", ours(folder, 3))
        take("bleepstore, nodes: 3, catalog", ours_with_the_catalog(folder))
        if importlib.util.find_spec("pysyncobj"):
            take("PySyncObj, nodes: 3, journal", pysyncobj(folder))
        else:
            missing.append("PySyncObj was not measured: pip install pysyncobj")
        program = shutil.which("etcd")
        if program is None:
            missing.append("etcd was not measured: python -m tests.clients.install etcd")
        else:
            floors.append(floor(folder, seconds))
            with etcd(folder, program) as ports:
                groups.append([measure_etcd(ports[0], count, seconds) for count in OUTSTANDING])
        floors.append(floor(folder, seconds))
    sys.stdout.write("\n".join([table(groups, floors), *missing]) + "\n")


if __name__ == "__main__":
    main()
