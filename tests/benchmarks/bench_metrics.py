"""What metrics and the audit log cost a server: `python -m tests.benchmarks.bench_metrics [--pairs 30]`.

Two servers with one worker each, over the same kind of folder: one without an admin address, which counts nothing, and
one with it and an audit log in a file. Each pair is a batch of requests to the one and one to the other right after it,
in turns, over one connection each, by presigned URLs. The figures are processor time of the workers per request
(/proc/PID/task/*/schedstat, which has nanoseconds), and the median of the differences of the pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from tests.serving.conftest import Served, start

BODY = b"x" * 1024
BATCH = 400
METHODS = {"GET 1 KiB": ("GET", "get_object"), "PUT 1 KiB": ("PUT", "put_object")}


@attrs.frozen
class Side:
    """One of the servers, a connection to it, and the targets of the requests."""

    served: Served
    connection: http.client.HTTPConnection
    targets: dict[str, str]

    def cpu_us(self) -> float:
        """Of the workers, so far."""
        total = 0
        for worker in _children(self.served.process.pid):
            for task in Path(f"/proc/{worker}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1000

    def run(self, name: str) -> float:
        """Processor time of a request, in microseconds."""
        method, _operation = METHODS[name]
        before = self.cpu_us()
        for _ in range(BATCH):
            self.connection.request(method, self.targets[name], BODY if method == "PUT" else None)
            answer = self.connection.getresponse()
            answer.read()
            assert answer.status == 200
        return (self.cpu_us() - before) / BATCH


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in found.stdout.split()]


@contextlib.contextmanager
def side(folder: Path, *arguments: str) -> Iterator[Side]:
    served = start(folder / "data", "--workers", "1", *arguments)
    try:
        s3 = served.client(signature_version="s3v4")
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="key", Body=BODY)
        targets = {}
        for name, (_method, operation) in METHODS.items():
            url = urlsplit(s3.generate_presigned_url(operation, Params={"Bucket": "bench", "Key": "key"}))
            targets[name] = f"{url.path}?{url.query}"
        yield Side(served, http.client.HTTPConnection("127.0.0.1", served.port), targets)
    finally:
        served.end()


def main(pairs: int) -> None:
    with tempfile.TemporaryDirectory() as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        audit = ("--audit-log", str(folder / "audit.log"))
        plain = stack.enter_context(side(folder / "plain", "--no-admin"))
        watched = stack.enter_context(side(folder / "watched", *audit))
        for name in METHODS:
            plain.run(name)
            watched.run(name)
            found: list[tuple[float, float]] = []
            for number in range(pairs):
                if number % 2:
                    found.append((plain.run(name), watched.run(name)))
                else:
                    second = watched.run(name)
                    found.append((plain.run(name), second))
            base = statistics.median(before for before, _after in found)
            more = statistics.median(after - before for before, after in found)
            print(f"{name}: {base:6.1f} us, {more:+5.1f} us with metrics and audit log: {more / base:+.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    main(parser.parse_args().pairs)
