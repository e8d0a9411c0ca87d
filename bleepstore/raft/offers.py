"""Which of the proposals that a node passes on a leader has heard already: each offer counts once."""

from __future__ import annotations

from collections import OrderedDict

from bleepstore.raft.messages import NodeId

#: Of so many offers the leader knows whether they have come; what is older counts as heard.
WINDOW = 1024
#: So many lives of nodes are remembered; one that so many others were heard after is over.
LIVES = 1024


class OffersHeard:
    """Those of one life of one node, by their numbers, in whichever order they come.

    It is the window of RFC 4303, section 3.4.3: bit n stands for the offer `_last - n`.
    """

    __slots__ = ("_bits", "_last")

    def __init__(self) -> None:
        self._last = 0
        self._bits = 0

    def is_new(self, number: int) -> bool:
        """Whether this offer comes for the first time; from now on it has come."""
        ahead = number - self._last
        if ahead > 0:
            self._bits = self._bits << ahead & (1 << WINDOW) - 1 if ahead < WINDOW else 0
            self._last = number
            ahead = 0
        bit = 1 << -ahead if ahead > -WINDOW else 0
        is_new = bool(bit) and not self._bits & bit
        self._bits |= bit
        return is_new


class OffersOfAll:
    """Those of all nodes, each life of a node by itself."""

    __slots__ = ("_lives",)

    def __init__(self) -> None:
        self._lives: OrderedDict[tuple[NodeId, int], OffersHeard] = OrderedDict()  # the one heard last is the last

    def is_new(self, node: NodeId, incarnation: int, number: int) -> bool:
        """Whether this offer of a life of a node comes for the first time; from now on it has come."""
        life = (node, incarnation)
        heard = self._lives.setdefault(life, OffersHeard())
        self._lives.move_to_end(life)
        if len(self._lives) > LIVES:
            self._lives.popitem(last=False)
        return heard.is_new(number)

    def clear(self) -> None:
        self._lives.clear()

    def __len__(self) -> int:
        return len(self._lives)
