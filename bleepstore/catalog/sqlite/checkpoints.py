"""Copies of the write-ahead log to the database file, beside the commits.

SQLite makes one within the commit that finds the log long: tens of milliseconds for 32 MiB, in which whoever wants to
commit waits. Here a thread copies what there is by then, while commits go on. What they add meanwhile is little; it is
copied while they wait, so that the next commit can begin the log anew.
"""

from __future__ import annotations

import logging
import threading

import apsw

from bleepstore.catalog.sqlite.connection import CHECKPOINT_PAGES, LOW_SPACE_PAGES, PAGE_SIZE
from bleepstore.catalog.sqlite.writer import WriterLock
from bleepstore.errors import BleepStoreError

_log = logging.getLogger("bleepstore.catalog")


class Checkpoints:
    """Of the connections that write, which it is to `watch`. `pages` are so many of the log as make it long."""

    def __init__(self, lock: WriterLock, pages: int = CHECKPOINT_PAGES) -> None:
        self._lock = lock
        self._pages = self._next = pages
        self._thread: threading.Thread | None = None
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
        if pages < self._pages:
            self._next = self._pages
        elif pages >= self._next and self._thread is None and not self._ended:
            self._thread = threading.Thread(
                target=self._run, args=(connection.filename,), name="bleepstore-checkpoint", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # none is to be had now, and the commit stands: the next one asks again
                self._thread = None
        return apsw.SQLITE_OK

    def _run(self, path: str) -> None:
        try:
            connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.pragma("schema_version")  # the first read, which opens the log
                connection.wal_checkpoint()
                with self._lock:
                    size, _copied = connection.wal_checkpoint()
                # Readers of its pages may keep the log from beginning anew.
                self._next = size + self._pages // 8
            finally:
                connection.close()
        except (apsw.Error, BleepStoreError) as error:  # nothing is lost: all of it is in the log
            _log.info("the write-ahead log of %s stays long: %s", path, error)
        finally:
            self._thread = None

    def close(self) -> None:
        """Begin none any more, and wait for one that is under way. Call it without the lock."""
        with self._lock.threads:  # a commit may be about to begin one
            self._ended = True
            thread = self._thread
        if thread is not None:
            thread.join()
