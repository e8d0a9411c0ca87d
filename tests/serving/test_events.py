"""A server that is killed at any moment loses no event."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.events.receiver import Receiver
from tests.serving.conftest import Served, start

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.slow
KEYS = [f"{number:02}" for number in range(20)]


@contextlib.contextmanager
def served(data: Path, url: str) -> Iterator[tuple[Served, S3Client]]:
    server = start(data, "--workers", "2", "--event-destinations", f"orders={url}")
    try:
        yield server, server.client()
    finally:
        server.end()


def configure(client: S3Client) -> None:
    client.create_bucket(Bucket="photos")
    queue: Any = {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:orders", "Events": ["s3:ObjectCreated:*"]}
    client.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration={"QueueConfigurations": [queue]}
    )


def test_killed_between_the_commit_and_the_delivery(tmp_path: Path) -> None:
    with Receiver() as receiver, served(tmp_path / "data", receiver.url) as (_, client):
        configure(client)
    with served(tmp_path / "data", receiver.url) as (server, client):  # the receiver is down
        for key in KEYS:
            client.put_object(Bucket="photos", Key=key, Body=b"")
        server.kill()
    with Receiver(receiver.port) as again, served(tmp_path / "data", again.url):
        again.wait_for_keys(*KEYS)
        assert again.keys == KEYS  # in order, each once: nothing had come before


def test_killed_between_the_delivery_and_its_acknowledgement(tmp_path: Path) -> None:
    with Receiver() as receiver:
        with served(tmp_path / "data", receiver.url) as (server, client):
            configure(client)
            client.put_object(Bucket="photos", Key="first", Body=b"")
            receiver.wait_for_keys("first")
            receiver.before_answer = server.kill
            with contextlib.suppress(Exception):  # the server is gone before or after its answer
                client.put_object(Bucket="photos", Key="second", Body=b"")
            receiver.wait_for_keys("second")
        receiver.before_answer = None
        with served(tmp_path / "data", receiver.url) as (_, client):
            client.put_object(Bucket="photos", Key="third", Body=b"")
            receiver.wait_for_keys("third")
    assert list(dict.fromkeys(receiver.keys)) == ["first", "second", "third"]
    assert receiver.keys.count("second") > 1  # again, since nobody knows that it was taken


def test_killed_while_many_write(tmp_path: Path) -> None:
    """Whatever is there afterwards had an event."""
    with Receiver() as receiver:
        with served(tmp_path / "data", receiver.url) as (server, client):
            configure(client)
            for key in KEYS[:10]:
                client.put_object(Bucket="photos", Key=key, Body=b"")
            server.kill()
        with served(tmp_path / "data", receiver.url) as (_, client):
            stored = [item["Key"] for item in client.list_objects_v2(Bucket="photos")["Contents"]]
            assert stored == KEYS[:10]
            receiver.wait_for_keys(*stored)
        assert list(dict.fromkeys(receiver.keys)) == stored
