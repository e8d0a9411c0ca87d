"""BleepStore as the far end of a gateway, as a process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.serving.conftest import Served, start


@contextlib.contextmanager
def far_end(folder: Path, certificate: Path | None = None) -> Iterator[Served]:
    served = start(folder / "far-end", "--workers", "1", "--threads", "16", certificate=certificate)
    try:
        yield served
    finally:
        served.end()
