"""Snapshots between nodes: a copy of the state goes out in chunks, each with its hash, and is verified coming in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from bleepstore.raft.messages import SnapshotMeta
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.transport import Chunk, SnapshotStream

CHUNK_BYTES = 1 << 20


class FileStream:
    """A snapshot in a file, which `close` removes."""

    def __init__(self, meta: SnapshotMeta, path: Path, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.meta = meta
        self.size = path.stat().st_size
        self._path = path
        self._chunk_bytes = chunk_bytes

    def chunks(self) -> Iterator[Chunk]:
        with self._path.open("rb") as file:
            offset = 0
            while data := file.read(self._chunk_bytes):
                yield Chunk.of(offset, data)
                offset += len(data)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


def receive(stream: SnapshotStream, path: Path, stopping: threading.Event) -> None:
    """Write a snapshot to the new file `path`, verified and synced. Raises SnapshotRefused, also if `stopping` is set
    meanwhile, and leaves no file then.
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
            if file.tell() != stream.size:
                raise SnapshotRefused(f"{file.tell()} bytes of {stream.size} came")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
