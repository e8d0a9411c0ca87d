"""What senders to brokers have in common: a batch of messages, and a connection that is made anew when it is lost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs

from bleepstore.cleanup import on_error
from bleepstore.senders.messages import Message
from bleepstore.senders.sender import SendError


class ConnectionLost(SendError):
    """There is no connection to the broker, or none any more, or it does not answer."""


@attrs.frozen
class Numbered:
    """A message, and its index in its batch."""

    index: int
    message: Message


class Batch:
    """Messages on their way, which of them are acknowledged, and until when it is waited for the others."""

    def __init__(self, messages: Sequence[Message], timeout: float) -> None:
        self._messages = [Numbered(index, message) for index, message in enumerate(messages)]
        self._missing = dict.fromkeys(range(len(messages)))
        self._deadline = time.monotonic() + timeout

    def acknowledge(self, index: int) -> None:
        self._missing.pop(index, None)

    @property
    def taken(self) -> int:
        """How many messages are acknowledged, from the first on."""
        return next(iter(self._missing), len(self._messages))

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    @property
    def seconds_left(self) -> float:
        """Above zero, since clients take 0 for no limit or refuse it."""
        return max(self._deadline - time.monotonic(), 0.001)

    @property
    def everything(self) -> Sequence[Numbered]:
        return self._messages

    def parts(self, size: int) -> Iterator[Sequence[Numbered]]:
        """What is not acknowledged, in its order, at most `size` at a time."""
        missing = [self._messages[index] for index in self._missing]
        for start in range(0, len(missing), size):
            yield missing[start : start + size]

    def rounds(self, size: int) -> Iterator[Sequence[Numbered]]:
        """As `parts`, but none has two messages of one group: for brokers that may refuse a message and take the next.
        A round is sent when all of the one before are acknowledged, so no message overtakes another of its group."""
        rounds: defaultdict[int, list[Numbered]] = defaultdict(list)
        seen: defaultdict[str, int] = defaultdict(int)
        for index in self._missing:
            numbered = self._messages[index]
            rounds[seen[numbered.message.group]].append(numbered)
            seen[numbered.message.group] += 1
        for found in rounds.values():
            for start in range(0, len(found), size):
                yield found[start : start + size]


class Connection(Protocol):
    """A connection to a broker."""

    def send(self, batch: Batch) -> None:
        """Returns when the broker has acknowledged all messages. Raises ConnectionLost if it is gone or does not
        answer in time, and SendError if it refuses a message."""

    def close(self) -> None:
        """Disconnect, without waiting for an answer."""


class ConnectedSender:
    """A Sender with one connection, which is made when it is needed, and again after a failure.

    Brokers and firewalls disconnect who is silent for long, which shows when the next message is sent. So if a
    connection that served before is lost, another one is tried at once.
    """

    def __init__(self, timeout: float, connect: Callable[[float], Connection]) -> None:
        """`timeout` is in seconds, for one batch; `connect` is given how many of them are left."""
        self._timeout = timeout
        self._connect = connect
        self._connection: Connection | None = None

    def send(self, messages: Sequence[Message]) -> int:
        batch = Batch(messages, self._timeout)
        try:
            self._send(batch)
        except SendError:
            if not batch.taken:
                raise
        return batch.taken

    def _send(self, batch: Batch) -> None:
        if self._connection is not None:
            try:
                return self._send_on(self._connection, batch)
            except ConnectionLost:
                if batch.is_late:
                    raise
        self._connection = self._connect(batch.seconds_left)
        return self._send_on(self._connection, batch)

    def _send_on(self, connection: Connection, batch: Batch) -> None:
        with on_error(self.close):
            connection.send(batch)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
