"""Cores, logs and state machines that are wrong on purpose: the checks are worth what they catch of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from bleepstore.raft.core import HANDLERS, Raft
from bleepstore.raft.messages import (
    AppendReply,
    ConfChange,
    Configuration,
    Entry,
    HeartbeatReply,
    Message,
    NodeId,
    Ready,
    Refusal,
    RequestVote,
    Role,
    SnapshotMeta,
    TimeoutNow,
    VoteReply,
)
from bleepstore.raft.quorum import Tally, joint_value, tally
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.state_machines import ChainStateMachine


class VoteIgnoresLog(Raft):
    """A vote is granted to whoever asks, however old its log."""

    def _is_current(self, m: RequestVote) -> bool:
        return True


class KeepsRemovalToItself(Raft):
    """Who was removed is refused, and not told."""

    def _check_envelope(self, m: Message) -> Refusal | None:
        count = len(self._messages)
        refusal = super()._check_envelope(m)
        if refusal is Refusal.REMOVED_SENDER:
            del self._messages[count:]
        return refusal


class ForgetsWhoCatchesUp(Raft):
    """The log is compacted although a member is about to need what follows its snapshot."""

    def compaction_limit(self) -> int:
        return self.log.applied


class TruncatesAlways(Raft):
    """An append replaces everything after its index, also when it is old and the entries are the same."""

    def _take_entries(self, entries: Sequence[Entry]) -> None:
        if entries[0].index <= self.log.last and entries[0].index > self.log.committed:
            self.log.truncate(entries[0].index)
            self.log.append(entries)
        else:
            super()._take_entries(entries)


class VoteNotPersisted(Raft):
    """The term is written, the vote is not."""

    def _make_ready(self, writes: bool, committed: tuple[Entry, ...]) -> Ready:
        ready = super()._make_ready(writes, committed)
        if ready.hard_state is None:
            return ready
        return attrs.evolve(ready, hard_state=attrs.evolve(ready.hard_state, vote=None))


class CountsDuplicateVotes(Raft):
    """Votes are counted as they come in, not by voter."""

    __slots__ = ("granted",)

    def _enter_term(self, term: int) -> None:
        super()._enter_term(term)
        self.granted = 0

    def _record_vote(self, voter: NodeId, granted: bool) -> None:
        super()._record_vote(voter, granted)
        self.granted += granted

    def _tally(self) -> Tally:
        voters = self.tracker.configuration.voters
        return Tally.WON if self.granted >= len(voters) // 2 + 1 else super()._tally()


class AcknowledgesBeforeSync(Raft):
    """A follower's answer does not wait for its disk."""

    def _reply_append(self, leader: NodeId, index: int) -> None:
        self._messages.append(AppendReply(self.cluster, self.node, leader, self.term, index))


class ReadsWithoutQuorum(Raft):
    """The leader trusts that it still is one."""

    def _confirmed_round(self) -> int:
        return self._round


class ReadsBeforeCommitOfTerm(Raft):
    """A new leader believes that it knows what is committed."""

    def _committed_own_term(self) -> bool:
        return True


class CommitsBeyondVerified(Raft):
    """A follower takes the leader's commit index for all that it has, not only for what the message verified."""

    def _believed_commit(self, leader_commit: int, verified: int) -> int:
        return min(leader_commit, self.log.last)


class CommitsOldTermsByCounting(Raft):
    """The rule of figure 8 is missing."""

    def _may_count(self, index: int) -> bool:
        return True


class AcceptsStaleAcknowledgements(Raft):
    """An acknowledgement of an earlier term counts."""

    def _handle(self, m: Message) -> Refusal | None:
        if isinstance(m, AppendReply) and m.term < self.term and m.index <= self.log.last:
            answer: Refusal | None = getattr(self, HANDLERS[AppendReply])(m)
            return answer
        return super()._handle(m)


class TwoChangesPending(Raft):
    """A change of the membership is proposed before the last one has taken effect."""

    def _change_pending(self) -> bool:
        return False


class SnapshotKeepsConfiguration(Raft):
    """A snapshot brings the state, but not the membership."""

    def _configuration_of_snapshot(self, meta: SnapshotMeta) -> Configuration:
        return self.tracker.configuration


class AppliedOutsideTransaction(ChainStateMachine):
    """The applied index is written a moment later than the state, so a crash may come between."""

    __slots__ = ()

    def apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            # Without its own transaction the record of requests is as late as the index.
            self.done.discard(entry.request_id)
        super().apply(entries)

    def crash(self, keep: int) -> None:
        super().crash(keep)
        if self._undo:
            self.applied = self._undo[-1][0]


class DurableInName(ChainStateMachine):
    """`make_durable` does not make durable, and the log is compacted."""

    __slots__ = ()

    def make_durable(self) -> int:
        return self.applied


# --- beyond the list of the specification --------------------------------------------------------------------------


class CountsOwnVoteBeforeSync(Raft):
    """A candidate counts its vote for itself while it is still being written."""

    def _campaign(self, *, pre: bool, transfer: bool = False) -> None:
        super()._campaign(pre=pre, transfer=transfer)
        if not pre:
            self._own_vote_is_durable(self.term)


class LeaderCountsItselfBeforeSync(Raft):
    """The leader's own copy counts as soon as it is in memory."""

    def _own_durable_index(self) -> int:
        return self.log.last


class AsksForVotesBeforeSync(Raft):
    """Vote requests leave before the candidate's own vote is durable."""

    def _ask_for_votes(self, *, pre: bool, transfer: bool) -> None:
        before = len(self._after)
        super()._ask_for_votes(pre=pre, transfer=transfer)
        self._messages += self._after[before:]
        del self._after[before:]


class ForgetsOutgoingVoters(Raft):
    """In a joint membership the new voters elect alone."""

    def _tally(self) -> Tally:
        return tally(self.tracker.configuration.voters, self.votes)


class OutgoingElectAlone(Raft):
    """In a joint membership the old voters elect alone."""

    def _tally(self) -> Tally:
        now = self.tracker.configuration
        return tally(now.voters_outgoing or now.voters, self.votes)


class CheckQuorumCountsLearners(Raft):
    """A leader goes on as long as a majority of all members is heard of."""

    def _quorum_was_active(self) -> bool:
        active = 1 + sum(one.recent_active for one in self.tracker.peers)
        super()._quorum_was_active()
        return active > (1 + len(self.tracker.peers)) // 2


class EndOfJointDoesNotCommit(Raft):
    """What has its majority only by the new membership waits for the next message."""

    def _switch(self, index: int, configuration: Configuration) -> None:
        self.is_switching = True
        super()._switch(index, configuration)
        self.is_switching = False

    def _maybe_commit(self) -> bool:
        return not getattr(self, "is_switching", False) and super()._maybe_commit()


class CompactionForgetsBase(Raft):
    """The membership from before what is kept of the log is forgotten."""

    def compacted(self, meta: SnapshotMeta) -> None:
        super().compacted(meta)
        kept = [one for one in self.configurations if one[0] > meta.index]
        self.configurations = kept or self.configurations


class KeepsWritesUnderWay(Raft):
    """A truncation does not void the writes that are under way (the ABA of asynchronous appends)."""

    def _take_entries(self, entries: Sequence[Entry]) -> None:
        writes = [(write, write.last) for write in self.log._writes]
        super()._take_entries(entries)
        for write, last in writes:
            write.last = last


class LateSnapshotDropsEntries(Raft):
    """A snapshot that arrives late replaces a log that has gone further meanwhile."""

    def _has_all_of(self, meta: SnapshotMeta) -> bool:
        return meta.index <= self.log.committed


class SwallowsRounds(Raft):
    """The heartbeats of a tick are taken for those of the round that a read waits for."""

    def _tick_leader(self) -> None:
        self._round_due = False
        super()._tick_leader()


class ReadsByOnePeer(Raft):
    """One peer that confirms is enough, however many there are."""

    def _confirmed_round(self) -> int:
        return max((peer.read_round for peer in self.tracker.peers), default=self._round)


class ReadsByIncomingVoters(Raft):
    """In a joint membership the new voters confirm a read alone."""

    def _confirmed_round(self) -> int:
        return joint_value([one.read_round for one in self.tracker._incoming], ())


class ReadsByOutgoingVoters(Raft):
    """In a joint membership the old voters confirm a read alone."""

    def _confirmed_round(self) -> int:
        tracker = self.tracker
        return joint_value([one.read_round for one in tracker._outgoing or tracker._incoming], ())


class AcceptsStaleConfirmations(Raft):
    """The confirmation of an earlier leadership counts for this one."""

    def _handle(self, m: Message) -> Refusal | None:
        if isinstance(m, HeartbeatReply) and m.term < self.term and self.role is Role.LEADER:
            return self._on_heartbeat_reply(attrs.evolve(m, read_round=min(m.read_round, self._round)))
        return super()._handle(m)


class CampaignsUnapplied(Raft):
    """A node campaigns by a membership that it knows to be outdated."""

    def _may_campaign(self) -> bool:
        return self.tracker.is_voter(self.node) and not self.log.has_snapshot()


class CampaignsWhenAnybodySaysSo(Raft):
    """Whoever sends it, and whether this node is a voter or not: TimeoutNow makes it campaign."""

    def _on_timeout_now(self, m: TimeoutNow) -> Refusal | None:
        if self.role is not Role.FOLLOWER:
            return Refusal.NOT_LEADER
        self._campaign(pre=False, transfer=True)
        return None


class AcceptsStaleVotes(Raft):
    """A vote that was granted in an earlier term counts in this one."""

    def _handle(self, m: Message) -> Refusal | None:
        if isinstance(m, VoteReply) and m.granted and m.term < self.term and not m.pre:
            return self._on_vote_reply(m)
        return super()._handle(m)


class KeepsMatchAcrossLeaderships(Raft):
    """What a member acknowledged to an earlier leadership counts for this one."""

    def _become_leader(self) -> None:
        known = {peer.node: peer.match for peer in self.tracker.peers}
        super()._become_leader()
        for peer in self.tracker.peers:
            peer.match = min(known[peer.node], self.log.last)
            peer.next = max(peer.next, peer.match + 1)


class ForgetsRemovedIds(Raft):
    """A removed id may come back."""

    def _change_refusal(self, change: ConfChange) -> Refusal | None:
        self.tracker.removed = frozenset()
        return super()._change_refusal(change)


class KeepsConflictingEntries(Raft):
    """A follower keeps what contradicts the leader's entries, and acknowledges these."""

    def _take_entries(self, entries: Sequence[Entry]) -> None:
        new = [entry for entry in entries if entry.index > self.log.last]
        if new:
            self.log.append(new)


class OldSnapshotTakesBack(Raft):
    """A snapshot that is older than the compacted log replaces it."""

    def _has_all_of(self, meta: SnapshotMeta) -> bool:
        return self.log.holds(meta.index, meta.term)


class SnapshotOfLaterMembership(Raft):
    """A snapshot, or the compacted log, carries the newest membership, not that of its index."""

    def snapshot_meta(self, index: int) -> SnapshotMeta | None:
        meta = super().snapshot_meta(index)
        return None if meta is None else attrs.evolve(meta, configuration=self.configurations[-1][1])


class SnapshotOfUnknownMembership(Raft):
    """A node gives a snapshot from before it was a member, without any membership."""

    def snapshot_meta(self, index: int) -> SnapshotMeta | None:
        meta = super().snapshot_meta(index)
        if meta is None and self.log.first - 1 <= index <= self.log.applied:
            return SnapshotMeta(index, self.log.term(index))
        return meta


# --- logs that make several transactions of what should be one ------------------------------------------------------


class EntriesBeforeHardState(SimulatedLog):
    """Term, vote and commit index follow the entries that came with them."""

    __slots__ = ()
    SAVE = (("drop all", "snapshot", "truncate", "append"), ("term", "vote", "commit"))


class HardStateBeforeEntries(SimulatedLog):
    """Entries follow the term, vote and commit index that came with them."""

    __slots__ = ()
    SAVE = (("term", "vote", "commit"), ("drop all", "snapshot", "truncate", "append"))


class CommitBehindEntries(SimulatedLog):
    """The commit index, which can be learnt again, is written when there is time."""

    __slots__ = ()
    SAVE = (("drop all", "snapshot", "truncate", "append", "term", "vote"), ("commit",))


class VoteBeforeTerm(SimulatedLog):
    """The vote is written, and then the term that it is of."""

    __slots__ = ()
    SAVE = (("vote",), ("drop all", "snapshot", "truncate", "append", "term", "commit"))


class TruncatesApart(SimulatedLog):
    """What is replaced is gone before there is a replacement."""

    __slots__ = ()
    SAVE = (("truncate",), ("drop all", "snapshot", "append", "term", "vote", "commit"))


class DropsBeforeSnapshot(SimulatedLog):
    """The log is emptied, and then begins anew after the snapshot."""

    __slots__ = ()
    SAVE = (("drop all",), ("snapshot", "truncate", "append", "term", "vote", "commit"))


class CompactsBeforePointer(SimulatedLog):
    """Entries are dropped, and then the log notes where it begins."""

    __slots__ = ()
    COMPACTION = (("drop",), ("snapshot",))


#: Name -> options of the world that make it wrong, and the mix of troubles, perhaps also the first seed, in which it
#: shows soon. The first thirteen are the list of the specification.
MUTANTS: dict[str, dict[str, Any]] = {
    "vote granted ignoring the log": {"core_factory": VoteIgnoresLog},
    "truncate always": {"core_factory": TruncatesAlways},
    "vote not persisted": {"core_factory": VoteNotPersisted},
    "duplicate votes counted": {"core_factory": CountsDuplicateVotes, "mix": "stormy", "first_seed": 40},
    "ack before fsync": {"core_factory": AcknowledgesBeforeSync},
    "read without quorum": {"core_factory": ReadsWithoutQuorum, "mix": "reading"},
    "read before the term's commit": {"core_factory": ReadsBeforeCommitOfTerm, "mix": "reading"},
    "commit not capped at the verified index": {"core_factory": CommitsBeyondVerified},
    "Figure 8 rule missing": {"core_factory": CommitsOldTermsByCounting, "mix": "stormy", "first_seed": 1050},
    "stale-term ack accepted": {"core_factory": AcceptsStaleAcknowledgements, "first_seed": 1005},
    "two changes pending": {"core_factory": TwoChangesPending},
    "snapshot installs a stale configuration": {"core_factory": SnapshotKeepsConfiguration},
    "applied index outside the transaction": {"make_state_machine": AppliedOutsideTransaction},
    "make_durable does nothing": {"make_state_machine": DurableInName},
    "own vote counted before fsync": {"core_factory": CountsOwnVoteBeforeSync},
    "leader counts itself before fsync": {"core_factory": LeaderCountsItselfBeforeSync},
    "vote requests before fsync": {"core_factory": AsksForVotesBeforeSync},
    "outgoing voters forgotten": {"core_factory": ForgetsOutgoingVoters, "mix": "churning", "first_seed": 350},
    "late snapshot drops acknowledged entries": {"core_factory": LateSnapshotDropsEntries},
    "writes under way survive a truncation": {"core_factory": KeepsWritesUnderWay},
    "a tick swallows the round of a read": {"core_factory": SwallowsRounds},
    "read confirmed by one peer": {"core_factory": ReadsByOnePeer, "mix": "reading"},
    "joint read confirmed by the new voters": {"core_factory": ReadsByIncomingVoters},
    "stale confirmation accepted": {"core_factory": AcceptsStaleConfirmations},
    "campaign with an unapplied change": {"core_factory": CampaignsUnapplied, "mix": "churning", "first_seed": 265},
    "anybody starts a campaign": {"core_factory": CampaignsWhenAnybodySaysSo},
    "stale vote accepted": {"core_factory": AcceptsStaleVotes, "mix": "stormy"},
    "match kept across leaderships": {"core_factory": KeepsMatchAcrossLeaderships, "mix": "reading", "first_seed": 100},
    "old snapshot takes back": {"core_factory": OldSnapshotTakesBack},
    "snapshot carries a later membership": {"core_factory": SnapshotOfLaterMembership},
    "snapshot carries no membership": {"core_factory": SnapshotOfUnknownMembership, "mix": "churning"},
    "conflicting entries kept": {"core_factory": KeepsConflictingEntries},
    "removed id comes back": {"core_factory": ForgetsRemovedIds, "mix": "churning"},
    "outgoing voters elect alone": {"core_factory": OutgoingElectAlone},
    "joint read confirmed by the old voters": {"core_factory": ReadsByOutgoingVoters},
    "check-quorum counts learners": {"core_factory": CheckQuorumCountsLearners},
    "end of a joint membership does not commit": {"core_factory": EndOfJointDoesNotCommit},
    "compaction forgets the base membership": {"core_factory": CompactionForgetsBase},
    "removed node is not told": {"core_factory": KeepsRemovalToItself},
    "compaction takes from who catches up": {"core_factory": ForgetsWhoCatchesUp},
    "entries before the hard state": {"make_log": EntriesBeforeHardState, "mix": "tearing"},
    "hard state before the entries": {"make_log": HardStateBeforeEntries, "mix": "tearing"},
    "commit index behind the entries": {"make_log": CommitBehindEntries, "mix": "tearing", "first_seed": 1030},
    "vote before the term": {"make_log": VoteBeforeTerm, "mix": "tearing", "first_seed": 65},
    "truncation apart from the append": {"make_log": TruncatesApart, "mix": "tearing", "first_seed": 110},
    "log dropped before the snapshot": {"make_log": DropsBeforeSnapshot, "mix": "tearing"},
    "compaction before the pointer": {"make_log": CompactsBeforePointer, "mix": "tearing"},
}

#: What scenarios catch, and thousands of seeds do not: each takes a rare order of events.
BY_SCENARIOS = frozenset({
    "a tick swallows the round of a read",
    "commit not capped at the verified index",
    "late snapshot drops acknowledged entries",
    "joint read confirmed by the new voters",
    "stale confirmation accepted",
    "anybody starts a campaign",
    "old snapshot takes back",
    "outgoing voters elect alone",
    "joint read confirmed by the old voters",
    "check-quorum counts learners",
    "end of a joint membership does not commit",
    "compaction forgets the base membership",
    "removed node is not told",
    "compaction takes from who catches up",
})  # fmt: skip
