"""Batches, what became of them, and connections that are lost: no broker is needed for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bleepstore.senders import Message, SendError
from bleepstore.senders.connected import Batch, ConnectedSender, ConnectionLost


def batch_of(*groups: str) -> Batch:
    return Batch([Message(b"{}", group) for group in groups], 10)


def indexes(parts: Sequence[Sequence[object]]) -> list[list[int]]:
    return [[one.index for one in part] for part in parts]  # type: ignore[attr-defined]


def test_a_batch_counts_what_is_acknowledged_from_the_first_on() -> None:
    batch = batch_of("a", "b", "c")
    batch.acknowledge(1)
    assert batch.taken == 0
    batch.acknowledge(0)
    assert batch.taken == 2
    batch.acknowledge(2)
    batch.acknowledge(2)
    assert batch.taken == 3
    assert batch_of().taken == 0


def test_no_round_has_two_messages_of_a_group() -> None:
    batch = batch_of("a", "a", "b", "a", "c", "b")
    assert indexes(list(batch.rounds(10))) == [[0, 2, 4], [1, 5], [3]]
    assert indexes(list(batch.rounds(2))) == [[0, 2], [4], [1, 5], [3]]


def test_what_is_acknowledged_is_not_sent_again() -> None:
    batch = batch_of("a", "b", "a", "c")
    batch.acknowledge(0)
    assert indexes(list(batch.rounds(10))) == [[1, 2, 3]]
    assert indexes(list(batch.parts(2))) == [[1, 2], [3]]


class Scripted:
    """A connection that acknowledges some messages, and then raises what it is told."""

    def __init__(self, acknowledged: int, failure: Exception | None = None) -> None:
        self._acknowledged, self._failure = acknowledged, failure
        self.closed = False

    def send(self, batch: Batch) -> None:
        for number, (numbered,) in enumerate(batch.parts(1)):
            if number == self._acknowledged and self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            batch.acknowledge(numbered.index)

    def close(self) -> None:
        self.closed = True


def sender_of(*connections: Scripted) -> ConnectedSender:
    left = list(connections)
    return ConnectedSender(10, lambda _seconds: left.pop(0))


MESSAGES = [Message(b"{}", group) for group in "abc"]


def test_a_connection_is_kept_while_it_serves() -> None:
    sender = sender_of(Scripted(3))
    assert sender.send(MESSAGES) == 3
    assert sender.send(MESSAGES) == 3


def test_a_new_connection_that_fails_is_not_tried_again_at_once() -> None:
    first = Scripted(0, ConnectionLost("gone"))
    sender = sender_of(first, Scripted(3))
    with pytest.raises(ConnectionLost):
        sender.send(MESSAGES)
    assert first.closed
    assert sender.send(MESSAGES) == 3


def test_a_lost_connection_that_served_is_replaced_at_once_for_what_is_missing() -> None:
    old, new = Scripted(3), Scripted(3)
    sender = sender_of(old, new)
    sender.send(MESSAGES)
    old._acknowledged, old._failure = 1, ConnectionLost("idle")
    assert sender.send(MESSAGES) == 3
    assert old.closed


def test_a_refusal_is_not_tried_again_at_once() -> None:
    old = Scripted(3)
    sender = sender_of(old, Scripted(3))
    sender.send(MESSAGES)
    old._acknowledged, old._failure = 0, SendError("full")
    with pytest.raises(SendError, match="full"):
        sender.send(MESSAGES)
    assert old.closed


def test_what_was_taken_before_a_failure_is_said() -> None:
    sender = sender_of(Scripted(2, SendError("full")), Scripted(3))
    assert sender.send(MESSAGES) == 2
    assert sender.send(MESSAGES[2:]) == 1
