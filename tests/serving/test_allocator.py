"""What a worker frees it has again for the next request."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: 140 without the call.
_FAULTS = """
import resource
from bleepstore_server.allocator import keep_freed_memory
keep_freed_memory()
def answer():
    text = "x" * 300_000
    return text.encode()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    answer()
before = faults()
for _ in range(100):
    answer()
print((faults() - before) // 100)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_large_answers_fault_no_pages_in_once_one_was_made() -> None:
    faults = subprocess.run([sys.executable, "-c", _FAULTS], check=True, capture_output=True, text=True).stdout
    assert int(faults) == 0
