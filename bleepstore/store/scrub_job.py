"""Scrubs of a folder again and again, by one of the processes that have it open."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from bleepstore.errors import StoreClosed, StoreError
from bleepstore.store.scrubbing import ScrubOperations

_log = logging.getLogger("bleepstore.scrub")

#: How often a process that does not scrub looks whether the one that does has ended.
_RETRY_SECONDS = 60.0


@attrs.define(eq=False, kw_only=True)
class ScrubJob:
    """Scrubs a store whenever `interval` has passed since the last scrub ended, at `rate` bytes a second, in a thread
    of its own with the lowest priority. Of the processes that run the job on one folder, one does the work: the one
    that holds `scrub.lock`, in which the end of the last scrub is noted. A scrub that was cut off begins anew.

    What is damaged is logged, not moved. `clock` gives milliseconds, `wait` waits so many seconds and says whether the
    job was stopped."""

    store: ScrubOperations
    interval: dt.timedelta
    rate: float | None = None
    clock: Callable[[], int] = attrs.field(factory=lambda: lambda: time.time_ns() // 1_000_000)
    _stopped: threading.Event = attrs.field(factory=threading.Event, init=False)
    wait: Callable[[float], bool] = attrs.field(
        default=attrs.Factory(lambda self: self._stopped.wait, takes_self=True), repr=False
    )
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Begin, in a thread. Raises StoreError for a store that is not in a folder."""
        if self.store.path is None:
            raise StoreError("Only a store in a folder is scrubbed.")
        self._thread = threading.Thread(target=self._run, args=(self.store.path,), name="bleepstore-scrub", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it soon."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, root: Path) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        try:
            self.run(root)
        except StoreClosed:
            return
        except Exception:  # noqa: BLE001  # the server goes on without the job
            _log.exception("the scrub job ended")

    def run(self, root: Path) -> None:
        """Scrub for ever, or until it is stopped."""
        with contextlib.closing(os.fdopen(os.open(root / "scrub.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")) as lock:
            while not self._stopped.is_set():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self.wait(_RETRY_SECONDS)
            while not self._stopped.is_set():
                lock.seek(0)
                left_ms = _ended_ms(lock.read()) + self.interval / dt.timedelta(milliseconds=1) - self.clock()
                if left_ms > 0:
                    self.wait(min(left_ms / 1000, _RETRY_SECONDS))
                elif self._scrub():
                    lock.seek(0)
                    lock.truncate()
                    json.dump({"ended_ms": self.clock()}, lock)
                    lock.flush()

    def _scrub(self) -> bool:
        """Whether it came to its end."""
        found = 0
        for damage in self.store.scrub(rate=self.rate, sleep=self.wait):
            _log.error("damaged: %s", damage)
            found += 1
            if self._stopped.is_set():
                return False
        if self._stopped.is_set():
            return False
        level = logging.ERROR if found else logging.INFO
        _log.log(level, "the scrub of %s ended: %d damaged", self.store.path, found)
        return True


def _ended_ms(text: str) -> int:
    """When the last scrub ended; 0 if that is not known."""
    try:
        return int(json.loads(text)["ended_ms"])
    except (ValueError, KeyError, TypeError):
        return 0
