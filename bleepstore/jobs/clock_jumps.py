"""Whether the system's clock can be believed before something is removed because of its age."""

from __future__ import annotations

import time
from collections.abc import Callable


class ClockJumps:
    """A clock that was set wrong is put right before long, and what it ended would be lost. So one that ran ahead of
    the time that passed, by more than is believed, is believed at the next look only."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._looked_ms = clock()
        self._looked_at = time.monotonic()

    def jumped(self, believed_ms: float) -> bool:
        """Whether the clock ran ahead since the last look by more than `believed_ms`."""
        now_ms, now = self._clock(), time.monotonic()
        passed_ms = (now - self._looked_at) * 1000
        ran_ms = now_ms - self._looked_ms
        self._looked_ms, self._looked_at = now_ms, now
        return ran_ms > passed_ms + believed_ms
