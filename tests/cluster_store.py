"""A store on a follower of three nodes in this process.

    store ---- commands ---> follower --> leader --> the logs of a majority --> every node's catalog
      |  <---- barrier ----- follower <-- leader
      '----- bytes --------> one MemoryBackend that stands behind all nodes

Raft replicates commands, not bytes. So the bytes are where a cluster with a shared provider has them: in one backend,
which no node has for itself. Each node has its own log and catalog in a folder; a store reads the catalog of its node.
The leader has a store too: it alone has the lease of the jobs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from bleepstore import Store
from bleepstore.backends.memory import MemoryBackend
from bleepstore.clock import Stamps
from bleepstore.cluster import LeaderLease, LocalCluster, Member, clocks_of
from bleepstore.encryption import DEFAULT_KEY, STORE_KEY
from bleepstore.jobs.parts import Parts
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.transport import MemoryNetwork
from bleepstore.sealing.keys import MasterKeys
from bleepstore.store.engine import Engine
from bleepstore.store.settings import MEMORY_INLINE_LIMIT, Settings

#: Where a folder needs no disk. What a node loses with the machine is tested in tests/raft.
_IN_MEMORY = Path("/dev/shm")
#: Elections take half a second to one: a busy machine must not lose its leader in the middle of a test.
_SETTINGS = NodeSettings(tick_seconds=0.05)
#: Every node needs the same keys.
KEYS = MasterKeys({STORE_KEY: [bytes(32)], DEFAULT_KEY: [bytes(range(32))]})
#: More than an election waits for at most.
_TICKS_TO_ELECT = 20


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def elect(cluster: LocalCluster, leader: Member) -> None:
    """Make `leader` the leader of a cluster that has none, by its clock alone; return when all nodes can be read."""
    for _ in range(_TICKS_TO_ELECT):
        leader.node.tick()
    for member in cluster.members.values():
        member.committer.read_barrier()


@attrs.frozen
class Nodes:
    """Three nodes, and a store at each: first that of the node that was made the leader."""

    cluster: LocalCluster
    network: MemoryNetwork
    backend: MemoryBackend

    def open_at(
        self,
        member: Member,
        *,
        clock: Callable[[], int] = now_ms,
        inline_limit: int = MEMORY_INLINE_LIMIT,
        acl_defaults: str = "s3",
        close: Callable[[], None] = lambda: None,
    ) -> Store:
        """A store on a node, which calls `close` when it is closed."""
        steady, wall = clocks_of(member.state_machine, clock)
        parts = Parts(member.catalog, member.committer, self.backend, steady, wall, Stamps(steady, wall))
        settings = Settings(inline_limit=inline_limit, clock=clock, acl_defaults=acl_defaults)
        assert member.catalog.path is not None
        home, lease = member.catalog.path.parent, LeaderLease(member.node)
        return Store(Engine(parts, settings, close=close, folder=home, lease=lease, open_keys=lambda: KEYS))


@contextlib.contextmanager
def open_nodes(settings: NodeSettings = _SETTINGS) -> Iterator[Nodes]:
    """Three nodes, the first of which leads."""
    with contextlib.ExitStack() as stack:
        parent = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bleepstore-cluster-", dir=parent))
        network = stack.enter_context(MemoryNetwork(as_bytes=True))
        cluster = stack.enter_context(LocalCluster(Path(folder), network, settings=settings))
        elect(cluster, next(iter(cluster.members.values())))
        yield Nodes(cluster, network, MemoryBackend())


@contextlib.contextmanager
def open_stores(
    *,
    clock: Callable[[], int] = now_ms,
    clock_of_follower: Callable[[], int] | None = None,
    inline_limit: int = MEMORY_INLINE_LIMIT,
    acl_defaults: str = "s3",
) -> Iterator[tuple[Store, Store]]:
    """Two empty stores of one cluster: at the leader and at a follower. They end with the block, or when the
    follower's is closed."""

    def close() -> None:
        at_leader.close()
        nodes.cluster.close()

    with open_nodes() as nodes:
        leader, follower, _other = nodes.cluster.members.values()
        options: dict[str, Any] = {"inline_limit": inline_limit, "acl_defaults": acl_defaults}
        at_leader = nodes.open_at(leader, clock=clock, **options)
        at_leader.jobs.start()
        with nodes.open_at(follower, clock=clock_of_follower or clock, close=close, **options) as at_follower:
            yield at_leader, at_follower


@contextlib.contextmanager
def open_on_follower(
    *, clock: Callable[[], int] = now_ms, inline_limit: int = MEMORY_INLINE_LIMIT, acl_defaults: str = "s3"
) -> Iterator[Store]:
    """An empty store. It ends with the block, or when it is closed."""
    with open_stores(clock=clock, inline_limit=inline_limit, acl_defaults=acl_defaults) as (_at_leader, store):
        yield store
