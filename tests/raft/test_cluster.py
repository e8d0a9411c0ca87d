"""Three nodes in one process replicate a catalog."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from bleepstore.catalog.apply import REMEMBERED_REQUESTS
from bleepstore.cluster import CatalogStateMachine, LeaderLease, LocalCluster, unwrap, wrap
from bleepstore.codec import MalformedRecord, UnknownTag
from bleepstore.commands import Result, Written
from bleepstore.errors import BucketAlreadyOwnedByYou, PreconditionFailed, ServiceUnavailable
from bleepstore.raft.endings import Ending
from bleepstore.raft.messages import Message, RequestVote, Role
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.state import Settings
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.clusters import (
    DEADLINE,
    FAST,
    create_bucket,
    equal_hash,
    keys_of,
    put,
    start,
    wait_for_leader,
    wait_until,
)


@pytest.mark.parametrize("size", [1, 3])
def test_all_nodes_have_the_same_catalog_whichever_was_asked(tmp_path: Path, size: int) -> None:
    with MemoryNetwork() as network, start(tmp_path, network, size=size) as cluster:
        members = list(cluster.members.values())
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            results = list(
                pool.map(lambda n: members[n % size].committer.submit(put(f"p{n}", f"{n:03}", b"x" * n)), range(120))
            )
        assert all(isinstance(result, Written) for result in results)
        equal_hash(cluster)
        for member in members:
            assert keys_of(member) == [f"{n:03}" for n in range(120)]


def test_a_read_behind_the_barrier_sees_what_another_node_acknowledged(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        members = list(cluster.members.values())
        for number in range(30):
            members[number % 3].committer.submit(put(f"p{number}", f"{number}"))
            other = members[(number + 1) % 3]
            other.committer.read_barrier()
            with other.catalog.read() as reader:
                assert reader.find_object("photos", f"{number}", with_data=True) is not None


def test_a_conditional_write_has_exactly_one_winner_across_nodes(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        members = list(cluster.members.values())

        def race(key: int, racer: int) -> Result:
            command = put(f"{key}-{racer}", f"{key}", b"%d" % racer, create=True)
            return members[racer % 3].committer.submit(command)

        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            for key in range(15):
                results = list(pool.map(race, [key] * 9, range(9)))
                winners = [racer for racer, result in enumerate(results) if isinstance(result, Written)]
                assert len(winners) == 1
                assert all(isinstance(one, Written | PreconditionFailed) for one in results)
                for member in members:
                    member.committer.read_barrier()
                    with member.catalog.read() as reader:
                        found = reader.find_object("photos", f"{key}", with_data=True)
                    assert found is not None
                    assert found.data == b"%d" % winners[0]


def test_a_repeat_gives_the_first_result_on_every_node(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        command = put("once", "key", create=True)
        results = {repr(member.committer.submit(command)) for member in cluster.members.values()}
        assert len(results) == 1, "the second and third would be refused if they were applied again"
        assert next(iter(results)).startswith("Written")


def test_a_refusal_is_a_result_and_no_failure(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        for number, member in enumerate(cluster.members.values()):
            again = member.committer.submit(create_bucket(f"again{number}"))
            assert again == BucketAlreadyOwnedByYou("photos")
            assert member.node.failure is None


def test_the_leader_may_crash_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        acknowledged = []
        for number in range(3):
            leader = wait_for_leader(cluster)
            for one in range(10):
                leader.committer.submit(put(f"{number}-{one}", f"{number}-{one}"))
                acknowledged.append(f"{number}-{one}")
            cluster.crash(leader.id)
            survivor = next(iter(cluster.members.values()))
            survivor.committer.submit(put(f"after-{number}", f"after-{number}"))
            acknowledged.append(f"after-{number}")
            cluster.start(leader.id)
        equal_hash(cluster)
        for member in cluster.members.values():
            assert keys_of(member) == sorted(acknowledged)


def test_all_nodes_may_crash_and_come_back(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        for number in range(20):
            wait_for_leader(cluster).committer.submit(put(f"p{number}", f"{number:02}"))
        before = equal_hash(cluster)[1]
        for node in cluster.ids:
            cluster.crash(node)
        for node in cluster.ids:
            cluster.start(node)
        wait_for_leader(cluster)
        index, after = equal_hash(cluster)
        assert index > 20
        assert after != before, "the applied index has gone on with the new leader's term, and is part of the state"
        assert all(keys_of(member) == [f"{n:02}" for n in range(20)] for member in cluster.members.values())


class VotesSeen(MemoryNetwork):
    """Remembers who asked for votes, and whether because a leader has handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, bool]] = []

    def send(self, to: str, messages: Sequence[Message]) -> None:
        self.asked += [(one.sender, one.transfer) for one in messages if isinstance(one, RequestVote)]
        super().send(to, messages)


def test_a_leader_that_stops_hands_over_so_that_nobody_waits_for_an_election(tmp_path: Path) -> None:
    # Elections by time-out take half a second to one second.
    settings = attrs.evolve(FAST, core=Settings(election_ticks=50))
    with VotesSeen() as network, start(tmp_path, network, settings) as cluster:
        leader = wait_for_leader(cluster)
        equal_hash(cluster)
        term = leader.node.status.term
        network.asked.clear()
        cluster.stop(leader.id)
        new = wait_for_leader(cluster)
        assert new.node.status.term == term + 1
        assert set(network.asked) == {(new.id, True)}
        assert isinstance(new.committer.submit(put("p", "k")), Written)
        # The other one stops as fast: it does not lead. The last one has nobody to hand over to.
        for member in list(cluster.members.values()):
            cluster.stop(member.id)


def test_a_node_that_was_stopped_says_so(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        leader = wait_for_leader(cluster)
        cluster.stop(leader.id)
        for ask in (lambda: leader.committer.submit(put("late", "late")), leader.committer.read_barrier):
            with pytest.raises(ServiceUnavailable, match=r"the node has ended"):
                ask()


def test_without_a_majority_nothing_is_acknowledged_and_no_read_is_answered(tmp_path: Path) -> None:
    settings = NodeSettings(tick_seconds=0.01, answer_ticks=40)
    with MemoryNetwork() as network, start(tmp_path, network, settings) as cluster:
        leader = wait_for_leader(cluster)
        network.isolate(leader.id)
        with pytest.raises(ServiceUnavailable, match="did not answer in time"):
            leader.committer.submit(put("lost", "lost"))
        with pytest.raises(ServiceUnavailable):
            leader.committer.read_barrier()
        network.heal()
        wait_for_leader(cluster)
        equal_hash(cluster)


def test_a_command_of_an_unknown_form_stops_the_node(tmp_path: Path) -> None:
    """Skipping it would make this catalog differ from those that know it."""
    with MemoryNetwork() as network, start(tmp_path, network, size=1) as cluster:
        (member,) = cluster.members.values()
        future = member.node.propose("bad", wrap(put("bad", "k"), 10**6).replace(b"put-object/1", b"put-object/9"))
        assert isinstance(future.exception(DEADLINE), Exception)
        assert member.node.ended.wait(DEADLINE)
        assert isinstance(member.node.failure, UnknownTag)
        assert member.node.status.ending is Ending.TOO_OLD
        with pytest.raises(ServiceUnavailable):
            member.committer.read_barrier()


def test_an_entry_in_no_known_envelope_is_refused() -> None:
    assert unwrap(wrap(put("r", "k"), 77)) == (77, put("r", "k"))
    for data in (b"", b"{}", b"\x02" + wrap(put("r", "k"), 1)[1:]):
        with pytest.raises(MalformedRecord, match="upgrade this node"):
            unwrap(data)


def test_a_repeat_that_is_too_late_to_be_recognised_changes_nothing(tmp_path: Path) -> None:
    """Its first result is forgotten; were it applied, it would undo what came between."""
    state_machine = CatalogStateMachine(tmp_path)
    try:
        valid_to = REMEMBERED_REQUESTS
        first = [(1, wrap(create_bucket(0), valid_to)), (2, wrap(put("old", "k", b"old"), valid_to))]
        state_machine.apply(first, 2)
        count = 2 * REMEMBERED_REQUESTS + 10
        state_machine.apply([(n, wrap(put(f"p{n}", "k", b"new"), n + 9)) for n in range(3, count)], count - 1)
        (late,) = state_machine.apply([(count, wrap(put("old", "k", b"old"), valid_to))], count)
        assert isinstance(late, ServiceUnavailable)
        with state_machine.catalog.read() as reader:
            found = reader.find_object("photos", "k", with_data=True)
        assert found is not None
        assert found.data == b"new"
        # One that is remembered is answered, however late it is.
        recent = wrap(put(f"p{count - 1}", "k", b"new"), 1)
        (again,) = state_machine.apply([(count + 1, recent)], count + 1)
        assert isinstance(again, Written)
    finally:
        state_machine.close()


def test_leadership_is_handed_over(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        leader = wait_for_leader(cluster)
        target = next(one for one in cluster.ids if one != leader.id)
        assert leader.node.call(lambda core: core.transfer_leadership(target)).result(DEADLINE) is None
        wait_until(lambda: cluster.members[target].node.status.role is Role.LEADER, "the new leader")
        wait_for_leader(cluster).committer.submit(put("p", "k"))
        equal_hash(cluster)


def test_the_leader_has_the_lease_of_the_jobs(tmp_path: Path) -> None:
    with MemoryNetwork() as network, LocalCluster(tmp_path, network, settings=FAST) as cluster:
        leader = wait_for_leader(cluster)
        leases = {member.id: LeaderLease(member.node) for member in cluster.members.values()}
        assert [node for node, lease in leases.items() if lease.acquire()] == [leader.id]
        cluster.crash(leader.id)
        wait_until(lambda: any(leases[node].acquire() for node in cluster.members), "another one has it")
