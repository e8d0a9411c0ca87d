"""Drivers, logs and catalogs that are wrong on purpose: see driver_checks.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest

from bleepstore import cluster
from bleepstore.catalog.apply import apply_once
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite import catalog as catalog_module
from bleepstore.catalog.sqlite.copying import make_file_durable
from bleepstore.catalog.sqlite.shared import BucketCache
from bleepstore.commands import Command, Result
from bleepstore.errors import CatalogDamaged
from bleepstore.raft import fetcher, sqlite_log
from bleepstore.raft.applier import Applier
from bleepstore.raft.driver import Driver
from bleepstore.raft.messages import HardState, Ready
from bleepstore.raft.node import Node
from bleepstore.raft.sqlite_log import SqliteLog, _Row
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.transport import SnapshotStream
from bleepstore.raft.waiting import Proposal, answer

Patch = pytest.MonkeyPatch


def sends_before_the_save(patch: Patch) -> None:
    right = Driver._handle

    def handle(self: Driver, ready: Ready) -> None:
        self._senders.send(ready.messages_after)
        right(self, attrs.evolve(ready, messages_after=()))

    patch.setattr(Driver, "_handle", handle)


def applies_before_it_is_told_what_is_durable(patch: Patch) -> None:
    """Hands entries to the state machine as soon as they are to be written."""
    right = Driver._handle

    def handle(self: Driver, ready: Ready) -> None:
        if ready.entries:
            self._state_machine.apply([], ready.entries[-1].index)
        right(self, ready)

    patch.setattr(Driver, "_handle", handle)


def installs_before_the_save(patch: Patch) -> None:
    def replace(self: Applier, save: Callable[[], None], name: str, level: int) -> None:
        self._era += 1
        self.state_machine.install(name)
        save()
        self.watch.reached(self.state_machine.applied)

    patch.setattr(Applier, "replace", replace)


def saves_no_commit_alone(patch: Patch) -> None:
    """Not even that of a change of the membership."""

    def save(self: Driver, ready: Ready) -> None:
        hard = ready.hard_state or self._unsaved_hard
        saved = self._saved_hard
        if hard is not None and not ready.entries and ready.truncate_from is None:  # noqa: SIM102  # as in the driver
            if (hard.term, hard.vote) == (saved.term, saved.vote):
                self._unsaved_hard = hard
                return
        self._write(hard, ready.truncate_from, ready)

    patch.setattr(Driver, "_save", save)


def saves_the_hard_state_apart(patch: Patch) -> None:
    """Before the entries that came with it."""
    right = Driver._write

    def write(self: Driver, hard: HardState | None, truncate_from: int | None, ready: Ready) -> None:
        right(self, hard, None, attrs.evolve(ready, entries=(), snapshot=None))
        right(self, None, truncate_from, ready)

    patch.setattr(Driver, "_write", write)


def log_commits_each_statement(patch: Patch) -> None:
    """A save is as many transactions as it has statements."""

    def commit(self: SqliteLog, row: _Row, first: str, keep_to: int, rows: list[tuple[Any, ...]]) -> None:
        if first:
            self._connection.execute(first)
        if keep_to < self._row.last_index:
            self._connection.execute("DELETE FROM raft_log WHERE idx > ?", (keep_to,))
        for one in rows:
            self._connection.execute("INSERT INTO raft_log VALUES (?, ?, ?, ?, ?, ?)", one)
        sqlite_log._write_state(self._connection, *self._identity, row)
        self._row = row

    patch.setattr(SqliteLog, "_commit", commit)


def compacts_what_is_applied(patch: Patch) -> None:
    """Whether it is durable or not."""
    right = Driver._compact
    patch.setattr(Driver, "_compact", lambda self, durable: right(self, self._state_machine.applied))


def answers_reads_at_once(patch: Patch) -> None:
    """Before the state machine is there."""
    patch.setattr(Driver, "_release", lambda self, reads, index: answer(reads, index))


def offers_nothing_again(patch: Patch) -> None:
    patch.setattr(Driver, "_offer_again", lambda self, *, all_of_them: None)


def offers_nothing_to_the_next_leader(patch: Patch) -> None:
    right = Driver._offer_again
    patch.setattr(Driver, "_offer_again", lambda self, *, all_of_them: right(self, all_of_them=False))


def catalog_is_not_synced(patch: Patch) -> None:
    def make_durable(self: Catalog) -> int:
        with self.read() as reader:
            return reader.applied_index()

    patch.setattr(Catalog, "make_durable", make_durable)


def catalog_in_two_transactions(patch: Patch) -> None:
    """The applied index is written after the changes."""

    def apply_log(self: Catalog, entries: Sequence[tuple[int, int, Command]], through: int) -> list[Result]:
        with self.transaction() as tables:
            results = [apply_once(tables, command, index, valid_to) for index, valid_to, command in entries]
        with self.transaction() as tables:
            tables.set_applied_index(through)
        return results

    patch.setattr(catalog_module.Catalog, "apply_log", apply_log)


def _ignore(_: Path) -> None:
    """Syncs nothing."""


def name_of_a_new_log_is_not_synced(patch: Patch) -> None:
    patch.setattr(sqlite_log, "_sync_directory", _ignore)


def names_of_folders_and_states_are_not_synced(patch: Patch) -> None:
    patch.setattr(cluster, "make_file_durable", _ignore)


def name_of_the_write_ahead_log_is_not_synced(patch: Patch) -> None:
    """The catalog's own: what it holds is synced, but the file may be gone."""
    patch.setattr(cluster.CatalogStateMachine, "make_durable", lambda self: self.catalog.make_durable())


def log_is_not_synced(patch: Patch) -> None:
    right = sqlite_log._connect

    def connect(path: Path, vfs: str, *, create: bool) -> object:
        connection = right(path, vfs, create=create)
        connection.pragma("synchronous", "normal")
        return connection

    patch.setattr(sqlite_log, "_connect", connect)


def saves_a_vote_alone_later(patch: Patch) -> None:
    right = Driver._save

    def save(self: Driver, ready: Ready) -> None:
        hard, saved = ready.hard_state, self._saved_hard
        if hard is not None and not ready.entries and hard.term == saved.term:
            self._unsaved_hard = hard
        else:
            right(self, ready)

    patch.setattr(Driver, "_save", save)


def a_read_joins_an_earlier_question(patch: Patch) -> None:
    right = Driver._ask

    def ask(self: Driver) -> None:
        if self._asked:
            self._asked[max(self._asked)] += self._asking
            self._asking = []
        else:
            right(self)

    patch.setattr(Driver, "_ask", ask)


def log_tries_again(patch: Patch) -> None:
    right = SqliteLog.save

    def save(self: SqliteLog, *what: Any) -> None:
        try:
            right(self, *what)
        except apsw.Error:
            right(self, *what)

    patch.setattr(SqliteLog, "save", save)


def compaction_forgets_the_name(patch: Patch) -> None:
    def compact(self: Driver, durable: int) -> None:
        meta = self.core.snapshot_meta(self._compactable(durable))
        if meta is not None and meta.index >= self.core.log.first:
            self._log.compact(meta)
            self.core.compacted(meta)

    patch.setattr(Driver, "_compact", compact)


def a_received_snapshot_is_not_synced(patch: Patch) -> None:
    def receive(stream: SnapshotStream, path: Path, _stopping: object, _moved: object) -> None:
        path.write_bytes(b"".join(chunk.data for chunk in stream.chunks()))

    patch.setattr(fetcher, "receive", receive)


def buckets_survive_a_snapshot(patch: Patch) -> None:
    patch.setattr(BucketCache, "begin", lambda self: None)


def applies_what_was_handed_out_before_a_snapshot(patch: Patch) -> None:
    right = Applier._apply
    patch.setattr(Applier, "_apply", lambda self, era, entries: right(self, self._era, entries))


def a_proposal_gets_a_new_envelope(patch: Patch) -> None:
    right = Driver._offer

    def offer(self: Driver, proposal: Proposal) -> None:
        if proposal.offers:
            valid_to, command = cluster.unwrap(proposal.data)
            proposal.data = cluster.wrap(command, valid_to + 1)
        right(self, proposal)

    patch.setattr(Driver, "_offer", offer)


def _prepares(self: cluster.CatalogStateMachine, path: Path, index: int, without: str) -> str:
    """As it should, but for one thing."""
    try:
        received = Catalog(path, replicated=True)
    except CatalogDamaged as error:
        raise SnapshotRefused("it is no catalog") from error
    try:
        with received.read() as reader:
            is_sound = without == "soundness" or reader.soundness() == "ok"
            if not is_sound or (without != "index" and reader.applied_index() != index):
                raise SnapshotRefused("it is wrong")
        if without != "durable":
            received.make_durable()
    except CatalogDamaged as error:
        raise SnapshotRefused("it is wrong") from error
    finally:
        received.close()
    name = f"-{index}-0000"
    path.rename(self._path(name))
    if without != "durable":
        make_file_durable(self._folder)
    return name


def _prepares_without(what: str) -> Callable[[Patch], None]:
    def wrong(patch: Patch) -> None:
        patch.setattr(
            cluster.CatalogStateMachine, "prepare", lambda self, path, index: _prepares(self, path, index, what)
        )

    wrong.__name__ = f"prepares_a_snapshot_without_{what}"
    return wrong


def the_inbox_has_no_bound(patch: Patch) -> None:
    patch.setattr(Node, "deliver", lambda self, message: self._inbox.put(message))


DRIVER_MUTANTS: dict[str, Callable[[Patch], None]] = {
    wrong.__name__.replace("_", " "): wrong
    for wrong in (
        sends_before_the_save,
        applies_before_it_is_told_what_is_durable,
        installs_before_the_save,
        saves_no_commit_alone,
        saves_the_hard_state_apart,
        log_commits_each_statement,
        compacts_what_is_applied,
        answers_reads_at_once,
        offers_nothing_again,
        offers_nothing_to_the_next_leader,
        catalog_is_not_synced,
        catalog_in_two_transactions,
        name_of_a_new_log_is_not_synced,
        names_of_folders_and_states_are_not_synced,
        name_of_the_write_ahead_log_is_not_synced,
        log_is_not_synced,
        saves_a_vote_alone_later,
        a_read_joins_an_earlier_question,
        log_tries_again,
        compaction_forgets_the_name,
        a_received_snapshot_is_not_synced,
        buckets_survive_a_snapshot,
        applies_what_was_handed_out_before_a_snapshot,
        a_proposal_gets_a_new_envelope,
        _prepares_without("index"),
        _prepares_without("soundness"),
        _prepares_without("durable"),
        the_inbox_has_no_bound,
    )
}

#: Those that seeds catch with the real node in the simulator, and the first seed that is tried.
DRIVER_SEEDS: dict[str, int] = {
    "sends before the save": 0,
    "applies before it is told what is durable": 0,
    "installs before the save": 5,
    "saves the hard state apart": 10,
    "answers reads at once": 2,
    "offers nothing again": 3,
    "saves a vote alone later": 0,
    "a read joins an earlier question": 3,
    "compaction forgets the name": 3,
    "applies what was handed out before a snapshot": 43,
    "log commits each statement": 7,  # with the log of production
    "log is not synced": 7,
}
