"""Events a second to each broker: its client alone, our sender, and a store that delivers what waits.

`python -m tests.benchmarks.bench_events`. The client alone sends the same bodies in the same batches with the same
promise (acknowledged, durable); its messages have no order per key and no ids. Queues of SQS are not here: moto's are
the slower the more is in them. A pair is one of each right after the
other; the ratio is the median of all pairs. Each event is of another object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import nats
import pika
import redis

import bleepstore
from bleepstore.senders import Message, Sender, open_sender
from tests.events.tools import notify, queue
from tests.senders.brokers import BROKERS, PASSWORD, USER, Broker, Kafka, Nats, RabbitMq, Redis

BATCH = 100
Send = Callable[[Sequence[bytes]], object]
#: The URL for our sender, and its client alone.
Opened = tuple[str, contextlib.AbstractContextManager[Send]]


@contextlib.contextmanager
def redis_alone(broker: Redis) -> Iterator[Send]:
    with redis.Redis(port=broker.port, password=PASSWORD) as client:

        def send(bodies: Sequence[bytes]) -> None:
            pipeline = client.pipeline()
            for body in bodies:
                pipeline.xadd("alone", {"event": body})
            pipeline.execute()

        yield send


@contextlib.contextmanager
def rabbitmq_alone(broker: RabbitMq) -> Iterator[Send]:
    """As its tutorial does: each message is confirmed before the next."""
    credentials = pika.PlainCredentials(USER, PASSWORD)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, credentials=credentials))
    channel = connection.channel()
    channel.confirm_delivery()

    def send(bodies: Sequence[bytes]) -> None:
        for body in bodies:
            channel.basic_publish("", "alone", body, pika.BasicProperties(delivery_mode=2), mandatory=True)

    yield send
    connection.close()


@contextlib.contextmanager
def nats_alone(broker: Nats) -> Iterator[Send]:
    loop = asyncio.new_event_loop()
    address = f"nats://127.0.0.1:{broker.port}"
    client = loop.run_until_complete(nats.connect(address, user=USER, password=PASSWORD))
    stream = client.jetstream()

    async def publish(bodies: Sequence[bytes]) -> None:
        await asyncio.gather(*(stream.publish("alone.events", body) for body in bodies))

    yield lambda bodies: loop.run_until_complete(publish(bodies))
    loop.run_until_complete(client.close())
    loop.close()


@contextlib.contextmanager
def kafka_alone(broker: Kafka) -> Iterator[Send]:
    producer = confluent_kafka.Producer(broker.client_settings() | {"acks": "all", "enable.idempotence": True})

    def send(bodies: Sequence[bytes]) -> None:
        for body in bodies:
            producer.produce("alone", body)
        if producer.flush(30):
            raise RuntimeError("Kafka did not take all messages")

    yield send


ALONE: dict[str, Callable[[Any], contextlib.AbstractContextManager[Send]]] = {
    "redis": redis_alone,
    "rabbitmq": rabbitmq_alone,
    "nats": nats_alone,
    "kafka": kafka_alone,
}


@contextlib.contextmanager
def broker_of(kind: str, folder: Path) -> Iterator[Opened]:
    broker: Broker = BROKERS[kind](folder)
    try:
        for name in ("alone", "ours"):
            broker.create(name)
        yield broker.url("ours"), ALONE[kind](broker)
    finally:
        broker.end()


class KeptOpen:
    """A sender that is connected already, and stays so."""

    def __init__(self, sender: Sender) -> None:
        self.send = sender.send

    def close(self) -> None:
        """Others go on to use it."""


def deliver(sender: Sender, count: int) -> float:
    """Seconds in which a store in memory delivers so many events that wait."""
    may_open = threading.Event()

    def open_later() -> Sender:
        may_open.wait()
        return KeptOpen(sender)

    with bleepstore.open(event_destinations={"ours": open_later}) as store:
        store.create_bucket("photos")
        notify(store, queue("ours"), skip_destination_validation=True)
        for number in range(count):
            store.put_object("photos", str(number), b"")
        begun = time.perf_counter()
        may_open.set()
        store.jobs.run("events")
        seconds = time.perf_counter() - begun
        (status,) = store.event_destinations()
    if status.waiting:
        raise RuntimeError(f"{status.waiting} events were not delivered: {status.error}")
    return seconds


def measure(opened: Opened, count: int, rounds: int) -> list[list[float]]:
    """Seconds for `count` messages: (client alone, our sender, a store) of each round."""
    url, alone = opened
    body = b'{"Records":[' + b"x" * 700 + b"]}"
    numbers = itertools.count()

    def send_alone() -> float:
        begun = time.perf_counter()
        for _ in range(count // BATCH):
            send([body] * BATCH)
        return time.perf_counter() - begun

    def send_ours() -> float:
        begun = time.perf_counter()
        for _ in range(count // BATCH):
            part = itertools.islice(numbers, BATCH)
            if sender.send([Message(b"%s%d" % (body, number), f"photos/{number}") for number in part]) != BATCH:
                raise RuntimeError("a message was not taken")
        return time.perf_counter() - begun

    with alone as send, contextlib.closing(open_sender(url)) as sender:
        send([body])  # connect
        sender.send([Message(body, "photos/first")])
        found = []
        for number in range(rounds):
            works = [send_alone, send_ours]
            seconds = [work() for work in (works if number % 2 else reversed(works))]
            found.append([*(seconds if number % 2 else reversed(seconds)), deliver(sender, count)])
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--only", choices=list(ALONE))
    options = parser.parse_args()
    print("| events/s | its client alone | our sender | a store | sender / client | store / client |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in ALONE:
        if options.only in (None, kind):
            count = options.count
            with tempfile.TemporaryDirectory() as folder, broker_of(kind, Path(folder)) as opened:
                found = measure(opened, count, options.rounds)
            speeds = " | ".join(f"{count / statistics.median(column):,.0f}" for column in zip(*found, strict=True))
            ratios = [statistics.median(one[0] / one[column] for one in found) for column in (1, 2)]
            print(f"| {kind} | {speeds} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
