"""Readers for the length of a `with` block: from a pool of connections to a file, or the one that a catalog in memory
has."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

from bleepstore.catalog.sqlite.connection import open_reader
from bleepstore.catalog.sqlite.life import Life
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.catalog.sqlite.refusals import classify

MAX_IDLE_READERS = 64


class PooledReader(Reader):
    """A reader of a pool, which it goes back to at the end of its `with` block."""

    def __init__(self, connection: apsw.Connection, pool: ReaderPool, path: Path | None) -> None:
        super().__init__(connection)
        self._pool = pool
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Asked before the connection is another's.
        refusal = classify(error, self.connection) if isinstance(error, apsw.Error) else None
        pool = self._pool
        if self.path is pool.path and len(pool.idle) < MAX_IDLE_READERS:
            pool.idle.append(self)
        else:
            self.connection.close()
        if refusal is not None and refusal is not error:
            raise refusal from error


class ReaderPool:
    """Readers of the file `path`. Those that nobody uses are kept in `idle`."""

    def __init__(self, path: Path, life: Life, *, read_only: bool) -> None:
        self.path: Path | None = path  # None: closed. Readers of another file are closed when they come back.
        self.idle: deque[PooledReader] = deque()
        self._life = life
        self._read_only = read_only

    def read(self) -> PooledReader:
        """A reader for the caller alone, in a `with` block. Raises StoreClosed."""
        life = self._life
        if not life.is_ours:
            life.check()
        while True:
            path = self.path
            try:
                reader = self.idle.pop()
            except IndexError:
                if path is None:
                    life.check()
                    raise
                try:
                    return PooledReader(open_reader(path, read_only=self._read_only), self, path)
                except apsw.CantOpenError:
                    if path is self.path:
                        raise
                    continue  # another file was switched to at this moment
            if reader.path is path:
                return reader
            reader.connection.close()

    def switch_to(self, path: Path) -> None:
        """Go on with another file. Readers that are in use end with the old one."""
        self.path = path

    def close(self) -> None:
        """Close all that nobody uses; the others are closed when they come back."""
        self.path = None
        while self.idle:
            self.idle.pop().connection.close()


class SharedReader(Reader):
    """The reader of a catalog in memory, which has one connection. Whoever has it keeps all others waiting: a query
    must not see the middle of a batch."""

    def __init__(self, connection: apsw.Connection, life: Life, lock: threading.RLock) -> None:
        super().__init__(connection)
        self._life = life
        self._lock = lock
        self.borrowers = 0

    def read(self) -> Self:
        """This reader, once it is the caller's turn. Raises StoreClosed."""
        life = self._life
        if not life.is_ours:
            life.check()
        self._lock.acquire()
        if not life.is_ours:  # closed while we waited: the connection may be another catalog's by now
            self._lock.release()
            life.check()
        self.borrowers += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        refusal = classify(error, self.connection) if isinstance(error, apsw.Error) else None
        self.borrowers -= 1
        self._lock.release()
        if refusal is not None and refusal is not error:
            raise refusal from error
