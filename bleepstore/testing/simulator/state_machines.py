"""State machines for simulated nodes. A batch and its applied index are one transaction, which a crash undoes whole or
not at all, unless `make_durable` came after it: as the catalog behaves, whose commits wait for no fsync.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from bleepstore.raft.messages import Entry, EntryKind


class SimulatedStateMachine(Protocol):
    """What the simulator needs of one."""

    applied: int
    durable: int  # what a crash cannot undo

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply the entries, which follow `applied`."""

    def digest(self) -> int | None:
        """A number that equal states have in common; None: not worth computing at this index."""

    def copy(self) -> SimulatedStateMachine:
        """A snapshot, durable as a whole."""

    def make_durable(self) -> int:
        """What is applied becomes durable; up to where that is."""

    def crash(self, keep: int) -> None:
        """The node has crashed: the batches that end after `keep`, which is at least `durable`, may be lost."""

    def close(self) -> None:
        """Release what it holds."""


class ChainStateMachine:
    """Keeps a checksum over all commands, in order; a repeated request changes nothing."""

    __slots__ = ("_undo", "applied", "chain", "done", "durable")

    def __init__(self) -> None:
        self.applied = 0
        self.durable = 0
        self._undo: list[tuple[int, int, list[str]]] = []  # per volatile batch: applied, chain, what `done` has of it
        self.chain = 0
        self.done: set[str] = set()

    def apply(self, entries: Sequence[Entry]) -> None:
        done: list[str] = []
        self._undo.append((self.applied, self.chain, done))
        for entry in entries:
            if entry.kind is EntryKind.COMMAND and entry.request_id not in self.done:
                self.done.add(entry.request_id)
                done.append(entry.request_id)
                self.chain = zlib.crc32(entry.data, self.chain)
        self.applied = entries[-1].index

    def digest(self) -> int | None:
        return self.chain

    def copy(self) -> ChainStateMachine:
        twin = type(self)()
        twin.applied, twin.chain, twin.done = self.applied, self.chain, set(self.done)
        twin.durable = twin.applied
        return twin

    def make_durable(self) -> int:
        self.durable = self.applied
        self._undo.clear()
        return self.durable

    def crash(self, keep: int) -> None:
        while self.applied > keep:
            self.applied, self.chain, done = self._undo.pop()
            self.done.difference_update(done)

    def close(self) -> None:
        """Nothing is open."""
