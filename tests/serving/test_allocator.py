"""What a worker frees it has again for the next request."""

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
@pytest.mark.parametrize("work", ["listing", "body"])
def test_large_answers_and_bodies_fault_no_pages_in_once_one_was_made(work: str) -> None:
    program = _FAULTS.format(work=work)
    faults = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert int(faults) == 0
