"""Fingerprints of the state, and that a node whose state is wrong takes itself out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bleepstore.cluster import Member
from bleepstore.commands import Written
from bleepstore.errors import CatalogDamaged
from bleepstore.raft.comparison import WINDOW, Comparison, Fingerprint, StateDiffers
from bleepstore.raft.endings import Ending
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.clusters import keys_of, put, start, wait_for_leader, wait_until

VOTERS = ("a", "b", "c")


def fingerprints(first: int, last: int, wrong_at: int = 0) -> list[tuple[int, int]]:
    one = Fingerprint()
    results = [b"wrong" if index == wrong_at else b"%d" % index for index in range(first, last + 1)]
    return [*one.take(first, results[:20]), *one.take(first + 20, results[20:])]


def test_a_window_is_its_results_and_nothing_from_before() -> None:
    whole = fingerprints(1, 5 * WINDOW)
    assert [index for index, _ in whole] == [WINDOW * n for n in range(1, 6)]
    assert fingerprints(2 * WINDOW + 1, 5 * WINDOW) == whole[2:]
    assert fingerprints(WINDOW + 2, 5 * WINDOW) == whole[2:], "the first window was not seen whole"
    wrong = fingerprints(1, 5 * WINDOW, wrong_at=WINDOW + 3)
    assert [one == other for one, other in zip(whole, wrong, strict=True)] == [True, False, True, True, True]


def compare(values: dict[str, int], leader: str = "a", voters: tuple[str, ...] = VOTERS) -> dict[str, int]:
    """Two rounds of heartbeats between nodes that found these at index 16; who differs where."""
    nodes = {name: Comparison() for name in values}
    for name, value in values.items():
        nodes[name].note(WINDOW, value)
    for _round in range(2):
        asked, agreed, fingerprint = nodes[leader].question(leader)
        for name, node in nodes.items():
            if name != leader:
                node.agree(agreed, fingerprint)
                nodes[leader].answered(name, *node.answer(asked), voters)
    return {name: node.differs_at for name, node in nodes.items() if node.differs_at}


def test_who_differs_from_the_majority_knows_it() -> None:
    assert compare({"a": 1, "b": 1, "c": 1}) == {}
    assert compare({"a": 1, "b": 2, "c": 1}) == {"b": WINDOW}
    assert compare({"a": 1, "b": 2, "c": 2}) == {"a": WINDOW}, "the leader too"
    assert compare({"a": 1, "b": 1, "c": 1, "d": 2}) == {"d": WINDOW}, "a learner too"
    assert compare({"a": 1, "b": 2, "c": 2}, voters=("a",)) == {"b": WINDOW, "c": WINDOW}, "learners have no vote"


def test_without_a_majority_nothing_is_agreed() -> None:
    assert compare({"a": 1, "b": 2}, voters=("a", "b")) == {}
    assert compare({"a": 1, "b": 2, "c": 3}) == {}
    assert compare({"a": 1, "b": 1, "c": 2, "d": 2}, voters=("a", "b", "c", "d")) == {}


def test_a_node_that_comes_to_an_index_later_compares_then() -> None:
    late = Comparison()
    late.agree(WINDOW, 7)
    assert not late.differs_at
    late.note(WINDOW, 8)
    assert late.differs_at == WINDOW


def test_an_answer_to_another_question_counts_for_nothing() -> None:
    leader = Comparison()
    leader.note(WINDOW, 1)
    leader.note(2 * WINDOW, 2)
    assert leader.question("a")[0] == 2 * WINDOW
    leader.answered("b", WINDOW, 9, VOTERS)
    leader.answered("b", 3 * WINDOW, 9, VOTERS)
    leader.answered("b", 0, 0, VOTERS)
    assert leader.disagreements == leader.agreements == 0
    assert not leader.differs_at


def damage(member: Member) -> None:
    """Something has changed this catalog behind its back: an object is gone."""
    with member.catalog.transaction() as tables:
        tables.connection.execute("DELETE FROM object_version WHERE key = 'there'")


@pytest.mark.parametrize("who", ["a follower", "the leader"])
def test_a_node_whose_state_is_wrong_takes_itself_out_and_the_others_go_on(tmp_path: Path, who: str) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        leader = wait_for_leader(cluster)
        leader.committer.submit(put("there", "there"))
        for member in cluster.members.values():
            member.committer.read_barrier()
        others = [member for member in cluster.members.values() if member is not leader]
        wrong = leader if who == "the leader" else others[0]
        right = others[1]
        damage(wrong)
        for number in range(2 * WINDOW):  # all but one node refuse them
            right.committer.submit(put(f"p{number}", "there", create=True))
        wait_until(wrong.node.ended.is_set, "the wrong one ends")
        assert isinstance(wrong.node.failure, StateDiffers)
        assert wrong.node.status.ending is Ending.DIFFERS
        cluster.stop(wrong.id)
        with pytest.raises(CatalogDamaged, match="not that of the majority"):
            cluster.start(wrong.id)
        wait_for_leader(cluster)
        for number in range(2 * WINDOW):
            assert isinstance(right.committer.submit(put(f"q{number}", f"{number}")), Written)
        for member in cluster.members.values():
            member.committer.read_barrier()
            assert "there" in keys_of(member)
            assert not member.node.ended.is_set()
