"""Whether this machine lets a test trace, and meddle with, the system calls of a process."""

from __future__ import annotations

import functools
import shutil
import subprocess


@functools.cache
def can_trace() -> bool:
    return (
        shutil.which("strace") is not None
        and not subprocess.run(
            ["strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"], check=False, capture_output=True
        ).returncode
    )
