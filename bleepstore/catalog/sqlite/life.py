"""Whether a catalog can be used: until it is closed, and only in the process that opened it."""

from __future__ import annotations

import os

from bleepstore.errors import StoreClosed


class Life:
    """`pid` is the process that may use the catalog, and 0 once it is closed."""

    __slots__ = ("_opened_in", "pid")

    def __init__(self) -> None:
        self.pid = self._opened_in = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this process opened it and has not closed it."""
        return os.getpid() == self.pid

    def check(self) -> None:
        """Raise StoreClosed unless the catalog can be used."""
        if os.getpid() == self.pid:
            return
        if os.getpid() != self._opened_in:
            raise StoreClosed("The store was opened before this process was forked: open it after the fork.")
        raise StoreClosed("The store was closed: open it again.")

    def end(self) -> None:
        """The catalog is closed."""
        self.pid = 0
