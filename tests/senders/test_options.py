"""Options that only one kind of broker has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bleepstore.senders import SendError
from tests.senders.brokers import PASSWORD, Broker, Nats, RabbitMq, Redis
from tests.senders.test_brokers import messages, numbers, sender_to


def test_a_redis_without_the_replicas_that_are_asked_for_is_an_error(
    start_broker: Callable[[str], Broker], name: str
) -> None:
    url = start_broker("redis").url(name, timeout=0.4)
    with sender_to(f"{url}&replicas=1") as sender, pytest.raises(SendError, match="0 replicas"):
        sender.send(messages(3))


def test_entries_are_sent_when_the_replicas_have_them(
    start_broker: Callable[[str], Broker], name: str, tmp_path: Path
) -> None:
    first = start_broker("redis")
    replica = Redis(tmp_path)
    try:
        with replica.client() as client:
            client.config_set("masterauth", PASSWORD)
            client.replicaof("127.0.0.1", first.port)
        with sender_to(f"{first.url(name)}&replicas=1") as sender:
            assert sender.send(messages(250)) == 250
        with replica.client() as client:
            assert client.xlen(name) == 250
    finally:
        replica.end()


def test_a_redis_stream_is_kept_to_about_its_length(start_broker: Callable[[str], Broker], name: str) -> None:
    broker = start_broker("redis")
    with sender_to(f"{broker.url(name)}&maxlen=100") as sender:
        sender.send(messages(1000))
    found = numbers(broker.read(name))
    assert 100 <= len(found) < 300
    assert found[-1] == 999


def test_an_exchange_routes_messages_or_they_wait(start_broker: Callable[[str], Broker], name: str) -> None:
    broker = start_broker("rabbitmq")
    assert isinstance(broker, RabbitMq)

    def declare(channel: Any) -> None:
        channel.exchange_declare(f"{name}.exchange", "topic", durable=True)

    broker.with_channel(declare)
    url = broker.url(name).replace(f"queue={name}", f"exchange={name}.exchange&routing_key=orders.new")
    with sender_to(url) as sender:
        with pytest.raises(SendError, match="no queue"):
            sender.send(messages(3))
        broker.create(name)
        broker.with_channel(lambda channel: channel.queue_bind(name, f"{name}.exchange", "orders.*"))
        assert sender.send(messages(3)) == 3
    assert numbers(broker.read(name)) == [0, 1, 2]


def test_a_queue_that_is_deleted_is_an_error(start_broker: Callable[[str], Broker], name: str) -> None:
    broker = start_broker("rabbitmq")
    assert isinstance(broker, RabbitMq)
    broker.create(name)
    with sender_to(broker.url(name)) as sender:
        sender.send(messages(3))
        broker.with_channel(lambda channel: channel.queue_delete(name))
        with pytest.raises(SendError, match="no queue"):
            sender.send(messages(3))


def test_nats_checks_the_stream_and_drops_what_comes_again(start_broker: Callable[[str], Broker], name: str) -> None:
    broker = start_broker("nats")
    assert isinstance(broker, Nats)
    broker.create(name)
    with sender_to(f"{broker.url(name)}&stream=another") as sender, pytest.raises(SendError, match="stream"):
        sender.send(messages(1))
    with sender_to(f"{broker.url(name)}&stream={name}") as sender:
        for _ in range(2):
            assert sender.send(messages(3)) == 3
    assert numbers(broker.read(name)) == [0, 1, 2]
