"""A mixed load for hours, beside clients that hold on to the server: `python -m tests.benchmarks.soak_server
--minutes 60`.

A row for each minute shows what the workers have: memory, descriptors, threads. It fails if they grow once the
server has warmed up, or if a request of an honest client fails. Linux only.

Workers give freed memory back once a minute, so what they have goes up and down by a fifth in each minute; what is
compared is the least that they had in a minute. One look in each would meet a later moment of that every time.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from tests.serving.conftest import LEGACY_ACLS, Served, start
from tests.serving.rude import Rude, beside

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET, CLIENTS, KEYS = "soak", 4, 300
RUDE = Rude(idle=300, headers=100, bodies=100, readers=50, handshakes=0)
SIZES = (0, 100, 1024, 60_000, 200_000, 3_000_000)
#: How often the workers are looked at in each minute.
LOOKS = 12
#: What counts as growth: of memory a share and so many MiB, so many descriptors, so many threads.
MEMORY, MEMORY_MIB, DESCRIPTORS, THREADS = 0.1, 16, 24, 4


@attrs.frozen
class Usage:
    """Of all processes of a server."""

    mib: float
    descriptors: int
    threads: int

    def has_grown_since(self, before: Usage) -> bool:
        return (
            self.mib > before.mib * (1 + MEMORY) + MEMORY_MIB
            or self.descriptors > before.descriptors + DESCRIPTORS
            or self.threads > before.threads + THREADS
        )


def usage_of(served: Served) -> Usage:
    pid = served.process.pid
    folders = [Path(f"/proc/{one}") for one in (pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    resident = sum(int(folder.joinpath("smaps_rollup").read_text().split("Rss:")[1].split()[0]) for folder in folders)
    descriptors = sum(len(list(folder.joinpath("fd").iterdir())) for folder in folders)
    return Usage(resident / 1024, descriptors, sum(len(list(folder.joinpath("task").iterdir())) for folder in folders))


class Honest(threading.Thread):
    """A client that does a bit of everything on keys of its own, and looks at what it gets."""

    def __init__(self, served: Served, number: int, pause: float) -> None:
        super().__init__(daemon=True)
        self._s3: S3Client = served.client(read_timeout=60, retries={"total_max_attempts": 3, "mode": "standard"})
        self._chance = random.Random(number)
        self._prefix = f"client-{number}/"
        self._pause = pause
        self._known: dict[str, str] = {}
        self.count = 0
        self.error: Exception | None = None
        self.ends = False

    def run(self) -> None:
        try:
            while not self.ends:
                self._do_something()
                self.count += 1
                time.sleep(self._pause)
        except Exception as error:  # noqa: BLE001  # the main thread raises it
            self.error = error

    def _do_something(self) -> None:
        chance, s3 = self._chance, self._s3
        key = f"{self._prefix}{chance.randrange(KEYS)}"
        match chance.choices(("put", "get", "head", "list", "delete", "multipart"), (30, 40, 10, 5, 10, 1))[0]:
            case "put":
                body = chance.randbytes(chance.choice(SIZES))
                s3.put_object(Bucket=BUCKET, Key=key, Body=body)
                self._known[key] = hashlib.md5(body, usedforsecurity=False).hexdigest()
            case "get" if key in self._known:
                body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                assert hashlib.md5(body, usedforsecurity=False).hexdigest() == self._known[key], key
            case "head" if key in self._known:
                s3.head_object(Bucket=BUCKET, Key=key)
            case "list":
                found = s3.list_objects_v2(Bucket=BUCKET, Prefix=self._prefix)
                assert {entry["Key"] for entry in found.get("Contents", [])} == set(self._known)
            case "delete":
                s3.delete_object(Bucket=BUCKET, Key=key)
                self._known.pop(key, None)
            case "multipart":
                self._upload(key, chance.randbytes(6 * 1024 * 1024))

    def _upload(self, key: str, body: bytes) -> None:
        s3 = self._s3
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        cut = 5 * 1024 * 1024
        parts = [
            s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=part)["ETag"]
            for number, part in ((1, body[:cut]), (2, body[cut:]))
        ]
        s3.complete_multipart_upload(
            Bucket=BUCKET, Key=key, UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(parts, start=1)]},
        )  # fmt: skip
        self._known[key] = hashlib.md5(body, usedforsecurity=False).hexdigest()


def soak(served: Served, minutes: int, interval: float, pause: float) -> Usage | None:
    """What was used after the warm-up, if more is at the end; None if all is well. Raises what a client met."""
    with contextlib.closing(served.client()) as s3:
        s3.create_bucket(Bucket=BUCKET)
    clients = [Honest(served, number, pause) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    print(f"| minute | requests/s | MiB | at most | descriptors | threads |\n{'| ---: ' * 6}|", flush=True)
    warm, usage, done, grown = None, usage_of(served), 0, 0
    warm_up = max(1, minutes // 5)
    for minute in itertools.islice(itertools.count(1), minutes):
        begun = time.monotonic()
        with beside(served, RUDE):  # others in each minute
            looks = []
            for look in range(1, LOOKS + 1):
                time.sleep(max(0.0, begun + interval * look / LOOKS - time.monotonic()))
                looks.append(usage_of(served))
            most = max(look.mib for look in looks)
            usage = attrs.evolve(looks[-1], mib=min(look.mib for look in looks))
        count = sum(client.count for client in clients)
        rate = (count - done) / (time.monotonic() - begun)
        done = count
        row = minute, f"{rate:,.0f}", f"{usage.mib:.0f}", f"{most:.0f}", usage.descriptors, usage.threads
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        for client in clients:
            if client.error is not None:
                raise client.error
        if minute == warm_up:
            warm = usage
        # One look may come at a bad moment.
        grown = grown + 1 if warm is not None and usage.has_grown_since(warm) else 0
    for client in clients:
        client.ends = True
    for client in clients:
        client.join(120)
    return warm if grown >= min(2, minutes - warm_up) > 0 else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--interval", type=float, default=60, help="the seconds of a minute")
    parser.add_argument("--pause", type=float, default=0, help="seconds between the requests of each client")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        served = start(Path(name) / "data", "--workers", str(options.workers), "--client-timeout", "20", *LEGACY_ACLS)
        try:
            before = soak(served, options.minutes, options.interval, options.pause)
        finally:
            status = served.stop()
    if before is not None:
        print(f"more is used than after the warm-up: {before}", file=sys.stderr)
    return int(before is not None or status != 0)


if __name__ == "__main__":
    sys.exit(main())
