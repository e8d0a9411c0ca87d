"""The log as the core sees it: what is stored, and in memory what is not durable yet and what was written lately.

    first ..... stored ..... tail_first ..... tail (in memory) ..... last
                                  stable: durable here up to this index
                                  committed, handed (given out for applying), applied: each <= the one before

A truncation invalidates writes that are still under way: an entry that is durable now, and that a later write which
is not yet done will replace, must not count as stable, even if the log holds an equal entry again by then. So
each truncation also lowers what the writes under way will make stable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bleepstore.raft.messages import ENTRY_OVERHEAD, Configuration, Entry, EntryKind, SnapshotMeta
from bleepstore.raft.storage import LogMisuse, LogStorage

#: How much of what is stored is kept in memory besides, for members that are a little behind.
TAIL_ENTRIES = 1024
TAIL_BYTES = 16 << 20

_UNLIMITED = 1 << 62


class _Write:
    """What becomes stable when the Ready of this token is durable."""

    __slots__ = ("last", "token", "vote_term")

    def __init__(self, token: int, last: int, vote_term: int) -> None:
        self.token = token
        self.last = last
        self.vote_term = vote_term


class LogView:
    """Reads from storage, never writes to it."""

    __slots__ = (
        "_base_term", "_emitted", "_snapshot", "_storage", "_tail", "_tail_bytes", "_tail_first", "_truncate_from",
        "_writes", "applied", "committed", "first", "handed", "last", "stable",
    )  # fmt: skip

    def __init__(self, storage: LogStorage, applied: int) -> None:
        state = storage.initial_state()
        self._storage = storage
        self.first = storage.first_index()
        self.last = storage.last_index()
        if not self.first - 1 <= applied <= self.last:
            raise LogMisuse(
                f"the state machine has applied up to {applied}, the log holds {self.first}..{self.last}: there is a "
                "gap between them. Start this node anew with an empty directory (it gets a new id) and remove the old "
                "id from the cluster"
            )
        self._base_term = state.snapshot.term  # the term at first - 1
        self.stable = self.last
        self.committed = min(max(state.hard_state.commit, applied), self.last)
        self.handed = applied
        self.applied = applied
        self._tail: list[Entry] = []
        self._tail_first = self.last + 1
        self._tail_bytes = 0
        self._emitted = self.last  # storage has, or was told to have, the log up to here
        self._truncate_from: int | None = None
        self._snapshot: SnapshotMeta | None = None
        self._writes: deque[_Write] = deque()

    # --- reading ---

    def term(self, index: int) -> int:
        """The term at `index`, or -1 if it was compacted or does not exist."""
        offset = index - self._tail_first
        if offset >= 0:
            return self._tail[offset].term if index <= self.last else -1
        if index < self.first:
            return self._base_term if index == self.first - 1 else -1
        return self._storage.term(index)

    def holds(self, index: int, term: int) -> bool:
        """Whether the log is known to have this entry."""
        return term >= 0 and self.term(index) == term

    @property
    def last_term(self) -> int:
        return self.term(self.last)

    def slice(self, lo: int, hi: int, max_bytes: int) -> list[Entry]:
        """The entries lo <= index < hi, at least one if there is one, else no more than `max_bytes`; lo >= first."""
        if lo >= hi:
            return []
        offset = lo - self._tail_first
        if offset < 0:
            # What crosses from storage to memory comes in two pieces; the caller asks again for the rest.
            return self._storage.entries(lo, min(hi, self._tail_first), max_bytes)
        total = 0
        entries = self._tail[offset : hi - self._tail_first]
        for position, entry in enumerate(entries):
            total += len(entry.data) + ENTRY_OVERHEAD
            if total > max_bytes and position:
                return entries[:position]
        return entries

    def scan(self, lo: int, hi: int) -> list[Entry]:
        """All entries lo <= index < hi."""
        found: list[Entry] = []
        while lo < hi:
            found += self.slice(lo, hi, _UNLIMITED)
            lo = found[-1].index + 1
        return found

    def may_agree(self, index: int, term: int) -> tuple[int, int]:
        """The highest (index', term') with index' <= index and term' <= term: above it the logs must differ.

        A follower's entries of terms that its leader's log has not there cannot be in the leader's log, nor the other
        way round, so a whole term is skipped in one round trip. (i, 0) if the term at i was compacted.
        """
        while index > 0:
            own = self.term(index)
            if own < 0:
                return index, 0
            if own <= term:
                return index, own
            index -= 1
        return 0, 0

    def configurations(self, snapshot: SnapshotMeta) -> list[tuple[int, Configuration]]:
        """(index, configuration) of each membership from the snapshot up to what is applied, oldest first."""
        found = [(snapshot.index, snapshot.configuration)]
        for entry in self.scan(self.first, self.applied + 1):
            if entry.kind is EntryKind.CONFIGURATION:
                found.append((entry.index, Configuration.decode(entry.data)))
        return found

    def unapplied_configurations(self) -> bool:
        """Whether a committed change of the membership has not taken effect here."""
        entries = self.scan(self.applied + 1, self.committed + 1)
        return any(entry.kind is EntryKind.CONFIGURATION for entry in entries)

    # --- writing, in memory ---

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one."""
        self._tail.extend(entries)
        for entry in entries:
            self._tail_bytes += len(entry.data) + ENTRY_OVERHEAD
        self.last += len(entries)

    def truncate(self, index: int) -> None:
        """Drop `index` and all after it. What is committed is never dropped."""
        if index <= self.committed:
            raise LogMisuse(f"cannot drop entry {index}: the log is committed up to {self.committed}")
        if index < self._tail_first:
            self._tail.clear()
            self._tail_first = index
        else:
            del self._tail[index - self._tail_first :]
        self._tail_bytes = sum(len(entry.data) + ENTRY_OVERHEAD for entry in self._tail)
        self.last = index - 1
        if index <= self._emitted:
            self._emitted = index - 1
            if self._truncate_from is None or index < self._truncate_from:
                self._truncate_from = index
        self._lower_stable(index - 1)

    def _lower_stable(self, index: int) -> None:
        self.stable = min(self.stable, index)
        for write in self._writes:
            write.last = min(write.last, index)

    def restore(self, meta: SnapshotMeta) -> None:
        """The log begins anew after `meta`."""
        self._tail = []
        self._tail_bytes = 0
        self._tail_first = meta.index + 1
        self.first = meta.index + 1
        self.last = self.committed = self.handed = self.applied = self._emitted = meta.index
        self._base_term = meta.term
        self._truncate_from = None
        self._snapshot = meta
        self._lower_stable(0)

    def compacted(self, meta: SnapshotMeta) -> None:
        """Storage has dropped its entries up to `meta.index`."""
        if meta.index < self.first or meta.index > self.applied:
            return
        self.first = meta.index + 1
        self._base_term = meta.term
        if self._tail_first < self.first:
            self._drop_tail(self.first)

    def _drop_tail(self, first: int) -> None:
        count = first - self._tail_first
        self._tail_bytes -= sum(len(entry.data) + ENTRY_OVERHEAD for entry in self._tail[:count])
        del self._tail[:count]
        self._tail_first = first

    # --- to storage ---

    def has_snapshot(self) -> bool:
        """Whether the whole log is being replaced."""
        return self._snapshot is not None or self.stable < self.first - 1

    def has_writes(self) -> bool:
        return self._emitted < self.last or self._truncate_from is not None or self._snapshot is not None

    def take_writes(self, token: int, vote_term: int) -> tuple[SnapshotMeta | None, int | None, tuple[Entry, ...]]:
        """(snapshot, truncate_from, entries) that storage was not told of yet.

        `vote_term` is remembered with the token: the term of a vote that becomes durable with it, or 0.
        """
        snapshot, truncate_from = self._snapshot, self._truncate_from
        entries = tuple(self._tail[self._emitted + 1 - self._tail_first :])
        self._snapshot = self._truncate_from = None
        self._emitted = self.last
        self._writes.append(_Write(token, self.last, vote_term))
        return snapshot, truncate_from, entries

    def written(self, token: int) -> int:
        """All writes up to `token` are durable; returns the greatest term of a vote among them, or 0."""
        writes = self._writes
        vote_term = 0
        while writes and writes[0].token <= token:
            write = writes.popleft()
            self.stable = max(self.stable, write.last)
            vote_term = max(vote_term, write.vote_term)
        if len(self._tail) > 2 * TAIL_ENTRIES or self._tail_bytes > 2 * TAIL_BYTES:
            self._trim_tail()
        return vote_term

    def _trim_tail(self) -> None:
        """Keep the newest entries in memory; what is not stable stays, since storage does not have it."""
        keep, size = 0, 0
        for entry in reversed(self._tail):
            size += len(entry.data) + ENTRY_OVERHEAD
            if keep == TAIL_ENTRIES or size > TAIL_BYTES:
                break
            keep += 1
        self._drop_tail(max(self._tail_first, min(self.last + 1 - keep, self.stable + 1)))

    # --- to the state machine ---

    def may_hand_out(self) -> int:
        """The last index that may be applied: committed, and durable here."""
        return self.committed if self.committed < self.stable else self.stable
