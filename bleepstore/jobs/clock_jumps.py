"""Whether the system's clock can be believed before something is removed because of its age."""

from __future__ import annotations

import time
from collections.abc import Callable


class ClockJumps:
    """A machine may start with a wrong clock, which is put right before long, and what it ended would be lost. So a
    clock that ran ahead of the time that passed, by more than is believed, is believed at the next look only.

    `last_used_ms` is when the store was used before it was opened, by this clock; 0: never, or nobody knows.
    """

    def __init__(self, clock: Callable[[], int], last_used_ms: int) -> None:
        self._clock = clock
        self._opened_ms: int | None = clock()  # None: there was a look since
        self._looked_ms = min(last_used_ms or self._opened_ms, self._opened_ms)
        self._looked_at = time.monotonic()

    def believe_opening(self) -> None:
        """The clock was right when the store was opened, however late that was."""
        if self._opened_ms is not None:
            self._looked_ms = self._opened_ms

    def jumped(self, believed_ms: float) -> bool:
        """Whether the clock ran ahead since the last look by more than `believed_ms`."""
        now_ms, now = self._clock(), time.monotonic()
        passed_ms = (now - self._looked_at) * 1000
        ran_ms = now_ms - self._looked_ms
        self._looked_ms, self._looked_at, self._opened_ms = now_ms, now, None
        return ran_ms > passed_ms + believed_ms
