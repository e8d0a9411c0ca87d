"""What the machine can do with large bodies, beside which servers are measured by `bench_peers`.

`python -m tests.benchmarks.limits PORT FOLDER` is a server of sockets alone, with a process for each connection: it
computes the MD5 of what it receives and keeps nothing, and sends files of the folder by `sendfile`. No server that says
a true ETag can be faster at the one, nor without `sendfile` at the other.
"""

from __future__ import annotations

import hashlib
import os
import socketserver
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
BIG = 64 * MIB
_PIECE = 256 * 1024


class _Handler(socketserver.StreamRequestHandler):
    """One connection."""

    folder: Path

    def handle(self) -> None:
        buffer = memoryview(bytearray(_PIECE))
        while line := self.rfile.readline():
            method, target = line.decode().split()[:2]
            length = 0
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            digest = hashlib.md5(usedforsecurity=False)
            while length and (count := self.rfile.readinto(buffer[:length])):
                digest.update(buffer[:count])
                length -= count
            self._answer(method, target, digest.hexdigest())

    def _answer(self, method: str, target: str, md5: str) -> None:
        head = f'HTTP/1.1 200 OK\r\nETag: "{md5}"\r\nContent-Length: '
        if method != "GET":
            told = "<UploadId>1</UploadId>"
            self.wfile.write(f"{head}{len(told)}\r\n\r\n{told}".encode())
            return
        with (self.folder / target[1:]).open("rb") as file:
            self.wfile.write(f"{head}{os.fstat(file.fileno()).st_size}\r\n\r\n".encode())
            self.connection.sendfile(file)


class _Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True


def _speed(work: Callable[[], object], rounds: int = 5) -> float:
    """MB/s of work on 64 MiB: the median of some rounds."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return BIG / 1e6 / sorted(taken)[rounds // 2]


def limits() -> dict[str, float]:
    """MB/s of one thread on a machine that does nothing else."""
    piece = os.urandom(_PIECE)

    def hashed(name: str) -> None:
        digest = hashlib.new(name, usedforsecurity=False)
        for _ in range(BIG // _PIECE):
            digest.update(piece)

    def written() -> None:
        with tempfile.TemporaryFile(dir=os.environ.get("BENCH_DIR"), buffering=0) as file:
            for _ in range(BIG // _PIECE):
                file.write(piece)
            os.fsync(file.fileno())

    return {
        "MD5": _speed(lambda: hashed("md5")),
        "SHA-256": _speed(lambda: hashed("sha256")),
        "write and fsync": _speed(written),
    }


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[2])
    with _Server(("127.0.0.1", int(sys.argv[1])), _Handler) as server:
        server.serve_forever()
