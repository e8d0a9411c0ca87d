"""The catalog in SQLite, put together of its parts."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw

from bleepstore.catalog.apply import apply, apply_once
from bleepstore.catalog.records import RecordedEvent
from bleepstore.catalog.sqlite.blank import give_blank, take_blank
from bleepstore.catalog.sqlite.connection import open_reader, open_writer
from bleepstore.catalog.sqlite.copying import HeldCatalog, PinnedData, make_file_durable
from bleepstore.catalog.sqlite.reader import Reader, ReaderPool, SharedReader
from bleepstore.catalog.sqlite.refusals import damaged
from bleepstore.catalog.sqlite.schema import check_version, migrate
from bleepstore.catalog.sqlite.shared import BucketCache, Life, MarkFile
from bleepstore.catalog.sqlite.tables import SqliteTables
from bleepstore.catalog.sqlite.writer import Checkpoints, DiskSpace, Writer, WriterLock
from bleepstore.commands import Command, Result
from bleepstore.errors import StoreError
from bleepstore.model import Bucket
from bleepstore.posix import check_posix

_log = logging.getLogger("bleepstore.catalog")


class Catalog:
    """See `bleepstore.catalog.port.CatalogPort`. Its parts do the work; this is where they meet.

    `path` is the database file, shared by any number of processes that each open it for themselves, or None for a
    private catalog in memory. All methods are thread-safe.

    `replicated`: a log that is durable elsewhere can apply again what a crash undoes, so a commit waits for no fsync.
    Its schema is that of the cluster's feature level, which opening does not change: see `schema`.
    `read_only`: the file must exist, and every change raises StoreReadOnly.
    `is_alone`: no other process has the file open, so that an older one may be brought up to date.
    """

    def __init__(
        self, path: Path | None, *, replicated: bool = False, read_only: bool = False, is_alone: bool = True
    ) -> None:
        if path is not None:
            check_posix(f"A store in the folder {path.parent}")
        self._path = path
        self._read_only = read_only
        self._replicated = replicated
        self._life = life = Life()
        self._lock = lock = WriterLock(None if path is None else path.with_suffix(".lock"), life, read_only=read_only)
        self._buckets: BucketCache
        self._writer: Writer
        if read_only:
            assert path is not None
            self._buckets = BucketCache(None, life, self._ask_bucket)
            self._writer = Writer(_open_to_read(path), lock, self._buckets)
        else:
            lock.wait()
            try:
                self._buckets = BucketCache(lock.file, life, self._ask_bucket)
                self._writer = Writer(_open(path, replicated, is_alone), lock, self._buckets)
            finally:
                lock.__exit__()
        self._readers: ReaderPool | SharedReader
        if path is None:
            self._readers = SharedReader(self._writer.connection, life, lock.threads)
        else:
            self._readers = ReaderPool(path, life, read_only=read_only)
        self._checkpoints = Checkpoints(lock)
        if path is not None and not read_only:
            self._checkpoints.watch(self._writer.connection)
        self._disk = DiskSpace(lock, life, self._writer, self._checkpoints)
        # What the port asks for, where a part does all of it: a call less for each.
        self.read: Callable[[], contextlib.AbstractContextManager[Reader]] = self._readers.read
        # One that is only read may not write where others share the counter of the cache, so it has none.
        self.find_bucket: Callable[[str], Bucket | None] = self._ask_bucket if read_only else self._buckets.find
        self.watches_all = False
        self.is_stalled = lock.is_stalled
        self.check_usable = life.check
        self.spare_bytes = self._disk.spare_bytes
        self.check_disk = self._disk.check

    def _ask_bucket(self, name: str) -> Bucket | None:
        with self.read() as reader:
            return reader.find_bucket(name)

    @property
    def path(self) -> Path | None:
        """The database file; None for a catalog in memory."""
        return self._path

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._read_only

    def transaction(self) -> contextlib.AbstractContextManager[SqliteTables]:
        """A `with` block over the tables: all that it does, durably, or nothing of it. Raises StorageFull,
        StoreClosed."""
        return self._writer

    # -- commands

    def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Apply `commands` in order in one durable transaction and return their results.

        Nothing repeats a command on its way here, so their request ids are not kept.
        An exception leaves the catalog as it was, for all of them. Raises StorageFull, StoreClosed.
        """
        return self.apply_next(lambda: commands)

    def apply_next(self, drain: Callable[[], Sequence[Command]]) -> list[Result]:
        """As `apply`, with what `drain` returns once it is this caller's turn, after all other writers."""
        with self._writer as tables:
            commands = drain()
            results = [apply(tables, command) for command in commands]
            tables.advance(len(results))
        return results

    def apply_log(self, entries: Sequence[tuple[int, int, Command]], through: int) -> list[Result]:
        """Apply entries of a replicated log, (index, last index at which it is valid, command), in one transaction,
        and note that the log is applied up to `through`. Otherwise as `apply`.
        """
        with self._writer as tables:
            results = [apply_once(tables, command, index, valid_to) for index, valid_to, command in entries]
            tables.set_applied_index(through)
        return results

    def make_durable(self) -> int:
        """Returns the applied index up to which a crash cannot undo anything; for a catalog with `replicated`."""
        with self._lock:
            index = Reader(self._writer.connection).applied_index()
            if self._path is not None:
                # Commits since the last checkpoint are in the write-ahead log; it synced all others.
                # SQLite holds no POSIX lock on this file that closing it could drop.
                make_file_durable(Path(f"{self._path}-wal"))
        return index

    def watch(self, listener: Callable[[Sequence[RecordedEvent]], None] | None) -> None:
        """See the port."""
        self._writer.listener = listener

    def watch_replications(self, listener: Callable[[], None]) -> None:
        """See the port."""
        self._writer.replication_listener = listener

    def time_syncs(self, listener: Callable[[float], object]) -> None:
        """See the port."""
        before = self._writer.on_sync

        def tell_both(seconds: float) -> None:
            assert before is not None
            before(seconds)
            listener(seconds)

        self._writer.on_sync = listener if before is None else tell_both

    def watch_all(self, watches: bool) -> None:
        """See the port."""
        with self._lock:
            self.watches_all = watches
            self._writer.watch_all(watches)

    # -- identity, and how far it is

    def identify(self) -> tuple[str, int]:
        """(the catalog's id, its applied index); the first to ask for the id gives it one."""
        with self._writer as tables:
            return tables.identify(), tables.applied_index()

    def keep_mark(self, mark: MarkFile) -> None:
        """From now on write after each commit how far the catalog is. It is closed with the catalog."""
        with self._lock:
            mark.write(Reader(self._writer.connection).applied_index())
            self._writer.mark = mark

    # -- files

    def switch_to(self, path: Path) -> None:
        """Go on with the catalog in the file `path`, which a copy made. Queries under way end with the old one."""
        assert isinstance(self._readers, ReaderPool)
        with self._lock:
            connection = open_writer(path, replicated=self._replicated)
            self._buckets.begin()
            try:
                self._writer.connection.close()
                self._writer.use(connection)
                self._checkpoints.watch(connection)
                self._path = path
                self._readers.switch_to(path)
            finally:
                self._buckets.end()

    @contextlib.contextmanager
    def hold(self) -> Iterator[HeldCatalog]:
        """The catalog while no command is applied in any process, for copies of it, and from others to it."""
        with self._lock:
            self._buckets.begin()
            try:
                if isinstance(self._readers, SharedReader):
                    with self._readers.read():
                        yield HeldCatalog(self._writer.connection)
                else:
                    yield HeldCatalog(self._writer.connection)
            finally:
                if self._writer.mark is not None:
                    self._writer.mark.write(Reader(self._writer.connection).applied_index())
                self._buckets.end()

    def pin(self) -> PinnedData:
        """The inline bytes of all objects as they are now. Only for a catalog in a file."""
        assert self._path is not None
        return PinnedData(self._path)

    # -- life

    def _empty_log(self) -> None:
        """Copy the log to the database file and make it empty, so that this file alone is all of the catalog. Another
        process that reads at this moment may keep it from that; the last one to close does it."""
        connection = self._writer.connection
        connection.set_busy_timeout(0)
        try:
            connection.pragma("wal_checkpoint(truncate)")
        except apsw.Error as error:  # nothing is lost: all of it is in the log
            _log.info("%s keeps its write-ahead log: %s", self._path, error)

    def close(self) -> None:
        """Close all connections. A reader that is leased now is closed when it comes back."""
        if self._life.is_ours:
            self._checkpoints.close()
        with self._lock.threads:
            if not self._life.is_ours:
                return
            self._life.end()
            connection = self._writer.connection
            if isinstance(self._readers, ReaderPool):
                self._readers.close()
                with self._lock.held_to_close():  # of two that close at once each would leave the log to the other
                    if not self._read_only:
                        self._empty_log()
                    connection.close()
            elif self._readers.borrowers:
                connection.close()
            else:
                give_blank(connection)
            self._buckets.close()
            if self._writer.mark is not None:
                self._writer.mark.close()
                self._writer.mark = None
            self._lock.close()


def _open(path: Path | None, replicated: bool, is_alone: bool) -> apsw.Connection:
    """The connection that writes. Raises CatalogDamaged, CatalogTooNew, CatalogTooOld."""
    if path is None:
        return take_blank()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        connection = open_writer(path, replicated=replicated)
        migrate(connection, is_alone=is_alone, replicated=replicated)
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise damaged(path, error) from error
    return connection


def _open_to_read(path: Path) -> apsw.Connection:
    """Raises CatalogDamaged, CatalogTooNew, CatalogTooOld, StoreError."""
    try:
        connection = open_reader(path, read_only=True)
        check_version(connection)
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise damaged(path, error) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        raise StoreError(
            f"{path} cannot be read where nothing can be written ({error}). If {path}-wal was left by a crash, "
            "open it once where it can be written, without read_only, or open a copy of the folder"
        ) from error
    except apsw.IOError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    return connection
