"""What a driver must see to with its log that fails, with snapshots and with reads: checks as those of
driver_checks.py."""

from __future__ import annotations

import contextlib
import os
import random
import unittest.mock
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

from bleepstore import commands as c
from bleepstore.catalog.sqlite import schema
from bleepstore.catalog.sqlite.snapshot import catalog_hash
from bleepstore.cluster import CatalogStateMachine, create_member, wrap
from bleepstore.raft.fetcher import Attempt, Fetcher
from bleepstore.raft.messages import (
    AppendEntries,
    AppendReply,
    Configuration,
    Entry,
    EntryKind,
    Heartbeat,
    HeartbeatReply,
    NodeId,
    ProposeRequest,
    RequestVote,
    SnapshotFetch,
    SnapshotMeta,
)
from bleepstore.raft.snapshot_transfer import FileStream
from bleepstore.raft.sqlite_log import SqliteLog, open_log
from bleepstore.raft.state import Settings
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.transport import SnapshotStream
from bleepstore.testing.crash_disk import RecordingDisk
from tests.raft.driver import DrivenNode, Outbox
from tests.raft.driver_checks import NAMES, Careful, command, keeps_promises, memory_log


def check_that_a_vote_alone_is_saved_before_it_is_sent(_: Path) -> None:
    """Its term is on the disk already, by a candidate who was refused."""
    log = memory_log()
    node = DrivenNode(log, Careful(log), Outbox(keeps_promises(log)))
    entries = (Entry(1, 3, EntryKind.NOOP), Entry(2, 3, EntryKind.COMMAND, b"x", "r"))
    node.deliver(AppendEntries("c", "b", "a", 3, 0, 0, entries, 0))
    node.deliver(RequestVote("c", "c", "a", 5, 0, 0, False, True))
    assert (log.initial_state().hard_state.term, log.initial_state().hard_state.vote) == (5, None)
    node.deliver(RequestVote("c", "b", "a", 5, 2, 3, False, True))
    assert log.initial_state().hard_state.vote == "b"


def check_that_a_read_joins_no_question_that_was_asked_before_it(_: Path) -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log))
    node.elect("b")
    term = node.core.term
    node.deliver(AppendReply("c", "b", "a", term, node.core.log.last))
    first = node.node.read_barrier()
    node.drain()
    future = node.propose("1")
    node.deliver(AppendReply("c", "b", "a", term, node.core.log.last))
    assert future.result(0) == b"x"
    second = node.node.read_barrier()
    node.drain()
    node.deliver(HeartbeatReply("c", "b", "a", term, 1))
    assert first.result(0) == node.core.log.last - 1
    assert not second.done(), "nobody has confirmed the lead since it was asked"
    node.deliver(HeartbeatReply("c", "b", "a", term, 2))
    assert second.result(0) == node.core.log.last, "what was acknowledged before it was asked is not seen"


def check_that_a_commit_that_failed_is_not_tried_again(folder: Path) -> None:
    """What a second fsync says of pages that the first one could not write is nothing."""
    create_member(folder)
    log = open_log(folder / "raft.db")
    right, failures = SqliteLog._commit, [apsw.IOError("the disk failed once")]

    def commit(self: SqliteLog, *args: Any) -> None:
        if failures:
            raise failures.pop()
        right(self, *args)

    entries = (Entry(1, 1, EntryKind.NOOP),)
    with unittest.mock.patch.object(SqliteLog, "_commit", commit), contextlib.suppress(apsw.Error):
        log.save(None, None, entries, None)
    assert log.last_index() == 0, "it was tried again"
    log.close()


def check_that_compaction_keeps_the_name_of_the_state(_: Path) -> None:
    """By it a node finds its state at the next start."""
    log = memory_log(("a",))
    state_machine = Careful(log)
    state_machine.name = "copy-7"
    node = DrivenNode(log, state_machine, compact_after=5, keep_entries=1)
    node.elect()
    for number in range(20):
        node.propose(f"{number}")
    state_machine.durable = 12
    node.tick()
    assert log.snapshot().index > 0
    assert log.snapshot().name == "copy-7"


def check_that_a_command_is_offered_in_one_envelope(_: Path) -> None:
    """Another one would be valid for longer than the result of the first is remembered."""
    log = memory_log()
    node = DrivenNode(log, Careful(log), retry_ticks=5, core=Settings(election_ticks=100))
    node.deliver(Heartbeat("c", "b", "a", 1, 0, 0))
    node.propose("1", wrap(command(0), 99))
    for _tick in range(12):
        node.tick()
    node.deliver(Heartbeat("c", "c", "a", 2, 0, 0))
    offered = [m.data for m in node.outbox.sent if isinstance(m, ProposeRequest)]
    assert len(offered) == 4
    assert set(offered) == {wrap(command(0), 99)}


def check_that_the_inbox_has_a_bound(_: Path) -> None:
    log = memory_log()
    node = DrivenNode(log, Careful(log), max_inbox=50)
    for _number in range(200):
        node.node.deliver(Heartbeat("c", "b", "a", 1, 0, 0))
    assert node.node._inbox.qsize() <= 51
    assert node.node.counters.messages_dropped >= 149


def check_that_what_was_handed_out_before_a_snapshot_is_void(_: Path) -> None:
    log = memory_log()
    state_machine = Careful(log)
    node = DrivenNode(log, state_machine)
    entries = tuple(Entry(n, 1, EntryKind.COMMAND, b"x", f"r{n}") for n in (1, 2))
    node.node.deliver(AppendEntries("c", "b", "a", 1, 0, 0, entries, 2))
    node.turn()  # handed out, and not applied yet
    meta = SnapshotMeta(7, 1, Configuration(NAMES), "copy-7")
    node.fetched(meta, "copy-7")
    assert state_machine.applied == 7


# --- the state that comes from another node ---


def source_of(folder: Path) -> CatalogStateMachine:
    """A state of some hundred pages, at index 60."""
    folder.mkdir()
    source = CatalogStateMachine(folder)
    source.apply([(n + 1, wrap(command(n), 10**6)) for n in range(60)], 60)
    return source


def check_that_a_received_snapshot_is_verified(folder: Path) -> None:
    source = source_of(folder / "source")
    (folder / "target").mkdir()
    target = CatalogStateMachine(folder / "target")
    copy = target.incoming()
    index = source.write_snapshot(copy)
    whole = copy.read_bytes()

    def is_refused(data: bytes, index: int) -> bool:
        copy.write_bytes(data)
        try:
            name = target.prepare(copy, index)
        except SnapshotRefused:
            return True
        target.discard(name)
        return False

    try:
        assert is_refused(whole, index + 1), "it is of another index"
        for page in range(0, len(whole), 8 * 4096):
            torn = whole[:page] + b"\xa5" * 4096 + whole[page + 4096 :]
            assert is_refused(torn, index), f"the page at {page} is damaged"
        assert not is_refused(whole, index)
    finally:
        source.close()
        target.close()


@contextlib.contextmanager
def synced_files() -> Iterator[list[str]]:
    """The names of the files that fsync is called for."""
    names: list[str] = []
    right = os.fsync

    def fsync(file: Any) -> None:
        number = file if isinstance(file, int) else file.fileno()
        names.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        right(file)

    with unittest.mock.patch.object(os, "fsync", fsync):
        yield names


class OneCopy(Outbox):
    """Gives one file as a snapshot."""

    def __init__(self, path: Path, meta: SnapshotMeta) -> None:
        super().__init__()
        self._path = path
        self._meta = meta

    def fetch_snapshot(self, source: NodeId, asker: NodeId, least_index: int) -> SnapshotStream:
        return FileStream(self._meta, self._path, lambda: None)


def check_that_a_received_snapshot_is_synced_before_it_is_looked_at(folder: Path) -> None:
    """SQLite syncs what it writes, not what another has written into its file."""
    (folder / "copy").write_bytes(b"state" * 1000)
    meta = SnapshotMeta(7, 1)
    posted: list[tuple[str, Any]] = []
    log = memory_log()

    class Looks(Careful):
        def incoming(self) -> Path:
            return folder / "incoming"

        def prepare(self, path: Path, index: int) -> str:
            assert str(path) in names, "what came is not on the disk"
            return "copy-7"

    fetcher = Fetcher(
        "a", Looks(log), OneCopy(folder / "copy", meta), posted.append, now=lambda: 0.0, patience=1.0, first_wait=1.0
    )
    with synced_files() as names:
        fetcher._run(Attempt(SnapshotFetch("b", meta), 0.0))
    kind, value = posted[0]
    assert kind == "fetched", value


def check_that_a_prepared_state_survives_a_power_cut(folder: Path) -> None:
    with RecordingDisk(default=True) as disk:
        source = source_of(folder / "live")
        path = source.incoming()
        index = source.write_snapshot(path)
        expected = source.hash()[1]
        name = source.prepare(path, index)
        source.close()
    for number in range(20):
        image = folder / f"image-{number}"
        image.mkdir()
        disk.image(len(disk.events), random.Random(number), image)
        with RecordingDisk(default=True):
            found = CatalogStateMachine(image, name)
            try:
                with found.catalog.read() as reader:
                    assert catalog_hash(reader.connection) == expected, "the state that was prepared is not there"
            finally:
                found.close()


def check_that_no_bucket_is_remembered_from_before_a_snapshot(folder: Path) -> None:
    for name in ("other", "own"):
        (folder / name).mkdir()
    other, own = CatalogStateMachine(folder / "other"), CatalogStateMachine(folder / "own")
    try:
        for one in (own, other):
            one.apply([(1, wrap(command(0), 99))], 1)
        other.apply([(2, wrap(c.DeleteBucket(request_id="r3", time_ms=1, bucket="photos"), 99))], 2)
        found = own.catalog.find_bucket("photos")
        assert found is not None
        path = own.incoming()
        own.install(own.prepare(path, other.write_snapshot(path)))
        assert own.catalog.find_bucket("photos") is None, "the bucket is there no more"
    finally:
        other.close()
        own.close()


def check_that_a_level_brings_what_belongs_to_it_and_to_those_below(folder: Path) -> None:
    """Once, and with its index; neither a new catalog nor a start brings anything."""
    more = [(level, f"CREATE TABLE of_{level}(id INTEGER PRIMARY KEY) STRICT") for level in (2, 3, 4)]
    first = len(schema.MIGRATIONS)

    def version(of: CatalogStateMachine) -> int:
        with of.catalog.read() as reader:
            found: int = reader.connection.pragma("user_version")
        return found

    with unittest.mock.patch.object(schema, "MIGRATIONS", (*schema.MIGRATIONS, *more)):
        own = CatalogStateMachine(folder)
        try:
            own.apply([(1, wrap(command(0), 99))], 1)
            assert version(own) == first
            own.close()
            own = CatalogStateMachine(folder)
            assert version(own) == first
            for index in (2, 3):
                own.raise_level(3, index)
                assert (own.hash()[0], version(own)) == (index, first + 2)
            with own.catalog.read() as reader:
                tables = reader.connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'of__'").fetchall()
            assert sorted(tables) == [("of_2",), ("of_3",)]
        finally:
            own.close()


STATE_CHECKS: tuple[Callable[[Path], None], ...] = (
    check_that_a_vote_alone_is_saved_before_it_is_sent,
    check_that_a_read_joins_no_question_that_was_asked_before_it,
    check_that_a_commit_that_failed_is_not_tried_again,
    check_that_compaction_keeps_the_name_of_the_state,
    check_that_a_command_is_offered_in_one_envelope,
    check_that_the_inbox_has_a_bound,
    check_that_what_was_handed_out_before_a_snapshot_is_void,
    check_that_a_received_snapshot_is_verified,
    check_that_a_received_snapshot_is_synced_before_it_is_looked_at,
    check_that_a_prepared_state_survives_a_power_cut,
    check_that_no_bucket_is_remembered_from_before_a_snapshot,
    check_that_a_level_brings_what_belongs_to_it_and_to_those_below,
)
