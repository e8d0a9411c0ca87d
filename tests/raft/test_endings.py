"""What a supervisor is told of a node that has ended, and what bounds the log."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bleepstore.cluster import RESERVED_BYTES, SpaceReserve, create_member
from bleepstore.errors import CatalogDamaged, CatalogTooNew, StorageFull, StorageUnavailable
from bleepstore.raft.endings import Ending, ending_of
from bleepstore.raft.log_meter import GROUP_BYTES, LogMeter
from bleepstore.raft.messages import ENTRY_OVERHEAD, ConfChange, Entry, EntryKind, HardState, SnapshotMeta
from bleepstore.raft.node import Node
from bleepstore.raft.node_settings import Host, NodeSettings
from bleepstore.raft.sqlite_log import open_log
from bleepstore.raft.storage import LogDamaged, LogFailed, LogFull, LogTooNew, MemoryLog
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.driver import DrivenNode, Echo
from tests.raft.driver_checks import Careful, memory_log

PATIENCE = 60.0


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, Ending.STOPPED),
        (RuntimeError("a fault"), Ending.FAULT),
        (LogFailed("EIO"), Ending.DISK_FAILED),
        (StorageUnavailable(), Ending.DISK_FAILED),
        (OSError(errno.EIO, "it failed"), Ending.DISK_FAILED),
        (LogFull("no space"), Ending.DISK_FULL),
        (StorageFull(), Ending.DISK_FULL),
        (OSError(errno.ENOSPC, "no space"), Ending.DISK_FULL),
        (OSError(errno.EDQUOT, "no space"), Ending.DISK_FULL),
        (LogDamaged("a hole"), Ending.DAMAGED),
        (CatalogDamaged("a hole"), Ending.DAMAGED),
        (LogTooNew("format 9"), Ending.TOO_OLD),
        (CatalogTooNew("format 9"), Ending.TOO_OLD),
    ],
    ids=lambda value: value.name if isinstance(value, Ending) else type(value).__name__,
)
def test_each_end_has_a_status(error: BaseException | None, ending: Ending) -> None:
    assert ending_of(error) is ending
    outer = RuntimeError("around it")
    outer.__cause__ = error
    assert ending_of(outer) is (ending if error is not None else Ending.FAULT)


def test_a_status_says_what_to_do_and_no_two_are_the_same() -> None:
    assert len({ending.exit_status for ending in Ending}) == len(Ending)
    assert {ending for ending in Ending if ending.may_restart} == {Ending.FAULT, Ending.DISK_FAILED}


def test_a_disk_that_fails_ends_the_node_with_its_status(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(MemoryLog):
        def save(self, *_what: Any) -> None:
            raise OSError(errno.EIO, "it failed")

    beginning = memory_log(("a",)).snapshot()
    ended = threading.Event()
    node = Node(
        Failing("c", "a", beginning), Echo(), MemoryNetwork(), settings=NodeSettings(tick_seconds=0.005),
        host=Host(random.Random(1)), on_failure=lambda _: ended.set(),
    )  # fmt: skip
    endings = [node.status.ending]
    node.start()
    assert ended.wait(PATIENCE)
    assert node.ended.wait(PATIENCE)
    endings.append(node.status.ending)
    assert endings == [None, Ending.DISK_FAILED]
    node.stop()
    assert "exit status 74" in caplog.text


def test_a_log_without_space_says_so(tmp_path: Path) -> None:
    create_member(tmp_path)
    log = open_log(tmp_path / "raft.db")
    log._connection.pragma("max_page_count", log._connection.pragma("page_count"))
    with pytest.raises(LogFull):
        log.save(HardState(1), None, [Entry(1, 1, EntryKind.COMMAND, bytes(1 << 20), "r")], None)
    log.close()


# --- the reserve ---


def test_the_reserve_is_given_up_when_the_disk_is_full_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = 0  # bytes that something else has taken of a disk of 1 GiB

    def statvfs(folder: Path) -> SimpleNamespace:
        own = sum(path.stat().st_size for path in Path(folder).iterdir())
        return SimpleNamespace(f_bavail=(1 << 30) - others - own, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", statvfs)
    reserve, path = SpaceReserve(tmp_path), tmp_path / "reserve"
    assert reserve.free_bytes() == (1 << 30) - RESERVED_BYTES
    assert path.stat().st_size == RESERVED_BYTES
    others = (1 << 30) - RESERVED_BYTES - 5  # five bytes are left beside the reserve
    assert SpaceReserve(tmp_path).free_bytes() == RESERVED_BYTES + 5, "a start finds it"
    assert not path.exists()
    reserve._is_made = False
    others -= 100
    assert reserve.free_bytes() == RESERVED_BYTES + 105
    assert not path.exists(), "there is space for the log, and not for a reserve"
    others = 0
    reserve.free_bytes()
    assert path.exists()


# --- bytes of the log ---


def entries(first: int, sizes: Sequence[int]) -> list[Entry]:
    return [Entry(first + n, 1, EntryKind.COMMAND, bytes(size), f"{first + n}") for n, size in enumerate(sizes)]


def test_the_meter_agrees_with_the_log_to_a_group() -> None:
    rng = random.Random(1)
    log, meter = MemoryLog("c", "a"), LogMeter(1, 0, 0)
    for step in range(400):
        first, last = log.first_index(), log.last_index()
        kind = rng.randrange(8)
        if kind == 0 and last > first:
            index = rng.randrange(first, last + 1)
            log.save(None, index, (), None)
            meter.truncate(index)
        elif kind == 1 and last > first:
            index = rng.randrange(first, last)
            log.compact(SnapshotMeta(index, 1))
            meter.compact(index)
        elif kind == 2 and step % 10 == 0:
            log.save(None, None, (), SnapshotMeta(last + 5, 1))
            meter.restart(last + 5)
        else:
            added = entries(last + 1, [rng.randrange(GROUP_BYTES // 2) for _ in range(rng.randrange(6))])
            log.save(None, None, added, None)
            if added:
                meter.append(added)
        assert meter.size >= log.size(), "it never counts too little"
        assert meter.size - log.size() < 40 * GROUP_BYTES
        keep = rng.randrange(8 * GROUP_BYTES)
        last_to_go = meter.beyond(keep)
        if last_to_go:
            assert log.first_index() <= last_to_go <= log.last_index()
            assert meter.size_until(last_to_go) <= meter.size
        else:
            assert log.size() <= keep


def test_a_log_of_few_large_entries_is_compacted_too() -> None:
    log = memory_log(("a",))
    state_machine = Careful(log)
    node = DrivenNode(
        log, state_machine, compact_after=1000, keep_entries=100, compact_after_bytes=8 << 20, keep_bytes=3 << 20
    )
    node.elect()
    sizes = []
    for number in range(40):
        node.propose(f"{number}", bytes(1 << 20))
        state_machine.durable = state_machine.applied
        node.tick()
        sizes.append(log.size())
    assert max(sizes) < 10 << 20
    assert log.last_index() - log.first_index() < 10
    assert node.node.counters.compactions >= 4


def test_a_log_is_not_kept_without_bound_for_a_member_that_catches_up() -> None:
    log = memory_log(("a",))
    state_machine = Careful(log)
    node = DrivenNode(
        log, state_machine, compact_after=3, keep_entries=0, compact_after_bytes=2 << 20, keep_bytes=1 << 20,
        max_log_bytes=6 << 20,
    )  # fmt: skip
    node.elect()
    node.propose("first")
    node.core.propose_conf(ConfChange(learn=("d",)))
    node.tick()
    member = node.core.tracker.progress["d"]
    sizes = []
    for number in range(20):
        member.await_snapshot(2)
        member.recent_active = True
        node.propose(f"{number}", bytes(1 << 20))
        state_machine.durable = state_machine.applied
        node.tick()
        sizes.append(log.size())
    assert max(sizes) > 5 << 20, "it is kept for the member"
    assert max(sizes) < 9 << 20, "but not for ever"


def test_the_size_of_a_stored_log_is_that_of_its_entries(tmp_path: Path) -> None:
    create_member(tmp_path)
    log = open_log(tmp_path / "raft.db")
    assert log.size() == 0
    log.save(HardState(1), None, entries(1, [5, 100_000]), None)
    assert log.size() == 100_005 + 2 * ENTRY_OVERHEAD
    log.close()
