"""The driver: gives the core its input, does what its Readys ask, and answers those who propose and read.

    node thread      owns the core and the log: takes messages, proposals, reads and ticks, as many as there are; then
                     one Ready, one transaction of the log, one fsync for all of them
    apply thread     applies what is committed, a batch at a time, and answers the proposals
    sending threads  one for each peer, unless the transport never waits

A proposal is known by its request id and is offered again, with the same id, until it is applied here or its time is
up. The leader sends entries before its own fsync; it counts itself only after it. A failure of the log or of the state
state_machine ends the node: what waits gets NodeEnded, and nothing is answered from a state that may be wrong.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.raft.applier import Applier
from bleepstore.raft.core import Raft
from bleepstore.raft.fetcher import Fetcher
from bleepstore.raft.messages import (
    Accepted,
    EntryKind,
    Forwarded,
    HardState,
    Message,
    NodeId,
    ProposeRefused,
    Ready,
    Refusal,
    Role,
    SnapshotMeta,
    is_text,
)
from bleepstore.raft.node_settings import DEFAULTS, NodeCounters, NodeSettings, Status
from bleepstore.raft.senders import CLOSE_SECONDS, Senders
from bleepstore.raft.snapshot_transfer import SharedCopies
from bleepstore.raft.state import RandomSource, system_random
from bleepstore.raft.state_machine import SnapshotRefused, StateMachine
from bleepstore.raft.storage import LogStorage
from bleepstore.raft.transport import SnapshotStream, SnapshotUnavailable, Transport
from bleepstore.raft.waiting import (
    LowSpace,
    NodeEnded,
    Proposal,
    ProposalRefused,
    Proposals,
    Read,
    RemovedFromCluster,
    TimedOut,
    answer,
    fail_future,
    fail_read,
)

T = TypeVar("T")

#: Events that are taken together, so that a flood cannot keep ticks away.
MAX_TOGETHER = 512
#: How long an end waits for each part of the node.
END_SECONDS = 10.0

_log = logging.getLogger("bleepstore.raft")


class Node:
    """One member of a cluster. Thread-safe. It owns `log` and `state_machine`, and closes them when it ends."""

    def __init__(
        self,
        log: LogStorage,
        state_machine: StateMachine,
        transport: Transport,
        *,
        settings: NodeSettings = DEFAULTS,
        rng: RandomSource | None = None,
        clock: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[], int] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`clock` gives seconds; `free_bytes` what is free on the disk; `on_failure` is told why the node ended by
        itself, in its thread. Raises LogMisuse if there is a gap between the log and the state machine.
        """
        self._log = log
        self._core = Raft(log, system_random() if rng is None else rng, state_machine.applied, settings.core)
        self.id: NodeId = self._core.node
        self.settings = settings
        self.counters = NodeCounters()
        self.failure: BaseException | None = None
        self._transport = transport
        self._clock = clock
        self._free_bytes = free_bytes
        self._on_failure = on_failure
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._proposals = Proposals(settings.max_waiting, settings.max_waiting_bytes)
        self._applier = Applier(state_machine, self._proposals, self._inbox.put, f"raft-{self.id}-apply")
        self._state_machine = state_machine
        self._fetcher = Fetcher(
            self.id,
            state_machine,
            transport,
            self._inbox.put,
            now=self._now,
            patience=settings.answer_ticks,
            first_wait=settings.retry_ticks,
        )
        self._copies = SharedCopies(self._copy)
        self._senders = Senders(transport, f"raft-{self.id}", self._inbox.put)
        self._thread = threading.Thread(target=self._run, name=f"raft-{self.id}", daemon=True)
        self._stopping = False
        self._crashed = False
        self._is_leaving = False
        self._lead_elsewhere_at = 0.0
        self._ended = threading.Event()
        self._end_lock = threading.Lock()
        self._ticks = 0
        self._next_tick = 0.0
        self._saved_hard = log.initial_state().hard_state
        self._unsaved_hard: HardState | None = None  # only its commit index differs from what is saved
        self._asking: list[Read] = []
        self._asked: dict[int, list[Read]] = {}
        self._context = 0
        self._durable_asked = False
        self._beyond_log_in = -1  # the term in which it was last logged

    # --- life ---

    def start(self) -> None:
        """Begin to take part."""
        self._next_tick = self._clock()
        self._applier.start()
        self._transport.register(self.id, self)
        self._thread.start()

    def stop(self, *, hand_over: bool = True) -> None:
        """End orderly. Stopping twice is allowed. A leader hands over first, for which it takes no longer than an
        election would: the others are without a leader for milliseconds, not for a second.
        """
        seconds = self.settings.tick_seconds
        if hand_over and seconds is not None and self._thread.is_alive() and not self._is_own_thread():
            self._inbox.put(("leave", None))
            self._ended.wait(2 * seconds * self.settings.core.election_ticks)
        self._stop()

    def crash(self) -> None:
        """End at once, as if the process had died: nothing more is saved or sent. For tests."""
        self._crashed = True
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._transport.unregister(self.id)
        self._inbox.put(("stop", None))
        if self._thread.ident is None:
            self._end(NodeEnded("it was never started"))
        elif not self._is_own_thread():
            self._thread.join(2 * END_SECONDS)

    def _is_own_thread(self) -> bool:
        """Whether the caller would wait for itself: what a future calls when it is answered runs in these threads."""
        return threading.current_thread() is self._thread or self._applier.is_this_thread

    @property
    def ended(self) -> threading.Event:
        """Set when the node takes part no more, by itself (see `failure`) or not. Its files are closed a moment later:
        `stop` waits for that.
        """
        return self._ended

    @property
    def status(self) -> Status:
        core = self._core
        return Status(core.role, core.leader, core.term, core.log.committed, self._state_machine.applied, self.failure)

    @property
    def low_on_space(self) -> bool:
        """Whether proposals that do not free space are refused because the disk is almost full."""
        return self._core.low_on_space

    @property
    def core(self) -> Raft:
        """The core, to look at. Only the node's thread may change it: see `call`."""
        return self._core

    # --- what others ask ---

    def propose(self, request_id: str, data: bytes, *, frees_space: bool = False) -> Future[Any]:
        """Have `data` applied on all nodes; the future gives the state machine's result here. What `frees_space` is
        taken while the disk is almost full, or nothing would ever free any.

        `request_id` is unique to this command; proposing it again while it waits gives the same future. The future
        fails with ProposalRefused, LowSpace, TimedOut or NodeEnded. Raises Overloaded, LowSpace, NodeEnded, and
        ProposalRefused if `request_id` is empty or no text, or `data` no bytes: nothing was proposed.
        """
        if not request_id or not is_text(request_id):
            raise self._malformed(Refusal.MALFORMED_TEXT)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise self._malformed(Refusal.MALFORMED_DATA)
        if self._core.out_of_space or (self._core.low_on_space and not frees_space):
            raise LowSpace("the disk of this node is almost full: free some space")
        proposal, is_new = self._proposals.add(request_id, bytes(data), frees_space)
        if is_new:
            self._inbox.put(proposal)
        return proposal.future

    def _malformed(self, reason: Refusal) -> ProposalRefused:
        self.counters.proposals_malformed += 1
        return ProposalRefused(reason)

    def read_barrier(self) -> Future[int]:
        """Wait until the state machine here has applied all that was committed anywhere before this call.

        The future gives the index up to which that is; it fails with TimedOut or NodeEnded.
        """
        read = Read()
        self._inbox.put(read)
        if self._ended.is_set():
            fail_read(read, NodeEnded("the node has ended"))
        return read.future

    def call(self, function: Callable[[Raft], T]) -> Future[T]:
        """Call `function` with the core in the node's thread: to change the membership, to hand over, to look."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._inbox.put((function, future))
        if self._ended.is_set():
            fail_future(future, NodeEnded("the node has ended"))
        return future

    def tick(self) -> None:
        """A unit of time has passed; for nodes that do not tick by themselves."""
        self._inbox.put(("tick", None))

    def deliver(self, message: Message) -> None:
        """Take a message from the transport."""
        if self._inbox.qsize() > self.settings.max_inbox:
            self.counters.messages_dropped += 1
            return
        self._inbox.put(message)

    def open_snapshot(self, least_index: int) -> SnapshotStream:
        """A copy of the state machine for another node. Raises SnapshotUnavailable."""
        stream = self._copies.open(least_index)
        if stream.meta.index < least_index:
            stream.close()
            raise SnapshotUnavailable(f"node {self.id} is at {stream.meta.index}, {least_index} was asked for")
        self.counters.snapshots_sent += 1
        return stream

    def _copy(self) -> tuple[SnapshotMeta, Path]:
        path = self._state_machine.incoming()
        try:
            index = self._state_machine.write_snapshot(path)

            def meta_at(core: Raft) -> SnapshotMeta | None:
                core.applied(index)  # it is, though word of it may still be on its way to this thread
                return core.snapshot_meta(index)

            meta = self.call(meta_at).result(timeout=60)
        except (OSError, BleepStoreError, TimeoutError) as error:
            path.unlink(missing_ok=True)
            raise SnapshotUnavailable(f"node {self.id} cannot copy its state: {error!r}") from error
        if meta is None:
            path.unlink(missing_ok=True)
            raise SnapshotUnavailable(f"node {self.id} has gone on from {index}, which it copied")
        return meta, path

    # --- the node's thread ---

    def _run(self) -> None:
        reason: BaseException = NodeEnded("it was stopped")
        try:
            while not self._stopping:
                self._turn(self._wait())
            if not self._crashed:
                self._flush()
        except BaseException as error:  # noqa: BLE001  # whatever it was, the node must not go on
            reason = self.failure = error
            self._tell(error)
        try:
            self._end(reason)
        except Exception as error:  # noqa: BLE001  # what the disk refuses at the end must not hide why it ended
            if self.failure is None:
                self.failure = error
                self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """Before anything is waited for: whoever must act on a failure cannot wait for a disk or network that hangs."""
        self._stopping = True
        _log.error("raft node %s ends: %r", self.id, error)
        if self._on_failure is not None:
            try:
                self._on_failure(error)
            except Exception:  # noqa: BLE001  # the embedder's: it must not keep the files open
                _log.exception("on_failure of raft node %s", self.id)

    def _end(self, reason: BaseException) -> None:
        """Tell all who wait, then release everything; no thread is waited for longer than END_SECONDS."""
        with self._end_lock:
            if self._ended.is_set():
                return
            self._stopping = True
            self._transport.unregister(self.id)
            self._ended.set()
        self._fail_all(reason)
        self._senders.close()
        self._fetcher.stop(CLOSE_SECONDS)
        applier_ended = self._applier.stop(END_SECONDS)
        try:
            self._log.close()
        finally:
            if applier_ended:
                self._state_machine.close()
            else:
                _log.error("raft node %s: the state machine does not end a batch, so it stays open", self.id)

    def _refuse_all(self, error: BaseException) -> None:
        """Nobody who waits will be answered."""
        self._proposals.fail_all(error)
        for read in [*self._asking, *(read for group in self._asked.values() for read in group)]:
            fail_read(read, error)
        self._asking.clear()

    def _fail_all(self, reason: BaseException) -> None:
        ended = NodeEnded(f"the node has ended: {reason}")
        self._proposals.end(reason)
        self._applier.watch.end(ended)
        self._refuse_all(ended)
        while True:
            try:
                event = self._inbox.get_nowait()
            except queue.Empty:
                break
            if isinstance(event, Read):
                fail_read(event, ended)
            elif isinstance(event, tuple) and isinstance(event[1], Future):
                fail_future(event[1], ended)

    def _wait(self) -> Any:
        """The next event, or None when it is time to tick."""
        try:
            if self.settings.tick_seconds is None:
                return self._inbox.get()
            return self._inbox.get(timeout=max(0.0, self._next_tick - self._clock()))
        except queue.Empty:
            return None

    def _turn(self, event: Any) -> None:
        """Take what there is, then do what the core asks for."""
        inbox = self._inbox
        for _ in range(min(inbox.qsize(), MAX_TOGETHER)):
            if event is not None:
                self._take(event)
            event = inbox.get()
        if event is not None:
            self._take(event)
        self._tick_if_due()
        if self._stopping:
            return
        if self._asking:
            self._ask()
        while (ready := self._core.ready()) is not None:
            self._handle(ready)
        if self._core.is_removed:
            self._refuse_all(RemovedFromCluster(f"node {self.id} was removed from the cluster: ask another one"))
        if self._is_leaving and self._core.role is not Role.LEADER and self._core.leader is not None:
            self._stopping = True

    def _leave(self) -> None:
        """Hand over, if this node leads; it ends when another one does, or when `stop` has waited long enough."""
        heir = self._core.heir()
        if heir is None or self._core.transfer_leadership(heir) is not None:
            self._stopping = True
        self._is_leaving = True

    def _take(self, event: Any) -> None:
        if isinstance(event, Proposal):
            event.deadline = self._now() + self.settings.answer_ticks
            self._offer(event)
        elif isinstance(event, Read):
            event.deadline = self._now() + self.settings.answer_ticks
            self._asking.append(event)
        elif isinstance(event, tuple):
            self._take_call(event)
        else:
            self._step(event)

    def _step(self, message: Message) -> None:
        refusal = self._core.step(message)
        if refusal is None:
            if isinstance(message, ProposeRefused):
                self._refuse_for_space(self._proposals.find(message.request_id))
        elif refusal is Refusal.COMMIT_BEYOND_LOG and self._beyond_log_in != message.term:
            self._beyond_log_in = message.term
            _log.error(
                "raft node %s has lost what it acknowledged: leader %s of term %d counts on entries that its log does "
                "not have. Was its disk wiped or restored? Remove this node from the cluster and add one with a new id",
                self.id, message.sender, message.term,
            )  # fmt: skip

    def _take_call(self, event: tuple[Any, Any]) -> None:
        what, value = event
        if what == "applied":
            self._core.applied(value)
        elif what == "tick":
            self._tick()
        elif what == "durable":
            self._durable_asked = False
            self._compact(value)
        elif what == "fetched":
            attempt, meta, name = value
            if not self._fetcher.ends(attempt) or self._core.install_snapshot(attrs.evolve(meta, name=name)):
                self._state_machine.discard(name)
        elif what == "fetch failed":
            attempt, error = value
            self._fetcher.failed(attempt, error)
            self.counters.snapshots_refused += isinstance(error, SnapshotRefused)
        elif what == "failed":
            raise value
        elif what == "leave":
            self._leave()
        elif what != "stop":
            try:
                value.set_result(what(self._core))
            except Exception as error:  # noqa: BLE001  # of the caller's function, for the caller
                fail_future(value, error)

    # --- proposals and reads ---

    def _offer(self, proposal: Proposal) -> None:
        answered = self._core.propose(proposal.request_id, proposal.data, frees_space=proposal.frees_space)
        if isinstance(answered, Accepted):
            proposal.offers += 1
            proposal.resend_at = None
        elif isinstance(answered, Forwarded):
            proposal.offers += 1
            proposal.resend_at = self._now() + self.settings.retry_ticks
        elif answered is Refusal.NO_SPACE:
            proposal.offers += 1
            self._refuse_for_space(proposal)
        elif answered is Refusal.ENTRY_TOO_LARGE:
            self._proposals.fail(proposal, ProposalRefused(answered))
        else:
            proposal.resend_at = self._now() + 1

    def _refuse_for_space(self, proposal: Proposal | None) -> None:
        if proposal is None:
            return
        if proposal.offers > 1:  # what an earlier leader made of it is unknown
            self._proposals.fail(proposal, TimedOut("the disk of the leader is almost full; it still may be applied"))
        else:
            self._proposals.fail(proposal, LowSpace("the disk of the leader is almost full: free some space"))

    def _offer_again(self, *, all_of_them: bool) -> None:
        now = self._now()
        for proposal in self._proposals.all():
            if proposal.deadline == 0:
                continue  # still in the inbox
            if now >= proposal.deadline:
                self._proposals.fail(proposal, TimedOut("the proposal was not applied in time; it still may be"))
            elif all_of_them or (proposal.resend_at is not None and now >= proposal.resend_at):
                self.counters.retries += 1
                self._offer(proposal)

    def _ask(self) -> None:
        """One question to the core for all reads that came together."""
        self._context += 1
        if self._core.read_index(self._context) is None:
            self._asked[self._context] = self._asking
            self._asking = []

    def _expire_reads(self) -> None:
        now = self._now()

        def is_due(read: Read) -> bool:
            return now >= read.deadline

        for group in (self._asking, *self._asked.values()):
            for read in group:
                if is_due(read):
                    fail_read(read, TimedOut("no leader has confirmed the read in time"))
        self._asking = [read for read in self._asking if not is_due(read)]
        self._applier.watch.expire(is_due)

    # --- time ---

    def _now(self) -> float:
        """The time in ticks: a slow disk holds up ticks, and nobody shall wait longer for that."""
        seconds = self.settings.tick_seconds
        return self._ticks if seconds is None else self._clock() / seconds

    def _tick_if_due(self) -> None:
        """At most one tick at a time: after a standstill the messages that waited come first."""
        seconds = self.settings.tick_seconds
        if seconds is None or self._stopping:
            return
        now = self._clock()
        if now >= self._next_tick:
            self._next_tick = max(self._next_tick + seconds, now)
            self._tick()

    def _tick(self) -> None:
        self._ticks += 1
        self._core.tick()
        if len(self._proposals):
            self._offer_again(all_of_them=False)
        self._expire_reads()
        if self._fetcher.tick():
            self._core.snapshot_failed()
        if self._free_bytes is not None:
            free = self._free_bytes()
            self._core.low_on_space = free < self.settings.min_free_bytes
            self._core.out_of_space = free < self.settings.min_bytes_to_free
            if self._core.low_on_space and self._core.role is Role.LEADER:
                self._lead_elsewhere()
        if self._ticks % self.settings.retry_ticks == 0:
            self._flush()
            self._core.state_bytes = self._state_machine.size
        if not self._durable_asked and self._compactable(self._state_machine.applied) > self.settings.compact_after:
            self._durable_asked = True
            self._applier.ask_durable()

    def _lead_elsewhere(self) -> None:
        """A full leader refuses the writes of all: one that has space shall lead. Seldom, or it would go in circles."""
        if self._now() < self._lead_elsewhere_at:
            return
        heir = self._core.heir(with_space=True)
        if heir is not None and self._core.transfer_leadership(heir) is None:
            self._lead_elsewhere_at = self._now() + self.settings.space_ticks
            _log.warning("raft node %s has little space: node %s shall lead", self.id, heir)

    # --- what the core asks for ---

    def _handle(self, ready: Ready) -> None:
        if ready.messages:
            self._senders.send(ready.messages)
        if ready.snapshot is not None:
            self._install(ready, ready.snapshot)
        if ready.committed:
            # Durable here and on a quorum already: only what the log must know of it is left to this Ready's save.
            self._applier.put(ready.committed)
        if ready.snapshot is None and (ready.must_save or self._unsaved_hard is not None):
            self._save(ready)
        if ready.messages_after:
            self._senders.send(ready.messages_after)
        self._core.advance(ready.token)
        for read in ready.reads:
            self._release(self._asked.pop(read.context), read.index)
        for context in ready.lost_reads:
            self._asking += [read for read in self._asked.pop(context, ()) if not read.future.done()]
        if ready.soft_state is not None and ready.soft_state.leader is not None:
            # What the last leader had may be lost, and nobody will say so.
            self._offer_again(all_of_them=True)
        if ready.fetch is not None:
            space = math.inf if self._free_bytes is None else self._free_bytes() - self.settings.min_bytes_to_free
            self._fetcher.start(ready.fetch, space)

    def _release(self, reads: list[Read], index: int) -> None:
        if index <= self._state_machine.applied:
            answer(reads, index)
        else:
            self._applier.watch.add(index, reads)

    def _save(self, ready: Ready) -> None:
        """One transaction. A commit index alone waits for the next one: after a crash it is learnt again.

        Unless a change of the membership was committed: the log must know that before the next one comes.
        """
        hard = ready.hard_state or self._unsaved_hard
        if (
            hard is not None
            and not ready.entries
            and ready.truncate_from is None
            and (hard.term, hard.vote) == (self._saved_hard.term, self._saved_hard.vote)
            and not any(entry.kind is EntryKind.CONFIGURATION for entry in ready.committed)
        ):
            self._unsaved_hard = hard
            return
        self._write(hard, ready.truncate_from, ready)

    def _write(self, hard: HardState | None, truncate_from: int | None, ready: Ready) -> None:
        self._log.save(hard, truncate_from, ready.entries, ready.snapshot)
        self.counters.saves += 1
        self.counters.entries_saved += len(ready.entries)
        self._unsaved_hard = None
        if hard is not None:
            self._saved_hard = hard

    def _flush(self) -> None:
        """Save a commit index that waits."""
        if self._unsaved_hard is not None:
            self._log.save(self._unsaved_hard, None, (), None)
            self.counters.saves += 1
            self._saved_hard, self._unsaved_hard = self._unsaved_hard, None

    # --- snapshots ---

    def _install(self, ready: Ready, snapshot: SnapshotMeta) -> None:
        hard = ready.hard_state or self._unsaved_hard
        self._applier.replace(lambda: self._write(hard, ready.truncate_from, ready), snapshot.name)

    def _compactable(self, durable: int) -> int:
        """How many entries could be dropped."""
        limit = min(durable, self._core.compaction_limit()) - self.settings.keep_entries
        return limit + 1 - self._core.log.first

    def _compact(self, durable: int) -> None:
        count = self._compactable(durable)
        meta = self._core.snapshot_meta(self._core.log.first - 1 + count) if count > 0 else None
        if meta is None:
            return
        self._flush()
        self._log.compact(attrs.evolve(meta, name=self._state_machine.name))
        self._core.compacted(meta)
        self.counters.compactions += 1
