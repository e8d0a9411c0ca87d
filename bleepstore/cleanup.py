"""What an operation that fails takes back, without another error in the stead of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

_log = logging.getLogger("bleepstore")


class on_error:  # it is read as a verb: `with on_error(file.close):`
    """A block, and what is called if it fails, in this order: each also if another one fails too.

    What they raise is logged: it is the block's error that says what was wrong, and by its kind whether to try again.
    An interrupt is raised at once.
    """

    def __init__(self, *calls: Callable[[], object]) -> None:
        self._calls = calls

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None:
            return
        for call in self._calls:
            try:
                call()
            except Exception as failure:  # noqa: BLE001  # whatever it is, it is not what has failed first
                _log.warning("after %r what had been begun could not be taken back: %r", error, failure)
