"""Messages to RabbitMQ: `amqp://[user:password@]host[:5672][/virtual-host]?queue=NAME`, or `?exchange=NAME`.

A message is persistent and mandatory, and the broker confirms it: that it is on the disk, if its queue is durable.
https://www.rabbitmq.com/docs/confirms. Options: `queue` (by the default exchange), or `exchange` with a `routing_key`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pika
from pika.exceptions import AMQPChannelError, AMQPError, ConnectionClosedByClient

from bleepstore.cleanup import on_error
from bleepstore.errors import StoreError
from bleepstore.senders.address import CREDENTIALS, Address, parse_address
from bleepstore.senders.connected import Batch, ConnectedSender, ConnectionLost, Numbered
from bleepstore.senders.sender import SendError

_ROUND = 1000  # messages that are not yet confirmed, at most
_CLOSING = 1.0  # seconds


class RabbitMq(ConnectedSender):
    """Raises StoreError for a URL that is wrong."""

    def __init__(self, url: str) -> None:
        address = parse_address(url, CREDENTIALS | {"queue", "exchange", "routing_key"})
        given = address.options
        if ("queue" in given) == ("exchange" in given) or ("queue" in given and "routing_key" in given):
            raise StoreError(f"{address} needs ?queue=NAME, or ?exchange=NAME&routing_key=KEY")
        super().__init__(address.timeout, lambda seconds: _Connection(address, seconds))


class _Connection:
    """One channel of one connection. Its loop runs while a call waits."""

    def __init__(self, address: Address, seconds: float) -> None:
        given = address.options
        self._exchange, self._routing_key = given.get("exchange", ""), given.get("queue", given.get("routing_key", ""))
        self._name = f"{address}?{'queue' if 'queue' in given else 'exchange'}={given.get('queue', self._exchange)}"
        self._failure: SendError | None = None
        self._closed = False
        self._channel: Any = None
        self._published = 0
        #: Delivery tag -> index in the batch: of what is not confirmed yet.
        self._unconfirmed: dict[int, int] = {}
        self._batch: Batch
        self._connection = pika.SelectConnection(
            _parameters(address, seconds),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=self._lost,
            on_close_callback=self._lost,
        )
        with on_error(self.close):
            self._run(seconds + _CLOSING)  # the client itself gives up after `seconds`

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._refused)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _ok: self._stop())
        self._channel = channel

    def send(self, batch: Batch) -> None:
        self._batch = batch
        for part in batch.rounds(_ROUND):
            for numbered in part:
                self._publish(numbered)
            self._run(batch.seconds_left)

    def _publish(self, numbered: Numbered) -> None:
        message = numbered.message
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,  # persistent
            message_id=hashlib.sha256(message.body).hexdigest(),
            headers={"key": message.group},
        )
        self._published += 1
        self._unconfirmed[self._published] = numbered.index
        try:
            self._channel.basic_publish(self._exchange, self._routing_key, message.body, properties, mandatory=True)
        except AMQPError as error:
            raise ConnectionLost(f"{self._name}: {_text(error)}") from error

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            self._failure = SendError(f"{self._name}: the queue is full, or cannot take messages")
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._unconfirmed if tag <= method.delivery_tag]
        for tag in tags:
            index = self._unconfirmed.pop(tag)
            if self._failure is None:
                self._batch.acknowledge(index)
        if not self._unconfirmed or self._failure is not None:
            self._stop()

    def _returned(self, _channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        """Before it confirms a message, a broker returns it if no queue took it: a mandatory one."""
        self._failure = SendError(f"{self._name}: no queue for it: {method.reply_text}")

    def _refused(self, _channel: Any, error: Exception) -> None:
        """The broker closed the channel, or the channel goes with its connection."""
        kind = SendError if isinstance(error, AMQPChannelError) else ConnectionLost
        self._fail(kind(f"{self._name}: {_text(error)}"))

    def _lost(self, _connection: Any, error: Exception | str) -> None:
        self._closed = True
        self._fail(ConnectionLost(f"{self._name}: {_text(error)}"))

    def _fail(self, failure: SendError) -> None:
        if self._failure is None:
            self._failure = failure
        self._stop()

    def _stop(self) -> None:
        self._connection.ioloop.stop()

    def _run(self, seconds: float) -> None:
        """Until something stops the loop. Raises SendError if that is no success."""
        self._loop(seconds, lambda: self._fail(ConnectionLost(f"{self._name} did not answer in time")))
        if self._failure is not None:
            raise self._failure

    def _loop(self, seconds: float, expire: Callable[[], None]) -> None:
        loop = self._connection.ioloop
        timer = loop.call_later(seconds, expire)
        try:
            loop.start()
        finally:
            loop.remove_timeout(timer)

    def close(self) -> None:
        if not self._closed:
            if self._connection.is_open:
                # Its close() waits for an answer, which does not come from a broker that hangs.
                self._connection._terminate_stream(ConnectionClosedByClient(200, "closed"))
            else:
                self._connection.close()  # which does not wait while it is being opened
            self._loop(_CLOSING, self._stop)
        self._connection.ioloop.close()


def _parameters(address: Address, seconds: float) -> pika.ConnectionParameters:
    with_tls = address.scheme == "amqps"
    host, port = address.host_and_port(5671 if with_tls else 5672)
    return pika.ConnectionParameters(
        host=host,
        port=port,
        virtual_host=address.path or "/",
        credentials=pika.PlainCredentials(address.user or "guest", address.password() or "guest"),
        ssl_options=pika.SSLOptions(address.tls(), host) if with_tls else None,
        heartbeat=0,  # none is answered between two calls; each call has a limit of its own
        connection_attempts=1,
        socket_timeout=seconds,
        stack_timeout=seconds,
    )


def _text(error: object) -> str:
    """Those of connections have an empty str()."""
    return str(error) or repr(error)
