"""Whether a catalog can be used: until it is closed, and only in the process that opened it."""

from __future__ import annotations

import weakref

from bleepstore.errors import StoreClosed
from bleepstore.posix import run_in_forks

_CLOSED = "The store was closed: open it again."
_FORKED = "The store was opened before this process was forked: open it after the fork."


class Life:
    """`is_ours` says whether this process opened the catalog and has not closed it."""

    __slots__ = ("__weakref__", "_why_not", "is_ours")

    def __init__(self) -> None:
        self.is_ours = True
        self._why_not = _CLOSED
        _lives.add(self)

    def check(self) -> None:
        """Raise StoreClosed unless the catalog can be used."""
        if not self.is_ours:
            raise StoreClosed(self._why_not)

    def end(self) -> None:
        """The catalog is closed."""
        self.is_ours = False

    def end_by_fork(self) -> None:
        """This process is a child of the one that opened the catalog."""
        self.is_ours = False
        self._why_not = _FORKED


# To ask for the number of the process at each read would cost more than all else that a `with` block of a reader does.
_lives: weakref.WeakSet[Life] = weakref.WeakSet()


def _end_all() -> None:
    for life in list(_lives):
        life.end_by_fork()


run_in_forks(_end_all)
