"""Those who wait for a node: proposals until they are applied here, reads until they may be served."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from bleepstore.errors import BleepStoreError
from bleepstore.raft.messages import Refusal


class ProposalRefused(BleepStoreError):
    """The proposal was not taken and never will be; `reason` says why."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Overloaded(BleepStoreError):
    """Too much waits already: nothing was proposed, try later."""


class LowSpace(BleepStoreError):
    """The disk of this node or of the leader is almost full: nothing was proposed, reads go on."""


class TimedOut(BleepStoreError):
    """No answer in time. A proposal may still be applied: only a repeat with the same id tells."""


class NodeEnded(BleepStoreError):
    """The node was stopped or has failed. A proposal that waited may still be applied by the others."""


class RemovedFromCluster(BleepStoreError):
    """This node is no member any more: ask another. A proposal that waited may still be applied by the others."""


class Proposal:
    """One command on its way."""

    __slots__ = ("data", "deadline", "frees_space", "future", "offer", "offers", "pause", "request_id", "resend_at")

    def __init__(self, request_id: str, data: bytes, frees_space: bool) -> None:
        self.request_id = request_id
        self.data = data
        self.frees_space = frees_space
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # what may be in the log already cannot be cancelled
        self.deadline = 0.0  # in ticks; set when the node sees it first
        self.offers = 0  # how often a leader was given it
        self.offer = 0  # the last one that was passed on and not answered; 0: none
        self.pause = 1.0  # in ticks: until it is offered again if it is not taken
        self.resend_at = 0.0  # in ticks


class Proposals:
    """The proposals that wait, by request id. Any thread adds, one offers them, another one resolves them."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: dict[str, Proposal] = {}
        self._lock = threading.Lock()
        self._ended: BaseException | None = None

    def add(self, request_id: str, data: bytes, frees_space: bool) -> tuple[Proposal, bool]:
        """The proposal of this id and whether it is new. Raises Overloaded or NodeEnded."""
        with self._lock:
            known = self._waiting.get(request_id)
            if known is not None:
                return known, False
            if self._ended is not None:
                raise NodeEnded(f"the node has ended: {self._ended}")
            if len(self._waiting) >= self._most or (self._waiting and self._bytes + len(data) > self._most_bytes):
                raise Overloaded(f"{len(self._waiting)} proposals of {self._bytes} bytes wait already")
            proposal = self._waiting[request_id] = Proposal(request_id, data, frees_space)
            self._bytes += len(data)
        return proposal, True

    def find(self, request_id: str) -> Proposal | None:
        with self._lock:
            return self._waiting.get(request_id)

    def take(self, request_id: str) -> Proposal | None:
        """Remove the proposal of this id, if it waits here."""
        with self._lock:
            proposal = self._waiting.get(request_id)
            if proposal is not None:
                self._drop(proposal)
        return proposal

    def _drop(self, proposal: Proposal) -> None:
        del self._waiting[proposal.request_id]
        self._bytes -= len(proposal.data)

    def all(self) -> list[Proposal]:
        with self._lock:
            return list(self._waiting.values())

    def __len__(self) -> int:
        return len(self._waiting)

    def fail(self, proposal: Proposal, error: BaseException) -> None:
        """Unless it was answered; another one of the same id may wait since."""
        with self._lock:
            waits = self._waiting.get(proposal.request_id) is proposal
            if waits:
                self._drop(proposal)
        if waits:
            proposal.future.set_exception(error)

    def fail_all(self, error: BaseException) -> None:
        for proposal in self.all():
            self.fail(proposal, error)

    def end(self, reason: BaseException) -> None:
        """Nobody will be answered any more."""
        with self._lock:
            self._ended = reason
        self.fail_all(NodeEnded(f"the node has ended: {reason}"))


class Read:
    """One read that wants to be linearizable."""

    __slots__ = ("deadline", "future")

    def __init__(self) -> None:
        self.future: Future[int] = Future()
        self.future.set_running_or_notify_cancel()
        self.deadline = 0.0


class AppliedWatch:
    """Reads that wait for an index to be applied. Thread-safe."""

    def __init__(self, applied: int) -> None:
        self._applied = applied
        self._heap: list[tuple[int, int, list[Read]]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def add(self, index: int, reads: list[Read]) -> None:
        """Answer `reads` as soon as `index` is applied."""
        with self._lock:
            if index > self._applied:
                heapq.heappush(self._heap, (index, next(self._numbers), reads))
                return
        answer(reads, index)

    def reached(self, applied: int) -> None:
        """The state machine has come so far."""
        due = []
        with self._lock:
            self._applied = applied
            while self._heap and self._heap[0][0] <= applied:
                due.append(heapq.heappop(self._heap))
        for index, _, reads in due:
            answer(reads, index)

    def expire(self, is_due: Callable[[Read], bool]) -> None:
        """Fail those that have waited too long."""
        with self._lock:
            reads = [read for _, _, group in self._heap for read in group]
        for read in reads:
            if is_due(read):
                fail_read(read, TimedOut("the state machine did not come so far in time"))

    def end(self, error: BaseException) -> None:
        with self._lock:
            reads = [read for _, _, group in self._heap for read in group]
            self._heap.clear()
        for read in reads:
            fail_read(read, error)


def answer(reads: list[Read], index: int) -> None:
    for read in reads:
        with contextlib.suppress(InvalidStateError):  # its time was up
            read.future.set_result(index)


def fail_read(read: Read, error: BaseException) -> None:
    fail_future(read.future, error)


def fail_future(future: Future[Any], error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):  # another thread was first, or its time was up
        future.set_exception(error)
