"""Whether the state of this node is that of the others: by fingerprints of what their commands gave.

Every WINDOW entries make one fingerprint: a checksum over their results alone, so that a node that starts in the
midst of a window skips it and nothing has to be stored. The leader asks with its heartbeats for the fingerprint of one
index; what a majority of the voters gives is agreed, and told with the next heartbeats. Whoever has another one at
that index, the leader too, has a wrong state. Two of four against two agree on nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

from bleepstore.errors import StoreError
from bleepstore.raft.messages import NodeId

#: Entries that share a fingerprint.
WINDOW = 16
#: How many fingerprints, and agreements, are remembered.
REMEMBERED = 256


class StateDiffers(StoreError):
    """The state of this node is not that of the majority: the node must end, and its directory is of no more use."""


class Fingerprint:
    """The checksum of the window that is being applied."""

    def __init__(self) -> None:
        self._checksum: int | None = None  # None: the window began before this was made

    def take(self, index: int, results: Iterable[bytes]) -> list[tuple[int, int]]:
        """The results of the entries from `index` on, b"" for one that holds no command; (index, fingerprint) of each
        window that was seen whole and ends among them.
        """
        found, checksum = [], self._checksum
        for result in results:
            if index % WINDOW == 1:
                checksum = 0
            if checksum is not None:
                checksum = zlib.crc32(result, checksum)
                if index % WINDOW == 0:
                    found.append((index, checksum))
            index += 1
        self._checksum = checksum
        return found


class Comparison:
    """What this node found, what the others say, and what is agreed."""

    def __init__(self) -> None:
        self.differs_at = 0  # the index at which this node's state was found to be wrong
        self.agreements = 0
        self.disagreements = 0  # answers that were not this node's
        self._own: dict[int, int] = {}  # index -> fingerprint, in order
        self._agreed: dict[int, int] = {}
        self._last_agreed = (0, 0)
        self._asked = 0
        self._answers: dict[NodeId, int] = {}

    @property
    def agreed_index(self) -> int:
        """The last index at which a majority was found to have the same state; 0: none yet."""
        return self._last_agreed[0]

    def note(self, index: int, fingerprint: int) -> None:
        """This node has applied a window that ends at `index`."""
        _remember(self._own, index, fingerprint)
        self._compare(index)

    # --- the leader ---

    def question(self, node: NodeId) -> tuple[int, int, int]:
        """For a heartbeat of the leader `node`: the index that is asked for, and what is agreed (index, fingerprint);
        zeros: nothing.
        """
        if self._own and (self._asked not in self._own or self._asked in self._agreed):
            newest = next(reversed(self._own))
            if newest != self._asked:
                self._asked = newest
                self._answers = {node: self._own[newest]}
        return (self._asked, *self._last_agreed)

    def answered(self, node: NodeId, index: int, fingerprint: int, voters: Sequence[NodeId]) -> None:
        """A member has answered."""
        if not index or index != self._asked or index not in self._own:
            return
        if fingerprint != self._own[index]:
            self.disagreements += 1
        self._answers[node] = fingerprint
        agreed = _majority(self._answers, voters)
        if agreed is not None and index not in self._agreed:
            self.agreements += 1
            self.agree(index, agreed)

    # --- all members ---

    def answer(self, index: int) -> tuple[int, int]:
        """(index, fingerprint), or zeros if this node has none of that index."""
        return (index, self._own[index]) if index in self._own else (0, 0)

    def agree(self, index: int, fingerprint: int) -> None:
        """A majority has this."""
        if not index or index in self._agreed:
            return
        self._last_agreed = (index, fingerprint)
        _remember(self._agreed, index, fingerprint)
        self._compare(index)

    def _compare(self, index: int) -> None:
        if index in self._own and self._agreed.get(index, self._own[index]) != self._own[index]:
            self.differs_at = index


def _remember(known: dict[int, int], index: int, fingerprint: int) -> None:
    known[index] = fingerprint
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


def _majority(answers: Mapping[NodeId, int], voters: Sequence[NodeId]) -> int | None:
    given = [answers[voter] for voter in voters if voter in answers]
    return next((one for one in given if given.count(one) > len(voters) // 2), None)
