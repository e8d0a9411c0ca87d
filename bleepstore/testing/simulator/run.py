"""A run: chaos, healing, convergence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from bleepstore.raft.messages import Configuration, EntryKind, Role
from bleepstore.testing.simulator.checks import Violation
from bleepstore.testing.simulator.faults import FaultInjector
from bleepstore.testing.simulator.world import World

#: How long a healed cluster may take, looked at in steps: so many events, and so many ticks. Where much waits for a
#: leader that takes little at a time, there are hundreds of events in a tick.
CONVERGENCE_STEP = 200
CONVERGENCE_EVENTS = 60_000
CONVERGENCE_TICKS = 600


@attrs.frozen
class Outcome:
    """What a run has seen: a check that never had anything to check proves nothing."""

    seed: int
    events: int
    term: int
    commits: int
    acknowledged: int
    reads: int
    nodes: int
    snapshots: int
    members: int
    converged: bool  # False: the faults left no majority alive, so there was nothing to expect
    happened: Counter[str]  # how often each fault really happened


def replay_line(seed: int, events: int, *, catalog: bool = False, mix: str | None = None) -> str:
    """The command that runs exactly one seed again."""
    return (
        f"replay: python -m bleepstore.testing.simulator --first-seed {seed} --seeds 1 --events {events}"
        f"{' --catalog' if catalog else ''}{'' if mix is None else f' --mix {mix}'} --trace"
    )


def run_seed(seed: int, events: int, make_world: Callable[..., World] = World, **options: Any) -> Outcome:
    """Run a seed for `events` events of chaos, heal, and see that it converges.

    Raises Violation if an invariant does not hold; any other exception is a fault of the core too.
    """
    world = make_world(seed, **options)
    try:
        world.populate()
        FaultInjector(world)
        world.run(events)
        world.heal()
        converged = _converge(world)
        world.ledger.check_acknowledged()
        return _outcome(world, converged=converged)
    finally:
        world.close()


def _converge(world: World) -> bool:
    """A healed cluster elects a leader, commits something new, and all its members reach the same state."""
    if not can_converge(world):
        return False
    request_id, asked_in = "", 0
    limit, until = world.events + CONVERGENCE_EVENTS, world.now + CONVERGENCE_TICKS * world.plan.tick
    while world.events < limit or world.now < until:
        world.run(CONVERGENCE_STEP)
        leader = world.leader()
        if leader is None or leader.core is None:
            continue
        if request_id in world.ledger.acknowledged:
            if _has_converged(world):
                return True
        elif leader.core.term != asked_in or not leader.waits_for(request_id):
            asked_in, request_id = leader.core.term, world.propose(leader)
    states = [
        (node.id, node.core.role.value, node.core.term, node.core.log.committed, node.state_machine.applied)
        for node in world.nodes.values()
        if node.core is not None
    ]
    raise Violation(f"healed, but does not converge: {states}")


def _has_converged(world: World) -> bool:
    leader = world.leader()
    if leader is None or leader.core is None:
        return False
    members = [world.nodes[one] for one in leader.core.configuration.members if not world.nodes[one].wiped]
    last = leader.core.log.last
    return not leader.core.configuration.is_joint and all(
        node.state_machine.applied == last and not node.owes_answers for node in members
    )


def can_converge(world: World) -> bool:
    """Whether the membership in effect, and every one that may follow it, has a majority of disks left.

    In effect is what those who are left can know: if the leader alone knew that the end of a joint membership was
    committed, and has lost its disk, the others elect by the joint one.
    """
    logs = [node.core.log for node in world.live() if node.core is not None]
    known = max((log.committed for log in logs), default=0)
    configurations = [world.ledger.in_effect(known)]
    for log in logs:
        configurations += [
            Configuration.decode(entry.data)
            for entry in log.scan(max(known, log.applied) + 1, log.last + 1)
            if entry.kind is EntryKind.CONFIGURATION
        ]
    return all(
        sum(not world.nodes[voter].wiped for voter in voters) > len(voters) // 2
        for configuration in configurations
        for voters in (configuration.voters, configuration.voters_outgoing)
        if voters
    )


def _outcome(world: World, *, converged: bool) -> Outcome:
    cores = [node.core for node in world.live() if node.core is not None]
    leaders = [core for core in cores if core.role is Role.LEADER]
    return Outcome(
        seed=world.seed,
        events=world.events,
        term=max((core.term for core in cores), default=0),
        commits=len(world.ledger.committed) - 1,
        acknowledged=len(world.ledger.acknowledged),
        reads=world.ledger.read_count,
        nodes=len(world.nodes),
        snapshots=sum(core.counters.snapshots_installed for core in cores),
        members=len(leaders[0].configuration.members) if leaders else 0,
        converged=converged,
        happened=world.happened,
    )
