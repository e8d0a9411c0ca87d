"""Versions that are written at a follower are copied by the leader's store."""

from __future__ import annotations

import time

from bleepstore.replication import ReplicationStatus
from tests.cluster_store import open_stores
from tests.replication.tools import copy_all, make_buckets, replicate, rule, status_of, versions


def test_what_a_follower_writes_the_leader_copies() -> None:
    with open_stores() as (at_leader, at_follower):
        make_buckets(at_follower, "photos", "copies")
        replicate(at_follower, "photos", rule())
        at_follower.put_object("photos", "small", b"x")
        at_follower.put_object("photos", "large", b"x" * 100_000)
        at_follower.delete_object("photos", "small")
        copy_all(at_follower)  # it has no lease, so this does nothing
        copy_all(at_leader)
        end = time.monotonic() + 30
        while status_of(at_follower, "photos", "large") is not ReplicationStatus.COMPLETED:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert versions(at_follower, "copies") == versions(at_follower, "photos")
        assert at_follower.get_object("copies", "large").read() == b"x" * 100_000
