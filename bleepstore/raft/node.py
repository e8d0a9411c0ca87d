"""The node: the threads around a driver, and what others ask of it.

    node thread      turns the driver: takes messages, proposals, reads and ticks, as many as there are; then
                     one Ready, one transaction of the log, one fsync for all of them
    apply thread     applies what is committed, a batch at a time, and answers the proposals
    sending threads  one for each peer, unless the transport never waits

A proposal is known by its request id and is offered again, with the same id, until it is applied here or its time is
up. The leader sends entries before its own fsync; it counts itself only after it. A failure of the log or of the
state machine ends the node: what waits gets NodeEnded, and nothing is answered from a state that may be wrong.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from bleepstore.errors import BleepStoreError
from bleepstore.raft.core import Raft
from bleepstore.raft.driver import Driver
from bleepstore.raft.endings import ending_of
from bleepstore.raft.messages import Message, NodeId, Refusal, SnapshotMeta, is_text
from bleepstore.raft.node_settings import DEFAULTS, HOST, Host, NodeSettings, Status
from bleepstore.raft.senders import CLOSE_SECONDS
from bleepstore.raft.snapshot_transfer import SharedCopies
from bleepstore.raft.state_machine import StateMachine
from bleepstore.raft.storage import LogStorage
from bleepstore.raft.transport import SnapshotStream, SnapshotUnavailable, Transport
from bleepstore.raft.waiting import LowSpace, NodeEnded, ProposalRefused, Read, fail_future, fail_read

T = TypeVar("T")

#: Events that are taken together, so that a flood cannot keep ticks away.
MAX_TOGETHER = 512
#: How long an end waits for each part of the node.
END_SECONDS = 10.0

_log = logging.getLogger("bleepstore.raft")


class Node:
    """One member of a cluster. Thread-safe. It owns `log` and `state_machine`, and closes them when it ends."""

    def __init__(
        self,
        log: LogStorage,
        state_machine: StateMachine,
        transport: Transport,
        *,
        settings: NodeSettings = DEFAULTS,
        host: Host = HOST,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_failure` is told why the node ended by itself, in its thread. Raises LogMisuse if there is a gap between
        the log and the state machine.
        """
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._driver = Driver(log, state_machine, transport, self._inbox.put, settings, host)
        self.id: NodeId = self._driver.id
        self.settings = settings
        self.counters = self._driver.counters
        self.failure: BaseException | None = None
        self._log = log
        self._state_machine = state_machine
        self._transport = transport
        self._on_failure = on_failure
        self._copies = SharedCopies(self._copy)
        self._thread = threading.Thread(target=self._run, name=f"raft-{self.id}", daemon=True)
        self._is_stepped = False
        self._crashed = False
        self._ended = threading.Event()
        self._end_lock = threading.Lock()

    # --- life ---

    def start(self) -> None:
        """Begin to take part."""
        self._driver.begin()
        self._driver.applier.start()
        self._transport.register(self.id, self)
        self._thread.start()

    def start_stepped(self) -> None:
        """Begin without threads: `step` and `apply_next` do their work in the thread of the caller, who also ends the
        node if one of them raises. For simulations.
        """
        self._is_stepped = True
        self._driver.begin()
        self._transport.register(self.id, self)

    def step(self) -> bool:
        """Do all that waits for the node's thread, and tick if it is time; False: the node has left."""
        events, inbox = [], self._inbox
        while not inbox.empty():
            events.append(inbox.get())
        self._driver.turn(events)
        if self._driver.stopping:
            self._driver.flush()
        return not self._driver.stopping

    def apply_next(self) -> bool:
        """Do what waits for the apply thread; whether there was anything."""
        return self._driver.applier.work_next()

    def stop(self, *, hand_over: bool = True) -> None:
        """End orderly. Stopping twice is allowed. A leader hands over first, for which it takes no longer than an
        election would: the others are without a leader for milliseconds, not for a second.
        """
        seconds = self.settings.tick_seconds
        if hand_over and seconds is not None and self._thread.is_alive() and not self._is_own_thread():
            self.leave()
            self._ended.wait(2 * seconds * self.settings.core.election_ticks)
        self._stop()

    def leave(self) -> None:
        """Hand over, if this node leads, and end when another one does; returns at once. If none does within three
        election timeouts it ends all the same, and logs what to look at.
        """
        self._inbox.put(("leave", None))

    def crash(self) -> None:
        """End at once, as if the process had died: nothing more is saved or sent. For tests."""
        self._crashed = True
        self._stop()

    def _stop(self) -> None:
        self._driver.stopping = True
        self._transport.unregister(self.id)
        self._inbox.put(("stop", None))
        if self._thread.ident is None:
            self._end(NodeEnded("it was never started"))
        elif not self._is_own_thread():
            self._thread.join(2 * END_SECONDS)

    def _is_own_thread(self) -> bool:
        """Whether the caller would wait for itself: what a future calls when it is answered runs in these threads."""
        return threading.current_thread() is self._thread or self._driver.applier.is_this_thread

    @property
    def ended(self) -> threading.Event:
        """Set when the node takes part no more, by itself (see `failure`) or not. Its files are closed a moment later:
        `stop` waits for that.
        """
        return self._ended

    @property
    def status(self) -> Status:
        core = self.core
        applied, ending = self._state_machine.applied, ending_of(self.failure) if self._ended.is_set() else None
        return Status(core.role, core.leader, core.term, core.log.committed, applied, self.failure, ending)

    @property
    def log_bytes(self) -> int:
        """How many bytes the log has, roughly."""
        return self._driver.log_bytes

    @property
    def proposals_waiting(self) -> int:
        """How many proposals wait for their result here."""
        return len(self._driver.proposals)

    @property
    def low_on_space(self) -> bool:
        """Whether proposals that do not free space are refused because the disk is almost full."""
        return self.core.low_on_space

    @property
    def core(self) -> Raft:
        """The core, to look at. Only the node's thread may change it: see `call`."""
        return self._driver.core

    # --- what others ask ---

    def propose(self, request_id: str, data: bytes, *, frees_space: bool = False) -> Future[Any]:
        """Have `data` applied on all nodes; the future gives the state machine's result here. What `frees_space` is
        taken while the disk is almost full, or nothing would ever free any.

        `request_id` is unique to this command; proposing it again while it waits gives the same future. The future
        fails with ProposalRefused, LowSpace, TimedOut or NodeEnded. Raises Overloaded, LowSpace, NodeEnded, and
        ProposalRefused if `request_id` is empty or no text, or `data` no bytes: nothing was proposed.
        """
        if not request_id or not is_text(request_id):
            raise self._malformed(Refusal.MALFORMED_TEXT)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise self._malformed(Refusal.MALFORMED_DATA)
        if self.core.low_on_space and not frees_space:
            raise LowSpace("the disk of this node is almost full: free some space")
        proposal, is_new = self._driver.proposals.add(request_id, bytes(data), frees_space)
        if is_new:
            self._inbox.put(proposal)
        return proposal.future

    def _malformed(self, reason: Refusal) -> ProposalRefused:
        self.counters.proposals_malformed += 1
        return ProposalRefused(reason)

    def read_barrier(self) -> Future[int]:
        """Wait until the state machine here has applied all that was committed anywhere before this call.

        The future gives the index up to which that is; it fails with TimedOut or NodeEnded.
        """
        read = Read()
        self._inbox.put(read)
        if self._ended.is_set():
            fail_read(read, NodeEnded("the node has ended"))
        return read.future

    def call(self, function: Callable[[Raft], T]) -> Future[T]:
        """Call `function` with the core in the node's thread: to change the membership, to hand over, to look."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._inbox.put((function, future))
        if self._ended.is_set():
            fail_future(future, NodeEnded("the node has ended"))
        if self._is_stepped:
            self.step()
        return future

    def tick(self) -> None:
        """A unit of time has passed; for nodes that do not tick by themselves."""
        self._inbox.put(("tick", None))

    def deliver(self, message: Message) -> None:
        """Take a message from the transport."""
        if self._inbox.qsize() > self.settings.max_inbox:
            self.counters.messages_dropped += 1
            return
        self._inbox.put(message)

    def open_snapshot(self, least_index: int) -> SnapshotStream:
        """A copy of the state machine for another node. Raises SnapshotUnavailable."""
        stream = self._copies.open(least_index)
        if stream.meta.index < least_index:
            stream.close()
            raise SnapshotUnavailable(f"node {self.id} is at {stream.meta.index}, {least_index} was asked for")
        self.counters.snapshots_sent += 1
        return stream

    def _copy(self) -> tuple[SnapshotMeta, Path]:
        path = self._state_machine.incoming()
        try:
            index = self._state_machine.write_snapshot(path)

            def meta_at(core: Raft) -> SnapshotMeta | None:
                core.applied(index)  # it is, though word of it may still be on its way to this thread
                return core.snapshot_meta(index)

            meta = self.call(meta_at).result(timeout=60)
        except (OSError, BleepStoreError, TimeoutError) as error:
            path.unlink(missing_ok=True)
            raise SnapshotUnavailable(f"node {self.id} cannot copy its state: {error!r}") from error
        if meta is None:
            path.unlink(missing_ok=True)
            raise SnapshotUnavailable(f"node {self.id} has gone on from {index}, which it copied")
        return meta, path

    # --- the node's thread ---

    def _run(self) -> None:
        reason: BaseException = NodeEnded("it was stopped")
        driver = self._driver
        try:
            while not driver.stopping:
                driver.turn(self._wait())
            if not self._crashed:
                driver.flush()
        except BaseException as error:  # noqa: BLE001  # whatever it was, the node must not go on
            reason = self.failure = error
            self._tell(error)
        try:
            self._end(reason)
        except Exception as error:  # noqa: BLE001  # what the disk refuses at the end must not hide why it ended
            if self.failure is None:
                self.failure = error
                self._tell(error)

    def _wait(self) -> list[Any]:
        """The next events, at least one unless it is time to tick."""
        inbox = self._inbox
        try:
            events = [inbox.get(timeout=self._driver.seconds_to_tick())]
        except queue.Empty:
            return []
        for _ in range(min(inbox.qsize(), MAX_TOGETHER)):
            events.append(inbox.get())
        return events

    def _tell(self, error: BaseException) -> None:
        """Before anything is waited for: whoever must act on a failure cannot wait for a disk or network that hangs."""
        self._driver.stopping = True
        ending = ending_of(error)
        _log.error("raft node %s ends: %s (%r); exit status %d", self.id, ending.advice, error, ending.exit_status)
        if self._on_failure is not None:
            try:
                self._on_failure(error)
            except Exception:  # noqa: BLE001  # the embedder's: it must not keep the files open
                _log.exception("on_failure of raft node %s", self.id)

    def _end(self, reason: BaseException) -> None:
        """Tell all who wait, then release everything; no thread is waited for longer than END_SECONDS."""
        with self._end_lock:
            if self._ended.is_set():
                return
            self._driver.stopping = True
            self._transport.unregister(self.id)
            self._ended.set()
        unread = []
        while not self._inbox.empty():
            unread.append(self._inbox.get())
        self._driver.end(reason, unread, CLOSE_SECONDS)
        applier_ended = self._driver.applier.stop(END_SECONDS)
        try:
            self._log.close()
        finally:
            if applier_ended:
                self._state_machine.close()
            else:
                _log.error("raft node %s: the state machine does not end a batch, so it stays open", self.id)
