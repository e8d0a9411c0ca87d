"""The log of production as the log of a simulated node, on a disk whose power fails: `SqliteLog` on a `RecordingDisk`.

A save that is torn is cut anywhere among the writes and syncs that SQLite made of it, and the log is opened again from
what is left. So is every start, from what was synced by then.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bleepstore.raft.messages import NodeId, SnapshotMeta
from bleepstore.raft.sqlite_log import SqliteLog, create_log, open_log
from bleepstore.testing.crash_disk import BytesWritten, FolderSynced, Named, RecordingDisk, Synced
from bleepstore.testing.simulator.disk import SimulatedLog

#: Files of a run need no disk.
_MEMORY = Path("/dev/shm")
_CLUSTER = "00000000-0000-4000-8000-000000000000"
#: Methods of the log in memory for which those of SQLite's stand.
_PASSED_ON = (
    "initial_state", "entries", "term", "first_index", "last_index", "snapshot", "size", "save", "compact",
)  # fmt: skip


class StoredLog(SimulatedLog):
    """Each write is durable when it returns."""

    def __init__(self, cluster: str, node: NodeId, snapshot: SnapshotMeta) -> None:
        super().__init__(cluster, node, snapshot)
        parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        self._root = Path(tempfile.mkdtemp(prefix="simulated-", dir=parent))
        self._number = 0
        self._begin()
        path, configuration = self._folder / "raft.db", snapshot.configuration
        self._use(create_log(path, cluster=_CLUSTER, node=node, configuration=configuration, vfs=self._disk.name))
        self._disk.events.append(FolderSynced(self._folder))

    @staticmethod
    def name_of(number: int) -> NodeId:
        return f"00000000-0000-4000-8000-{number:012}"

    def _begin(self) -> None:
        self._number += 1
        self._folder = self._root / f"{self._number}"
        self._folder.mkdir()
        self._disk = RecordingDisk()

    def _use(self, log: SqliteLog) -> None:
        """From now on this log answers, and is written to, instead of the one in memory."""
        self._log = log
        for name in _PASSED_ON:
            setattr(self, name, getattr(log, name))

    # --- power cuts ---

    def tear_save(self, rng: random.Random, *what: Any) -> None:
        self._cut(rng, lambda: self._log.save(*what))

    def tear_compaction(self, rng: random.Random, snapshot: SnapshotMeta) -> None:
        self._cut(rng, lambda: self._log.compact(snapshot))

    def restart(self, rng: random.Random) -> None:
        self._reopen(rng, len(self._disk.events))

    def _cut(self, rng: random.Random, write: Callable[[], None]) -> None:
        before = len(self._disk.events)
        write()
        self._reopen(rng, rng.randrange(before, max(before + 1, len(self._disk.events))))

    def _reopen(self, rng: random.Random, cut: int) -> None:
        """From what a power cut after so many events leaves. Those are the first events of the next disk."""
        disk, folder = self._disk, self._folder
        self._log.close()
        self._begin()
        disk.image(cut, rng, self._folder)
        disk.unregister()
        shutil.rmtree(folder)
        for path in sorted(self._folder.iterdir()):
            self._disk.events += [Named(path), BytesWritten(path.name, 0, path.read_bytes()), Synced(path.name)]
        self._disk.events.append(FolderSynced(self._folder))
        self._use(open_log(self._folder / "raft.db", vfs=self._disk.name))

    def close(self) -> None:
        self._log.close()
        with contextlib.suppress(Exception):
            self._disk.unregister()
        shutil.rmtree(self._root, ignore_errors=True)
