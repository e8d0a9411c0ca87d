"""The driver when its parts fail or are ended from an odd place: it ends, it says why, and nobody waits for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from bleepstore.raft.messages import Configuration, Entry, EntryKind, HardState, Message, NodeId, SnapshotMeta
from bleepstore.raft.node import Node, NodeSettings
from bleepstore.raft.storage import LogStorage, MemoryLog
from bleepstore.raft.transport import MemoryNetwork
from bleepstore.raft.waiting import NodeEnded

PATIENCE = 60  # seconds; only a failure takes so long


class Echo:
    """A state machine whose results are the commands."""

    name = ""

    def __init__(self) -> None:
        self.applied = 0
        self.closed = threading.Event()

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        self.applied = through
        return [data for _, data in batch]

    def make_durable(self) -> int:
        return self.applied

    def write_snapshot(self, path: Path) -> int:
        raise OSError("no snapshots here")

    def incoming(self) -> Path:
        raise OSError("no snapshots here")

    def prepare(self, path: Path, index: int) -> str:
        raise OSError("no snapshots here")

    def install(self, name: str) -> None:
        raise OSError("no snapshots here")

    def discard(self, name: str) -> None:
        raise OSError("no snapshots here")

    def close(self) -> None:
        self.closed.set()


class BrokenDisk(MemoryLog):
    """Takes no command, and cannot be closed."""

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        if any(entry.kind is EntryKind.COMMAND for entry in entries):
            raise OSError("the disk is gone")
        super().save(hard_state, truncate_from, entries, snapshot)

    def close(self) -> None:
        raise OSError("still gone")


class BrokenTransport(MemoryNetwork):
    """Raises what a transport should not."""

    is_direct = False

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        raise RuntimeError("a fault of the transport")


def start(log: LogStorage, network: MemoryNetwork, **kwargs: Any) -> tuple[Node, Echo]:
    machine = Echo()
    settings = NodeSettings(tick_seconds=0.005, answer_ticks=100_000)
    node = Node(log, machine, network, settings=settings, rng=random.Random(1), **kwargs)
    node.start()
    return node, machine


def log_of(kind: type[MemoryLog] = MemoryLog, voters: tuple[str, ...] = ("a",)) -> MemoryLog:
    return kind("cluster", "a", SnapshotMeta(configuration=Configuration(voters)))


def test_a_disk_error_ends_the_node_and_tells_everybody_even_if_the_log_cannot_be_closed() -> None:
    told: list[BaseException] = []
    informed = threading.Event()

    def on_failure(error: BaseException) -> None:
        told.append(error)
        informed.set()

    node, machine = start(log_of(BrokenDisk), MemoryNetwork(), on_failure=on_failure)
    with pytest.raises(NodeEnded, match="the disk is gone"):
        node.propose("1", b"data").result(PATIENCE)
    assert informed.wait(PATIENCE)
    assert str(told[0]) == "the disk is gone"
    assert machine.closed.is_set()
    node.stop()
    with pytest.raises(NodeEnded):
        node.propose("2", b"data")
    with pytest.raises(NodeEnded):
        node.read_barrier().result(PATIENCE)


def test_a_node_may_be_stopped_by_what_waits_for_an_answer() -> None:
    node, machine = start(log_of(), MemoryNetwork())
    stopped = threading.Event()

    def stop(_: Future[Any]) -> None:
        node.stop()
        stopped.set()

    future = node.propose("1", b"data")
    future.add_done_callback(stop)
    assert future.result(PATIENCE) == b"data"
    assert stopped.wait(PATIENCE)
    assert machine.closed.wait(PATIENCE)
    assert node.failure is None


def test_a_transport_that_raises_ends_the_node_instead_of_leaving_a_peer_in_silence() -> None:
    informed = threading.Event()
    node, _ = start(log_of(voters=("a", "b")), BrokenTransport(), on_failure=lambda _: informed.set())
    assert informed.wait(PATIENCE)
    assert "a fault of the transport" in str(node.failure)
    node.stop()
