"""How messages travel between nodes, and a network in memory that can do to them whatever networks do.

Raft needs little of a transport: messages may be lost, doubled, late and out of order, but not changed, and nobody
waits for them. Snapshots travel apart, so that their bulk does not hold up a heartbeat.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.raft.codec import MalformedFrame, decode_message, encode_message
from bleepstore.raft.messages import Message, NodeId, SnapshotMeta


class SnapshotUnavailable(BleepStoreError):
    """The source cannot give a snapshot now; the leader will offer one again."""


@attrs.frozen
class Chunk:
    """A piece of a snapshot, which can be verified by itself."""

    offset: int
    data: bytes = attrs.field(repr=False)
    sha256: bytes

    @staticmethod
    def of(offset: int, data: bytes) -> Chunk:
        return Chunk(offset, data, hashlib.sha256(data).digest())

    @property
    def is_sound(self) -> bool:
        return hashlib.sha256(self.data).digest() == self.sha256


class SnapshotStream(Protocol):
    """A snapshot on its way. Close it."""

    meta: SnapshotMeta
    size: int  # in bytes

    def chunks(self) -> Iterator[Chunk]:
        """The pieces in order, without gaps."""

    def close(self) -> None:
        """Release the source's copy."""


class Endpoint(Protocol):
    """What a node is to its transport. Both methods may be called from any thread."""

    def deliver(self, message: Message) -> None:
        """Take a message. Returns at once."""

    def open_snapshot(self, least_index: int) -> SnapshotStream:
        """A copy of the applied state, at `least_index` or later. Raises SnapshotUnavailable."""


class Transport(Protocol):
    """How a node reaches the others."""

    #: Whether `send` returns at once. If not, each peer gets a thread that sends to it alone.
    is_direct: bool

    def register(self, node: NodeId, endpoint: Endpoint) -> None:
        """Deliver to `endpoint` what is addressed to `node`."""

    def unregister(self, node: NodeId) -> None:
        """Deliver no more to it."""

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        """Send, in order if possible. What cannot be sent is lost: an error is no business of the sender."""

    def fetch_snapshot(self, source: NodeId, asker: NodeId, least_index: int) -> SnapshotStream:
        """Ask `source` for a snapshot. Raises SnapshotUnavailable."""


@attrs.frozen
class LinkFaults:
    """What a network in memory does to messages: probabilities between 0 and 1, and a delay in seconds."""

    lose: float = 0.0
    double: float = 0.0
    delay: float = 0.0  # the probability of being late, and so of being overtaken
    most_delay: float = 0.02
    corrupt: float = 0.0  # a bit of the frame is flipped; needs `as_bytes`


class MemoryNetwork:
    """Connects the nodes of one process. Thread-safe; use it in a `with` block if it has faults.

    `as_bytes` sends every message through the codec, as a real network would. `is_direct=False` makes nodes use their
    sending threads.
    """

    def __init__(self, *, seed: int = 0, as_bytes: bool = False, is_direct: bool = True) -> None:
        self.is_direct = is_direct
        self.refused: Counter[str] = Counter()  # malformed frames, by reason
        self.corrupt_chunk: Callable[[Chunk], Chunk] | None = None
        self._as_bytes = as_bytes
        self._rng = random.Random(seed)
        self._endpoints: dict[NodeId, Endpoint] = {}
        self._cut: set[tuple[NodeId, NodeId]] = set()
        self._faults = LinkFaults()
        self._plain = not as_bytes
        self._lock = threading.Lock()
        self._late = _LateMessages(self._deliver)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._late.close()

    # --- what a test does to it ---

    def set_faults(self, faults: LinkFaults) -> None:
        with self._lock:
            self._faults = faults
            self._plain = faults == LinkFaults() and not self._cut and not self._as_bytes

    def cut(self, sender: NodeId, to: NodeId) -> None:
        """Lose all messages in this direction."""
        with self._lock:
            self._cut.add((sender, to))
            self._plain = False

    def isolate(self, node: NodeId) -> None:
        """Cut a node off from all that are registered now, in both directions."""
        for other in list(self._endpoints):
            if other != node:
                self.cut(node, other)
                self.cut(other, node)

    def heal(self) -> None:
        """No more faults and cuts."""
        with self._lock:
            self._cut.clear()
        self.set_faults(LinkFaults())

    # --- transport ---

    def register(self, node: NodeId, endpoint: Endpoint) -> None:
        self._endpoints[node] = endpoint

    def unregister(self, node: NodeId) -> None:
        self._endpoints.pop(node, None)

    def send(self, to: NodeId, messages: Sequence[Message]) -> None:
        for message in messages:
            if self._plain:
                self._deliver(message)
            else:
                self._send_badly(message)

    def _send_badly(self, message: Message) -> None:
        with self._lock:
            faults, rng = self._faults, self._rng
            if (message.sender, message.to) in self._cut or rng.random() < faults.lose:
                return
            copies = 2 if rng.random() < faults.double else 1
            delays = [rng.random() * faults.most_delay if rng.random() < faults.delay else 0.0 for _ in range(copies)]
            flip = rng.random() if rng.random() < faults.corrupt else None
        if self._as_bytes:
            received = self._through_bytes(message, flip)
            if received is None:
                return
            message = received
        for delay in delays:
            if delay:
                self._late.add(delay, message)
            else:
                self._deliver(message)

    def _through_bytes(self, message: Message, flip: float | None) -> Message | None:
        frame = bytearray(encode_message(message))
        if flip is not None:
            frame[int(flip * len(frame))] ^= 1
        try:
            return decode_message(bytes(frame))
        except MalformedFrame as error:
            with self._lock:
                self.refused[str(error)] += 1
            return None

    def _deliver(self, message: Message) -> None:
        endpoint = self._endpoints.get(message.to)
        if endpoint is not None:
            endpoint.deliver(message)

    def fetch_snapshot(self, source: NodeId, asker: NodeId, least_index: int) -> SnapshotStream:
        endpoint = self._endpoints.get(source)
        with self._lock:
            reachable = (source, asker) not in self._cut and (asker, source) not in self._cut
        if endpoint is None or not reachable:
            raise SnapshotUnavailable(f"node {source} cannot be reached")
        stream = endpoint.open_snapshot(least_index)
        return stream if self.corrupt_chunk is None else _CorruptStream(stream, self.corrupt_chunk)


class _CorruptStream:
    def __init__(self, stream: SnapshotStream, corrupt: Callable[[Chunk], Chunk]) -> None:
        self.meta = stream.meta
        self.size = stream.size
        self._stream = stream
        self._corrupt = corrupt

    def chunks(self) -> Iterator[Chunk]:
        return map(self._corrupt, self._stream.chunks())

    def close(self) -> None:
        self._stream.close()


class _LateMessages:
    """Delivers messages after their delay, by one thread that starts with the first of them."""

    def __init__(self, deliver: Callable[[Message], None]) -> None:
        self._deliver = deliver
        self._heap: list[tuple[float, int, Message]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, delay: float, message: Message) -> None:
        with self._changed:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="late-messages", daemon=True)
                self._thread.start()
            heapq.heappush(self._heap, (time.monotonic() + delay, next(self._numbers), message))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                if self._closed:
                    return
                _, _, message = heapq.heappop(self._heap)
            self._deliver(message)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
