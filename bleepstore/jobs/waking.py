"""How the processes that write wake the one that delivers, at once and not by polling."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from bleepstore.threads import Background

_log = logging.getLogger("bleepstore.jobs")
EVENTS, REPLICATION = "events.wake", "replication.wake"


class Waker:
    """A named pipe in the folder of a store: who reads it hears that something was written. Where the file system has
    no pipes nothing is heard, and what is due is found at the next look. `folder` is None where no other process has
    the store."""

    def __init__(self, folder: Path | None, name: str = EVENTS) -> None:
        self._path = None if folder is None else folder / name
        self._reading: int | None = None
        self._writing: tuple[int, int] | None = None  # (process, descriptor)
        self._is_closed = False
        self._lock = threading.Lock()

    def listen(self, wake: Callable[[], None]) -> None:
        """From now on, in a thread, call `wake` whenever another process notifies."""
        if self._path is None or self._reading is not None:
            return
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            # For both: so that it can be opened without a writer, and does not end with the last one.
            self._reading = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            _log.info("%s: events of other processes are looked for, not heard: %s", self._path, error)
            return
        thread = Background("bleepstore-wake")
        try:
            thread.start(functools.partial(self._listen, self._reading, wake))
        finally:
            if not thread.is_started:
                os.close(self._reading)
                self._reading = None

    def _listen(self, reading: int, wake: Callable[[], None]) -> None:
        while True:
            os.read(reading, 4096)
            if self._is_closed:
                os.close(reading)
                return
            wake()

    def notify(self) -> None:
        """Wake the process that listens, if there is one. Never waits, never raises."""
        if self._path is None or self._is_closed:
            return
        try:
            with self._lock:
                if self._writing is None or self._writing[0] != os.getpid():
                    self._writing = os.getpid(), os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(self._writing[1], b".")
        except BlockingIOError:
            pass  # it has enough to read
        except OSError:  # nobody listens, or no longer
            self._forget()

    def _forget(self) -> None:
        with self._lock:
            writing, self._writing = self._writing, None
            if writing is not None and writing[0] == os.getpid():
                os.close(writing[1])

    def close(self) -> None:
        self._is_closed = True
        self._forget()
        reading, self._reading = self._reading, None
        if reading is not None:
            os.write(reading, b".")
