"""The thread that applies what is committed, batch by batch, and answers those who wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from bleepstore.errors import BleepStoreError
from bleepstore.raft.messages import Entry, EntryKind
from bleepstore.raft.state_machine import StateMachine
from bleepstore.raft.waiting import AppliedWatch, Proposals

#: Entries that are applied in one transaction, unless a single Ready hands out more.
MAX_TOGETHER = 1024


class OutOfOrder(BleepStoreError):
    """The state machine would skip or repeat an entry: a fault of the node."""


class Applier:
    """Owns the state machine's writes. `post` gets ("applied", index), ("durable", index) or ("failed", error)."""

    def __init__(
        self, state_machine: StateMachine, proposals: Proposals, post: Callable[[tuple[str, Any]], None], name: str
    ) -> None:
        self.state_machine = state_machine
        self.watch = AppliedWatch(state_machine.applied)
        self._proposals = proposals
        self._post = post
        self._queue: queue.SimpleQueue[tuple[int, tuple[Entry, ...]] | str] = queue.SimpleQueue()
        self._lock = threading.Lock()  # held while the state machine changes
        self._stopping = False
        self._era = 0  # rises when a snapshot replaces the state: what was handed out before is void
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, entries: tuple[Entry, ...]) -> None:
        """Apply these after all before. Called by the node's thread."""
        self._queue.put((self._era, entries))

    def ask_durable(self) -> None:
        """Make what is applied durable, and post how far it is."""
        self._queue.put("durable")

    def replace(self, save: Callable[[], None], name: str) -> None:
        """Save the log's new beginning, then put the prepared state `name` instead of the present one."""
        with self._lock:
            self._era += 1
            save()
            self.state_machine.install(name)
            applied = self.state_machine.applied
        self.watch.reached(applied)

    def stop(self, seconds: float) -> bool:
        """End the thread after the batch it is at; what else was handed out is applied after the next start. Returns
        whether it has ended in so many seconds: if not, the state machine is still in use.
        """
        self._stopping = True
        self._queue.put("stop")  # wakes it
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def is_this_thread(self) -> bool:
        """Whether the caller runs in the thread that applies."""
        return threading.current_thread() is self._thread

    def work_next(self) -> bool:
        """Do the next piece of work in the caller's thread, if there is one; whether there was. For nodes that are
        stepped. An error is the caller's.
        """
        if self._queue.empty():
            return False
        self._work(self._queue.get())
        return True

    def _run(self) -> None:
        try:
            while self._work(self._queue.get()):
                pass
        except BaseException as error:  # noqa: BLE001  # the node ends with it, and says so
            self._post(("failed", error))

    def _work(self, item: tuple[int, tuple[Entry, ...]] | str) -> bool:
        if self._stopping:
            return False
        if item == "durable":
            with self._lock:
                index = self.state_machine.make_durable()
            self._post(("durable", index))
            return True
        assert isinstance(item, tuple)
        era, entries = item
        together = list(entries)
        following: tuple[int, tuple[Entry, ...]] | str | None = None
        while len(together) < MAX_TOGETHER:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                following = None
                break
            if isinstance(following, str) or following[0] != era:
                break
            together += following[1]
            following = None
        self._apply(era, together)
        return following is None or self._work(following)

    def _apply(self, era: int, entries: list[Entry]) -> None:
        commands = [entry for entry in entries if entry.kind is EntryKind.COMMAND]
        through = entries[-1].index
        with self._lock:
            if era != self._era:
                return
            if entries[0].index != self.state_machine.applied + 1:
                raise OutOfOrder(f"entry {entries[0].index} would follow {self.state_machine.applied}")
            results = self.state_machine.apply([(entry.index, entry.data) for entry in commands], through)
        for entry, result in zip(commands, results, strict=True):
            if entry.request_id:
                proposal = self._proposals.take(entry.request_id)
                if proposal is not None:
                    proposal.future.set_result(result)
        self.watch.reached(through)
        self._post(("applied", through))
