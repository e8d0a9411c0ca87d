"""Snapshots between nodes: a copy of the state goes out in chunks, each with its hash, and is verified coming in."""

from __future__ import annotations

import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from bleepstore.raft.messages import SnapshotMeta
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.transport import Chunk, SnapshotStream

CHUNK_BYTES = 1 << 20


class FileStream:
    """A snapshot in a file. `release` is called once, by `close`."""

    def __init__(
        self, meta: SnapshotMeta, path: Path, release: Callable[[], None], chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        self.meta = meta
        self.size = path.stat().st_size
        self._path = path
        self._release: Callable[[], None] | None = release
        self._chunk_bytes = chunk_bytes

    def chunks(self) -> Iterator[Chunk]:
        with self._path.open("rb") as file:
            offset = 0
            while data := file.read(self._chunk_bytes):
                yield Chunk.of(offset, data)
                offset += len(data)

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


class SharedCopies:
    """Copies of the state for other nodes. Those who ask while one is being sent get the same."""

    def __init__(self, make: Callable[[], tuple[SnapshotMeta, Path]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        #: The newest copy, and those who read each of them.
        self._newest: tuple[SnapshotMeta, Path] | None = None
        self._readers: Counter[Path] = Counter()

    def open(self, least_index: int) -> FileStream:
        """A copy at `least_index`, or later if the present state is. Close it."""
        with self._lock:
            if self._newest is None or self._newest[0].index < least_index:
                self._newest = self._make()
            meta, path = self._newest
            self._readers[path] += 1
        return FileStream(meta, path, functools.partial(self._release, path))

    def _release(self, path: Path) -> None:
        with self._lock:
            self._readers[path] -= 1
            if self._readers[path]:
                return
            del self._readers[path]
            if self._newest is not None and self._newest[1] == path:
                self._newest = None
        path.unlink(missing_ok=True)


def receive(stream: SnapshotStream, path: Path, stopping: threading.Event, moved: Callable[[], None]) -> None:
    """Write a snapshot to the new file `path`, verified and synced, and call `moved` for each piece. Raises
    SnapshotRefused, also if `stopping` is set meanwhile, and leaves no file then.
    """
    try:
        with path.open("xb") as file:
            for chunk in stream.chunks():
                if stopping.is_set():
                    raise SnapshotRefused("this node is being stopped")
                if chunk.offset != file.tell():
                    raise SnapshotRefused(f"a chunk of offset {chunk.offset} comes at {file.tell()}")
                if not chunk.is_sound:
                    raise SnapshotRefused(f"the hash of the chunk at {chunk.offset} does not match")
                file.write(chunk.data)
                moved()
            if file.tell() != stream.size:
                raise SnapshotRefused(f"{file.tell()} bytes of {stream.size} came")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
