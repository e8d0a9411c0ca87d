"""How long work shows its progress."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_SECONDS_BETWEEN_LINES = 5.0


@contextlib.contextmanager
def shown_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what takes (bytes done, bytes in all).

    It shows a bar on a terminal, if tqdm is installed (the extra `progress`), else a line now and then.
    """
    tqdm = _tqdm() if sys.stderr.isatty() else None
    if tqdm is not None:
        with tqdm(desc=what, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr) as bar:

            def update(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield update
        return
    shown = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            sys.stderr.write(f"{what}: {done:,} of {total:,} bytes\n")

    yield say


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
