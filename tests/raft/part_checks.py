"""What the parts around a core must see to, each by itself: checks as those of driver_checks.py."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from bleepstore.raft.applier import Applier, OutOfOrder
from bleepstore.raft.comparison import WINDOW, Comparison
from bleepstore.raft.driver import LEAVING_TIMEOUTS
from bleepstore.raft.fetcher import Attempt, Fetcher
from bleepstore.raft.messages import (
    AppendEntries,
    AppendReply,
    ConfChange,
    Configuration,
    Entry,
    EntryKind,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    ProposeRefused,
    ProposeRequest,
    ReadIndexReply,
    Refusal,
    Removed,
    Role,
    SnapshotFetch,
    SnapshotMeta,
    TimeoutNow,
)
from bleepstore.raft.offers import LIVES, OffersHeard, OffersOfAll
from bleepstore.raft.offers import WINDOW as WINDOW_OF_OFFERS
from bleepstore.raft.snapshot_transfer import SharedCopies, receive
from bleepstore.raft.state import Settings
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.storage import LogTooNew, MemoryLog
from bleepstore.raft.transport import Chunk, SnapshotUnavailable
from bleepstore.raft.waiting import LowSpace, ProposalRefused, Proposals, RemovedFromCluster, TimedOut
from tests.raft.driver import DrivenNode, Echo, Outbox
from tests.raft.driver_checks import NAMES, Careful, memory_log


def _log_of_a_member_that_fetches(max_log_bytes: int = 1 << 30) -> MemoryLog:
    """After thirty commands, while a member fetches a snapshot of index 3."""
    log = memory_log(("a",))
    state_machine = Careful(log)
    node = DrivenNode(log, state_machine, compact_after=5, keep_entries=0, max_log_bytes=max_log_bytes)
    node.elect()
    node.core.propose_conf(ConfChange(learn=("d",)))
    node.tick()
    for number in range(30):
        member = node.core.tracker.progress["d"]
        member.await_snapshot(3)
        member.recent_active = True
        node.propose(f"{number}")
        state_machine.durable = state_machine.applied
        node.tick()
    return log


def check_that_what_a_member_needs_is_kept(_: Path) -> None:
    assert _log_of_a_member_that_fetches().first_index() <= 4


def check_that_a_log_that_is_too_large_keeps_nothing_for_a_member(_: Path) -> None:
    assert _log_of_a_member_that_fetches(max_log_bytes=500).first_index() > 4


def check_that_entries_are_applied_once_each(_: Path) -> None:
    node = DrivenNode(memory_log(("a",)), Echo())
    entries = tuple(Entry(n, 1, EntryKind.COMMAND, b"x", f"r{n}") for n in (1, 2))
    for twice in (entries, entries[:1], entries[1:]):
        node.driver.applier.put(twice)
    try:
        node.node.apply_next()
    except OutOfOrder:
        return
    raise AssertionError("an entry was applied twice")


def check_that_each_committed_entry_reaches_the_state_machine_once(_: Path) -> None:
    seen: list[int] = []

    class Notes(Echo):
        def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
            seen.extend(index for index, _ in batch)
            self.applied = through
            return [data for _, data in batch]

    node = DrivenNode(memory_log(("a",)), Notes())
    node.elect()
    for number in range(5):
        node.propose(f"{number}")
    assert seen == [2, 3, 4, 5, 6]


def check_that_a_state_that_is_not_installed_is_discarded(_: Path) -> None:
    log = memory_log()
    discarded: list[str] = []

    class Notes(Careful):
        def discard(self, name: str) -> None:
            discarded.append(name)

    node = DrivenNode(log, Notes(log))
    entries = tuple(Entry(n, 1, EntryKind.COMMAND, b"x", f"r{n}") for n in range(1, 10))
    node.deliver(AppendEntries("c", "b", "a", 1, 0, 0, entries, 9))
    node.fetched(SnapshotMeta(7, 1, Configuration(NAMES)), "copy-7")
    assert discarded == ["copy-7"]


def check_that_a_leader_that_leaves_waits_for_the_next_one(_: Path) -> None:
    node = DrivenNode(memory_log(), Echo())
    node.elect("b")
    term = node.core.term
    node.deliver(AppendReply("c", "b", "a", term, node.core.log.last), HeartbeatReply("c", "b", "a", term, 0))
    node.node.leave()
    node.drain()
    assert not node.driver.stopping
    node.deliver(Heartbeat("c", "b", "a", term + 1, 0, 0))
    assert node.driver.stopping


def check_that_a_leader_that_leaves_says_so_until_another_one_leads_and_takes_nothing(_: Path) -> None:
    """For as long as `Node.stop` waits, though the core gives up a hand-over after one election timeout."""
    node = DrivenNode(memory_log(), Echo())
    node.elect("b")
    term, ticks = node.core.term, node.core.settings.election_ticks

    def words() -> int:
        """How often it tells b to campaign in a tick in which b answers."""
        node.outbox.sent.clear()
        node.deliver(AppendReply("c", "b", "a", term, node.core.log.last), HeartbeatReply("c", "b", "a", term, 0))
        node.tick()
        return sum(isinstance(message, TimeoutNow) and message.to == "b" for message in node.outbox.sent)

    words()
    node.node.leave()
    last = node.core.log.last
    for number in range(2 * ticks):
        assert words() > 0
        if number == 5:
            node.core.transfer_target = None  # as when a membership takes effect in which there is no b
        node.propose(f"{number}")
        node.deliver(ProposeRequest("c", "b", "a", term, f"b{number}", b"x", False, 1, number + 1))
    assert node.core.log.last == last
    assert node.core.counters.refused[Refusal.TRANSFERRING] >= 4 * ticks
    assert not node.driver.stopping


def check_that_a_leader_that_leaves_and_hears_of_nobody_steps_down(_: Path) -> None:
    """To choose an heir again and again must not hold up the check of the quorum."""
    node = DrivenNode(memory_log(), Echo())
    node.elect("b")
    term = node.core.term
    node.deliver(AppendReply("c", "b", "a", term, node.core.log.last), HeartbeatReply("c", "b", "a", term, 0))
    node.node.leave()
    node.drain()
    for _tick in range(2 * node.core.settings.election_ticks):
        node.tick()
    assert node.core.role is not Role.LEADER


def check_that_a_leader_that_leaves_ends_if_nobody_takes_over(_: Path) -> None:
    """It takes no proposals meanwhile, so it must not lead like that for ever; nor follow nobody."""
    for heir_answers in (True, False):
        node = DrivenNode(memory_log(), Echo())
        node.elect("b")
        term = node.core.term
        answers = AppendReply("c", "b", "a", term, node.core.log.last), HeartbeatReply("c", "b", "a", term, 0)
        node.deliver(*answers)
        node.node.leave()
        node.drain()
        for number in range(LEAVING_TIMEOUTS * node.core.settings.election_ticks):
            assert not node.driver.stopping, number
            if heir_answers:
                node.deliver(*answers)
            node.tick()
        assert node.driver.stopping


def check_that_each_offer_is_heard_once_in_whichever_order(_: Path) -> None:
    rng = random.Random(1)
    for spread in (1, 50, WINDOW_OF_OFFERS // 2):
        numbers = sorted(range(1, 4000), key=lambda number: number + rng.randrange(spread))
        offers = OffersHeard()
        heard = [number for number in numbers for _ in range(rng.choice((1, 2, 3))) if offers.is_new(number)]
        assert heard == numbers
        assert not any(map(offers.is_new, numbers)), "all of them have come"
    assert offers.is_new(1 << 60)
    assert offers.is_new((1 << 60) - 1)
    assert not offers.is_new((1 << 60) - WINDOW_OF_OFFERS), "it may have come"


def check_that_the_offers_of_each_life_are_counted_and_few_lives_remembered(_: Path) -> None:
    heard = OffersOfAll()
    assert heard.is_new("b", 7, 1)
    for life in range(2 * LIVES):
        assert heard.is_new("c", life, 1), "each life begins with the first"
        assert heard.is_new("b", 7, life + 2)
    assert not heard.is_new("b", 7, 2 * LIVES), "one that goes on is remembered, whatever came since it began"
    assert len(heard) == LIVES


def check_that_a_read_sees_a_snapshot(_: Path) -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log))
    node.deliver(Heartbeat("c", "b", "a", 4, 0, 0))
    read = node.node.read_barrier()
    node.drain()
    node.deliver(ReadIndexReply("c", "b", "a", 4, node.core.incarnation, 1, 7))
    assert not read.done()
    node.fetched(SnapshotMeta(7, 4, Configuration(NAMES)), "copy-7")
    assert read.result(0) == 7


def check_that_a_read_that_was_asked_ends_with_the_membership(_: Path) -> None:
    node = DrivenNode(memory_log(), Echo())
    node.deliver(Heartbeat("c", "b", "a", 1, 0, 0))
    read = node.node.read_barrier()
    node.drain()
    node.deliver(Removed("c", "b", "a", 1))
    assert read.done(), "nobody will answer it"
    assert isinstance(read.exception(0), RemovedFromCluster)


def check_that_an_answered_proposal_gives_back_its_bytes(_: Path) -> None:
    proposals = Proposals(10, 100)
    proposals.add("1", bytes(60), False)
    proposals.take("1")
    for number, size in enumerate((60, 30), start=2):
        assert proposals.add(f"{number}", bytes(size), False)[1]


def check_that_a_proposal_that_was_answered_does_not_fail_the_next_one_of_its_id(_: Path) -> None:
    proposals = Proposals(10, 10)
    first, _new = proposals.add("1", b"x", False)
    taken = proposals.take("1")
    assert taken is first
    first.future.set_result("done")
    second, _new = proposals.add("1", b"x", False)
    proposals.fail(first, TimedOut(""))
    assert proposals.find("1") is second
    proposals.fail(second, TimedOut(""))
    assert isinstance(second.future.exception(0), TimedOut)


def check_that_a_proposal_that_waits_is_one(_: Path) -> None:
    node = DrivenNode(memory_log(), Echo())
    assert node.propose("1") is node.propose("1")


def patient_follower() -> DrivenNode:
    """Of leader b."""
    log = memory_log()
    node = DrivenNode(log, Careful(log), retry_ticks=20, core=Settings(election_ticks=100))
    node.deliver(Heartbeat("c", "b", "a", 1, 0, 0))
    return node


def take_offers(node: DrivenNode) -> list[ProposeRequest]:
    sent, node.outbox.sent = node.outbox.sent, []
    return [message for message in sent if isinstance(message, ProposeRequest)]


def refusal_of(offer: ProposeRequest, reason: Refusal) -> ProposeRefused:
    """What the leader answers that does not take it."""
    about = (offer.request_id, reason, offer.incarnation, offer.offer)
    return ProposeRefused("c", offer.to, offer.sender, offer.term, *about)


def check_that_what_the_leader_has_not_taken_comes_again_later_each_time(_: Path) -> None:
    node = patient_follower()
    future = node.propose("1")

    def offered_at() -> list[int]:
        """In which of sixty ticks it is offered, and refused twice: an answer may be doubled."""
        ticks = []
        for tick in range(60):
            for offer in take_offers(node):
                ticks.append(tick)
                node.deliver(*2 * (refusal_of(offer, Refusal.TOO_MUCH_UNCOMMITTED),))
            node.tick()
        return ticks

    assert offered_at() == [0, 1, 3, 7, 15, 31, 51], "it waits no longer than for what may be lost"
    node.deliver(Heartbeat("c", "c", "a", 2, 0, 0))
    assert offered_at()[:5] == [0, 1, 3, 7, 15], "the next leader has refused nothing"
    assert not future.done()


def check_that_what_a_node_cannot_take_comes_again_later_each_time(_: Path) -> None:
    """While it knows no leader, for example: as soon as it knows one, all that waits is offered."""
    node = DrivenNode(memory_log(), Echo(), retry_ticks=20, core=Settings(election_ticks=100))
    node.propose("1")
    for _tick in range(60):
        node.tick()
    assert node.node.counters.retries == 6
    assert node.core.counters.refused == {Refusal.NO_LEADER: 7}
    node.deliver(Heartbeat("c", "b", "a", 1, 0, 0))
    assert len(take_offers(node)) == 1


def check_that_a_refusal_counts_for_the_last_offer_alone(_: Path) -> None:
    """Of this life: whoever proposes a command again after a refusal must not hear the refusal of the first time."""
    node = patient_follower()
    future = node.propose("1")
    (first,) = take_offers(node)
    node.deliver(refusal_of(first, Refusal.NO_SPACE))
    assert isinstance(future.exception(0), LowSpace)
    future = node.propose("1")
    (second,) = take_offers(node)
    node.deliver(refusal_of(first, Refusal.NO_SPACE))
    node.deliver(attrs.evolve(refusal_of(second, Refusal.NO_SPACE), incarnation=1))
    assert not future.done()
    node.deliver(refusal_of(second, Refusal.NO_SPACE))
    assert isinstance(future.exception(0), LowSpace)


def check_that_what_the_leader_never_takes_is_refused_at_once(_: Path) -> None:
    node = patient_follower()
    future = node.propose("1")
    node.deliver(*(refusal_of(offer, Refusal.ENTRY_TOO_LARGE) for offer in take_offers(node)))
    assert isinstance(future.exception(0), ProposalRefused)
    future = node.propose("1")
    take_offers(node)
    for _tick in range(20):
        node.tick()
    node.deliver(*(refusal_of(offer, Refusal.ENTRY_TOO_LARGE) for offer in take_offers(node)))
    assert isinstance(future.exception(0), TimedOut), "what became of the first offer is unknown"


def check_that_what_a_node_appended_itself_is_not_said_to_be_refused(_: Path) -> None:
    """When it leads no more: another leader may have it in its log, and commit it."""
    node = DrivenNode(memory_log(), Echo())
    node.elect("b")
    future = node.propose("1")
    node.deliver(Heartbeat("c", "b", "a", node.core.term + 1, 0, 0))
    (offer,) = take_offers(node)
    node.deliver(refusal_of(offer, Refusal.NO_SPACE))
    assert isinstance(future.exception(0), TimedOut), "it still may be applied"


def check_that_what_a_snapshot_may_include_is_offered_again(_: Path) -> None:
    """If it does, nobody applies it here: its result comes with the repeat."""
    node = patient_follower()
    node.propose("1")
    assert len(take_offers(node)) == 1
    node.fetched(SnapshotMeta(7, 1, Configuration(NAMES)), "copy-7")
    assert len(take_offers(node)) == 1


def check_that_a_fetch_that_was_given_up_is_over(_: Path) -> None:
    log = memory_log()
    now = [0.0]
    fetcher = Fetcher(
        "a", Careful(log), Outbox(), lambda _: None, now=lambda: now[0], patience=5, first_wait=3,
        spawn=lambda _work, _name: None,
    )  # fmt: skip
    fetcher.start(SnapshotFetch("b", SnapshotMeta(7, 1)), 1e9)
    given_up = fetcher._attempt
    assert given_up is not None
    now[0] = 6.0
    assert not fetcher.tick()
    fetcher.start(SnapshotFetch("c", SnapshotMeta(7, 1)), 1e9)
    assert not fetcher.ends(given_up), "another one is awaited"
    assert fetcher._attempt is not None
    assert fetcher.ends(fetcher._attempt)


def check_that_a_fetch_that_ends_well_is_a_new_beginning(_: Path) -> None:
    log = memory_log()
    now = [0.0]
    fetcher = Fetcher(
        "a", Careful(log), Outbox(), lambda _: None, now=lambda: now[0], patience=99, first_wait=3,
        spawn=lambda _work, _name: None,
    )  # fmt: skip

    def begin() -> Attempt:
        fetcher.start(SnapshotFetch("b", SnapshotMeta(7, 1)), 1e9)
        assert fetcher._attempt is not None
        return fetcher._attempt

    def fail() -> float:
        """How long nothing is asked for after a failure."""
        fetcher.failed(begin(), OSError())
        begun = now[0]
        while not fetcher.tick():
            now[0] += 1
        return now[0] - begun

    waits = [fail(), fail()]
    assert fetcher.ends(begin())
    assert [*waits, fail()] == [3, 6, 3]


def check_that_a_snapshot_of_a_level_to_come_ends_the_node(_: Path) -> None:
    """Else it would ask for it for ever, and its source would copy its state each time."""
    node = DrivenNode(memory_log(), Echo())
    configuration = Configuration(NAMES, level=2)
    try:
        node.deliver(InstallSnapshot("c", "b", "a", 1, SnapshotMeta(7, 1, configuration)))
    except LogTooNew:
        return
    raise AssertionError("it asks for it")


def check_that_fingerprints_do_not_depend_on_batches(_: Path) -> None:
    """Nor on entries that hold no command."""

    class Results(Echo):
        def fingerprint(self, result: object) -> bytes:
            return b"%r" % (result,)

    kinds = {5: EntryKind.NOOP, 9: EntryKind.CONFIGURATION, 17: EntryKind.NOOP}
    membership = Configuration(("a",)).encode()
    entries = tuple(
        Entry(n, 1, kinds[n], membership) if n in kinds else Entry(n, 1, EntryKind.COMMAND, b"%d" % n, f"r{n}")
        for n in range(1, 33)
    )
    found = []
    for size in (1, 3, 32):
        posted: list[tuple[str, object]] = []
        applier = Applier(Results(), Proposals(9, 99), posted.append, "a")
        for first in range(0, 32, size):
            applier.put(entries[first : first + size])
            applier.work_next()
        found.append([value for what, value in posted if what == "compared"])
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2


def check_that_the_newest_window_is_asked_for_once_one_is_agreed_on(_: Path) -> None:
    leader = Comparison()
    leader.note(WINDOW, 1)
    assert leader.question("a")[0] == WINDOW
    leader.note(2 * WINDOW, 2)
    assert leader.question("a")[0] == WINDOW, "nobody has answered"
    leader.answered("b", WINDOW, 1, NAMES)
    assert leader.question("a") == (2 * WINDOW, WINDOW, 1)


@attrs.define
class Pieces:
    """A snapshot that comes in these pieces."""

    pieces: tuple[Chunk, ...]
    size: int
    meta: SnapshotMeta = SnapshotMeta(7, 1)

    def chunks(self) -> Iterator[Chunk]:
        return iter(self.pieces)

    def close(self) -> None:
        """Nothing is open."""


def check_that_each_piece_of_a_snapshot_is_verified(folder: Path) -> None:
    first, second = Chunk.of(0, b"abc"), Chunk.of(3, b"def")
    wrong = {
        "a piece is missing": Pieces((second,), 3),
        "a piece comes twice": Pieces((first, first), 6),
        "a piece was changed": Pieces((first, attrs.evolve(second, data=b"dex")), 6),
        "the end is missing": Pieces((first,), 6),
        "there is too much": Pieces((first, second), 3),
    }
    for number, (what, stream) in enumerate(wrong.items()):
        path = folder / f"{number}"
        try:
            receive(stream, path, threading.Event(), lambda: None)
        except SnapshotRefused:
            assert not path.exists()
            continue
        raise AssertionError(f"{what}, and it is taken")
    receive(Pieces((first, second), 6), folder / "right", threading.Event(), lambda: None)
    assert (folder / "right").read_bytes() == b"abcdef"


def check_that_a_copy_is_shared_while_it_is_new_enough(folder: Path) -> None:
    made: list[Path] = []

    def make() -> tuple[SnapshotMeta, Path]:
        path = folder / f"copy-{len(made)}"
        path.write_bytes(b"state")
        made.append(path)
        return SnapshotMeta(10 * len(made), 1), path

    copies = SharedCopies(make)
    first, second, third = copies.open(5), copies.open(9), copies.open(11)
    assert [stream.meta.index for stream in (first, second, third)] == [10, 10, 20]
    first.close()
    assert made[0].exists(), "it is being read"
    second.close()
    third.close()
    assert not any(path.exists() for path in made), "nobody reads them any more"
    assert copies.open(5).meta.index == 30


def check_that_no_state_is_given_that_is_older_than_was_asked_for(folder: Path) -> None:
    """Whoever asked would have to throw it away, after all of it had come."""
    path = folder / "copy"

    class Copies(Echo):
        def incoming(self) -> Path:
            return path

        def write_snapshot(self, path: Path) -> int:
            path.write_bytes(b"state")
            return self.applied

    node = DrivenNode(memory_log(("a",)), Copies())
    node.node.start_stepped()
    node.elect()
    node.propose("1")
    applied = node.core.log.applied
    node.node.open_snapshot(applied).close()
    try:
        node.node.open_snapshot(applied + 1)
    except SnapshotUnavailable:
        assert not path.exists(), "nobody reads the copy"
        assert node.node.counters.snapshots_sent == 1
        return
    raise AssertionError("what was asked for is not in it")


PART_CHECKS: tuple[Callable[[Path], None], ...] = (
    check_that_what_a_member_needs_is_kept,
    check_that_a_log_that_is_too_large_keeps_nothing_for_a_member,
    check_that_entries_are_applied_once_each,
    check_that_each_committed_entry_reaches_the_state_machine_once,
    check_that_a_state_that_is_not_installed_is_discarded,
    check_that_a_leader_that_leaves_waits_for_the_next_one,
    check_that_a_leader_that_leaves_says_so_until_another_one_leads_and_takes_nothing,
    check_that_a_leader_that_leaves_and_hears_of_nobody_steps_down,
    check_that_a_leader_that_leaves_ends_if_nobody_takes_over,
    check_that_each_offer_is_heard_once_in_whichever_order,
    check_that_the_offers_of_each_life_are_counted_and_few_lives_remembered,
    check_that_a_read_sees_a_snapshot,
    check_that_a_read_that_was_asked_ends_with_the_membership,
    check_that_an_answered_proposal_gives_back_its_bytes,
    check_that_a_proposal_that_was_answered_does_not_fail_the_next_one_of_its_id,
    check_that_a_proposal_that_waits_is_one,
    check_that_what_the_leader_has_not_taken_comes_again_later_each_time,
    check_that_what_a_node_cannot_take_comes_again_later_each_time,
    check_that_a_refusal_counts_for_the_last_offer_alone,
    check_that_what_the_leader_never_takes_is_refused_at_once,
    check_that_what_a_node_appended_itself_is_not_said_to_be_refused,
    check_that_what_a_snapshot_may_include_is_offered_again,
    check_that_a_fetch_that_was_given_up_is_over,
    check_that_a_fetch_that_ends_well_is_a_new_beginning,
    check_that_a_snapshot_of_a_level_to_come_ends_the_node,
    check_that_fingerprints_do_not_depend_on_batches,
    check_that_the_newest_window_is_asked_for_once_one_is_agreed_on,
    check_that_each_piece_of_a_snapshot_is_verified,
    check_that_a_copy_is_shared_while_it_is_new_enough,
    check_that_no_state_is_given_that_is_older_than_was_asked_for,
)
