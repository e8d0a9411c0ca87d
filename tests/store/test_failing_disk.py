"""A disk that fails (EIO): a refusal that does not call it full, nothing half written, and nobody waits for ever.

strace makes real system calls of a real process fail; the machine needs it, and the right to trace.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bleepstore
from tests.tracing import can_trace

SCRIPT = """
import collections, json, sys, threading
import bleepstore

acknowledged, outcomes = [], collections.Counter()

def write(name):
    for number in range(30):
        for size in (100, 100_000):
            key = f"{name}-{number}-{size}"
            try:
                store.put_object("photos", key, b"x" * size)
                acknowledged.append(key)
            except Exception as error:
                outcomes[type(error).__name__] += 1

store = bleepstore.open(sys.argv[1])
threads = [threading.Thread(target=write, args=(name,), daemon=True) for name in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
print(json.dumps([acknowledged, outcomes, [thread.is_alive() for thread in threads]]), flush=True)
"""


@pytest.mark.parametrize("calls", ["fdatasync", "fsync", "pwrite64", "fstatfs", "rename,renameat,renameat2"])
def test_a_failing_disk_is_not_full_and_keeps_nobody_waiting(tmp_path: Path, calls: str) -> None:
    if not can_trace():
        pytest.skip("this machine has no strace, or lets no one trace")
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos")
    # strace counts per thread, and the one that opens the store writes too. However commits are grouped, some
    # thread makes a third of sixty.
    first, step = {"pwrite64": (40, 11), "fdatasync": (7, 3)}.get(calls, (10, 5))
    inject = f"inject={calls}:error=EIO:when={first}+{step}"
    trace = ["strace", "-qq", "-o", "/dev/null"]
    run = subprocess.run(
        [*trace, "-f", "-e", f"trace={calls}", "-e", inject, sys.executable, "-c", SCRIPT, str(tmp_path / "s")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    acknowledged, outcomes, alive = json.loads(run.stdout)
    assert alive == [False] * 3
    assert set(outcomes) == {"StorageUnavailable"}
    with bleepstore.open(tmp_path / "s") as store:
        found = [entry.key for page in [store.list_objects("photos")] for entry in page.objects]
        assert set(acknowledged) <= set(found), "one that was refused may be found after a crash, no other may be lost"
        for key in found:
            with store.get_object("photos", key) as reader:
                assert reader.read() == b"x" * int(key.rpartition("-")[2])
        store.sweep()
    assert bleepstore.fsck(tmp_path / "s") == []
    assert not (tmp_path / "s" / "quarantine").exists()
