"""The server is killed with events on their way to a broker: each change that was answered is told of."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.senders.brokers import Broker, Redis
from tests.serving.conftest import Served

_KEYS = 3


def records_of(broker: Redis, name: str, is_enough: Callable[[list[Any]], bool]) -> list[Any]:
    """All that come until it is enough."""
    found: list[Any] = []
    last = b"0"
    with broker.client() as client:
        while not is_enough(found):
            answer = client.xread({name: last}, block=30_000)
            assert answer, f"after {len(found)} records no more came within 30 seconds"
            ((_, entries),) = answer
            last = entries[-1][0]
            for _, fields in entries:
                found += json.loads(fields[b"event"]).get("Records", [])
    return found


def write_until_killed(served: Served, writer: int, written: list[tuple[str, str]], kill: Callable[[], None]) -> None:
    """Puts the same few keys again and again; keeps (key, ETag) of each answer."""
    s3 = served.client()
    for number in itertools.count():
        key = f"{writer}-{number % _KEYS}"
        try:
            etag = s3.put_object(Bucket="photos", Key=key, Body=f"{writer} {number}".encode())["ETag"].strip('"')
        except (BotoCoreError, ClientError):
            return
        written.append((key, etag))
        if len(written) == 100:
            kill()


@pytest.mark.slow
def test_a_server_that_is_killed_tells_of_all_that_it_answered(
    start_broker: Callable[[str], Broker], serve: Callable[..., Served], name: str, tmp_path: Path
) -> None:
    broker = start_broker("redis")
    assert isinstance(broker, Redis)
    options: dict[str, Any] = {
        "data": tmp_path / "data",
        "environ": {"BLEEPSTORE_EVENT_DESTINATIONS": f"orders={broker.url(name)}"},
    }
    served = serve(**options)
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    orders = {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:orders", "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="photos",
        NotificationConfiguration={"QueueConfigurations": [orders]},  # type: ignore[list-item]
    )
    written: list[tuple[str, str]] = []
    with concurrent.futures.ThreadPoolExecutor(2) as writers:
        for writer in range(2):
            writers.submit(write_until_killed, served, writer, written, served.kill)
    assert len(written) >= 100
    serve(**options)

    def has_all(records: list[Any]) -> bool:
        told = {(record["s3"]["object"]["key"], record["s3"]["object"]["eTag"]) for record in records}
        return told.issuperset(written)

    records = records_of(broker, name, has_all)
    for key in {key for key, _ in written}:
        of_key = [one["s3"]["object"] for one in records if one["s3"]["object"]["key"] == key]
        first_copies = list(dict.fromkeys(one["sequencer"] for one in of_key))
        assert first_copies == sorted(first_copies)
