"""What somebody may want to know of the calls to a provider."""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs


class CallOutcome(enum.StrEnum):
    """What became of one attempt of a call to a provider."""

    SUCCESS = "success"
    REPEATED = "repeated"
    """It failed, and there is another attempt."""
    REFUSED = "refused"
    """It was refused for good: what was asked for is not there, or must not be."""
    FAILED = "failed"
    """It failed, and its time is over."""


@attrs.define
class CallWatch:
    """Who is told of each attempt, if anybody."""

    listener: Callable[[CallOutcome], object] | None = None

    def note(self, outcome: CallOutcome) -> None:
        if self.listener is not None:
            self.listener(outcome)
