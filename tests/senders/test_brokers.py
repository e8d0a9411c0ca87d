"""What every sender to a broker promises, with a real broker of each kind."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

import bleepstore
from bleepstore.senders import Message, Sender, SendError, open_sender
from tests.backends.tcp_faults import FaultProxy
from tests.events.tools import notify, queue
from tests.senders.brokers import PASSWORD, Broker

#: For tests that start the broker again, or wait for it often: for which RabbitMQ needs seconds too.
restarts = pytest.mark.parametrize(
    "started_broker",
    ["redis", "nats", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rabbitmq", "kafka"))],
    indirect=True,
)


def messages(count: int, first: int = 0, keys: int = 3) -> list[Message]:
    return [
        Message(json.dumps({"key": number % keys, "number": number}).encode(), f"bucket/{number % keys}")
        for number in range(first, first + count)
    ]


@contextlib.contextmanager
def sender_to(url: str) -> Iterator[Sender]:
    sender = open_sender(url)
    try:
        yield sender
    finally:
        sender.close()


def numbers(bodies: Sequence[bytes]) -> list[int]:
    return [json.loads(body)["number"] for body in bodies]


def assert_nothing_lost_and_in_order(found: Sequence[int], count: int, keys: int = 3) -> None:
    """There may be duplicates; of each key the first copies are in order."""
    first_copies = list(dict.fromkeys(found))
    assert sorted(first_copies) == list(range(count))
    for key in range(keys):
        of_key = [number for number in first_copies if number % keys == key]
        assert of_key == sorted(of_key)


def test_messages_arrive_in_order(broker: Broker, name: str) -> None:
    broker.create(name)
    with sender_to(broker.url(name)) as sender:
        assert sender.send(messages(400)) == 400
        assert sender.send(messages(10, first=400)) == 10
    assert_nothing_lost_and_in_order(numbers(broker.read(name)), 410)


def test_a_sender_that_was_closed_can_be_closed_again(broker: Broker, name: str) -> None:
    broker.create(name)
    with sender_to(broker.url(name)) as sender:
        sender.send(messages(1))
        sender.close()


def close_at_the_first_message(listener: socket.socket) -> None:
    """What a server of NATS does that ends then. The sender connects once more, and is turned away."""
    accepted, _ = listener.accept()
    with listener, accepted:
        accepted.sendall(b'INFO {"server_id":"x","version":"2.9.0","headers":true,"max_payload":1048576}\r\n')
        while b"PUB" not in (received := accepted.recv(65536)):
            if b"PING" in received:
                accepted.sendall(b"PONG\r\n")


def test_a_connection_that_nats_closes_leaves_no_error_behind(caplog: pytest.LogCaptureFixture) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=close_at_the_first_message, args=(listener,))
    thread.start()
    with sender_to(f"nats://127.0.0.1:{port}/events?timeout=5") as sender, pytest.raises(SendError):
        sender.send(messages(3))
    thread.join()
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@restarts
def test_a_broker_that_was_restarted_is_connected_at_once(broker: Broker, name: str) -> None:
    broker.create(name)
    with sender_to(broker.url(name, timeout=30)) as sender:
        sender.send(messages(10))
        broker.kill()
        broker.start()
        assert sender.send(messages(10, first=10)) == 10
    assert_nothing_lost_and_in_order(numbers(broker.read(name)), 20)


@restarts
def test_a_broker_that_is_down_fails_in_time_and_has_all_later(broker: Broker, name: str) -> None:
    broker.create(name)
    with sender_to(broker.url(name, timeout=broker.quick)) as sender:
        sender.send(messages(10))
        broker.kill()
        try:
            began = time.monotonic()
            with pytest.raises(SendError):
                sender.send(messages(10, first=10))
            assert time.monotonic() - began < broker.quick + 4
        finally:
            broker.start()
    with sender_to(broker.url(name)) as sender:
        assert sender.send(messages(10, first=10)) == 10
    assert_nothing_lost_and_in_order(numbers(broker.read(name)), 20)


@restarts
def test_a_broker_that_is_killed_in_a_stream_of_messages_loses_none(broker: Broker, name: str) -> None:
    broker.create(name)
    everything = messages(600)
    begun, is_up = threading.Event(), threading.Event()

    def kill_and_start() -> None:
        begun.wait()
        broker.kill()
        broker.start()
        is_up.set()

    killing = threading.Thread(target=kill_and_start)
    killing.start()
    sent = 0
    with sender_to(broker.url(name, timeout=5)) as sender:
        while sent < len(everything):
            try:
                sent += sender.send(everything[sent : sent + 20])
            except SendError:
                assert begun.is_set()
                assert is_up.wait(60)
            if sent >= 100:
                begun.set()
    killing.join()
    assert_nothing_lost_and_in_order(numbers(broker.read(name)), len(everything))


def test_a_broker_that_does_not_answer_is_given_up_in_time(broker: Broker, name: str) -> None:
    broker.create(name)
    url = broker.url(name, timeout=broker.quick)
    with sender_to(url) as sender, sender_to(url) as fresh:
        sender.send(messages(1))
        broker.freeze()
        try:
            for one in (sender, fresh):
                began = time.monotonic()
                with pytest.raises(SendError, match=r"127\.0\.0\.1"):
                    one.send(messages(10, first=1))
                assert time.monotonic() - began < broker.quick + 4
        finally:
            broker.thaw()
    with sender_to(broker.url(name)) as sender:
        assert sender.send(messages(10, first=1)) == 10
    assert_nothing_lost_and_in_order(numbers(broker.read(name)), 11)


@restarts
@pytest.mark.parametrize("kind", ["cut", "truncate", "stall"])
def test_connections_that_end_in_the_middle_lose_nothing(broker: Broker, name: str, kind: str) -> None:
    if broker.scheme == "kafka":
        pytest.skip("its clients are told another address than that of the proxy")
    name = f"{name}_{kind}"
    broker.create(name)
    everything, sent, failures = messages(200), 0, 0
    proxy = FaultProxy(broker.port)
    try:
        url = broker.url(name, timeout=broker.quick).replace(str(broker.port), proxy.url.rpartition(":")[2])
        proxy.inject(kind, sent=3000)
        proxy.inject(kind, sent=6000)
        proxy.inject(kind, received=650)
        with sender_to(url) as sender:
            while sent < len(everything):
                try:
                    sent += sender.send(everything[sent : sent + 40])
                except SendError:
                    failures += 1
                    assert failures < 20
        assert proxy.hits
    finally:
        proxy.close()
    assert_nothing_lost_and_in_order(numbers(broker.read(name)), len(everything))


def test_messages_arrive_by_tls(broker: Broker, name: str) -> None:
    with broker.with_tls() as tls_broker:
        url = tls_broker.tls_url(name)
        tls_broker.create(name)
        with sender_to(f"{url}&ca_file={tls_broker.certificate}") as sender:
            assert sender.send(messages(20)) == 20
        with sender_to(url) as sender, pytest.raises(SendError, match=r"(?i)certificate"):
            sender.send(messages(1, first=20))
        assert_nothing_lost_and_in_order(numbers(tls_broker.read(name)), 20)


def test_no_password_is_sent_to_a_server_that_does_not_speak_tls(broker: Broker, name: str) -> None:
    """As who sits between could make it look."""
    url = broker.tls_url(name, broker.quick).replace(str(broker.tls_port), str(broker.port))
    with sender_to(f"{url}&ca_file={broker.certificate}") as sender, pytest.raises(SendError):
        sender.send(messages(1))


def test_wrong_credentials_are_an_error_that_does_not_tell_them(broker: Broker, name: str) -> None:
    broker.create(name)
    with (
        sender_to(broker.url(name, timeout=2, user="somebody:not-the-password")) as sender,
        pytest.raises(SendError) as caught,
    ):
        sender.send(messages(1))
    assert "not-the-password" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_name_that_the_broker_does_not_know_is_an_error(broker: Broker, name: str) -> None:
    if not broker.refuses_unknown:
        pytest.skip("its streams begin with their first entry")
    with sender_to(broker.url(f"{name}_unknown", timeout=3)) as sender, pytest.raises(SendError, match="unknown"):
        sender.send(messages(5))


def test_a_full_queue_refuses_and_takes_again_in_order(broker: Broker, name: str) -> None:
    if broker.scheme == "kafka":
        pytest.skip("a topic of Kafka has no limit that refuses")
    broker.create(name, limit=50)
    everything = messages(200)
    found: list[int] = []
    sent = refused = 0
    with sender_to(broker.url(name)) as sender:
        while sent < len(everything):
            try:
                sent += sender.send(everything[sent : sent + 60])
            except SendError:
                refused += 1
                found = list(dict.fromkeys([*found, *numbers(broker.read(name))]))
    assert refused
    assert_nothing_lost_and_in_order([*found, *numbers(broker.read(name))], len(everything))


def test_a_broker_that_hangs_holds_up_no_other(start_broker: Callable[[str], Broker], name: str) -> None:
    hangs, serves = start_broker("redis"), start_broker("nats")
    serves.create(name)
    destinations = {"first": hangs.url(name, timeout=0.3), "second": serves.url(name)}
    with bleepstore.open(event_destinations=destinations) as store:
        store.create_bucket("photos")
        notify(store, queue("first", prefix="1"), queue("second", id="2", prefix="2"))
        hangs.freeze()
        try:
            store.put_object("photos", "1", b"")
            store.put_object("photos", "2", b"")
            store.jobs.run("events")
            first, second = store.event_destinations()
            assert (first.waiting, second.waiting) == (1, 0)
            assert first.error is not None
        finally:
            hangs.thaw()
        store.jobs.run("events")
        first, second = store.event_destinations()
        assert (first.waiting, first.error) == (0, None)
    assert b'"key":"1"' in hangs.read(name)[-1]
    assert b'"key":"2"' in serves.read(name)[-1]
