"""What the jobs of a folder remember when a process ends, and what its processes tell each other of them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from bleepstore.jobs.job import JobStatus

#: Who ran them last, and when each pass ended.
JOBS_FILE = "jobs.json"
#: What can be seen of them, by the process that runs them.
_STATUS_FILE = "jobs.status.json"
#: Until when none of them runs, in milliseconds of the store's clock.
_PAUSE_FILE = "jobs.paused"
#: Before the name of a job that somebody wants to be run now: a file for each.
_WANTED = "jobs.wanted."
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@attrs.frozen
class Remembered:
    """`holder` is the process that last held the lease; `ended_ms` when each job's last pass ended."""

    holder: int = 0
    ended_ms: dict[str, int] = attrs.Factory(dict)


class JobsFile:
    """Nothing of it is synced: after a power cut a pass may be done once more. `folder` None: nothing is written. Each
    file is written as a whole or not at all; a disk that takes nothing keeps no job from running."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def is_kept(self) -> bool:
        """Whether anything is written."""
        return self._folder is not None

    def read(self) -> Remembered:
        """What was written last; nothing if that cannot be read."""
        with contextlib.suppress(*_UNREADABLE):
            data = self._load(JOBS_FILE)
            return Remembered(int(data["holder"]), {name: int(time) for name, time in data["ended_ms"].items()})
        return Remembered()

    def write(self, remembered: Remembered) -> None:
        self._store(JOBS_FILE, attrs.asdict(remembered))

    def read_statuses(self) -> dict[str, JobStatus]:
        """By the names of the jobs."""
        with contextlib.suppress(*_UNREADABLE):
            return {status["name"]: JobStatus(**status) for status in self._load(_STATUS_FILE)}
        return {}

    def write_statuses(self, statuses: Sequence[JobStatus]) -> None:
        self._store(_STATUS_FILE, [attrs.asdict(status) for status in statuses])

    def read_pause_ms(self) -> int:
        """0 if there is none."""
        with contextlib.suppress(*_UNREADABLE):
            return int(self._load(_PAUSE_FILE))
        return 0

    def write_pause_ms(self, until_ms: int) -> None:
        """Raises OSError: whoever asked for it must know."""
        if self._folder is not None:
            _replace(self._folder / _PAUSE_FILE, until_ms)

    def want(self, name: str) -> None:
        """Raises OSError."""
        if self._folder is not None:
            (self._folder / f"{_WANTED}{name}").touch()

    def take_wanted(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are wanted, and no more from now on."""
        found: list[str] = []
        if self._folder is None:
            return found
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / f"{_WANTED}{name}").unlink()
                found.append(name)
        return found

    def _load(self, name: str) -> Any:
        if self._folder is None:
            raise ValueError(name)
        return json.loads((self._folder / name).read_bytes())

    def _store(self, name: str, value: object) -> None:
        if self._folder is not None:
            with contextlib.suppress(OSError):
                _replace(self._folder / name, value)


def _replace(path: Path, value: object) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(value))
    new.replace(path)
