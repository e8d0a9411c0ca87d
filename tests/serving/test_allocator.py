"""What becomes of memory that a worker needs no more."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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


def test_what_requests_hold_at_the_same_time_is_not_looked_through_for_cycles() -> None:
    is_same = subprocess.run([sys.executable, "-c", _COLLECTIONS], check=True, capture_output=True, text=True).stdout
    assert is_same == "True\n"
