"""A destination that remembers what it was sent, and the notifications that name it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from bleepstore import ConfigurationKind, Store
from bleepstore.senders import Message


class Destination:
    """Opens senders that keep the documents they are given. While `error` is set they raise it."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.calls = 0
        self.takes = 1000  # of a batch
        self._changed = threading.Condition()

    def __call__(self) -> Destination:
        return self

    def send(self, messages: Sequence[Message]) -> int:
        with self._changed:
            self.calls += 1
            self._changed.notify_all()
            if self.error is not None:
                raise self.error
            taken = messages[: self.takes]
            self.documents += [json.loads(message.body) for message in taken]
            return len(taken)

    def close(self) -> None:
        """Nothing to release."""

    def wait_for(self, is_enough: Callable[[], bool]) -> None:
        """Return once that is so, after any call."""
        with self._changed:
            assert self._changed.wait_for(is_enough, 30)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Of all events, in the order in which they came."""
        return [record for document in self.documents for record in document.get("Records", ())]

    @property
    def seen(self) -> list[tuple[str, str]]:
        """(name, key) of all events."""
        return [(record["eventName"], record["s3"]["object"]["key"]) for record in self.records]


def queue(name: str, *events: str, id: str = "all", **key_filter: str) -> dict[str, Any]:
    """A configuration of a queue; `key_filter` has a prefix or a suffix."""
    made: dict[str, Any] = {
        "Id": id,
        "QueueArn": f"arn:aws:sqs:us-east-1:000000000000:{name}",
        "Events": list(events) or ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
    }
    if key_filter:
        made["Filter"] = {"Key": {"FilterRules": [{"Name": n, "Value": v} for n, v in key_filter.items()]}}
    return made


def notify(store: Store, *queues: dict[str, Any], bucket: str = "photos", **options: Any) -> None:
    store.put_bucket_configuration(
        bucket, ConfigurationKind.NOTIFICATION, {"QueueConfigurations": list(queues)}, **options
    )
