"""The gateways against each provider's bare SDK, on the same emulator: `python -m tests.benchmarks.bench_gateways`.

All put and get the same bytes, in turn within each round: each SDK in its own default way, the SDK when it is asked to
send an MD5, and the gateway. The figures are medians of the rounds, and a share of 1.0 is the default SDK's speed. The
gateway is a store with its catalog on disk, so each of its puts holds a commit with fsync too, and MD5, CRC32C and
CRC64NVME of all bytes; the MD5 is the ETag, and most of what a large put costs more than the SDK's. Emulators are far
slower than the clouds at moving bytes and far quicker to answer, so shares are what can be compared, and to the second
digit at best. The last column is by how much the memory of a process that had put 1 MiB before rose at most while it
put one huge object.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import hashlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import boto3
from azure.storage.blob import BlobServiceClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import bleepstore
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY
from tests.backends.providers import PROVIDERS

MIB = 1024 * 1024
SMALL, LARGE = os.urandom(1024), os.urandom(64 * MIB)
#: Small requests of one round.
BATCH = 40


@attrs.frozen
class Pair:
    """How one of the three puts and gets."""

    put: Callable[[str, bytes], object]
    get: Callable[[str], int]


def gateway(store: bleepstore.Store) -> Pair:
    store.create_bucket("bench")

    def get(key: str) -> int:
        with store.get_object("bench", key) as found:
            return sum(map(len, found))

    return Pair(lambda key, body: store.put_object("bench", key, io.BytesIO(body), size=len(body)), get)


def aws_sdk(container: str, endpoint: str, *, md5: bool) -> Pair:
    client = boto3.client("s3", endpoint_url=endpoint)

    def put(key: str, body: bytes) -> None:
        if not md5:
            client.put_object(Bucket=container, Key=key, Body=io.BytesIO(body))
            return
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        client.put_object(Bucket=container, Key=key, Body=io.BytesIO(body), ContentMD5=digest)

    def get(key: str) -> int:
        return sum(map(len, client.get_object(Bucket=container, Key=key)["Body"].iter_chunks(MIB)))

    return Pair(put, get)


def azure_sdk(container: str, endpoint: str, *, md5: bool) -> Pair:
    service = BlobServiceClient(endpoint, credential={"account_name": AZURITE_ACCOUNT, "account_key": AZURITE_KEY})
    client = service.get_container_client(container)

    def put(key: str, body: bytes) -> None:
        client.upload_blob(key, io.BytesIO(body), length=len(body), overwrite=True, validate_content=md5)

    def get(key: str) -> int:
        return sum(map(len, client.download_blob(key).chunks()))

    return Pair(put, get)


def gcs_sdk(container: str, endpoint: str, *, md5: bool) -> Pair:
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="bench", credentials=anonymous, client_options={"api_endpoint": endpoint})
    bucket = client.bucket(container)

    def put(key: str, body: bytes) -> None:
        checksum = "md5" if md5 else "auto"
        bucket.blob(key).upload_from_file(io.BytesIO(body), size=len(body), checksum=checksum)

    def get(key: str) -> int:
        sink = io.BytesIO()
        bucket.blob(key).download_to_file(sink)
        return sink.tell()

    return Pair(put, get)


SDKS = {"aws": aws_sdk, "azure": azure_sdk, "gcs": gcs_sdk}


def checked(got: int, wanted: int) -> None:
    if got != wanted:
        sys.exit(f"{got} bytes came back instead of {wanted}")


def seconds(work: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - begun


def measure(pairs: Sequence[Pair], rounds: int) -> list[list[float]]:
    """Of each pair: small puts and gets per second, then MB/s of large ones."""
    works: list[tuple[Callable[[Pair], object], int, int]] = [
        (lambda pair: pair.put("small", SMALL), BATCH, BATCH),
        (lambda pair: checked(pair.get("small"), len(SMALL)), BATCH, BATCH),
        (lambda pair: pair.put("large", LARGE), 1, 64),
        (lambda pair: checked(pair.get("large"), len(LARGE)), 1, 64),
    ]
    figures: list[list[float]] = [[] for _ in pairs]
    for work, times, amount in works:
        taken: list[list[float]] = [[] for _ in pairs]
        for turn in range(rounds + 1):
            for pair, found in zip(pairs, taken, strict=True):
                passed = seconds(functools.partial(work, pair), times)
                if turn:  # the first makes connections
                    found.append(passed)
        for found, figure in zip(taken, figures, strict=True):
            figure.append(amount / statistics.median(found))
    return figures


def grown_by_huge_put(url: str, endpoint: str, catalog: str, size: int) -> int:
    """MiB that a process of its own grew by at most while it put `size` MiB through the gateway."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_gateways", "--put", url, endpoint, catalog, str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def put_huge(url: str, endpoint: str, catalog: str, size: int) -> None:
    block = os.urandom(MIB)
    with bleepstore.open(url, catalog=catalog, endpoint_url=endpoint) as store:
        store.create_bucket("huge")
        store.put_object("huge", "warm-up", block, size=MIB)
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # "resets the peak resident set size"
        chunks = (bytes(bytearray(block)) for _ in range(size))  # each takes memory of its own, as received ones do
        store.put_object("huge", "huge", chunks, size=size * MIB)
        print((memory("VmHWM") - before) // 1024)


def memory(name: str) -> int:
    """KiB of this process, as Linux has it."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(found[name].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="of each measurement (default: 11)")
    parser.add_argument("--huge", type=int, default=2048, help="MiB of the huge put; 0 is none (default: 2048)")
    parser.add_argument("--provider", action="append", choices=SDKS, help="only this one; may be repeated")
    parser.add_argument("--put", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.put:
        url, endpoint, catalog, size = arguments.put
        put_huge(url, endpoint, catalog, int(size))
        return
    huge = f"memory of a put of {arguments.huge} MiB"
    print(f"| provider | by | put 1 KiB /s | get 1 KiB /s | put 64 MiB MB/s | get 64 MiB MB/s | {huge} |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in arguments.provider or SDKS:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            new_container = stack.enter_context(PROVIDERS[kind](folder))
            url, endpoint = new_container()
            options: dict[str, Any] = {"catalog": folder / "catalog", "endpoint_url": endpoint}
            store = stack.enter_context(bleepstore.open(url, **options))
            sdk = functools.partial(SDKS[kind], url.split("/")[2], endpoint)
            bare, careful, ours = measure([sdk(md5=False), sdk(md5=True), gateway(store)], arguments.rounds)
            grown = ""
            if arguments.huge:
                grown = f"+{grown_by_huge_put(*new_container(), str(folder / 'huge'), arguments.huge)} MiB"
        print(f"| {kind} | SDK | " + " | ".join(f"{figure:,.0f}" for figure in bare) + " | |")
        for name, figures, memory_grown in (("SDK with MD5", careful, ""), ("gateway", ours, grown)):
            shares = [f"{one:,.0f} ({one / other:.2f})" for one, other in zip(figures, bare, strict=True)]
            print(f"| {kind} | {name} | " + " | ".join(shares) + f" | {memory_grown} |", flush=True)


if __name__ == "__main__":
    main()
