"""boto3 without a socket against moto, in one run: `python -m tests.benchmarks.bench_in_process`.

Figures are comparable within a run only; the table shows them with their ratios to moto's. Needs moto[s3,server].

- calls: put_object and get_object of 1 KiB, one after the other. Signatures, checksums and digests are verified by
  BleepStore; moto verifies none of them. Wall time is the best round's; processor time, of all threads of this process,
  is the median round's, and the steadier one where other programs run.
- floors: botocore's own cost, with an answer that is made up on the spot. The bare one has the least that botocore
  takes, an ETag and a length, and nobody reads the request's body: no S3 answers so. The other reads the body, which
  botocore frames while it is read, and has the fields that S3 gives, of which botocore parses the time and compares the
  checksum with what is read: what boto3 costs with an S3 that takes no time.
- fresh: a store with a bucket as a test gets it; by a client that is kept, with its call, and with a new client.
- fork: a fork of 10,000 objects, of a store in memory, of one on disk in memory, and of one on disk into a folder.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import contextlib
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

import bleepstore
from bleepstore_server import client_for, in_process, live_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = os.urandom(1024)
MOTO = "moto mock_aws"
_OURS: Any = {"aws_access_key_id": "bleepstore", "aws_secret_access_key": "bleepstore-secret"}
_KEYS: Any = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}


@attrs.frozen
class Row:
    what: str
    name: str
    seconds: float
    #: Processor time, in seconds, where it was measured.
    processor: float | None = None


def time_of(work: Callable[[], object], count: int, rounds: int = 5) -> float:
    """Seconds of one call: the best of `rounds` rounds of `count` calls."""
    work()
    best = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - begun) / count)
    return best


@contextlib.contextmanager
def _moto() -> Iterator[S3Client]:
    from moto import mock_aws

    with mock_aws():
        yield boto3.Session().client("s3", **_KEYS)


@contextlib.contextmanager
def _moto_server() -> Iterator[S3Client]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.Session().client("s3", endpoint_url=f"http://{host}:{port}", **_KEYS)
    server.stop()


@contextlib.contextmanager
def _in_process(path: str | None = None) -> Iterator[S3Client]:
    with bleepstore.open(path) as store:
        yield client_for(store)


@contextlib.contextmanager
def _block() -> Iterator[S3Client]:
    with in_process():
        yield boto3.client("s3")


@contextlib.contextmanager
def _live_server() -> Iterator[S3Client]:
    with live_server() as server:
        yield server.client()


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int | None = None) -> bytes:
        body, self._body = self._body, b""
        return body

    def stream(self) -> Iterator[bytes]:
        yield self.read()


# The stubs of AWSResponse know no dict as its headers, which botocore takes.
def _answered_by(answer: Callable[..., AWSResponse]) -> S3Client:
    client = boto3.Session().client("s3", config=Config(), **_KEYS)
    events: Any = client.meta.events  # its type says that handlers return nothing; botocore takes their answers
    events.register_first("before-send.s3", answer)
    return client


@contextlib.contextmanager
def _floor() -> Iterator[S3Client]:
    def answer(request: Any, **_: object) -> AWSResponse:
        body = BODY if request.method == "GET" else b""
        raw: Any = _Raw(body)
        return AWSResponse(request.url, 200, {"ETag": '"x"', "Content-Length": str(len(body))}, raw)  # type: ignore[arg-type]

    yield _answered_by(answer)


_OF_EACH_ANSWER = {
    "x-amz-request-id": "0123456789ABCDEF",
    "x-amz-id-2": "0123456789ABCDEF" * 4,
    "Date": "Tue, 24 Nov 2026 07:30:00 GMT",
    "Server": "AmazonS3",
    "ETag": '"0123456789abcdef0123456789abcdef"',
    "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode(),
    "x-amz-checksum-type": "FULL_OBJECT",
    "x-amz-server-side-encryption": "AES256",
}
_OF_READS = {
    "Last-Modified": "Tue, 24 Nov 2026 07:30:00 GMT",
    "Content-Type": "binary/octet-stream",
    "Accept-Ranges": "bytes",
}


@contextlib.contextmanager
def _s3_floor() -> Iterator[S3Client]:
    def answer(request: Any, **_: object) -> AWSResponse:
        while hasattr(request.body, "read") and request.body.read(1024 * 1024):
            pass
        is_read = request.method == "GET"
        body = BODY if is_read else b""
        fields = _OF_EACH_ANSWER | (_OF_READS if is_read else {}) | {"Content-Length": str(len(body))}
        raw: Any = _Raw(body)
        return AWSResponse(request.url, 200, fields, raw)  # type: ignore[arg-type]

    yield _answered_by(answer)


CALLS: dict[str, Callable[[], contextlib.AbstractContextManager[S3Client]]] = {
    "bleepstore in-process": _in_process,
    "bleepstore, boto3.client in a block": _block,
    "bleepstore live server": _live_server,
    "botocore's floor, bare": _floor,
    "botocore's floor, an answer as S3's": _s3_floor,
    MOTO: _moto,
    "moto server": _moto_server,
}


def _calls_of(client: S3Client) -> dict[str, Callable[[], object]]:
    def put() -> None:
        client.put_object(Bucket="bench", Key="k", Body=BODY)

    def get() -> None:
        client.get_object(Bucket="bench", Key="k")["Body"].read()

    def both() -> None:
        put()
        get()

    return {"put 1 KiB": put, "get 1 KiB": get, "put + get": both}


def measure_calls(count: int, rounds: int) -> list[Row]:
    """All contestants take turns in every round, so that a busy neighbour meets each of them."""
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in range(rounds):
        for name, make in CALLS.items():
            with make() as client:
                client.create_bucket(Bucket="bench")
                for what, call in _calls_of(client).items():
                    times.setdefault((what, name), []).extend(_times_of(call, count) for _ in range(2))
                client.close()
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return [
        Row(what, name, min(wall for wall, _ in found), statistics.median(processor for _, processor in found))
        for (what, name), found in times.items()
    ]


def _times_of(call: Callable[[], object], count: int) -> tuple[float, float]:
    """Seconds of one call of `count`, by the clock and by the processor."""
    call()
    begun, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    return (time.perf_counter() - begun) / count, (time.process_time() - processor) / count


def _fresh_moto(session: boto3.Session | None) -> None:
    from moto import mock_aws

    with mock_aws():
        client = (session or boto3.Session()).client("s3", **_KEYS)
        client.create_bucket(Bucket="fresh")
        client.close()


def _fresh_moto_bucket(client: S3Client) -> None:
    from moto import mock_aws

    with mock_aws():
        client.create_bucket(Bucket="fresh")


def _fresh_block_bucket(client: S3Client) -> None:
    with in_process():
        client.create_bucket(Bucket="fresh")


def _fresh_store() -> None:
    with bleepstore.open() as store:
        store.create_bucket("fresh")


def _fresh_client() -> None:
    with bleepstore.open() as store:
        store.create_bucket("fresh")
        client_for(store).close()


def _fresh_block(session: boto3.Session) -> None:
    with in_process() as store:
        store.create_bucket("fresh")
        session.client("s3", **_KEYS).close()


def measure_fresh(count: int) -> list[Row]:
    from moto import mock_aws

    with mock_aws():
        session = boto3.Session()  # a session made within knows moto
    few = max(count // 10, 3)
    store, client = "fresh store + bucket", "fresh store + bucket + boto3 client"
    with mock_aws():
        kept = session.client("s3", **_KEYS)
    ours = session.client("s3", **_KEYS | _OURS)
    rows = [
        Row(store, MOTO, time_of(lambda: _fresh_moto_bucket(kept), few)),
        Row(store, "bleepstore", time_of(_fresh_store, count)),
        Row(store, "bleepstore block, by the kept client", time_of(lambda: _fresh_block_bucket(ours), few)),
        Row(client, "moto mock_aws, new session", time_of(lambda: _fresh_moto(None), max(count // 20, 3), 3)),
        Row(client, MOTO, time_of(lambda: _fresh_moto(session), few)),
        Row(client, "bleepstore", time_of(_fresh_client, few)),
        Row(client, "bleepstore block, session reused", time_of(lambda: _fresh_block(session), few)),
    ]
    kept.close()
    ours.close()
    return rows


def measure_forks(sizes: Sequence[int]) -> list[Row]:
    rows = []
    for size, kind in itertools.product(sizes, ("memory", "disk, forked in memory", "disk")):
        with tempfile.TemporaryDirectory() as folder:
            numbers = itertools.count()
            with bleepstore.open(None if kind == "memory" else f"{folder}/seeded") as seeded:
                seeded.create_bucket("fresh")

                def put(number: int, store: bleepstore.Store = seeded, body: bytes = bytes(size)) -> None:
                    store.put_object("fresh", f"key-{number:05d}", body)

                with concurrent.futures.ThreadPoolExecutor(16) as pool:  # so that they share commits
                    list(pool.map(put, range(10_000)))

                def fork(store: bleepstore.Store = seeded, kind: str = kind, numbers: Iterator[int] = numbers) -> None:
                    store.fork(f"{folder}/{next(numbers)}" if kind == "disk" else None).close()

                rows.append(Row(f"fork of 10,000 objects of {size} bytes", kind, time_of(fork, 3, 3)))
        print(f"forks of {size} bytes, {kind}", file=sys.stderr)
    return rows


def print_table(rows: list[Row]) -> None:
    """A table in Markdown."""
    print("| | | ms | per second | x moto | processor, ms | x moto |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    moto = {row.what: row for row in rows if row.name == MOTO}
    for row in sorted(rows, key=lambda row: (row.what, row.name)):
        base = moto.get(row.what)
        columns = [row.what, row.name, f"{row.seconds * 1000:.3f}", f"{1 / row.seconds:.0f}"]
        columns.append("" if base is None else f"{base.seconds / row.seconds:.2f}")
        if row.processor is not None and base is not None and base.processor is not None:
            columns += f"{row.processor * 1000:.3f}", f"{base.processor / row.processor:.2f}"
        else:
            columns += "", ""
        print(f"| {' | '.join(columns)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="calls of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in which all take turns")
    arguments = parser.parse_args()
    rows = measure_calls(arguments.count, arguments.rounds) + measure_fresh(arguments.count)
    print_table(rows + measure_forks((16, 1024, 16 * 1024, 64 * 1024, 100_000)))


if __name__ == "__main__":
    main()
