"""The clocks of a store, and what they stamp on each command."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

#: Processes that read one clock at the same time find it this much apart.
_CLOCKS_DIFFER_MS = 1000
#: Before any time that a program signs or locks something for, so that nothing of it is over.
_NEW_YEAR_2025_MS = 1_735_689_600_000


def now_ms() -> int:
    """The system's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """The clock of blobs and sweeps. It never goes back: neither within this process, nor behind the last sweep of the
    catalog, nor behind the other processes that have the store open.

    A sweep refuses blobs from before its time, so once the system's clock was set back it would refuse every new one.
    From then on this clock is ahead of the system's and runs as fast. People see the system's time: `source`.
    """

    def __init__(self, source: Callable[[], int]) -> None:
        self.source = source
        self.latest = 0
        self._ahead = 0
        self._others: Sequence[int] | memoryview[int] = (0,)

    def __call__(self) -> int:
        now, latest = self.source() + self._ahead, max(self.latest, self._others[0])
        if now < latest:
            if latest - now > _CLOCKS_DIFFER_MS:
                self._ahead += latest - now
            now = latest
        self.latest = now
        return now

    def go_on_from(self, time_ms: int) -> None:
        self.latest = max(self.latest, time_ms)

    def follow(self, others: Sequence[int] | memoryview[int]) -> None:
        """Stay at or after the time that is in `others`."""
        self._others = others


class TickingClock:
    """Stands still in the past, until `tick` moves it on by a millisecond."""

    def __init__(self) -> None:
        self._now_ms = _NEW_YEAR_2025_MS

    def __call__(self) -> int:
        return self._now_ms

    def tick(self) -> None:
        self._now_ms += 1


class Stamps:
    """What every command begins with: an id, unique and in the order of time (see `bleepstore.commands`), and the time
    that people see."""

    def __init__(
        self,
        clock: Callable[[], int],
        wall_clock: Callable[[], int],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._prefix = random_bytes(8).hex()
        self._numbers = itertools.count(1)

    def __call__(self) -> dict[str, Any]:
        request_id = f"{self._clock():012x}-{self._prefix}-{next(self._numbers):x}"
        return {"request_id": request_id, "time_ms": self._wall_clock()}


class TickingStamps(Stamps):
    """Of a program whose every run is the same: the clock moves on by one tick for each command, if it can."""

    def __call__(self) -> dict[str, Any]:
        tick: Callable[[], None] | None = getattr(self._wall_clock, "tick", None)
        if tick is not None:
            tick()
        return super().__call__()


class SeededBytes:
    """What looks random and is the same for each `seed`. Not for secrets."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._random = random.Random(f"{seed}/0")
        self._given = 0

    def __call__(self, size: int) -> bytes:
        with self._lock:
            self._given += size
            return self._random.randbytes(size)

    def fork_seed(self) -> int:
        """A seed for what goes on from here beside this one: another after each use of this one, and the same however
        often it is asked for."""
        with self._lock:
            return random.Random(f"{self._seed}/{self._given}").getrandbits(63)
