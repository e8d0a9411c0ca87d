"""What makes a command durable."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from bleepstore.catalog import Catalog
from bleepstore.commands import Command, Result

MAX_BATCH = 256


class Committer(Protocol):
    """The one way to change a catalog."""

    def submit(self, command: Command) -> Result:
        """Make `command` durable and apply it; returns its result, which may be a refusal."""

    def read_barrier(self) -> None:
        """Return once every command that was acknowledged before this call can be seen by queries."""


class _Pending:
    __slots__ = ("command", "error", "result")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.result: Result | None = None
        self.error: BaseException | None = None


class DirectCommitter:
    """Applies commands to the local catalog; those that wait at the same time share one transaction and one fsync.

    A thread queues its command and then waits for the lock. Whoever holds the lock commits all that is queued, so most
    threads find their result already there.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._queue: deque[_Pending] = deque()

    def submit(self, command: Command) -> Result:
        pending = _Pending(command)
        self._queue.append(pending)
        while pending.result is None and pending.error is None:
            with self._lock:
                if pending.result is None and pending.error is None:
                    self._commit_queued()
        if pending.error is not None:
            raise pending.error
        assert pending.result is not None
        return pending.result

    def _commit_queued(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
        try:
            results = self._catalog.apply([pending.command for pending in batch])
        except BaseException as error:  # noqa: BLE001  # every waiter gets it, and this thread raises its own
            for pending in batch:
                pending.error = error
            return
        for pending, result in zip(batch, results, strict=True):
            pending.result = result

    def read_barrier(self) -> None:
        """Nothing to wait for: an acknowledged command is in the file that every query reads."""
