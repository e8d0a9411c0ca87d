"""The values that go into the Raft core and come out of it. The comments on the fields are the contract.

    Entry, EntryKind, HardState, Configuration, SnapshotMeta     what a log keeps
    Envelope and its subclasses                                  what nodes send to each other
    Ready                                                        what the core asks of its driver
    Accepted, Forwarded, Refusal                                 what a call of the core answers

Everything is frozen. Indexes and terms are ints and begin at 1; index 0 with term 0 is the empty log. Ticks are the
only time. Nothing here knows what the bytes of an entry mean.
"""

from __future__ import annotations

import enum
import json

import attrs

from bleepstore.errors import BleepStoreError

#: A node's name: a UUID that is made with its empty log (see `ids`) and never used again, also not by the same
#: machine after its disk was wiped: a node that lost its disk has forgotten votes and acknowledgements, so it is
#: another node. The cluster remembers who was removed: see `Configuration.removed`. To the core it is any text.
NodeId = str

#: Terms and indexes are below it: they and their sums fit wherever they are kept. Nobody counts so far.
MAX_NUMBER = 1 << 62

#: What an entry counts beside its data where bytes are limited.
ENTRY_OVERHEAD = 64


class MalformedValue(BleepStoreError):
    """Bytes that should hold a value of this module do not."""


def is_text(value: object) -> bool:
    """Whether `value` is a text that can be stored and sent. JSON can smuggle in halves of surrogate pairs, which are
    no characters and have no UTF-8.
    """
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class EntryKind(enum.IntEnum):
    """What the core makes of an entry. The numbers are stored and sent: never change one."""

    COMMAND = 1  # bytes of the state machine
    NOOP = 2  # the first entry of a leader's term: committing it commits all before it (Raft thesis, section 3.6.2)
    CONFIGURATION = 3  # data is `Configuration.encode()`, the whole new membership


class Role(enum.Enum):
    """What a node is in its term."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Refusal(enum.Enum):
    """Why the core did not do what it was asked. Each is counted in `Counters.refused`. The names are sent
    (`ProposeRefused`): never change one.
    """

    OTHER_CLUSTER = "the message is of another cluster"
    OTHER_RECIPIENT = "the message is addressed to another node: ids are never reused"
    SELF_NAMED_SENDER = "the message names this node as its sender"
    UNKNOWN_SENDER = "the sender is not a member of the cluster"
    REMOVED_SENDER = "the sender was removed from the cluster"
    REMOVED = "this node was removed from the cluster"
    MALFORMED_TEXT = "a name or a request id is no text"
    OUT_OF_RANGE = "a term is out of range"
    UNKNOWN_MESSAGE = "the message is of no known kind"
    UNKNOWN_ENTRY_KIND = "an entry is of no known kind"
    INDEX_GAP = "the entries do not follow each other"
    TERM_DISORDER = "the terms of the entries do not rise with their indexes, or pass the message's own"
    MALFORMED_CONFIGURATION = "a configuration entry does not hold a configuration"
    STALE_TERM = "the message is of an earlier term"
    TWO_LEADERS = "another node claims to lead this node's own term"
    CONTRADICTS_COMMITTED = "the entries contradict what is committed here"
    COMMIT_BEYOND_LOG = "the sender counts on entries that this node does not have: was its disk wiped?"
    NOT_FROM_LEADER = "the sender does not lead"
    BEYOND_LOG = "the sender acknowledges entries that were never sent"
    IN_LEASE = "a leader is known and was heard of lately"
    NO_LEADER = "no leader is known"
    NOT_LEADER = "this node is not the leader"
    TRANSFERRING = "leadership is being handed over"
    TOO_MUCH_UNCOMMITTED = "too many bytes wait for their commit"
    NO_SPACE = "the disk of the leader is almost full"
    MALFORMED_DATA = "the data of a proposal is not bytes"
    ENTRY_TOO_LARGE = "the entry is larger than a message may be"
    ALREADY_TAKEN = "the command is in the log, and not applied yet"
    REPEATED_OFFER = "the offer has come before, or is too old to know"
    UNKNOWN_OFFER = "the answer is to an offer of an earlier life"
    CHANGE_PENDING = "another change of the membership is under way"
    BAD_CHANGE = "the change of the membership cannot be made from the present one"
    NOT_CAUGHT_UP = "the learner does not have the log yet"
    LEVEL_NOT_ANNOUNCED = "a member does not know this feature level, or has not said so yet"
    NOT_A_VOTER = "the node has no vote"
    REUSED_CONTEXT = "the context of a read must be greater than all before it"
    UNKNOWN_READ = "nobody waits for the answer to this read"
    TOO_MANY_READS = "too many reads wait for a quorum"
    STALE_SNAPSHOT = "the log has everything that the snapshot includes"
    LOG_EMPTY = "a node that has neither log nor membership has no vote to give"


def _ids(ids: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
    return tuple(sorted(set(ids)))


@attrs.frozen
class Configuration:
    """The membership. Each tuple is sorted and free of repeats.

    While `voters_outgoing` is not empty the membership is joint: every decision (election, commit, read) needs a
    majority of `voters` and a majority of `voters_outgoing` (Raft paper, section 6). It takes effect at a node when
    the node applies the entry that carries it.
    """

    voters: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)
    voters_outgoing: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)  # () unless joint
    learners: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)  # get the log, have no vote
    # Who ever was a member and is none any more: these ids never come back. Part of the membership, so that neither
    # compaction, nor a restart, nor a snapshot forgets them.
    removed: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)
    # The feature level: what proposers may use. Every member knows it, or it would not have been raised to it.
    level: int = 1

    def __attrs_post_init__(self) -> None:
        both = set(self.learners) & (set(self.voters) | set(self.voters_outgoing))
        if both:
            raise MalformedValue(f"{sorted(both)} would be learners and voters at once")
        if self.voters_outgoing and not self.voters:
            raise MalformedValue("a joint membership needs incoming voters")
        back = set(self.removed) & set(self.members)
        if back:
            raise MalformedValue(f"{sorted(back)} would be members and removed at once")

    @property
    def is_joint(self) -> bool:
        return bool(self.voters_outgoing)

    @property
    def members(self) -> tuple[NodeId, ...]:
        """Every node that takes part, sorted."""
        return _ids((*self.voters, *self.voters_outgoing, *self.learners))

    def followed_by(
        self, voters: tuple[NodeId, ...], voters_outgoing: tuple[NodeId, ...], learners: tuple[NodeId, ...]
    ) -> Configuration:
        """The next membership; it remembers who leaves."""
        left = set(self.members).difference(voters, voters_outgoing, learners)
        return Configuration(voters, voters_outgoing, learners, (*self.removed, *left), self.level)

    def encode(self) -> bytes:
        """Canonical JSON: equal configurations give equal bytes. Form 2 is form 1 and the removed ids, if any; form 3
        has a feature level above 1 as well.
        """
        record: dict[str, object] = {
            "form": 1, "voters": self.voters, "outgoing": self.voters_outgoing, "learners": self.learners,
        }  # fmt: skip
        if self.removed:
            record |= {"form": 2, "removed": self.removed}
        if self.level > 1:
            record |= {"form": 3, "removed": self.removed, "level": self.level}
        return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()

    @staticmethod
    def decode(data: bytes) -> Configuration:
        """The inverse of `encode`. Raises MalformedValue."""
        try:
            record = json.loads(data)
            if record["form"] not in (1, 2, 3):
                raise MalformedValue(f"unknown form {record['form']!r} of a configuration: upgrade this node")
            parts = [record["voters"], record["outgoing"], record["learners"]]
            parts.append(record["removed"] if record["form"] > 1 else [])
            if not all(isinstance(part, list) and all(map(is_text, part)) for part in parts):
                raise MalformedValue("a configuration holds lists of ids")
            level = record["level"] if record["form"] > 2 else 1
            if type(level) is not int or not 1 <= level < MAX_NUMBER:
                raise MalformedValue("a feature level is a number")
            voters, outgoing, learners, removed = (tuple(part) for part in parts)
            return Configuration(voters, outgoing, learners, removed, level)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise MalformedValue(f"not a configuration: {error!r}") from error


@attrs.frozen
class ConfChange:
    """What shall be changed of the membership; all of it in one step or nothing.

    A new node comes in as a learner and is promoted once it has the log: a voter without the log would only make the
    quorum harder to reach. A removed id never comes back.
    """

    learn: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)  # new learners
    promote: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)  # learners that become voters
    remove: tuple[NodeId, ...] = attrs.field(default=(), converter=_ids)  # voters or learners that leave
    level: int = 0  # the feature level that all members have announced; 0: it stays. It never falls


@attrs.frozen
class Entry:
    """One position of the log. The same (index, term) is the same entry on every node, for ever."""

    index: int
    term: int  # of the leader that made it
    kind: EntryKind
    data: bytes = attrs.field(default=b"", repr=False)
    # COMMAND only: who waits for it. Stored with the entry, so that the node that proposed it, leader or not, can tell
    # its own proposals when they are applied. Not unique: a retry appends the same id again, and the state machine
    # answers the repeat with the first result.
    request_id: str = ""


@attrs.frozen
class HardState:
    """What a node must not forget: written in the same transaction as the entries of the same Ready.

    `commit` belongs there too. Configurations take effect when applied, and a node that has the second of two
    configuration entries in its log must know that the first is committed before it may campaign; so a commit index
    is durable no later than the entries that came in the same message.
    """

    term: int = 0
    vote: NodeId | None = None  # for whom this node voted in `term`
    commit: int = 0  # highest index known to be committed; a lower bound, never beyond the log's last index


@attrs.frozen
class SnapshotMeta:
    """A state of the state machine, by what the log must know of it. The bytes travel apart from Raft's messages."""

    index: int = 0  # the last entry that the state includes
    term: int = 0  # of that entry
    configuration: Configuration = Configuration()  # in effect at `index`, not later: never a newer or older one
    name: str = ""  # the driver's own name for the copy (a file, an epoch); the core only carries it


# --- messages ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Envelope:
    """What all messages have."""

    cluster: str  # the id of the cluster: a message of another one is refused
    sender: NodeId
    to: NodeId
    term: int  # the sender's term when it made the message (a pre-vote: the term that it would campaign in)


@attrs.frozen
class RequestVote(Envelope):
    """Asks for a vote; with `pre` only whether it would be granted (Raft thesis, section 9.6)."""

    last_index: int  # of the candidate's log
    last_term: int
    pre: bool = False
    transfer: bool = False  # the leader asked for this election: leases are no reason to refuse
    # What the sender knows to be committed. A receiver whose log agrees there knows it too, leader or not: a membership
    # that is decided but unknown to those who must elect by it could otherwise block every election.
    commit: int = 0
    commit_term: int = 0


@attrs.frozen
class VoteReply(Envelope):
    # A granted pre-vote carries the term that was asked for, every other reply the voter's own.
    granted: bool
    pre: bool = False
    commit: int = 0  # as in RequestVote
    commit_term: int = 0


@attrs.frozen
class AppendEntries(Envelope):
    """Entries that follow (prev_index, prev_term); none: only the commit index, or a probe."""

    prev_index: int
    prev_term: int
    entries: tuple[Entry, ...]
    commit: int  # the leader's; the receiver believes it only up to the last index that this message verifies
    attempt: int = 0  # how often the leader had to look for the index where the logs meet


@attrs.frozen
class AppendReply(Envelope):
    # Accepted: the receiver's log agrees with the leader's up to here, and it is durable.
    # Rejected: the `prev_index` that did not fit.
    index: int
    rejected: bool = False
    hint_index: int = 0  # rejected: the highest index at which the logs may still agree ...
    hint_term: int = 0  # ... and the receiver's term there
    attempt: int = 0  # rejected: repeated from the message, so that a volley of rejections counts once


@attrs.frozen
class Heartbeat(Envelope):
    commit: int  # never beyond what the receiver has acknowledged
    read_round: int  # the leader's count of read confirmations; unique within the term
    asked: int = 0  # the index whose fingerprint is asked for; see `comparison`
    agreed: int = 0  # an index at which a majority has this one
    fingerprint: int = 0
    level: int = 1  # the newest feature level that the leader knows


@attrs.frozen
class HeartbeatReply(Envelope):
    read_round: int  # repeated from the heartbeat: the sender still followed when it was asked
    low_on_space: bool = False  # the sender's disk is almost full
    level: int = 1  # the newest feature level that the sender knows
    compared: int = 0  # the index that was asked for, if the sender has its fingerprint
    fingerprint: int = 0


@attrs.frozen
class InstallSnapshot(Envelope):
    """An offer: the log that the receiver needs was compacted; fetch a state at `meta.index` or later from the sender.

    Repeated with the heartbeats until the receiver has caught up. A receiver that has the entries already answers with
    an `AppendReply`, and so does one that has installed a snapshot.
    """

    meta: SnapshotMeta
    size: int = 0  # about how many bytes it has


@attrs.frozen
class TimeoutNow(Envelope):
    """The leader hands over: campaign at once."""


@attrs.frozen
class ReadIndexRequest(Envelope):
    incarnation: int  # drawn at the start of the asking node: a reply to an earlier life must not answer a new read
    context: int


@attrs.frozen
class ReadIndexReply(Envelope):
    incarnation: int
    context: int
    index: int  # a state that has applied this index is recent enough


@attrs.frozen
class ProposeRequest(Envelope):
    """A follower passes a proposal on. It may be lost: the proposer retries with the same id, which is another offer.

    A leader acts on an offer once, however often the message arrives.
    """

    request_id: str
    data: bytes = attrs.field(repr=False)
    frees_space: bool
    incarnation: int  # as in ReadIndexRequest
    offer: int  # counts the offers of this life of the sender


@attrs.frozen
class ProposeRefused(Envelope):
    """The leader has not taken a proposal that was passed on to it, and never will by this offer. Without this answer
    the proposer would only learn that by waiting.
    """

    request_id: str
    reason: Refusal
    incarnation: int  # repeated from the offer
    offer: int


@attrs.frozen
class Removed(Envelope):
    """The receiver was removed from the cluster, which is decided: nobody will answer it any more."""


Message = (
    RequestVote
    | VoteReply
    | AppendEntries
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | InstallSnapshot
    | TimeoutNow
    | ReadIndexRequest
    | ReadIndexReply
    | ProposeRequest
    | ProposeRefused
    | Removed
)


# --- what the core answers and asks -----------------------------------------------------------------------------------


@attrs.frozen
class Accepted:
    """The leader has it in its log. It may still be lost: only a committed entry of this index *and* term is it."""

    index: int
    term: int


@attrs.frozen
class Forwarded:
    """A follower passed the proposal on. Whether it arrives is unknown."""

    to: NodeId
    offer: int  # `ProposeRefused` names it


@attrs.frozen
class SoftState:
    """What a node is; nobody needs it to be durable."""

    role: Role
    leader: NodeId | None
    term: int


@attrs.frozen
class ReadReady:
    """A read that was asked for by `read_index(context)` may be served once `index` is applied here."""

    context: int
    index: int


@attrs.frozen
class SnapshotFetch:
    """Fetch a snapshot from `source`: at `meta.index` or later, of that node's applied state.

    Answer with `install_snapshot(meta)` once it is verified and durable beside the present state, or with
    `snapshot_failed()`.
    """

    source: NodeId
    meta: SnapshotMeta
    size: int = 0  # about how many bytes it has


@attrs.frozen
class Ready:
    """What the driver must do now. Readys are handled in order.

    1. `messages` may be sent at once, even before 2.
    2. `snapshot`, `truncate_from`, `entries` and `hard_state` are made durable together, in one transaction:
       `LogStorage.save`. If that fails, the node ends: nobody knows what the disk holds.
    3. Then `messages_after` may be sent, and `advance(token)` is called. Both wait for all earlier Readys too: a reply
       may count on entries of an earlier one. More Readys may be taken while a write is under way.
    4. `committed` is applied in order, at any time; then `applied(index)` is called. All of it is durable here and
       on a quorum.
    """

    token: int
    soft_state: SoftState | None  # None: unchanged
    hard_state: HardState | None  # None: unchanged
    snapshot: SnapshotMeta | None  # replaces the whole log; the state machine is switched with it
    truncate_from: int | None  # drop this index and all after it, before the entries are appended
    entries: tuple[Entry, ...]  # follow the (truncated) log without a gap
    messages: tuple[Message, ...]
    messages_after: tuple[Message, ...]
    committed: tuple[Entry, ...]
    reads: tuple[ReadReady, ...]
    lost_reads: tuple[int, ...]  # contexts that will get no answer: ask again with a new one
    fetch: SnapshotFetch | None

    @property
    def must_save(self) -> bool:
        """Whether there is anything to make durable. If not, `messages_after` wait only for earlier Readys."""
        return (
            self.hard_state is not None
            or bool(self.entries)
            or self.truncate_from is not None
            or self.snapshot is not None
        )


@attrs.define
class Counters:
    """What happened, for metrics. Only ever rises."""

    elections: int = 0  # campaigns begun here (not pre-votes)
    leaderships: int = 0  # terms led
    steps: int = 0  # messages handled
    entries_appended: int = 0
    snapshots_offered: int = 0
    snapshots_installed: int = 0
    refused: dict[Refusal, int] = attrs.field(factory=dict)

    def refuse(self, reason: Refusal) -> Refusal:
        """Count a refusal and hand it back."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
        return reason
