"""What the driver must do in which order: checks that are tests by themselves (test_driver.py), and that the wrong
drivers of driver_mutants.py must not pass.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bleepstore import commands as c
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.snapshot import catalog_hash
from bleepstore.cluster import CatalogStateMachine, create_member, unwrap, wrap
from bleepstore.model import Acl, Inline, Owner
from bleepstore.raft.messages import (
    AppendEntries,
    AppendReply,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    Message,
    ProposeRequest,
    RequestVote,
    SnapshotMeta,
    VoteReply,
)
from bleepstore.raft.sqlite_log import open_log
from bleepstore.raft.state import Settings
from bleepstore.raft.storage import LogMisuse, LogStorage, MemoryLog
from bleepstore.testing.crash_disk import Moment, RecordingDisk
from tests.raft.driver import DrivenNode, Echo, Outbox

NAMES = ("a", "b", "c")
OWNER = Owner("alice", "Alice")
COMMANDS = 40


def memory_log(voters: Sequence[str] = NAMES) -> MemoryLog:
    return MemoryLog("c", "a", SnapshotMeta(configuration=Configuration(tuple(voters))))


class Careful(Echo):
    """A state machine that looks at the log whenever it changes."""

    def __init__(self, log: LogStorage) -> None:
        super().__init__()
        self.log = log
        self.installed: list[str] = []
        self.durable = 0

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        assert self.log.last_index() >= through, "applied before it was durable here"
        return super().apply(batch, through)

    def make_durable(self) -> int:
        return self.durable

    def install(self, name: str) -> None:
        assert self.log.snapshot().name == name, "the state was switched before the log was: a crash leaves a gap"
        self.installed.append(name)
        self.applied = self.log.snapshot().index


def keeps_promises(log: LogStorage) -> Callable[[Message], None]:
    """What a message promises must be on the disk when it leaves."""

    def check(m: Message) -> None:
        hard = log.initial_state().hard_state
        match m:
            case AppendReply(rejected=False):
                assert log.last_index() >= m.index, "an acknowledgement left before its entries were durable"
                assert hard.term >= m.term
            case VoteReply(granted=True, pre=False):
                assert (hard.term, hard.vote) == (m.term, m.to), "a vote left before it was durable"
            case RequestVote(pre=False):
                assert (hard.term, hard.vote) == (m.term, m.sender), "a campaign began before its vote was durable"
            case _:
                pass

    return check


def check_that_nothing_is_promised_before_it_is_saved(_: Path) -> None:
    log = memory_log()
    outbox = Outbox(keeps_promises(log))
    node = DrivenNode(log, Careful(log), outbox)
    entries = (Entry(1, 3, EntryKind.NOOP), Entry(2, 3, EntryKind.COMMAND, b"x", "r"))
    node.deliver(AppendEntries("c", "b", "a", 3, 0, 0, entries, 0))
    node.deliver(Heartbeat("c", "b", "a", 3, 2, 0))
    node.deliver(RequestVote("c", "c", "a", 5, 2, 3, False, True))
    node.elect("b")
    future = node.propose("1")
    term = node.core.term
    node.deliver(AppendReply("c", "b", "a", term, node.core.log.last))
    assert future.result(0) == b"x"
    kinds = {type(m) for m in outbox.sent}
    assert kinds >= {AppendReply, VoteReply, RequestVote}


def check_that_a_node_alone_answers_after_the_save(_: Path) -> None:
    log = memory_log(("a",))
    node = DrivenNode(log, Careful(log))
    node.elect()
    assert node.propose("1").result(0) == b"x"
    assert log.entries(log.last_index(), log.last_index() + 1, 1)[0].request_id == "1"


def check_that_the_commit_of_a_change_is_saved(_: Path) -> None:
    """The next change may come in the next message; without this commit the node could campaign by the one before."""
    log = memory_log()
    node = DrivenNode(log, Careful(log))
    change = Configuration(NAMES, learners=("d",)).encode()
    entries = (Entry(1, 1, EntryKind.COMMAND, b"x", "r"), Entry(2, 1, EntryKind.CONFIGURATION, change))
    node.deliver(AppendEntries("c", "b", "a", 1, 0, 0, entries, 0))
    node.deliver(AppendEntries("c", "b", "a", 1, 2, 1, (), 1))
    assert log.initial_state().hard_state.commit == 0, "a commit index alone waits for the next save"
    node.deliver(AppendEntries("c", "b", "a", 1, 2, 1, (), 2))
    assert log.initial_state().hard_state.commit == 2, "a committed change is not known after a crash"
    assert node.core.configuration.learners == ("d",)
    # Also if so much was committed at once that it is handed out only after that.
    log = memory_log()
    node = DrivenNode(log, Careful(log), core=Settings(max_apply_bytes=1))
    node.deliver(AppendEntries("c", "b", "a", 1, 0, 0, entries, 0))
    node.deliver(AppendEntries("c", "b", "a", 1, 2, 1, (), 2))
    assert node.core.configuration.learners == ("d",)
    assert log.initial_state().hard_state.commit == 2, "a committed change took effect and is not known after a crash"


class CountingLog(MemoryLog):
    """Notes what each save had."""

    __slots__ = ("saves",)
    saves: list[tuple[HardState | None, int | None, int, SnapshotMeta | None]]

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        self.saves.append((hard_state, truncate_from, len(entries), snapshot))
        super().save(hard_state, truncate_from, entries, snapshot)


def check_that_a_ready_is_one_save(_: Path) -> None:
    """A crash between two would leave entries without the term, the vote or the commit index that belong to them."""
    log = CountingLog("c", "a", SnapshotMeta(configuration=Configuration(NAMES)))
    log.saves = []
    node = DrivenNode(log, Careful(log))
    first = tuple(Entry(n, 1, EntryKind.COMMAND, b"x", f"r{n}") for n in (1, 2, 3))
    node.deliver(AppendEntries("c", "b", "a", 1, 0, 0, first, 1))
    node.deliver(AppendEntries("c", "c", "a", 2, 1, 1, (Entry(2, 2, EntryKind.NOOP),), 2))
    node.deliver(Heartbeat("c", "b", "a", 4, 0, 0))
    meta = SnapshotMeta(7, 4, Configuration(NAMES), "copy-7")
    node.fetched(meta, "copy-7")
    assert log.saves == [
        (HardState(1, None, 1), None, 3, None),
        (HardState(2, None, 2), 2, 1, None),
        (HardState(4, None, 2), None, 0, None),
        (HardState(4, None, 7), None, 0, meta),
    ], "what belongs together was saved apart"


def check_that_a_snapshot_is_in_the_log_before_it_is_the_state(_: Path) -> None:
    log = memory_log()
    state_machine = Careful(log)
    sent_at: list[tuple[int, list[str]]] = []

    def look(m: Message) -> None:
        keeps_promises(log)(m)
        if isinstance(m, AppendReply):
            sent_at.append((m.index, list(state_machine.installed)))

    node = DrivenNode(log, state_machine, Outbox(look))
    node.deliver(Heartbeat("c", "b", "a", 4, 0, 0))
    meta = SnapshotMeta(7, 4, Configuration(NAMES))
    node.fetched(meta, "copy-7")
    assert state_machine.installed == ["copy-7"]
    assert sent_at == [(7, ["copy-7"])], "acknowledged when both are done"
    assert node.core.log.applied == 7


def check_that_only_what_is_durable_is_compacted(_: Path) -> None:
    log = memory_log(("a",))
    state_machine = Careful(log)
    node = DrivenNode(log, state_machine, compact_after=5, keep_entries=1)
    node.elect()
    for number in range(20):
        node.propose(f"{number}")
        node.tick()
        assert log.first_index() == 1, "nothing is durable yet"
    state_machine.durable = 12
    node.tick()
    assert log.first_index() == 12, "up to what is durable, but for what is kept"


def check_that_a_read_waits_until_what_it_must_see_is_applied(_: Path) -> None:
    log = memory_log(("a",))
    state_machine = Careful(log)
    node = DrivenNode(log, state_machine)
    node.elect()
    node.node.propose("1", b"x")
    node.turn()
    read = node.node.read_barrier()
    node.turn()
    assert node.core.log.committed > state_machine.applied
    assert not read.done(), "a read was answered from a state that lacks what was committed before"
    node.drain()
    assert read.result(0) <= state_machine.applied


def check_that_a_proposal_is_offered_until_it_is_answered(_: Path) -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log), retry_ticks=5, core=Settings(election_ticks=100))
    node.deliver(Heartbeat("c", "b", "a", 1, 0, 0))

    def offers() -> list[tuple[str, str]]:
        sent, node.outbox.sent = node.outbox.sent, []
        return [(m.to, m.request_id) for m in sent if isinstance(m, ProposeRequest)]

    future = node.propose("1")
    assert offers() == [("b", "1")]
    for _tick in range(5):
        node.tick()
    assert offers() == [("b", "1")], "it may be lost, so it is offered again"
    node.deliver(Heartbeat("c", "c", "a", 2, 0, 0))
    assert offers() == [("c", "1")], "what the last leader had may be lost"
    entry = Entry(1, 2, EntryKind.COMMAND, b"x", "1")
    node.deliver(AppendEntries("c", "c", "a", 2, 0, 0, (entry,), 1))
    assert future.result(0) == b"x"
    for _tick in range(20):
        node.tick()
    assert offers() == []


# --- power cuts ---


def stamp(number: int) -> dict[str, Any]:
    return {"request_id": f"r{number}", "time_ms": 1}


def command(number: int) -> c.Command:
    if number == 0:
        return c.CreateBucket(**stamp(0), bucket="photos", owner=OWNER, location="", acl=Acl.private(OWNER.id))
    data = Inline(b"%d" % number * 200)
    return c.PutObject(
        **stamp(number), bucket="photos", key=f"{number % 7}", owner=OWNER, size=1, etag=f"{number}", data=data
    )


class Recorded(CatalogStateMachine):
    """Remembers what it applied."""

    def __init__(self, folder: Path, name: str = "") -> None:
        super().__init__(folder, name)
        self.commands: dict[int, bytes] = {}

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        self.commands.update(batch)
        return super().apply(batch, through)


def opened(folder: Path) -> tuple[DrivenNode, Recorded]:
    log = open_log(folder / "raft.db")
    try:
        state_machine = Recorded(folder, log.snapshot().name)
        log._connection.pragma("wal_autocheckpoint", 12)  # checkpoints are frequent
        with state_machine.catalog.hold() as writer:
            writer.connection.pragma("wal_autocheckpoint", 24)
        return DrivenNode(log, state_machine, compact_after=6, keep_entries=2), state_machine
    except BaseException:
        log.close()
        raise


def states(commands: dict[int, bytes], last: int) -> dict[int, str]:
    """Applied index -> hash of the catalog that has applied just this."""
    found = {}
    catalog = Catalog(None)
    with contextlib.closing(catalog):
        for index in range(last + 1):
            if index:
                entries = [(index, *unwrap(commands[index]))] if index in commands else []
                catalog.apply_log(entries, index)
            with catalog.read() as reader:
                found[index] = catalog_hash(reader.connection)
    return found


def live(disk: RecordingDisk, folder: Path) -> dict[int, str]:
    """The life of a node alone: set up, written to, compacted. What is acknowledged is marked. Returns its states."""
    create_member(folder)
    disk.mark(-1)
    node, state_machine = opened(folder)
    node.elect()
    for number in range(COMMANDS):
        future = node.propose(f"r{number}", wrap(command(number), 10**6))
        assert future.done()
        disk.mark(number)
        if number % 3 == 0:
            node.tick()
    assert node.node.counters.compactions > 2
    last = state_machine.applied
    node.close()
    return states(state_machine.commands, last)


def check_that_no_power_cut_parts_the_log_from_the_catalog(folder: Path, images: int = 60) -> None:
    rng = random.Random(1)
    with RecordingDisk(default=True) as disk:
        expected = live(disk, folder / "live")
    marks = [position for position, event in enumerate(disk.events) if isinstance(event, Moment)]
    cuts = [rng.randrange(marks[0] + 1, len(disk.events)) for _ in range(images)]
    for number, cut in enumerate([*marks[:4], *cuts]):
        image = folder / f"image-{number}"
        image.mkdir()
        disk.image(cut + 1, rng, image)
        acknowledged = max(event.note for event in disk.events[: cut + 1] if isinstance(event, Moment))
        with RecordingDisk(default=True):  # nothing of the image needs a real sync
            check_image(image, acknowledged, expected)


def check_image(image: Path, acknowledged: int, expected: dict[int, str]) -> None:
    node, state_machine = opened(image)
    try:
        applied, found = state_machine.hash()
        assert found == expected[applied], f"the state is not the one of its applied index {applied}"
        node.elect()
        with state_machine.catalog.read() as reader:
            etags = dict(reader.connection.execute("SELECT key, etag FROM object_version"))
        for key in range(7):
            newest = max((n for n in range(1, acknowledged + 1) if n % 7 == key), default=None)
            found_there = int(etags.get(f"{key}", 0))
            assert newest is None or found_there >= newest, f"command {newest} was acknowledged and is lost"
    finally:
        node.close()


def check_that_the_names_of_a_new_node_are_durable(folder: Path) -> None:
    target = folder / "new" / "nested" / "node"
    with RecordingDisk(default=True) as disk:
        create_member(target)
    lost = {path for path in disk.unsafe_names() if path.suffix not in (".db-wal", ".db-journal")}
    assert not lost, f"a power cut may take {lost}"


def check_that_a_power_cut_during_the_setup_is_no_obstacle(folder: Path) -> None:
    rng = random.Random(2)
    with RecordingDisk(default=True) as disk:
        create_member(folder / "live")
    total = len(disk.events)
    for cut in range(total + 1):
        image = folder / f"setup-{cut}"
        image.mkdir()
        disk.image(cut, rng, image)
        with RecordingDisk(default=True):
            try:
                open_log(image / "raft.db").close()
            except LogMisuse:
                assert cut < total, "the setup had succeeded, and the log is gone"
                made = create_member(image)
                assert create_member(image) == made, "it keeps the id that it has"


CHECKS: tuple[Callable[[Path], None], ...] = (
    check_that_nothing_is_promised_before_it_is_saved,
    check_that_a_node_alone_answers_after_the_save,
    check_that_the_commit_of_a_change_is_saved,
    check_that_a_ready_is_one_save,
    check_that_a_snapshot_is_in_the_log_before_it_is_the_state,
    check_that_only_what_is_durable_is_compacted,
    check_that_a_read_waits_until_what_it_must_see_is_applied,
    check_that_a_proposal_is_offered_until_it_is_answered,
    check_that_no_power_cut_parts_the_log_from_the_catalog,
    check_that_the_names_of_a_new_node_are_durable,
    check_that_a_power_cut_during_the_setup_is_no_obstacle,
)
