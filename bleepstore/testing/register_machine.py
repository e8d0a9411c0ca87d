"""A small state machine for tests and measurements of Raft: named registers that are set and compared."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bleepstore.raft.state_machine import SnapshotRefused

REMEMBERED = 20_000


def set_command(name: str, value: str, request_id: str) -> bytes:
    """Sets a register; the result is its former value."""
    return json.dumps(["set", name, value, request_id]).encode()


def swap_command(name: str, expected: str | None, value: str, request_id: str) -> bytes:
    """Sets a register if it has the expected value (None: none); the result is whether it had."""
    return json.dumps(["swap", name, value, request_id, expected]).encode()


class RegisterMachine:
    """Registers in memory; `make_durable` writes them to a file of `folder`, and the next one begins there."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.registers: dict[str, str] = {}
        self.results: dict[str, Any] = {}
        self.applied = 0
        self.name = name
        self.batches: list[int] = []
        self._folder = folder
        self._number = 0
        self._lock = threading.Lock()
        if self._path(name).exists():
            self._load(self._path(name).read_bytes())
        for path in folder.glob("registers*.json"):
            if path != self._path(name):
                path.unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"registers{name}.json"

    def _load(self, data: bytes) -> None:
        self.applied, self.registers, self.results = json.loads(data)

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        self.batches.append(len(batch))
        with self._lock:
            results = [self._apply(data) for _, data in batch]
            self.applied = through
        return results

    def _apply(self, data: bytes) -> object:
        kind, name, value, request_id, *rest = json.loads(data)
        if request_id in self.results:
            return self.results[request_id]
        before = self.registers.get(name)
        result: object = before
        if kind == "set" or before == rest[0]:
            self.registers[name] = value
        if kind == "swap":
            result = before == rest[0]
        self.results[request_id] = result
        if len(self.results) > REMEMBERED:
            del self.results[next(iter(self.results))]
        return result

    def make_durable(self) -> int:
        return self._write(self._path(self.name))

    def write_snapshot(self, path: Path) -> int:
        return self._write(path)

    def _write(self, path: Path) -> int:
        with self._lock:
            state = self.applied, dict(self.registers), dict(self.results)
        partial = path.with_suffix(".partial")
        with partial.open("w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        return state[0]

    def incoming(self) -> Path:
        self._number += 1
        return self._folder / f"incoming-{os.getpid()}-{self._number}"

    def prepare(self, path: Path, index: int) -> str:
        applied = json.loads(path.read_bytes())[0]
        if applied != index:
            raise SnapshotRefused(f"the state is at {applied}, not {index}")
        path.rename(self._path(f"-{index}"))
        return f"-{index}"

    def install(self, name: str) -> None:
        old = self._path(self.name)
        self._load(self._path(name).read_bytes())
        self.name = name
        old.unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open."""
