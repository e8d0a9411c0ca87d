"""A body that its client sends once it is asked to ("Expect: 100-continue", RFC 9110 section 10.1.1).

It is asked for when the app begins to read it: not for one that the header of its request refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class AwaitedBody:
    """`body` is what the server reads from, `send` what writes bytes to the client."""

    def __init__(self, body: Any, send: Callable[[bytes], object]) -> None:
        self._body = body
        self._send = send
        self._asked = False

    def is_awaited(self) -> bool:
        """Whether nobody has asked for it yet."""
        return not self._asked

    def read(self, size: int = -1) -> bytes:
        if not self._asked:
            self._asked = True
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        data: bytes = self._body.read(size)
        return data
