"""One writer of a catalog among all threads and processes.

Processes queue on a file lock, which wakes the next one at once; SQLite's busy handler would sleep and poll.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from types import TracebackType

from bleepstore.catalog.sqlite.life import Life
from bleepstore.catalog.sqlite.process_lock import ProcessLock
from bleepstore.errors import SlowDown, StoreReadOnly

_log = logging.getLogger("bleepstore.catalog")

#: How long a write waits for other processes. Half of it later, those behind it are refused at once.
LOCK_SECONDS = 5.0


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
            if os.getpid() != self._life.pid:
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
        return self._processes is not None and self._processes.is_stalled(LOCK_SECONDS / 2)

    def close(self) -> None:
        if self.file is not None:
            os.close(self.file)
