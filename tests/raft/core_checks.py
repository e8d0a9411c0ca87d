"""What a core must do where no scenario and no seed would notice: checks as those of driver_checks.py."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

from bleepstore.raft.core import Raft
from bleepstore.raft.messages import (
    Accepted,
    AppendEntries,
    AppendReply,
    ConfChange,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ProposeRequest,
    Ready,
    Refusal,
    RequestVote,
    Role,
    SnapshotMeta,
    TimeoutNow,
    VoteReply,
)
from bleepstore.raft.state import Settings
from bleepstore.raft.storage import MemoryLog

NAMES = ("a", "b", "c")
DEFAULTS = Settings()


class DrivenCore:
    """A core of three, whose Readys are handled at once, unless a check does it by hand."""

    def __init__(self, log: MemoryLog | None = None, applied: int = 0, settings: Settings = DEFAULTS) -> None:
        self.log = MemoryLog("c", "a", SnapshotMeta(configuration=Configuration(NAMES))) if log is None else log
        self.core = Raft(self.log, random.Random(1), applied, settings)
        self.sent: list[Message] = []
        self.reads: list[int] = []

    def take(self) -> Ready | None:
        """The next Ready, saved, but not said to be."""
        ready = self.core.ready()
        if ready is not None:
            self.log.save(ready.hard_state, ready.truncate_from, ready.entries, ready.snapshot)
            self.sent += [*ready.messages, *ready.messages_after]
            self.reads += [read.context for read in ready.reads]
        return ready

    def drain(self) -> None:
        while (ready := self.take()) is not None:
            self.core.advance(ready.token)
            if ready.committed:
                self.core.applied(ready.committed[-1].index)

    def step(self, *messages: Message) -> None:
        for message in messages:
            self.core.step(message)
            self.drain()

    def time_out(self) -> None:
        """Until it asks for votes before a campaign."""
        while self.core.role is Role.FOLLOWER:
            self.core.tick()
        self.drain()

    def grant(self, voter: str, *, pre: bool = False) -> None:
        term = self.core.term + pre
        self.core.step(VoteReply("c", voter, "a", term, True, pre))

    def elect(self) -> None:
        self.time_out()
        self.grant("b", pre=True)
        self.drain()
        self.grant("b")
        self.drain()
        assert self.core.role is Role.LEADER

    def acknowledge(self, index: int | None = None, by: str = "b") -> None:
        index = self.core.log.last if index is None else index
        self.step(AppendReply("c", by, "a", self.core.term, index))

    def take_sent(self) -> list[Message]:
        sent, self.sent = self.sent, []
        return sent


def run(first: int, last: int, term: int = 1) -> tuple[Entry, ...]:
    return tuple(Entry(index, term, EntryKind.COMMAND, b"x", f"r{index}") for index in range(first, last + 1))


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


def check_that_a_start_takes_no_membership_that_is_not_applied(_: Path) -> None:
    log = MemoryLog("c", "a", SnapshotMeta(configuration=Configuration(NAMES)))
    log.save(HardState(1, None, 0), None, [*run(1, 1), change(2, 1, Configuration(NAMES, learners=("d",)))], None)
    assert DrivenCore(log).core.configuration == Configuration(NAMES)


def check_that_a_new_lead_begins_with_nothing_uncommitted(_: Path) -> None:
    node = DrivenCore(settings=Settings(max_uncommitted_bytes=200))
    node.elect()
    node.acknowledge()
    numbers = itertools.count()
    while isinstance(node.core.propose(f"r{next(numbers)}", b"x" * 50), Accepted):
        pass
    node.step(AppendEntries("c", "b", "a", node.core.term + 1, 1, 1, run(2, 2, node.core.term + 1), 1))
    node.elect()
    assert isinstance(node.core.propose("r", b"x" * 150), Accepted)


def check_that_what_an_earlier_lead_has_taken_is_taken_again(_: Path) -> None:
    """The next leader may have replaced it."""
    node = DrivenCore()
    node.elect()
    node.acknowledge()
    term = node.core.term
    assert node.core.propose("r", b"x") == Accepted(2, term)
    node.step(AppendEntries("c", "b", "a", term + 1, 1, term, run(2, 2, term + 1), 1))
    node.elect()
    assert node.core.propose("r", b"x") == Accepted(4, term + 2)


def check_that_nobody_campaigns_while_its_log_is_replaced(_: Path) -> None:
    node = DrivenCore()
    node.step(Heartbeat("c", "b", "a", 1, 0, 0))
    node.core.install_snapshot(SnapshotMeta(7, 1, Configuration(NAMES)))
    node.take()  # it is being written
    for _tick in range(60):
        node.core.tick()
    assert node.core.role is Role.FOLLOWER


def check_that_a_granted_pre_vote_is_of_the_question_that_was_asked(_: Path) -> None:
    node = DrivenCore()
    node.step(Heartbeat("c", "b", "a", 4, 0, 0))
    node.time_out()
    roles = []
    for term in (4, 5):
        node.step(VoteReply("c", "b", "a", term, True, True))
        roles.append(node.core.role)
    assert roles == [Role.PRE_CANDIDATE, Role.CANDIDATE]


def check_that_a_durable_vote_of_an_earlier_campaign_does_not_count(_: Path) -> None:
    node = DrivenCore()
    node.time_out()
    node.grant("b", pre=True)
    first = node.take()  # the vote of term 1 is being written
    assert first is not None
    for _tick in range(60):
        node.core.tick()
        if node.core.role is Role.PRE_CANDIDATE:
            break
    node.take()
    node.grant("b", pre=True)
    second = node.take()
    assert second is not None
    assert node.core.term == 2
    node.grant("b")
    roles = []
    for token in (first.token, second.token):
        node.core.advance(token)
        roles.append(node.core.role)
    assert roles == [Role.CANDIDATE, Role.LEADER], "its vote of term 2 is not durable at first"


def check_that_an_old_message_is_answered_with_what_is_committed(_: Path) -> None:
    node = DrivenCore()
    node.step(AppendEntries("c", "b", "a", 1, 0, 0, run(1, 5), 3))
    node.take_sent()
    node.step(AppendEntries("c", "c", "a", 2, 1, 1, (), 0))  # entries 4 and 5 are perhaps not in the log of c
    replies = [m for m in node.sent if isinstance(m, AppendReply)]
    assert [(m.index, m.rejected) for m in replies] == [(3, False)]


def check_that_no_snapshot_is_fetched_of_what_the_log_has(_: Path) -> None:
    node = DrivenCore()
    node.step(AppendEntries("c", "b", "a", 1, 0, 0, run(1, 5), 3))
    node.core.step(InstallSnapshot("c", "b", "a", 1, SnapshotMeta(5, 1, Configuration(NAMES))))
    ready = node.core.ready()
    assert ready is not None
    assert ready.fetch is None
    assert node.core.log.committed == 5


def check_that_nothing_is_sent_again_that_was_acknowledged(_: Path) -> None:
    node = DrivenCore()
    node.elect()
    for number in range(5):
        node.core.propose(f"r{number}", b"x")
    node.drain()
    node.acknowledge(3)
    term = node.core.term
    node.core.tracker.progress["b"].probe()  # as if it had been asked where the logs meet
    node.take_sent()
    attempt = node.core.tracker.progress["b"].attempt
    node.step(AppendReply("c", "b", "a", term, 3, True, 0, 0, attempt))
    previous = [m.prev_index for m in node.sent if isinstance(m, AppendEntries) and m.to == "b"]
    assert previous, "it is asked again"
    assert min(previous) >= 3


def check_that_a_confirmation_names_a_round_that_was_asked(_: Path) -> None:
    node = DrivenCore()
    node.elect()
    node.acknowledge()
    node.step(HeartbeatReply("c", "b", "a", node.core.term, 9))
    node.core.read_index(1)
    node.drain()
    assert node.reads == [], "nobody has confirmed it"


def check_that_who_acknowledges_what_was_never_sent_is_not_heard_of(_: Path) -> None:
    """A leader must not stay one by answers that it cannot believe."""
    node = DrivenCore()
    node.elect()
    for _tick in range(2 * node.core.settings.election_ticks):
        node.acknowledge(node.core.log.last + 1)
        node.core.tick()
    assert node.core.role is Role.FOLLOWER


def check_that_an_old_acknowledgement_takes_nothing_back(_: Path) -> None:
    node = DrivenCore()
    node.elect()
    for number in range(5):
        node.core.propose(f"r{number}", b"x")
    node.drain()
    for index in (5, 3):
        node.acknowledge(index)
    assert node.core.tracker.progress["b"].match == 5


def check_that_the_term_of_a_snapshot_is_taken(_: Path) -> None:
    node = DrivenCore()
    node.step(Heartbeat("c", "b", "a", 4, 0, 0))
    node.core.install_snapshot(SnapshotMeta(7, 9, Configuration(NAMES)))
    node.drain()
    assert node.log.initial_state().hard_state.term == 9


def check_that_a_change_from_before_a_snapshot_has_no_effect_after_it(_: Path) -> None:
    node = DrivenCore()
    entries = (*run(1, 1), change(2, 1, Configuration(NAMES, learners=("d",))))
    node.core.step(AppendEntries("c", "b", "a", 1, 0, 0, entries, 2))
    while (ready := node.take()) is not None:
        node.core.advance(ready.token)  # handed out, and not applied yet
    latest = Configuration(NAMES, learners=("d", "e"))
    node.core.install_snapshot(SnapshotMeta(7, 1, latest))
    node.drain()
    node.step(AppendEntries("c", "b", "a", 1, 7, 1, run(8, 8), 8))
    assert node.core.configuration == latest


def check_that_compaction_keeps_the_membership_of_its_index(_: Path) -> None:
    learners = Configuration(NAMES, learners=("d",))
    entries = (*run(1, 2), change(3, 1, learners), *run(4, 5), change(6, 1, Configuration(NAMES, learners=("d", "e"))))
    node = DrivenCore()
    node.step(AppendEntries("c", "b", "a", 1, 0, 0, entries, 6))
    meta = node.core.snapshot_meta(5)
    assert meta is not None
    node.log.compact(meta)
    node.core.compacted(meta)
    assert node.core.snapshot_meta(5) == SnapshotMeta(5, 1, learners)


def check_that_a_snapshot_is_of_what_is_applied(_: Path) -> None:
    node = DrivenCore()
    node.step(AppendEntries("c", "b", "a", 1, 0, 0, run(1, 5), 3))
    assert node.core.snapshot_meta(3) is not None
    assert node.core.snapshot_meta(4) is None


def check_that_only_a_voter_is_handed_the_lead(_: Path) -> None:
    node = DrivenCore()
    node.elect()
    node.acknowledge()
    node.core.propose_conf(ConfChange(learn=("d",)))
    node.drain()
    node.acknowledge()
    assert node.core.configuration.learners == ("d",)
    assert node.core.transfer_leadership("d") is Refusal.NOT_A_VOTER


def check_that_the_heir_was_heard_of_lately(_: Path) -> None:
    """Though another one that fell silent had more of the log."""
    node = DrivenCore()
    node.elect()
    node.acknowledge(by="b")
    assert node.core.heir() == "b"
    for _tick in range(2 * node.core.settings.election_ticks):
        node.step(HeartbeatReply("c", "c", "a", node.core.term, 0))
        node.core.tick()
    assert node.core.heir() == "c"


def check_that_the_word_to_campaign_is_said_until_it_is_obeyed(_: Path) -> None:
    """It may be lost, and meanwhile no proposal is taken."""
    node = DrivenCore()
    node.elect()
    node.acknowledge()
    assert node.core.transfer_leadership("b") is None
    node.drain()
    for voter in ("b", "c", "b"):
        node.take_sent()
        node.step(HeartbeatReply("c", voter, "a", node.core.term, 0))
        assert [m.to for m in node.sent if isinstance(m, TimeoutNow)] == ["b"] * (voter == "b")


def check_that_a_hand_over_that_does_not_come_is_given_up(_: Path) -> None:
    """Else no proposal would be taken any more."""
    node = DrivenCore()
    node.elect()
    node.acknowledge()
    assert node.core.transfer_leadership("c") is None
    for _tick in range(node.core.settings.election_ticks):
        assert node.core.propose("r", b"x") is Refusal.TRANSFERRING
        node.step(HeartbeatReply("c", "b", "a", node.core.term, 0))
        node.core.tick()
    assert isinstance(node.core.propose("r", b"x"), Accepted)


def check_that_nothing_is_kept_for_a_member_that_has_caught_up(_: Path) -> None:
    node = DrivenCore()
    node.elect()
    node.acknowledge()
    node.core.tracker.progress["c"].await_snapshot(1)
    node.acknowledge(by="c")
    for number in range(5):
        node.core.propose(f"r{number}", b"x")
    node.drain()
    node.acknowledge()
    assert node.core.compaction_limit() == node.core.log.applied == 6


def check_that_who_asks_for_votes_of_an_old_term_learns_of_the_newer(_: Path) -> None:
    node = DrivenCore()
    node.step(Heartbeat("c", "b", "a", 5, 0, 0))
    node.take_sent()
    node.step(RequestVote("c", "c", "a", 3, 0, 0, True))
    assert [(m.term, m.granted) for m in node.sent if isinstance(m, VoteReply)] == [(5, False)]


def check_that_what_a_snapshot_replaces_is_not_waited_for(_: Path) -> None:
    """What was handed out counts as applied then, or nothing more would be handed out."""
    node = DrivenCore(settings=Settings(max_apply_bytes=1))
    node.core.step(AppendEntries("c", "b", "a", 1, 0, 0, run(1, 2), 2))
    while (ready := node.take()) is not None:
        node.core.advance(ready.token)
    node.core.install_snapshot(SnapshotMeta(7, 1, Configuration(NAMES)))
    node.drain()
    node.step(AppendEntries("c", "b", "a", 1, 7, 1, run(8, 8), 8))
    assert node.core.log.applied == 8


def check_that_what_a_snapshot_replaces_is_not_given_back(_: Path) -> None:
    """What was handed out before it counts no more, so it is not given back when something later is applied."""
    node = DrivenCore(settings=Settings(max_apply_bytes=1000))

    def handed_out(first: int, last: int) -> int:
        """How many of these entries, all of them committed, while nothing is applied."""
        node.core.step(AppendEntries("c", "b", "a", 1, first - 1, int(first > 1), run(first, last), last))
        count = 0
        while (ready := node.take()) is not None:
            node.core.advance(ready.token)
            count += len(ready.committed)
        return count

    most = handed_out(1, 50)
    assert 0 < most < 50
    node.core.install_snapshot(SnapshotMeta(70, 1, Configuration(NAMES)))
    assert handed_out(71, 71) == 1
    node.core.applied(71)
    assert handed_out(72, 200) == most


def check_that_each_life_of_a_follower_begins_to_offer_anew(_: Path) -> None:
    """It counts its offers from one again when it starts, while the leader is the same."""
    node = DrivenCore()
    node.elect()
    for life in (7, 8):
        node.step(ProposeRequest("c", "b", "a", node.core.term, f"r{life}", b"x", False, life, 1))
    assert node.core.log.last == 3


CORE_CHECKS: tuple[Callable[[Path], None], ...] = (
    check_that_a_start_takes_no_membership_that_is_not_applied,
    check_that_a_new_lead_begins_with_nothing_uncommitted,
    check_that_what_an_earlier_lead_has_taken_is_taken_again,
    check_that_nobody_campaigns_while_its_log_is_replaced,
    check_that_a_granted_pre_vote_is_of_the_question_that_was_asked,
    check_that_a_durable_vote_of_an_earlier_campaign_does_not_count,
    check_that_an_old_message_is_answered_with_what_is_committed,
    check_that_no_snapshot_is_fetched_of_what_the_log_has,
    check_that_nothing_is_sent_again_that_was_acknowledged,
    check_that_a_confirmation_names_a_round_that_was_asked,
    check_that_who_acknowledges_what_was_never_sent_is_not_heard_of,
    check_that_an_old_acknowledgement_takes_nothing_back,
    check_that_the_term_of_a_snapshot_is_taken,
    check_that_a_change_from_before_a_snapshot_has_no_effect_after_it,
    check_that_compaction_keeps_the_membership_of_its_index,
    check_that_a_snapshot_is_of_what_is_applied,
    check_that_only_a_voter_is_handed_the_lead,
    check_that_the_heir_was_heard_of_lately,
    check_that_the_word_to_campaign_is_said_until_it_is_obeyed,
    check_that_a_hand_over_that_does_not_come_is_given_up,
    check_that_nothing_is_kept_for_a_member_that_has_caught_up,
    check_that_who_asks_for_votes_of_an_old_term_learns_of_the_newer,
    check_that_what_a_snapshot_replaces_is_not_waited_for,
    check_that_what_a_snapshot_replaces_is_not_given_back,
    check_that_each_life_of_a_follower_begins_to_offer_anew,
)
