"""The parts of a store that jobs work on. None of them leads to the store, which can be dropped while its jobs run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs

from bleepstore.backends.base import StorageBackend
from bleepstore.catalog.port import CatalogPort
from bleepstore.commands import Command, Result
from bleepstore.committer import Committer
from bleepstore.errors import S3Error


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
    stamp: Callable[[], dict[str, Any]]
    last_used_ms: int = 0
    #: What ids that need not be secret are made of.
    random_bytes: Callable[[int], bytes] = os.urandom

    def submit(self, command: Command) -> Result:
        """The result of a command; a refusal is raised."""
        result = self.committer.submit(command)
        if isinstance(result, S3Error):
            raise result
        return result
