"""The state of a node, the roles it may take, and the buffers that its output waits in.

The core is this class and the layers above it, each of which knows only those below:

    state        state, roles, outgoing messages
    replication  entries from leader to followers, commit
    reads        linearizable reads
    membership   joint consensus, snapshots' configurations, hand-over of leadership
    elections    pre-votes, votes, ticks
    core         the public face: checks what comes in, makes a Ready of what goes out
"""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Protocol

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.raft.comparison import Comparison
from bleepstore.raft.log_view import LogView
from bleepstore.raft.messages import (
    Counters,
    HardState,
    Message,
    NodeId,
    ReadReady,
    Refusal,
    Role,
    SnapshotFetch,
    SnapshotMeta,
)
from bleepstore.raft.offers import OffersOfAll
from bleepstore.raft.storage import LogStorage
from bleepstore.raft.tracker import Tracker

#: The changes of role that Raft knows, and what brings each about. No other ever happens (`_become` insists).
TRANSITIONS: dict[tuple[Role, Role], str] = {
    (Role.FOLLOWER, Role.FOLLOWER): "a newer term",
    (Role.FOLLOWER, Role.PRE_CANDIDATE): "election timeout",
    (Role.FOLLOWER, Role.CANDIDATE): "the leader hands over",
    (Role.PRE_CANDIDATE, Role.PRE_CANDIDATE): "election timeout",
    (Role.PRE_CANDIDATE, Role.CANDIDATE): "a majority would vote for it",
    (Role.PRE_CANDIDATE, Role.FOLLOWER): "a leader, a newer term, or a majority refuses",
    (Role.CANDIDATE, Role.PRE_CANDIDATE): "election timeout",
    (Role.CANDIDATE, Role.LEADER): "votes of a majority, its own once durable",
    (Role.CANDIDATE, Role.FOLLOWER): "a leader, a newer term, or a majority refuses",
    (Role.LEADER, Role.FOLLOWER): "a newer term, no word of a quorum, or removed",
}


class IllegalTransition(BleepStoreError):
    """The core would take a role that it cannot take from the present one: a fault of the core."""


class RandomSource(Protocol):
    """What the core needs of `random.Random`."""

    def randrange(self, stop: int, /) -> int: ...

    def getrandbits(self, k: int, /) -> int: ...


@attrs.frozen
class Settings:
    """How a node behaves. The same on all nodes, though nothing breaks if they differ."""

    election_ticks: int = 10  # ticks without a leader before a campaign; drawn anew from [n, 2n) for every one
    heartbeat_ticks: int = 1  # ticks between heartbeats, well below election_ticks
    max_message_bytes: int = 1 << 20  # of entries per AppendEntries, unless a single entry is larger
    max_entry_bytes: int = 16 << 20  # a larger proposal is refused
    max_inflight: int = 64  # unanswered AppendEntries per follower
    max_uncommitted_bytes: int = 64 << 20  # proposals that wait for their commit; more are refused
    max_apply_bytes: int = 16 << 20  # committed entries handed out but not yet applied
    max_waiting_reads: int = 4096  # reads at the leader that wait for a quorum, or for the first commit of its term
    max_forwarded_reads: int = 256  # reads of a follower that wait for the leader's answer: few, or it would have none
    level: int = 1  # the newest feature level that this program knows
    promote_lag: int = 64  # a learner may be promoted when it lacks no more entries than this


@attrs.define
class WaitingRead:
    """A read at the leader that waits for a quorum to confirm the leadership."""

    round: int
    index: int
    asker: NodeId | None  # None: this node
    incarnation: int
    context: int


class RaftState:
    """What a node knows and is."""

    __slots__ = (
        "_after", "_applying", "_applying_bytes", "_early_reads", "_emitted_hard", "_emitted_soft", "_farewell",
        "_fetch", "_fetching", "_forwarded_reads", "_handed_configurations", "_last_context", "_last_offer",
        "_lost_reads", "_messages", "_offers_heard", "_pump_due", "_reads_ready", "_rng", "_round", "_round_due",
        "_token", "_unapplied", "_waiting_reads", "_was_told_of_removal", "cluster", "comparison", "configurations",
        "counters", "election_elapsed", "election_timeout", "heartbeat_elapsed", "incarnation", "is_leaving",
        "leader", "log", "low_on_space", "node", "pending_configuration_index", "role", "settings", "state_bytes",
        "term", "tracker", "transfer_target", "uncommitted_bytes", "vote", "votes",
    )  # fmt: skip

    def __init__(
        self, storage: LogStorage, rng: RandomSource, applied: int = 0, settings: Settings = Settings()
    ) -> None:
        """Start from what `storage` holds durably.

        `applied`: up to where the state machine durably is. `rng` draws election timeouts and the incarnation; give
        every start another one (in production one that the operating system seeds).
        Raises LogMisuse if there is a gap between the log and the state machine.
        """
        state = storage.initial_state()
        self.cluster = state.cluster
        self.node = state.node
        self.settings = settings
        self.counters = Counters()
        self.log = LogView(storage, applied)
        self.term = state.hard_state.term
        self.vote: NodeId | None = state.hard_state.vote
        self.role = Role.FOLLOWER
        self.leader: NodeId | None = None
        self._rng = rng
        self.incarnation = rng.getrandbits(62)
        self._begin_membership(state.snapshot)

        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = self._draw_timeout()
        self.votes: dict[NodeId, bool] = {}
        self.transfer_target: NodeId | None = None
        self.uncommitted_bytes = 0
        self._unapplied: OrderedDict[str, int] = OrderedDict()  # request id -> index, of what this leader appended
        self._offers_heard = OffersOfAll()  # in this term
        self._last_offer = 0
        self.low_on_space = False  # set by the driver: proposals are refused unless they free some, all else goes on
        self.is_leaving = False  # set by the driver: no proposal is taken any more, another node shall lead
        self.state_bytes = 0  # set by the driver: about how many bytes a snapshot has
        self.comparison = Comparison()
        self._pump_due = False

        self._round = 0
        self._round_due = False
        self._waiting_reads: list[WaitingRead] = []
        self._early_reads: list[WaitingRead] = []
        self._forwarded_reads: dict[int, int] = {}  # context -> ticks since it was asked
        self._last_context = 0
        self._begin_output(state.hard_state)

    def _begin_membership(self, snapshot: SnapshotMeta) -> None:
        # (index, configuration) from the snapshot on, up to what is applied; the last one is in effect.
        self.configurations = self.log.configurations(snapshot)
        self.tracker = Tracker(self.node, self.configurations[-1][1], self.log.last)
        self.pending_configuration_index = 0  # no further change before this index is applied
        self._was_told_of_removal = False
        self._farewell = 0  # a removed leader leads until this index is committed
        self._handed_configurations: list[int] = []  # handed out, not yet applied

    def _begin_output(self, hard: HardState) -> None:
        self._messages: list[Message] = []
        self._after: list[Message] = []
        self._reads_ready: list[ReadReady] = []
        self._lost_reads: list[int] = []
        self._fetch: SnapshotFetch | None = None
        self._fetching: SnapshotFetch | None = None
        self._applying: list[tuple[int, int]] = []  # (last index, bytes) of what was handed out
        self._applying_bytes = 0
        self._token = 0
        self._emitted_hard = (hard.term, hard.vote, hard.commit)
        self._emitted_soft: tuple[Role, NodeId | None, int] = (self.role, self.leader, self.term)

    def _draw_timeout(self) -> int:
        """Raft paper, section 5.2: timeouts are random so that elections seldom tie."""
        return self.settings.election_ticks + self._rng.randrange(self.settings.election_ticks)

    # --- roles ---

    def _become(self, role: Role) -> None:
        if (self.role, role) not in TRANSITIONS:
            raise IllegalTransition(f"from {self.role.value} to {role.value}")
        self.role = role

    def _enter_term(self, term: int) -> None:
        """Forget what belongs to the last role; a new term begins without a vote."""
        if term != self.term:
            self.term = term
            self.vote = None
        self.leader = None
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = self._draw_timeout()
        self.votes = {}
        self.transfer_target = None
        self._farewell = 0
        self.uncommitted_bytes = 0
        self._unapplied.clear()
        self._offers_heard.clear()
        self._drop_reads()

    def _become_follower(self, term: int, leader: NodeId | None) -> None:
        self._become(Role.FOLLOWER)
        self._enter_term(term)
        self.leader = leader

    def _drop_reads(self) -> None:
        """Whoever led or was to answer may not any more."""
        self._round = 0
        self._round_due = False
        for read in (*self._early_reads, *self._waiting_reads):
            if read.asker is None:
                self._lost_reads.append(read.context)
        self._lost_reads.extend(self._forwarded_reads)
        self._early_reads.clear()
        self._waiting_reads.clear()
        self._forwarded_reads.clear()

    # --- refusals ---

    def _refuse(self, reason: Refusal) -> Refusal:
        return self.counters.refuse(reason)


def system_random() -> RandomSource:
    """The generator for production: seeded by the operating system, another one at every start."""
    return random.Random(random.SystemRandom().getrandbits(128))
