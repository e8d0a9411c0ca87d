"""What the nodes of a run have in common: they live, stand still and end. What drives the core of one is its kind's:
`core_node` is the loop that `Ready` describes, with several writes under way; `real_node` is the node that runs in
production.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bleepstore.raft.core import Raft
from bleepstore.raft.messages import Entry, Message, NodeId, SnapshotMeta
from bleepstore.testing.simulator.checks import Ledger
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.plan import Plan
from bleepstore.testing.simulator.state_machines import SimulatedStateMachine

#: Makes a core: (storage, rng, applied, settings).
CoreFactory = Callable[..., Raft]


def meets(fault: str, entries: Sequence[Entry], snapshot: SnapshotMeta | None) -> bool:
    """Whether a write meets a fault of the disk. A term, vote or commit index alone is torn often enough by crashes."""
    match fault:
        case "disk_error":
            return True
        case "torn_write":
            return bool(entries) or snapshot is not None
        case "torn_install":
            return snapshot is not None
        case _:
            return False


class Surroundings(Protocol):
    """What a node needs of the world: time, the network, and what happens there."""

    apply_is_slow: bool
    calm: bool
    core_factory: CoreFactory
    disk_is_slow: bool
    happened: Counter[str]
    ledger: Ledger
    nodes: dict[NodeId, SimulatedNode]
    now: int
    plan: Plan
    rng: random.Random

    def push(self, time: int, action: Callable[[Any], None], argument: Any) -> None: ...

    def after(self, delay: int, action: Callable[[Any], None], argument: Any) -> None: ...

    def note(self, text: str, *facts: object) -> None: ...

    def send(self, node: SimulatedNode, m: Message) -> None: ...

    def is_cut(self, sender: NodeId, to: NodeId) -> bool: ...

    def disk_delay(self) -> int: ...

    def apply_delay(self) -> int: ...

    def fetch_delay(self) -> int: ...

    def restart_later(self, node: SimulatedNode) -> None: ...


class SimulatedNode:
    """`log` is what is durable, and `state_machine` up to its durable index; `core` is gone while the node is down."""

    __slots__ = (
        "core",
        "disk_faults",
        "full",
        "id",
        "life",
        "log",
        "paused_until",
        "state_machine",
        "tick",
        "wiped",
        "world",
    )

    def __init__(
        self, world: Surroundings, node: NodeId, log: SimulatedLog, state_machine: SimulatedStateMachine, tick: int
    ) -> None:
        self.world = world
        self.id = node
        self.log = log
        self.state_machine = state_machine
        self.tick = tick
        self.core: Raft | None = None
        self.life = 0  # counts starts: events of an earlier life are void
        self.paused_until = 0
        self.wiped = False
        self.full = False  # the disk: proposals are refused early, everything else goes on until a write fails
        self.disk_faults: list[str] = []  # each happens to the next write that meets it, in whichever life

    # --- what each kind does by itself ---

    def start(self) -> None:
        """Begin from what is durable."""
        raise NotImplementedError

    def crash(self) -> None:
        """Lose what is not durable."""
        raise NotImplementedError

    def drain(self) -> None:
        """Do what the core asks for."""
        raise NotImplementedError

    def on_message(self, m: Message) -> None:
        """A message arrives, also while the node stands still."""
        raise NotImplementedError

    def propose(self, request_id: str, data: bytes) -> None:
        """A client's command; while the node is down or stands still the client goes elsewhere."""
        raise NotImplementedError

    def read(self) -> None:
        """A client's linearizable read."""
        raise NotImplementedError

    def compact(self, *, hasty: bool) -> None:
        """Time to shorten the log, if the node does not see to that by itself; `hasty`: whoever may need it."""
        raise NotImplementedError

    def waits_for(self, request_id: str) -> bool:
        """Whether this command was taken here in this life, and its result has not come, nor an error."""
        raise NotImplementedError

    @property
    def owes_answers(self) -> bool:
        """Whether a client that asked after the faults were over still waits, or was told that its time is up."""
        return False

    def resume(self) -> None:
        """Take what has waited while the node stood still."""
        raise NotImplementedError

    # --- life ---

    def crash_for_a_while(self) -> None:
        self.crash()
        self.world.restart_later(self)

    def end(self) -> None:
        """Nothing of this life happens any more."""
        self.core = None
        self.life += 1

    def break_disk(self, fault: str) -> None:
        """This fault is to come; once, however often it is said."""
        if fault not in self.disk_faults:
            self.disk_faults.append(fault)

    def meet_fault(self, is_met: Callable[[str], bool]) -> str:
        """The fault that a write meets, which has then happened; "": none."""
        fault = next(filter(is_met, self.disk_faults), "")
        if fault:
            self.disk_faults.remove(fault)
            self.world.note("%s has a %s", self.id, fault)
            self.world.happened[fault] += 1
        return fault

    def lose_tail(self) -> None:
        """The state machine may lose what it was not told to make durable."""
        state_machine, rng = self.state_machine, self.world.rng
        keep = (
            state_machine.applied if rng.random() < 0.5 else rng.randint(state_machine.durable, state_machine.applied)
        )
        if keep < state_machine.applied:
            self.world.happened["lost_tail"] += 1
            state_machine.crash(keep)

    def wipe(self) -> None:
        """The disk is lost, and with it the id. What it held is kept for the checks: its acknowledgements may still be
        on their way, and were true.
        """
        self.end()
        self.wiped = True

    def set_full(self, full: bool) -> None:
        self.full = full

    @property
    def up(self) -> bool:
        return self.core is not None

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry is durable here, or a state that includes it; or was, when the disk was lost."""
        log = self.log
        if index < log.first_index():
            return True
        return index <= log.last_index() and log.term(index) == term

    def pause(self, until: int) -> None:
        """Stand still; messages wait."""
        self.paused_until = until
        self.world.push(until, self.on_resume, self.life)

    def on_resume(self, life: int) -> None:
        if life == self.life and self.core is not None and self.paused_until <= self.world.now:
            self.resume()
