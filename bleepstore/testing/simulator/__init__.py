"""Deterministic simulation of Raft clusters: one process, one seeded generator, one heap of virtual-time events.

A seed decides everything: the size of the cluster, how the network, the disks and the clocks misbehave, what clients
ask for. After every event the invariants of Raft are checked; at the end everything is healed and the cluster must
converge. The same seed gives the same run, on every state_machine and every version of Python.

    python -m bleepstore.testing.simulator --seeds 100 --events 4000 --first-seed 0
"""

from bleepstore.testing.simulator.checks import Violation
from bleepstore.testing.simulator.plan import Plan
from bleepstore.testing.simulator.run import Outcome, replay_line, run_seed
from bleepstore.testing.simulator.world import World

__all__ = ["Outcome", "Plan", "Violation", "World", "replay_line", "run_seed"]
