"""The lock that lets one process write the catalog at a time, waited for no longer than a bounded time.

flock(2) wakes the next process at once, in order, but knows no time limit. The lock is held for about a millisecond, so
it is asked for again and again at first, which costs less than a thread. Then a thread of its own waits in flock, and
those that want the lock wait for that thread as long as they like. A holder that was stopped, or hangs, keeps that one
thread, and no other.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time

#: How long the lock is asked for again and again, and how often. What is longer is no usual commit.
_ASKING_SECONDS = 0.02
_PAUSE_SECONDS = 0.0001


class ProcessLock:
    """Over an open `file`, which stays open until nobody waits. One thread at a time may acquire and release."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._state = threading.Condition()
        self._waits = False  # the thread is in flock
        self._wanted = False
        self._granted = False
        self.waiting_since: float | None = None

    def acquire(self, seconds: float | None) -> bool:
        """Whether this process has the lock now. None: wait for ever."""
        with self._state:
            if not self._waits:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                if self._ask():
                    return True
                self._waits, self.waiting_since = True, time.monotonic()
                threading.Thread(target=self._wait, name="bleepstore-lock", daemon=True).start()
            self._wanted = True
            try:
                self._state.wait_for(lambda: self._granted, seconds)
                granted, self._granted = self._granted, False
                return granted
            finally:
                self._wanted = False

    def _ask(self) -> bool:
        end = None
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                end = end or now + _ASKING_SECONDS
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

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def is_stalled(self, seconds: float) -> bool:
        """Whether another process has kept the lock for longer."""
        since = self.waiting_since
        return since is not None and time.monotonic() - since > seconds
