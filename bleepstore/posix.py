"""What only POSIX systems have. Where it is missing (Windows) stores in memory work all the same."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from bleepstore.errors import StoreError

try:
    import fcntl
except ModuleNotFoundError:
    fcntl = None  # type: ignore[assignment]  # what comes without it calls `check_posix` first

__all__ = ["check_posix", "fcntl", "file_system_of", "run_in_forks"]

_MOUNTS = Path("/proc/self/mountinfo")
#: How the kernel writes a space, a tab, a newline and a backslash there.
_ESCAPE = re.compile(r"\\([0-7]{3})")


def check_posix(what: str) -> None:
    """Raise StoreError, if this system lacks the locks of files that `what` needs."""
    if fcntl is None:
        raise StoreError(
            f"{what} needs a POSIX system (Linux, macOS, WSL): this one has no fcntl, by whose locks processes share "
            "a folder. A store in memory works here: bleepstore.open()"
        )


def run_in_forks(call: Callable[[], object]) -> None:
    """Have each process that is forked from this one call it first; where there is no fork, there is nothing to do."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of file system that a folder is on, as the kernel calls it; "" where that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted = str(folder.resolve())
    best, kind = "", ""
    for line in lines:
        # proc(5): mount id, parent, device, root, mount point, options, optional fields, "-", type, source, options
        before, _, after = line.partition(" - ")
        point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), before.split(" ")[4])
        is_within = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        if is_within and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind
