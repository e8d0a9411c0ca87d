"""Raft without I/O: messages, ticks and calls go in, a Ready comes out. No clock, no thread, no socket, no file.

The law, which the simulator checks after every event:

    one leader and one vote per term            a vote is durable before it is sent, and before it is counted
    a leader never changes its log, it appends
    equal (index, term) means equal logs up to there
    what is committed is in every later leader's log
    nothing is handed out for applying before it is durable on a quorum and here
    a read is never older than what was committed when it was asked

The driver's loop, in the one thread that owns the core:

    core.step(message) / core.tick() / core.propose(...)
    ready = core.ready()            # None: nothing to do
    ...                             # as the comments of Ready say
    core.advance(ready.token)       # what it asked to persist is durable
    core.applied(index)             # what it handed out is applied

Sources: "In Search of an Understandable Consensus Algorithm" (the Raft paper), Ongaro's thesis, and the semantics of
etcd's implementation.
"""

from __future__ import annotations

from bleepstore.raft.elections import Elections
from bleepstore.raft.messages import (
    ENTRY_OVERHEAD,
    MAX_NUMBER,
    AppendEntries,
    AppendReply,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ProposeRefused,
    ProposeRequest,
    ReadIndexReply,
    ReadIndexRequest,
    Ready,
    Refusal,
    Removed,
    RequestVote,
    Role,
    SoftState,
    TimeoutNow,
    VoteReply,
    is_text,
)

#: Which method handles a message once its envelope was found good and its term is this node's.
HANDLERS: dict[type, str] = {
    RequestVote: "_on_request_vote",
    VoteReply: "_on_vote_reply",
    AppendEntries: "_on_append_entries",
    AppendReply: "_on_append_reply",
    Heartbeat: "_on_heartbeat",
    HeartbeatReply: "_on_heartbeat_reply",
    InstallSnapshot: "_on_install_snapshot",
    TimeoutNow: "_on_timeout_now",
    ReadIndexRequest: "_on_read_index_request",
    ReadIndexReply: "_on_read_index_reply",
    ProposeRequest: "_on_propose_request",
    ProposeRefused: "_on_propose_refused",
    Removed: "_on_removed",
}

#: What answers what, and from whom to whom: (message, from, to, answered by).
CONVERSATION: tuple[tuple[type, Role, Role, type | None], ...] = (
    (RequestVote, Role.CANDIDATE, Role.FOLLOWER, VoteReply),
    (AppendEntries, Role.LEADER, Role.FOLLOWER, AppendReply),
    (Heartbeat, Role.LEADER, Role.FOLLOWER, HeartbeatReply),
    (InstallSnapshot, Role.LEADER, Role.FOLLOWER, AppendReply),
    (TimeoutNow, Role.LEADER, Role.FOLLOWER, None),
    (ReadIndexRequest, Role.FOLLOWER, Role.LEADER, ReadIndexReply),
    (ProposeRequest, Role.FOLLOWER, Role.LEADER, ProposeRefused),
    (Removed, Role.FOLLOWER, Role.CANDIDATE, None),
)

#: Only the leader of a term sends these: they tell a node of an older term who leads.
FROM_LEADER = frozenset({AppendEntries, Heartbeat, InstallSnapshot, TimeoutNow})

#: Taken from senders that this node does not know. A node that lags behind may not know the leader yet, nor a
#: candidate that was added since; the cluster's id is what keeps strangers out. All else is from members only.
FROM_ANYBODY = frozenset({RequestVote, Removed, *FROM_LEADER})


class Raft(Elections):
    """One node's consensus state. Not thread-safe."""

    __slots__ = ()

    def step(self, m: Message) -> Refusal | None:
        """Take a message. If it is refused, that is counted. Some of what it tells may be taken nevertheless: its term,
        what is committed, that its sender leads if only leaders send it, and that an offer has come.
        """
        self.counters.steps += 1
        refusal = self._check_envelope(m) or self._handle(m)
        if refusal is not None:
            self.counters.refuse(refusal)
        return refusal

    def _check_envelope(self, m: Message) -> Refusal | None:
        kind = type(m)
        if kind not in HANDLERS:
            return Refusal.UNKNOWN_MESSAGE
        if m.cluster != self.cluster:
            return Refusal.OTHER_CLUSTER
        if m.to != self.node:
            return Refusal.OTHER_RECIPIENT
        if m.sender == self.node:
            return Refusal.SELF_NAMED_SENDER
        if not 0 <= m.term < MAX_NUMBER:
            return Refusal.OUT_OF_RANGE
        if m.sender not in self.tracker.progress:
            if not is_text(m.sender):
                return Refusal.MALFORMED_TEXT
            if m.sender in self.tracker.removed and kind not in FROM_LEADER:
                # As a leader it may still have to tell that its removal is decided. Others are told, once they ask.
                if kind is not Removed:
                    self._messages.append(Removed(self.cluster, self.node, m.sender, self.term))
                return Refusal.REMOVED_SENDER
            if kind not in FROM_ANYBODY:
                return Refusal.UNKNOWN_SENDER
        return None

    def _handle(self, m: Message) -> Refusal | None:
        kind = type(m)
        if isinstance(m, Removed):
            return self._on_removed(m)  # of whichever term
        if isinstance(m, RequestVote | VoteReply):
            # What is committed stays so: it does not matter of which term the message is.
            self._learn_commit(m.commit, m.commit_term)
        if m.term > self.term:
            refusal = self._meet_newer_term(kind, m)
            if refusal is not None:
                return refusal
        elif m.term < self.term:
            return self._meet_older_term(kind, m)
        answer: Refusal | None = getattr(self, HANDLERS[kind])(m)
        return answer

    def _meet_newer_term(self, kind: type, m: Message) -> Refusal | None:
        """Raft paper, section 5.1: whoever sees a newer term takes it and follows. A pre-vote is only a question."""
        if isinstance(m, RequestVote):
            if not m.transfer and self.leader is not None and self.election_elapsed < self.settings.election_ticks:
                return Refusal.IN_LEASE
            if m.pre:
                return None
        elif isinstance(m, VoteReply) and m.pre and m.granted:
            return None
        self._become_follower(m.term, m.sender if kind in FROM_LEADER else None)
        return None

    def _meet_older_term(self, kind: type, m: Message) -> Refusal:
        """The message has no effect, but its sender may have to learn of the newer term.

        Because of pre-votes nobody else might ever tell it: a node that has the newer term for itself alone is
        ignored as a candidate, and would ignore the leader for ever.
        """
        if kind in FROM_LEADER:
            self._after.append(AppendReply(self.cluster, self.node, m.sender, self.term, 0, True))
        elif isinstance(m, RequestVote) and m.pre:
            self._reply_vote(m.sender, self.term, granted=False, pre=True)
        return Refusal.STALE_TERM

    # --- output ---

    def ready(self) -> Ready | None:
        """What is to be done now, or None. See Ready."""
        if self.role is Role.LEADER:
            if self._pump_due:
                self._pump()
            if self._round_due:
                self._begin_round()
        log = self.log
        committed = self._take_committed() if log.handed < log.may_hand_out() else ()
        hard = (self.term, self.vote, log.committed)
        soft = (self.role, self.leader, self.term)
        writes = log.has_writes() or hard != self._emitted_hard
        if not (
            writes
            or self._messages
            or self._after
            or committed
            or soft != self._emitted_soft
            or self._reads_ready
            or self._lost_reads
            or self._fetch
        ):
            return None
        return self._make_ready(writes, committed)

    def _make_ready(self, writes: bool, committed: tuple[Entry, ...]) -> Ready:
        self._token += 1
        hard_state = soft_state = snapshot = truncate_from = None
        entries: tuple[Entry, ...] = ()
        soft = (self.role, self.leader, self.term)
        if soft != self._emitted_soft:
            self._emitted_soft = soft
            soft_state = SoftState(*soft)
        if writes:
            hard = (self.term, self.vote, self.log.committed)
            if hard != self._emitted_hard:
                self._emitted_hard = hard
                hard_state = HardState(*hard)
            vote_term = self.term if self.vote == self.node else 0
            snapshot, truncate_from, entries = self.log.take_writes(self._token, vote_term)
        ready = Ready(
            self._token,
            soft_state,
            hard_state,
            snapshot,
            truncate_from,
            entries,
            tuple(self._messages),
            tuple(self._after),
            committed,
            tuple(self._reads_ready),
            tuple(self._lost_reads),
            self._fetch,
        )
        self._messages.clear()
        self._after.clear()
        if self._reads_ready or self._lost_reads:
            self._reads_ready.clear()
            self._lost_reads.clear()
        self._fetch = None
        return ready

    def _take_committed(self) -> tuple[Entry, ...]:
        """Committed entries that are durable here, as many as the state machine may have on its hands at a time."""
        budget = self.settings.max_apply_bytes - self._applying_bytes
        if budget <= 0:
            return ()
        log = self.log
        entries = tuple(log.slice(log.handed + 1, log.may_hand_out() + 1, budget))
        size = 0
        for entry in entries:
            size += len(entry.data) + ENTRY_OVERHEAD
            if entry.kind is EntryKind.CONFIGURATION:
                self._handed_configurations.append(entry.index)
        log.handed = entries[-1].index
        self._applying.append((log.handed, size))
        self._applying_bytes += size
        self.uncommitted_bytes = max(0, self.uncommitted_bytes - size)
        return entries

    def advance(self, token: int) -> None:
        """What the Readys up to `token` asked to persist is durable. Call it for every Ready with `must_save`."""
        vote_term = self.log.written(token)
        if self.role is Role.LEADER:
            self._acknowledge_own()
            self._maybe_commit()
        elif vote_term:
            self._own_vote_is_durable(vote_term)
