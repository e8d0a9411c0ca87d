"""What an administrator may set for all workers of a server at once: how much is logged.

It is in memory that the workers share: one of them writes it, each looks several times a second.
"""

from __future__ import annotations

import logging
import mmap
import sys

LEVELS = ("ERROR", "WARNING", "INFO", "DEBUG")
_DEFAULT = LEVELS.index("WARNING")
_ROOT = "bleepstore"


class LogLevel:
    """How much of what this program says is logged, in all processes that are forked from the one that made this."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)
        self._shared[0] = self._applied = _DEFAULT

    @property
    def name(self) -> str:
        """One of LEVELS."""
        return LEVELS[self._shared[0]]

    def set(self, name: str) -> None:
        """From now on, for this process; for others once they look. Raises ValueError for what is no level."""
        self._shared[0] = LEVELS.index(name)
        self.look()

    def look(self) -> None:
        """Heed what another process has set."""
        if self._shared[0] != self._applied:
            self._applied = self._shared[0]
            logger = logging.getLogger(_ROOT)
            logger.setLevel(self.name)
            if not logger.handlers and not logging.getLogger().handlers:
                # Python's handler of last resort drops what is less than a warning.
                handler = logging.StreamHandler(sys.stderr)
                handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
                logger.addHandler(handler)
