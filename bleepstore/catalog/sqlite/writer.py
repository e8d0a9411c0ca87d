"""One writer of a catalog among all threads and processes: its lock, its transactions, the copying of the log beside
them, and what the disk has left for more.

Threads queue on a lock of their own. Processes queue on flock(2), which wakes the next one at once, in order, but knows
no time limit; SQLite's busy handler would sleep and poll. The lock is held for about a millisecond, so it is asked for
again and again at first, which costs less than a thread. Then a thread of its own waits in flock, and those that want
the lock wait for that thread as long as they like. A holder that was stopped, or hangs, keeps that one thread, and no
other.

SQLite copies the write-ahead log to the database file within the commit that finds the log long: tens of milliseconds
for 32 MiB, in which whoever wants to commit waits. Here a thread copies what there is by then (`Checkpoints`), while
commits go on. What they add meanwhile is little; it is copied while they wait, so that the next commit can begin the
log anew. A shorter log is copied once nothing was added for a while: readers find each page of a log by a search, and
copy it, where they have the pages of the file mapped.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import apsw

from bleepstore.catalog.records import RecordedEvent
from bleepstore.catalog.sqlite.connection import CHECKPOINT_PAGES, LOW_SPACE_PAGES, PAGE_SIZE, commit_nothing
from bleepstore.catalog.sqlite.refusals import classify
from bleepstore.catalog.sqlite.shared import BucketCache, Life, MarkFile
from bleepstore.catalog.sqlite.tables import SqliteTables
from bleepstore.errors import BleepStoreError, SlowDown, StorageFull, StoreReadOnly, refusal_of
from bleepstore.posix import fcntl
from bleepstore.threads import Background

_log = logging.getLogger("bleepstore.catalog")

#: How long a write waits for other processes. Half of it later, those behind it are refused at once.
LOCK_SECONDS = 5.0
#: How long the lock is asked for again and again, and how often. What is longer is no usual commit.
_ASKING_SECONDS = 0.02
_PAUSE_SECONDS = 0.0001
#: How long one that closes waits for others that do so.
CLOSING_SECONDS = 1.0
#: How often SQLite's own lock is asked for, and how long an answer counts.
_DATABASE_PAUSE_SECONDS = 0.01
_STILL_SECONDS = 1.0
#: How many free bytes within the database file count as free. What is written there goes through the log, which needs
#: as many on the disk.
MAX_UNUSED_BYTES = 2 * 1024 * 1024
#: A log of so many pages is copied when no commit has come for so long.
IDLE_PAGES = 256
IDLE_SECONDS = 1.0
#: How often commits wait for reads that keep the log from being copied, and how long: SQLite tells nobody when a read
#: of another process ends, so one can only look again.
_COPY_ATTEMPTS = 5
_COPY_PAUSE_SECONDS = 0.001
#: Free bytes from which on the longest log, and what its copying adds to the database file, may fill the disk.
_LOW_SPACE = 3 * CHECKPOINT_PAGES * PAGE_SIZE


class ProcessLock:
    """Over an open `file`, which stays open until nobody waits. One thread at a time may acquire and release."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._state = threading.Condition()
        self._waits = False  # the thread is in flock
        self._wanted = False
        self._granted = False
        self.waiting_since: float | None = None
        self.release = functools.partial(fcntl.flock, file, fcntl.LOCK_UN)

    def acquire(self, seconds: float | None) -> bool:
        """Whether this process has the lock now. None: wait for ever."""
        with self._state:
            if not self._waits:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                if self._ask(_ASKING_SECONDS):
                    return True
                thread = Background("bleepstore-lock")
                self._waits, self.waiting_since = True, time.monotonic()
                try:
                    thread.start(self._wait)
                except RuntimeError:  # there is none to be had
                    return self._ask(math.inf if seconds is None else seconds)
                finally:
                    if not thread.is_started:
                        self._waits, self.waiting_since = False, None
            self._wanted = True
            try:
                self._state.wait_for(lambda: self._granted, seconds)
                granted, self._granted = self._granted, False
                return granted
            finally:
                self._wanted = False

    def acquire_to_close(self) -> bool:
        """The same for a process that is about to close the file: it leaves nobody waiting."""
        with self._state:
            return not self._waits and self._ask(CLOSING_SECONDS)

    def _ask(self, seconds: float) -> bool:
        end = None
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                end = end or now + seconds
                if now >= end:
                    return False
                time.sleep(_PAUSE_SECONDS)
            else:
                return True

    def _wait(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with self._state:
            self._waits, self.waiting_since = False, None
            if self._wanted:
                self._granted = True
                self._state.notify_all()
            else:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def is_stalled(self, seconds: float) -> bool:
        """Whether another process has kept the lock for longer."""
        since = self.waiting_since
        return since is not None and time.monotonic() - since > seconds


class DatabaseLock:
    """SQLite's own lock. Whoever has the lock of the processes gets it at once, unless another program, such as the
    SQLite shell, is in a transaction."""

    def __init__(self) -> None:
        self._since = self._asked = -math.inf

    def ask_again(self, times: int) -> bool:
        """SQLite's busy handler, called for the first time with 0."""
        now = time.monotonic()
        if not times:
            self._since = now
        self._asked = now
        if now - self._since >= LOCK_SECONDS:
            return False
        time.sleep(_DATABASE_PAUSE_SECONDS)
        return True

    def is_stalled(self, seconds: float) -> bool:
        """Whether another program has kept the lock for longer, as far as somebody just asked."""
        return self._asked - self._since > seconds and time.monotonic() - self._asked < _STILL_SECONDS

    def granted(self) -> None:
        """Whoever asked has it."""
        self._asked = -math.inf


class WriterLock:
    """Is held in a `with` block, which a thread may enter again.

    `file` is the descriptor of the lock's file, for what else the processes share; None if the catalog is in memory, or
    is only read.
    """

    def __init__(self, path: Path | None, life: Life, *, read_only: bool) -> None:
        self._path = path
        self._life = life
        self._read_only = read_only
        self.threads = threading.RLock()
        self.database = DatabaseLock()
        self.file: int | None = None
        self._processes: ProcessLock | None = None
        if path is not None and not read_only:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._processes = ProcessLock(self.file)

    def __enter__(self) -> None:
        """Raises StoreClosed, StoreReadOnly, SlowDown."""
        self.threads.acquire()
        try:
            # Asked before the file lock: a forked child shares its parent's, and would release it.
            if not self._life.is_ours:
                self._life.check()
            if self._read_only:
                raise StoreReadOnly("The store was opened with read_only=True: open it without to change it.")
            if self._processes is not None and not self._processes.acquire(LOCK_SECONDS):
                raise SlowDown("Another process keeps the catalog to itself. Reads go on; try again later.")
        except BaseException:
            self.threads.release()
            raise

    def wait(self) -> None:
        """Hold it however long that takes, as one that opens the catalog: a server's worker that gave up would end the
        server, and with it the reads of the others."""
        self.threads.acquire()
        try:
            if self._processes is not None and not self._processes.acquire(LOCK_SECONDS):
                _log.warning("%s: another process keeps it locked, and is waited for; `fuser` names it", self._path)
                self._processes.acquire(None)
        except BaseException:
            self.threads.release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        tb: TracebackType | None = None,
    ) -> None:
        if self._processes is not None:
            self._processes.release()
        self.threads.release()

    def is_stalled(self) -> bool:
        """Whether another process, stopped or hung, has kept everyone from writing for some seconds."""
        seconds = LOCK_SECONDS / 2
        return self._processes is not None and (
            self._processes.is_stalled(seconds) or self.database.is_stalled(seconds)
        )

    @contextlib.contextmanager
    def held_to_close(self) -> Iterator[None]:
        """A block in which no other process closes or writes, unless one keeps the lock for long."""
        granted = self._processes is not None and self._processes.acquire_to_close()
        try:
            yield
        finally:
            if granted and self._processes is not None:
                self._processes.release()

    def close(self) -> None:
        if self.file is not None:
            os.close(self.file)


class Writer:
    """A transaction is a `with` block: all that it does to the tables, durably, or nothing of it.

    `mark` is told after each commit how far the catalog is, `listener` which events it recorded, `on_sync` how many
    seconds the disk took.
    """

    def __init__(self, connection: apsw.Connection, lock: WriterLock, buckets: BucketCache) -> None:
        self._lock = lock
        self._buckets = buckets
        self.mark: MarkFile | None = None
        self.listener: Callable[[Sequence[RecordedEvent]], None] | None = None
        self.replication_listener: Callable[[], None] | None = None
        self.on_sync: Callable[[float], object] | None = None
        self.watches_all = False
        self.use(connection)

    def use(self, connection: apsw.Connection) -> None:
        """Go on with another connection."""
        self.connection = connection
        connection.set_busy_handler(self._lock.database.ask_again)
        self._tables = SqliteTables(connection, self._buckets.begin)
        self._tables.watches_all = self.watches_all

    def watch_all(self, watches: bool) -> None:
        """Call it while no transaction is under way."""
        self.watches_all = self._tables.watches_all = watches
        self._tables.forget()

    def __enter__(self) -> SqliteTables:
        """Raises StoreClosed, StoreReadOnly, SlowDown."""
        self._lock.__enter__()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._lock.database.granted()
        except BaseException as error:
            self._end(error)
            raise
        tables, count = self._tables, self._buckets.counter[0]
        tables.has_advanced = False
        if count != tables.bucket_count or count % 2:
            tables.forget_buckets(count)
        return tables

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Raises StorageFull, StorageUnavailable, CatalogDamaged."""
        if error is not None:
            self._end(error)
            return
        index = None
        try:
            if self.mark is not None and self._tables.has_advanced:
                # A statement of its own: RETURNING, which collects its rows first, takes twice as long.
                index = self.connection.execute("SELECT applied_index FROM state").get
            begun = time.monotonic()
            self.connection.execute("COMMIT")
            if self.on_sync is not None:
                self.on_sync(time.monotonic() - begun)
            if self.mark is not None and index is not None:
                self.mark.write(index)
            if self._tables.events or self._tables.has_queued:
                self._tell()
        except BaseException as failed:
            self._end(failed)
            raise
        try:
            self._buckets.end()
        finally:
            self._lock.__exit__()

    def _tell(self) -> None:
        tables = self._tables
        events, tables.events, has_queued, tables.has_queued = tables.events, [], tables.has_queued, False
        if events and self.listener is not None:
            self.listener(events)
        if has_queued and self.replication_listener is not None:
            self.replication_listener()

    def _end(self, error: BaseException) -> None:
        """Undo what was done, and raise what `error` means if it is not yet said."""
        self._tables.forget()
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            refusal = classify(error, self.connection)
        finally:
            self._buckets.end()
            self._lock.__exit__()
        if refusal is not error:
            raise refusal from error


def _copy_rest(connection: apsw.Connection) -> int:
    """Copy what is left of the log, which nobody adds to; returns its pages. Reads that began before the last commit
    keep the rest where it is, and most of them end within some microseconds."""
    for _ in range(_COPY_ATTEMPTS):
        pages, copied = connection.wal_checkpoint()
        if copied == pages:
            break
        time.sleep(_COPY_PAUSE_SECONDS)
    return pages


class Checkpoints:
    """Of the connections that write, which it is to `watch`. `pages` are so many of the log as make it long. One of
    `idle_pages` is copied, too, once no commit has come for `idle_seconds`."""

    def __init__(
        self,
        lock: WriterLock,
        pages: int = CHECKPOINT_PAGES,
        idle_pages: int = IDLE_PAGES,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._lock = lock
        self._pages = self._next = pages
        self._idle_pages = idle_pages
        self._idle_seconds = idle_seconds
        self._committed = 0.0
        self._thread: Background | None = None
        #: Set: there is nothing to wait for any more.
        self._hurry = threading.Event()
        self._ended = False

    def watch(self, connection: apsw.Connection) -> None:
        connection.set_wal_hook(self._note)
        connection.pragma("journal_size_limit", self._pages * PAGE_SIZE)

    def keep_short(self, connection: apsw.Connection) -> None:
        """For a disk that is nearly full: the log is copied early, by the commits themselves. It takes space until
        then, and the database file grows by what it holds."""
        connection.pragma("wal_autocheckpoint", LOW_SPACE_PAGES)  # instead of what `watch` set
        connection.pragma("journal_size_limit", LOW_SPACE_PAGES * PAGE_SIZE)

    def _note(self, connection: apsw.Connection, _name: str, pages: int) -> int:
        """Called after a commit, in its thread, while the lock is held."""
        self._committed = time.monotonic()
        if pages < self._pages:
            self._next = self._pages
        elif pages >= self._next:
            self._hurry.set()
        if pages >= self._idle_pages and not (self._thread and self._thread.is_started) and not self._ended:
            self._thread = Background("bleepstore-checkpoint")
            with contextlib.suppress(RuntimeError):  # none is to be had now: the commit stands, and the next asks again
                self._thread.start(functools.partial(self._run, connection.filename))
        return apsw.SQLITE_OK

    def _run(self, path: str) -> None:
        while True:
            self._wait()
            try:
                if not self._ended:
                    self._copy(path)
            except (apsw.Error, BleepStoreError) as error:  # nothing is lost: all of it is in the log
                _log.info("the write-ahead log of %s stays long: %s", path, error)
                self._hurry.clear()
            with self._lock.threads:  # a commit may be about to ask for another
                if self._ended or not self._hurry.is_set():
                    self._thread = None
                    return

    def _wait(self) -> None:
        """Until the log is long, or nobody has added to it for a while."""
        while not self._hurry.wait(self._committed + self._idle_seconds - time.monotonic()):
            if self._committed + self._idle_seconds <= time.monotonic():
                return

    def _copy(self, path: str) -> None:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.pragma("schema_version")  # the first read, which opens the log
            connection.wal_checkpoint()
            with self._lock:
                commit_nothing(connection)  # for readers, which map what the file has grown by
                # Long readers of its pages may keep the log from beginning anew.
                self._next = _copy_rest(connection) + self._pages // 8
                self._hurry.clear()  # what commits ask for from now on is another copy
        finally:
            connection.close()

    def close(self) -> None:
        """Begin none any more, and wait for one that is under way. Call it without the lock."""
        with self._lock.threads:  # a commit may be about to begin one
            self._ended = True
            self._hurry.set()
            thread = self._thread
        if thread is not None:
            thread.end()


class DiskSpace:
    """Asks the file system of the lock's file. A catalog in memory, or one that is closed, has no limit."""

    def __init__(self, lock: WriterLock, life: Life, writer: Writer, checkpoints: Checkpoints) -> None:
        self._lock = lock
        self._life = life
        self._writer = writer
        self._checkpoints = checkpoints
        self._is_low = False

    def spare_bytes(self) -> float:
        """See `bleepstore.catalog.port.CatalogPort.spare_bytes`.

        Free bytes of the file system, without what the database file will grow by when the log is copied to it, and
        with some of those that are free within that file: what is written there adds to the log alone.

        On a disk that is nearly full it also begins to keep the log short.
        """
        file = self._lock.file
        if file is None or not self._life.is_ours:
            return math.inf
        try:
            found = os.fstatvfs(file)
            free = found.f_bavail * found.f_frsize
            if free < _LOW_SPACE or self._is_low:
                return self._spare_of_little(free)
        except (OSError, apsw.Error) as error:
            raise classify(error, self._writer.connection) from error
        return free

    def _spare_of_little(self, free: int) -> int:
        connection = self._writer.connection
        with self._lock.threads:
            is_low = free < _LOW_SPACE
            if is_low is not self._is_low:
                change = self._checkpoints.keep_short if is_low else self._checkpoints.watch
                change(connection)
                self._is_low = is_low
            if not is_low:
                return free
            page, pages, unused = map(connection.pragma, ("page_size", "page_count", "freelist_count"))
        growth: int = max(pages * page - Path(connection.filename).stat().st_size, 0)
        reusable: int = min(unused * page, MAX_UNUSED_BYTES)
        return free - growth + reusable

    def check(self, reserve: int) -> None:
        """See `bleepstore.catalog.port.CatalogPort.check_disk`."""
        file = self._lock.file
        if file is None or not self._life.is_ours:
            return
        if self._lock.is_stalled():
            raise SlowDown("Another process keeps the catalog to itself. Reads go on; try again later.")
        try:
            # statvfs does not tell of a file system that an error has made read-only (ext4's emergency_ro).
            os.utime(file)
        except OSError as error:
            raise refusal_of(error) or error from error
        if self.spare_bytes() < reserve:
            raise StorageFull
