"""A simulated node that is the real `Node`: its driver, its applier and its fetcher, stepped without threads on the
clock of the simulator. Its log writes to a disk that fails, and its states are in a folder that keeps after a crash
what was made durable. A save that takes its time holds up the node, as it does its thread in production.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.raft.core import Raft
from bleepstore.raft.messages import AppendReply, Entry, EntryKind, HardState, Message, NodeId, Ready, SnapshotMeta
from bleepstore.raft.node import Node
from bleepstore.raft.node_settings import Host, NodeSettings
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.storage import LogStorage
from bleepstore.raft.transport import Endpoint, SnapshotStream, SnapshotUnavailable
from bleepstore.raft.waiting import LowSpace, ProposalRefused, TimedOut
from bleepstore.testing.simulator.checks import Violation
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.node import SimulatedNode, Surroundings, meets
from bleepstore.testing.simulator.state_machines import SimulatedStateMachine

#: What is free on a disk that is almost full, and on one that is not.
LITTLE, MUCH = 32 << 20, 1 << 40

#: Whoever waits so many ticks for an answer must get one when all is well.
PATIENT = 400
#: ... unless the leader takes less than this at a time: what has waited for one comes at once, and some too late.
MUCH_UNCOMMITTED = 1 << 20


class DiskFailed(Exception):
    """The log raised, or the power is gone: this life of the node is over."""


class WatchedCore(Raft):
    """Shows the checks each Ready before the driver has it."""

    __slots__ = ("watch",)

    watch: Callable[[Ready], None]

    def ready(self) -> Ready | None:
        found = super().ready()
        if found is not None:
            self.watch(found)
        return found


class FailingLog:
    """A log on a disk with the faults of its node. A write may raise, done or not, or be torn; then nothing of this
    life may write again.
    """

    def __init__(self, node: RealNode, log: SimulatedLog) -> None:
        self._node = node
        self._log = log
        self._has_failed = False
        # What only reads goes straight to the log.
        self.initial_state = log.initial_state
        self.entries = log.entries
        self.term = log.term
        self.first_index = log.first_index
        self.last_index = log.last_index
        self.snapshot = log.snapshot
        self.size = log.size

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        node, rng = self._node, self._node.world.rng
        fault = self._begin(lambda one: meets(one, entries, snapshot), may_fill=bool(entries))
        if fault and fault != "disk_error":
            self._log.tear_save(rng, hard_state, truncate_from, entries, snapshot)
        elif not fault or rng.random() < 0.5:
            self._log.save(hard_state, truncate_from, entries, snapshot)
        self._finish(fault)
        node.was_held_up()

    def compact(self, snapshot: SnapshotMeta) -> None:
        self._node.world.ledger.check_meta(self._node, attrs.evolve(snapshot, name=""))
        fault = self._begin(lambda one: one in ("disk_error", "torn_compaction"), may_fill=False)
        if fault:
            self._log.tear_compaction(self._node.world.rng, snapshot)
        else:
            self._log.compact(snapshot)
        self._finish(fault)

    def _begin(self, is_met: Callable[[str], bool], *, may_fill: bool) -> str:
        """The fault that this write meets, or ""."""
        node = self._node
        if self._has_failed:
            raise Violation(f"{node.id} writes to its log after a write that failed")
        if node.full and may_fill and node.world.rng.random() < 0.02:
            node.break_disk("disk_error")
        return node.meet_fault(is_met) if node.disk_faults else ""

    def _finish(self, fault: str) -> None:
        if not fault:
            return
        self._has_failed = True
        raise DiskFailed(fault)

    def close(self) -> None:
        """Nothing is open."""


class StoredStates:
    """The state machine as the driver sees it: `RealNode.states` holds what is on the disk, by name."""

    size = 1000

    def __init__(self, node: RealNode, name: str) -> None:
        self._node = node
        self.name = name

    @property
    def applied(self) -> int:
        return self._node.state_machine.applied

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        # A request is one command, so its bytes name it.
        entries = [Entry(index, 0, EntryKind.COMMAND, data, data.hex()) for index, data in batch]
        if not entries or entries[-1].index < through:
            entries.append(Entry(through, 0, EntryKind.NOOP))
        self._node.state_machine.apply(entries)
        self._node.world.ledger.check_applied(self._node)
        return [index for index, _ in batch]

    def fingerprint(self, result: object) -> bytes:
        """Of the index alone: the ledger compares the states themselves."""
        return b"%d" % result if isinstance(result, int) else b""

    def raise_level(self, level: int, through: int) -> None:
        self.apply([], through)

    def condemn(self, reason: str) -> None:
        raise Violation(reason)

    def make_durable(self) -> int:
        return self._node.state_machine.make_durable()

    def incoming(self) -> Path:
        return self._node.world.new_file()

    def write_snapshot(self, path: Path) -> int:
        """The copy itself stays in memory; what travels is a file that stands for it."""
        world, copy = self._node.world, self._node.state_machine.copy()
        token = b"%d copy %d" % (copy.applied, len(world.copies))
        world.copies[token] = copy
        path.write_bytes(token)
        return copy.applied

    def prepare(self, path: Path, index: int) -> str:
        copy = self._node.world.copies.get(path.read_bytes())
        if copy is None or copy.applied != index:
            raise SnapshotRefused(f"this is no state of index {index}")
        path.unlink()
        name = f"-{index}-{self._node.life}-{len(self._node.states)}"
        self._node.states[name] = copy.copy()
        return name

    def install(self, name: str) -> None:
        node = self._node
        node.states.pop(self.name).close()
        self.name = name
        node.state_machine = node.states[name]
        node.world.ledger.check_applied(node)

    def discard(self, name: str) -> None:
        self._node.states.pop(name).close()

    def close(self) -> None:
        """What is on the disk stays there."""


class RealSurroundings(Surroundings, Protocol):
    """What a real node needs of the world besides."""

    copies: dict[bytes, SimulatedStateMachine]
    node_settings: NodeSettings

    def new_file(self) -> Path: ...

    def clock(self) -> float: ...


class Links:
    """The network of the world, as the transport of one node."""

    is_direct = True

    def __init__(self, node: RealNode) -> None:
        self._node = node

    def register(self, node: NodeId, endpoint: Endpoint) -> None:
        """The world knows its nodes."""

    def unregister(self, node: NodeId) -> None:
        """Nobody delivers to a node that is down."""

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        for message in messages:
            self._node.world.send(self._node, message)

    def fetch_snapshot(self, source: NodeId, asker: NodeId, least_index: int) -> SnapshotStream:
        world = self._node.world
        found = world.nodes.get(source)
        if not isinstance(found, RealNode) or found.core is None or world.is_cut(source, asker):
            raise SnapshotUnavailable(f"{source} cannot be reached")
        return found.open_snapshot(least_index)


class RealNode(SimulatedNode):
    """The node of production between a simulated disk, network and clock."""

    __slots__ = ("_answers", "_is_applying", "_owed", "_waiting", "node", "states")
    world: RealSurroundings

    def __init__(
        self, world: RealSurroundings, node: NodeId, log: SimulatedLog, state_machine: SimulatedStateMachine, tick: int
    ) -> None:
        super().__init__(world, node, log, state_machine, tick)
        #: What the disk holds, by name: the present state and those that were prepared.
        self.states: dict[str, SimulatedStateMachine] = {"": state_machine}
        self.node: Node | None = None

    # --- life ---

    def start(self) -> None:
        self.life += 1
        world = self.world
        self.log.restart(world.rng)
        name = self.log.snapshot().name
        if name not in self.states:
            raise Violation(f"{self.id} starts without the state {name!r}, after which its log begins")
        self.state_machine = self.states[name]
        world.ledger.check_start(self)
        self._answers: list[Callable[[], None]] = []
        self._owed: list[Future[Any]] = []
        self._waiting: set[str] = set()
        self._is_applying = False
        core: list[WatchedCore] = []

        def make_core(*arguments: Any) -> Raft:
            core.append(WatchedCore(*arguments))
            core[0].watch = lambda ready: world.ledger.check_ready(self, ready)
            return core[0]

        log: LogStorage = FailingLog(self, self.log)
        host = Host(world.rng, world.clock, self._free_bytes, make_core, self._spawn)
        settings = attrs.evolve(world.node_settings, tick_seconds=float(self.tick))
        self.node = Node(log, StoredStates(self, name), Links(self), settings=settings, host=host)
        self.core = core[0]
        for other in [one for one in self.states if one != name]:
            self.states.pop(other).close()
        self.node.start_stepped()
        world.after(world.rng.randrange(self.tick), self.on_tick, self.life)
        self.drain()

    def crash(self) -> None:
        if self.core is None:
            return
        self.world.note("%s crashes", self.id)
        self.end()
        self.lose_tail()

    def crash_for_a_while(self) -> None:
        """Or an orderly stop, which hands over first."""
        if self.node is None or self.core is None or self.world.rng.random() < 0.7:
            super().crash_for_a_while()
            return
        self.world.note("%s is being stopped", self.id)
        self.node.leave()
        self.world.after(2 * self.tick * self.world.plan.settings.election_ticks, self._stop_waiting, self.life)
        self.resume()

    def _stop_waiting(self, life: int) -> None:
        if life == self.life and self.core is not None:
            super().crash_for_a_while()

    def end(self) -> None:
        super().end()
        self.node = None

    def _free_bytes(self) -> int:
        return LITTLE if self.full else MUCH

    def was_held_up(self) -> None:
        """The disk has taken its time for a write: what comes after it is so much later."""
        world = self.world
        if world.disk_is_slow:
            self.pause(max(self.paused_until, world.now) + world.disk_delay())

    # --- events ---

    def on_tick(self, life: int) -> None:
        if life == self.life and self.core is not None:
            self.world.push(self.world.now + self.tick, self.on_tick, life)
            self.resume()

    def on_message(self, m: Message) -> None:
        node = self.node
        if node is None:
            return
        node.deliver(m)
        self.resume()
        if type(m) is AppendReply and self.node is node:
            self.world.ledger.check_match(self, m.sender)

    def resume(self) -> None:
        if self.paused_until <= self.world.now:
            self.drain()

    def drain(self) -> None:
        """All that waits, in the node's thread and in the one that applies."""
        node = self.node
        assert node is not None
        try:
            goes_on = node.step()
            while goes_on and not self.world.apply_is_slow and node.apply_next():
                goes_on = node.step()
        except DiskFailed:
            goes_on = False
        self._take_answers()
        if not goes_on:
            self.end()
            self.lose_tail()
            self.world.restart_later(self)
        elif self.world.apply_is_slow and not self._is_applying:
            self._is_applying = True
            self.world.after(self.world.apply_delay(), self._on_apply, self.life)

    def _on_apply(self, life: int) -> None:
        if life != self.life or self.node is None:
            return
        self._is_applying = False
        if self.node.apply_next():
            while self.node.apply_next():  # all of it before the node's thread hears of any
                pass
            self.resume()

    # --- clients ---

    def propose(self, request_id: str, data: bytes) -> None:
        if self.node is None or self.paused_until > self.world.now:
            return
        ledger = self.world.ledger
        try:
            future = self.node.propose(request_id, data)
        except LowSpace:
            self.world.happened["disk_full"] += 1
            ledger.refuse(request_id)
        except BleepStoreError:
            return
        else:
            self._waiting.add(request_id)
            future.add_done_callback(lambda _: self._waiting.discard(request_id))
            self._call_back(
                future,
                lambda index, _: ledger.acknowledge(request_id, index),
                lambda error: ledger.refuse(request_id) if isinstance(error, LowSpace | ProposalRefused) else None,
            )
            self.drain()

    def waits_for(self, request_id: str) -> bool:
        return request_id in self._waiting

    def read(self) -> None:
        if self.node is None or self.paused_until > self.world.now:
            return
        ledger = self.world.ledger
        asked_at = len(ledger.committed) - 1
        future = self.node.read_barrier()
        self._call_back(future, lambda index, applied: ledger.check_read(self, asked_at, min(index, applied)))
        self.drain()

    def _call_back(
        self,
        future: Future[Any],
        answered: Callable[[int, int], None],
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Note the answer, and what is applied at that moment, or the error. It is looked at when the step is done,
        since a future swallows what is raised by those it tells.
        """

        def done(future: Future[Any]) -> None:
            error = future.exception()
            if error is None:
                self._answers.append(functools.partial(answered, future.result(), self.state_machine.applied))
            else:
                self._answers.append(functools.partial(failed, error))

        future.add_done_callback(done)
        if self.world.calm:
            self._owed.append(future)

    @property
    def owes_answers(self) -> bool:
        """All must come, and be in time where an answer may take longer than any election."""
        if self.world.node_settings.answer_ticks < PATIENT:
            return False
        late = TimedOut if self.world.node_settings.core.max_uncommitted_bytes >= MUCH_UNCOMMITTED else ()
        return any(not one.done() or isinstance(one.exception(), late) for one in self._owed)

    def _take_answers(self) -> None:
        answers, self._answers = self._answers, []
        for tell in answers:
            tell()

    # --- the log and the states ---

    def compact(self, *, hasty: bool) -> None:
        """The driver sees to that."""

    def open_snapshot(self, least_index: int) -> SnapshotStream:
        """What waits is done first, so that what is raised is not taken for a failure of the copy."""
        assert self.node is not None
        node = self.node
        if self.paused_until > self.world.now:
            raise SnapshotUnavailable(f"{self.id} stands still")
        self.drain()
        if self.node is not node:
            raise SnapshotUnavailable(f"{self.id} has ended")
        return node.open_snapshot(least_index)

    def _spawn(self, work: Callable[[], None], name: str) -> None:
        self.world.after(self.world.fetch_delay(), self._on_fetch, (self.life, work))

    def _on_fetch(self, task: tuple[int, Callable[[], None]]) -> None:
        life, work = task
        if life == self.life and self.core is not None:
            work()
            self.resume()
