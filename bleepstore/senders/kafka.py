"""Messages to a topic of Kafka: `kafka://[user:password@]host[:9092][,host...]/TOPIC`, by TLS with `kafkas://`.

All replicas in sync have a message when it is acknowledged, and an idempotent producer neither repeats nor reorders
what it sends again: https://kafka.apache.org/documentation/#producerconfigs. The key of a message chooses its
partition as Java's clients do. Option: `sasl`, how a user says who it is (PLAIN; SCRAM-SHA-256, SCRAM-SHA-512).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from bleepstore.errors import StoreError
from bleepstore.senders.address import CREDENTIALS, Address, parse_address
from bleepstore.senders.connected import Batch
from bleepstore.senders.messages import Message
from bleepstore.senders.sender import SendError

_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
_GRACE = 1.0  # seconds that the client may be late in giving up


class Kafka:
    """Its client has threads and connections of its own, and connects again by itself. Raises StoreError for a URL that
    is wrong."""

    def __init__(self, url: str) -> None:
        self._address = address = parse_address(url, CREDENTIALS | {"sasl"})
        if not address.path or "/" in address.path:
            raise StoreError(f"{address} needs the name of a topic: {address.scheme}://HOST/TOPIC")
        if (mechanism := address.options.get("sasl", "PLAIN")) not in _MECHANISMS:
            raise StoreError(f"{address}: sasl is {mechanism!r}, and not one of {', '.join(sorted(_MECHANISMS))}")
        self._producer: Producer | None = None
        #: What the client said last of its connections.
        self._connection_error: KafkaError | None = None

    def send(self, messages: Sequence[Message]) -> int:
        batch = Batch(messages, self._address.timeout)
        self._connection_error = None
        try:
            if self._producer is None:
                self._producer = Producer(self._settings())
            self._produce(self._producer, batch)
        except (KafkaException, BufferError, SendError) as error:
            self.close()
            if not batch.taken:
                raise SendError(f"{self._address}: {error}") from error
        return batch.taken

    def _produce(self, producer: Producer, batch: Batch) -> None:
        failures: list[KafkaError] = []

        def report(index: int) -> Callable[[KafkaError | None, Any], None]:
            def reported(error: KafkaError | None, _message: Any) -> None:
                if error is None:
                    batch.acknowledge(index)
                else:
                    failures.append(error)

            return reported

        for numbered in batch.everything:
            message = numbered.message
            producer.produce(
                self._address.path, message.body, message.group.encode(), on_delivery=report(numbered.index)
            )
        missing = producer.flush(self._address.timeout + _GRACE)
        if failures or missing:
            # That a message was given up says less than the error of the connection before it.
            cause = self._connection_error or (failures[0] if failures else None)
            raise SendError(cause.str() if cause else "it did not answer in time")

    def _settings(self) -> dict[str, Any]:
        """https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"""
        milliseconds = int(self._address.timeout * 1000)
        return {
            "bootstrap.servers": ",".join(self._address.hosts),
            "client.id": "bleepstore",
            "acks": "all",
            "enable.idempotence": True,
            # What fails stops what is behind it, which would overtake it otherwise.
            "enable.gapless.guarantee": True,
            "partitioner": "murmur2_random",
            "linger.ms": 1,
            "message.timeout.ms": milliseconds,
            "socket.timeout.ms": max(milliseconds, 10),
            "socket.connection.setup.timeout.ms": max(milliseconds, 1000),
            "topic.metadata.propagation.max.ms": 0,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
            "error_cb": self._note_error,
            **_security(self._address),
        }

    def _note_error(self, error: KafkaError) -> None:
        self._connection_error = error

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()  # what is on its way is not waited for


def _security(address: Address) -> dict[str, Any]:
    with_tls = address.scheme == "kafkas"
    protocol = "SSL" if with_tls else "PLAINTEXT"
    settings: dict[str, Any] = {}
    if with_tls:
        address.tls()  # says what is wrong with the files
        for option, name in (("ca_file", "ca"), ("cert_file", "certificate"), ("key_file", "key")):
            if option in address.options:
                settings[f"ssl.{name}.location"] = address.options[option]
    if address.user is not None:
        protocol = f"SASL_{protocol}"
        settings["sasl.mechanism"] = address.options.get("sasl", "PLAIN")
        settings["sasl.username"] = address.user
        settings["sasl.password"] = address.password() or ""
    return settings | {"security.protocol": protocol}
