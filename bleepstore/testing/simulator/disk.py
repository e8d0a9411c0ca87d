"""The log of a simulated node, on a disk that may lose power in the midst of a save.

A save is a few primitive writes, in order, each of which lands whole or not at all. A log makes transactions of them:
when it is opened after a loss of power, one that did not land whole is rolled back. The right log makes one
transaction of a save, so a torn save is none; what happens without that, the mutants of the tests show.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from bleepstore.raft.messages import Entry, HardState, NodeId, SnapshotMeta
from bleepstore.raft.storage import MemoryLog

#: Names of primitive writes: those of one transaction.
Transaction = tuple[str, ...]


class _Store:
    """What is stored on the disk, row by row; nothing sees to it that it fits together."""

    def __init__(self, hard: HardState, snapshot: SnapshotMeta, entries: Sequence[Entry]) -> None:
        self.hard = hard
        self.snapshot = snapshot
        self.rows = {entry.index: entry for entry in entries}

    def set_hard(self, **changes: Any) -> None:
        self.hard = attrs.evolve(self.hard, **changes)

    def point(self, snapshot: SnapshotMeta) -> None:
        self.snapshot = snapshot

    def keep(self, first: int, end: int) -> None:
        self.rows = {index: entry for index, entry in self.rows.items() if first <= index < end}

    def append(self, entries: Sequence[Entry]) -> None:
        self.rows.update((entry.index, entry) for entry in entries)


_Write = Callable[[_Store], None]
_UNLIMITED = 1 << 62


class SimulatedLog(MemoryLog):
    """A log whose saves and compactions can be torn."""

    __slots__ = ()

    #: The transactions of a save, in order, with the writes that each would make if there is something to write.
    SAVE: ClassVar[tuple[Transaction, ...]] = (
        ("drop all", "snapshot", "truncate", "append", "term", "vote", "commit"),
    )  # fmt: skip
    #: ... and of a compaction.
    COMPACTION: ClassVar[tuple[Transaction, ...]] = (("drop", "snapshot"),)

    @staticmethod
    def name_of(number: int) -> NodeId:
        """The name of a node with such a log."""
        return f"n{number}"

    def restart(self, rng: random.Random) -> None:
        """The node starts, after a crash perhaps."""

    def tear_save(
        self,
        rng: random.Random,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        """As `save`, but the power fails before the last write has landed."""
        writes: dict[str, _Write] = {}
        if snapshot is not None:
            writes["drop all"] = lambda store: store.rows.clear()
            writes["snapshot"] = lambda store: store.point(snapshot)
        if truncate_from is not None:
            writes["truncate"] = lambda store: store.keep(0, truncate_from)
        if entries:
            writes["append"] = lambda store: store.append(entries)
        if hard_state is not None:
            writes["term"] = lambda store: store.set_hard(term=hard_state.term)
            writes["vote"] = lambda store: store.set_hard(vote=hard_state.vote)
            writes["commit"] = lambda store: store.set_hard(commit=hard_state.commit)
        self._tear(rng, self.SAVE, writes)

    def tear_compaction(self, rng: random.Random, snapshot: SnapshotMeta) -> None:
        """As `compact`, but the power fails before the last write has landed."""
        if snapshot.index > self.snapshot().index:
            writes: dict[str, _Write] = {
                "drop": lambda store: store.keep(snapshot.index + 1, _UNLIMITED),
                "snapshot": lambda store: store.point(snapshot),
            }
            self._tear(rng, self.COMPACTION, writes)

    def _tear(self, rng: random.Random, transactions: tuple[Transaction, ...], writes: dict[str, _Write]) -> None:
        landed = rng.randrange(len(writes))
        store = _Store(self._hard_state, self._snapshot, self._entries)
        for names in transactions:
            transaction = [writes[name] for name in names if name in writes]
            if len(transaction) > landed:
                break
            landed -= len(transaction)
            for write in transaction:
                write(store)
        self._open(store)

    def _open(self, store: _Store) -> None:
        """What a log without checks makes of the store: the entries that follow the snapshot, as far as there are."""
        self._hard_state = store.hard
        self._snapshot = store.snapshot
        self._first = store.snapshot.index + 1
        self._entries = []
        while (entry := store.rows.get(self._first + len(self._entries))) is not None:
            self._entries.append(entry)
