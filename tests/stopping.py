"""Processes that stand still."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def stop(pid: int) -> None:
    """Send SIGSTOP, and wait until no thread of the process runs: one that is at work goes on for a moment."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    while threads.is_dir() and any(map(runs, threads.iterdir())):
        os.sched_yield()


def runs(thread: Path) -> bool:
    """Whether it is neither stopped nor gone (proc(5): its state follows its name, which is in brackets)."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] not in "TtZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
