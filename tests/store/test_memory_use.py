"""Bodies pass through in bounded memory, measured from outside: the peak resident size of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024
EXTRA = 64 * MIB

#: argv: folder, size in bytes. Prints the growth of the peak resident size, in bytes, of each step.
SCRIPT = """
import hashlib, json, resource, sys
import bleepstore

folder, size = sys.argv[1], int(sys.argv[2])
chunk = bytes(range(256)) * 4096

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def body(size):
    for _ in range(size // len(chunk)):
        yield chunk

def read(store, key, digest):
    got, total = hashlib.md5(), 0
    with store.get_object("photos", key) as found:
        for piece in found:
            got.update(piece)
            total += len(piece)
    assert total == size and got.hexdigest() == digest, (total, got.hexdigest(), digest)

expected = hashlib.md5()
for piece in body(size):
    expected.update(piece)
with bleepstore.open(folder) as store:
    store.create_bucket("photos")
    store.put_object("photos", "small", body(4 * len(chunk)))
    store.get_object("photos", "small").close()
    steps, last = {}, peak()
    start = last
    def step(name, action):
        global last
        result = action()
        steps[name], last = peak() - start, peak()
        return result
    put = step("put", lambda: store.put_object("photos", "k", body(size), size=size))
    assert put.etag == expected.hexdigest()
    step("get", lambda: read(store, "k", put.etag))
    step("copy", lambda: store.copy_object("photos", "k", "photos", "copy"))
    upload = store.create_upload("photos", "parts")
    half = size // 2
    parts = [
        step("part", lambda: store.put_part("photos", "parts", upload.upload_id, 1, body(half))),
        step("part by copy", lambda: store.copy_part(
            "photos", "k", "photos", "parts", upload.upload_id, 2, source_range=bleepstore.ByteRange(half, size - 1)
        )),
    ]
    listed = [bleepstore.CompletedPart(number=part.number, etag=part.etag) for part in parts]
    step("complete", lambda: store.complete_upload("photos", "parts", upload.upload_id, listed))
    step("get parts", lambda: read(store, "parts", put.etag))
print(json.dumps(steps))
"""


def check(tmp_path: Path, size: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(size)], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    grown = json.loads(run.stdout)
    assert set(grown) == {"put", "get", "copy", "part", "part by copy", "complete", "get parts"}
    assert max(grown.values()) < EXTRA, grown


def test_128_mib_pass_in_64_mib(tmp_path: Path) -> None:
    check(tmp_path, 128 * MIB)


@pytest.mark.slow
def test_4_gib_pass_in_64_mib(tmp_path: Path) -> None:
    check(tmp_path, 4096 * MIB)
