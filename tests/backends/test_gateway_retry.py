"""The deadline of a call to a provider holds for all its attempts together."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from bleepstore.backends.gateway.retry import Passing, Retry, slow_down, unavailable
from bleepstore.errors import ServiceUnavailable, SlowDown


@attrs.define
class Clock:
    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _meaning(error: BaseException) -> Passing | None:
    return unavailable("The provider", str(error)) if isinstance(error, TimeoutError) else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def retry(clock: Clock) -> Retry:
    return Retry(meaning=_meaning, deadline=30.0, sleep=clock.sleep, clock=lambda: clock.now)


def hanging(clock: Clock, retry: Retry) -> Callable[[], None]:
    """A request to which there is never an answer."""

    def call() -> None:
        clock.sleep(retry.clip(20.0))
        raise TimeoutError("no answer")

    return call


def test_attempts_that_hang_end_with_the_deadline(clock: Clock, retry: Retry) -> None:
    with pytest.raises(ServiceUnavailable, match="no answer"):
        retry.run(hanging(clock, retry))
    assert 29.9 < clock.now < 30.1


def test_a_call_within_a_call_ends_with_the_outer_one(clock: Clock, retry: Retry) -> None:
    def outer() -> None:
        clock.sleep(15.0)
        retry.run(hanging(clock, retry))

    with pytest.raises(ServiceUnavailable):
        retry.run(outer)
    assert 29.9 < clock.now < 30.1
    assert retry.clip(20.0) == 20.0  # and leaves nothing behind for the thread's next call


def test_the_time_that_a_provider_asks_for_is_passed_on() -> None:
    for made, kind in ((slow_down, SlowDown), (unavailable, ServiceUnavailable)):
        error = made("The provider", "busy", 2.5).error
        assert isinstance(error, kind)
        assert getattr(error, "retry_after", None) == 3
