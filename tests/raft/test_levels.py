"""Feature levels: what a cluster of several versions may use, and when that is raised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from bleepstore import commands as c
from bleepstore.catalog.sqlite import schema
from bleepstore.cluster import CatalogStateMachine, Member, create_member, open_member, wrap
from bleepstore.commands import Written
from bleepstore.errors import ServiceUnavailable
from bleepstore.model import Versioning
from bleepstore.raft.applier import Applier
from bleepstore.raft.comparison import WINDOW, StateDiffers
from bleepstore.raft.endings import Ending
from bleepstore.raft.messages import (
    Accepted,
    AppendReply,
    ConfChange,
    Configuration,
    Entry,
    EntryKind,
    Heartbeat,
    HeartbeatReply,
    MalformedValue,
    Refusal,
    Role,
)
from bleepstore.raft.state import Settings
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.storage import LogTooNew
from bleepstore.raft.transport import MemoryNetwork
from bleepstore.raft.waiting import Proposals
from tests.raft.clusters import FAST, create_bucket, keys_of, put, wait_until
from tests.raft.driver import DrivenNode, Echo
from tests.raft.driver_checks import Careful, memory_log


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
        self.settings = FAST
        self.members: dict[str, Member] = {}
        first = create_member(folder / "0")
        self.open("0", 1)
        wait_until(lambda: self.members["0"].node.status.role is Role.LEADER, "a leader")
        self.members["0"].committer.submit(create_bucket(0))
        for name in ("1", "2"):
            self.join(name, 1, first.cluster)
        self.cluster = first.cluster

    def open(self, name: str, level: int) -> Member:
        settings = attrs.evolve(self.settings, core=Settings(level=level))
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

    def schemas(self) -> set[int]:
        """The versions of the schema that the members have."""
        return {schema_of(member.state_machine) for member in self.members.values()}

    def fill(self, name: str, key: str) -> Member:
        """Write while this node is down, until what it lacks is gone from the log; then start it again."""
        self.members.pop(name).node.crash()
        leader = self.leader()
        last = leader.node.core.log.last
        for number in range(60):
            leader.committer.submit(put(f"{key}{number}", key))
        wait_until(lambda: leader.node.core.log.first > last + 1, "compaction")
        member = self.open(name, 2)
        wait_until(lambda: member.node.core.counters.snapshots_installed > 0, "a snapshot")
        return member

    def close(self) -> None:
        for member in self.members.values():
            member.stop(hand_over=False)


def schema_of(state_machine: CatalogStateMachine) -> int:
    with state_machine.catalog.read() as reader:
        version: int = reader.connection.pragma("user_version")
    return version


def bring_schema_of_level_2(patch: pytest.MonkeyPatch) -> None:
    """A table of the keys that there were when the level was raised."""
    script = (
        "CREATE TABLE of_level_2(key TEXT PRIMARY KEY) STRICT; INSERT INTO of_level_2 SELECT key FROM object_version"
    )
    patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (2, script)))


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
    bring_schema_of_level_2(monkeypatch)
    versions.leader().committer.submit(put("1", "k"))
    for name in ("1", "2"):
        versions.upgrade(name, 2)
        with pytest.raises(ServiceUnavailable, match="feature level 1"):
            versions.leader().committer.submit(delete("k"))
    wait_until(lambda: versions.leader().raise_level() is Refusal.BAD_CHANGE, "one knows no more than is in effect")
    assert versions.schemas() == {1}, "to open it changes nothing: the old version must be able to read it"
    versions.upgrade("0", 2)
    versions.raise_level(2)
    versions.leader().committer.submit(delete("k"))
    versions.leader().committer.submit(put("2", "other"))
    for member in versions.members.values():
        member.committer.read_barrier()
        assert keys_of(member) == ["other"]
    assert len({member.state_machine.hash() for member in versions.members.values()}) == 1
    assert versions.schemas() == {2}
    versions.upgrade("1", 2)
    assert versions.members["1"].level == 2, "a start remembers it"
    versions.members.pop("2").stop()
    with pytest.raises(LogTooNew, match="upgrade this node"):
        versions.open("2", 1)


def test_a_schema_is_changed_by_what_raises_the_level_and_by_no_start_or_snapshot(
    versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_schema_of_level_2(monkeypatch)
    versions.settings = attrs.evolve(FAST, compact_after=20, keep_entries=0)
    for name in ("0", "1", "2"):
        versions.upgrade(name, 2)
    versions.leader()
    first, second = sorted(versions.members)[:2]
    versions.fill(first, "before")
    versions.upgrade(second, 2)
    assert versions.schemas() == {1}
    versions.raise_level(2)
    assert versions.schemas() == {2}
    versions.fill(second, "after")
    versions.upgrade(first, 2)
    versions.leader()
    versions.join("3", 2, versions.cluster)
    for member in versions.members.values():
        member.committer.read_barrier()
        assert keys_of(member) == ["after", "before"]
    assert versions.schemas() == {2}
    assert len({member.state_machine.hash() for member in versions.members.values()}) == 1


def test_a_state_from_before_a_level_is_raised_at_the_same_entry_wherever_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state_in(name: str) -> CatalogStateMachine:
        (tmp_path / name).mkdir(exist_ok=True)
        return CatalogStateMachine(tmp_path / name)

    def received(of: CatalogStateMachine, by: CatalogStateMachine) -> None:
        path = by.incoming()
        index = of.write_snapshot(path)
        by.install(by.prepare(path, index))

    source = state_in("source")
    entries = [(1, wrap(create_bucket(0), 99)), (2, wrap(put("1", "k"), 99))]
    source.apply(entries, 2)
    with contextlib.ExitStack() as stack:
        bring_schema_of_level_2(monkeypatch)
        source.close()
        source = state_in("source")
        replayed, early, late = state_in("replayed"), state_in("early"), state_in("late")
        for one in (source, replayed, early, late):
            stack.callback(one.close)
        replayed.apply(entries, 2)
        received(source, early)
        assert {schema_of(one) for one in (source, replayed, early, late)} == {1}
        for one in (source, replayed, early):
            one.raise_level(2, 3)
        received(source, late)
        assert {schema_of(one) for one in (source, replayed, early, late)} == {2}
        assert len({one.hash() for one in (source, replayed, early, late)}) == 1
        monkeypatch.undo()
        old = state_in("old")
        stack.callback(old.close)
        with pytest.raises(SnapshotRefused, match="upgrade"):
            received(source, old)


def test_every_migration_belongs_to_a_level_that_this_program_knows() -> None:
    levels = [level for level, _ in schema.MIGRATIONS]
    assert levels == sorted(levels), "those of a level follow those of the level below"
    assert levels[0] == 1
    assert levels[-1] <= Settings().level


def test_buckets_are_not_remembered_from_before_a_change_of_the_stored_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (2, "UPDATE bucket SET versioning = 'Enabled'")))
    state_machine = CatalogStateMachine(tmp_path)
    catalog = state_machine.catalog
    state_machine.apply([(1, wrap(create_bucket(0), 99)), (2, wrap(put("1", "k"), 99))], 2)
    with catalog.transaction() as tables:
        for found in (catalog.find_bucket("photos"), tables.find_bucket("photos")):
            assert found is not None
            assert found.versioning != Versioning.ENABLED
    state_machine.raise_level(2, 3)
    with catalog.transaction() as tables:
        for found in (catalog.find_bucket("photos"), tables.find_bucket("photos")):
            assert found is not None
            assert found.versioning == Versioning.ENABLED
    state_machine.close()


def test_a_node_that_is_too_old_ends_and_hurts_nobody(versions: Versions) -> None:
    for name in ("0", "1", "2"):
        versions.upgrade(name, 2)
    versions.raise_level(2)
    old = versions.join("3", 1, versions.cluster, promote=False)
    wait_until(old.node.ended.is_set, "it ends")
    assert old.node.status.ending is Ending.TOO_OLD
    versions.members.pop("3")
    assert isinstance(versions.leader().committer.submit(put("1", "k")), Written)


def test_a_leader_does_not_compare_itself_with_another_version() -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log))
    node.elect("b")
    node.core.comparison.note(WINDOW, 1)
    for _ in range(2):
        node.tick()
    for voter in "bc":
        node.deliver(HeartbeatReply("c", voter, "a", node.core.term, 0, False, 2, WINDOW, 7))
    assert node.core.comparison.disagreements == node.core.comparison.differs_at == 0


def test_learners_too_have_to_announce_a_level_and_one_that_knows_less_is_not_promoted() -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log), core=Settings(level=2))
    node.elect("b")
    core = node.core

    def decided(change: ConfChange) -> None:
        assert isinstance(core.propose_conf(change), Accepted)
        node.tick()
        node.deliver(AppendReply("c", "b", "a", core.term, core.log.last))

    decided(ConfChange(learn=("d",)))
    for voter in "bc":
        node.deliver(HeartbeatReply("c", voter, "a", core.term, 0, level=2))
    assert core.propose_conf(ConfChange(level=2)) is Refusal.LEVEL_NOT_ANNOUNCED
    node.deliver(HeartbeatReply("c", "d", "a", core.term, 0, level=2))
    decided(ConfChange(level=2))
    assert core.configuration.level == 2
    decided(ConfChange(learn=("e",)))
    node.deliver(AppendReply("c", "e", "a", core.term, core.log.last))
    assert core.propose_conf(ConfChange(promote=("e",))) is Refusal.LEVEL_NOT_ANNOUNCED
    node.deliver(HeartbeatReply("c", "e", "a", core.term, 0, level=2))
    assert isinstance(core.propose_conf(ConfChange(promote=("e",))), Accepted)


class Recording(Echo):
    """Notes in which order it was told what."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        self.told.append([index for index, _ in batch])
        return super().apply(batch, through)

    def raise_level(self, level: int, through: int) -> None:
        self.told.append((level, through))
        super().raise_level(level, through)


def test_a_level_is_raised_once_between_the_commands_around_it() -> None:
    at_two = Configuration(("a",), level=2).encode()
    state_machine = Recording()
    posted: list[Any] = []
    applier = Applier(state_machine, Proposals(9, 99), posted.append, "a", known_level=2)
    kinds = {2: EntryKind.CONFIGURATION, 4: EntryKind.CONFIGURATION}
    applier.put(tuple(Entry(index, 1, kinds.get(index, EntryKind.COMMAND), at_two, "") for index in range(1, 17)))
    while applier.work_next():
        pass
    assert state_machine.told == [[1], (2, 2), [3, *range(5, 17)]]
    assert [what for what, _ in posted].count("compared") == 1, "the window was seen whole"


def test_a_snapshot_brings_its_level_and_begins_no_window_in_its_midst() -> None:
    at_two = Configuration(("a",), level=2).encode()
    state_machine = Recording()
    posted: list[Any] = []
    applier = Applier(state_machine, Proposals(9, 99), posted.append, "a", known_level=2)

    def put(first: int, last: int, kind: EntryKind = EntryKind.COMMAND) -> None:
        applier.put(tuple(Entry(index, 1, kind, at_two, "") for index in range(first, last + 1)))
        applier.work_next()

    def install(name: str) -> None:
        state_machine.applied = 20

    put(1, 3)
    state_machine.install = install  # type: ignore[method-assign]
    applier.replace(lambda: None, "", 2)
    put(21, 21, EntryKind.CONFIGURATION)
    put(22, 3 * WINDOW)
    assert not any(isinstance(told, tuple) for told in state_machine.told), "its level is in effect already"
    assert [value for what, value in posted if what == "compared"] == [(3 * WINDOW, posted[-2][1][1])]
