"""The thread that applies what is committed, batch by batch, and answers those who wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from bleepstore.errors import BleepStoreError
from bleepstore.raft.comparison import Fingerprint
from bleepstore.raft.messages import Configuration, Entry, EntryKind
from bleepstore.raft.state_machine import StateMachine
from bleepstore.raft.storage import LogTooNew
from bleepstore.raft.waiting import AppliedWatch, Proposals

#: Entries that are applied in one transaction, unless a single Ready hands out more.
MAX_TOGETHER = 1024


class OutOfOrder(BleepStoreError):
    """The state machine would skip or repeat an entry: a fault of the node."""


class Applier:
    """Owns the state machine's writes. `post` gets ("applied", index), ("durable", index) or ("failed", error)."""

    def __init__(
        self,
        state_machine: StateMachine,
        proposals: Proposals,
        post: Callable[[tuple[str, Any]], None],
        name: str,
        *,
        level: int = 1,
        known_level: int = 1,
    ) -> None:
        """`level`: the feature level that is in effect where the state machine is; the program knows `known_level`."""
        self._known_level = known_level
        self.state_machine = state_machine
        self._level = level
        self._fingerprint = Fingerprint()
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

    def replace(self, save: Callable[[], None], name: str, level: int) -> None:
        """Save the log's new beginning, then put the prepared state `name`, of a feature level, instead of the present
        one.
        """
        with self._lock:
            self._era += 1
            save()
            self.state_machine.install(name)
            self._level = level
            self._fingerprint = Fingerprint()
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
        for position, entry in enumerate(entries):
            if entry.kind is EntryKind.CONFIGURATION and Configuration.decode(entry.data).level > self._level:
                if position:
                    self._apply_batch(era, entries[:position])
                self._raise_level(era, entry)
                if position + 1 < len(entries):
                    self._apply(era, entries[position + 1 :])
                return
        self._apply_batch(era, entries)

    def _raise_level(self, era: int, entry: Entry) -> None:
        """Between the commands before it, which the old level made, and those of the new one."""
        level = Configuration.decode(entry.data).level
        if level > self._known_level:
            raise LogTooNew(f"the cluster goes on to feature level {level}, this version knows {self._known_level}")
        with self._lock:
            if era != self._era:
                return
            self._check_follow([entry])
            self.state_machine.raise_level(level, entry.index)
            self._level = level
            found = self._fingerprint.take(entry.index, [b""])
        self._tell(entry.index, found)

    def _check_follow(self, entries: list[Entry]) -> None:
        """They are the next ones, each once."""
        first, last = entries[0].index, entries[-1].index
        if first != self.state_machine.applied + 1 or last != first + len(entries) - 1:
            raise OutOfOrder(f"{len(entries)} entries {first}..{last} would follow {self.state_machine.applied}")

    def _tell(self, through: int, fingerprints: list[tuple[int, int]]) -> None:
        self.watch.reached(through)
        for one in fingerprints:
            self._post(("compared", one))
        self._post(("applied", through))

    def _apply_batch(self, era: int, entries: list[Entry]) -> None:
        commands = [entry for entry in entries if entry.kind is EntryKind.COMMAND]
        through = entries[-1].index
        with self._lock:
            if era != self._era:
                return
            self._check_follow(entries)
            results = self.state_machine.apply([(entry.index, entry.data) for entry in commands], through)
            fingerprints = self._fingerprints(entries, results)
        for entry, result in zip(commands, results, strict=True):
            if entry.request_id:
                proposal = self._proposals.take(entry.request_id)
                if proposal is not None:
                    proposal.future.set_result(result)
        self._tell(through, fingerprints)

    def _fingerprints(self, entries: list[Entry], results: Sequence[object]) -> list[tuple[int, int]]:
        """Of the windows that end in this batch."""
        fingerprint = self.state_machine.fingerprint
        if len(results) == len(entries):
            return self._fingerprint.take(entries[0].index, map(fingerprint, results))
        following = iter(results)
        return self._fingerprint.take(
            entries[0].index,
            [fingerprint(next(following)) if entry.kind is EntryKind.COMMAND else b"" for entry in entries],
        )
