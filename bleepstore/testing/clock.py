"""Time on purpose: a clock for `bleepstore.open(clock=...)` that a test moves.

clock = Clock()
with bleepstore.open(clock=clock) as store:
    url = client.generate_presigned_url(..., ExpiresIn=3600)
    clock.advance(hours=2)          # the URL has expired, uploads age, locks and lifecycles run out
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Iterator


def _system_ms() -> int:
    return time.time_ns() // 1_000_000


class Clock:
    """Milliseconds since the epoch, when called: the system's time plus what it was moved by, or a time it stands at.

    Only the store's time moves. Clients sign by the system's clock, so a URL that is signed after a move forward may
    be expired at birth: move back first (`shifted` does), or move both with a tool that moves the system's time for
    Python, such as time-machine or freezegun; a store without a clock of its own follows those. Requests that are
    signed in their headers are served in any case, by `in_process` and by `live_server`.

    What a store records never goes back in time: after a move back, it goes on from the latest time it knew.
    """

    def __init__(self, at: dt.datetime | None = None) -> None:
        """Runs with the system's clock, or stands at `at`, which must have a time zone."""
        self._lock = threading.Lock()
        self._offset_ms = 0
        self._frozen_ms: int | None = None
        if at is not None:
            self.freeze(at)

    def __call__(self) -> int:
        with self._lock:
            return (_system_ms() if self._frozen_ms is None else self._frozen_ms) + self._offset_ms

    @property
    def now(self) -> dt.datetime:
        """The clock's time in UTC."""
        return dt.datetime.fromtimestamp(self() / 1000, dt.UTC)

    def advance(self, by: dt.timedelta | None = None, **parts: float) -> None:
        """Move forward, by a timedelta or its parts (`days`, `hours`, `minutes`, `seconds`); back if negative."""
        step = (by or dt.timedelta()) + dt.timedelta(**parts)
        with self._lock:
            self._offset_ms += int(step / dt.timedelta(milliseconds=1))

    def tick(self) -> None:
        """Go on by a millisecond where it stands; see `random_seed` of `bleepstore.open`."""
        with self._lock:
            if self._frozen_ms is not None:
                self._offset_ms += 1

    def freeze(self, at: dt.datetime | None = None) -> None:
        """Stand still, at `at` or at the present time, until `run`."""
        if at is not None and at.tzinfo is None:
            raise ValueError("a time for the clock needs a time zone, such as datetime.UTC")
        present = self() if at is None else int(at.timestamp() * 1000)
        with self._lock:
            self._frozen_ms, self._offset_ms = present, 0

    def run(self) -> None:
        """Go on from where the clock stands."""
        with self._lock:
            if self._frozen_ms is not None:
                self._offset_ms += self._frozen_ms - _system_ms()
                self._frozen_ms = None

    def reset(self) -> None:
        """Run with the system's clock again."""
        with self._lock:
            self._offset_ms, self._frozen_ms = 0, None

    @contextlib.contextmanager
    def shifted(self, by: dt.timedelta | None = None, **parts: float) -> Iterator[None]:
        """Moved, as by `advance`, for the length of a `with` block."""
        step = (by or dt.timedelta()) + dt.timedelta(**parts)
        self.advance(step)
        try:
            yield
        finally:
            self.advance(-step)
