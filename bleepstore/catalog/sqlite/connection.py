"""SQLite connections, set up once: each setting is a small function that says why.

Never open the catalog with the standard library's `sqlite3` in the same process: two SQLite libraries break each
other's POSIX locks ("How To Corrupt An SQLite Database File", section 2.2.1).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import apsw

BUSY_TIMEOUT_MS = 60_000
PAGE_SIZE = 4096
CHECKPOINT_PAGES = 8_000
LOW_SPACE_PAGES = 250
MAPPED_BYTES = 1 << 30

#: SQL functions whose value depends on when or where they run. Apply must give the same result on every node.
NONDETERMINISTIC = frozenset(
    {
        "random", "randomblob", "date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff",
        "current_date", "current_time", "current_timestamp", "sqlite_version", "sqlite_source_id", "changes",
        "total_changes", "last_insert_rowid",
    }
)  # fmt: skip


def _set_durable(connection: apsw.Connection) -> None:
    """A commit returns after fsync of the write-ahead log: nothing is acknowledged that a power cut could undo."""
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")


def _set_patience(connection: apsw.Connection) -> None:
    """Writers are queued by the committer's lock; only another program can still make SQLite wait. It is waited for
    long while the catalog is opened; `bleepstore.catalog.sqlite.writer` waits less."""
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)


def _set_checkpoint(connection: apsw.Connection) -> None:
    """A page that many commits touch is copied to the database file once per checkpoint, so checkpoints are rare."""
    connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", CHECKPOINT_PAGES * PAGE_SIZE)


def _set_cache(connection: apsw.Connection) -> None:
    """It is bounded (8 MiB)."""
    connection.pragma("cache_size", -8192)


def map_file(connection: apsw.Connection, maps: bool) -> None:
    """For reads of a file that nobody changes: the bytes of larger objects are copied once less, without a call for
    each page. But SQLite drops the mapping with the cache, whenever another connection has written, and to map the file
    anew, and the faults that follow, take longer than such calls."""
    connection.pragma("mmap_size", MAPPED_BYTES if maps else 0)


def _keep_plans(connection: apsw.Connection) -> None:
    """A statement is planned once. Without this guarantee SQLite plans it again whenever other values are bound."""
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _refuse_nondeterminism(connection: apsw.Connection) -> None:
    """What a log replays must not ask for the time or for chance."""

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == apsw.SQLITE_FUNCTION and (second or "").lower() in NONDETERMINISTIC:
            return apsw.SQLITE_DENY
        return apsw.SQLITE_OK

    connection.authorizer = authorize


def _leave_durability_to_the_log(connection: apsw.Connection) -> None:
    """A crash may undo the last commits, never tear one, and the log that they came from applies them again."""
    connection.pragma("synchronous", "normal")


def open_writer(path: Path | None, *, replicated: bool = False) -> apsw.Connection:
    """The connection that applies commands. None: a private database in memory."""
    connection = apsw.Connection(":memory:" if path is None else str(path), statementcachesize=200)
    _set_patience(connection)
    if path is not None:
        _set_durable(connection)
        if replicated:
            _leave_durability_to_the_log(connection)
        _set_checkpoint(connection)
    _set_cache(connection)
    connection.pragma("foreign_keys", "off")
    _keep_plans(connection)
    _refuse_nondeterminism(connection)
    return connection


def commit_nothing(connection: apsw.Connection) -> None:
    """A commit that changes nothing, after which all connections of all processes map the file anew.

    A reader maps the file at the length that it has then, and again when it sees a commit. A checkpoint, which makes
    the file longer, is none: the reader would read each page behind its mapping by a call of the system, and copy it.
    """
    connection.pragma("application_id", connection.pragma("application_id"))


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def open_reader(path: Path, *, read_only: bool = False) -> apsw.Connection:
    """A connection for queries. With `read_only` it needs no permission to write, nor that the disk can be written to.

    Raises apsw.CantOpenError.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    try:
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=200)
        connection.pragma("schema_version")  # the first read, which opens the write-ahead log
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        if not read_only or _has_log(path):
            raise
        # "A read-only WAL-mode database can be opened if the -shm and -wal files exist, or can be created, or the
        # database is immutable." It is: without a log nobody has it open.
        uri = f"file:{quote(str(path))}?immutable=1"
        connection = apsw.Connection(uri, flags=flags | apsw.SQLITE_OPEN_URI, statementcachesize=200)
    _set_patience(connection)
    _set_cache(connection)
    _keep_plans(connection)
    connection.pragma("query_only", "on")
    return connection
