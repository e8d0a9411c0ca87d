"""The world of a run: time, the network between the nodes, and the clients."""

from __future__ import annotations

import heapq
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bleepstore.raft.core import Raft
from bleepstore.raft.messages import Configuration, Message, NodeId, Role, SnapshotMeta
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.testing.simulator.checks import Ledger
from bleepstore.testing.simulator.core_node import CoreNode
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.node import CoreFactory, SimulatedNode
from bleepstore.testing.simulator.plan import Plan, draw_node_settings
from bleepstore.testing.simulator.real_node import RealNode
from bleepstore.testing.simulator.state_machines import ChainStateMachine, SimulatedStateMachine
from bleepstore.testing.simulator.stored_log import StoredLog

CLUSTER = "simulated"

#: (random source, number of the request) -> the bytes of a command.
CommandFactory = Callable[[random.Random, int], bytes]


def tiny_command(rng: random.Random, number: int) -> bytes:
    """A command for ChainStateMachine."""
    return b"%d" % number + b"." * (number % 40)


class World:
    """All nodes of a run and everything between them. Nothing here depends on anything but the seed and the plan."""

    __slots__ = (
        "_delay_span",
        "_duplicate_below",
        "_files",
        "_folder",
        "_heap",
        "_last_data",
        "_link_times", "_names",
        "_retry",
        "_seq",
        "_slow_below",
        "apply_is_slow",
        "calm",
        "command",
        "copies",
        "core_factory",
        "cuts",
        "disk_is_slow",
        "events",
        "happened",
        "is_real",
        "ledger",
        "make_log",
        "make_state_machine",
        "next_node",
        "node_settings",
        "nodes",
        "now",
        "plan",
        "removed",
        "requests",
        "rng",
        "seed",
        "trace",
    )  # fmt: skip

    def __init__(
        self,
        seed: int,
        *,
        plan: Plan | None = None,
        mix: str | None = None,
        is_real: bool | None = None,
        core_factory: CoreFactory = Raft,
        make_log: type[SimulatedLog] | None = None,
        make_state_machine: Callable[[], SimulatedStateMachine] = ChainStateMachine,
        command: CommandFactory = tiny_command,
        with_reference: bool = True,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        """`is_real`: the nodes are those of production, as they are for every odd seed; `core_factory` makes the cores
        of the others. Of every fourth real seed the logs are those of production too.
        """
        self.seed = seed
        self.is_real = seed % 2 == 1 if is_real is None else is_real
        self.rng = random.Random(seed)
        self.plan = Plan.draw(self.rng, mix) if plan is None else plan
        self.core_factory = core_factory
        self.make_log = make_log or (StoredLog if self.is_real and seed % 8 == 7 else SimulatedLog)
        self.make_state_machine = make_state_machine
        self.command = command
        self.trace = trace
        self.now = 0
        self.events = 0
        self.calm = False  # the faults are over
        self.happened: Counter[str] = Counter()  # what went wrong, when it really did: a plan only allows it
        self.requests = 0
        self.next_node = 0
        self._retry: str | None = None
        self._last_data = b""
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._seq = 0
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.nodes: dict[NodeId, SimulatedNode] = {}
        self.removed: set[NodeId] = set()
        self._names = [self._new_name() for _ in range(self.plan.nodes)]
        beginning = Configuration(tuple(self._names))
        self.node_settings = draw_node_settings(self.rng, self.plan) if self.is_real else NodeSettings()
        self.copies: dict[bytes, SimulatedStateMachine] = {}  # what the files of snapshots stand for
        self._files = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.ledger = Ledger(self.nodes, beginning, ChainStateMachine() if with_reference else None)
        self.disk_is_slow = self.plan.disk != (0, 0)
        self.apply_is_slow = self.plan.apply != (0, 0)
        self._set_network(calm=False)

    def populate(self) -> None:
        """Start the nodes that the cluster begins with, and the clients."""
        beginning = SnapshotMeta(configuration=Configuration(tuple(self._names)))
        for name in self._names:
            self._add(name, beginning)
        self.after(self.plan.client_every, self.on_client, None)
        self.after(self.plan.compact_every, self.on_compaction, None)

    def _new_name(self) -> NodeId:
        self.next_node += 1
        return self.make_log.name_of(self.next_node)

    def add_blank(self) -> SimulatedNode:
        """A new node with an empty log and no membership: it waits to be made a learner."""
        return self._add(self._new_name(), SnapshotMeta())

    def _add(self, name: NodeId, beginning: SnapshotMeta) -> SimulatedNode:
        skew = self.plan.skew
        factor = self.rng.uniform(1 / skew, skew) if skew > 1 else 1.0
        kind = RealNode if self.is_real else CoreNode
        node = kind(
            self, name, self.make_log(CLUSTER, name, beginning), self.make_state_machine(), int(self.plan.tick * factor)
        )
        self.nodes[name] = node
        node.start()
        return node

    # --- time ---

    def push(self, time: int, action: Callable[[Any], None], argument: Any) -> None:
        self._seq += 1
        heapq.heappush(self._heap, (time, self._seq, action, argument))

    def after(self, delay: int, action: Callable[[Any], None], argument: Any) -> None:
        self.push(self.now + delay, action, argument)

    def run(self, events: int) -> None:
        """Let so many events happen."""
        heap, pop = self._heap, heapq.heappop
        self.events += events
        for _ in range(events):
            self.now, _, action, argument = pop(heap)
            action(argument)

    def note(self, text: str, *facts: object) -> None:
        """For the trace of a replay."""
        if self.trace is not None:
            self.trace(f"{self.now:>9} {text % facts}")

    def clock(self) -> float:
        """The time as a node reads it."""
        return self.now

    def new_file(self) -> Path:
        """A name for a file that travels: the only real files of a run."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="simulated-")
        self._files += 1
        return Path(self._folder.name) / f"{self._files}"

    # --- network and disks ---

    def _set_network(self, *, calm: bool) -> None:
        plan = self.plan
        drop, duplicate, slow = (0.0, 0.0, 0.0) if calm else (plan.drop, plan.duplicate, plan.slow)
        low, high = (100, 300) if calm else plan.delay
        #: (sender, receiver) -> when the last message arrives; None: messages may overtake each other.
        self._link_times: dict[tuple[NodeId, NodeId], int] | None = {} if calm or plan.ordered else None
        self._delay_span = (low, high - low, drop)
        self._duplicate_below = drop + duplicate
        self._slow_below = drop + duplicate + slow

    def send(self, node: SimulatedNode, m: Message) -> None:
        """A message leaves a node: it may be lost, doubled, overtaken."""
        self.ledger.check_sent(node, m)
        to = m.to
        if self.cuts and (node.id, to) in self.cuts:
            return
        target = self.nodes.get(to)
        if target is None or target.core is None:
            return
        random = self.rng.random
        low, span, drop = self._delay_span
        delay = low + int(random() * span)
        if self._slow_below:
            luck = random()
            if luck < self._slow_below:
                if luck < drop:
                    return
                if luck < self._duplicate_below:
                    self.push(max(self.now, node.paused_until) + low + int(random() * span), target.on_message, m)
                else:
                    delay *= self.rng.randint(10, 100)
        time = max(self.now, node.paused_until) + delay  # a node that a write holds up sends when it is done
        if self._link_times is not None:
            link = (node.id, to)
            time = max(time, self._link_times.get(link, 0))
            self._link_times[link] = time
        self._seq += 1
        heapq.heappush(self._heap, (time, self._seq, target.on_message, m))

    def is_cut(self, sender: NodeId, to: NodeId) -> bool:
        return (sender, to) in self.cuts

    def disk_delay(self) -> int:
        return self.rng.randint(*((50, 300) if self.calm else self.plan.disk))

    def apply_delay(self) -> int:
        return self.rng.randint(*self.plan.apply)

    def fetch_delay(self) -> int:
        return self.rng.randint(200, 30_000)

    # --- clients ---

    def live(self) -> list[SimulatedNode]:
        """The nodes that run, in the order of their making."""
        return [node for node in self.nodes.values() if node.core is not None]

    def leader(self) -> SimulatedNode | None:
        """The running leader of the highest term."""
        leaders = [node for node in self.live() if node.core is not None and node.core.role is Role.LEADER]
        return max(leaders, key=lambda node: node.core.term if node.core else 0, default=None)

    def on_client(self, _: None) -> None:
        if self.calm:
            return
        self.after(1 + self.rng.randrange(2 * self.plan.client_every), self.on_client, None)
        live = self.live()
        if not live:
            return
        node = live[self.rng.randrange(len(live))]
        luck = self.rng.random()
        if luck < self.plan.reads:
            node.read()
        elif luck > 1 - self.plan.retry and self._retry is not None:
            # The same request again, perhaps through another node: it must count once.
            self.ledger.repeat(self._retry)
            node.propose(self._retry, self._last_data)
        else:
            self.propose(node)

    def propose(self, node: SimulatedNode) -> str:
        """A new request through `node`; its id."""
        self.requests += 1
        request_id = f"r{self.requests}"
        data = self.command(self.rng, self.requests)
        self._retry, self._last_data = request_id, data
        node.propose(request_id, data)
        return request_id

    def on_compaction(self, _: None) -> None:
        self.after(1 + self.rng.randrange(2 * self.plan.compact_every), self.on_compaction, None)
        live = self.live()
        if live:
            node = live[self.rng.randrange(len(live))]
            node.compact(hasty=not self.calm and self.rng.random() < self.plan.hasty_compaction)

    def restart_later(self, node: SimulatedNode) -> None:
        self.after(self.rng.randrange(1, self.plan.down), self._restart, node)

    def _restart(self, node: SimulatedNode) -> None:
        if node.core is None and not node.wiped:
            self.note("%s starts", node.id)
            node.start()

    # --- the end of the faults ---

    def heal(self) -> None:
        """Everything works from now on."""
        self.note("healed")
        self.calm = True
        for node in self.live():  # what is asked now is lost at first, and answered nevertheless
            self.propose(node)
            node.read()
        self.cuts.clear()
        self.apply_is_slow = False
        self._set_network(calm=True)
        for node in list(self.nodes.values()):
            node.set_full(False)
            node.disk_faults.clear()
            if node.core is None and not node.wiped:
                node.start()
            elif node.paused_until > self.now:
                node.paused_until = self.now
                node.on_resume(node.life)

    def close(self) -> None:
        for node in self.nodes.values():
            node.state_machine.close()
            node.log.close()
        for copy in self.copies.values():
            copy.close()
        if self._folder is not None:
            self._folder.cleanup()
