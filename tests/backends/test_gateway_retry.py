"""The deadline of a call to a provider holds for all its attempts together."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from urllib3.connectionpool import HTTPConnectionPool

from bleepstore.backends.gateway.retry import Retry, Transient, slow_down, unavailable
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway
from bleepstore.backends.gateway.streams import ResumingReader
from bleepstore.backends.watching import CallOutcome
from bleepstore.errors import ServiceUnavailable, SlowDown
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY
from tests.backends.providers import AWS_ENVIRONMENT


@attrs.define
class Clock:
    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _classify(error: BaseException) -> Transient | None:
    return unavailable("The provider", str(error)) if isinstance(error, TimeoutError) else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def retry(clock: Clock) -> Retry:
    return Retry(classify=_classify, deadline=30.0, sleep=clock.sleep, clock=lambda: clock.now)


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


def test_somebody_may_be_told_of_each_attempt(clock: Clock, retry: Retry) -> None:
    told: list[CallOutcome] = []
    retry.watch.listener = told.append
    answers: list[Exception | None] = [TimeoutError("busy"), None]

    def call() -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    retry.run(call)
    assert told == [CallOutcome.REPEATED, CallOutcome.SUCCESS]
    told.clear()
    with pytest.raises(ServiceUnavailable):
        retry.run(hanging(clock, retry))
    assert told[-1] is CallOutcome.FAILED
    assert set(told[:-1]) == {CallOutcome.REPEATED}


def test_a_call_within_a_call_ends_with_the_outer_one(clock: Clock, retry: Retry) -> None:
    def outer() -> None:
        clock.sleep(15.0)
        retry.run(hanging(clock, retry))

    with pytest.raises(ServiceUnavailable):
        retry.run(outer)
    assert 29.9 < clock.now < 30.1
    assert retry.clip(20.0) == 20.0  # and leaves nothing behind for the thread's next call


def test_what_sends_bytes_for_longer_than_the_deadline_is_sent_once_more(clock: Clock, retry: Retry) -> None:
    def sending() -> None:
        clock.sleep(100.0)
        raise TimeoutError("broken off")

    with pytest.raises(ServiceUnavailable, match="broken off"):
        retry.run(sending, sends=True)
    assert 200.0 <= clock.now < 230.0
    clock.now = 0.0
    with pytest.raises(ServiceUnavailable):
        retry.run(hanging(clock, retry), sends=True)  # the attempts after the first have the deadline together
    assert 49.9 < clock.now < 50.1


@pytest.mark.parametrize("asked", [0.0, 2.0])
def test_a_pause_is_longer_than_the_provider_asks_for(clock: Clock, asked: float) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) < 100
        clock.sleep(seconds)

    def refused() -> None:
        raise TimeoutError

    def classify(error: BaseException) -> Transient:
        return slow_down("The provider", "busy", asked)

    retry = Retry(classify=classify, deadline=30.0, sleep=pause, clock=lambda: clock.now)
    with pytest.raises(SlowDown):
        retry.run(refused)
    assert all(seconds > asked for seconds in pauses)
    assert len(pauses) > 3
    assert len(set(pauses)) == len(pauses)  # so that who was refused together does not come back together


def test_the_time_that_a_provider_asks_for_is_passed_on() -> None:
    for made, kind in ((slow_down, SlowDown), (unavailable, ServiceUnavailable)):
        error = made("The provider", "busy", 2.5).error
        assert isinstance(error, kind)
        assert getattr(error, "retry_after", None) == 3


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes no connection and refuses none: nobody accepts those that wait already."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_no_attempt_waits_longer_than_what_is_left(
    scheme: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to connect nor for an answer."""
    waits: list[Any] = []
    urlopen = HTTPConnectionPool.urlopen

    def note(pool: HTTPConnectionPool, *arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is threading.main_thread():  # Google's SDK has one of its own, for its traces
            timeout = options.get("timeout") or pool.timeout
            waits.extend([timeout.connect_timeout, timeout.read_timeout])
        return urlopen(pool, *arguments, **options)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", note)
    for name, value in (AWS_ENVIRONMENT | {"AZURE_STORAGE_KEY": AZURITE_KEY}).items():
        monkeypatch.setenv(name, value)
    endpoint = f"http://127.0.0.1:{black_hole}" + (f"/{AZURITE_ACCOUNT}" if scheme == "az" else "")
    settings = GatewaySettings(scheme=scheme, container="photos", endpoint_url=endpoint, deadline=0.3)
    with contextlib.closing(open_gateway(settings)) as gateway, pytest.raises(ServiceUnavailable):
        gateway.check()
    assert waits
    assert all(wait <= 0.3 for wait in waits)


class _Broken:
    """A connection that breaks, and cannot be closed either."""

    def read(self, _size: int) -> bytes:
        raise TimeoutError

    def close(self) -> None:
        raise OSError("it cannot be closed")


def test_a_connection_that_cannot_be_closed_is_replaced_all_the_same(retry: Retry) -> None:
    reader = ResumingReader(lambda position: io.BytesIO(b"data"[position:]), 0, 4, retry, first=_Broken())
    with reader:
        assert reader.read() == b"data"
