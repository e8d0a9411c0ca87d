"""PUT and GET of 64 MiB with and without encryption, in pairs: `python -m tests.benchmarks.bench_encryption`.

One server, one connection of http.client, which only receives; boto3, which also computes a checksum. A pair is one of
each kind right after the other, so that whatever else the machine does slows both down; the ratio is the median of all
pairs. The processor's time is that of the server's processes.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_server import BIG, MIB, Peer, _path, _signed, ours

KINDS: dict[str, dict[str, Any]] = {"plain": {}, "SSE-S3": {"ServerSideEncryption": "AES256"}}


def _put(peer: Peer, kind: str, data: bytes) -> None:
    connection = http.client.HTTPConnection(peer.url.removeprefix("http://"), timeout=120)
    parameters = {"Bucket": "bench", "Key": kind, **KINDS[kind]}
    connection.putrequest("PUT", _path(peer.s3.generate_presigned_url("put_object", Params=parameters)))
    connection.putheader("Content-Length", str(BIG))
    if KINDS[kind]:
        connection.putheader("x-amz-server-side-encryption", "AES256")
    connection.endheaders()
    for _ in range(BIG // MIB):
        connection.send(data)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    if answer.status != 200 or answer.getheader("x-amz-server-side-encryption") != KINDS[kind].get(
        "ServerSideEncryption"
    ):
        raise RuntimeError(f"PUT of 64 MiB failed: {answer.status} {told!r}")


def _get(peer: Peer, kind: str, buffer: memoryview) -> None:
    connection = http.client.HTTPConnection(peer.url.removeprefix("http://"), timeout=120)
    connection.request("GET", _signed(peer, "get_object", Bucket="bench", Key=kind))
    answer = connection.getresponse()
    size = 0
    while count := answer.readinto(buffer):
        size += count
    connection.close()
    if size != BIG:
        raise RuntimeError(f"GET of 64 MiB gave {size} bytes")


def measure(rounds: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """By what is done and the kind: (seconds, the server's seconds of processor time) of each round."""
    data, buffer = os.urandom(MIB), memoryview(bytearray(MIB))
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder, ours(Path(folder)) as peer:
        s3 = peer.s3
        s3.create_bucket(Bucket="bench")
        works: dict[str, Callable[[str], object]] = {
            "PUT": lambda kind: _put(peer, kind, data),
            "GET": lambda kind: _get(peer, kind, buffer),
            "PUT boto3": lambda kind: s3.put_object(
                Bucket="bench", Key=kind, Body=io.BytesIO(data * (BIG // MIB)), **KINDS[kind]
            ),
            "GET boto3": lambda kind: s3.get_object(Bucket="bench", Key=kind)["Body"].read(),
        }
        for name, work in works.items():
            for kind in KINDS:
                work(kind)
            for number in range(rounds):
                for kind in list(KINDS)[:: 1 if number % 2 else -1]:
                    cpu, begun = peer.processor_ns(), time.perf_counter()
                    work(kind)
                    seconds = time.perf_counter() - begun
                    found.setdefault(name, {}).setdefault(kind, []).append((seconds, (peer.processor_ns() - cpu) / 1e9))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    print("| 64 MiB | plain | SSE-S3 | speed, median of pairs | processor: plain | SSE-S3 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, kinds in measure(parser.parse_args().rounds).items():
        plain, sealed = kinds["plain"], kinds["SSE-S3"]
        ratio = statistics.median(one[0] / other[0] for one, other in zip(plain, sealed, strict=True))
        speeds = [BIG / statistics.median(seconds for seconds, _ in pairs) / 1e6 for pairs in (plain, sealed)]
        cpus = [1000 * statistics.mean(cpu for _, cpu in pairs) for pairs in (plain, sealed)]
        print(
            f"| {name} | {speeds[0]:,.0f} MB/s | {speeds[1]:,.0f} MB/s | {ratio:.2f} | {cpus[0]:.0f} ms | "
            f"{cpus[1]:.0f} ms |"
        )


if __name__ == "__main__":
    main()
