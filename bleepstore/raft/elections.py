"""How a node becomes the leader, and how a leader notices that it is none any more.

A node asks first whether it would win (pre-vote), so one that was cut off does not raise the term and depose a leader
who is well. A node that has heard of a leader lately grants nothing (the lease), unless that leader hands over, so a
removed node disturbs nobody. A leader looks once per election timeout whether it has heard of a quorum since it looked
last, and steps down if not (check-quorum). See the Raft thesis, sections 6.2 and 9.6.
"""

from __future__ import annotations

from bleepstore.raft.membership import Membership
from bleepstore.raft.messages import EntryKind, NodeId, Refusal, RequestVote, Role, TimeoutNow, VoteReply
from bleepstore.raft.quorum import Tally, joint_tally


class Elections(Membership):
    """Ticks and votes."""

    __slots__ = ()

    def tick(self) -> None:
        """One unit of time has passed."""
        self.election_elapsed += 1
        if self._forwarded_reads:
            self._expire_reads()
        if self.role is Role.LEADER:
            self._tick_leader()
        elif self.election_elapsed >= self.election_timeout and self._may_campaign():
            self._campaign(pre=True)

    def _tick_leader(self) -> None:
        if self.election_elapsed >= self.settings.election_ticks:
            self.election_elapsed = 0
            self.transfer_target = None
            if not self._quorum_was_active():
                self._become_follower(self.term, None)
                return
        self.heartbeat_elapsed += 1
        if self.heartbeat_elapsed >= self.settings.heartbeat_ticks:
            self.heartbeat_elapsed = 0
            if self._round_due:
                self._begin_round()  # its heartbeats are those of this tick too
            else:
                self._send_heartbeats()

    def _quorum_was_active(self) -> bool:
        own = self.tracker.progress.get(self.node)
        if own is not None:
            own.recent_active = True
        return self.tracker.quorum_active()

    def _may_campaign(self) -> bool:
        """Only voters campaign, and none whose membership is known to be outdated or whose log is being replaced."""
        return (
            self.tracker.is_voter(self.node)
            and not self._was_told_of_removal
            and not self.log.has_snapshot()
            and not self.log.unapplied_configurations()
        )

    # --- the candidate ---

    def _campaign(self, *, pre: bool, transfer: bool = False) -> None:
        if pre:
            self._become(Role.PRE_CANDIDATE)
            self._enter_term(self.term)
            self.votes[self.node] = True
        else:
            self._become(Role.CANDIDATE)
            self._enter_term(self.term + 1)
            self.vote = self.node  # counted in `votes` only when it is durable
            self.counters.elections += 1
        self._ask_for_votes(pre=pre, transfer=transfer)
        self._count_votes()

    def _ask_for_votes(self, *, pre: bool, transfer: bool) -> None:
        # A vote request waits for the candidate's own vote to be durable: after a crash the same term must not be
        # led twice by the same node, with two logs.
        out = self._messages if pre else self._after
        term = self.term + 1 if pre else self.term
        log = self.log
        about = (log.last, log.last_term, pre, transfer, log.committed, log.term(log.committed))
        for peer in self.tracker.peers:
            if self.tracker.is_voter(peer.node):
                out.append(RequestVote(self.cluster, self.node, peer.node, term, *about))

    def _on_vote_reply(self, m: VoteReply) -> Refusal | None:
        asked = Role.PRE_CANDIDATE if m.pre else Role.CANDIDATE
        if self.role is not asked:
            return None  # it is decided already
        if m.pre and m.granted and m.term != self.term + 1:
            return Refusal.STALE_TERM
        self._record_vote(m.sender, m.granted)
        self._count_votes()
        return None

    def _record_vote(self, voter: NodeId, granted: bool) -> None:
        """Votes are kept by voter: a message that arrives twice is one vote."""
        self.votes.setdefault(voter, granted)

    def _tally(self) -> Tally:
        now = self.tracker.configuration
        return joint_tally(now.voters, now.voters_outgoing, self.votes)

    def _count_votes(self) -> None:
        result = self._tally()
        if result is Tally.LOST:
            self._become_follower(self.term, None)
        elif result is Tally.WON:
            if self.role is Role.PRE_CANDIDATE:
                self._campaign(pre=False)
            else:
                self._become_leader()

    def _own_vote_is_durable(self, term: int) -> None:
        if self.role is Role.CANDIDATE and term == self.term:
            self._record_vote(self.node, True)
            self._count_votes()

    def _become_leader(self) -> None:
        self._become(Role.LEADER)
        self._enter_term(self.term)
        self.leader = self.node
        self.counters.leaderships += 1
        for peer in self.tracker.progress.values():
            peer.reset(self.log.last + 1)
        self._acknowledge_own()
        # There may be a change in the log that is not applied: wait for everything that is there now.
        self.pending_configuration_index = self.log.last
        self._append_own(EntryKind.NOOP, b"")
        self._maybe_leave_joint()

    # --- the voter ---

    def _on_request_vote(self, m: RequestVote) -> Refusal | None:
        if self.log.last == 0 and not self.tracker.progress:
            return Refusal.LOG_EMPTY
        free = self.vote == m.sender or (self.vote is None and self.leader is None) or (m.pre and m.term > self.term)
        if not (free and self._is_current(m)):
            self._reply_vote(m.sender, self.term, granted=False, pre=m.pre)
            return None
        self._reply_vote(m.sender, m.term, granted=True, pre=m.pre)
        if not m.pre:
            self.election_elapsed = 0
            self.vote = m.sender
        return None

    def _reply_vote(self, candidate: NodeId, term: int, *, granted: bool, pre: bool) -> None:
        commit = self.log.committed
        self._after.append(
            VoteReply(self.cluster, self.node, candidate, term, granted, pre, commit, self.log.term(commit))
        )

    def _learn_commit(self, commit: int, commit_term: int) -> None:
        """Somebody knows that (commit, commit_term) is committed: if this log has it, so is all before it here.

        A removed leader may be the only one who knows that a change is decided, while the others still need its vote by
        the membership before, which it must refuse because its log is longer. This is how they learn.
        """
        if commit <= self.log.committed or not self.log.holds(commit, commit_term) or self.role is Role.LEADER:
            return
        self._commit_to(commit)
        if self.role is not Role.FOLLOWER and self.log.unapplied_configurations():
            self._become_follower(self.term, None)

    def _is_current(self, m: RequestVote) -> bool:
        """Raft paper, section 5.4.1: the candidate's log must be at least as up to date as the voter's."""
        return (m.last_term, m.last_index) >= (self.log.last_term, self.log.last)

    def _on_timeout_now(self, m: TimeoutNow) -> Refusal | None:
        if self.role is not Role.FOLLOWER or m.sender != self.leader:
            return Refusal.NOT_LEADER
        if not self._may_campaign():
            return Refusal.NOT_A_VOTER
        self._campaign(pre=False, transfer=True)
        return None
