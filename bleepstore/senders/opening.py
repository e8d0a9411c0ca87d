"""Which URL is whose."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from bleepstore.errors import StoreError
from bleepstore.senders.sender import Sender

#: The scheme of a URL -> the module and the class that sends there, and the extra that brings its client. The class is
#: called with the URL, and checks it.
SCHEMES: Mapping[str, tuple[str, str, str | None]] = {
    "http": ("webhook", "Webhook", None),
    "https": ("webhook", "Webhook", None),
    "redis": ("redis_streams", "RedisStream", "redis"),
    "rediss": ("redis_streams", "RedisStream", "redis"),
    "amqp": ("rabbitmq", "RabbitMq", "rabbitmq"),
    "amqps": ("rabbitmq", "RabbitMq", "rabbitmq"),
    "kafka": ("kafka", "Kafka", "kafka"),
    "kafkas": ("kafka", "Kafka", "kafka"),
    "nats": ("nats_streams", "NatsStream", "nats"),
    "natss": ("nats_streams", "NatsStream", "nats"),
    "sqs+http": ("aws", "Sqs", "aws"),
    "sqs+https": ("aws", "Sqs", "aws"),
    "sns+http": ("aws", "Sns", "aws"),
    "sns+https": ("aws", "Sns", "aws"),
}


def open_sender(url: str) -> Sender:
    """What sends to this URL. Raises StoreError for a URL that names nothing, and where a client is not installed."""
    scheme = url.partition(":")[0].lower()
    found = SCHEMES.get(scheme)
    if found is None:
        raise StoreError(f"events cannot be sent to {scheme!r}: the schemes are {', '.join(SCHEMES)}")
    module, name, extra = found
    try:
        opened: Any = getattr(importlib.import_module(f"bleepstore.senders.{module}"), name)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").startswith("bleepstore"):
            raise
        raise StoreError(
            f"{scheme}: events need the package {error.name}: pip install 'bleepstore[{extra}]'"
        ) from error
    sender: Sender = opened(url)
    return sender
