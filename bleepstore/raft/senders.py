"""From the node to its peers: directly if the transport never waits, else by one thread for each peer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from bleepstore.raft.messages import Message, NodeId
from bleepstore.raft.node_settings import NodeCounters
from bleepstore.raft.transport import Transport

#: Messages that may wait for a slow peer; more are lost, as on any network.
MAX_WAITING = 1024
MAX_TOGETHER = 64
#: How long an end waits for what is being sent. The threads are daemons: no process waits for them.
CLOSE_SECONDS = 2.0


class Senders:
    """Used by one thread. `post` gets ("failed", error) if the transport raises what it should not."""

    def __init__(
        self, transport: Transport, name: str, post: Callable[[tuple[str, Any]], None], counters: NodeCounters
    ) -> None:
        self._post = post
        self._transport = transport
        self._name = name
        self._counters = counters
        self._peers: dict[NodeId, _Sender] = {}

    def send(self, messages: Sequence[Message]) -> None:
        """Pass the messages on; returns at once."""
        if self._transport.is_direct:
            for message in messages:
                self._transport.send(message.to, (message,))
            return
        for message in messages:
            sender = self._peers.get(message.to)
            if sender is None:
                sender = self._peers[message.to] = self._new(message.to)
            if not sender.put(message):
                self._counters.messages_dropped += 1

    def _new(self, peer: NodeId) -> _Sender:
        return _Sender(self._transport, peer, f"{self._name}-to-{peer}", self._post)

    def close(self) -> None:
        """Drop what waits, and end all threads; one that the transport holds longer than CLOSE_SECONDS ends later."""
        for peer in self._peers.values():
            peer.drop()
        until = time.monotonic() + CLOSE_SECONDS
        for peer in self._peers.values():
            peer.join(max(0.0, until - time.monotonic()))
        self._peers.clear()


class _Sender:
    def __init__(self, transport: Transport, peer: NodeId, name: str, post: Callable[[tuple[str, Any]], None]) -> None:
        self._post = post
        self._transport = transport
        self._peer = peer
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, message: Message) -> bool:
        if self._queue.qsize() >= MAX_WAITING:
            return False
        self._queue.put(message)
        return True

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001  # the node ends with it; else this peer would hear no more
            self._post(("failed", error))

    def _send_all(self) -> None:
        while True:
            messages = []
            for _ in range(min(max(self._queue.qsize(), 1), MAX_TOGETHER)):
                message = self._queue.get()
                if message is None:
                    return
                messages.append(message)
            if self._dropping:
                return
            self._transport.send(self._peer, messages)

    def drop(self) -> None:
        self._dropping = True
        self._queue.put(None)  # wakes it

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
