"""The catalog's life: its connections, its one writer at a time, and the transaction around a batch of commands."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw

from bleepstore.catalog.apply import apply, apply_once
from bleepstore.catalog.sqlite.blank import give_blank, take_blank
from bleepstore.catalog.sqlite.bucket_cache import BucketCache
from bleepstore.catalog.sqlite.connection import CHECKPOINT_PAGES, open_reader, open_writer, set_low_space
from bleepstore.catalog.sqlite.life import Life
from bleepstore.catalog.sqlite.mark import MarkFile
from bleepstore.catalog.sqlite.process_lock import ProcessLock
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.catalog.sqlite.readers import ReaderPool, SharedReader
from bleepstore.catalog.sqlite.refusals import classify, damaged
from bleepstore.catalog.sqlite.schema import check_version, migrate
from bleepstore.catalog.sqlite.tables import SqliteTables
from bleepstore.commands import Command, Result
from bleepstore.errors import SlowDown, StorageFull, StoreError, StoreReadOnly, refusal_of
from bleepstore.model import Bucket

_log = logging.getLogger("bleepstore.catalog")

#: How long a write waits for other processes. Half of it later, those behind it are refused at once.
LOCK_SECONDS = 5.0
#: How much of the room within the database file counts as free. What is written there goes through the log, for which
#: there must be room.
MAX_UNUSED_BYTES = 2 * 1024 * 1024
#: Free bytes from which on the longest log, and what its copying adds to the database file, may be a matter of room.
_LOW_SPACE = 3 * CHECKPOINT_PAGES * 4096


class Catalog:
    """The metadata database of a store.

    `path` is the database file, shared by any number of processes that each open it for themselves, or None for a
    private catalog in memory. All methods are thread-safe.

    `replicated`: a log that is durable elsewhere can apply again what a crash undoes, so a commit waits for no fsync.
    `read_only`: the file must exist, and every change raises StoreReadOnly.
    """

    def __init__(self, path: Path | None, *, replicated: bool = False, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._replicated = replicated
        self._life = Life()
        self._write_lock = threading.RLock()
        self._readers: ReaderPool | SharedReader
        #: A reader, in a `with` block: see `bleepstore.catalog.port.CatalogReader`.
        self.read: Callable[[], contextlib.AbstractContextManager[Reader]]
        self._process_lock: int | None = None
        self._buckets = BucketCache(None)
        self._mark: MarkFile | None = None
        self._has_low_space = False
        self._lock: ProcessLock | None = None
        self._opened = False
        if read_only:
            assert path is not None
            try:
                self._writer = open_reader(path, read_only=True)
                check_version(self._writer)
            except (apsw.NotADBError, apsw.CorruptError) as error:
                raise damaged(path, error) from error
            except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
                raise StoreError(
                    f"{path} cannot be read where nothing can be written ({error}). If {path}-wal was left by a crash, "
                    "open it once where it can be written, without read_only, or open a copy of the folder"
                ) from error
            self._readers = ReaderPool(path, self._life, read_only=True)
            self.read = self._readers.read
            return
        if path is not None:
            self._lock_path = path.with_suffix(".lock")
            self._process_lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._lock = ProcessLock(self._process_lock)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with self._exclusive():
            self._buckets = BucketCache(self._process_lock)
            try:
                if path is None:
                    self._writer = take_blank()
                else:
                    self._writer = open_writer(path, replicated=replicated)
                    migrate(self._writer)
            except (apsw.NotADBError, apsw.CorruptError) as error:
                raise damaged(path or ":memory:", error) from error
        if path is None:
            self._readers = SharedReader(self._writer, self._life, self._write_lock)
        else:
            self._readers = ReaderPool(path, self._life, read_only=False)
        self.read = self._readers.read
        self._opened = True

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One writer among all threads and processes.

        Processes queue on a file lock, which wakes the next one at once; SQLite's busy handler would sleep and poll.
        """
        with self._write_lock:
            # Asked before the file lock: a forked child shares its parent's, and would release it.
            self.check_usable()
            if self._read_only:
                raise StoreReadOnly("The store was opened with read_only=True: open it without to change it.")
            if self._lock is not None and not self._lock.acquire(LOCK_SECONDS):
                if self._opened:
                    raise SlowDown("Another process keeps the catalog to itself. Reads go on; try again later.")
                # A server's worker that gave up here would end the server, and with it the reads of the others.
                _log.warning(
                    "%s: another process keeps it locked, and is waited for; `fuser` names it", self._lock_path
                )
                self._lock.acquire(None)
            try:
                yield
            finally:
                self._buckets.end()
                if self._lock is not None:
                    self._lock.release()

    def is_stalled(self) -> bool:
        """Whether another process, stopped or hung, has kept everyone from writing for some seconds."""
        return self._lock is not None and self._lock.is_stalled(LOCK_SECONDS / 2)

    def check_usable(self) -> None:
        """Raise StoreClosed if this process cannot use these connections."""
        self._life.check()

    @property
    def free_bytes(self) -> float:
        """Bytes that the file system of the catalog has left."""
        if self._process_lock is None or not self._life.is_ours:
            return math.inf
        found = os.fstatvfs(self._process_lock)
        return found.f_bavail * found.f_frsize

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._read_only

    def check_disk(self, reserve: int) -> None:
        """Raise StorageFull or StorageUnavailable if the disk takes no more than what frees room, or nothing; SlowDown
        if another process lets nobody write."""
        if self._process_lock is None or not self._life.is_ours:
            return
        if self.is_stalled():
            raise SlowDown("Another process keeps the catalog to itself. Reads go on; try again later.")
        try:
            # statvfs does not tell of a file system that an error has made read-only (ext4's emergency_ro).
            os.utime(self._process_lock)
        except OSError as error:
            raise refusal_of(error) or error from error
        if self.spare_bytes < reserve:
            raise StorageFull

    @property
    def spare_bytes(self) -> float:
        """`free_bytes` without what the database file will grow by when the log is copied to it, and with some of the
        room that is free within that file: what is written there needs room on the disk for its log alone.

        On a disk with little room it also begins to keep the log short. Raises what a failed transaction does.
        """
        try:
            return self._find_spare_bytes()
        except (OSError, apsw.Error) as error:
            raise classify(error, self._writer) from error

    def _find_spare_bytes(self) -> float:
        free = self.free_bytes
        is_low = free < _LOW_SPACE
        if is_low is not self._has_low_space:
            with self._write_lock:
                set_low_space(self._writer, is_low)
            self._has_low_space = is_low
        if not is_low or self._path is None:
            return free
        with self._write_lock:
            page, pages, unused = map(self._writer.pragma, ("page_size", "page_count", "freelist_count"))
        growth: int = max(pages * page - self._path.stat().st_size, 0)
        reusable: int = min(unused * page, MAX_UNUSED_BYTES)
        return free - growth + reusable

    def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Apply `commands` in order in one durable transaction and return their results.

        Nothing repeats a command on its way here, so their request ids are not kept.
        An exception leaves the catalog as it was, for all of them. Raises StorageFull, StoreClosed.
        """
        return self.apply_taken(lambda: commands)

    def apply_taken(self, take: Callable[[], Sequence[Command]]) -> list[Result]:
        """As `apply`, with what `take` returns once it is this caller's turn, after all other writers."""
        with self.transaction() as tables:
            commands = take()
            index = tables.applied_index() + len(commands)
            results = [apply(tables, command) for command in commands]
            tables.set_applied_index(index)
        return results

    def apply_log(self, entries: Sequence[tuple[int, int, Command]], through: int) -> list[Result]:
        """Apply entries of a replicated log, (index, last index at which it is valid, command), in one transaction,
        and note that the log is applied up to `through`. Otherwise as `apply`.
        """
        with self.transaction() as tables:
            results = [apply_once(tables, command, index, valid_to) for index, valid_to, command in entries]
            tables.set_applied_index(through)
        return results

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTables]:
        """All that the block does to the tables, durably, or nothing of it. Raises StorageFull, StoreClosed."""
        with self._exclusive():
            connection = self._writer
            try:
                connection.execute("BEGIN IMMEDIATE")
                tables = SqliteTables(connection, self._buckets.begin)
                yield tables
                connection.execute("COMMIT")
                if self._mark is not None and tables.index is not None:
                    self._mark.write(tables.index)
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                refusal = classify(error, connection)
                if refusal is error:
                    raise
                raise refusal from error

    def identify(self) -> tuple[str, int]:
        """(the catalog's id, its applied index); the first to ask for the id gives it one."""
        with self.transaction() as tables:
            return tables.identify(), tables.applied_index()

    def keep_mark(self, mark: MarkFile) -> None:
        """From now on write after each commit how far the catalog is. It is closed with the catalog."""
        with self._exclusive():
            mark.write(Reader(self._writer).applied_index())
            self._mark = mark

    def make_durable(self) -> int:
        """Returns the applied index up to which a crash cannot undo anything; for a catalog with `replicated`."""
        with self._exclusive():
            index: int = self._writer.execute("SELECT applied_index FROM state").get
            if self._path is not None:
                # Commits since the last checkpoint are in the write-ahead log; it synced all others.
                # SQLite holds no POSIX lock on this file that closing it could drop.
                descriptor = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        return index

    @property
    def path(self) -> Path | None:
        """The database file; None for a catalog in memory."""
        return self._path

    def switch_to(self, path: Path) -> None:
        """Go on with the catalog in the file `path`, which a copy made. Queries under way end with the old one."""
        with self._exclusive():
            writer = open_writer(path, replicated=self._replicated)
            self._buckets.begin()
            self._writer.close()
            self._writer = writer
            self._path = path
            assert isinstance(self._readers, ReaderPool)
            self._readers.switch_to(path)

    @contextlib.contextmanager
    def hold(self) -> Iterator[apsw.Connection]:
        """The writer's connection, while no command is applied in any process. All of it may be replaced."""
        with self._exclusive():
            self._buckets.begin()
            try:
                if isinstance(self._readers, SharedReader):
                    with self._readers.read():
                        yield self._writer
                else:
                    yield self._writer
            finally:
                if self._mark is not None:
                    self._mark.write(Reader(self._writer).applied_index())

    def pin(self) -> apsw.Connection:
        """A connection whose queries see the catalog as it is now, until it is closed. Only for a catalog in a file.

        The write-ahead log grows meanwhile with every commit.
        """
        assert self._path is not None
        connection = open_reader(self._path)
        try:
            connection.execute("BEGIN; SELECT applied_index FROM state").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def find_bucket(self, name: str) -> Bucket | None:
        """A bucket, as the last commit left it."""
        self.check_usable()
        if self._read_only:  # it may not write where others share the counter, so it has none
            with self.read() as reader:
                return reader.find_bucket(name)
        count = self._buckets.count()
        found = self._buckets.find(name, count)
        if found is None:
            with self.read() as reader:
                found = reader.find_bucket(name)
            if found is not None:
                self._buckets.keep(found, count)
        return found

    def _empty_log(self) -> None:
        """Copy the log to the database file and make it empty, so that this file alone is all of the catalog. Another
        process that reads at this moment may keep it from that; the last one to close does it."""
        self._writer.set_busy_timeout(0)
        try:
            self._writer.pragma("wal_checkpoint(truncate)")
        except apsw.Error as error:  # nothing is lost: all of it is in the log
            _log.info("%s keeps its write-ahead log: %s", self._path, error)

    def close(self) -> None:
        """Close all connections. A reader that is leased now is closed when it comes back."""
        with self._write_lock:
            if not self._life.is_ours:
                return
            self._life.end()
            if self._path is not None and not self._read_only:
                self._empty_log()
            if isinstance(self._readers, ReaderPool):
                self._readers.close()
                self._writer.close()
            elif self._readers.borrowers:
                self._writer.close()
            else:
                give_blank(self._writer)
            self._buckets.close()
            if self._mark is not None:
                self._mark.close()
                self._mark = None
            if self._process_lock is not None:
                os.close(self._process_lock)
