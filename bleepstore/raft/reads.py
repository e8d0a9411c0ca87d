"""Linearizable reads without a log entry: ReadIndex (Raft thesis, section 6.4).

The leader notes its commit index when it is asked, and answers once a quorum has confirmed, after the question, that it
still leads. All reads that were asked since the last Ready share one round of heartbeats. Rounds are counted within
the term, a term is led by one life of one node, and replies carry their term: a late reply confirms nothing else.
"""

from __future__ import annotations

from bleepstore.raft.messages import NodeId, ReadIndexReply, ReadIndexRequest, ReadReady, Refusal, Role
from bleepstore.raft.replication import Replication
from bleepstore.raft.state import WaitingRead


class Reads(Replication):
    """Reads at the leader, and those that followers pass on to it."""

    __slots__ = ()

    def read_index(self, context: int) -> Refusal | None:
        """Ask from which applied index on a read is linearizable; the answer comes in `Ready.reads`.

        `context` names the question and must be greater than all before it. If the leader changes, or does not answer
        for an election timeout, the context comes back in `Ready.lost_reads`: ask again with a new one.
        """
        if context <= self._last_context:
            return self._refuse(Refusal.REUSED_CONTEXT)
        if self.role is Role.LEADER:
            refusal = self._ask_quorum(None, self.incarnation, context)
        elif self.is_removed:
            refusal = Refusal.REMOVED
        elif self.leader is None:
            refusal = Refusal.NO_LEADER
        elif len(self._forwarded_reads) >= self.settings.max_forwarded_reads:
            refusal = Refusal.TOO_MANY_READS
        else:
            refusal = None
            self._forwarded_reads[context] = 0
            self._messages.append(
                ReadIndexRequest(self.cluster, self.node, self.leader, self.term, self.incarnation, context)
            )
        if refusal is not None:
            return self._refuse(refusal)
        self._last_context = context
        return None

    def _expire_reads(self) -> None:
        """A tick has passed for the reads that the leader was asked to confirm: an answer may be lost."""
        for context in list(self._forwarded_reads):
            self._forwarded_reads[context] += 1
            if self._forwarded_reads[context] > self.settings.election_ticks:
                del self._forwarded_reads[context]
                self._lost_reads.append(context)

    def _ask_quorum(self, asker: NodeId | None, incarnation: int, context: int) -> Refusal | None:
        if len(self._early_reads) + len(self._waiting_reads) >= self.settings.max_waiting_reads:
            return Refusal.TOO_MANY_READS
        read = WaitingRead(self._round + 1, self.log.committed, asker, incarnation, context)
        if not self._committed_own_term():
            self._early_reads.append(read)
        else:
            self._waiting_reads.append(read)
            self._round_due = True
        return None

    def _committed_own_term(self) -> bool:
        """A new leader does not know what is committed before the first commit of its term."""
        return self.log.term(self.log.committed) == self.term

    def _release_early_reads(self) -> None:
        if not self._early_reads or not self._committed_own_term():
            return
        for read in self._early_reads:
            read.round = self._round + 1
            read.index = self.log.committed
        self._waiting_reads += self._early_reads
        self._early_reads.clear()
        self._round_due = True

    def _begin_round(self) -> None:
        """One round of heartbeats for all reads that were asked meanwhile."""
        self._round_due = False
        self._round += 1
        own = self.tracker.progress.get(self.node)
        if own is not None:
            own.read_round = self._round
        self._send_heartbeats()
        self._confirm_reads()

    def _confirm_reads(self) -> None:
        if not self._waiting_reads:
            return
        confirmed = self._confirmed_round()
        done = [read for read in self._waiting_reads if read.round <= confirmed]
        if not done:
            return
        self._waiting_reads = self._waiting_reads[len(done) :]
        for read in done:
            if read.asker is None:
                self._reads_ready.append(ReadReady(read.context, read.index))
            else:
                self._messages.append(
                    ReadIndexReply(
                        self.cluster, self.node, read.asker, self.term, read.incarnation, read.context, read.index
                    )
                )

    def _confirmed_round(self) -> int:
        return self.tracker.confirmed_round()

    def _on_read_index_request(self, m: ReadIndexRequest) -> Refusal | None:
        if self.role is not Role.LEADER:
            return Refusal.NOT_LEADER
        return self._ask_quorum(m.sender, m.incarnation, m.context)

    def _on_read_index_reply(self, m: ReadIndexReply) -> Refusal | None:
        if m.incarnation != self.incarnation or m.context not in self._forwarded_reads:
            return Refusal.UNKNOWN_READ
        del self._forwarded_reads[m.context]
        self._reads_ready.append(ReadReady(m.context, m.index))
        return None
