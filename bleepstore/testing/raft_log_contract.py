"""What every `LogStorage` must do: subclass `LogContract`, give it `make` and `reopen`, and pytest runs it.

The last test compares a log with `MemoryLog`, operation by operation, over seeded random histories.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from bleepstore.raft.messages import ENTRY_OVERHEAD, Configuration, Entry, EntryKind, HardState, SnapshotMeta
from bleepstore.raft.storage import Compacted, EntriesUnavailable, LogMisuse, LogState, LogStorage, MemoryLog

CLUSTER = "4b1d5a52-3c1e-4f5b-9b43-6a1d8f0c7e00"
NODE, OTHER, THIRD = (f"9e0f9d1c-52b7-4a0c-8d3f-00000000000{number}" for number in (1, 2, 3))
MEMBERS = Configuration((NODE, OTHER, THIRD))
UNLIMITED = 1 << 40


def entry(index: int, term: int = 1, data: bytes | None = None) -> Entry:
    """A command whose content tells its position."""
    data = b"data of %d in %d" % (index, term) if data is None else data
    return Entry(index, term, EntryKind.COMMAND, data, f"request-{index}-{term}")


def run(first: int, last: int, term: int = 1) -> list[Entry]:
    """Entries first..last."""
    return [entry(index, term) for index in range(first, last + 1)]


def content(log: LogStorage) -> tuple[LogState, list[Entry]]:
    """All that a log holds."""
    first, last = log.first_index(), log.last_index()
    assert log.snapshot().index == first - 1
    return log.initial_state(), log.entries(first, last + 1, UNLIMITED)


class LogContract:
    """The tests. A subclass says how to make an empty log, and how to come back to it after a crash."""

    def make(self, folder: Path) -> LogStorage:
        """A new log of NODE in CLUSTER whose membership is MEMBERS."""
        raise NotImplementedError

    def reopen(self, log: LogStorage) -> LogStorage:
        """Close `log` and open what is durable of it."""
        raise NotImplementedError

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[LogStorage]:
        made = self.make(tmp_path)
        yield made
        made.close()

    def test_a_new_log_is_empty_and_knows_whose_it_is(self, log: LogStorage) -> None:
        assert log.initial_state() == LogState(CLUSTER, NODE, HardState(), SnapshotMeta(configuration=MEMBERS))
        assert (log.first_index(), log.last_index(), log.term(0)) == (1, 0, 0)
        assert log.entries(1, 1, UNLIMITED) == []

    def test_what_was_saved_is_there_after_opening_again(self, log: LogStorage) -> None:
        special = [Entry(4, 2, EntryKind.NOOP), Entry(5, 2, EntryKind.CONFIGURATION, MEMBERS.encode())]
        log.save(HardState(2, THIRD, 4), None, [*run(1, 3), *special], None)
        before = content(log)
        assert before[1] == [*run(1, 3), *special]
        assert before[0].hard_state == HardState(2, THIRD, 4)
        again = self.reopen(log)
        assert content(again) == before
        again.close()

    def test_parts_of_a_save_may_be_left_out(self, log: LogStorage) -> None:
        log.save(None, None, run(1, 2), None)
        log.save(HardState(1, None, 1), None, [], None)
        log.save(None, None, [], None)
        assert content(log)[1] == run(1, 2)
        assert log.initial_state().hard_state == HardState(1, None, 1)

    def test_a_suffix_is_replaced_in_one_save_and_stays_replaced(self, log: LogStorage) -> None:
        log.save(HardState(1, NODE, 2), None, run(1, 6), None)
        log.save(HardState(2, None, 3), 4, run(4, 5, 2), None)
        log = self.reopen(log)
        assert content(log)[1] == [*run(1, 3), *run(4, 5, 2)]
        assert (log.last_index(), log.term(5)) == (5, 2)
        log.close()

    def test_a_log_may_be_truncated_to_nothing(self, log: LogStorage) -> None:
        log.save(None, None, run(1, 3), None)
        log.save(None, 1, [], None)
        assert log.last_index() == 0
        log.save(None, None, run(1, 2, 5), None)
        log = self.reopen(log)
        assert content(log)[1] == run(1, 2, 5)
        log.close()

    def test_reading_is_limited_by_bytes_but_gives_at_least_one(self, log: LogStorage) -> None:
        entries = [entry(index, 1, b"x" * 100) for index in range(1, 11)]
        log.save(None, None, entries, None)
        each = 100 + ENTRY_OVERHEAD
        assert log.entries(1, 11, 3 * each) == entries[:3]
        assert log.entries(1, 11, 3 * each - 1) == entries[:2]
        assert log.entries(4, 11, 0) == entries[3:4]
        assert log.entries(4, 6, UNLIMITED) == entries[3:5]

    def test_what_is_not_there_is_refused_by_name(self, log: LogStorage) -> None:
        log.save(HardState(1, None, 5), None, run(1, 8), None)
        log.compact(SnapshotMeta(4, 1, MEMBERS))
        for index in (0, 3):
            with pytest.raises(Compacted):
                log.term(index)
        with pytest.raises(Compacted):
            log.entries(4, 6, UNLIMITED)
        with pytest.raises(EntriesUnavailable):
            log.term(9)
        with pytest.raises(EntriesUnavailable):
            log.entries(8, 10, UNLIMITED)
        assert (log.term(4), log.term(8)) == (1, 1)

    def test_misuse_changes_nothing(self, log: LogStorage) -> None:
        log.save(HardState(1, None, 3), None, run(1, 5), None)
        before = content(log)
        for truncate_from, entries, snapshot in (
            (None, run(7, 7), None),
            (None, run(5, 6), None),
            (None, [entry(6), entry(8)], None),
            (0, [], None),
            (6, [], None),
            (4, run(5, 5, 2), None),
            (None, run(6, 6), SnapshotMeta(9, 2, MEMBERS)),
        ):
            with pytest.raises(LogMisuse):
                log.save(HardState(9, OTHER, 5), truncate_from, entries, snapshot)
            assert content(log) == before
        with pytest.raises(LogMisuse):
            log.compact(SnapshotMeta(6, 1, MEMBERS))
        with pytest.raises(LogMisuse):
            log.compact(SnapshotMeta(3, 2, MEMBERS))
        log = self.reopen(log)
        assert content(log) == before
        log.close()

    def test_compaction_drops_a_prefix_and_keeps_its_end(self, log: LogStorage) -> None:
        log.save(HardState(3, None, 9), None, [*run(1, 5), *run(6, 9, 3)], None)
        meta = SnapshotMeta(6, 3, Configuration((NODE, OTHER)), "copy-6")
        log.compact(meta)
        log.compact(SnapshotMeta(2, 1, MEMBERS))
        before = content(log)
        assert (before[0].snapshot, before[1], log.term(6)) == (meta, run(7, 9, 3), 3)
        log = self.reopen(log)
        assert (content(log), log.term(6)) == (before, 3)
        log.compact(attrs.evolve(meta, index=9))
        assert (log.first_index(), log.last_index()) == (10, 9)
        log.save(None, None, run(10, 11, 4), None)
        log = self.reopen(log)
        assert content(log)[1] == run(10, 11, 4)
        log.close()

    def test_a_snapshot_replaces_the_whole_log(self, log: LogStorage) -> None:
        log.save(HardState(1, None, 2), None, run(1, 5), None)
        meta = SnapshotMeta(100, 7, Configuration((NODE,)), "copy-100")
        log.save(HardState(8, None, 100), None, run(101, 102, 8), meta)
        log = self.reopen(log)
        state, entries = content(log)
        assert state == LogState(CLUSTER, NODE, HardState(8, None, 100), meta)
        assert entries == run(101, 102, 8)
        log.save(HardState(8, None, 300), None, [], SnapshotMeta(300, 8, MEMBERS))
        assert (log.first_index(), log.last_index(), log.term(300)) == (301, 300, 8)
        log.close()

    def test_bytes_and_names_of_every_kind_are_kept(self, log: LogStorage) -> None:
        entries = [
            Entry(1, 1, EntryKind.COMMAND, b"", ""),
            Entry(2, 1, EntryKind.COMMAND, bytes(range(256)) * 5000, "ü-\U0001f600"),
            Entry(3, 2**60, EntryKind.COMMAND, b"\0", "x" * 1000),
        ]
        log.save(HardState(2**60, "ü", 3), None, entries, None)
        log = self.reopen(log)
        assert content(log)[1] == entries
        log.close()

    def test_closing_twice_is_harmless(self, log: LogStorage) -> None:
        log.close()
        log.close()

    @pytest.mark.parametrize("seed", range(12))
    def test_it_agrees_with_the_log_in_memory(self, log: LogStorage, seed: int) -> None:
        rng = random.Random(seed)
        model = MemoryLog(CLUSTER, NODE, SnapshotMeta(configuration=MEMBERS))
        term = 1
        for step in range(60):
            term += rng.randrange(3) == 0
            if rng.randrange(8) == 0:
                log = self.reopen(log)
            elif rng.randrange(6) == 0 and model.last_index() >= model.first_index():
                index = rng.randrange(model.first_index(), model.last_index() + 1)
                meta = SnapshotMeta(index, model.term(index), MEMBERS, f"copy-{step}")
                for one in (log, model):
                    one.compact(meta)
            else:
                _save_something(rng, term, (log, model))
            assert content(log) == content(model), f"seed {seed}, step {step}"
        log.close()


def _save_something(rng: random.Random, term: int, logs: tuple[LogStorage, LogStorage]) -> None:
    model = logs[1]
    first, last = model.first_index(), model.last_index()
    snapshot = truncate_from = None
    if rng.randrange(12) == 0:
        last += rng.randrange(1, 20)
        snapshot = SnapshotMeta(last, term, MEMBERS, "installed")
    elif last >= first and rng.randrange(4) == 0:
        truncate_from = rng.randrange(first, last + 1)
        last = truncate_from - 1
    entries = run(last + 1, last + rng.randrange(6), term)
    hard_state = HardState(term, rng.choice([None, NODE, OTHER]), last) if rng.randrange(2) else None
    if hard_state is None and model.initial_state().hard_state.commit > last:
        hard_state = HardState(term, None, last)
    for one in logs:
        one.save(hard_state, truncate_from, entries, snapshot)
