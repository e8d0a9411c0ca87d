"""What a seed means: how big the cluster is and what goes wrong in it."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.state import Settings

#: The kinds of fault and how often each is chosen, if a plan has it at all. The names are methods of FaultInjector.
FAULTS: dict[str, int] = {
    "crash": 6,
    "crash_leader": 5,
    "power_cut": 2,
    "disk_error": 2,
    "torn_write": 2,
    "torn_install": 1,
    "torn_compaction": 1,
    "disk_full": 1,
    "isolate": 3,
    "isolate_leader": 4,
    "cut_one_way": 4,
    "cut_around_leader": 2,
    "partition": 4,
    "part_with_old_leader": 2,
    "mend": 8,
    "pause": 4,
    "pause_leader": 1,
    "wipe": 3,
    "change_members": 6,
    "transfer": 2,
}


@attrs.frozen
class Plan:
    """Times are in virtual microseconds, probabilities between 0 and 1."""

    nodes: int
    settings: Settings
    tick: int
    skew: float  # a node's tick is between 1/skew and skew times as long
    delay: tuple[int, int]
    ordered: bool  # messages of a link arrive in the order they were sent, as on a connection; doubles arrive late
    drop: float
    duplicate: float
    slow: float  # how often a message takes ten to a hundred times as long
    disk: tuple[int, int]  # (0, 0): a write is durable at once
    lazy_commit: bool  # a commit index alone is not written; it waits for the next write, as in the driver
    writes: int  # how many writes may be under way before the driver takes the next Ready
    apply: tuple[int, int]
    client_every: int
    reads: float  # the share of reads among what clients ask
    retry: float  # how often a client proposes the same request again
    fault_every: int
    down: int  # how long a crashed node stays down, at most
    faults: tuple[str, ...]  # repeated by weight
    compact_every: int
    hasty_compaction: float  # how often the log is compacted without regard for members that wait

    @staticmethod
    def draw(rng: random.Random, mix: str | None = None) -> Plan:
        """A plan for a seed; `mix` is one of MIXES, by default the seed chooses."""
        luck = rng.random()
        plan = Plan._mixed(rng)
        for name, (share, adapt) in MIXES.items():
            luck -= share
            if mix == name or (mix is None and luck < 0):
                return adapt(plan, rng)
        raise ValueError(f"there is no mix {mix!r}, but {sorted(MIXES)}")

    def _stormy(self, rng: random.Random) -> Plan:
        """Leaders come and go, messages hold one entry, and terms overlap."""
        return attrs.evolve(
            self,
            nodes=rng.choice((3, 5)),
            settings=attrs.evolve(
                self.settings, election_ticks=3, heartbeat_ticks=1, max_message_bytes=rng.choice((1, 200))
            ),
            delay=rng.choice(((500, 5_000), (1_000, 12_000))),
            duplicate=rng.choice((0.0, 0.2)),
            client_every=rng.choice((3_000, 15_000)),
            fault_every=rng.choice((8_000, 20_000, 40_000)),
            down=rng.choice((20_000, 60_000)),
            faults=_weighted({"crash": 1, "crash_leader": 2, "isolate_leader": 2, "partition": 1, "change_members": 1,
                              "cut_one_way": 1, "mend": 3, "wipe": 1}),
        )  # fmt: skip

    def _churning(self, rng: random.Random) -> Plan:
        """Members come and go while leaders fall, and the log is short."""
        return attrs.evolve(
            self,
            nodes=rng.choice((1, 3)),
            settings=attrs.evolve(self.settings, election_ticks=3, heartbeat_ticks=1, promote_lag=64),
            delay=rng.choice(((500, 5_000), (1_000, 12_000))),
            client_every=rng.choice((3_000, 15_000)),
            fault_every=rng.choice((8_000, 20_000, 40_000)),
            down=rng.choice((20_000, 60_000)),
            faults=_weighted({"change_members": 5, "isolate_leader": 1, "isolate": 1, "partition": 1, "mend": 2,
                              "crash_leader": 1, "transfer": 1}),
            compact_every=rng.choice((10_000, 30_000, 1_000_000)),
            hasty_compaction=rng.choice((0.0, 0.5, 1.0)),
        )  # fmt: skip

    def _reading(self, rng: random.Random) -> Plan:
        """Many reads, at leaders that some hear and others do not, while memberships are joint."""
        return attrs.evolve(
            self,
            nodes=rng.choice((3, 5, 5)),
            settings=attrs.evolve(self.settings, election_ticks=rng.choice((3, 6)), heartbeat_ticks=1, promote_lag=64),
            skew=rng.choice((1.3, 2.0, 2.0)),
            delay=rng.choice(((100, 300), (500, 5_000), (1_000, 12_000))),
            ordered=rng.random() < 0.3,
            drop=0.0,
            duplicate=rng.choice((0.0, 0.1)),
            slow=rng.choice((0.0, 0.05)),
            client_every=rng.choice((500, 2_000)),
            reads=0.7,
            fault_every=rng.choice((20_000, 40_000)),
            down=rng.choice((20_000, 60_000)),
            faults=_weighted({"part_with_old_leader": 4, "cut_around_leader": 2, "partition": 1, "pause_leader": 1,
                              "mend": 5, "transfer": 1, "change_members": 3, "crash": 1}),
        )  # fmt: skip

    def _tearing(self, rng: random.Random) -> Plan:
        """The power fails in the midst of saves, each of which has much to save: while one is under way, terms, votes,
        truncations and entries gather for the next. The log is short, so snapshots are frequent.
        """
        return attrs.evolve(
            self,
            nodes=rng.choice((3, 3, 5)),
            settings=attrs.evolve(self.settings, election_ticks=rng.choice((3, 6)), heartbeat_ticks=1, promote_lag=64),
            delay=rng.choice(((100, 300), (500, 5_000))),
            drop=0.0,
            disk=rng.choice(((500, 5_000), (500, 15_000))),
            writes=1,
            client_every=rng.choice((1_000, 3_000)),
            fault_every=rng.choice((20_000, 40_000)),
            down=rng.choice((20_000, 60_000)),
            faults=_weighted({"torn_write": 5, "torn_install": 3, "torn_compaction": 1, "crash": 1, "crash_leader": 2,
                              "isolate": 3, "isolate_leader": 3, "partition": 1, "change_members": 3, "mend": 6}),
            compact_every=5_000,
            hasty_compaction=1.0,
        )  # fmt: skip

    @staticmethod
    def _mixed(rng: random.Random) -> Plan:
        """Every kind of trouble is present or absent, so that each is also seen alone. The other mixes begin so."""
        chosen = [name for name in FAULTS if rng.random() < 0.6]
        if rng.random() < 0.15:
            chosen = []
        election = rng.choice((3, 4, 6, 10))
        settings = Settings(
            election_ticks=election,
            heartbeat_ticks=rng.choice((1, 1, 2)),
            max_message_bytes=rng.choice((100, 300, 1 << 20)),
            max_inflight=rng.choice((1, 2, 4, 64)),
            max_uncommitted_bytes=rng.choice((500, 1 << 20)),
            max_apply_bytes=rng.choice((100, 1 << 20, 1 << 20)),
            promote_lag=rng.choice((0, 8, 64)),
        )
        return Plan(
            nodes=rng.choice((1, 3, 3, 3, 5, 5)),
            settings=settings,
            tick=10_000,
            skew=rng.choice((1.0, 1.0, 1.3, 2.0)),
            delay=rng.choice(((100, 300), (500, 5_000), (1_000, 20_000), (2_000, 40_000))),
            ordered=rng.random() < 0.6,
            drop=rng.choice((0.0, 0.0, 0.01, 0.1)),
            duplicate=rng.choice((0.0, 0.02, 0.1)),
            slow=rng.choice((0.0, 0.0, 0.01, 0.05)),
            disk=rng.choice(((0, 0), (50, 300), (500, 15_000))),
            lazy_commit=rng.random() < 0.5,
            writes=rng.choice((1, 1, 2, 8)),
            apply=rng.choice(((0, 0), (0, 0), (100, 20_000))),
            client_every=rng.choice((500, 2_000, 5_000, 20_000)),
            reads=rng.choice((0.1, 0.3)),
            retry=rng.choice((0.0, 0.1)),
            fault_every=rng.choice((10_000, 30_000, 60_000, 200_000)),
            down=rng.choice((20_000, 100_000, 300_000)),
            faults=_weighted({name: FAULTS[name] for name in chosen}),
            compact_every=rng.choice((50_000, 200_000, 1_000_000)),
            hasty_compaction=rng.choice((0.0, 0.3)),
        )


#: Name -> how often a seed chooses it, and how it is made of the general one.
MIXES: dict[str, tuple[float, Callable[[Plan, random.Random], Plan]]] = {
    "stormy": (0.25, Plan._stormy),
    "churning": (0.15, Plan._churning),
    "reading": (0.15, Plan._reading),
    "tearing": (0.1, Plan._tearing),
    "general": (1.0, lambda plan, _: plan),  # all else
}


def _weighted(weights: dict[str, int]) -> tuple[str, ...]:
    return tuple(name for name, weight in weights.items() for _ in range(weight))


def draw_node_settings(rng: random.Random, plan: Plan) -> NodeSettings:
    """How the real nodes of a run are driven: their logs are compacted soon, and what waits is offered again soon."""
    return NodeSettings(
        core=plan.settings,
        answer_ticks=rng.choice((40, 100, 400)),
        retry_ticks=rng.choice((3, 8, 20)),
        compact_after=rng.choice((2, 10, 40, 400)),
        keep_entries=rng.choice((0, 0, 3, 30)),
        space_ticks=50,
    )
