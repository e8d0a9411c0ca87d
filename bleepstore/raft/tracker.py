"""What a leader knows of each member: how far its log goes, and how much may be sent to it.

PROBE      where the logs meet is unknown: one message, then wait for its answer
REPLICATE  it is known: messages follow each other without waiting, up to a window
SNAPSHOT   what the member needs was compacted: wait until it has installed a snapshot
"""

from __future__ import annotations

import enum
from collections import deque

from bleepstore.raft.messages import Configuration, NodeId
from bleepstore.raft.quorum import joint_value


class Flow(enum.Enum):
    """How entries go to a member."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    """One member as its leader sees it."""

    __slots__ = (
        "attempt", "flow", "inflight", "level", "low_on_space", "match", "next", "node", "offered_index", "paused",
        "read_round", "recent_active", "sent_commit", "was_active",
    )  # fmt: skip

    def __init__(self, node: NodeId, next_index: int) -> None:
        self.node = node
        self.reset(next_index)
        self.recent_active = True  # a new member has not had its chance to answer yet

    def reset(self, next_index: int) -> None:
        """Nothing is known: the start of a leadership."""
        self.flow = Flow.PROBE
        self.attempt = 0  # rises with every probe: rejections of what was sent before it are out of date
        self.match = 0  # the log is durable there and equal to the leader's up to here
        self.next = next_index  # the first entry to send next; always > match
        self.paused = False  # PROBE: an answer is awaited
        self.inflight: deque[int] = deque()  # REPLICATE: the last index of each unanswered message
        self.offered_index = 0  # the snapshot that was offered, until the member has caught up from it
        self.recent_active = False  # heard of since the last check of the quorum
        self.was_active = False  # heard of between the two last checks
        self.low_on_space: bool | None = None  # what it has said last to this leader; None: nothing
        self.level = 1  # the feature level that it has announced to this leader; every program knows the first
        self.sent_commit = 0  # the commit index that was last told
        self.read_round = 0  # the last read confirmation that was answered

    def probe(self) -> None:
        """Find out where the logs meet, from what is acknowledged on."""
        self.next = self.match + 1
        self.flow = Flow.PROBE
        self.attempt += 1
        self.paused = False
        self.inflight.clear()

    def replicate(self) -> None:
        """The logs meet at `match`: send ahead."""
        self.flow = Flow.REPLICATE
        self.paused = False
        self.next = self.match + 1
        self.inflight.clear()

    def await_snapshot(self, index: int) -> None:
        """Nothing can be sent until the member has the snapshot."""
        self.flow = Flow.SNAPSHOT
        self.offered_index = index
        self.inflight.clear()

    @property
    def kept_after(self) -> int | None:
        """The entries after this are kept for the member, which catches up from a snapshot; None: none are.

        All that come while it fetches and installs one, and while it gets what came meanwhile: without them it would
        be offered the next snapshot, and under load never catch up. A member that is silent is not waited for.
        """
        if not self.offered_index or not (self.recent_active or self.was_active):
            return None
        return max(self.offered_index, self.match)

    def acknowledge(self, index: int) -> bool:
        """The member has the log up to `index`; whether that is news."""
        inflight = self.inflight
        while inflight and inflight[0] <= index:
            inflight.popleft()
        if index >= self.next:
            self.next = index + 1
        if index <= self.match:
            return False
        self.match = index
        return True


class Tracker:
    """The membership in effect and the progress of each member, this node included."""

    __slots__ = ("_incoming", "_outgoing", "configuration", "peers", "progress", "removed")

    def __init__(self, node: NodeId, configuration: Configuration, last_index: int) -> None:
        self.progress: dict[NodeId, Progress] = {}
        self.switch(node, configuration, last_index)

    def switch(self, node: NodeId, configuration: Configuration, last_index: int) -> None:
        """Put a membership into effect; members that stay keep their progress."""
        old = self.progress
        self.configuration = configuration
        self.removed = frozenset(configuration.removed)
        self.progress = {
            member: old[member] if member in old else Progress(member, max(last_index, 1))
            for member in configuration.members
        }
        #: The other members, sorted by id.
        self.peers = tuple(one for one in self.progress.values() if one.node != node)
        self._incoming = tuple(self.progress[voter] for voter in configuration.voters)
        self._outgoing = tuple(self.progress[voter] for voter in configuration.voters_outgoing)

    def durable_index(self) -> int:
        """The highest index that is durable on a quorum."""
        if not self._outgoing:
            return joint_value([one.match for one in self._incoming], ())
        return joint_value([one.match for one in self._incoming], [one.match for one in self._outgoing])

    def confirmed_round(self) -> int:
        """The latest read confirmation that a quorum has answered."""
        return joint_value([one.read_round for one in self._incoming], [one.read_round for one in self._outgoing])

    def quorum_active(self) -> bool:
        """Whether a quorum was heard of since the last call, which this begins anew."""
        active = joint_value([one.recent_active for one in self._incoming], [o.recent_active for o in self._outgoing])
        for one in self.peers:
            one.was_active, one.recent_active = one.recent_active, False
        return bool(active)

    def is_voter(self, node: NodeId) -> bool:
        return node in self.configuration.voters or node in self.configuration.voters_outgoing
