"""What a seed means: how big the cluster is and what goes wrong in it."""

from __future__ import annotations

import random

import attrs

from bleepstore.raft.machine import Settings

#: The kinds of fault and how often each is chosen, if a plan has it at all. The names are methods of Faults.
FAULTS: dict[str, int] = {
    "crash": 6,
    "power_cut": 2,
    "disk_error": 2,
    "disk_full": 1,
    "isolate": 3,
    "isolate_leader": 4,
    "cut_one_way": 4,
    "partition": 4,
    "mend": 8,
    "pause": 4,
    "wipe": 1,
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
    slow: float  # how often a message takes a hundred times as long
    disk: tuple[int, int]  # (0, 0): a write is durable at once
    writes: int  # how many writes may be under way before the driver takes the next Ready
    apply: tuple[int, int]
    client_every: int
    reads: float  # the share of reads among what clients ask
    retry: float  # how often a client proposes the same request again
    fault_every: int
    faults: tuple[str, ...]  # repeated by weight
    compact_every: int
    hasty_compaction: float  # how often the log is compacted without regard for members that wait

    @staticmethod
    def draw(rng: random.Random) -> Plan:
        """A plan for a seed: every kind of trouble is present or absent, so that each is also seen alone."""
        chosen = [name for name in FAULTS if rng.random() < 0.6]
        if rng.random() < 0.15:
            chosen = []
        election = rng.choice((4, 6, 10))
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
            delay=rng.choice(((100, 300), (500, 5_000), (1_000, 20_000))),
            ordered=rng.random() < 0.6,
            drop=rng.choice((0.0, 0.0, 0.01, 0.1)),
            duplicate=rng.choice((0.0, 0.02, 0.1)),
            slow=rng.choice((0.0, 0.0, 0.01)),
            disk=rng.choice(((0, 0), (50, 300), (500, 15_000))),
            writes=rng.choice((1, 1, 2, 8)),
            apply=rng.choice(((0, 0), (0, 0), (100, 20_000))),
            client_every=rng.choice((500, 2_000, 5_000)),
            reads=rng.choice((0.1, 0.3)),
            retry=rng.choice((0.0, 0.1)),
            fault_every=rng.choice((20_000, 60_000, 200_000)),
            faults=tuple(name for name in chosen for _ in range(FAULTS[name])),
            compact_every=rng.choice((50_000, 200_000, 1_000_000)),
            hasty_compaction=rng.choice((0.0, 0.3)),
        )
