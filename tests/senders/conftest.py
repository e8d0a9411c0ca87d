"""The brokers that these tests use, each started once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import pytest

from tests.senders.brokers import BROKERS, Broker
from tests.serving.conftest import serve

__all__ = ["serve"]


@pytest.fixture(scope="session")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Broker]]:
    """By its kind."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(kind: str) -> Broker:
            broker = BROKERS[kind](tmp_path_factory.mktemp(kind))
            stack.callback(broker.end)
            return broker

        yield start


@pytest.fixture(
    scope="session",
    # It takes longer than five seconds until Kafka listens.
    params=["redis", "nats", "rabbitmq", pytest.param("kafka", marks=pytest.mark.slow)],
)
def started_broker(request: pytest.FixtureRequest, start_broker: Callable[[str], Broker]) -> Broker:
    return start_broker(request.param)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Another one for each test."""
    return str(request.node.originalname).removeprefix("test_")


@pytest.fixture
def broker(started_broker: Broker) -> Broker:
    return started_broker
