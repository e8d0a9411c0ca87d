"""Messages as entries of a Redis stream: `redis://[user:password@]host[:6379][/database]?stream=NAME`.

Redis answers when an entry is in its append-only file, which is on the disk by then if its setting `appendfsync` is
`always`. Options: `maxlen` keeps the stream to about so many entries, the oldest are dropped; with `replicas` so many
replicas have the entries too. https://redis.io/docs/latest/commands/xadd/ and /wait/
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from bleepstore.errors import StoreError
from bleepstore.senders.address import CREDENTIALS, Address, parse_address
from bleepstore.senders.connected import Batch, ConnectedSender, ConnectionLost, Numbered
from bleepstore.senders.sender import SendError

_TRANSACTION = 100  # entries of one transaction, at most
_LATE_ANSWER = 0.2  # seconds


class RedisStream(ConnectedSender):
    """Raises StoreError for a URL that is wrong."""

    def __init__(self, url: str) -> None:
        address = parse_address(url, CREDENTIALS | {"stream", "maxlen", "replicas"})
        if address.path and not address.path.isdecimal():
            raise StoreError(f"{address}: the path is the number of a database")
        add = ["XADD", address.need("stream")]
        if maxlen := address.number("maxlen"):
            add += ["MAXLEN", "~", str(maxlen)]
        replicas = address.number("replicas")
        super().__init__(address.timeout, lambda seconds: _Connection(address, seconds, (*add, "*"), replicas))


class _Connection:
    def __init__(self, address: Address, seconds: float, add: Sequence[str], replicas: int) -> None:
        self._name = f"{address}?stream={add[1]}"
        self._add = add
        self._replicas = replicas
        self._connection = _open(address, seconds)
        with self._errors():
            self._connection.connect()

    def send(self, batch: Batch) -> None:
        with self._errors():
            for part in batch.parts(_TRANSACTION):
                self._add_entries(part, batch)
                for numbered in part:
                    batch.acknowledge(numbered.index)

    def _add_entries(self, part: Sequence[Numbered], batch: Batch) -> None:
        """In one transaction: Redis takes all entries or none."""
        commands: list[Sequence[str | bytes]] = [["MULTI"]]
        commands += [[*self._add, "key", numbered.message.group, "event", numbered.message.body] for numbered in part]
        commands.append(["EXEC"])
        if self._replicas:
            # Redis looks every tenth of a second whether the time of a WAIT is up.
            milliseconds = int((batch.seconds_left - _LATE_ANSWER) * 1000)
            commands.append(["WAIT", str(self._replicas), str(max(milliseconds, 1))])
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        for _ in range(len(part) + 1):
            self._answer(batch)
        for answer in self._answer(batch):
            if isinstance(answer, ResponseError):
                raise answer
        if self._replicas and (reached := self._answer(batch)) < self._replicas:
            raise SendError(f"{self._name}: {reached} replicas have the entries, and not {self._replicas}")

    def _answer(self, batch: Batch) -> Any:
        if batch.is_late:
            raise ConnectionLost(f"{self._name} did not answer in time")
        return self._connection.read_response()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """An error that Redis answers is of this request (ResponseError); any other is of the connection."""
        try:
            yield
        except ResponseError as error:
            raise SendError(f"{self._name}: {error}") from error
        except RedisError as error:
            raise ConnectionLost(f"{self._name}: {error}") from error

    def close(self) -> None:
        self._connection.disconnect()


def _open(address: Address, seconds: float) -> Any:
    host, port = address.host_and_port(6379)
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "db": int(address.path or 0),
        "username": address.user,
        "password": address.password(),
        "socket_connect_timeout": seconds,
        "socket_timeout": address.timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.scheme == "redis":
        return redis.Connection(**options)  # type: ignore[no-untyped-call]
    address.tls()  # says what is wrong with the files
    return redis.SSLConnection(
        **options,
        ssl_ca_certs=address.options.get("ca_file"),
        ssl_certfile=address.options.get("cert_file"),
        ssl_keyfile=address.options.get("key_file"),
    )
