"""Clusters of a few nodes in one process, for tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bleepstore import commands as c
from bleepstore.cluster import LocalCluster, Member
from bleepstore.commands import Done
from bleepstore.model import Acl, Inline, Owner
from bleepstore.preconditions import WriteCondition
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.transport import MemoryNetwork

OWNER = Owner("alice", "Alice")
#: Elections take 0.1 to 0.2 seconds.
FAST = NodeSettings(tick_seconds=0.01, answer_ticks=1500, retry_ticks=20)
DEADLINE = 60.0


def wait_until(condition: Any, what: str) -> None:
    """Poll: what is waited for has no event of its own."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)


def wait_for_leader(cluster: LocalCluster) -> Member:
    """A leader that all running members follow."""

    def led() -> bool:
        leader = cluster.leader()
        return leader is not None and all(one.node.status.leader == leader.id for one in cluster.members.values())

    wait_until(led, "a leader")
    leader = cluster.leader()
    assert leader is not None
    return leader


def create_bucket(number: int | str, bucket: str = "photos") -> c.CreateBucket:
    return c.CreateBucket(
        request_id=f"b{number}", time_ms=1, bucket=bucket, owner=OWNER, location="", acl=Acl.private(OWNER.id)
    )


def put(request_id: str, key: str, data: bytes = b"data", *, create: bool = False) -> c.PutObject:
    return c.PutObject(
        request_id=request_id, time_ms=1, bucket="photos", key=key, owner=OWNER, size=len(data), etag="e",
        data=Inline(data), condition=WriteCondition(if_none_match=create),
    )  # fmt: skip


def keys_of(member: Member) -> list[str]:
    with member.catalog.read() as reader:
        return [row[0] for row in reader.connection.execute("SELECT key FROM object_version ORDER BY key")]


def equal_hash(cluster: LocalCluster) -> tuple[int, str]:
    """The hash of all members, which is one, once each has everything."""
    for member in cluster.members.values():
        member.committer.read_barrier()
    hashes = {member.state_machine.hash() for member in cluster.members.values()}
    assert len(hashes) == 1
    return hashes.pop()


def start(folder: Path, network: MemoryNetwork, settings: NodeSettings = FAST, size: int = 3) -> LocalCluster:
    cluster = LocalCluster(folder, network, size, settings=settings)
    assert wait_for_leader(cluster).committer.submit(create_bucket(0)) == Done()
    return cluster


COMPACTING = NodeSettings(tick_seconds=0.01, answer_ticks=1500, retry_ticks=20, compact_after=40, keep_entries=10)
