"""Cores, and one state machine, that are wrong on purpose: the checks are worth what they catch of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from bleepstore.raft.core import HANDLERS, Raft
from bleepstore.raft.messages import (
    AppendReply,
    Configuration,
    Entry,
    Message,
    NodeId,
    Ready,
    Refusal,
    RequestVote,
    SnapshotMeta,
)
from bleepstore.raft.quorum import Tally, tally
from bleepstore.testing.simulator.machines import ChainMachine


class VoteIgnoresLog(Raft):
    """A vote is granted to whoever asks, however old its log."""

    def _is_current(self, m: RequestVote) -> bool:
        return True


class TruncatesAlways(Raft):
    """An append replaces everything after its place, also when it is old and the entries are the same."""

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


class AppliedOutsideTransaction(ChainMachine):
    """The applied index is written a moment later than the state, so a crash may come between."""

    __slots__ = ("written",)

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def apply(self, entries: Sequence[Entry]) -> None:
        self.written = self.applied
        for entry in entries:
            # Without its own transaction the record of requests is as late as the index.
            self.done.discard(entry.request_id)
        super().apply(entries)

    def crash(self) -> None:
        self.applied = max(self.written, 0)


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


#: Name -> options of the world that make it wrong. The first thirteen are the list of the specification.
MUTANTS: dict[str, dict[str, Callable[..., Any]]] = {
    "vote granted ignoring the log": {"core_factory": VoteIgnoresLog},
    "truncate always": {"core_factory": TruncatesAlways},
    "vote not persisted": {"core_factory": VoteNotPersisted},
    "duplicate votes counted": {"core_factory": CountsDuplicateVotes},
    "ack before fsync": {"core_factory": AcknowledgesBeforeSync},
    "read without quorum": {"core_factory": ReadsWithoutQuorum},
    "read before the term's commit": {"core_factory": ReadsBeforeCommitOfTerm},
    "commit not capped at the verified index": {"core_factory": CommitsBeyondVerified},
    "Figure 8 rule missing": {"core_factory": CommitsOldTermsByCounting},
    "stale-term ack accepted": {"core_factory": AcceptsStaleAcknowledgements},
    "two changes pending": {"core_factory": TwoChangesPending},
    "snapshot installs a stale configuration": {"core_factory": SnapshotKeepsConfiguration},
    "applied index outside the transaction": {"make_machine": AppliedOutsideTransaction},
    "own vote counted before fsync": {"core_factory": CountsOwnVoteBeforeSync},
    "leader counts itself before fsync": {"core_factory": LeaderCountsItselfBeforeSync},
    "vote requests before fsync": {"core_factory": AsksForVotesBeforeSync},
    "outgoing voters forgotten": {"core_factory": ForgetsOutgoingVoters},
    "late snapshot drops acknowledged entries": {"core_factory": LateSnapshotDropsEntries},
    "writes under way survive a truncation": {"core_factory": KeepsWritesUnderWay},
}
