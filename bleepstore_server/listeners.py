"""The sockets that a server listens on: they belong to its first process, and stay when its workers change.

An address has as many sockets as there are workers at the start, so that Linux shares its connections out among them
(SO_REUSEPORT); elsewhere it has one. A worker accepts from its share of them, and now and then whatever waits at the
others: so a connection that nobody has accepted yet outlives the worker that it was meant for, be it that the worker
ends, hangs or is replaced.
"""

from __future__ import annotations

import collections
import socket
import sys
from collections.abc import Sequence
from typing import Any

from bleepstore_server.app_config import ConfigError

_SHARES = sys.platform == "linux"


class Listeners:
    """Binds addresses; gunicorn listens on them."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def bind(self, host: str, port: int, *, count: int, names: str) -> int:
        """Bind so many sockets, and return their port, which 0 leaves to the system. `names` are the settings that
        ConfigError is about."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # Without SO_REUSEPORT it fails if another server has the port: we must not share it by accident.
            first = self._bind(family, host, port, shares=False)
            bound: int = first.getsockname()[1]
            if _SHARES and count > 1:
                self._sockets.remove(first)
                first.close()
                for _ in range(count):
                    self._bind(family, host, bound, shares=True)
        except OSError as error:
            raise ConfigError(f"{names}: cannot listen on {host} port {port}: {error.strerror}") from error
        return bound

    def _bind(self, family: socket.AddressFamily, host: str, port: int, *, shares: bool) -> socket.socket:
        made = socket.socket(family)
        self._sockets.append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        return made

    def give_to_gunicorn(self) -> list[str]:
        """The sockets as values of its setting `bind`. From now on they are gunicorn's."""
        sockets, self._sockets = self._sockets, []
        return [f"fd://{each.detach()}" for each in sockets]

    def close(self) -> None:
        """Close those that are still ours."""
        for each in self._sockets:
            each.close()
        self._sockets = []


def pre_fork(arbiter: Any, worker: Any) -> None:
    """gunicorn's hook: give a new worker the number that fewest of the others have. Those of a worker that ended, or is
    about to end, come again."""
    taken = collections.Counter(other.number for other in arbiter.WORKERS.values())
    worker.number = min(range(arbiter.num_workers), key=lambda number: taken[number])


def split(listeners: Sequence[Any], number: int, workers: int) -> tuple[list[Any], list[Any]]:
    """(those that a worker accepts from, those that it looks at now and then)."""
    by_address: dict[object, list[Any]] = {}
    for listener in listeners:
        by_address.setdefault(listener.getsockname(), []).append(listener)
    own = []
    for group in by_address.values():
        own += group[number::workers] or [group[number % len(group)]]
    return own, [listener for listener in listeners if listener not in own]
