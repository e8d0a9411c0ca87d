"""What a majority says, of one set of voters or of two (joint consensus): pure functions."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from bleepstore.raft.messages import NodeId


class Tally(enum.Enum):
    """Where a vote stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority_value(values: Sequence[int]) -> int:
    """The greatest number that a majority of `values` reaches; 0 without values."""
    count = len(values)
    if count == 1:
        return values[0]
    return sorted(values)[(count - 1) // 2] if count else 0


def joint_value(incoming: Sequence[int], outgoing: Sequence[int]) -> int:
    """The greatest number that a majority of each set reaches; `outgoing` is empty unless the membership is joint."""
    value = majority_value(incoming)
    return min(value, majority_value(outgoing)) if outgoing else value


def tally(voters: Sequence[NodeId], votes: Mapping[NodeId, bool]) -> Tally:
    """Where the vote of one set of voters stands. Only its voters count, each once. No voters: nobody can win."""
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    quorum = len(voters) // 2 + 1
    if granted >= quorum:
        return Tally.WON
    return Tally.LOST if refused > len(voters) - quorum else Tally.PENDING


def joint_tally(incoming: Sequence[NodeId], outgoing: Sequence[NodeId], votes: Mapping[NodeId, bool]) -> Tally:
    """Where a vote stands that needs a majority of each set."""
    first = tally(incoming, votes)
    if not outgoing:
        return first
    second = tally(outgoing, votes)
    if first is second:
        return first
    return Tally.LOST if Tally.LOST in (first, second) else Tally.PENDING
