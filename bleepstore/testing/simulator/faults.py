"""What goes wrong in a run, and who joins and leaves."""

from __future__ import annotations

from bleepstore.raft.messages import Accepted, ConfChange, NodeId
from bleepstore.testing.simulator.node import SimulatedNode
from bleepstore.testing.simulator.world import World

MAX_MEMBERS = 6


class FaultInjector:
    """Chooses a fault now and then, until the world is healed. The methods are named in `plan.FAULTS`; each returns
    whether it found something to break, and that is counted in `World.happened`. Faults of a disk are counted by the
    node, when a write meets them.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        if world.plan.faults:
            world.after(world.plan.fault_every, self.on_fault, None)

    def on_fault(self, _: None) -> None:
        world = self.world
        if world.calm:
            return
        world.after(1 + self.rng.randrange(2 * world.plan.fault_every), self.on_fault, None)
        name = world.plan.faults[self.rng.randrange(len(world.plan.faults))]
        if getattr(self, name)():
            world.happened[name] += 1

    def _pick(self) -> SimulatedNode | None:
        live = self.world.live()
        return live[self.rng.randrange(len(live))] if live else None

    # --- state machines ---

    def crash(self) -> bool:
        node = self._pick()
        if node is not None:
            node.crash_for_a_while()
        return node is not None

    def crash_leader(self) -> bool:
        leader = self.world.leader()
        if leader is not None:
            leader.crash_for_a_while()
        return leader is not None

    def power_cut(self) -> bool:
        live = self.world.live()
        for node in live:
            node.crash_for_a_while()
        return len(live) > 0

    def disk_error(self) -> bool:
        """The next write raises, and ends the node: nobody knows what the disk holds."""
        return self._break_disk("disk_error")

    def torn_write(self) -> bool:
        """The next write of entries is torn by a loss of power."""
        return self._break_disk("torn_write")

    def torn_install(self) -> bool:
        """The next write of a snapshot is."""
        return self._break_disk("torn_install")

    def torn_compaction(self) -> bool:
        """The next compaction is."""
        return self._break_disk("torn_compaction")

    def _break_disk(self, fault: str) -> bool:
        node = self._pick()
        if node is not None:
            node.break_disk(fault)
        return False

    def disk_full(self) -> bool:
        node = self._pick()
        if node is not None:
            node.set_full(not node.full)
        return False

    def pause(self) -> bool:
        node = self._pick()
        if node is not None:
            self._pause(node)
        return node is not None

    def pause_leader(self) -> bool:
        leader = self.world.leader()
        if leader is not None:
            self._pause(leader)
        return leader is not None

    def _pause(self, node: SimulatedNode) -> None:
        self.world.note("%s pauses", node.id)
        node.pause(self.world.now + self.rng.randrange(1_000, 400_000))

    def wipe(self) -> bool:
        """A voter loses its disk for good; only where the others can go on without it, and no change is under way."""
        world = self.world
        leader = world.leader()
        if leader is None or leader.core is None or leader.core.configuration.is_joint or self._lost_member(leader):
            return False
        voters = leader.core.configuration.voters
        if len(voters) < 3:
            return False
        victim = world.nodes[voters[self.rng.randrange(len(voters))]]
        world.note("%s is wiped", victim.id)
        victim.wipe()
        return True

    def _lost_member(self, leader: SimulatedNode) -> NodeId | None:
        assert leader.core is not None
        return next((one for one in leader.core.configuration.members if self.world.nodes[one].wiped), None)

    # --- network ---

    def isolate(self) -> bool:
        node = self._pick()
        if node is not None:
            self._cut_off(node)
        return node is not None

    def isolate_leader(self) -> bool:
        leader = self.world.leader()
        if leader is not None:
            self._cut_off(leader)
        return leader is not None

    def _cut_off(self, node: SimulatedNode) -> None:
        self.world.note("%s is cut off", node.id)
        for other in self.world.nodes:
            if other != node.id:
                self.world.cuts |= {(node.id, other), (other, node.id)}

    def cut_one_way(self) -> bool:
        names = list(self.world.nodes)
        sender, to = names[self.rng.randrange(len(names))], names[self.rng.randrange(len(names))]
        if sender != to:
            self.world.cuts.add((sender, to))
        return sender != to

    def cut_around_leader(self) -> bool:
        """Some hear the leader and are not heard, or are heard and do not hear, or neither."""
        leader = self.world.leader()
        if leader is None:
            return False
        self.world.note("cuts around %s", leader.id)
        for other in self.world.nodes:
            if other != leader.id:
                if self.rng.random() < 0.6:
                    self.world.cuts.add((leader.id, other))
                if self.rng.random() < 0.3:
                    self.world.cuts.add((other, leader.id))
        return True

    def partition(self) -> bool:
        return self._part([name for name in self.world.nodes if self.rng.random() < 0.5])

    def _part(self, side: list[NodeId]) -> bool:
        self.world.note("partition: %s", side)
        for one in side:
            for other in self.world.nodes:
                if other not in side:
                    self.world.cuts |= {(one, other), (other, one)}
        return 0 < len(side) < len(self.world.nodes)

    def part_with_old_leader(self) -> bool:
        """The leader hands over and is parted from the next one, with some that go on to follow it: for a while two
        lead, one of them without knowing better.
        """
        leader = self.world.leader()
        if leader is None or leader.core is None:
            return False
        others = [one for one in leader.core.configuration.voters if one != leader.id]
        if not others:
            return False
        heir = others[self.rng.randrange(len(others))]
        if leader.core.transfer_leadership(heir) is not None:
            return False
        leader.drain()
        loyal = [one for one in self.world.nodes if one not in (leader.id, heir) and self.rng.random() < 0.3]
        return self._part([leader.id, *loyal])

    def mend(self) -> bool:
        self.world.note("the network is mended")
        cut = bool(self.world.cuts)
        self.world.cuts.clear()
        return cut

    # --- membership ---

    def transfer(self) -> bool:
        leader = self.world.leader()
        if leader is None or leader.core is None:
            return False
        voters = leader.core.configuration.voters
        refusal = leader.core.transfer_leadership(voters[self.rng.randrange(len(voters))])
        leader.drain()
        return refusal is None

    def change_members(self) -> bool:
        leader = self.world.leader()
        if leader is None or leader.core is None:
            return False
        change = self._choose_change(leader)
        answer = leader.core.propose_conf(change)
        if isinstance(answer, Accepted):
            self.world.note("%s proposes %s at %s", leader.id, change, answer.index)
        leader.drain()
        return isinstance(answer, Accepted)

    def _choose_change(self, leader: SimulatedNode) -> ConfChange:
        assert leader.core is not None
        now = leader.core.configuration
        lost = self._lost_member(leader)
        if lost is not None:
            return ConfChange(remove=(lost,))
        learn: tuple[NodeId, ...] = ()
        if now.removed and self.rng.random() < 0.05:
            return ConfChange(learn=(now.removed[self.rng.randrange(len(now.removed))],))  # must be refused
        if len(now.members) < MAX_MEMBERS and self.rng.random() < 0.6:
            blank = next((n.id for n in self.world.live() if not n.core or n.log.last_index() == 0), None)
            learn = (blank if blank is not None else self.world.add_blank().id,)
        promote = now.learners if self.rng.random() < 0.7 else ()
        remove: tuple[NodeId, ...] = ()
        if len(now.voters) > 1 and self.rng.random() < 0.5:
            remove = (now.members[self.rng.randrange(len(now.members))],)
        return ConfChange(learn, tuple(one for one in promote if one not in remove), remove)
