"""What becomes of memory that a worker needs no more."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.test_damaged_bytes import Serve
from tests.serving.test_jobs import wait_until

#: 140 and 1,280 without the call.
_FAULTS = """
import resource
from bleepstore_server.allocator import keep_freed_memory
from bleepstore_server.http1.bodies import PIECE
keep_freed_memory()
def listing():
    text = "x" * 300_000
    return text.encode()
def body():
    return [b"x" * PIECE for _ in range(5)]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    {work}()
before = faults()
for _ in range(100):
    {work}()
print((faults() - before) // 100)
"""
#: Threads that live at the same time and do something one after the other. If each had an arena of its own: 84 MiB.
_KEPT = """
import threading
from bleepstore_server.allocator import keep_freed_memory
from bleepstore_server.http1.bodies import PIECE
keep_freed_memory()
turn, all_have = threading.Lock(), threading.Barrier(12)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
def body():
    with turn:
        [b"x" * PIECE for _ in range(7)]
    all_have.wait()
before = resident()
threads = [threading.Thread(target=body) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident() - before)
"""
#: What is freed is between what is not: 140 MiB and more without the second call.
_BETWEEN = """
from bleepstore_server.allocator import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
before = resident()
pieces = [b"x" * 100_000 for _ in range(1600)]
kept = pieces[::10]
del pieces
give_back_freed_memory()
print(resident() - before)
"""
_COLLECTIONS = """
import gc
from bleepstore_server.allocator import collect_seldom
collect_seldom()
gc.collect()
before = gc.get_stats()
kept = [[] for _ in range(10_000)]
print(gc.get_stats() == before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
@pytest.mark.parametrize("work", ["listing", "body"])
def test_large_answers_and_bodies_fault_no_pages_in_once_one_was_made(work: str) -> None:
    program = _FAULTS.format(work=work)
    faults = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert int(faults) == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_what_is_kept_does_not_grow_with_the_number_of_threads() -> None:
    kept = subprocess.run([sys.executable, "-c", _KEPT], check=True, capture_output=True, text=True).stdout
    assert float(kept) < 25, "MiB"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_what_is_free_between_other_memory_is_given_back() -> None:
    left = subprocess.run([sys.executable, "-c", _BETWEEN], check=True, capture_output=True, text=True).stdout
    assert float(left) < 30, "MiB"


def test_a_worker_gives_memory_back_now_and_then(serve: Serve, tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = "import bleepstore_server.worker as worker; worker._GIVE_BACK_SECONDS = 0.1; "
    program += f"worker.give_back_freed_memory = lambda: open({str(done)!r}, 'w').close()"
    serve("--workers", "1", before=program)
    wait_until(done.exists, "memory is given back")


def test_what_requests_hold_at_the_same_time_is_not_looked_through_for_cycles() -> None:
    is_same = subprocess.run([sys.executable, "-c", _COLLECTIONS], check=True, capture_output=True, text=True).stdout
    assert is_same == "True\n"
