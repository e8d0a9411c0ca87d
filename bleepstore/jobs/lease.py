"""Which of several processes runs the jobs of a store: the one that holds the lease."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Protocol

from bleepstore.posix import fcntl, run_in_forks


class Lease(Protocol):
    """One holder among all who have a store open. Another one gets it when the holder ends, however it ends."""

    poll_seconds: float
    """How long a process may rest when nothing happens, before it asks again."""

    def acquire(self) -> bool:
        """Whether this process holds the lease, now or already. Cheap: it is asked before each look at what is due."""

    def release(self) -> None:
        """Let another process have it. Releasing twice is allowed."""


class SoleLease:
    """For a store that no other process can have: one in memory."""

    poll_seconds = 60.0

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        """Nobody waits for it."""


class FolderLease:
    """A lock on the folder itself, which works where nothing can be written and leaves no file behind. It goes with the
    process (flock(2): "released ... when all such file descriptors have been closed")."""

    poll_seconds = 4.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        _leases.add(self)

    def acquire(self) -> bool:
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # the folder is gone, or this process has too many files open
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it, or the system has no lock to give now
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def forget(self) -> None:
        """In a forked child: the lease is its parent's, and must go with the parent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_leases: weakref.WeakSet[FolderLease] = weakref.WeakSet()


def _forget_parents_leases() -> None:
    for lease in list(_leases):
        lease.forget()


run_in_forks(_forget_parents_leases)
