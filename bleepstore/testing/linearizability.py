"""Is a history of clients linearizable? Wing and Gong's search with Lowe's memory of states, one key at a time.

A history is linearizable if each operation can be given one moment between its call and its return such that, done one
at a time in that order, all answers are right. Linearizability is local (Herlihy and Wing, theorem 1): a history is
linearizable if it is for each object alone, so keys are checked apart. An operation without an answer may have
happened at any time after its call, or never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from bleepstore.errors import BleepStoreError

#: Operations on one key; the search is exponential at worst.
MAX_OPERATIONS = 300


class HistoryTooLong(BleepStoreError):
    """There are too many operations on one key for the search."""


@attrs.frozen
class Operation:
    """What a client did: `what` it asked for with `arguments`, and the `answer`; times are any increasing numbers."""

    key: str
    what: str
    arguments: tuple[Any, ...]
    called: float
    returned: float | None  # None: no answer came
    answer: Any = None


#: A model: (state, operation) -> (state after it, the answer that is right).
Model = Callable[[Hashable, Operation], tuple[Hashable, Any]]


def register_model(state: Hashable, operation: Operation) -> tuple[Hashable, Any]:
    """A register that is read, put (the answer is None), or created if it is absent (the answer is whether it was).

    `delete` empties it.
    """
    match operation.what:
        case "read":
            return state, state
        case "put":
            return operation.arguments[0], None
        case "create":
            return (operation.arguments[0], True) if state is None else (state, False)
        case "delete":
            return None, None
        case _:
            raise ValueError(f"the model does not know {operation.what!r}")


def find_violation(
    history: Iterable[Operation], model: Model = register_model, initial: Hashable = None
) -> tuple[str, list[Operation]] | None:
    """The first key whose operations are not linearizable, with them, or None if there is none."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    for key in sorted(by_key):
        operations = sorted(by_key[key], key=lambda one: one.called)
        if len(operations) > MAX_OPERATIONS:
            raise HistoryTooLong(f"{len(operations)} operations on {key!r}, at most {MAX_OPERATIONS} can be checked")
        if not is_linearizable(operations, model, initial):
            return key, operations
    return None


class _Event:
    """The call or the return of an operation, in a doubly linked list in the order of time."""

    __slots__ = ("following", "match", "number", "previous")

    def __init__(self, number: int) -> None:
        self.number = number
        self.match: _Event | None = None  # the return of a call; None for a return
        self.previous: _Event | None = None
        self.following: _Event | None = None


def is_linearizable(operations: Sequence[Operation], model: Model, initial: Hashable) -> bool:
    """Whether the operations, all on one object that begins as `initial`, are linearizable."""
    head = _link(operations)
    required = sum(1 << number for number, one in enumerate(operations) if one.returned is not None)
    state, done = initial, 0
    seen: set[tuple[int, Hashable]] = set()
    stack: list[tuple[_Event, Hashable]] = []
    event = head.following
    while done & required != required:
        if event is not None and event.match is not None:
            operation = operations[event.number]
            after, answer = model(state, operation)
            with_it = done | 1 << event.number
            if (operation.returned is None or answer == operation.answer) and (with_it, after) not in seen:
                seen.add((with_it, after))
                stack.append((event, state))
                state, done = after, with_it
                _lift(event)
                event = head.following
            else:
                event = event.following
        else:
            # A return that nothing can precede any more (or the end): the last choice was wrong.
            if not stack:
                return False
            event, state = stack.pop()
            done &= ~(1 << event.number)
            _unlift(event)
            event = event.following
    return True


def _link(operations: Sequence[Operation]) -> _Event:
    """The events in the order of time; at equal times calls come first, which allows more."""
    moments: list[tuple[float, int, int, _Event]] = []
    for number, operation in enumerate(operations):
        call, back = _Event(number), _Event(number)
        call.match = back
        end = float("inf") if operation.returned is None else operation.returned
        moments += [(operation.called, 0, number, call), (end, 1, number, back)]
    head = last = _Event(-1)
    for _, _, _, event in sorted(moments, key=lambda moment: moment[:3]):
        last.following, event.previous = event, last
        last = event
    return head


def _lift(call: _Event) -> None:
    """Take the call and its return out of the list."""
    assert call.match is not None
    for event in (call, call.match):
        assert event.previous is not None
        event.previous.following = event.following
        if event.following is not None:
            event.following.previous = event.previous


def _unlift(call: _Event) -> None:
    """Put both back where they were."""
    assert call.match is not None
    for event in (call.match, call):
        assert event.previous is not None
        event.previous.following = event
        if event.following is not None:
            event.following.previous = event


# --- listings: the order of the log is the witness ---


@attrs.frozen
class Listing:
    """What a client saw of many keys at once, and up to which index of the log that state was applied."""

    called: float
    returned: float
    index: int
    content: tuple[Any, ...]


def find_wrong_listing(
    listings: Iterable[Listing], contents: Mapping[int, tuple[Any, ...]], writes: Iterable[tuple[float, int]]
) -> str | None:
    """What is wrong with the first listing that is not the state after its index, or of an index that is too old.

    A search over all keys at once would not end, and is not needed: the log says in which order everything happened.
    `contents` is what a replay of it lists after each index. `writes` are (time of its answer, index) of the changes
    that were acknowledged. A listing must include what was acknowledged, and what another listing saw, before it began.
    """
    listings = list(listings)
    known = [*writes, *((one.returned, one.index) for one in listings)]
    for one in listings:
        if contents.get(one.index) != one.content:
            return f"at index {one.index} {one.content} was listed, the log says {contents.get(one.index)}"
        least = max((index for returned, index in known if returned < one.called), default=0)
        if one.index < least:
            return f"a listing of index {one.index} began when index {least} had been answered"
    return None
