"""Fetching a snapshot from another node, in a thread of its own: one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from bleepstore.raft.messages import NodeId, SnapshotFetch
from bleepstore.raft.snapshot_transfer import receive
from bleepstore.raft.state_machine import StateMachine
from bleepstore.raft.transport import Transport


class Fetcher:
    """`post` gets ("fetched", (meta, prepared name)) or ("fetch failed", error)."""

    def __init__(
        self, node: NodeId, state_machine: StateMachine, transport: Transport, post: Callable[[tuple[str, Any]], None]
    ) -> None:
        self._node = node
        self._state_machine = state_machine
        self._transport = transport
        self._post = post
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, fetch: SnapshotFetch) -> None:
        """Called again only when the result of the last call was posted."""
        if self._thread is not None:
            self._thread.join()
        self._thread = threading.Thread(target=self._run, args=(fetch,), name=f"raft-{self._node}-fetch", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Give up what is under way, and wait so long for it: a source that is silent may hold the thread longer."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, fetch: SnapshotFetch) -> None:
        try:
            path = self._state_machine.incoming()
            try:
                stream = self._transport.fetch_snapshot(fetch.source, self._node, fetch.meta.index)
                try:
                    receive(stream, path, self._stopping)
                finally:
                    stream.close()
                name = self._state_machine.prepare(path, stream.meta.index)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except Exception as error:  # noqa: BLE001  # whatever the source sent, this node lives on without it
            self._post(("fetch failed", error))
        else:
            self._post(("fetched", (stream.meta, name)))
