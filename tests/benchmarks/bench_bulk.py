"""Large bodies, with and without encryption: `python -m tests.benchmarks.bench_bulk`.

One server, one connection of a client that only sends and receives, on the same cores. In each round all rows take
their turn, so that whatever else the machine does slows all of them; a ratio is the median of those of the rounds. What
a row is compared with is the floor where there is one (MD5 alone, which an ETag needs; nginx, which sends a file) and,
of what is encrypted, the same without encryption. The processor's time is that of the server's processes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.client
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs

from tests.benchmarks.bench_server import BIG, MIB, Peer, _path, ours
from tests.benchmarks.peers import KINDS

PARTS, PART = 5, 8 * MIB
ENCRYPTED = {"ServerSideEncryption": "AES256"}


@attrs.define
class Row:
    """What is measured: the work, the row of its floor or of the same without encryption, and what each round took, in
    seconds and in seconds of the server's processor time."""

    work: Callable[[], object]
    against: str | None = None
    size: int = BIG
    is_ours: bool = True
    taken: list[tuple[float, float]] = attrs.field(factory=list)


@contextlib.contextmanager
def _asked(url: str, method: str, path: str, length: int = 0, **fields: str) -> Iterator[Any]:
    """A connection on which the head of a request was sent."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
    connection.putrequest(method, path)
    if method != "GET":
        connection.putheader("Content-Length", str(length))
    for name, value in fields.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    try:
        yield connection
    finally:
        connection.close()


def _send(
    url: str, method: str, path: str, pieces: list[bytes], **fields: str
) -> tuple[http.client.HTTPResponse, bytes]:
    with _asked(url, method, path, sum(map(len, pieces)), **fields) as connection:
        for piece in pieces:
            connection.send(piece)
        answer: http.client.HTTPResponse = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} failed: {answer.status} {told!r}")
        return answer, told


def _receive(url: str, path: str, buffer: memoryview) -> None:
    with _asked(url, "GET", path) as connection:
        answer = connection.getresponse()
        size = 0
        while count := answer.readinto(buffer):
            size += count
        if size != BIG:
            raise RuntimeError(f"GET of 64 MiB gave {size} bytes")


class Works:
    """What the rows do, at one server. What is signed is signed once, in the first round."""

    def __init__(self, peer: Peer) -> None:
        self._url = peer.url
        self._s3 = peer.s3
        self._data = os.urandom(MIB)
        self._buffer = memoryview(bytearray(MIB))
        self._s3.create_bucket(Bucket="bench")
        self._signed = functools.cache(self._sign)

    def _sign(self, operation: str, key: str, **more: Any) -> str:
        named = {"Bucket": "bench", "Key": key, **more}
        return _path(self._s3.generate_presigned_url(operation, Params=named, ExpiresIn=3600))

    def put(self, key: str, encrypted: bool = False) -> None:
        extra = ENCRYPTED if encrypted else {}
        fields = {"x_amz_server_side_encryption": "AES256"} if encrypted else {}
        path = self._signed("put_object", key, **extra)
        answer, _told = _send(self._url, "PUT", path, [self._data] * (BIG // MIB), **fields)
        if answer.getheader("x-amz-server-side-encryption") != extra.get("ServerSideEncryption"):
            raise RuntimeError("PUT was not encrypted as it was asked to be")

    def get(self, key: str) -> None:
        _receive(self._url, self._signed("get_object", key), self._buffer)

    def upload(self, key: str, encrypted: bool = False) -> None:
        fields = {"x_amz_server_side_encryption": "AES256"} if encrypted else {}
        extra = ENCRYPTED if encrypted else {}
        _answer, told = _send(self._url, "POST", self._signed("create_multipart_upload", key, **extra), [], **fields)
        upload = {"UploadId": ElementTree.fromstring(told)[2].text}
        tags = []
        for number in range(1, PARTS + 1):
            path = self._sign("upload_part", key, PartNumber=number, **upload)
            answer, _told = _send(self._url, "PUT", path, [self._data] * (PART // MIB))
            tags.append(answer.getheader("ETag"))
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in enumerate(tags, 1)
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        _answer, told = _send(self._url, "POST", self._sign("complete_multipart_upload", key, **upload), [document])
        if ElementTree.fromstring(told).tag.endswith("Error"):
            raise RuntimeError(f"the upload was not completed: {told!r}")

    def boto3_put(self, key: str, encrypted: bool = False) -> None:
        extra: Any = ENCRYPTED if encrypted else {}
        self._s3.put_object(Bucket="bench", Key=key, Body=io.BytesIO(self._data * (BIG // MIB)), **extra)

    def boto3_get(self, key: str) -> None:
        self._s3.get_object(Bucket="bench", Key=key)["Body"].read()

    def md5(self) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        for _ in range(BIG // MIB):
            digest.update(self._data)

    def get_from(self, url: str) -> None:
        _receive(url, "/file", self._buffer)


def rows_of(works: Works, nginx: str | None) -> dict[str, Row]:
    """All rows by their names. Some read what others wrote before."""
    rows = {
        "MD5 alone": Row(works.md5, is_ours=False),
        "PUT": Row(lambda: works.put("plain"), "MD5 alone"),
        "PUT, SSE-S3": Row(lambda: works.put("sealed", encrypted=True), "PUT"),
        "nginx": Row(lambda: works.get_from(nginx or ""), is_ours=False),
        "GET, compared": Row(lambda: works.get("plain"), "nginx"),
        "GET, again": Row(lambda: works.get("kept"), "nginx"),
        "GET, SSE-S3": Row(lambda: works.get("sealed"), "GET, again"),
        "5 x 8 MiB": Row(lambda: works.upload("parts"), "MD5 alone", PARTS * PART),
        "5 x 8 MiB, SSE-S3": Row(lambda: works.upload("sealed parts", encrypted=True), "5 x 8 MiB", PARTS * PART),
        "PUT, boto3": Row(lambda: works.boto3_put("boto3")),
        "PUT, boto3, SSE-S3": Row(lambda: works.boto3_put("sealed by boto3", encrypted=True), "PUT, boto3"),
        "GET, boto3": Row(lambda: works.boto3_get("kept")),
        "GET, boto3, SSE-S3": Row(lambda: works.boto3_get("sealed"), "GET, boto3"),
    }
    if nginx is None:
        del rows["nginx"]
    return rows


@contextlib.contextmanager
def _nginx() -> Iterator[str | None]:
    """Where it serves `file` of 64 MiB; None if it is not installed."""
    kind = next(kind for kind in KINDS if kind.is_static)
    program = kind.find()
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        (Path(name) / "file").write_bytes(os.urandom(BIG))
        with kind.run(program, Path(name)) as peer:
            yield peer.url


def measure(count: int, only: str) -> dict[str, Row]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"))))
        peer = stack.enter_context(ours(folder / "data"))
        works = Works(peer)
        rows = rows_of(works, stack.enter_context(_nginx()))
        works.put("kept")
        for row in rows.values():  # for the caches, and for rows that read what others write
            row.work()
        wanted = {name: row for name, row in rows.items() if only in name or not row.is_ours}
        for number in range(count):
            for row in list(wanted.values())[:: -1 if number % 2 else 1]:
                cpu, begun = peer.processor_ns(), time.perf_counter()
                row.work()
                row.taken.append((time.perf_counter() - begun, (peer.processor_ns() - cpu) / 1e9))
        return wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="a part of the names of the rows that are measured")
    options = parser.parse_args()
    rows = measure(options.rounds, options.only)
    print("| 64 MiB, but for parts | MB/s | ratio | of | server's processor time |")
    print("| --- | ---: | ---: | --- | ---: |")
    for name, row in rows.items():
        speeds = [row.size / seconds for seconds, _cpu in row.taken]
        cpu = f"{1000 * statistics.median(cpu for _, cpu in row.taken):.0f} ms" if row.is_ours else ""
        ratio = ""
        if row.against in rows:
            other = rows[row.against]
            ratio = f"{statistics.median(a * b[0] / other.size for a, b in zip(speeds, other.taken, strict=True)):.2f}"
        print(f"| {name} | {statistics.median(speeds) / 1e6:,.0f} | {ratio} | {row.against or ''} | {cpu} |")


if __name__ == "__main__":
    main()
