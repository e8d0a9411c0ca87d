"""Queues of SQS and topics of SNS, with moto's server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from bleepstore.senders import Message, SendError, open_sender
from tests.backends.emulators import moto
from tests.backends.tcp_faults import FaultProxy

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "123456789012")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


@contextlib.contextmanager
def client(service: Any, endpoint: str) -> Iterator[Any]:
    made = boto3.Session().client(service, endpoint_url=endpoint, region_name=REGION)
    with contextlib.closing(made):
        yield made


def bodies(sqs: Any, queue: str) -> list[str]:
    found: list[str] = []
    while got := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in got]
        for message in got:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def send(url: str, count: int) -> int:
    sender = open_sender(url)
    try:
        return sender.send([Message(json.dumps({"n": n}).encode(), f"bucket/{n % 3}") for n in range(count)])
    finally:
        sender.close()


def numbers(texts: list[str]) -> list[int]:
    return [json.loads(text)["n"] for text in texts]


def test_a_queue_gets_all_messages(endpoint: str) -> None:
    with client("sqs", endpoint) as sqs:
        queue = sqs.create_queue(QueueName="plain")["QueueUrl"]
        assert send(f"sqs+{queue}?region={REGION}", 25) == 25
        assert sorted(numbers(bodies(sqs, queue))) == list(range(25))


def test_a_fifo_queue_keeps_the_order_of_a_key_and_drops_what_is_sent_twice(endpoint: str) -> None:
    with client("sqs", endpoint) as sqs:
        queue = sqs.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        assert send(f"sqs+{queue}?region={REGION}", 25) == 25
        assert send(f"sqs+{queue}?region={REGION}", 25) == 25
        found = numbers(bodies(sqs, queue))
    assert len(found) == 25
    for key in range(3):
        assert [n for n in found if n % 3 == key] == list(range(key, 25, 3))


def test_a_topic_gets_all_messages(endpoint: str) -> None:
    with client("sqs", endpoint) as sqs, client("sns", endpoint) as sns:
        queue = sqs.create_queue(QueueName="of-topic")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = sns.create_topic(Name="topic")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        assert send(f"sns+{endpoint}/{topic}", 12) == 12
        notices = [json.loads(body) for body in bodies(sqs, queue)]
    assert sorted(numbers([notice["Message"] for notice in notices])) == list(range(12))
    assert {notice["Subject"] for notice in notices} == {"Amazon S3 Notification"}


@pytest.mark.parametrize("target", ["sqs+{}/123456789012/none?region=eu-west-1", "sns+{}/arn:aws:sns:eu-west-1:1:none"])
def test_what_is_not_there_is_an_error(endpoint: str, target: str) -> None:
    with pytest.raises(SendError, match=r"(?i)not exist"):
        send(target.format(endpoint), 1)


def test_a_service_that_does_not_answer_is_given_up_in_time(endpoint: str) -> None:
    proxy = FaultProxy(int(endpoint.rpartition(":")[2]))
    proxy.inject("stall", sent=1)
    try:
        with pytest.raises(SendError, match=r"(?i)timed? ?out"):
            send(f"sqs+{proxy.url}/123456789012/queue?region={REGION}&timeout=0.3", 1)
    finally:
        proxy.close()


def test_missing_credentials_are_an_error(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SendError, match="credentials"):
        send(f"sqs+{endpoint}/123456789012/queue?region={REGION}", 1)


def test_refused_entries_are_an_error_and_those_before_are_taken(endpoint: str) -> None:
    """A body of more than the queue takes: moto refuses all of such a request."""
    with client("sqs", endpoint) as sqs:
        queue = sqs.create_queue(QueueName="small", Attributes={"MaximumMessageSize": "1024"})["QueueUrl"]
        sender = open_sender(f"sqs+{queue}?region={REGION}")
        many = [Message(b"{}", str(n)) for n in range(15)]
        many[12] = Message(b'"%s"' % (b"x" * 2000), "12")
        try:
            assert sender.send(many) == 10
            with pytest.raises(SendError):
                sender.send(many[10:])
        finally:
            sender.close()
        assert len(bodies(sqs, queue)) == 10
