"""What the tests of jobs watch: the folder of blobs, and what is garbage. And the clock that they move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bleepstore import Store
from bleepstore.backends.base import BlobSpec, StoredBlob
from bleepstore.backends.local import LocalBackend

START = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Watched(LocalBackend):
    """A folder of blobs that tells what is asked of it, and can be told to fail or to wait."""

    def __init__(self, root: Path, *, clock: Callable[[], int]) -> None:
        super().__init__(root, clock=clock)
        self.spans: list[tuple[int, int]] = []
        self.failures = 0
        self.deleted_one = threading.Event()
        self.after_put: Any = None

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str]:
        self.spans.append((since_ms, until_ms))
        return super().iter_blobs(since_ms, until_ms)

    def delete_object(self, handle: str) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is having a bad hour")
        super().delete_object(handle)
        self.deleted_one.set()

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        stored = super().put_object(spec, chunks)
        if self.after_put is not None:
            self.after_put()
        return stored


def garbage(store: Store) -> int:
    with store.engine.catalog.read() as reader:
        return len(reader.list_garbage(10_000))
