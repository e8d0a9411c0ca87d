"""Fetching a snapshot from another node, in a thread of its own: one at a time, and not at once again if it fails."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

from bleepstore.raft.messages import NodeId, SnapshotFetch
from bleepstore.raft.node_settings import start_thread
from bleepstore.raft.snapshot_transfer import receive
from bleepstore.raft.state_machine import SnapshotRefused, StateMachine
from bleepstore.raft.transport import Transport

#: The longest wait after a failure, in first waits.
MAX_WAITS = 60

_log = logging.getLogger("bleepstore.raft")


class Attempt:
    """One fetch. `moved_at` is when something came last; None: all has come."""

    def __init__(self, fetch: SnapshotFetch, now: float) -> None:
        self.fetch = fetch
        self.moved_at: float | None = now
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None


class Fetcher:
    """`post` gets ("fetched", (attempt, meta, prepared name)) or ("fetch failed", (attempt, error)). All other methods
    are the node thread's. Times are in ticks.
    """

    def __init__(
        self,
        node: NodeId,
        state_machine: StateMachine,
        transport: Transport,
        post: Callable[[tuple[str, Any]], None],
        *,
        now: Callable[[], float],
        patience: float,
        first_wait: float,
        spawn: Callable[[Callable[[], None], str], threading.Thread | None] = start_thread,
    ) -> None:
        """A source from which nothing comes for `patience` is given up; after a failure comes the `first_wait`, and
        after each further one twice the last."""
        self._node = node
        self._state_machine = state_machine
        self._transport = transport
        self._post = post
        self._now = now
        self._patience = patience
        self._first_wait = first_wait
        self._spawn = spawn
        self._attempt: Attempt | None = None
        self._failures = 0
        self._again_at: float | None = None

    def start(self, fetch: SnapshotFetch, space: float) -> None:
        """Begin, if the state fits into `space` bytes. Called again only when `tick` or `ends` says that it is over."""
        attempt = self._attempt = Attempt(fetch, self._now())
        if fetch.size > space:
            self.failed(attempt, SnapshotRefused(f"the state has {fetch.size} bytes, and there is space for {space}"))
            return
        attempt.thread = self._spawn(functools.partial(self._run, attempt), f"raft-{self._node}-fetch")

    def ends(self, attempt: Attempt) -> bool:
        """It has what was to be fetched; whether anybody still waits for it."""
        if attempt is not self._attempt:
            return False
        self._attempt = None
        self._failures = 0
        return True

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        """Nothing is fetched for a while: each attempt makes the source copy its state."""
        if attempt is not self._attempt:
            return
        self._attempt = None
        wait = min(self._first_wait * 2**self._failures, self._first_wait * MAX_WAITS)
        self._failures += 1
        self._again_at = self._now() + wait
        _log.warning("raft node %s has no snapshot from %s: %s", self._node, attempt.fetch.source, error)

    def tick(self) -> bool:
        """Whether the fetch that failed last is over, and another may be asked for."""
        attempt = self._attempt
        if attempt is not None and attempt.moved_at is not None and self._now() - attempt.moved_at > self._patience:
            attempt.stopping.set()
            self.failed(attempt, TimeoutError("nothing more has come from it"))
        if self._again_at is None or self._now() < self._again_at:
            return False
        self._again_at = None
        return True

    def stop(self, seconds: float) -> None:
        """Give up what is under way, and wait so long for it: a source that is silent may hold the thread longer."""
        attempt = self._attempt
        if attempt is not None and attempt.thread is not None:
            attempt.stopping.set()
            attempt.thread.join(seconds)

    def _run(self, attempt: Attempt) -> None:
        fetch = attempt.fetch

        def moved() -> None:
            attempt.moved_at = self._now()

        try:
            path = self._state_machine.incoming()
            try:
                stream = self._transport.fetch_snapshot(fetch.source, self._node, fetch.meta.index)
                try:
                    receive(stream, path, attempt.stopping, moved)
                finally:
                    stream.close()
                attempt.moved_at = None
                name = self._state_machine.prepare(path, stream.meta.index)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except Exception as error:  # noqa: BLE001  # whatever the source sent, this node lives on without it
            self._post(("fetch failed", (attempt, error)))
        else:
            self._post(("fetched", (attempt, stream.meta, name)))
