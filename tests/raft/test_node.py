"""The driver when its parts fail or are ended from an odd thread: it ends, it says why, and nobody waits for ever."""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from bleepstore.raft import node as node_module
from bleepstore.raft import senders
from bleepstore.raft.messages import (
    Accepted,
    AppendEntries,
    AppendReply,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    HeartbeatReply,
    Message,
    NodeId,
    ProposeRefused,
    Refusal,
    Removed,
    RequestVote,
    Role,
    SnapshotMeta,
    TimeoutNow,
)
from bleepstore.raft.node import Node
from bleepstore.raft.node_settings import Host, NodeSettings
from bleepstore.raft.node_status import status_of
from bleepstore.raft.snapshot_transfer import receive
from bleepstore.raft.state import Settings
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.storage import LogStorage, MemoryLog
from bleepstore.raft.transport import Chunk, MemoryNetwork
from bleepstore.raft.waiting import LowSpace, NodeEnded, ProposalRefused, RemovedFromCluster, TimedOut
from tests.raft.clusters import wait_until
from tests.raft.driver import DEFAULTS, DrivenNode, Echo

PATIENCE = 60  # seconds; only a failure takes so long


class BrokenDisk(MemoryLog):
    """Takes no command, and cannot be closed."""

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        if any(entry.kind is EntryKind.COMMAND for entry in entries):
            raise OSError("the disk is gone")
        super().save(hard_state, truncate_from, entries, snapshot)

    def close(self) -> None:
        raise OSError("still gone")


class BrokenTransport(MemoryNetwork):
    """Raises what a transport should not."""

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        raise RuntimeError("a fault of the transport")


def start(log: LogStorage, network: MemoryNetwork, **kwargs: Any) -> tuple[Node, Echo]:
    state_machine = Echo()
    settings = NodeSettings(tick_seconds=0.005, answer_ticks=100_000)
    node = Node(log, state_machine, network, settings=settings, host=Host(random.Random(1)), **kwargs)
    node.start()
    return node, state_machine


def log_of(kind: type[MemoryLog] = MemoryLog, voters: tuple[str, ...] = ("a",)) -> MemoryLog:
    return kind("cluster", "a", SnapshotMeta(configuration=Configuration(voters)))


def test_a_disk_error_ends_the_node_and_tells_everybody_even_if_the_log_cannot_be_closed() -> None:
    told: list[BaseException] = []
    informed = threading.Event()

    def on_failure(error: BaseException) -> None:
        told.append(error)
        informed.set()

    node, state_machine = start(log_of(BrokenDisk), MemoryNetwork(), on_failure=on_failure)
    with pytest.raises(NodeEnded, match="the disk is gone"):
        node.propose("1", b"data").result(PATIENCE)
    assert informed.wait(PATIENCE)
    assert str(told[0]) == "the disk is gone"
    assert state_machine.closed.wait(PATIENCE), "told first, closed then"
    node.stop()
    with pytest.raises(NodeEnded):
        node.propose("2", b"data")
    with pytest.raises(NodeEnded):
        node.read_barrier().result(PATIENCE)


def test_a_node_may_be_stopped_by_what_waits_for_an_answer() -> None:
    node, state_machine = start(log_of(), MemoryNetwork())
    stopped = threading.Event()

    def stop(_: Future[Any]) -> None:
        node.stop()
        stopped.set()

    future = node.propose("1", b"data")
    future.add_done_callback(stop)
    assert future.result(PATIENCE) == b"data"
    assert stopped.wait(PATIENCE)
    assert state_machine.closed.wait(PATIENCE)
    assert node.failure is None


def test_a_transport_that_raises_ends_the_node_instead_of_leaving_a_peer_in_silence() -> None:
    informed = threading.Event()
    node, _ = start(log_of(voters=("a", "b")), BrokenTransport(is_direct=False), on_failure=lambda _: informed.set())
    assert informed.wait(PATIENCE)
    assert "a fault of the transport" in str(node.failure)
    node.stop()


@pytest.mark.parametrize(
    ("request_id", "data", "reason"),
    [
        ("\ud800", b"x", Refusal.MALFORMED_TEXT),
        ("", b"x", Refusal.MALFORMED_TEXT),
        (None, b"x", Refusal.MALFORMED_TEXT),
        ("id", "text", Refusal.MALFORMED_DATA),
        ("id", None, Refusal.MALFORMED_DATA),
        ("id", 5, Refusal.MALFORMED_DATA),
    ],
)
def test_what_is_no_proposal_is_refused_and_the_node_lives(request_id: Any, data: Any, reason: Refusal) -> None:
    node = DrivenNode(log_of(), Echo())
    node.elect()
    with pytest.raises(ProposalRefused) as caught:
        node.propose(request_id, data)
    assert caught.value.reason is reason
    assert node.node.counters.proposals_malformed == 1
    good: Any = bytearray(b"good")
    assert node.propose("good", good).result(0) == b"good"


# --- an end does not wait for others ---


class HangingTransport(MemoryNetwork):
    """Holds whoever sends until it is released."""

    def __init__(self) -> None:
        super().__init__(is_direct=False)
        self.holds = threading.Semaphore(0)
        self.release = threading.Event()
        self.sent = 0

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        self.sent += 1
        self.holds.release()
        self.release.wait(PATIENCE)


class HangingMachine(Echo):
    """Holds whoever applies a command until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = threading.Event()
        self.release = threading.Event()

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        if batch:
            self.holds.set()
            self.release.wait(PATIENCE)
        return super().apply(batch, through)


class FailingDisk(MemoryLog):
    """Fails when it is told to."""

    __slots__ = ("fails",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.fails = False

    def save(self, *arguments: Any) -> None:
        if self.fails:
            raise OSError("the disk is gone")
        super().save(*arguments)


def test_a_failure_is_told_and_who_waits_is_answered_while_the_network_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "CLOSE_SECONDS", 0.0)
    network = HangingTransport()
    log = FailingDisk("cluster", "a", SnapshotMeta(configuration=Configuration(("a", "b", "c"))))
    informed = threading.Event()
    node, state_machine = start(log, network, on_failure=lambda _: informed.set())
    assert network.holds.acquire(timeout=PATIENCE)
    assert network.holds.acquire(timeout=PATIENCE)
    read = node.read_barrier()
    log.fails = True
    node.deliver(AppendEntries("cluster", "b", "a", 50, 0, 0, (Entry(1, 50, EntryKind.NOOP),), 0))
    assert informed.wait(PATIENCE)
    with pytest.raises(NodeEnded):
        read.result(PATIENCE)
    node.stop()
    assert state_machine.closed.is_set()
    assert not network.release.is_set(), "nobody had to wait for the network"
    sent = network.sent
    network.release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("raft-a-to-"):
            thread.join(PATIENCE)
    assert network.sent == sent, "what waited in the queues is dropped"


def test_an_end_does_not_wait_for_ever_for_the_state_machine_nor_closes_it_under_its_feet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_module, "END_SECONDS", 0.0)
    state_machine = HangingMachine()
    node = Node(
        log_of(), state_machine, MemoryNetwork(), settings=NodeSettings(tick_seconds=0.005), host=Host(random.Random(1))
    )
    node.start()
    future = node.propose("1", b"data")
    assert state_machine.holds.wait(PATIENCE)
    node.stop()
    assert node.ended.wait(PATIENCE)
    with pytest.raises(NodeEnded):
        future.result(PATIENCE)
    node._thread.join(PATIENCE)
    assert not state_machine.closed.is_set()
    state_machine.release.set()


def test_a_snapshot_that_is_coming_in_is_given_up_at_the_end(tmp_path: Path) -> None:
    stopping = threading.Event()

    class Endless:
        meta = SnapshotMeta(1, 1)
        size = 1 << 60

        def chunks(self) -> Iterator[Chunk]:
            for offset in itertools.count():
                yield Chunk.of(offset, b"x")
                stopping.set()

        def close(self) -> None:
            """Nothing is open."""

    with pytest.raises(SnapshotRefused, match="being stopped"):
        receive(Endless(), tmp_path / "incoming", stopping, lambda: None)
    assert not (tmp_path / "incoming").exists()


def test_who_failed_to_be_told_does_not_keep_the_files_open() -> None:
    def raises(_: BaseException) -> None:
        raise RuntimeError("a fault of the embedder")

    node, state_machine = start(log_of(BrokenDisk), MemoryNetwork(), on_failure=raises)
    with pytest.raises(NodeEnded):
        node.propose("1", b"data").result(PATIENCE)
    assert state_machine.closed.wait(PATIENCE)


# --- little space ---


def pair(core: Settings = DEFAULTS) -> tuple[DrivenNode, DrivenNode]:
    """A leader that does not hand over, and a follower; what one sends is delivered to the other by `exchange`."""
    names = ("a", "b", "c")
    made = []
    for name in names[:2]:
        log = MemoryLog("cluster", name, SnapshotMeta(configuration=Configuration(names)))
        made.append(DrivenNode(log, Echo(), core=core))
    leader, follower = made
    leader.driver._lead_elsewhere_at = math.inf
    leader.elect("c")
    exchange(leader, follower)
    return leader, follower


def exchange(*nodes: DrivenNode) -> None:
    by_name = {node.core.node: node for node in nodes}
    while any(node.outbox.sent for node in nodes):
        for node in nodes:
            sent, node.outbox.sent = node.outbox.sent, []
            for message in sent:
                if message.to in by_name:
                    by_name[message.to].deliver(message)


def test_little_space_is_refused_by_default() -> None:
    assert NodeSettings().min_free_bytes == 64 << 20
    node = DrivenNode(log_of(), Echo())
    node.elect()
    node.free_bytes = (64 << 20) - 1
    node.tick()
    with pytest.raises(LowSpace):
        node.propose("1")
    node.free_bytes += 1
    node.tick()
    assert node.propose("1").result(0) == b"x"


def test_with_little_space_left_only_what_frees_some_is_taken() -> None:
    leader, follower = pair()
    for node in (leader, follower):
        node.free_bytes = 16 << 20
        node.tick()
    exchange(leader, follower)
    for number, node in enumerate((leader, follower)):
        with pytest.raises(LowSpace):
            node.propose(f"fills {number}")
        future = node.propose(f"frees {number}", frees_space=True)
        exchange(leader, follower)
        assert future.result(0) == b"x"
    for node in (leader, follower):  # there is a reserve for the log of what frees space: see `cluster.SpaceReserve`
        node.free_bytes = 0
        node.tick()
    exchange(leader, follower)
    for number, node in enumerate((leader, follower)):
        future = node.propose(f"frees more {number}", frees_space=True)
        exchange(leader, follower)
        assert future.result(0) == b"x"


def test_what_frees_space_waits_for_the_end_of_a_hand_over() -> None:
    leader, follower = pair()
    leader.free_bytes = 0
    leader.tick()
    leader.node.call(lambda core: core.transfer_leadership("c"))
    leader.drain()
    assert leader.core.transfer_target == "c", "which is silent"
    futures = [leader.propose("1", frees_space=True), follower.propose("2", frees_space=True)]
    exchange(leader, follower)
    assert not any(future.done() for future in futures)
    for _tick in range(3 * leader.core.settings.election_ticks):
        for node in (leader, follower):
            node.tick()
            exchange(leader, follower)
    assert [future.result(0) for future in futures] == [b"x", b"x"]


def test_a_leader_with_little_space_says_so_to_who_proposes_elsewhere() -> None:
    leader, follower = pair()
    leader.free_bytes = 0
    leader.tick()
    exchange(leader, follower)
    future = follower.propose("1")
    exchange(leader, follower)
    with pytest.raises(LowSpace, match="the disk of the leader"):
        future.result(0)
    assert leader.core.counters.refused == {Refusal.NO_SPACE: 1}
    leader.free_bytes = 1 << 40
    leader.tick()
    future = follower.propose("2")
    exchange(leader, follower)
    assert future.result(0) == b"x"


def test_a_proposal_that_an_earlier_leader_may_have_taken_is_not_said_to_be_refused() -> None:
    leader, follower = pair()
    future = follower.propose("1")
    follower.outbox.sent.clear()  # lost, for all that is known
    leader.free_bytes = 0
    for _ in range(NodeSettings().retry_ticks):
        leader.tick()
        exchange(leader, follower)
        follower.tick()
    exchange(leader, follower)
    with pytest.raises(TimedOut, match="it still may be applied"):
        future.result(0)


def test_an_offer_that_arrives_twice_is_not_refused_the_second_time() -> None:
    """Not even when the leader has applied it, is full meanwhile, and the proposer has yet to hear of it."""
    leader, follower = pair()
    future = follower.propose("1")
    (offer,) = follower.outbox.sent
    follower.outbox.sent.clear()
    last = leader.core.log.last
    leader.deliver(offer)
    leader.deliver(AppendReply("cluster", "c", "a", leader.core.term, leader.core.log.last))
    assert leader.core.log.applied == last + 1
    late, leader.outbox.sent = leader.outbox.sent, []
    leader.free_bytes = 0
    leader.tick()
    leader.deliver(offer)
    exchange(leader)
    assert not future.done()
    follower.deliver(*(message for message in late if message.to == "b"))
    exchange(leader, follower)
    assert future.result(0) == b"x"
    assert leader.core.log.last == last + 1
    assert leader.core.counters.refused == {Refusal.REPEATED_OFFER: 1}


def test_what_is_in_the_log_is_not_appended_again_however_often_it_is_offered() -> None:
    """Neither refused: whoever passes it on would hear that nothing came of it, or offer it at once again."""
    leader, follower = pair(Settings(election_ticks=100))
    last = leader.core.log.last
    futures = [leader.propose("1"), follower.propose("2")]
    for retry in range(4):
        leader.free_bytes = 0 if retry == 3 else 1 << 40
        leader.tick()
        assert leader.core.propose("1", b"x") == Accepted(last + 1, leader.core.term)
        leader.deliver(*follower.outbox.sent)
        assert leader.core.counters.refused.get(Refusal.ALREADY_TAKEN, 0) == retry
        for node in (leader, follower):  # nobody hears of what it has appended
            node.outbox.sent.clear()
        for _ in range(NodeSettings().retry_ticks):
            follower.tick()
    assert leader.core.log.last == last + 2
    for _ in range(3):
        leader.tick()
        exchange(leader, follower)
    assert [future.result(0) for future in futures] == [b"x", b"x"]
    leader.free_bytes = 1 << 40
    leader.tick()
    assert leader.core.propose("2", b"x") == Accepted(last + 3, leader.core.term), "it is applied: a repeat is another"


def test_what_is_proposed_again_between_its_result_and_word_of_it_is_answered() -> None:
    """The leader still takes it for what waits to be applied, when nothing more comes of that."""
    node = DrivenNode(log_of(), Echo())
    node.elect()
    applier, futures = node.driver.applier, list[Future[Any]]()
    post = applier._post

    def propose_first(event: tuple[str, Any]) -> None:
        if not futures:
            futures.append(node.node.propose("1", b"x"))
        post(event)

    node.core.propose("1", b"x")
    applier._post = propose_first
    node.tick()
    for _ in range(NodeSettings().retry_ticks):
        assert not futures[0].done()
        node.tick()
    assert futures[0].result(0) == b"x"


def test_only_the_leader_says_that_there_is_no_space() -> None:
    leader, follower = pair()
    future = follower.propose("1")
    life = follower.core.incarnation
    follower.deliver(ProposeRefused("cluster", "c", "b", follower.core.term, "1", Refusal.NO_SPACE, life, 1))
    assert not future.done()
    assert follower.core.counters.refused[Refusal.NOT_FROM_LEADER] == 1
    exchange(leader, follower)
    assert future.result(0) == b"x"


# --- a disk that was wiped ---


def test_a_log_that_lost_what_it_acknowledged_is_reported_once_a_term(caplog: pytest.LogCaptureFixture) -> None:
    node = DrivenNode(log_of(voters=("a", "b", "c")), Echo())
    for term in (4, 4, 4, 5):
        node.deliver(Heartbeat("cluster", "b", "a", term, 9, 0))
    reports = [record for record in caplog.records if "has lost what it acknowledged" in record.getMessage()]
    assert len(reports) == 2
    assert reports[0].levelname == "ERROR"
    assert "add one with a new id" in reports[0].getMessage()
    assert node.core.counters.refused == {Refusal.COMMIT_BEYOND_LOG: 4}


def test_what_only_forgotten_promises_explain_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    node = DrivenNode(log_of(voters=("a", "b", "c")), Echo())
    first = tuple(Entry(n, 1, EntryKind.NOOP) for n in (1, 2))
    node.deliver(AppendEntries("cluster", "b", "a", 1, 0, 0, first, 2))
    for _ in range(2):
        node.deliver(AppendEntries("cluster", "b", "a", 2, 2, 2, (), 2))
        node.deliver(Heartbeat("cluster", "c", "a", 2, 0, 0))
    reports = [record.getMessage() for record in caplog.records]
    assert len(reports) == 2
    assert "other committed entries than leader b of term 2" in reports[0]
    assert "c as a second leader of term 2" in reports[1]


def test_what_finds_the_queue_to_a_peer_full_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "CLOSE_SECONDS", 0.0)
    monkeypatch.setattr(senders, "MAX_WAITING", 3)
    network = HangingTransport()
    node, _ = start(log_of(voters=("a", "b")), network)
    assert network.holds.acquire(timeout=PATIENCE)
    wait_until(lambda: node.counters.messages_dropped > 0, "more votes are asked for than can wait")
    node.stop()
    network.release.set()


def test_who_waits_is_answered_in_time_however_long_the_disk_takes() -> None:
    """A tick comes at most once a turn, and a turn may take seconds."""
    now = [0.0]
    node = DrivenNode(log_of(voters=("a", "b", "c")), Echo(), clock=lambda: now[0], tick_seconds=1.0, answer_ticks=10)
    proposed = node.propose("r1")
    asked = node.node.read_barrier()
    node.drain()
    now[0] = 9.0
    node.node.step()
    assert not proposed.done()
    assert not asked.done()
    now[0] = 10.0
    node.node.step()
    assert isinstance(proposed.exception(0), TimedOut)
    assert isinstance(asked.exception(0), TimedOut)
    node.close()


def test_a_node_that_is_told_of_its_removal_says_so_to_all_who_wait_and_to_all_who_ask() -> None:
    node = DrivenNode(log_of(voters=("a", "b", "c")), Echo())
    waiting = [node.propose("r1"), node.node.read_barrier()]
    node.drain()
    assert not any(future.done() for future in waiting)
    node.deliver(Removed("cluster", "b", "a", 0))
    waiting += [node.propose("r2"), node.node.read_barrier()]
    node.drain()
    for future in waiting:
        with pytest.raises(RemovedFromCluster, match="ask another one"):
            future.result(0)
    for _ in range(100):
        node.tick()
    assert not any(isinstance(message, RequestVote) for message in node.outbox.sent[-50:])
    assert node.core.role is Role.FOLLOWER
    node.close()


def test_a_leader_that_is_full_when_it_is_elected_hands_over_when_one_says_that_it_has_space() -> None:
    """Not before: whoever it chose might be full too, and then it would have to wait for the next hand-over."""
    node = DrivenNode(log_of(voters=("a", "b", "c")), Echo())
    node.free_bytes = 1 << 20
    node.elect("b")
    term = node.core.term

    def heir_after(*said: Message) -> str | None:
        """To whom it hands over once it has heard this."""
        node.outbox.sent.clear()
        node.deliver(*said)
        node.tick()
        return next((message.to for message in node.outbox.sent if isinstance(message, TimeoutNow)), None)

    last = node.core.log.last
    assert [one.is_low_on_space for one in status_of(node.node).members] == [True, None, None]
    assert heir_after(*(AppendReply("cluster", peer, "a", term, last) for peer in "bc")) is None
    assert heir_after(HeartbeatReply("cluster", "b", "a", term, 0, True)) is None
    assert heir_after(HeartbeatReply("cluster", "c", "a", term, 0, False)) == "c"
    assert [one.is_low_on_space for one in status_of(node.node).members] == [True, True, False]
    node.close()


def test_a_leader_with_little_space_hands_over_to_one_that_has_some_and_seldom() -> None:
    node = DrivenNode(log_of(voters=("a", "b", "c")), Echo(), space_ticks=30)
    node.elect("b")
    term = node.core.term

    def heartbeats(**low: bool) -> list[str]:
        """To whom it hands over in ten ticks in which the others answer."""
        node.outbox.sent.clear()
        for _ in range(10):
            for peer in ("b", "c"):
                node.deliver(AppendReply("cluster", peer, "a", term, node.core.log.last))
                node.deliver(HeartbeatReply("cluster", peer, "a", term, 0, low[peer]))
            node.tick()
        return sorted({message.to for message in node.outbox.sent if isinstance(message, TimeoutNow)})

    node.free_bytes = 1 << 20
    assert heartbeats(b=True, c=True) == [], "they are as full"
    assert heartbeats(b=True, c=False) == ["c"]
    node.core.transfer_target = None  # as after an election timeout: c did not take it
    assert heartbeats(b=True, c=False) == [], "not again at once"
    assert heartbeats(b=True, c=False) == []
    assert heartbeats(b=True, c=False) == ["c"]
    node.close()
