"""What metrics and the audit log cost a server: `python -m tests.benchmarks.bench_metrics [--rounds 40]`.

Servers with one worker each, over the same kind of folder: one without an admin address, which counts nothing, the same
again, one that counts, and one that has an audit log in a file beside that. In each round all of them get the same
number of requests, one right after the other, in turns, by presigned URLs. The figures are processor time of the
workers per request (/proc/PID/task/*/schedstat, which has nanoseconds): that of the first server, and the medians of
the differences of the others to it in the same round. What the second server differs by, which is the first one again,
is the noise.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from tests.serving.conftest import Served, start

BODY = b"x" * 1024
BATCH = 512
CONNECTIONS = (8, 64)
METHODS = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}
#: Name -> options of the server, in which LOG is the path of a file.
SIDES = {
    "neither": ("--no-admin",),
    "the same again": ("--no-admin",),
    "metrics": (),
    "metrics and audit log": ("--audit-log", "LOG"),
}


@attrs.frozen
class Side:
    """One of the servers, and the requests by their method."""

    served: Served
    requests: dict[str, bytes]

    def cpu_us(self) -> float:
        """Of the workers, so far."""
        total = 0
        for worker in _children(self.served.process.pid):
            for task in Path(f"/proc/{worker}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1000

    def run(self, method: str, count: int) -> float:
        """Processor time of a request, in microseconds, when so many connections ask at once."""
        request, address = self.requests[method], ("127.0.0.1", self.served.port)
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(socket.create_connection(address)) for _ in range(count)]
            for connection in connections:
                connection.sendall(request)
            (size,) = {_answer_size(connection, method) for connection in connections}
            before = self.cpu_us()
            _exchange(connections, request, size)
            return (self.cpu_us() - before) / BATCH


def _exchange(connections: list[socket.socket], request: bytes, size: int) -> None:
    """Send a batch of requests, each as soon as a connection has its answer."""
    missing = dict.fromkeys(connections, size)
    left = BATCH - len(connections)
    with selectors.DefaultSelector() as ready:
        for connection in connections:
            ready.register(connection, selectors.EVENT_READ, connection)
            connection.sendall(request)
        while missing:
            for key, _events in ready.select():
                connection = key.data
                missing[connection] -= len(connection.recv(65536))
                if missing[connection]:
                    continue
                if left:
                    left -= 1
                    missing[connection] = size
                    connection.sendall(request)
                else:
                    del missing[connection]


def _answer_size(connection: socket.socket, method: str) -> int:
    """Read an answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head = data.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 200"), head
    size = len(head) + 4
    if method != "HEAD":
        size += int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
    while len(data) < size:
        data += connection.recv(65536)
    return size


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in found.stdout.split()]


@contextlib.contextmanager
def side(folder: Path, *arguments: str) -> Iterator[Side]:
    with contextlib.ExitStack() as stack:
        served = start(folder, "--workers", "1", *arguments)
        stack.callback(served.end)
        s3 = served.client(signature_version="s3v4")
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="key", Body=BODY)
        requests = {}
        for method, operation in METHODS.items():
            url = urlsplit(s3.generate_presigned_url(operation, Params={"Bucket": "bench", "Key": "key"}))
            body = BODY if method == "PUT" else b""
            fields = f"Host: {url.netloc}\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n"
            head = f"{method} {url.path}?{url.query} HTTP/1.1\r\n{fields}\r\n"
            requests[method] = head.encode() + body
        yield Side(served, requests)


def measure(sides: dict[str, Side], method: str, count: int, rounds: int) -> None:
    found: list[dict[str, float]] = []
    names = list(sides)
    for number in range(-1, rounds):  # the first one does not count
        turn = number % len(names)
        figures = {name: sides[name].run(method, count) for name in (*names[turn:], *names[:turn])}
        if number >= 0:
            found.append(figures)
    first, *others = names
    base = statistics.median(figures[first] for figures in found)
    cells = []
    for name in others:
        more = statistics.median(figures[name] - figures[first] for figures in found)
        cells.append(f"{more:+.1f} ({more / base:+.1%})")
    print(f"| {count} | {method} 1 KiB | {base:.0f} |", " | ".join(cells), "|", flush=True)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as text, contextlib.ExitStack() as stack:
        folder, sides = Path(text), {}
        for number, (name, options) in enumerate(SIDES.items()):
            arguments = [str(folder / "audit.log") if option == "LOG" else option for option in options]
            sides[name] = stack.enter_context(side(folder / str(number), *arguments))
        print("| connections | |", " | ".join(SIDES), "|")
        print("| ---: | --- |", " | ".join("---:" for _ in SIDES), "|")
        for count in CONNECTIONS:
            for method in METHODS:
                measure(sides, method, count, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    main(parser.parse_args().rounds)
