"""One call to a provider, again and again until it succeeds, is refused, or its time is over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import attrs

from bleepstore.errors import ServiceUnavailable, SlowDown

T = TypeVar("T")


@attrs.frozen
class Passing:
    """A failure that may be over soon: what to raise in the end, and how long the provider asked us to wait."""

    error: Exception
    wait: float | None = None  # seconds


#: What a provider's exception means: an error of ours, `Passing`, or None if it is none of the provider's.
Meaning = Callable[[BaseException], "Exception | Passing | None"]


def slow_down(provider: str, text: str, wait: float | None = None) -> Passing:
    return Passing(SlowDown(f"{provider} asks for fewer requests: {text}"), wait)


def unavailable(provider: str, text: str) -> Passing:
    return Passing(ServiceUnavailable(f"{provider} did not answer as it should: {text}"))


@attrs.frozen(kw_only=True)
class Retry:
    """`deadline` is in seconds, for a call with all its repetitions. Waits are random, twice as long at most each time
    ("exponential backoff and jitter"), so that many callers do not come back together."""

    meaning: Meaning
    deadline: float = 30.0
    first_wait: float = 0.1
    longest_wait: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def run(self, call: Callable[[], T], *, repeatable: bool = True) -> T:
        """What `call` gives. Errors of the provider are raised as ours, any other as it is. A call that consumed a
        stream is not `repeatable`."""
        end = self.clock() + self.deadline
        wait = self.first_wait
        while True:
            try:
                return call()
            except Exception as error:
                meaning = self.meaning(error)
                if meaning is None:
                    raise
                if not isinstance(meaning, Passing):
                    raise meaning from error
                pause = random.uniform(0, wait) if meaning.wait is None else meaning.wait
                if not repeatable or self.clock() + pause >= end:
                    raise meaning.error from error
            self.sleep(pause)
            wait = min(2 * wait, self.longest_wait)

    def translate(self, error: Exception) -> Exception | None:
        """What to raise for an error of the provider that is not to be repeated; None if it is not the provider's."""
        meaning = self.meaning(error)
        return meaning.error if isinstance(meaning, Passing) else meaning
