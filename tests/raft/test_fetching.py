"""Fetching snapshots: who has no space does not ask, who failed waits, and those who ask together share a copy."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bleepstore.raft.messages import Configuration, InstallSnapshot, NodeId, SnapshotMeta
from bleepstore.raft.snapshot_transfer import FileStream, SharedCopies
from bleepstore.raft.storage import MemoryLog
from bleepstore.raft.transport import Chunk, SnapshotStream, SnapshotUnavailable
from tests.raft.driver import DrivenNode, Echo, Outbox

VOTERS = ("a", "b", "c")
META = SnapshotMeta(50, 1, Configuration(VOTERS))
MIB = 1 << 20
PATIENCE = 60


class Receiver(Echo):
    """Receives snapshots in a folder, and says what it was to prepare and to discard."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.prepared: list[bytes] = []
        self.discarded: list[str] = []
        self._folder = folder

    def incoming(self) -> Path:
        return self._folder / f"incoming-{threading.get_ident()}"

    def prepare(self, path: Path, index: int) -> str:
        self.prepared.append(path.read_bytes())
        path.unlink()
        return f"state-{index}"

    def install(self, name: str) -> None:
        self.applied = META.index

    def discard(self, name: str) -> None:
        self.discarded.append(name)


class Source(Outbox):
    """Where snapshots are fetched from: by each node in turn of `answers`, an exception or a stream."""

    def __init__(self, *answers: Exception | SnapshotStream) -> None:
        super().__init__()
        self.asked: list[NodeId] = []
        self._answers = list(answers)

    def fetch_snapshot(self, source: NodeId, asker: NodeId, least_index: int) -> SnapshotStream:
        self.asked.append(source)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Silent:
    """Sends one piece, and then nothing until `release` is set."""

    meta = META
    size = 2

    def __init__(self) -> None:
        self.release = threading.Event()
        self.is_silent = threading.Event()

    def chunks(self) -> Iterator[Chunk]:
        yield Chunk.of(0, b"x")
        self.is_silent.set()
        self.release.wait(PATIENCE)
        yield Chunk.of(1, b"y")

    def close(self) -> None:
        """Nothing is open."""


def node_for(source: Source, folder: Path) -> DrivenNode:
    log = MemoryLog("cluster", "a", SnapshotMeta(configuration=Configuration(VOTERS)))
    return DrivenNode(log, Receiver(folder), source, retry_ticks=10, answer_ticks=100)


def fetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "raft-a-fetch"]


def offer(node: DrivenNode, leader: NodeId = "b", term: int = 1, waits: bool = True) -> None:
    """As the leader does with each heartbeat; what it leads to is over when this returns, if it `waits`."""
    node.deliver(InstallSnapshot("cluster", leader, "a", term, META, 60 * MIB))
    for thread in fetching() if waits else ():
        thread.join(PATIENCE)
    node.drain()


def offers_until(node: DrivenNode, ticks: int) -> None:
    for _ in range(ticks):
        node.tick()
        offer(node)


def test_who_has_no_space_does_not_ask_and_asks_once_there_is(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(b"state")
    source = Source(FileStream(META, copy, lambda: None))
    node = node_for(source, tmp_path)
    node.free_bytes = 60 * MIB  # and some must be left for the log
    offers_until(node, 20)
    assert source.asked == []
    node.free_bytes = 100 * MIB
    offers_until(node, 30)
    assert source.asked == ["b"]
    assert node.core.counters.snapshots_installed == 1
    node.close()


def test_after_a_failure_nothing_is_asked_for_a_while_and_for_longer_after_the_next(tmp_path: Path) -> None:
    source = Source(*[SnapshotUnavailable("not now")] * 100)
    node = node_for(source, tmp_path)
    ticks = []
    for tick in range(2000):
        before = len(source.asked)
        node.tick()
        offer(node)
        if len(source.asked) > before:
            ticks.append(tick)
    waits = [after - before for before, after in itertools.pairwise(ticks)]
    assert waits[:6] == [10, 20, 40, 80, 160, 320]
    assert max(waits) == 600, "it does not give up for longer than this"
    node.close()


def test_a_source_that_falls_silent_is_given_up_and_the_next_leader_asked(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(b"state")
    silent = Silent()
    source = Source(silent, FileStream(META, copy, lambda: None))
    node = node_for(source, tmp_path)
    offer(node, waits=False)
    assert silent.is_silent.wait(PATIENCE)
    (hanging,) = fetching()
    for _ in range(100):
        node.tick()
        offer(node, "c", 2, waits=False)
    assert source.asked == ["b"], "it may go on yet"
    for _ in range(11):
        node.tick()
    offer(node, "c", 2, waits=False)
    for thread in fetching():
        if thread is not hanging:
            thread.join(PATIENCE)
    node.drain()
    assert source.asked == ["b", "c"]
    assert node.core.counters.snapshots_installed == 1
    # What comes at last of the first one is of no use to anybody.
    silent.release.set()
    hanging.join(PATIENCE)
    node.drain()
    assert node.core.counters.snapshots_installed == 1
    node.close()


def test_those_who_ask_together_share_a_copy(tmp_path: Path) -> None:
    made: list[Path] = []
    index = 50

    def make() -> tuple[SnapshotMeta, Path]:
        made.append(tmp_path / f"copy-{len(made)}")
        made[-1].write_bytes(b"state")
        return SnapshotMeta(index, 1), made[-1]

    copies = SharedCopies(make)
    first, second = copies.open(40), copies.open(50)
    assert len(made) == 1
    index = 60
    third = copies.open(51)  # the copy is too old for this one
    assert len(made) == 2
    assert [stream.meta.index for stream in (first, second, third)] == [50, 50, 60]
    first.close()
    first.close()
    assert made[0].exists()
    second.close()
    assert not made[0].exists()
    assert b"".join(chunk.data for chunk in third.chunks()) == b"state"
    third.close()
    assert not made[1].exists()
    copies.open(51).close()
    assert len(made) == 3, "nothing is kept that nobody reads"
    with pytest.raises(FileNotFoundError):
        made[2].stat()
