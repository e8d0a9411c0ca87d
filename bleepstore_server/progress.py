"""How long work shows its progress."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_SECONDS_BETWEEN_LINES = 5.0


@contextlib.contextmanager
def shown_progress(what: str, unit: str = "bytes") -> Iterator[Callable[[int, int], None]]:
    """Gives what takes (bytes done, bytes in all), or numbers of another unit.

    It shows a bar on a terminal, if tqdm is installed (the extra `progress`), else a line now and then.
    """
    tqdm = _tqdm() if sys.stderr.isatty() else None
    if tqdm is not None:
        scale = {"unit": "B", "unit_divisor": 1024} if unit == "bytes" else {"unit": f" {unit}"}
        with tqdm(desc=what, unit_scale=True, file=sys.stderr, **scale) as bar:

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
            sys.stderr.write(f"{what}: {done:,} of {total:,} {unit}\n")

    yield say


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
