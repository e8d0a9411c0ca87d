"""The backends that need nothing but this machine keep the laws of the protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bleepstore.backends.base import StorageBackend
from bleepstore.backends.local import LocalBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.testing.backend_contract import BackendContract


class TestMemory(BackendContract):
    streams = False  # its store is this process's memory

    @pytest.fixture
    def backend(self) -> Iterator[StorageBackend]:
        with contextlib.closing(MemoryBackend()) as backend:
            yield backend


class TestLocal(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[StorageBackend]:
        with contextlib.closing(LocalBackend(tmp_path)) as backend:
            yield backend

    @pytest.fixture
    def other_process(self, backend: StorageBackend, tmp_path: Path) -> Iterator[StorageBackend]:
        with contextlib.closing(LocalBackend(tmp_path)) as other:
            yield other


class PassThrough:
    """The smallest wrapper of a backend."""

    def __init__(self, inner: StorageBackend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class TestWrapper(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[StorageBackend]:
        with contextlib.closing(LocalBackend(tmp_path)) as backend:
            yield cast("StorageBackend", PassThrough(backend))
