"""State machines for simulated nodes. What one holds is durable: a batch and its applied index are one transaction."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from bleepstore.raft.messages import Entry, EntryKind


class StateMachine(Protocol):
    """What the simulator needs of one."""

    applied: int

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply the entries, which follow `applied`."""

    def digest(self) -> int | None:
        """A number that equal states have in common; None: not worth computing at this index."""

    def copy(self) -> StateMachine:
        """A snapshot."""

    def crash(self) -> None:
        """The node has crashed: whatever is not durable is lost."""

    def close(self) -> None:
        """Release what it holds."""


class ChainMachine:
    """Keeps a checksum over all commands, in order; a repeated request changes nothing."""

    __slots__ = ("applied", "chain", "done")

    def __init__(self) -> None:
        self.applied = 0
        self.chain = 0
        self.done: set[str] = set()

    def apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.COMMAND and entry.request_id not in self.done:
                self.done.add(entry.request_id)
                self.chain = zlib.crc32(entry.data, self.chain)
        self.applied = entries[-1].index

    def digest(self) -> int | None:
        return self.chain

    def copy(self) -> ChainMachine:
        twin = type(self)()
        twin.applied, twin.chain, twin.done = self.applied, self.chain, set(self.done)
        return twin

    def crash(self) -> None:
        """Everything is durable."""

    def close(self) -> None:
        """Nothing is open."""
