"""What the stores of one cluster know of each other."""

from __future__ import annotations

import threading

import pytest

from bleepstore import Owner
from bleepstore.cluster import LocalCluster
from tests.cluster_store import open_stores
from tests.store.after_garbage import PATIENCE, AfterGarbage

BIG = b"x" * 100_000


def test_an_access_key_is_known_everywhere_once_it_was_acknowledged() -> None:
    with open_stores() as (at_leader, at_follower):
        for number in range(30):
            owner, email = Owner(f"owner-{number}", "Name"), f"{number}@example.com"
            at_leader.put_credential(f"AK{number}", "secret", owner=owner, email=email)
            match number % 4:
                case 0:
                    assert at_follower.get_credential(f"AK{number}") is not None
                case 1:
                    assert at_follower.find_owner(owner.id) == owner
                case 2:
                    assert at_follower.owner_by_email(email) == owner
                case _:
                    assert len(at_follower.list_credentials()) == number + 1


def test_the_node_of_a_store_ends_before_its_catalog_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    close = LocalCluster.close

    def check_and_close(cluster: LocalCluster) -> None:
        for member in cluster.members.values():
            member.catalog.check_usable()
        close(cluster)

    monkeypatch.setattr(LocalCluster, "close", check_and_close)
    with open_stores() as (_at_leader, at_follower):
        at_follower.create_bucket("photos")
        at_follower.close()
        at_follower.close()


def test_the_store_of_the_leader_runs_the_jobs() -> None:
    with open_stores() as (at_leader, at_follower):
        removed = threading.Event()
        at_leader.jobs.add(AfterGarbage(removed.set))
        at_follower.create_bucket("photos")
        for _ in range(2):
            at_follower.put_object("photos", "k", BIG)
        at_leader.jobs.notify()  # it would look by itself, some seconds later
        assert removed.wait(PATIENCE), "the blob that was replaced is still there"
        assert sum(1 for _ in at_follower.engine.backend.iter_blobs(0, 1 << 62)) == 1
        assert at_leader.jobs.holds_lease
        assert not at_follower.jobs.holds_lease


@pytest.mark.parametrize("behind_minutes", [20, 600])
def test_a_host_whose_clock_is_behind_stores_large_objects_after_a_sweep_elsewhere(behind_minutes: int) -> None:
    now = 1_800_000_000_000

    def ahead() -> int:
        return now

    def behind() -> int:
        return now - behind_minutes * 60_000

    with open_stores(clock=ahead, clock_of_follower=behind) as (at_leader, at_follower):
        at_leader.create_bucket("photos")
        first = at_leader.put_object("photos", "k", BIG)
        now += 60_000
        at_leader.jobs.run("orphans")
        second = at_follower.put_object("photos", "k", BIG + b"2")
        with at_follower.get_object("photos", "k") as found:
            assert found.read() == BIG + b"2"
        # What people see follows too, but not a clock that is likely to be wrong by hours.
        assert (second.modified >= first.modified) is (behind_minutes < 60)
