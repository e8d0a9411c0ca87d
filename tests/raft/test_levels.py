"""Feature levels: what a cluster of several versions may use, and when that is raised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from bleepstore import cluster
from bleepstore import commands as c
from bleepstore.cluster import Member, create_member, open_member
from bleepstore.commands import Written
from bleepstore.errors import ServiceUnavailable
from bleepstore.raft.comparison import WINDOW, StateDiffers
from bleepstore.raft.endings import Ending
from bleepstore.raft.messages import (
    Accepted,
    ConfChange,
    Configuration,
    Heartbeat,
    HeartbeatReply,
    MalformedValue,
    Refusal,
    Role,
)
from bleepstore.raft.state import Settings
from bleepstore.raft.storage import LogTooNew
from bleepstore.raft.transport import MemoryNetwork
from tests.raft.driver import DrivenNode
from tests.raft.driver_checks import Careful, memory_log
from tests.raft.test_cluster import FAST, create_bucket, keys_of, put, wait_until


def test_a_level_is_raised_only_when_all_have_announced_it() -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log), core=Settings(level=3))
    node.elect("b")
    term = node.core.term
    assert node.core.propose_conf(ConfChange(level=2)) is Refusal.LEVEL_NOT_ANNOUNCED
    node.deliver(HeartbeatReply("c", "b", "a", term, 0, level=2))
    assert node.core.propose_conf(ConfChange(level=2)) is Refusal.LEVEL_NOT_ANNOUNCED
    assert node.core.announced_level() == 1
    node.deliver(HeartbeatReply("c", "c", "a", term, 0, level=3))
    assert node.core.announced_level() == 2
    assert node.core.propose_conf(ConfChange(level=3)) is Refusal.LEVEL_NOT_ANNOUNCED
    assert node.core.propose_conf(ConfChange(level=1)) is Refusal.BAD_CHANGE
    assert isinstance(node.core.propose_conf(ConfChange(level=2)), Accepted)


@pytest.mark.parametrize("known", [1, 2])
def test_a_node_is_not_compared_with_what_another_version_has_agreed_on(known: int) -> None:
    """Two of the newer version are a majority, and may write a result in another form."""
    log = memory_log()
    node = DrivenNode(log, Careful(log), core=Settings(level=known))
    node.core.comparison.note(WINDOW, 1)
    with contextlib.nullcontext() if known == 1 else pytest.raises(StateDiffers):
        node.deliver(Heartbeat("c", "b", "a", 1, 0, 0, agreed=WINDOW, fingerprint=2, level=2))


def test_a_leader_says_with_its_heartbeats_which_level_it_knows() -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log), core=Settings(level=3))
    node.elect("b")
    node.tick()
    assert {message.level for message in node.outbox.sent if isinstance(message, Heartbeat)} == {3}


def test_a_level_is_part_of_the_membership() -> None:
    at_two = Configuration(("a", "b"), learners=("d",), removed=("x",), level=2)
    assert Configuration.decode(at_two.encode()) == at_two
    assert at_two.followed_by(("a", "b", "d"), ("a", "b"), ()).level == 2
    for level in (b"0", b"true", b"1.5", b'"2"'):
        with pytest.raises(MalformedValue):
            Configuration.decode(at_two.encode().replace(b'"level":2', b'"level":' + level))


class Versions:
    """Three members of a cluster, each with a program that knows some level."""

    def __init__(self, folder: Path, network: MemoryNetwork) -> None:
        self._folder = folder
        self._network = network
        self.members: dict[str, Member] = {}
        first = create_member(folder / "0")
        self.open("0", 1)
        wait_until(lambda: self.members["0"].node.status.role is Role.LEADER, "a leader")
        self.members["0"].committer.submit(create_bucket(0))
        for name in ("1", "2"):
            self.join(name, 1, first.cluster)
        self.cluster = first.cluster

    def open(self, name: str, level: int) -> Member:
        settings = attrs.evolve(FAST, core=Settings(level=level))
        self.members[name] = open_member(self._folder / name, self._network, settings=settings)
        return self.members[name]

    def join(self, name: str, level: int, of: str, *, promote: bool = True) -> Member:
        made = create_member(self._folder / name, of)
        member = self.open(name, level)
        self.change(ConfChange(learn=(made.node,)))
        if promote:
            self.change(ConfChange(promote=(made.node,)))
        return member

    def leader(self) -> Member:
        def found() -> Member | None:
            running = [member for member in self.members.values() if not member.node.ended.is_set()]
            leaders = [member for member in running if member.node.status.role is Role.LEADER]
            return max(leaders, key=lambda member: member.node.status.term, default=None)

        wait_until(lambda: found() is not None, "a leader")
        leader = found()
        assert leader is not None
        return leader

    def change(self, change: ConfChange) -> None:
        wait_until(lambda: isinstance(self.leader().propose_change(change), Accepted), f"{change} is taken")

    def upgrade(self, name: str, level: int) -> None:
        self.members.pop(name).stop()
        self.open(name, level)

    def raise_level(self, level: int) -> None:
        wait_until(lambda: isinstance(self.leader().raise_level(), Accepted), "the level is raised")
        wait_until(lambda: all(one.level == level for one in self.members.values()), "it is in effect everywhere")

    def close(self) -> None:
        for member in self.members.values():
            member.stop(hand_over=False)


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[Versions]:
    with ExitStack() as stack:
        found = Versions(tmp_path, stack.enter_context(MemoryNetwork(as_bytes=True)))
        stack.callback(found.close)
        yield found


def delete(key: str) -> c.DeleteObject:
    return c.DeleteObject(request_id=f"d{key}", time_ms=1, bucket="photos", key=key)


def test_a_rolling_upgrade_raises_the_level_last(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """DeleteObject plays the new command of level 2, and a table that is made is the change of the schema."""
    monkeypatch.setattr(c.DeleteObject, "level", 2)
    changed: list[Any] = []

    def change(connection: Any) -> None:
        changed.append(connection.execute("CREATE TABLE of_level_2(id INTEGER PRIMARY KEY)"))

    monkeypatch.setitem(cluster.MIGRATIONS, 2, change)
    versions.leader().committer.submit(put("1", "k"))
    for name in ("1", "2"):
        versions.upgrade(name, 2)
        with pytest.raises(ServiceUnavailable, match="feature level 1"):
            versions.leader().committer.submit(delete("k"))
    wait_until(lambda: versions.leader().raise_level() is Refusal.BAD_CHANGE, "one knows no more than is in effect")
    assert not changed, "to open it changes nothing: the old version must be able to read it"
    versions.upgrade("0", 2)
    versions.raise_level(2)
    versions.leader().committer.submit(delete("k"))
    versions.leader().committer.submit(put("2", "other"))
    for member in versions.members.values():
        member.committer.read_barrier()
        assert keys_of(member) == ["other"]
    assert len({member.state_machine.hash() for member in versions.members.values()}) == 1
    assert len(changed) == 3, "once at each node"
    versions.upgrade("1", 2)
    assert versions.members["1"].level == 2, "a start remembers it"
    versions.members.pop("2").stop()
    with pytest.raises(LogTooNew, match="upgrade this node"):
        versions.open("2", 1)


def test_a_node_that_is_too_old_ends_and_hurts_nobody(versions: Versions) -> None:
    for name in ("0", "1", "2"):
        versions.upgrade(name, 2)
    versions.raise_level(2)
    old = versions.join("3", 1, versions.cluster, promote=False)
    wait_until(old.node.ended.is_set, "it ends")
    assert old.node.status.ending is Ending.TOO_OLD
    versions.members.pop("3")
    assert isinstance(versions.leader().committer.submit(put("1", "k")), Written)
