"""What only POSIX systems have. Where it is missing (Windows) stores in memory work all the same."""

from __future__ import annotations

import os
from collections.abc import Callable

from bleepstore.errors import StoreError

try:
    import fcntl
except ModuleNotFoundError:
    fcntl = None  # type: ignore[assignment]  # what comes without it calls `check_posix` first

__all__ = ["check_posix", "fcntl", "run_in_forks"]


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
