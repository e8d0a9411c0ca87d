"""What TLS costs: `python -m tests.benchmarks.bench_tls`. Needs wrk (Debian package).

Two servers of ours, one of them with TLS. wrk drives presigned URLs over connections that stay open, against one and
then the other, round by round; the client's side of TLS is on the same cores. A figure is the median of the rounds, a
ratio that of the rounds' ratios. The processor's time is that of the server's processes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from tests.benchmarks.bench_server import BIG, CONNECTIONS, Peer, fill, ours, signed, wrk
from tests.serving.conftest import make_certificate


@attrs.frozen
class Row:
    name: str
    method: str
    operation: str
    key: str
    connections: int = CONNECTIONS
    body: int = 0


ROWS = (
    Row("GET 1 KiB", "GET", "get_object", "small"),
    Row("HEAD", "HEAD", "head_object", "empty"),
    Row("PUT 1 KiB", "PUT", "put_object", "put", body=1024),
    Row("GET 64 MiB", "GET", "get_object", "big", connections=2),
)


@attrs.frozen
class Figure:
    per_second: float
    #: The server's processor time of a request, in seconds.
    processor: float


def measure(peer: Peer, row: Row, seconds: int) -> Figure:
    path = signed(peer, row.operation, Bucket="bench", Key=row.key)
    before = peer.processor_ns()
    rate = wrk(peer.url, [path], row.method, seconds, row.body, row.connections)
    return Figure(rate, (peer.processor_ns() - before) / 1e9 / (rate * seconds))


def _middle(figures: Sequence[tuple[Figure, Figure]], of: Callable[[Figure], float]) -> tuple[float, float, float]:
    """(plain, with TLS, ratio)."""
    plain, tls = ([of(pair[side]) for pair in figures] for side in (0, 1))
    ratio = statistics.median(one / other for one, other in zip(tls, plain, strict=True))
    return statistics.median(plain), statistics.median(tls), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"))))
        certificate = folder / "server.pem"
        make_certificate(certificate)
        plain = stack.enter_context(ours(folder / "plain"))
        tls = stack.enter_context(ours(folder / "tls", certificate))
        for peer in (plain, tls):
            fill(peer)
            peer.s3.put_object(Bucket="bench", Key="big", Body=os.urandom(BIG))
        print(f"| {CONNECTIONS} connections | plain | TLS | ratio | processor, plain | TLS | ratio |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for row in ROWS:
            figures = []
            for number in range(options.rounds):
                figures.append((measure(plain, row, options.seconds), measure(tls, row, options.seconds)))
                print(f"{row.name}: round {number + 1} of {options.rounds}", file=sys.stderr)
            rates = "{:,.0f} | {:,.0f} | {:.2f}".format(*_middle(figures, lambda one: one.per_second))
            times = "{:,.0f} us | {:,.0f} us | {:.2f}".format(*_middle(figures, lambda one: one.processor * 1e6))
            print(f"| {row.name} | {rates} | {times} |", flush=True)


if __name__ == "__main__":
    main()
