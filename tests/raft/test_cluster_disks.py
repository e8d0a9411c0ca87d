"""Disks that are full, and a catalog that is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from bleepstore import commands as c
from bleepstore.cluster import LocalCluster, Member, wrap
from bleepstore.commands import Done, Removed, Written
from bleepstore.errors import SlowDown, StorageFull
from bleepstore.model import Owner
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.clusters import COMPACTING, DEADLINE, create_bucket, keys_of, put, start, wait_for_leader, wait_until


def test_overload_and_a_full_disk_refuse_early(tmp_path: Path) -> None:
    settings = NodeSettings(tick_seconds=0.01, answer_ticks=1500, max_waiting=1, min_free_bytes=1 << 60)
    with MemoryNetwork() as network, LocalCluster(tmp_path, network, 1, settings=settings) as cluster:
        leader = wait_for_leader(cluster)
        wait_until(lambda: leader.node.low_on_space, "the disk is looked at")
        with pytest.raises(StorageFull):
            leader.committer.submit(create_bucket(0))
        leader.committer.read_barrier()
    settings = NodeSettings(tick_seconds=0.01, answer_ticks=100, max_waiting=1)
    with MemoryNetwork() as network, LocalCluster(tmp_path / "b", network, 3, settings=settings) as cluster:
        leader = wait_for_leader(cluster)
        network.isolate(leader.id)
        stuck = leader.node.propose("stuck", wrap(create_bucket(0), 99))
        with pytest.raises(SlowDown):
            leader.committer.submit(create_bucket(1))
        stuck.exception(DEADLINE)


def set_free_bytes(member: Member, count: int) -> None:
    driver = member.node._driver
    driver._host = attrs.evolve(driver._host, free_bytes=lambda: count)


def test_a_leader_with_a_full_disk_hands_over_to_one_that_has_space(tmp_path: Path) -> None:
    with MemoryNetwork(as_bytes=True) as network, start(tmp_path, network) as cluster:
        full = wait_for_leader(cluster)
        set_free_bytes(full, 0)
        wait_until(lambda: wait_for_leader(cluster) is not full, "another one leads")
        for member in cluster.members.values():
            if member is full:
                with pytest.raises(StorageFull):
                    member.committer.submit(put(f"p{member.id}", "k"))
            else:
                assert isinstance(member.committer.submit(put(f"p{member.id}", "k")), Written)
            member.committer.read_barrier()


def test_where_all_disks_are_full_every_node_says_so(tmp_path: Path) -> None:
    with MemoryNetwork(as_bytes=True) as network, start(tmp_path, network) as cluster:
        for member in cluster.members.values():
            set_free_bytes(member, 0)
        wait_until(lambda: all(member.node.low_on_space for member in cluster.members.values()), "the disks are seen")
        for member in cluster.members.values():
            with pytest.raises(StorageFull):
                member.committer.submit(put(f"p{member.id}", "k"))
            member.committer.read_barrier()


def test_a_cluster_with_nearly_full_disks_takes_what_frees_space(tmp_path: Path) -> None:
    with MemoryNetwork(as_bytes=True) as network, start(tmp_path, network) as cluster:
        leader = wait_for_leader(cluster)
        members = list(cluster.members.values())
        where: dict[str, Any] = {"time_ms": 1, "bucket": "photos", "key": "k"}
        uploads = [{**where, "upload_id": f"u{number}"} for number in range(len(members))]
        leader.committer.submit(create_bucket(0))
        for number, upload in enumerate(uploads):
            leader.committer.submit(put(f"p{number}", f"k{number}"))
            owner = Owner("alice")
            leader.committer.submit(c.CreateUpload(**upload, request_id=f"u{number}", owner=owner, initiator=owner))
        for member in members:
            set_free_bytes(member, 32 << 20)
        wait_until(lambda: all(member.node.low_on_space for member in members), "the disks are looked at")
        for number, (member, upload) in enumerate(zip(members, uploads, strict=True)):
            with pytest.raises(StorageFull):
                member.committer.submit(put(f"q{number}", "k"))
            delete = c.DeleteObject(request_id=f"d{number}", time_ms=1, bucket="photos", key=f"k{number}")
            assert member.committer.submit(delete) == Removed(f"k{number}")
            assert member.committer.submit(c.AbortUpload(**upload, request_id=f"a{number}")) == Done()
            forget = c.ForgetGarbage(request_id=f"f{number}", time_ms=1, garbage_ids=(1,))
            assert member.committer.submit(forget) == Done()
        leader.committer.read_barrier()  # another may lead now
        assert keys_of(leader) == []


def test_a_long_reader_holds_the_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    """While it reads one moment, commits and the compaction of Raft's log go on; then the write-ahead log is reused."""
    with MemoryNetwork() as network, start(tmp_path, network, COMPACTING, size=1) as cluster:
        (member,) = cluster.members.values()
        limit = 50 * 4096
        with member.catalog.hold() as writer:
            writer.connection.pragma("wal_autocheckpoint", 50)
            writer.connection.pragma("journal_size_limit", limit)
        wal = tmp_path / member.id / "catalog.db-wal"
        with member.catalog.read() as reader:
            reader.connection.execute("BEGIN")
            before = reader.connection.execute("SELECT count(*) FROM object_version").get
            for number in range(120):
                member.committer.submit(put(f"p{number}", f"{number:03}", b"x" * 3000))
            wait_until(lambda: member.node.core.log.first > 50, "compaction in spite of the reader")
            assert wal.stat().st_size > 2 * limit, "it held the checkpoint"
            assert reader.connection.execute("SELECT count(*) FROM object_version").get == before, "and sees its moment"
            # What the log has dropped is durable: a crash now finds no gap.
            cluster.crash(member.id)
            reader.connection.execute("ROLLBACK")
        member = cluster.start(member.id)
        wait_for_leader(cluster)
        assert keys_of(member) == [f"{n:03}" for n in range(120)]
        with member.catalog.hold() as writer:
            writer.connection.pragma("wal_autocheckpoint", 50)
            writer.connection.pragma("journal_size_limit", limit)
        for number in range(60):
            member.committer.submit(put(f"q{number}", "same", b"x" * 3000))
        assert wal.stat().st_size < 2 * limit
