"""What sends messages to one destination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from bleepstore.errors import StoreError
from bleepstore.senders.messages import Message


class SendError(StoreError):
    """A destination did not take messages. They are sent again later."""


class Sender(Protocol):
    """One destination, for one thread at a time.

    A sender limits how long it waits: ten seconds or so for each answer. After an error it is closed, and another one
    is opened for the next attempt.
    """

    def send(self, messages: Sequence[Message]) -> int:
        """Send messages in this order, and return how many of them, from the first on, the destination has taken for
        good; the others come again. Raises SendError, or whatever its client raises, if it took none."""

    def close(self) -> None:
        """Release connections. Closing twice is allowed."""


#: Opens a sender, which connects at once or at its first message. It may raise whatever `send` may.
OpenSender = Callable[[], Sender]
