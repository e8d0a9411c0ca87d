"""What the core and its driver need of a log, and a log in memory.

The driver writes (`save`, `compact`), the core only reads. Both happen in one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from bleepstore.errors import BleepStoreError, StoreError
from bleepstore.raft.messages import ENTRY_OVERHEAD, Entry, HardState, NodeId, SnapshotMeta


@attrs.define
class Compacted(BleepStoreError):
    """The entry is gone from the log: a snapshot includes it."""

    index: int
    first_index: int

    def __str__(self) -> str:
        return f"entry {self.index} was compacted: the log begins at {self.first_index}"


@attrs.define
class EntriesUnavailable(BleepStoreError):
    """The log does not reach this far."""

    index: int
    last_index: int

    def __str__(self) -> str:
        return f"entry {self.index} is not in the log: it ends at {self.last_index}"


class LogMisuse(StoreError):
    """What should be written does not fit the log: a gap, a cut into what was compacted. A fault of the driver."""


class LogDamaged(StoreError):
    """The log is not sound, or is not one; its message says what to do."""


class LogFailed(LogDamaged):
    """Writing to the log failed. Nobody knows what the disk holds: the node must end, and begin from what is there."""


class LogFull(LogFailed):
    """It failed because the disk is full."""


class LogTooNew(StoreError):
    """The log was written by a newer BleepStore; upgrade this one."""


@attrs.frozen
class LogState:
    """What a log knows when it is opened."""

    cluster: str  # the cluster's id
    node: NodeId  # whose log this is: made with the log, never reused
    hard_state: HardState
    snapshot: (
        SnapshotMeta  # what was compacted or installed; index 0 carries the membership that the cluster began with
    )


class LogStorage(Protocol):
    """A durable log.

    It holds the entries `first_index() .. last_index()` without a gap, the hard state, and the snapshot pointer, for
    which `snapshot().index == first_index() - 1` always holds. When a method that writes has returned, what it wrote
    is durable. When it has raised anything but LogMisuse, nobody knows, and the node must end.
    """

    def initial_state(self) -> LogState:
        """What was durable when the log was opened, brought up to date by every write since."""

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        """One Ready in one transaction with one sync; in this order:

        `snapshot`: drop all entries, the log begins anew after `snapshot.index`;
        `truncate_from`: drop this index and all after it (`first_index() <= truncate_from <= last_index()`);
        `entries`: append; the first has index `last_index() + 1`;
        `hard_state`: replace.

        Raises LogMisuse, and changes nothing, if it does not fit.
        """

    def entries(self, lo: int, hi: int, max_bytes: int) -> list[Entry]:
        """The entries lo <= index < hi, cut off after `max_bytes` (data plus ENTRY_OVERHEAD each), but at least one.

        Raises Compacted if lo < first_index(), EntriesUnavailable if hi > last_index() + 1. lo == hi gives none.
        """

    def term(self, index: int) -> int:
        """The term of an entry, also of the one the snapshot ends with. Raises Compacted or EntriesUnavailable."""

    def first_index(self) -> int:
        """The index of the first entry there is, or would be if there were one."""

    def last_index(self) -> int:
        """The index of the last entry; `snapshot().index` if there is none."""

    def snapshot(self) -> SnapshotMeta:
        """The snapshot pointer."""

    def size(self) -> int:
        """The bytes of all entries, data plus ENTRY_OVERHEAD each. Asked once, at the start: it may take a while."""

    def compact(self, snapshot: SnapshotMeta) -> None:
        """Drop the entries up to `snapshot.index`, which the state machine has applied *durably*, and make `snapshot`
        the pointer, in one transaction.

        `snapshot` is what `Raft.snapshot_meta(index)` gives: its configuration outlives the entry that brought it.
        Does nothing if `snapshot.index` is not beyond the pointer. Raises LogMisuse if it is beyond the last index or
        its term is not that of the entry.
        """

    def close(self) -> None:
        """Release what is open. More than once is harmless."""


class MemoryLog:
    """A log that lives as long as the object: for tests, and the model that every other log must agree with."""

    __slots__ = ("_entries", "_first", "_hard_state", "_identity", "_snapshot")

    def __init__(self, cluster: str, node: NodeId, snapshot: SnapshotMeta = SnapshotMeta()) -> None:  # noqa: B008 (frozen)
        self._identity = (cluster, node)
        self._hard_state = HardState(term=snapshot.term, commit=snapshot.index)
        self._snapshot = snapshot
        self._first = snapshot.index + 1
        self._entries: list[Entry] = []

    def initial_state(self) -> LogState:
        return LogState(*self._identity, self._hard_state, self._snapshot)

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        first = self._first if snapshot is None else snapshot.index + 1
        last = self.last_index() if snapshot is None else snapshot.index
        if truncate_from is not None:
            if not first <= truncate_from <= last:
                raise LogMisuse(f"cannot truncate from {truncate_from}: the log is {first}..{last}")
            last = truncate_from - 1
        for expected, entry in enumerate(entries, start=last + 1):
            if entry.index != expected:
                raise LogMisuse(f"cannot append entry {entry.index}: {expected} comes next")
        if snapshot is not None:
            self._snapshot = snapshot
            self._first = first
            self._entries = []
        if truncate_from is not None:
            del self._entries[truncate_from - first :]
        self._entries.extend(entries)
        if hard_state is not None:
            self._hard_state = hard_state

    def entries(self, lo: int, hi: int, max_bytes: int) -> list[Entry]:
        first = self._first
        if lo < first:
            raise Compacted(lo, first)
        if hi > first + len(self._entries):
            raise EntriesUnavailable(hi - 1, self.last_index())
        return limit_bytes(self._entries[lo - first : hi - first], max_bytes)

    def term(self, index: int) -> int:
        offset = index - self._first
        if offset < 0:
            if offset == -1:
                return self._snapshot.term
            raise Compacted(index, self._first)
        if offset >= len(self._entries):
            raise EntriesUnavailable(index, self.last_index())
        return self._entries[offset].term

    def first_index(self) -> int:
        return self._first

    def last_index(self) -> int:
        return self._first + len(self._entries) - 1

    def snapshot(self) -> SnapshotMeta:
        return self._snapshot

    def size(self) -> int:
        return sum(len(entry.data) + ENTRY_OVERHEAD for entry in self._entries)

    def compact(self, snapshot: SnapshotMeta) -> None:
        if snapshot.index <= self._snapshot.index:
            return
        if snapshot.index > self.last_index():
            raise LogMisuse(f"cannot compact to {snapshot.index}: the log ends at {self.last_index()}")
        if snapshot.term != self.term(snapshot.index):
            raise LogMisuse(f"entry {snapshot.index} is of term {self.term(snapshot.index)}, not {snapshot.term}")
        del self._entries[: snapshot.index + 1 - self._first]
        self._first = snapshot.index + 1
        self._snapshot = snapshot

    def close(self) -> None:
        """Nothing is open."""

    def copy(self) -> MemoryLog:
        """A log of its own with the same content: what a disk holds at this moment."""
        twin = MemoryLog(*self._identity, self._snapshot)
        twin._hard_state = self._hard_state
        twin._entries = self._entries.copy()
        return twin


def limit_bytes(entries: list[Entry], max_bytes: int) -> list[Entry]:
    """The first entries that together count no more than `max_bytes`, but at least one if there is one."""
    total = 0
    for position, entry in enumerate(entries):
        total += len(entry.data) + ENTRY_OVERHEAD
        if total > max_bytes and position:
            return entries[:position]
    return entries
