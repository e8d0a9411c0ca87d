"""gunicorn's first process, which has the workers: what SIGHUP does, and that no worker misses its end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from gunicorn.arbiter import Arbiter as GunicornArbiter


class Arbiter(GunicornArbiter):  # type: ignore[misc]  # gunicorn has no type information
    """`read_again` reads the configuration for SIGHUP, and says whether there is one that workers can begin with: if
    not, those that there are stay, and with them a store in memory."""

    def __init__(self, app: Any, read_again: Callable[[], bool]) -> None:
        super().__init__(app)
        self._read_again = read_again

    def handle_hup(self) -> None:
        if self._read_again():
            super().handle_hup()

    def spawn_worker(self) -> Any:
        """A worker that is told to end before it has handlers of its own (`Worker.init_signals`) ends once it has them:
        one of two SIGHUPs may come while the workers of the other begin."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return super().spawn_worker()  # which a worker does not come back from
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
