"""The brokers that these tests use, each started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.senders.brokers import BROKERS, Broker


@pytest.fixture(
    scope="session",
    # It takes longer than five seconds until Kafka listens.
    params=["redis", "nats", "rabbitmq", pytest.param("kafka", marks=pytest.mark.slow)],
)
def started_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = BROKERS[request.param](tmp_path_factory.mktemp(request.param))
    try:
        yield broker
    finally:
        broker.end()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Another one for each test."""
    return str(request.node.originalname).removeprefix("test_")


@pytest.fixture
def broker(started_broker: Broker) -> Broker:
    return started_broker
