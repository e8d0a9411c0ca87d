"""Whether calls are quick enough for the loop's thread to make them."""

from __future__ import annotations

#: What they may take, on average, for the loop to wait for them; and how much the last one counts in that.
_QUICK_SECONDS = 0.004
_WEIGHT = 0.1


class Pace:
    """What calls of one kind take, on average."""

    def __init__(self) -> None:
        self._average = 0.0

    def note(self, seconds: float) -> None:
        """One more took so long."""
        self._average += (seconds - self._average) * _WEIGHT

    @property
    def is_slow(self) -> bool:
        return self._average > _QUICK_SECONDS
