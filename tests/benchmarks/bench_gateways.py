"""The gateways against each provider's bare SDK, on the same emulator: `python -m tests.benchmarks.bench_gateways`.

Both put and get the same bytes, one request after the other; the gateway is a store with its catalog on disk, so each
of its puts holds a commit with fsync too, and MD5 and CRC64NVME of all bytes. A share of 1.0 is the SDK's speed.
Emulators are far slower than the clouds at moving bytes and far quicker to answer, so shares are what can be compared,
and to the second digit at best. The last column is what the process grew by at most while 2 GiB went through the
gateway.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import boto3
from azure.storage.blob import BlobServiceClient
from botocore.config import Config
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import bleepstore
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY
from tests.backends.providers import PROVIDERS

MIB = 1024 * 1024
SMALL, LARGE = os.urandom(1024), os.urandom(64 * MIB)
#: MiB of the put whose memory is measured. fake-gcs-server copies all that came before for each block that comes.
HUGE = {"aws": 2048, "azure": 2048, "gcs": 256}


@attrs.frozen
class Pair:
    """How to put and get by one of the two."""

    put: Callable[[str, bytes], object]
    get: Callable[[str], int]


def gateway(store: bleepstore.Store) -> Pair:
    store.create_bucket("bench")

    def get(key: str) -> int:
        with store.get_object("bench", key) as found:
            return sum(map(len, found))

    return Pair(lambda key, body: store.put_object("bench", key, io.BytesIO(body), size=len(body)), get)


def aws_sdk(container: str, endpoint: str) -> Pair:
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(request_checksum_calculation="when_required"))

    def get(key: str) -> int:
        return sum(map(len, client.get_object(Bucket=container, Key=key)["Body"].iter_chunks(MIB)))

    return Pair(lambda key, body: client.put_object(Bucket=container, Key=key, Body=io.BytesIO(body)), get)


def azure_sdk(container: str, endpoint: str) -> Pair:
    service = BlobServiceClient(endpoint, credential={"account_name": AZURITE_ACCOUNT, "account_key": AZURITE_KEY})
    client = service.get_container_client(container)

    def get(key: str) -> int:
        return sum(map(len, client.download_blob(key).chunks()))

    return Pair(lambda key, body: client.upload_blob(key, io.BytesIO(body), length=len(body), overwrite=True), get)


def gcs_sdk(container: str, endpoint: str) -> Pair:
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="bench", credentials=anonymous, client_options={"api_endpoint": endpoint})
    bucket = client.bucket(container)

    def put(key: str, body: bytes) -> None:
        bucket.blob(key, chunk_size=8 * MIB).upload_from_file(io.BytesIO(body), size=len(body))

    def get(key: str) -> int:
        sink = io.BytesIO()
        bucket.blob(key).download_to_file(sink)
        return sink.tell()

    return Pair(put, get)


SDKS: dict[str, Callable[[str, str], Pair]] = {"aws": aws_sdk, "azure": azure_sdk, "gcs": gcs_sdk}


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls per second."""
    work()
    count, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        work()
        count += 1
    return count / passed


def checked(got: int, wanted: int) -> None:
    if got != wanted:
        sys.exit(f"{got} bytes came back instead of {wanted}")


def measure(pair: Pair, seconds: float) -> list[float]:
    """Small puts and gets per second, then MB/s of large ones."""
    figures = [
        rate(lambda: pair.put("small", SMALL), seconds),
        rate(lambda: checked(pair.get("small"), len(SMALL)), seconds),
    ]
    figures += [
        64 * rate(lambda: pair.put("large", LARGE), seconds),
        64 * rate(lambda: checked(pair.get("large"), len(LARGE)), seconds),
    ]
    return figures


def grown_by_huge_put(url: str, endpoint: str, catalog: str, size: int) -> int:
    """MiB that a process of its own grew by while it put `size` MiB through the gateway."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_gateways", "--huge", url, endpoint, catalog, str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def put_huge(url: str, endpoint: str, catalog: str, size: int) -> None:
    block = os.urandom(MIB)

    def body(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield block

    with bleepstore.open(url, catalog=catalog, endpoint_url=endpoint) as store:
        store.create_bucket("huge")
        store.put_object("huge", "warm-up", body(20), size=20 * MIB)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        store.put_object("huge", "huge", body(size), size=size * MIB)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default: 3)")
    parser.add_argument("--huge", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.huge:
        url, endpoint, catalog, size = arguments.huge
        put_huge(url, endpoint, catalog, int(size))
        return
    print("| provider | by | put 1 KiB /s | get 1 KiB /s | put 64 MiB MB/s | get 64 MiB MB/s | memory of a huge put |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, sdk in SDKS.items():
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            new_place = stack.enter_context(PROVIDERS[kind](folder))
            url, endpoint = new_place()
            container = url.split("/")[2]
            bare = measure(sdk(container, endpoint), arguments.seconds)
            options: dict[str, Any] = {"catalog": folder / "catalog", "endpoint_url": endpoint}
            store = stack.enter_context(bleepstore.open(url, **options))
            ours = measure(gateway(store), arguments.seconds)
            grown = f"+{grown_by_huge_put(*new_place(), str(folder / 'huge'), HUGE[kind])} MiB"
        print(f"| {kind} | SDK | " + " | ".join(f"{figure:,.0f}" for figure in bare) + " | |")
        shares = [f"{one:,.0f} ({one / other:.2f})" for one, other in zip(ours, bare, strict=True)]
        print(f"| {kind} | gateway | " + " | ".join(shares) + f" | {grown} |", flush=True)


if __name__ == "__main__":
    main()
