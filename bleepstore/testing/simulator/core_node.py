"""A simulated node whose driver is the loop that `Ready` describes: it takes Readys while earlier writes are under way,
which the real driver never does, and a crash may find several of them.
"""

from __future__ import annotations

from collections import deque

from bleepstore.raft.messages import (
    AppendReply,
    Entry,
    HardState,
    Message,
    NodeId,
    ReadReady,
    Ready,
    Refusal,
    SnapshotFetch,
    SnapshotMeta,
)
from bleepstore.testing.simulator.checks import Violation
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.node import SimulatedNode, Surroundings, meets
from bleepstore.testing.simulator.state_machines import SimulatedStateMachine


class CoreNode(SimulatedNode):
    """A core, a disk that takes its time, a state machine, and the loop between them."""

    __slots__ = (
        "_apply_queue",
        "_backlog",
        "_disk_queue",
        "_fetched",
        "_lazy_hard",
        "_next_context",
        "_reads",
        "proposed",
    )  # fmt: skip

    def __init__(
        self, world: Surroundings, node: NodeId, log: SimulatedLog, state_machine: SimulatedStateMachine, tick: int
    ) -> None:
        super().__init__(world, node, log, state_machine, tick)
        self.proposed: set[str] = set()
        self._next_context = 0

    # --- life ---

    def start(self) -> None:
        self.life += 1
        self._disk_queue: deque[Ready] = deque()
        self._apply_queue: deque[Entry] = deque()
        self._backlog: list[Message] = []
        self._fetched: SimulatedStateMachine | None = None
        self._lazy_hard: HardState | None = None
        self._reads: dict[int, int] = {}  # context -> what was committed when it was asked
        world = self.world
        world.ledger.check_start(self)
        self.core = world.core_factory(self.log, world.rng, self.state_machine.applied, world.plan.settings)
        self.core.low_on_space = self.full
        world.after(world.rng.randrange(self.tick), self.on_tick, self.life)
        self.drain()

    def crash(self) -> None:
        """Lose what is not durable. Of the saves under way the first may have reached the disk, and the next in part:
        what becomes of that is the log's affair (see `disk`; the real one is in test_crash_images.py).
        """
        if self.core is None:
            return
        self.world.note("%s crashes", self.id)
        under_way = list(self._disk_queue)
        self.end()
        landed = self.world.rng.randrange(len(under_way) + 1)
        if 0 < landed < len(under_way):
            self.world.happened["partly_written"] += 1
        for ready in under_way[:landed]:
            self._save(ready)
        if landed < len(under_way):
            self._save(under_way[landed], torn=True)
        self.lose_tail()

    def lose_tail(self) -> None:
        self._fetched = None
        super().lose_tail()

    def wipe(self) -> None:
        super().wipe()
        self._fetched = None

    def set_full(self, full: bool) -> None:
        super().set_full(full)
        if self.core is not None:
            self.core.low_on_space = full

    # --- events ---

    def on_tick(self, life: int) -> None:
        core = self.core
        if life != self.life or core is None:
            return
        world = self.world
        world.push(world.now + self.tick, self.on_tick, life)
        if self.paused_until <= world.now:
            core.tick()
            self.drain()

    def on_message(self, m: Message) -> None:
        core = self.core
        if core is None:
            return
        if self.paused_until > self.world.now:
            self._backlog.append(m)
            return
        core.step(m)
        if type(m) is AppendReply:
            self.world.ledger.check_match(self, m.sender)
        self.drain()

    def resume(self) -> None:
        backlog, self._backlog = self._backlog, []
        for m in backlog:
            self.on_message(m)

    def propose(self, request_id: str, data: bytes) -> None:
        if self.core is None or self.paused_until > self.world.now:
            return
        if self.full:
            self.world.happened["disk_full"] += 1
        else:
            if not isinstance(self.core.propose(request_id, data), Refusal):
                self.proposed.add(request_id)
            self.drain()

    def waits_for(self, request_id: str) -> bool:
        return request_id in self.proposed

    def read(self) -> None:
        if self.core is None or self.paused_until > self.world.now:
            return
        self._next_context += 1
        asked_at = len(self.world.ledger.committed) - 1
        if self.core.read_index(self._next_context) is None:
            self._reads[self._next_context] = asked_at
        self.drain()

    def compact(self, *, hasty: bool) -> None:
        core, meta = self.core, self._compactable(hasty=hasty)
        if core is None or meta is None:
            return
        if meta.index > self.log.snapshot().index and self.meet_fault(lambda one: one == "torn_compaction"):
            self.end()
            self.log.tear_compaction(self.world.rng, meta)
            self.lose_tail()
            self.world.restart_later(self)
        else:
            self.log.compact(meta)
            core.compacted(meta)

    def _compactable(self, *, hasty: bool) -> SnapshotMeta | None:
        """Up to where the log can be compacted."""
        core = self.core
        if core is None or self._disk_queue:
            return None
        durable = self.state_machine.durable if self.world.rng.random() < 0.3 else self.state_machine.make_durable()
        meta = core.snapshot_meta(durable if hasty else min(core.compaction_limit(), durable))
        if meta is not None:
            self.world.ledger.check_meta(self, meta)
        return meta

    # --- the driver's loop ---

    def drain(self) -> None:
        """Handle all Readys there are, unless too many writes are under way: then more gathers for the next one."""
        core = self.core
        assert core is not None
        world = self.world
        ledger = world.ledger
        queue, most = self._disk_queue, world.plan.writes
        while len(queue) < most and (ready := core.ready()) is not None:
            ledger.check_ready(self, ready)
            for m in ready.messages:
                world.send(self, m)
            if queue or (ready.must_save and world.disk_is_slow):
                queue.append(ready)
                if len(queue) == 1:
                    world.after(world.disk_delay(), self.on_disk, self.life)
            elif self._write(ready):
                self._finish(ready)
            else:
                return
            if ready.committed:
                self._take_committed(ready.committed)
            for read in ready.reads:
                self._answer_read(read)
            for context in ready.lost_reads:
                self._reads.pop(context, None)
            if ready.fetch is not None:
                world.after(world.fetch_delay(), self.on_fetch, (self.life, ready.fetch))

    def _write(self, ready: Ready) -> bool:
        """Make it durable; False: the disk failed, and with it the node."""
        if not ready.must_save:
            return True
        if self.full and ready.entries and self.world.rng.random() < 0.02:
            self.break_disk("disk_error")
        fault = self.meet_fault(lambda one: meets(one, ready.entries, ready.snapshot)) if self.disk_faults else ""
        if fault:
            self._fail(ready, fault)
            return False
        self._save(ready)
        return True

    def _fail(self, ready: Ready, fault: str) -> None:
        """The write raises, and perhaps it was done nevertheless; or it is torn. Those after it are lost. The node
        ends: a write is never tried again.
        """
        world = self.world
        self.end()
        if fault != "disk_error" or world.rng.random() < 0.5:
            self._save(ready, torn=fault != "disk_error")
        self.lose_tail()
        world.restart_later(self)

    def _save(self, ready: Ready, *, torn: bool = False) -> None:
        if not ready.must_save:
            return
        hard = ready.hard_state or self._lazy_hard
        if self.world.plan.lazy_commit and self._is_commit_alone(ready):
            self._lazy_hard = hard
            return
        if torn:
            self.log.tear_save(self.world.rng, hard, ready.truncate_from, ready.entries, ready.snapshot)
        else:
            self.log.save(hard, ready.truncate_from, ready.entries, ready.snapshot)
        self._lazy_hard = None
        if ready.snapshot is not None and ready.snapshot is self.log.snapshot():  # the state is the one it points to
            if self._fetched is None or self._fetched.applied != ready.snapshot.index:
                raise Violation(f"{self.id} installs a snapshot that it does not have")
            # The old state may have gone on meanwhile only if the log did.
            self.state_machine.close()
            self.state_machine = self._fetched
            self._fetched = None
            self._apply_queue.clear()
            self.world.ledger.check_applied(self)

    def _is_commit_alone(self, ready: Ready) -> bool:
        if ready.entries or ready.truncate_from is not None or ready.snapshot is not None or ready.hard_state is None:
            return False
        hard = self.log.initial_state().hard_state
        return (ready.hard_state.term, ready.hard_state.vote) == (hard.term, hard.vote)

    def _finish(self, ready: Ready) -> None:
        core = self.core
        assert core is not None
        for m in ready.messages_after:
            self.world.send(self, m)
        core.advance(ready.token)

    def on_disk(self, life: int) -> None:
        if life != self.life or self.core is None:
            return
        ready = self._disk_queue.popleft()
        if not self._write(ready):
            return
        self._finish(ready)
        if self._disk_queue:
            self.world.after(self.world.disk_delay(), self.on_disk, self.life)
        self.drain()

    # --- applying ---

    def _take_committed(self, entries: tuple[Entry, ...]) -> None:
        if not (self.world.apply_is_slow or self._apply_queue):
            self._apply(entries)
            return
        if not self._apply_queue:
            self.world.after(self.world.apply_delay(), self.on_apply, self.life)
        self._apply_queue.extend(entries)

    def on_apply(self, life: int) -> None:
        if life != self.life or self.core is None or not self._apply_queue:
            return
        entries = tuple(self._apply_queue)
        self._apply_queue.clear()
        self._apply(entries)
        self.drain()

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        core = self.core
        assert core is not None
        state_machine = self.state_machine
        if entries[0].index != state_machine.applied + 1:
            raise Violation(f"{self.id} is to apply {entries[0].index} after {state_machine.applied}")
        state_machine.apply(entries)
        ledger = self.world.ledger
        ledger.check_applied(self)
        proposed = self.proposed
        if proposed:
            for entry in entries:
                if entry.request_id in proposed:
                    proposed.discard(entry.request_id)
                    ledger.acknowledge(entry.request_id, entry.index)
        core.applied(state_machine.applied)

    def _answer_read(self, read: ReadReady) -> None:
        self.world.ledger.check_read(self, self._reads.pop(read.context), read.index)

    # --- snapshots ---

    def on_fetch(self, task: tuple[int, SnapshotFetch]) -> None:
        """The source makes its copy; the copy takes a while, and may be overtaken by the entries it stands for."""
        life, fetch = task
        core = self.core
        if life != self.life or core is None:
            return
        source = self.world.nodes.get(fetch.source)
        meta = None
        if source is not None and source.core is not None and not self.world.is_cut(source.id, self.id):
            meta = source.core.snapshot_meta(source.state_machine.applied)
        if source is None or meta is None or meta.index < fetch.meta.index:
            core.snapshot_failed()
            return
        self.world.ledger.check_meta(source, meta)
        self.world.after(self.world.fetch_delay(), self.on_fetched, (life, meta, source.state_machine.copy()))

    def on_fetched(self, task: tuple[int, SnapshotMeta, SimulatedStateMachine]) -> None:
        life, meta, copy = task
        core = self.core
        if life != self.life or core is None:
            copy.close()
            return
        if self._fetched is not None:
            copy.close()
            core.snapshot_failed()
            return
        if core.install_snapshot(meta) is None:
            self._fetched = copy
        else:
            copy.close()
        self.drain()
