"""States that go from node to node, and those that a node finds at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from bleepstore.cluster import CatalogStateMachine, LocalCluster, Member, wrap
from bleepstore.errors import CatalogDamaged
from bleepstore.raft.storage import LogMisuse
from bleepstore.raft.transport import Chunk, MemoryNetwork
from tests.raft.clusters import COMPACTING, create_bucket, equal_hash, keys_of, put, start, wait_for_leader, wait_until


def fall_behind(cluster: LocalCluster, network: MemoryNetwork) -> Member:
    """A follower that was down until the others had dropped the entries that it lacks; it is up again, cut off."""
    leader = wait_for_leader(cluster)
    follower = next(one for one in cluster.members.values() if one is not leader)
    cluster.crash(follower.id)
    for number in range(120):
        leader.committer.submit(put(f"p{number}", f"{number:03}", b"x" * 3000))
    wait_until(lambda: leader.node.core.log.first > 50, "compaction")
    return cluster.start(follower.id)


def test_a_node_that_fell_behind_catches_up_by_a_snapshot(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network, COMPACTING) as cluster:
        member = fall_behind(cluster, network)
        wait_until(lambda: member.node.core.counters.snapshots_installed > 0, "a snapshot")
        wait_for_leader(cluster)
        member.committer.submit(put("after", "after"))
        equal_hash(cluster)
        assert keys_of(member) == [*(f"{n:03}" for n in range(120)), "after"]
        # It comes back from the state that it installed.
        cluster.crash(member.id)
        again = cluster.start(member.id)
        wait_for_leader(cluster)
        equal_hash(cluster)
        assert keys_of(again) == [*(f"{n:03}" for n in range(120)), "after"]
        files = {path.name for path in (tmp_path / member.id).glob("catalog*.db")}
        assert files == {f"catalog{again.state_machine.name}.db"}, "the old state's file is gone"
        assert again.state_machine.name


def test_a_start_that_is_refused_removes_nothing(tmp_path: Path) -> None:
    """Somebody has put an older log back, from before the state that is there."""
    with MemoryNetwork() as network, start(tmp_path, network, COMPACTING) as cluster:
        leader = wait_for_leader(cluster)
        for number in range(120):
            leader.committer.submit(put(f"p{number}", f"{number:03}", b"x" * 3000))
        wait_until(lambda: leader.node.core.log.first > 50, "compaction")
        cluster.crash(leader.id)
        folder = tmp_path / leader.id
        for path in folder.glob("catalog.*"):
            path.rename(path.with_name(path.name.replace("catalog", "catalog-99-0a1b2c3d")))
        with pytest.raises(LogMisuse, match="there is a gap"):
            cluster.start(leader.id)
        assert (folder / "catalog-99-0a1b2c3d.db").stat().st_size > 100_000


def test_a_snapshot_that_was_changed_on_its_way_is_refused_and_fetched_again(tmp_path: Path) -> None:
    damaged: list[int] = []

    def corrupt(chunk: Chunk) -> Chunk:
        if len(damaged) >= 2:
            return chunk
        damaged.append(chunk.offset)
        return Chunk(chunk.offset, chunk.data[:-1] + bytes([chunk.data[-1] ^ 1]), chunk.sha256)

    with MemoryNetwork() as network, start(tmp_path, network, COMPACTING) as cluster:
        network.corrupt_chunk = corrupt
        member = fall_behind(cluster, network)
        wait_until(lambda: member.node.core.counters.snapshots_installed > 0, "a good snapshot")
        assert member.node.counters.snapshots_refused == 2
        wait_for_leader(cluster)
        equal_hash(cluster)
        assert not list((tmp_path / member.id).glob("incoming*"))


def test_a_state_that_the_log_counts_on_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogDamaged, match="start this node anew"):
        CatalogStateMachine(tmp_path, "-17-abc")


def test_what_was_prepared_and_never_installed_is_removed_at_the_start(tmp_path: Path) -> None:
    state_machine = CatalogStateMachine(tmp_path)
    state_machine.apply([(1, wrap(create_bucket(0), 99))], 1)
    copy = state_machine.incoming()
    name = state_machine.prepare(copy, state_machine.write_snapshot(copy))
    state_machine.incoming().write_bytes(b"torn")
    state_machine.close()
    again = CatalogStateMachine(tmp_path)
    again.remove_others()
    try:
        assert again.applied == 1
        assert not (tmp_path / f"catalog{name}.db").exists()
        assert [path.name for path in tmp_path.glob("incoming*")] == []
    finally:
        again.close()
