"""The parts of a store that jobs work on. None of them leads to the store, which can be dropped while its jobs run."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

import attrs

from bleepstore.backends.base import StorageBackend
from bleepstore.catalog.port import CatalogPort
from bleepstore.commands import Command, Result
from bleepstore.committer import Committer
from bleepstore.errors import S3Error


class RequestIds:
    """Makes the ids of commands: unique, and in the order of time (see `bleepstore.commands`)."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._prefix = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._count = 0

    def __call__(self) -> str:
        with self._lock:
            self._count += 1
            count = self._count
        return f"{self._clock():012x}-{self._prefix}-{count:x}"


@attrs.frozen
class Parts:
    """`clock` is the store's, which never goes back; `wall_clock` is the system's, or what the program gave.

    `last_used_ms` is when the store was used before it was opened, by its clock; 0: never, or nobody knows.
    """

    catalog: CatalogPort
    committer: Committer
    backend: StorageBackend
    clock: Callable[[], int]
    wall_clock: Callable[[], int]
    new_request_id: Callable[[], str]
    last_used_ms: int = 0

    def stamp(self) -> dict[str, Any]:
        """What every command begins with."""
        return {"request_id": self.new_request_id(), "time_ms": self.wall_clock()}

    def submit(self, command: Command) -> Result:
        """The result of a command; a refusal is raised."""
        result = self.committer.submit(command)
        if isinstance(result, S3Error):
            raise result
        return result
