"""Drivers, logs and catalogs that are wrong on purpose: see driver_checks.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from bleepstore import cluster
from bleepstore.catalog.apply import apply_once
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite import catalog as catalog_module
from bleepstore.commands import Command, Result
from bleepstore.raft import sqlite_log
from bleepstore.raft.applier import Applier
from bleepstore.raft.messages import HardState, Ready
from bleepstore.raft.node import Node
from bleepstore.raft.sqlite_log import SqliteLog, _Row
from bleepstore.raft.waiting import answer

Patch = pytest.MonkeyPatch


def sends_before_the_save(patch: Patch) -> None:
    right = Node._handle

    def handle(self: Node, ready: Ready) -> None:
        self._senders.send(ready.messages_after)
        right(self, attrs.evolve(ready, messages_after=()))

    patch.setattr(Node, "_handle", handle)


def applies_before_it_is_told_what_is_durable(patch: Patch) -> None:
    """Hands entries to the state machine as soon as they are to be written."""
    right = Node._handle

    def handle(self: Node, ready: Ready) -> None:
        if ready.entries:
            self._state_machine.apply([], ready.entries[-1].index)
        right(self, ready)

    patch.setattr(Node, "_handle", handle)


def installs_before_the_save(patch: Patch) -> None:
    def replace(self: Applier, save: Callable[[], None], name: str) -> None:
        self._era += 1
        self.state_machine.install(name)
        save()
        self.watch.reached(self.state_machine.applied)

    patch.setattr(Applier, "replace", replace)


def saves_no_commit_alone(patch: Patch) -> None:
    """Not even that of a change of the membership."""

    def save(self: Node, ready: Ready) -> None:
        hard = ready.hard_state or self._unsaved_hard
        saved = self._saved_hard
        if hard is not None and not ready.entries and ready.truncate_from is None:  # noqa: SIM102  # as in the driver
            if (hard.term, hard.vote) == (saved.term, saved.vote):
                self._unsaved_hard = hard
                return
        self._write(hard, ready.truncate_from, ready)

    patch.setattr(Node, "_save", save)


def saves_the_hard_state_apart(patch: Patch) -> None:
    """Before the entries that came with it."""
    right = Node._write

    def write(self: Node, hard: HardState | None, truncate_from: int | None, ready: Ready) -> None:
        right(self, hard, None, attrs.evolve(ready, entries=(), snapshot=None))
        right(self, None, truncate_from, ready)

    patch.setattr(Node, "_write", write)


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
    right = Node._compact
    patch.setattr(Node, "_compact", lambda self, durable: right(self, self._state_machine.applied))


def answers_reads_at_once(patch: Patch) -> None:
    """Before the state machine is there."""
    patch.setattr(Node, "_release", lambda self, reads, index: answer(reads, index))


def offers_nothing_again(patch: Patch) -> None:
    patch.setattr(Node, "_offer_again", lambda self, *, all_of_them: None)


def offers_nothing_to_the_next_leader(patch: Patch) -> None:
    right = Node._offer_again
    patch.setattr(Node, "_offer_again", lambda self, *, all_of_them: right(self, all_of_them=False))


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
    patch.setattr(cluster, "_sync", _ignore)


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
    )
}
