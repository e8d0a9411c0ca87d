"""The Raft log in a SQLite database of its own.

    raft_log     one row per entry; its crc covers the entry and the crc of the entry before it: a chain
    raft_state   one row: whose log it is, hard state, snapshot pointer, and where the chain begins and ends

`save` is one transaction with one sync of SQLite's write-ahead log: after a crash it has happened whole or not at all,
so entries are never seen without the term and vote that were saved with them. What the chain adds is proof against
what transactions do not see: rows that were changed, lost or restored by hand, by a tool or by a failing disk. Such a
log refuses to open. It is never cut back to what still fits: the rest may have been acknowledged.

One process holds the log: SQLite's exclusive locking mode keeps every other out (and needs no shared memory).
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from bleepstore.errors import NO_SPACE
from bleepstore.raft.ids import check_id
from bleepstore.raft.messages import (
    ENTRY_OVERHEAD,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    MalformedValue,
    NodeId,
    SnapshotMeta,
)
from bleepstore.raft.storage import (
    Compacted,
    EntriesUnavailable,
    LogDamaged,
    LogFailed,
    LogFull,
    LogMisuse,
    LogState,
    LogTooNew,
    limit_bytes,
)

APPLICATION_ID = 0x424C5252  # "BLRR": `file` and SQLite tools tell what this database is
FORMAT = 1
#: Before it, a checkpoint could reset the write-ahead log wrongly and lose committed transactions.
MIN_SQLITE = (3, 51, 3)
#: The write-ahead log is copied into the database file when it has this many pages of 4 KiB.
CHECKPOINT_PAGES = 4_000

_SCHEMA = f"""
CREATE TABLE raft_log(
    idx INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE raft_state(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    cluster TEXT NOT NULL,
    node TEXT NOT NULL,
    term INTEGER NOT NULL,
    vote TEXT,
    commit_index INTEGER NOT NULL,
    snapshot_index INTEGER NOT NULL,
    snapshot_term INTEGER NOT NULL,
    snapshot_configuration BLOB NOT NULL,
    snapshot_name TEXT NOT NULL,
    base_crc INTEGER NOT NULL,
    last_index INTEGER NOT NULL,
    last_crc INTEGER NOT NULL,
    check_crc INTEGER NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
"""
_ENTRY = struct.Struct("<QQBI")

_WHAT_TO_DO = (
    "Nothing of it is repaired or cut off, since what is missing may have been acknowledged. Move the directory of "
    "this node away, start the node anew with an empty one (it gets a new id and copies the state from the others), "
    "and remove the old id from the cluster. If this was the only node, restore the directory from a backup"
)


class _Row:
    """The state row as it is, or is about to be, stored; `check_crc` protects all of it."""

    __slots__ = ("base_crc", "hard", "last_crc", "last_index", "snapshot")

    def __init__(self, hard: HardState, snapshot: SnapshotMeta, base_crc: int, last_index: int, last_crc: int) -> None:
        self.hard = hard
        self.snapshot = snapshot
        self.base_crc = base_crc
        self.last_index = last_index
        self.last_crc = last_crc

    def values(self, cluster: str, node: NodeId) -> tuple[Any, ...]:
        """All columns of raft_state but the first."""
        hard, snapshot = self.hard, self.snapshot
        values = (
            FORMAT, cluster, node, hard.term, hard.vote, hard.commit, snapshot.index, snapshot.term,
            snapshot.configuration.encode(), snapshot.name, self.base_crc, self.last_index, self.last_crc,
        )  # fmt: skip
        return (*values, zlib.crc32(repr(values).encode()))


def chain_crc(entry: Entry, before: int) -> int:
    """The crc of an entry that follows one with the crc `before`."""
    request_id = entry.request_id.encode()
    head = _ENTRY.pack(entry.index, entry.term, entry.kind, len(request_id)) + request_id
    return zlib.crc32(entry.data, zlib.crc32(head, before))


def check_sqlite_version(version: str | None = None) -> None:
    """Raises LogMisuse if the SQLite library is older than MIN_SQLITE."""
    version = apsw.sqlite_lib_version() if version is None else version
    parts = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if parts is None:
        raise LogMisuse(f"{version!r} is no version of SQLite that is known")
    if tuple(int(part or 0) for part in parts.groups()) < MIN_SQLITE:
        least = ".".join(map(str, MIN_SQLITE))
        raise LogMisuse(
            f"SQLite {version} may lose committed transactions when it resets its write-ahead log; "
            f"install an apsw with SQLite {least} or later"
        )


class SqliteLog:
    """A `LogStorage` in the file `path`. Made by `create_log`, opened again by `open_log`. For one thread at a time."""

    __slots__ = ("_connection", "_failed", "_identity", "_path", "_row")

    def __init__(self, path: Path, connection: apsw.Connection, cluster: str, node: NodeId, row: _Row) -> None:
        self._path = path
        self._connection = connection
        self._identity = (cluster, node)
        self._row = row
        self._failed = False

    # --- what is there ---

    def initial_state(self) -> LogState:
        return LogState(*self._identity, self._row.hard, self._row.snapshot)

    def first_index(self) -> int:
        return self._row.snapshot.index + 1

    def last_index(self) -> int:
        return self._row.last_index

    def snapshot(self) -> SnapshotMeta:
        return self._row.snapshot

    def size(self) -> int:
        total: int = self._connection.execute(
            "SELECT coalesce(sum(length(data) + ?), 0) FROM raft_log", (ENTRY_OVERHEAD,)
        ).get
        return total

    def term(self, index: int) -> int:
        row = self._row
        if index == row.snapshot.index:
            return row.snapshot.term
        self._check_range(index, index + 1)
        term: int | None = self._connection.execute("SELECT term FROM raft_log WHERE idx = ?", (index,)).get
        if term is None:
            raise self._missing(index)
        return term

    def entries(self, lo: int, hi: int, max_bytes: int) -> list[Entry]:
        self._check_range(lo, hi)
        found: list[Entry] = []
        size = 0
        before = self._crc_at(lo - 1) if lo < hi else 0
        for index, term, kind, crc, request_id, data in self._connection.execute(
            "SELECT idx, term, kind, crc, request_id, data FROM raft_log WHERE idx >= ? AND idx < ? ORDER BY idx",
            (lo, hi),
        ):
            entry = Entry(index, term, EntryKind(kind), data, request_id)
            before = chain_crc(entry, before)
            if index != lo + len(found) or crc != before:
                raise self._missing(lo + len(found))
            found.append(entry)
            size += len(data) + ENTRY_OVERHEAD
            if size > max_bytes:
                return limit_bytes(found, max_bytes)
        if len(found) != hi - lo:
            raise self._missing(lo + len(found))
        return found

    def _check_range(self, lo: int, hi: int) -> None:
        if lo <= self._row.snapshot.index:
            raise Compacted(lo, self.first_index())
        if hi > self._row.last_index + 1:
            raise EntriesUnavailable(hi - 1, self._row.last_index)

    def _crc_at(self, index: int) -> int:
        row = self._row
        if index == row.snapshot.index:
            return row.base_crc
        if index == row.last_index:
            return row.last_crc
        crc: int | None = self._connection.execute("SELECT crc FROM raft_log WHERE idx = ?", (index,)).get
        if crc is None:
            raise self._missing(index)
        return crc

    def _missing(self, index: int) -> LogDamaged:
        return _damaged(self._path, f"entry {index} is missing or was changed")

    # --- writing ---

    def save(
        self,
        hard_state: HardState | None,
        truncate_from: int | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
    ) -> None:
        self._check_not_failed()
        self._check_fits(truncate_from, entries, snapshot)
        old = self._row
        row = _Row(hard_state or old.hard, snapshot or old.snapshot, old.base_crc, old.last_index, old.last_crc)
        if snapshot is not None:
            row.base_crc = row.last_crc = zlib.crc32(b"%d %d" % (snapshot.index, snapshot.term))
            row.last_index = snapshot.index
        if truncate_from is not None:
            row.last_index = truncate_from - 1
            row.last_crc = row.base_crc if truncate_from == row.snapshot.index + 1 else self._crc_at(row.last_index)
        rows = []
        crc = row.last_crc
        for entry in entries:
            crc = chain_crc(entry, crc)
            rows.append((entry.index, entry.term, int(entry.kind), crc, entry.request_id, entry.data))
        if rows:
            row.last_index, row.last_crc = entries[-1].index, crc
        keep_to = old.last_index if truncate_from is None else truncate_from - 1
        self._commit(row, "" if snapshot is None else "DELETE FROM raft_log", keep_to, rows)

    def _check_fits(self, truncate_from: int | None, entries: Sequence[Entry], snapshot: SnapshotMeta | None) -> None:
        first = self.first_index() if snapshot is None else snapshot.index + 1
        last = self._row.last_index if snapshot is None else snapshot.index
        if truncate_from is not None:
            if not first <= truncate_from <= last:
                raise LogMisuse(f"cannot truncate from {truncate_from}: the log is {first}..{last}")
            last = truncate_from - 1
        for expected, entry in enumerate(entries, start=last + 1):
            if entry.index != expected:
                raise LogMisuse(f"cannot append entry {entry.index}: {expected} comes next")

    def compact(self, snapshot: SnapshotMeta) -> None:
        self._check_not_failed()
        old = self._row
        if snapshot.index <= old.snapshot.index:
            return
        if snapshot.index > old.last_index:
            raise LogMisuse(f"cannot compact to {snapshot.index}: the log ends at {old.last_index}")
        if snapshot.term != self.term(snapshot.index):
            raise LogMisuse(f"entry {snapshot.index} is of term {self.term(snapshot.index)}, not {snapshot.term}")
        row = _Row(old.hard, snapshot, self._crc_at(snapshot.index), old.last_index, old.last_crc)
        self._commit(row, f"DELETE FROM raft_log WHERE idx <= {int(snapshot.index)}", old.last_index, [])

    def _commit(self, row: _Row, first: str, keep_to: int, rows: list[tuple[Any, ...]]) -> None:
        """One transaction. If anything fails, this log is of no more use: an fsync is never tried a second time, since
        the kernel may have dropped the pages that it could not write and report success the next time.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if first:
                connection.execute(first)
            if keep_to < self._row.last_index:
                connection.execute("DELETE FROM raft_log WHERE idx > ?", (keep_to,))
            if rows:
                connection.executemany("INSERT INTO raft_log VALUES (?, ?, ?, ?, ?, ?)", rows)
            _write_state(connection, *self._identity, row)
            connection.execute("COMMIT")
        except BaseException as error:
            self._failed = True
            if isinstance(error, apsw.Error):
                is_full = isinstance(error, apsw.FullError) or connection.system_errno in NO_SPACE
                kind = LogFull if is_full else LogFailed
                raise kind(f"writing to {self._path} failed ({error!r}): this node must end") from error
            raise
        self._row = row

    def _check_not_failed(self) -> None:
        if self._failed:
            raise LogFailed(f"writing to {self._path} failed before: this node must end")

    def close(self) -> None:
        self._failed = True
        self._connection.close()


# --- opening ---


def create_log(path: Path, *, cluster: str, node: NodeId, configuration: Configuration, vfs: str = "") -> SqliteLog:
    """Make the log of a new node and open it.

    `node` comes of `new_id`, as does `cluster` for a new one. `configuration` is the membership that a new cluster
    begins with, the same on all its nodes; an empty one for a node that will join a cluster. Raises LogMisuse if there
    is a log already, or an id is no UUID.
    """
    for one in (cluster, node, *configuration.members):
        check_id(one)
    connection = _connect(path, vfs, create=True)
    row = _Row(HardState(), SnapshotMeta(configuration=configuration), 0, 0, 0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if not _is_blank(connection):
            raise LogMisuse(f"{path} has a log already; a node's id is never given to another log")
        connection.execute(_SCHEMA)
        _write_state(connection, cluster, node, row)
        connection.execute("COMMIT")
        _sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return SqliteLog(path, connection, cluster, node, row)


def open_log(path: Path, *, vfs: str = "") -> SqliteLog:
    """Open the log that `create_log` made, and verify all of it.

    Raises LogDamaged, LogTooNew, or LogMisuse if another process has it open, or there is none.
    """
    connection = _connect(path, vfs, create=False)
    with _closed_if_refused(path, connection):
        if _is_blank(connection):
            raise LogMisuse(
                f"{path} is empty. If the setup of this node has never succeeded, do it again; otherwise its log is "
                "lost, and with it what the node has promised: move its directory away, make a node with a NEW id in "
                "an empty one, and remove the old id from the cluster. Never give the old id to another log"
            )
        identity, row = _read_state(path, connection)
        _verify_chain(path, connection, row)
    return SqliteLog(path, connection, *identity, row)


def read_identity(path: Path) -> tuple[str, NodeId] | None:
    """(cluster, node) of the log at `path`, or None if none was made there, or its setup did not come to its end.

    Raises LogDamaged, LogTooNew, or LogMisuse if another process has it open.
    """
    if not path.exists():
        return None
    connection = _connect(path, "", create=False)
    with _closed_if_refused(path, connection):
        found = None if _is_blank(connection) else _read_state(path, connection)[0]
    connection.close()
    return found


@contextlib.contextmanager
def _closed_if_refused(path: Path, connection: apsw.Connection) -> Iterator[None]:
    """What SQLite or a decoder say against the content is said as LogDamaged."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError, apsw.SQLError, MalformedValue, TypeError) as error:
        connection.close()
        raise _damaged(path, f"{error!r}") from error
    except BaseException:
        connection.close()
        raise


def _is_blank(connection: apsw.Connection) -> bool:
    """What a crash left of a setup has no table: its transaction was all or nothing."""
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").get
    return tables == 0


def _connect(path: Path, vfs: str, *, create: bool) -> apsw.Connection:
    check_sqlite_version()
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    try:
        connection = apsw.Connection(str(path), flags, vfs or None, statementcachesize=32)
    except apsw.CantOpenError as error:
        raise LogMisuse(f"cannot open the log {path}: is the directory of this node there?") from error
    try:
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("journal_mode", "wal")
        # A commit returns after the fsync of the write-ahead log.
        connection.pragma("synchronous", "full")
        connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        connection.pragma("cache_size", -8192)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except apsw.BusyError as error:
        connection.close()
        raise LogMisuse(f"the log {path} is in use by another process: a node runs once") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        connection.close()
        raise _damaged(path, f"{error!r}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _write_state(connection: apsw.Connection, cluster: str, node: NodeId, row: _Row) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO raft_state VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row.values(cluster, node),
    )


def _read_state(path: Path, connection: apsw.Connection) -> tuple[tuple[str, NodeId], _Row]:
    if connection.pragma("application_id") != APPLICATION_ID:
        raise LogDamaged(f"{path} is a SQLite database of something else, not a log. Name the right directory")
    form = connection.execute("SELECT format FROM raft_state").get
    if form is None:
        raise _damaged(path, "its state is missing")
    if form < 1:
        raise _damaged(path, f"its format is {form}, and there is none below 1")
    if form > FORMAT:
        raise LogTooNew(f"{path} is of format {form}, this BleepStore knows {FORMAT}: upgrade it")
    found: list[tuple[Any, ...]] = connection.execute("SELECT * FROM raft_state").fetchall()
    _, _, cluster, node, term, vote, commit, index, snapshot_term, configuration, name, base, last, crc, _ = found[0]
    snapshot = SnapshotMeta(index, snapshot_term, Configuration.decode(configuration), name)
    row = _Row(HardState(term, vote, commit), snapshot, base, last, crc)
    if row.values(cluster, node) != found[0][1:]:
        raise _damaged(path, "its state was changed")
    for one in (cluster, node):
        check_id(one)
    return (cluster, node), row


def _verify_chain(path: Path, connection: apsw.Connection, row: _Row) -> None:
    index, before, last_term = row.snapshot.index, row.base_crc, row.snapshot.term
    for found, term, kind, crc, request_id, data in connection.execute(
        "SELECT idx, term, kind, crc, request_id, data FROM raft_log ORDER BY idx"
    ):
        index += 1
        if found != index:
            raise _damaged(path, f"entry {index} is missing")
        if kind not in EntryKind.__members__.values():
            raise LogTooNew(f"{path}: entry {index} is of the unknown kind {kind}; upgrade this BleepStore")
        before = chain_crc(Entry(index, term, EntryKind(kind), data, request_id), before)
        if before != crc or term < last_term:
            raise _damaged(path, f"entry {index} or one before it was changed: the chain of checksums breaks there")
        last_term = term
    if index != row.last_index:
        raise _damaged(path, f"the log should end at entry {row.last_index}, and ends at {index}")
    if before != row.last_crc:
        raise _damaged(path, f"entry {index} is not the one that was saved last: the end of the log was exchanged")
    if row.hard.commit > index:
        raise _damaged(path, f"entry {row.hard.commit} is committed, and the log is {row.snapshot.index + 1}..{index}")


def _damaged(path: Path, what: str) -> LogDamaged:
    return LogDamaged(f"the log {path} is damaged: {what}. {_WHAT_TO_DO}")


def _sync_directory(path: Path) -> None:
    """The names of new files are durable only after this."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
