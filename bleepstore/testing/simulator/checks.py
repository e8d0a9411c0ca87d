"""The invariants, checked after every event by what the event changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from bleepstore.raft.core import Raft
from bleepstore.raft.messages import (
    AppendReply,
    Configuration,
    Entry,
    EntryKind,
    Message,
    NodeId,
    Ready,
    RequestVote,
    Role,
    SnapshotMeta,
    VoteReply,
)
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.state_machines import SimulatedStateMachine


class Violation(AssertionError):
    """An invariant of Raft does not hold."""


class CheckedNode(Protocol):
    """What the checks look at of a node."""

    id: NodeId
    core: Raft | None
    log: SimulatedLog
    state_machine: SimulatedStateMachine

    def holds(self, index: int, term: int) -> bool:
        """Whether an entry is durable there."""
        ...


class Ledger:
    """What is true of the whole cluster, gathered from what its nodes do."""

    __slots__ = (
        "_chain",
        "_commits",
        "_committed_ids",
        "_digests",
        "_leaders",
        "_nodes",
        "_promised",
        "_reference",
        "_refused",
        "_repeated",
        "_votes",
        "acknowledged",
        "committed",
        "configurations",
        "read_count",
    )

    def __init__(
        self, nodes: Mapping[NodeId, CheckedNode], beginning: Configuration, reference: SimulatedStateMachine | None
    ) -> None:
        self._nodes = nodes
        #: (index, membership) as committed; the first is the one the cluster begins with.
        self.configurations: list[tuple[int, Configuration]] = [(0, beginning)]
        #: The one list of committed entries; [0] stands for the empty log.
        self.committed: list[Entry | None] = [None]
        self.acknowledged: dict[str, int] = {}  # request id -> index of its first commit
        self._committed_ids: set[str] = set()
        self._refused: set[str] = set()  # those whose proposer was told that nothing came of them
        self._repeated: set[str] = set()  # those that a client has proposed more than once
        self.read_count = 0
        self._chain: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> (entry, term before it)
        self._commits: list[tuple[int, int]] = []  # (term in which it was committed, index up to which)
        self._leaders: dict[int, NodeId] = {}  # term -> leader
        #: node -> (term, index of that term's log, or 0 for a vote): the greatest that it has ever promised.
        self._promised: dict[NodeId, tuple[int, int]] = {}
        self._votes: dict[tuple[NodeId, int], NodeId] = {}  # (voter, term) -> candidate
        self._digests: dict[int, int] = {0: 0}
        # Applies the committed list as it grows: what every node's state must equal. None: nodes are compared.
        self._reference = reference

    # --- logs ---

    def check_ready(self, node: CheckedNode, ready: Ready) -> None:
        """Everything that a Ready says about the node's log."""
        core = node.core
        assert core is not None
        if ready.truncate_from is not None and core.role is Role.LEADER:
            raise Violation(f"leader {node.id} of term {core.term} truncates its log from {ready.truncate_from}")
        if ready.entries:
            self._check_entries(ready.entries, core.log.term(ready.entries[0].index - 1))
        if ready.soft_state is not None and ready.soft_state.role is Role.LEADER:
            self._check_leader(node, ready.soft_state.term)
        if ready.snapshot is not None:
            self.check_snapshot(node, ready.snapshot)
        if ready.hard_state is not None:
            self._check_commit(node, ready.hard_state.commit)
        if ready.committed:
            self._check_handed_out(node, ready.committed)

    def _check_entries(self, entries: tuple[Entry, ...], before: int) -> None:
        """Log matching: the same index and term are the same entry, after the same entry; by induction, all before."""
        chain = self._chain
        for entry in entries:
            known = chain.setdefault((entry.index, entry.term), (entry, before))
            if known[0] is not entry and known[0] != entry:
                raise Violation(f"two entries of index {entry.index} and term {entry.term}: {known[0]} and {entry}")
            if before not in (-1, known[1]) and known[1] != -1:
                raise Violation(f"before entry ({entry.index}, {entry.term}) are the terms {known[1]} and {before}")
            before = entry.term

    def _check_leader(self, node: CheckedNode, term: int) -> None:
        """Election safety, and leader completeness: the last committed entry is in the log, so all before it are."""
        if self._leaders.setdefault(term, node.id) != node.id:
            raise Violation(f"{node.id} and {self._leaders[term]} both lead term {term}")
        core = node.core
        assert core is not None
        hard = node.log.initial_state().hard_state
        if (hard.term, hard.vote) != (term, node.id):
            raise Violation(f"{node.id} leads term {term}, and its own vote is not durable: {hard}")
        for peer in core.tracker.peers:
            self.check_match(node, peer.node)
        # A leader of an earlier term may still be elected by late votes; it will not commit anything.
        index = next((index for since, index in reversed(self._commits) if since < term), 0)
        entry = self.committed[index]
        if entry is not None and core.log.term(index) != entry.term and core.log.first <= index:
            raise Violation(f"leader {node.id} of term {term} lacks the committed entry {index} of term {entry.term}")

    # --- commit ---

    def _check_commit(self, node: CheckedNode, commit: int) -> None:
        core = node.core
        assert core is not None
        committed = self.committed
        if commit < len(committed):
            mine = core.log.term(commit)
            entry = committed[commit]
            if entry is not None and mine not in (-1, entry.term):
                raise Violation(f"{node.id} commits entry {commit} of term {mine}, committed is {entry}")
            return
        first = len(committed)
        self._commits.append((core.term, commit))
        fresh = core.log.scan(max(first, core.log.first), commit + 1)
        if not fresh or fresh[0].index != first:
            raise Violation(f"{node.id} commits up to {commit} without having the entries from {first} on")
        if core.role is Role.LEADER:
            # A change may have taken effect since the leader counted, in the same event.
            self._check_quorum([one for _, one in core.configurations[-2:]], commit, core.log.term(commit))
        for entry in fresh:
            committed.append(entry)
            self._committed_ids.add(entry.request_id)
            self._check_refused(entry.request_id)
            if entry.kind is EntryKind.CONFIGURATION:
                self._check_membership(entry)
            if self._reference is not None:
                self._reference.apply((entry,))
                digest = self._reference.digest()
                assert digest is not None
                self._digests[entry.index] = digest

    def _check_quorum(self, configurations: list[Configuration], index: int, term: int) -> None:
        """What the leader counted must be on disks, now."""
        holders = {name for name, node in self._nodes.items() if node.holds(index, term)}
        if not any(_is_quorum(holders, configuration) for configuration in configurations):
            raise Violation(
                f"entry {index} of term {term} is committed by {configurations[-1]}, durable only at {sorted(holders)}"
            )

    def _check_membership(self, entry: Entry) -> None:
        """Memberships follow each other as joint consensus demands: no two changes at once."""
        before, now = self.configurations[-1][1], Configuration.decode(entry.data)
        if before.is_joint:
            legal = now.voters == before.voters and not now.is_joint
        else:
            legal = now.voters_outgoing == before.voters if now.is_joint else now.voters == before.voters
        back = (
            set(now.members)
            .difference(before.members)
            .intersection(one for _, earlier in self.configurations for one in earlier.members)
        )
        if back:
            raise Violation(f"entry {entry.index} brings {sorted(back)} back")
        if not legal:
            raise Violation(f"entry {entry.index} leads from {before} to {now}")
        self.configurations.append((entry.index, now))

    def in_effect(self, index: int) -> Configuration:
        """The membership that whoever has applied `index` goes by."""
        return next(one for since, one in reversed(self.configurations) if since <= index)

    def check_meta(self, node: CheckedNode, meta: SnapshotMeta) -> None:
        """What a snapshot or a compacted log says of the membership is what was in effect there."""
        expected = self.in_effect(meta.index)
        if meta.index and meta.configuration != expected:
            raise Violation(f"{node.id} says {meta.configuration} of index {meta.index}, in effect was {expected}")

    def check_snapshot(self, node: CheckedNode, meta: SnapshotMeta) -> None:
        """The membership in effect is the one of the applied index."""
        assert node.core is not None
        expected = self.in_effect(meta.index)
        if node.core.configuration != expected:
            raise Violation(f"{node.id} has {node.core.configuration} from a snapshot, in effect was {expected}")

    def _check_handed_out(self, node: CheckedNode, entries: tuple[Entry, ...]) -> None:
        if not node.holds(entries[-1].index, entries[-1].term):
            raise Violation(f"{node.id} hands out entry {entries[-1].index}, which is not durable there")
        for entry in entries:
            if entry.index >= len(self.committed):
                raise Violation(f"{node.id} hands out entry {entry.index}, which nobody has committed")
            known = self.committed[entry.index]
            if known is not entry and known != entry:
                raise Violation(f"{node.id} hands out {entry}, committed is {known}")

    # --- messages ---

    def check_sent(self, node: CheckedNode, m: Message) -> None:
        """What a message promises must be durable when it leaves."""
        check = _PROMISES.get(type(m))
        if check is not None:
            check(self, node, m)

    def _check_append_reply(self, node: CheckedNode, m: AppendReply) -> None:
        # If a later term's leader replaced the entries before they were written, one write stands for both: the node is
        # where it would be had it written them and then dropped them.
        log = node.log
        if m.rejected or log.initial_state().hard_state.term > m.term:
            return
        if log.last_index() < m.index:
            raise Violation(f"{node.id} acknowledges {m.index}, durable is only {log.last_index()}")
        self._promise(node, m.term, m.index)
        leader = self._nodes[m.to].core
        if leader is None or leader.term != m.term or leader.role is not Role.LEADER or m.index < log.first_index():
            return
        # Equal index and term is the same entry, and what comes before it too: see _check_entries.
        asked, durable = leader.log.term(m.index), log.term(m.index)
        if asked not in (-1, durable):
            raise Violation(f"{node.id} acknowledges entry {m.index} of term {asked}, durable is one of term {durable}")

    def check_match(self, leader: CheckedNode, peer: NodeId) -> None:
        """What a leader counts on is on that disk, unless the peer has gone on to a term in which it counts no more."""
        core, node = leader.core, self._nodes[peer]
        assert core is not None
        known = core.tracker.progress.get(peer)
        if core.role is not Role.LEADER or known is None or node.log.initial_state().hard_state.term > core.term:
            return
        term = core.log.term(known.match)
        if term >= 0 and not node.holds(known.match, term):
            raise Violation(
                f"{leader.id} counts on entry {known.match} of term {term} at {peer}, which does not have it"
            )

    def _promise(self, node: CheckedNode, term: int, index: int) -> None:
        if (term, index) > self._promised.get(node.id, (0, 0)):
            self._promised[node.id] = (term, index)

    # --- starts ---

    def check_start(self, node: CheckedNode) -> None:
        """What a node begins with is sound by itself, and all that it has promised is there."""
        log = node.log
        hard, last = log.initial_state().hard_state, log.last_index()
        if log.term(last) > hard.term:
            raise Violation(f"{node.id} starts in term {hard.term} with an entry of term {log.term(last)}")
        if hard.commit > last:
            raise Violation(f"{node.id} starts with {hard.commit} committed and a log that ends at {last}")
        promised = self._promised.get(node.id, (0, 0))
        if (hard.term, last) < promised:
            raise Violation(f"{node.id} starts in term {hard.term} at {last}, it has promised {promised}")
        vote = self._votes.get((node.id, hard.term), hard.vote)
        if hard.vote != vote:
            raise Violation(
                f"{node.id} starts with a vote for {hard.vote} in term {hard.term}, it has sent one for {vote}"
            )
        self._check_known_changes(node, max(hard.commit, node.state_machine.applied), last)

    def _check_known_changes(self, node: CheckedNode, committed: int, last: int) -> None:
        """Whoever has a change of the membership knows that the one before it is committed: see `HardState`."""
        unknown = node.log.entries(committed + 1, last + 1, 1 << 62) if committed < last else []
        changes = [entry.index for entry in unknown if entry.kind is EntryKind.CONFIGURATION]
        if len(changes) > 1:
            raise Violation(f"{node.id} starts with changes of the membership at {changes}, committed is {committed}")

    def _check_vote_reply(self, node: CheckedNode, m: VoteReply) -> None:
        if m.granted and not m.pre:
            self._check_vote(node, m.term, m.to)

    def _check_request_vote(self, node: CheckedNode, m: RequestVote) -> None:
        if not m.pre:
            self._check_vote(node, m.term, node.id)

    def _check_vote(self, node: CheckedNode, term: int, candidate: NodeId) -> None:
        if self._votes.setdefault((node.id, term), candidate) != candidate:
            raise Violation(f"{node.id} votes for {self._votes[node.id, term]} and for {candidate} in term {term}")
        hard = node.log.initial_state().hard_state
        if hard.term < term or (hard.term == term and hard.vote != candidate):
            raise Violation(f"{node.id} sends a vote for {candidate} in term {term}, durable is {hard}")
        self._promise(node, term, 0)

    # --- states ---

    def check_applied(self, node: CheckedNode) -> None:
        """Equal states at equal applied index. With exactly-once in the reference, also that."""
        state_machine = node.state_machine
        digest = state_machine.digest()
        if digest is None:
            return
        expected = self._digests.setdefault(state_machine.applied, digest)
        if digest != expected:
            raise Violation(f"{node.id} has another state than others at applied index {state_machine.applied}")

    def repeat(self, request_id: str) -> None:
        """A client proposes it again: it may be refused and committed."""
        self._repeated.add(request_id)

    def refuse(self, request_id: str) -> None:
        """The proposer was told that nothing came of it."""
        self._refused.add(request_id)
        self._check_refused(request_id)

    def _check_refused(self, request_id: str) -> None:
        if request_id in self._refused and request_id in self._committed_ids and request_id not in self._repeated:
            raise Violation(f"{request_id} is committed, and its proposer was told that nothing came of it")

    def acknowledge(self, request_id: str, index: int) -> None:
        """The proposer saw its command applied."""
        self.acknowledged.setdefault(request_id, index)

    def check_read(self, node: CheckedNode, asked_at: int, index: int) -> None:
        """A read sees what was committed when it was asked, at least."""
        self.read_count += 1
        if index < asked_at:
            raise Violation(f"a read at {node.id} may be served from {index}, when asked {asked_at} was committed")

    def check_acknowledged(self) -> None:
        """Every acknowledged command is where it was acknowledged."""
        for request_id, index in self.acknowledged.items():
            entry = self.committed[index]
            if entry is None or entry.request_id != request_id:
                raise Violation(f"{request_id} was acknowledged at {index}, where {entry} is committed")


def _is_quorum(nodes: set[NodeId], configuration: Configuration) -> bool:
    return all(
        not voters or len(nodes.intersection(voters)) > len(voters) // 2
        for voters in (configuration.voters, configuration.voters_outgoing)
    )


_PROMISES: dict[type, Callable[..., None]] = {
    AppendReply: Ledger._check_append_reply,
    VoteReply: Ledger._check_vote_reply,
    RequestVote: Ledger._check_request_vote,
}
