"""What the jobs of a folder remember when a process ends: `jobs.json`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import attrs

JOBS_FILE = "jobs.json"


@attrs.frozen
class Remembered:
    """`holder` is the process that last held the lease; `ended_ms` when each job's last pass ended."""

    holder: int = 0
    ended_ms: dict[str, int] = attrs.Factory(dict)


class JobsFile:
    """It is not synced: after a power cut a pass may be done once more. `folder` None: nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / JOBS_FILE

    def read(self) -> Remembered:
        """What was written last; nothing if that cannot be read."""
        if self._path is not None:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                data = json.loads(self._path.read_bytes())
                return Remembered(int(data["holder"]), {name: int(time) for name, time in data["ended_ms"].items()})
        return Remembered()

    def write(self, remembered: Remembered) -> None:
        """As a whole or not at all; a disk that takes nothing keeps no job from running."""
        if self._path is None:
            return
        new = self._path.with_name(f"{JOBS_FILE}.{os.getpid()}")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(attrs.asdict(remembered)))
            new.replace(self._path)
