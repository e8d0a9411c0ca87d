"""The core as a whole: its tables are true, and nothing that comes in makes it crash."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore.raft.core import CONVERSATION, FROM_ANYBODY, HANDLERS, Raft
from bleepstore.raft.membership import ImpossibleChange, changed
from bleepstore.raft.messages import (
    Accepted,
    AppendEntries,
    AppendReply,
    ConfChange,
    Configuration,
    Entry,
    EntryKind,
    Forwarded,
    HardState,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    MalformedValue,
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
    SnapshotMeta,
    TimeoutNow,
    VoteReply,
)
from bleepstore.raft.state import TRANSITIONS, IllegalTransition, Settings, system_random
from bleepstore.raft.storage import LogMisuse, MemoryLog
from bleepstore.testing.simulator import run_seed

NAMES = ("a", "b", "c")
BEGINNING = SnapshotMeta(configuration=Configuration(NAMES))


def make_core(name: str = "a", **kwargs: int) -> tuple[Raft, MemoryLog]:
    log = MemoryLog("c", name, BEGINNING)
    return Raft(log, random.Random(1), settings=Settings(**kwargs)), log


def drain(core: Raft, log: MemoryLog) -> Iterator[Ready]:
    """All Readys, each made durable and applied at once."""
    while (ready := core.ready()) is not None:
        log.save(ready.hard_state, ready.truncate_from, ready.entries, ready.snapshot)
        core.advance(ready.token)
        if ready.committed:
            core.applied(ready.committed[-1].index)
        yield ready


def elect(core: Raft, log: MemoryLog) -> None:
    """Make `core` the leader by the vote of b."""
    while core.role is Role.FOLLOWER:
        core.tick()
    core.step(VoteReply("c", "b", "a", core.term + 1, True, True))
    list(drain(core, log))
    core.step(VoteReply("c", "b", "a", core.term, True))
    list(drain(core, log))
    assert core.role is Role.LEADER


# --- tables ---


def test_every_message_has_a_handler_and_a_part_in_the_conversation() -> None:
    kinds = set(get_args(Message))
    assert set(HANDLERS) == kinds
    assert all(hasattr(Raft, name) for name in HANDLERS.values())
    drawn = {kind for asked, _, _, answer in CONVERSATION for kind in (asked, answer) if kind is not None}
    assert drawn == kinds
    assert kinds >= FROM_ANYBODY


def test_the_table_of_roles_is_what_happens() -> None:
    """The simulator sees every change of role that the table has; another one is an error."""
    seen: set[tuple[Role, Role]] = set()

    class Watched(Raft):
        def _become(self, role: Role) -> None:
            seen.add((self.role, role))
            super()._become(role)

    for seed in range(0, 60, 2):  # of an odd seed the nodes make their cores themselves
        run_seed(seed, 3000, core_factory=Watched)
        if seen == set(TRANSITIONS):
            break
    assert seen == set(TRANSITIONS)


def test_a_change_of_role_that_the_table_lacks_is_an_error() -> None:
    core, _ = make_core()
    with pytest.raises(IllegalTransition, match="from follower to leader"):
        core._become(Role.LEADER)


# --- calls ---


def test_a_follower_passes_a_proposal_on_and_without_a_leader_it_refuses() -> None:
    core, log = make_core("b")
    assert core.propose("r1", b"x") is Refusal.NO_LEADER
    core.step(Heartbeat("c", "a", "b", 1, 0, 0))
    assert core.propose("r1", b"x") == Forwarded("a", 1)
    (ready,) = drain(core, log)
    assert ProposeRequest("c", "b", "a", 1, "r1", b"x", False, core.incarnation, 1) in ready.messages
    assert core.propose_conf(ConfChange(remove=("c",))) is Refusal.NOT_LEADER
    assert core.transfer_leadership("c") is Refusal.NOT_LEADER
    assert core.counters.refused == {Refusal.NO_LEADER: 1, Refusal.NOT_LEADER: 2}


def test_the_leader_says_where_it_appended_and_one_message_carries_what_was_proposed_meanwhile() -> None:
    core, log = make_core()
    elect(core, log)
    core.step(AppendReply("c", "b", "a", 1, 1))
    list(drain(core, log))
    assert core.propose("r1", b"x") == Accepted(2, 1)
    assert core.propose("r2", b"y") == Accepted(3, 1)
    ready = next(drain(core, log))
    (sent,) = [m for m in ready.messages if isinstance(m, AppendEntries) and m.to == "b"]
    assert [entry.request_id for entry in sent.entries] == ["r1", "r2"]


def test_what_is_committed_is_handed_out_in_pieces_that_the_state_machine_can_take() -> None:
    core, log = make_core(max_apply_bytes=200)
    elect(core, log)
    for number in range(6):
        core.propose(f"r{number}", b"z" * 36)
    list(drain(core, log))
    core.step(AppendReply("c", "b", "a", 1, 7))
    handed = []
    for _ in range(20):
        ready = core.ready()
        if ready is None:
            break
        log.save(ready.hard_state, ready.truncate_from, ready.entries, ready.snapshot)
        core.advance(ready.token)
        if ready.committed:
            handed.append([entry.index for entry in ready.committed])
    assert handed == [[1, 2], [3]], "no more until it is applied"
    core.applied(3)
    ready = core.ready()
    assert ready is not None
    assert [entry.index for entry in ready.committed] == [4, 5]


def test_compacted_entries_are_not_sent_but_a_snapshot_is_offered() -> None:
    core, log = make_core()
    elect(core, log)
    core.propose("r1", b"x")
    list(drain(core, log))
    core.step(AppendReply("c", "b", "a", 1, 2))
    list(drain(core, log))
    meta = core.snapshot_meta(2)
    assert meta == SnapshotMeta(2, 1, Configuration(NAMES))
    log.compact(meta)
    core.compacted(meta)
    assert core.snapshot_meta(1) is None
    assert core.snapshot_meta(3) is None, "not applied yet"
    core.step(AppendReply("c", "c", "a", 1, 0, True, 0, 0))
    (ready,) = drain(core, log)
    assert InstallSnapshot("c", "a", "c", 1, meta) in ready.messages
    assert core.compaction_limit() == 2
    assert core.counters.snapshots_offered == 1


def test_a_snapshot_that_is_not_newer_is_refused_and_one_that_cannot_be_fetched_is_asked_for_again() -> None:
    core, log = make_core("b")
    offer = InstallSnapshot("c", "a", "b", 1, SnapshotMeta(5, 1, Configuration(NAMES)))
    core.step(offer)
    (ready,) = drain(core, log)
    assert ready.fetch is not None
    assert ready.fetch.source == "a"
    core.step(offer)
    assert core.ready() is None, "it is under way"
    core.snapshot_failed()
    core.step(offer)
    (again,) = drain(core, log)
    assert again.fetch == ready.fetch
    assert core.install_snapshot(SnapshotMeta(0, 0)) is Refusal.STALE_SNAPSHOT
    assert core.install_snapshot(SnapshotMeta(7, 1, Configuration(NAMES))) is None
    (restored,) = drain(core, log)
    assert restored.snapshot is not None
    assert (log.first_index(), core.log.committed, core.log.applied) == (8, 7, 7)
    assert AppendReply("c", "b", "a", 1, 7) in restored.messages_after


def test_a_volley_of_rejections_counts_once() -> None:
    """One lost message makes all that follow it be rejected; each answer of that volley must not begin another."""
    core, log = make_core(max_message_bytes=1)
    elect(core, log)
    core.step(AppendReply("c", "b", "a", 1, 1))
    list(drain(core, log))
    for number in range(10):
        core.propose(f"r{number}", b"x")
    sent = [m for ready in drain(core, log) for m in ready.messages if isinstance(m, AppendEntries) and m.to == "b"]
    assert [m.prev_index for m in sent] == list(range(1, 11))
    for m in sent[1:]:
        core.step(AppendReply("c", "b", "a", 1, m.prev_index, True, 1, 1, m.attempt))
    again = [m for ready in drain(core, log) for m in ready.messages if isinstance(m, AppendEntries) and m.to == "b"]
    assert [m.prev_index for m in again] == [1]
    core.step(AppendReply("c", "b", "a", 1, 2))
    more = [m for ready in drain(core, log) for m in ready.messages if isinstance(m, AppendEntries) and m.to == "b"]
    assert more[0].prev_index == 2
    core.step(AppendReply("c", "b", "a", 1, 9, True, 1, 1, sent[0].attempt))
    assert all(not ready.messages for ready in drain(core, log)), "an answer to the first volley"


def test_reads_that_wait_are_bounded() -> None:
    core, log = make_core(max_waiting_reads=2)
    elect(core, log)
    assert [core.read_index(context) for context in (1, 2, 3)] == [None, None, Refusal.TOO_MANY_READS]
    follower, _ = make_core("b", max_forwarded_reads=2)
    follower.step(Heartbeat("c", "a", "b", 1, 0, 0))
    assert [follower.read_index(context) for context in (1, 2, 3)] == [None, None, Refusal.TOO_MANY_READS]


def test_a_snapshot_that_a_leader_lacks_shows_that_it_was_deposed() -> None:
    core, log = make_core()
    elect(core, log)
    assert core.install_snapshot(SnapshotMeta(9, 5, Configuration(NAMES))) is None
    assert core.role is Role.FOLLOWER
    list(drain(core, log))
    assert log.first_index() == 10


def test_a_snapshot_of_a_later_term_brings_the_term() -> None:
    """Its source went on while it was copied: no log may hold an entry of a term that its node does not know."""
    core, log = make_core("b")
    core.step(InstallSnapshot("c", "a", "b", 1, SnapshotMeta(5, 1, Configuration(NAMES))))
    list(drain(core, log))
    assert core.install_snapshot(SnapshotMeta(9, 3, Configuration(NAMES))) is None
    (ready,) = drain(core, log)
    assert ready.hard_state == HardState(3, None, 9)
    assert (core.term, core.leader, core.log.last_term) == (3, None, 3)
    assert not any(isinstance(m, AppendReply) for m in ready.messages_after), "who leads that term is unknown"


def test_an_old_tail_is_read_from_storage() -> None:
    """Only the newest entries stay in memory; the core must not notice the border."""
    core, log = make_core(max_message_bytes=1 << 30)
    elect(core, log)
    for number in range(5000):
        core.propose(f"r{number}", b"")
        if number % 100 == 0:
            list(drain(core, log))
            core.step(AppendReply("c", "b", "a", 1, core.log.last))
    list(drain(core, log))
    core.step(AppendReply("c", "b", "a", 1, core.log.last))
    list(drain(core, log))
    core.step(AppendReply("c", "c", "a", 1, 0, True, 0, 0))
    sent = [m for ready in drain(core, log) for m in ready.messages if isinstance(m, AppendEntries) and m.to == "c"]
    indexes = [entry.index for m in sent for entry in m.entries]
    core.step(AppendReply("c", "c", "a", 1, indexes[-1]))
    for ready in drain(core, log):
        indexes += [e.index for m in ready.messages if isinstance(m, AppendEntries) and m.to == "c" for e in m.entries]
    assert indexes == list(range(1, 5002))


def test_a_node_restarts_from_what_its_log_holds() -> None:
    core, log = make_core()
    elect(core, log)
    core.propose("r1", b"x")
    list(drain(core, log))
    again = Raft(log, random.Random(2), applied=0)
    assert (again.term, again.vote, again.log.last, again.role) == (1, "a", 2, Role.FOLLOWER)
    assert again.incarnation != core.incarnation
    with pytest.raises(LogMisuse, match="gap"):
        Raft(log, random.Random(2), applied=3)
    assert system_random().getrandbits(62) != system_random().getrandbits(62)


def test_a_node_without_the_membership_never_campaigns() -> None:
    log = MemoryLog("c", "new")
    core = Raft(log, random.Random(1))
    for _ in range(100):
        core.tick()
    assert core.role is Role.FOLLOWER
    assert core.ready() is None


# --- memberships ---


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (ConfChange(), "nothing to change"),
        (ConfChange(learn=("a",)), "a member already"),
        (ConfChange(learn=("x",), remove=("x",)), "a member already"),
        (ConfChange(promote=("a",)), "no learner"),
        (ConfChange(promote=("d",), remove=("d",)), "no learner that stays"),
        (ConfChange(remove=("x",)), "no member"),
        (ConfChange(remove=("a", "b", "c")), "no voter would be left"),
    ],
)
def test_impossible_changes(change: ConfChange, reason: str) -> None:
    with pytest.raises(ImpossibleChange, match=reason):
        changed(Configuration(NAMES, learners=("d",)), change)


def test_a_change_of_voters_is_joint_and_one_of_learners_is_not() -> None:
    now = Configuration(NAMES, learners=("d",))
    assert changed(now, ConfChange(learn=("e",))) == Configuration(NAMES, (), ("d", "e"))
    assert changed(now, ConfChange(remove=("d",))) == Configuration(NAMES, removed=("d",))
    joint = changed(now, ConfChange(learn=("e",), promote=("d",), remove=("a",)))
    assert joint == Configuration(("b", "c", "d"), NAMES, ("e",))
    with pytest.raises(ImpossibleChange, match="not finished"):
        changed(joint, ConfChange(learn=("f",)))


def test_an_id_that_is_no_text_does_not_become_a_member() -> None:
    core, log = make_core()
    elect(core, log)
    core.step(AppendReply("c", "b", "a", 1, 1))
    list(drain(core, log))
    assert core.propose_conf(ConfChange(learn=("\ud800",))) is Refusal.MALFORMED_TEXT
    assert isinstance(core.propose_conf(ConfChange(learn=("ä",))), Accepted)


def test_the_bytes_of_a_configuration_are_fixed() -> None:
    configuration = Configuration(("b", "a"), ("c",), ("d",))
    data = b'{"form":1,"learners":["d"],"outgoing":["c"],"voters":["a","b"]}'
    assert configuration.encode() == data
    assert Configuration.decode(data) == configuration
    assert configuration.members == ("a", "b", "c", "d")
    configuration = Configuration(("b", "a"), removed=("y", "x"))
    data = b'{"form":2,"learners":[],"outgoing":[],"removed":["x","y"],"voters":["a","b"]}'
    assert configuration.encode() == data
    assert Configuration.decode(data) == configuration


def test_a_configuration_remembers_who_was_removed() -> None:
    now = Configuration(NAMES, learners=("d",))
    joint = changed(now, ConfChange(remove=("a", "d")))
    assert joint.removed == ("d",), "a still has a say"
    assert joint.followed_by(joint.voters, (), joint.learners) == Configuration(("b", "c"), removed=("a", "d"))
    with pytest.raises(MalformedValue, match="members and removed"):
        Configuration(NAMES, removed=("a",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"form":3,"learners":[],"outgoing":[],"voters":[]}',
        b'{"form":2,"learners":[],"outgoing":[],"voters":[]}',
        b'{"form":1,"learners":["\\ud800"],"outgoing":[],"voters":[]}',
        b'{"form":1,"learners":[1],"outgoing":[],"voters":[]}',
        b'{"form":1,"learners":"a","outgoing":[],"voters":[]}',
        b'{"form":1,"learners":["a"],"outgoing":[],"voters":["a"]}',
        b'{"form":1,"learners":[],"outgoing":["a"],"voters":[]}',
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedValue):
        Configuration.decode(data)


# --- bad input ---

_names = st.sampled_from([*NAMES, "stranger"])
_numbers = st.integers(-2, 12)
_kinds = st.sampled_from([*EntryKind, 9])
_entries = st.builds(Entry, _numbers, _numbers, _kinds, st.sampled_from([b"", b"{}", Configuration(NAMES).encode()]))
_metas = st.builds(SnapshotMeta, _numbers, _numbers, st.just(Configuration(NAMES)))
_head = (st.sampled_from(["c", "c", "c", "other"]), _names, st.sampled_from(["a", "a", "a", "b"]), st.integers(0, 6))
_messages = st.one_of(
    st.builds(RequestVote, *_head, _numbers, _numbers, st.booleans(), st.booleans(), _numbers, _numbers),
    st.builds(VoteReply, *_head, st.booleans(), st.booleans(), _numbers, _numbers),
    st.builds(AppendEntries, *_head, _numbers, _numbers, st.lists(_entries, max_size=3).map(tuple), _numbers),
    st.builds(AppendReply, *_head, _numbers, st.booleans(), _numbers, _numbers, _numbers),
    st.builds(Heartbeat, *_head, _numbers, _numbers),
    st.builds(HeartbeatReply, *_head, _numbers),
    st.builds(InstallSnapshot, *_head, _metas),
    st.builds(TimeoutNow, *_head),
    st.builds(ReadIndexRequest, *_head, _numbers, _numbers),
    st.builds(ReadIndexReply, *_head, _numbers, _numbers, _numbers),
    st.builds(ProposeRequest, *_head, st.just("r"), st.just(b"x"), st.booleans(), _numbers, _numbers),
    st.builds(ProposeRefused, *_head, st.just("r"), st.sampled_from(Refusal), _numbers, _numbers),
    st.builds(Removed, *_head),
    st.just("no message"),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(messages=st.lists(_messages, max_size=30), leads=st.booleans())
def test_no_message_makes_a_node_crash_or_forget(messages: list[Message], leads: bool) -> None:
    core, log = make_core()
    if leads:
        elect(core, log)
        core.step(AppendReply("c", "b", "a", 1, 1))
    list(drain(core, log))
    for m in messages:
        term, committed = core.term, core.log.committed
        refused = sum(core.counters.refused.values())
        answer = core.step(m)
        assert sum(core.counters.refused.values()) == refused + (answer is not None)
        list(drain(core, log))
        assert core.term >= term
        assert committed <= core.log.committed <= core.log.last
        assert core.log.applied <= core.log.stable
        assert log.last_index() == core.log.last
