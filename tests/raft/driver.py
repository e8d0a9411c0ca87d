"""The real driver without its threads: a test gives it events one at a time, and sees in which order it acts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bleepstore.raft.core import Raft
from bleepstore.raft.driver import Driver
from bleepstore.raft.fetcher import Attempt
from bleepstore.raft.messages import Message, NodeId, Role, SnapshotFetch, SnapshotMeta, VoteReply
from bleepstore.raft.node import Node
from bleepstore.raft.node_settings import Host, NodeSettings
from bleepstore.raft.state import Settings
from bleepstore.raft.state_machine import StateMachine
from bleepstore.raft.storage import LogStorage
from bleepstore.raft.transport import MemoryNetwork


class Echo:
    """A state machine whose results are the commands."""

    name = ""
    size = 0

    def __init__(self) -> None:
        self.applied = 0
        self.closed = threading.Event()

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        self.applied = through
        return [data for _, data in batch]

    def fingerprint(self, result: object) -> bytes:
        return b""

    def raise_level(self, level: int, through: int) -> None:
        self.applied = through

    def condemn(self, reason: str) -> None:
        """It is in memory only."""

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


DEFAULTS = Settings()


class Outbox(MemoryNetwork):
    """Takes what a node sends, and tells `on_send` of each message at the moment it leaves."""

    def __init__(self, on_send: Callable[[Message], None] | None = None) -> None:
        super().__init__()
        self.sent: list[Message] = []
        self._on_send = on_send

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        for message in messages:
            self.sent.append(message)
            if self._on_send is not None:
                self._on_send(message)


class DrivenNode:
    """A `Node` whose thread, and whose apply thread, are the test's own."""

    def __init__(
        self,
        log: LogStorage,
        state_machine: StateMachine,
        outbox: Outbox | None = None,
        *,
        core: Settings = DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
        tick_seconds: float | None = None,
        **settings: Any,
    ) -> None:
        self.outbox = Outbox() if outbox is None else outbox
        self.node = Node(
            log,
            state_machine,
            self.outbox,
            settings=NodeSettings(core=core, tick_seconds=tick_seconds, **settings),
            host=Host(random.Random(1), clock, lambda: self.free_bytes),
        )
        self.free_bytes = 1 << 40
        self._log = log
        self._state_machine = state_machine

    @property
    def core(self) -> Raft:
        return self.node.core

    @property
    def driver(self) -> Driver:
        return self.node._driver

    def drain(self) -> None:
        """Until nothing is left to do."""
        while True:
            self.turn()
            if not self.node.apply_next():
                return

    def turn(self) -> None:
        """What the node's thread has to do; nothing is applied."""
        while not self.node._inbox.empty():
            self.node.step()

    def deliver(self, *messages: Message) -> None:
        for message in messages:
            self.node.deliver(message)
            self.drain()

    def tick(self) -> None:
        self.node.tick()
        self.drain()

    def propose(self, request_id: str, data: bytes = b"x", *, frees_space: bool = False) -> Future[Any]:
        future = self.node.propose(request_id, data, frees_space=frees_space)
        self.drain()
        return future

    def fetched(self, meta: SnapshotMeta, name: str) -> None:
        """As if a fetch had ended well."""
        attempt = self.driver._fetcher._attempt = Attempt(SnapshotFetch("b", meta), 0)
        self.node._inbox.put(("fetched", (attempt, meta, name)))
        self.drain()

    def elect(self, *voters: NodeId) -> None:
        """Make it the leader, by the votes of these."""
        while self.core.role in (Role.FOLLOWER, Role.PRE_CANDIDATE):
            self.tick()
            for voter in voters:
                if self.core.role is Role.PRE_CANDIDATE:
                    self.deliver(VoteReply(self.core.cluster, voter, self.core.node, self.core.term + 1, True, True))
        for voter in voters:
            if self.core.role is not Role.LEADER:
                self.deliver(VoteReply(self.core.cluster, voter, self.core.node, self.core.term, True))
        assert self.core.role is Role.LEADER

    def close(self) -> None:
        """As if the process had died: nothing more is saved."""
        self._log.close()
        self._state_machine.close()
