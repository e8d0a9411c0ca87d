"""What a node's thread does: it owns the core and the log, and has no thread of its own.

Events go in: messages, proposals, reads, calls, and what the other threads have done. A turn takes all there are, then
does what the core's Readys ask for, in the order that `Ready` demands: one transaction of the log for each.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.raft.applier import Applier
from bleepstore.raft.comparison import StateDiffers
from bleepstore.raft.fetcher import Fetcher
from bleepstore.raft.log_meter import LogMeter
from bleepstore.raft.messages import (
    Accepted,
    EntryKind,
    HardState,
    Message,
    ProposeRefused,
    Ready,
    Refusal,
    Role,
    SnapshotMeta,
)
from bleepstore.raft.node_settings import Host, NodeCounters, NodeSettings
from bleepstore.raft.senders import Senders
from bleepstore.raft.state import system_random
from bleepstore.raft.state_machine import SnapshotRefused, StateMachine
from bleepstore.raft.storage import LogStorage, LogTooNew
from bleepstore.raft.transport import Transport
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

_log = logging.getLogger("bleepstore.raft")

#: A node that leaves waits so many election timeouts for another one to lead: longer than `Node.stop` does.
LEAVING_TIMEOUTS = 3

#: Somebody has forgotten what it promised, and no repetition mends that: said once a term, with (node, sender, term).
_REPORTS = {
    Refusal.COMMIT_BEYOND_LOG: (
        "raft node %s has lost what it acknowledged: leader %s of term %d counts on entries that its log does not "
        "have. Was its disk wiped or restored? Remove this node from the cluster and add one with a new id"
    ),
    Refusal.CONTRADICTS_COMMITTED: (
        "raft node %s has other committed entries than leader %s of term %d. Was the disk of one of them, or of a "
        "majority, wiped or restored? Keep the directories of all nodes, and compare them before anything else"
    ),
    Refusal.TWO_LEADERS: (
        "raft node %s hears of %s as a second leader of term %d. Was a disk wiped or restored, or are there two copies "
        "of a node? Keep the directories of all nodes, and compare them before anything else"
    ),
}


class Driver:
    """For one thread, but for `stopping`. `post` puts an event into the inbox of the node, from any thread."""

    def __init__(
        self,
        log: LogStorage,
        state_machine: StateMachine,
        transport: Transport,
        post: Callable[[Any], None],
        settings: NodeSettings,
        host: Host,
    ) -> None:
        """Raises LogMisuse if there is a gap between the log and the state machine, LogTooNew if the cluster uses a
        feature level that this program does not know.
        """
        rng = system_random() if host.rng is None else host.rng
        self.core = host.make_core(log, rng, state_machine.applied, settings.core)
        self.id = self.core.node
        self.settings = settings
        self.counters = NodeCounters()
        self.proposals = Proposals(settings.max_waiting, settings.max_waiting_bytes)
        self._check_level(self.core.configuration.level)
        self.applier = Applier(
            state_machine,
            self.proposals,
            post,
            f"raft-{self.id}-apply",
            level=self.core.configuration.level,
            known_level=settings.core.level,
        )
        self.stopping = False  # nothing more is saved or sent
        self._log = log
        self._state_machine = state_machine
        self._host = host
        self._fetcher = Fetcher(
            self.id,
            state_machine,
            transport,
            post,
            now=self._now,
            patience=settings.answer_ticks,
            first_wait=settings.retry_ticks,
            spawn=host.spawn,
        )
        self._senders = Senders(transport, f"raft-{self.id}", post, self.counters)
        self._lead_elsewhere_at = 0.0
        self._ticks = 0
        self._leaves_at: int | None = None  # the tick at which it ends, also if nobody takes over
        self._next_tick = 0.0
        self._meter = LogMeter(log.first_index(), log.last_index(), log.size())
        self._saved_hard = log.initial_state().hard_state
        self._unsaved_hard: HardState | None = None  # only its commit index differs from what is saved
        self._asking: list[Read] = []
        self._asked: dict[int, list[Read]] = {}
        self._context = 0
        self._durable_asked = False
        self._reported: dict[Refusal, int] = {}  # -> the term in which it was last logged

    @property
    def log_bytes(self) -> int:
        """How many bytes the log has, roughly."""
        return self._meter.size

    # --- turns ---

    def begin(self) -> None:
        """Time begins."""
        self._next_tick = self._host.clock()

    def seconds_to_tick(self) -> float | None:
        """How long until the next tick is due; None: the node is ticked."""
        if self.settings.tick_seconds is None:
            return None
        return max(0.0, self._next_tick - self._host.clock())

    def turn(self, events: Sequence[Any]) -> None:
        """Take the events, then do what the core asks for. Whatever it raises ends the node."""
        for event in events:
            self._take(event)
        self._tick_if_due()
        if self.stopping:
            return
        if self._asking:
            self._ask()
        while (ready := self.core.ready()) is not None:
            self._handle(ready)
        self._check_level(self.core.configuration.level)
        self._check_state()
        if self.core.is_removed:
            self._refuse_all(RemovedFromCluster(f"node {self.id} was removed from the cluster: ask another one"))
        if self.core.is_leaving and self.core.role is not Role.LEADER and self.core.leader is not None:
            self.stopping = True

    def _check_level(self, level: int) -> None:
        known = self.settings.core.level
        if level > known:
            raise LogTooNew(f"the cluster is at feature level {level}, this version knows {known}: upgrade this node")

    def _check_state(self) -> None:
        index = self.core.comparison.differs_at
        if index:
            reason = (
                f"the state of node {self.id} at index {index} is not that of the majority. Remove the node from the "
                "cluster, and add one with an empty directory"
            )
            self._state_machine.condemn(reason)
            raise StateDiffers(reason)

    def end(self, reason: BaseException, unread: Sequence[Any], seconds: float) -> None:
        """Tell all who wait, and release what is held: `unread` are the events that were not taken. Whoever uses it
        must not close the state machine unless `applier.stop` says that it has ended.
        """
        ended = NodeEnded(f"the node has ended: {reason}")
        self.proposals.end(reason)
        self.applier.watch.end(ended)
        self._refuse_all(ended)
        for event in unread:
            if isinstance(event, Read):
                fail_read(event, ended)
            elif isinstance(event, tuple) and isinstance(event[1], Future):
                fail_future(event[1], ended)
        self._senders.close()
        self._fetcher.stop(seconds)

    def _refuse_all(self, error: BaseException) -> None:
        """Nobody who waits will be answered."""
        self.proposals.fail_all(error)
        for read in [*self._asking, *(read for group in self._asked.values() for read in group)]:
            fail_read(read, error)
        self._asking.clear()

    def _leave(self) -> None:
        """Hand over, if this node leads; it ends when another one does, or in LEAVING_TIMEOUTS."""
        self.core.is_leaving = True
        if self._leaves_at is None:
            self._leaves_at = self._ticks + LEAVING_TIMEOUTS * self.core.settings.election_ticks
        heir = self.core.heir()
        if heir is None or self.core.transfer_leadership(heir) is not None:
            self.stopping = True

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
        refusal = self.core.step(message)
        if refusal is None:
            if isinstance(message, ProposeRefused):
                self._hear_refusal(message)
        elif refusal in _REPORTS and self._reported.get(refusal) != message.term:
            self._reported[refusal] = message.term
            _log.error(_REPORTS[refusal], self.id, message.sender, message.term)

    def _take_call(self, event: tuple[Any, Any]) -> None:
        what, value = event
        if what == "applied":
            self.core.applied(value)
        elif what == "compared":
            self.core.comparison.note(*value)
        elif what == "tick":
            self._tick()
        elif what == "durable":
            self._durable_asked = False
            self._compact(value)
        elif what == "fetched":
            attempt, meta, name = value
            if not self._fetcher.ends(attempt) or self.core.install_snapshot(attrs.evolve(meta, name=name)):
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
                value.set_result(what(self.core))
            except Exception as error:  # noqa: BLE001  # of the caller's function, for the caller
                fail_future(value, error)

    # --- proposals and reads ---

    def _offer(self, proposal: Proposal) -> None:
        answered = self.core.propose(proposal.request_id, proposal.data, frees_space=proposal.frees_space)
        if isinstance(answered, Refusal):
            self._put_off(proposal, answered, proposal.offers)
            return
        proposal.offers += 1
        # Also what this node has appended: if that was before, with the same id, it may be applied already.
        proposal.resend_at = self._now() + self.settings.retry_ticks
        proposal.offer = 0 if isinstance(answered, Accepted) else answered.offer

    def _hear_refusal(self, message: ProposeRefused) -> None:
        """The leader has not taken what was passed on to it."""
        proposal = self.proposals.find(message.request_id)
        if proposal is not None and proposal.offer == message.offer:  # else another offer is under way, or none
            proposal.offer = 0
            self._put_off(proposal, message.reason, proposal.offers - 1)

    def _put_off(self, proposal: Proposal, reason: Refusal, offers_before: int) -> None:
        """It was not taken. It comes again, later from time to time, since each time may cost a message of its size;
        or if that is of no use, whoever waits is told.
        """
        if reason not in (Refusal.NO_SPACE, Refusal.ENTRY_TOO_LARGE):
            proposal.resend_at = self._now() + proposal.pause
            proposal.pause = min(2 * proposal.pause, self.settings.retry_ticks)
            return
        error: BleepStoreError = ProposalRefused(reason)
        if offers_before > 0:  # what an earlier leader made of it is unknown
            error = TimedOut(f"{reason.value}; it still may be applied")
        elif reason is Refusal.NO_SPACE:
            error = LowSpace(f"{reason.value}: free some space")
        self.proposals.fail(proposal, error)

    def _offer_again(self, *, all_of_them: bool) -> None:
        now = self._now()
        for proposal in self.proposals.all():
            if proposal.deadline == 0:
                continue  # still in the inbox
            if now >= proposal.deadline:
                self.proposals.fail(proposal, TimedOut("the proposal was not applied in time; it still may be"))
            elif all_of_them or now >= proposal.resend_at:
                if all_of_them:
                    proposal.pause = 1.0  # the next leader has refused nothing
                self.counters.retries += 1
                self._offer(proposal)

    def _ask(self) -> None:
        """One question to the core for all reads that came together."""
        self._context += 1
        if self.core.read_index(self._context) is None:
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
        self.applier.watch.expire(is_due)

    # --- time ---

    def _now(self) -> float:
        """The time in ticks: a slow disk holds up ticks, and nobody shall wait longer for that."""
        seconds = self.settings.tick_seconds
        return self._ticks if seconds is None else self._host.clock() / seconds

    def _tick_if_due(self) -> None:
        """At most one tick at a time: after a standstill the messages that waited come first."""
        seconds = self.settings.tick_seconds
        if seconds is None or self.stopping:
            return
        now = self._host.clock()
        if now >= self._next_tick:
            self._next_tick = max(self._next_tick + seconds, now)
            self._tick()

    def _tick(self) -> None:
        self._ticks += 1
        self.core.tick()
        if self._leaves_at is not None and self._ticks >= self._leaves_at:
            _log.warning(
                "raft node %s ends, and no other node has taken the lead: look whether a majority of the voters runs "
                "and can be reached, for until then the cluster takes no writes",
                self.id,
            )
            self.stopping = True
            return
        if self.core.is_leaving and self.core.role is Role.LEADER and self.core.transfer_target is None:
            self._leave()  # nobody has taken over for an election timeout: choose again
        if len(self.proposals):
            self._offer_again(all_of_them=False)
        self._expire_reads()
        if self._fetcher.tick():
            self.core.snapshot_failed()
        if self._host.free_bytes is not None:
            free = self._host.free_bytes()
            self.core.low_on_space = free < self.settings.min_free_bytes
            if self.core.low_on_space and self.core.role is Role.LEADER:
                self._lead_elsewhere()
        if self._ticks % self.settings.retry_ticks == 0:
            self.flush()
            self.core.state_bytes = self._state_machine.size
        if not self._durable_asked and self._compaction_is_due():
            self._durable_asked = True
            self.applier.ask_durable()

    def _lead_elsewhere(self) -> None:
        """A full leader refuses the writes of all: one that has space shall lead. Seldom, or it would go in circles."""
        if self._now() < self._lead_elsewhere_at:
            return
        heir = self.core.heir(with_space=True)
        if heir is not None and self.core.transfer_leadership(heir) is None:
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
            self.applier.put(ready.committed)
        if ready.snapshot is None and (ready.must_save or self._unsaved_hard is not None):
            self._save(ready)
        if ready.messages_after:
            self._senders.send(ready.messages_after)
        self.core.advance(ready.token)
        for read in ready.reads:
            self._release(self._asked.pop(read.context), read.index)
        for context in ready.lost_reads:
            self._asking += [read for read in self._asked.pop(context, ()) if not read.future.done()]
        has_new_leader = ready.soft_state is not None and ready.soft_state.leader is not None
        if has_new_leader or ready.snapshot is not None:
            # What the last leader had may be lost, what a snapshot includes is not applied here: nobody will say so.
            self._offer_again(all_of_them=True)
        if ready.fetch is not None:
            self._check_level(ready.fetch.meta.configuration.level)
            space = math.inf if self._host.free_bytes is None else self._host.free_bytes() - self.settings.spare_bytes
            self._fetcher.start(ready.fetch, space)

    def _release(self, reads: list[Read], index: int) -> None:
        if index <= self._state_machine.applied:
            answer(reads, index)
        else:
            self.applier.watch.add(index, reads)

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
        if ready.snapshot is not None:
            self._meter.restart(ready.snapshot.index)
        if truncate_from is not None:
            self._meter.truncate(truncate_from)
        if ready.entries:
            self._meter.append(ready.entries)
        self.counters.saves += 1
        self.counters.entries_saved += len(ready.entries)
        self._unsaved_hard = None
        if hard is not None:
            self._saved_hard = hard

    def flush(self) -> None:
        """Save a commit index that waits."""
        if self._unsaved_hard is not None:
            self._log.save(self._unsaved_hard, None, (), None)
            self.counters.saves += 1
            self._saved_hard, self._unsaved_hard = self._unsaved_hard, None

    # --- snapshots ---

    def _install(self, ready: Ready, snapshot: SnapshotMeta) -> None:
        hard = ready.hard_state or self._unsaved_hard
        self.applier.replace(
            lambda: self._write(hard, ready.truncate_from, ready), snapshot.name, snapshot.configuration.level
        )

    def _compaction_is_due(self) -> bool:
        settings, last = self.settings, self._compactable(self._state_machine.applied)
        if last + 1 - self.core.log.first > settings.compact_after:
            return True
        least = settings.compact_after_bytes - settings.keep_bytes
        return self._meter.size > settings.compact_after_bytes and self._meter.size_until(last) >= least

    def _compactable(self, durable: int) -> int:
        """The last entry that could be dropped."""
        settings, meter = self.settings, self._meter
        limit = durable if meter.size > settings.max_log_bytes else min(durable, self.core.compaction_limit())
        index = limit - settings.keep_entries
        return max(index, min(limit, meter.beyond(settings.keep_bytes))) if meter.size > settings.keep_bytes else index

    def _compact(self, durable: int) -> None:
        meta = self.core.snapshot_meta(self._compactable(durable))
        if meta is None or meta.index < self.core.log.first:
            return
        self.flush()
        self._log.compact(attrs.evolve(meta, name=self._state_machine.name))
        self.core.compacted(meta)
        self._meter.compact(meta.index)
        self.counters.compactions += 1
