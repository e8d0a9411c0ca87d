"""Three nodes in one process replicate a catalog."""

from __future__ import annotations

import concurrent.futures
import contextlib
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from bleepstore import commands as c
from bleepstore.catalog.apply import REMEMBERED_REQUESTS
from bleepstore.cluster import (
    CatalogStateMachine,
    LeaderLease,
    LocalCluster,
    Member,
    create_member,
    open_member,
    unwrap,
    wrap,
)
from bleepstore.codec import MalformedRecord, UnknownTag
from bleepstore.commands import Done, Removed, Result, Written
from bleepstore.errors import (
    BucketAlreadyOwnedByYou,
    CatalogDamaged,
    PreconditionFailed,
    ServiceUnavailable,
    SlowDown,
    StorageFull,
)
from bleepstore.model import Acl, Inline, Owner, WriteCondition
from bleepstore.raft.endings import Ending
from bleepstore.raft.ids import new_id
from bleepstore.raft.messages import Accepted, ConfChange, Configuration, Message, Refusal, RequestVote, Role
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.sqlite_log import create_log
from bleepstore.raft.state import Settings
from bleepstore.raft.storage import LogMisuse
from bleepstore.raft.transport import Chunk, MemoryNetwork

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


COMPACTING = NodeSettings(tick_seconds=0.01, answer_ticks=1500, retry_ticks=20, compact_after=40, keep_entries=10)


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


def test_leadership_is_handed_over(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        leader = wait_for_leader(cluster)
        target = next(one for one in cluster.ids if one != leader.id)
        assert leader.node.call(lambda core: core.transfer_leadership(target)).result(DEADLINE) is None
        wait_until(lambda: cluster.members[target].node.status.role is Role.LEADER, "the new leader")
        wait_for_leader(cluster).committer.submit(put("p", "k"))
        equal_hash(cluster)


def test_a_log_that_was_emptied_beside_the_state_of_its_node_is_not_made_anew(tmp_path: Path) -> None:
    with MemoryNetwork() as network, start(tmp_path, network) as cluster:
        equal_hash(cluster)
        victim = cluster.ids[0]
        cluster.stop(victim)
        folder = tmp_path / victim
        (folder / "raft.db").write_bytes(b"")
        with pytest.raises(LogMisuse, match="make a node with a NEW id"):
            cluster.start(victim)
        for _ in range(2):
            with pytest.raises(LogMisuse, match="make a node with a NEW id"):
                create_member(folder, cluster.cluster)
            (folder / "raft.db").unlink(missing_ok=True)  # nor if it is gone


def test_a_folder_keeps_the_ids_that_it_has(tmp_path: Path) -> None:
    founder = create_member(tmp_path / "a")
    joining = create_member(tmp_path / "b", founder.cluster)
    assert joining.cluster == founder.cluster
    assert joining.node != founder.node
    for one in (founder.cluster, founder.node, joining.node):
        assert str(uuid.UUID(one)) == one
    assert create_member(tmp_path / "a") == create_member(tmp_path / "a", founder.cluster) == founder
    assert create_member(tmp_path / "b", founder.cluster) == joining
    other = create_member(tmp_path / "c")
    with pytest.raises(LogMisuse, match=f"of the cluster {founder.cluster}, not of {other.cluster}"):
        create_member(tmp_path / "b", other.cluster)
    with MemoryNetwork() as network:
        running = open_member(tmp_path / "a", network, settings=FAST)
        try:
            with pytest.raises(LogMisuse, match="in use"):
                create_member(tmp_path / "a")
        finally:
            running.stop()


_ID = "4b1d5a52-3c1e-4f5b-9b43-6a1d8f0c7e00"


@pytest.mark.parametrize("name", ["", "node-1", _ID.upper(), "\ud800", f"{_ID}\n"])
def test_an_id_that_was_not_made_here_is_refused(tmp_path: Path, name: str) -> None:
    """One id has one spelling, and nobody chooses it: not a cluster's, not a node's, not a new member's."""
    with pytest.raises(LogMisuse, match="made by create_member and never chosen"):
        create_member(tmp_path / "node", name)
    assert not (tmp_path / "node").exists()
    good = new_id()
    for cluster, node, voters in ((name, good, ()), (good, name, ()), (good, good, (good, name))):
        with pytest.raises(LogMisuse, match="made by create_member and never chosen"):
            create_log(tmp_path / "raft.db", cluster=cluster, node=node, configuration=Configuration(voters))
    assert not (tmp_path / "raft.db").exists()
    create_member(tmp_path / "node")
    with MemoryNetwork() as network:
        member = open_member(tmp_path / "node", network, settings=FAST)
        try:
            with pytest.raises(LogMisuse, match="made by create_member and never chosen"):
                member.propose_change(ConfChange(learn=(name,)))
        finally:
            member.stop()


def leader_takes(members: list[Member], change: ConfChange) -> None:
    """Propose it until it is accepted, and wait until it is in effect."""

    def led() -> Member | None:
        return next((one for one in members if one.node.status.role is Role.LEADER), None)

    def accepted() -> bool:
        leader = led()
        return leader is not None and isinstance(leader.propose_change(change), Accepted)

    def decided() -> bool:
        leader = led()
        if leader is None:
            return False
        now = leader.node.core.configuration
        come = all(one in now.learners for one in change.learn) and all(one in now.voters for one in change.promote)
        return come and not now.is_joint and not any(one in now.members for one in change.remove)

    wait_until(accepted, f"{change} is accepted")
    wait_until(decided, f"{change} is in effect")


def test_a_cluster_grows_from_one_node_and_what_is_lost_comes_back_as_another(tmp_path: Path) -> None:
    """The life of a cluster, as its operator sees it."""
    folders = [tmp_path / name for name in ("a", "b", "c")]
    with MemoryNetwork() as network, contextlib.ExitStack() as running:

        def join(folder: Path, cluster: str | None) -> Member:
            identity = create_member(folder, cluster)
            member = open_member(folder, network, settings=FAST)
            running.callback(member.stop)
            assert member.id == identity.node
            return member

        members = [join(folders[0], None)]
        cluster = members[0].node.core.cluster
        for folder in folders[1:]:
            new = join(folder, cluster)
            leader_takes(members, ConfChange(learn=(new.id,)))
            leader_takes(members, ConfChange(promote=(new.id,)))
            members.append(new)
        assert members[0].committer.submit(create_bucket(0)) == Done()

        lost = members.pop()
        lost.stop()
        shutil.rmtree(folders[2])
        again = join(folders[2], cluster)
        assert again.id != lost.id, "the folder is the same, the node is another"
        leader_takes(members, ConfChange(learn=(again.id,), remove=(lost.id,)))
        leader_takes(members, ConfChange(promote=(again.id,)))
        members.append(again)
        leader = next(one for one in members if one.node.status.role is Role.LEADER)
        assert leader.propose_change(ConfChange(learn=(lost.id,))) is Refusal.REMOVED_SENDER
        for number, member in enumerate(members):
            assert isinstance(member.committer.submit(put(f"p{number}", f"{number}")), Written)
        for member in members:
            member.committer.read_barrier()
            assert keys_of(member) == ["0", "1", "2"]
            assert lost.id in member.node.core.configuration.removed


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


def test_the_leader_has_the_lease_of_the_jobs(tmp_path: Path) -> None:
    with MemoryNetwork() as network, LocalCluster(tmp_path, network, settings=FAST) as cluster:
        leader = wait_for_leader(cluster)
        leases = {member.id: LeaderLease(member.node) for member in cluster.members.values()}
        assert [node for node, lease in leases.items() if lease.acquire()] == [leader.id]
        cluster.crash(leader.id)
        wait_until(lambda: any(leases[node].acquire() for node in cluster.members), "another one has it")
