"""One call to a provider, again and again until it succeeds, is refused, or its time is over."""

from __future__ import annotations

import contextlib
import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs

from bleepstore.backends.watching import CallOutcome, CallWatch
from bleepstore.errors import InvalidRequest, ServiceUnavailable, SlowDown

T = TypeVar("T")


@attrs.frozen
class Transient:
    """A failure that may be over soon: what to raise in the end, and how long the provider asked us to wait."""

    error: Exception
    wait: float | None = None  # seconds


#: What a provider's exception means: an error of ours, `Transient`, or None if it is none of the provider's.
Classify = Callable[[BaseException], "Exception | Transient | None"]


@attrs.define
class ProviderBusy(SlowDown):
    """`retry_after` are the seconds that the provider asked for, if it did."""

    retry_after: int | None = None


@attrs.define
class ProviderUnavailable(ServiceUnavailable):
    """`retry_after` as above."""

    retry_after: int | None = None


def slow_down(provider: str, text: str, wait: float | None = None) -> Transient:
    return Transient(ProviderBusy(f"{provider} asks for fewer requests: {text}", _whole(wait)), wait)


def unavailable(provider: str, text: str, wait: float | None = None) -> Transient:
    return Transient(ProviderUnavailable(f"{provider} did not answer as it should: {text}", _whole(wait)), wait)


@attrs.define
class ProviderRefused(InvalidRequest):
    """The provider refused what it was asked for good: sent again it would be refused again. Its own words are the
    reason, for it alone knows its rules."""


def refused(provider: str, text: str) -> ProviderRefused:
    return ProviderRefused(f"{provider} refuses this for good: {text}")


#: Those 4xx that say "not now", or "not as begun": Request Timeout, Conflict, Gone (an upload session that the provider
#: has lost: a new one may do), Too Early, Too Many Requests (RFC 9110, 8470, 6585).
_TRANSIENT_REFUSALS = frozenset({408, 409, 410, 425, 429})


#: What the texts call the digests that are sent with a body. One that does not match tells of bytes that were changed
#: on the way: sent again they may arrive.
_DIGESTS = re.compile("md5|crc32c|checksum|digest", re.IGNORECASE)


def is_for_good(status: int, text: str) -> bool:
    """Whether the answer to a request that is sent again would be the same ("The request could not be understood by the
    server", and what else the 4xx say of the request itself). `text` is the provider's reason."""
    return 400 <= status < 500 and status not in _TRANSIENT_REFUSALS and not _DIGESTS.search(text)


class Outage:
    """Of several calls, each with its retries: when one could not reach the provider to the end of its deadline, those
    that have not begun fail with the same error at once."""

    def __init__(self) -> None:
        self.error: ProviderBusy | ProviderUnavailable | None = None

    def call(self, function: Callable[..., T], /, *arguments: Any) -> T:
        if self.error is not None:
            raise self.error
        try:
            return function(*arguments)
        except (ProviderBusy, ProviderUnavailable) as error:
            self.error = error
            raise


def _whole(wait: float | None) -> int | None:
    """Seconds as Retry-After has them."""
    return None if wait is None else max(1, math.ceil(wait))


#: What an attempt may wait at the very least, in seconds: zero would mean for ever.
_MIN_WAIT = 0.05


@attrs.frozen(kw_only=True)
class Retry:
    """`deadline` is in seconds, for a call with all its repetitions, each of which asks `clip` how long it may take; a
    call within a call ends with the outer one. Waits are random, twice as long at most each time
    ("exponential backoff and jitter"), so that many callers do not come back together, and come on top of the time that
    a provider asks for, which may be none."""

    classify: Classify
    deadline: float = 30.0
    first_wait: float = 0.1
    longest_wait: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    watch: CallWatch = attrs.field(factory=CallWatch)
    _under_way: threading.local = attrs.field(factory=threading.local, init=False, eq=False, repr=False)

    def clip(self, seconds: float) -> float:
        """How long an attempt of this thread's call may wait: `seconds`, or what is left of the deadline."""
        end: float | None = getattr(self._under_way, "end", None)
        return seconds if end is None else max(min(seconds, end - self.clock()), _MIN_WAIT)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A block whose calls have a deadline in common."""
        outer: float | None = getattr(self._under_way, "end", None)
        end = self.clock() + seconds
        self._under_way.end = end if outer is None else min(end, outer)
        try:
            yield
        finally:
            self._under_way.end = outer

    def renew(self) -> None:
        """Let the deadline of this thread's call begin anew: what it did so far does not count."""
        self._under_way.end = self.clock() + self.deadline

    def run(self, call: Callable[[], T], *, sends: bool = False) -> T:
        """What `call` gives. Errors of the provider are raised as ours, any other as it is.

        A call that `sends` bytes may take longer than the deadline on a slow line, which therefore begins anew behind
        the first attempt: if the connection breaks there is a second one."""
        with self.within(self.deadline):
            return self._repeat(call, sends)

    def _repeat(self, call: Callable[[], T], sends: bool) -> T:
        wait = self.first_wait
        while True:
            try:
                result = call()
            except Exception as error:
                if sends:
                    self.renew()
                    sends = False
                failure = self.classify(error)
                if failure is None:
                    raise
                if not isinstance(failure, Transient):
                    self.watch.note(CallOutcome.REFUSED)
                    raise failure from error
                pause = random.uniform(0, wait) + (failure.wait or 0)
                if self.clock() + pause >= self._under_way.end:
                    self.watch.note(CallOutcome.FAILED)
                    raise failure.error from error
                self.watch.note(CallOutcome.REPEATED)
            else:
                self.watch.note(CallOutcome.SUCCESS)
                return result
            self.sleep(pause)
            wait = min(2 * wait, self.longest_wait)

    def translate(self, error: Exception) -> Exception | None:
        """What to raise for an error of the provider that is not to be repeated; None if it is not the provider's."""
        failure = self.classify(error)
        return failure.error if isinstance(failure, Transient) else failure
