"""A node's folder and its ids, which are never used again."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path

import pytest

from bleepstore.cluster import Member, create_member, open_member
from bleepstore.commands import Done, Written
from bleepstore.raft.ids import new_id
from bleepstore.raft.messages import Accepted, ConfChange, Configuration, Refusal, Role
from bleepstore.raft.sqlite_log import create_log
from bleepstore.raft.storage import LogMisuse
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.clusters import FAST, create_bucket, equal_hash, keys_of, put, start, wait_until


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
