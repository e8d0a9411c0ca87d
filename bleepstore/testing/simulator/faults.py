"""What goes wrong in a run, and who joins and leaves."""

from __future__ import annotations

from bleepstore.raft.messages import Accepted, ConfChange, NodeId
from bleepstore.testing.simulator.node import SimulatedNode
from bleepstore.testing.simulator.world import World

MAX_MEMBERS = 6


class Faults:
    """Chooses a fault now and then, until the world is healed. The methods are named in `plan.FAULTS`."""

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
        getattr(self, name)()

    def _pick(self) -> SimulatedNode | None:
        live = self.world.live()
        return live[self.rng.randrange(len(live))] if live else None

    # --- machines ---

    def crash(self) -> None:
        node = self._pick()
        if node is not None:
            self._crash(node)

    def _crash(self, node: SimulatedNode) -> None:
        node.crash()
        self.world.after(self.rng.randrange(1, self.world.plan.down), self.restart, node)

    def restart(self, node: SimulatedNode) -> None:
        if node.core is None and not node.wiped:
            self.world.note("%s starts", node.id)
            node.start()

    def crash_leader(self) -> None:
        leader = self.world.leader()
        if leader is not None:
            self._crash(leader)

    def power_cut(self) -> None:
        for node in self.world.live():
            self._crash(node)

    def disk_error(self) -> None:
        """A failed write ends the node: nobody knows what the disk holds."""
        node = self._pick()
        if node is not None:
            self.world.note("%s has a disk error", node.id)
            self._crash(node)

    def disk_full(self) -> None:
        node = self._pick()
        if node is not None:
            node.full = not node.full

    def pause(self) -> None:
        node = self._pick()
        if node is not None:
            self.world.note("%s pauses", node.id)
            node.pause(self.world.now + self.rng.randrange(1_000, 400_000))

    def wipe(self) -> None:
        """A voter loses its disk for good; only where the others can go on without it, and no change is under way."""
        world = self.world
        leader = world.leader()
        if leader is None or leader.core is None or leader.core.configuration.is_joint or self._lost_member(leader):
            return
        voters = leader.core.configuration.voters
        if len(voters) < 3:
            return
        victim = world.nodes[voters[self.rng.randrange(len(voters))]]
        world.note("%s is wiped", victim.id)
        victim.wipe()

    def _lost_member(self, leader: SimulatedNode) -> NodeId | None:
        assert leader.core is not None
        return next((one for one in leader.core.configuration.members if self.world.nodes[one].wiped), None)

    # --- network ---

    def isolate(self) -> None:
        node = self._pick()
        if node is not None:
            self._cut_off(node)

    def isolate_leader(self) -> None:
        leader = self.world.leader()
        if leader is not None:
            self._cut_off(leader)

    def _cut_off(self, node: SimulatedNode) -> None:
        self.world.note("%s is cut off", node.id)
        for other in self.world.nodes:
            if other != node.id:
                self.world.cuts |= {(node.id, other), (other, node.id)}

    def cut_one_way(self) -> None:
        names = list(self.world.nodes)
        sender, to = names[self.rng.randrange(len(names))], names[self.rng.randrange(len(names))]
        if sender != to:
            self.world.cuts.add((sender, to))

    def partition(self) -> None:
        side = [name for name in self.world.nodes if self.rng.random() < 0.5]
        self.world.note("partition: %s", side)
        for one in side:
            for other in self.world.nodes:
                if other not in side:
                    self.world.cuts |= {(one, other), (other, one)}

    def mend(self) -> None:
        self.world.note("the network is mended")
        self.world.cuts.clear()

    # --- membership ---

    def transfer(self) -> None:
        leader = self.world.leader()
        if leader is not None and leader.core is not None:
            voters = leader.core.configuration.voters
            leader.core.transfer_leadership(voters[self.rng.randrange(len(voters))])
            leader.drain()

    def change_members(self) -> None:
        leader = self.world.leader()
        if leader is None or leader.core is None:
            return
        change = self._choose_change(leader)
        answer = leader.core.propose_conf(change)
        if isinstance(answer, Accepted):
            self.world.note("%s proposes %s at %s", leader.id, change, answer.index)
        leader.drain()

    def _choose_change(self, leader: SimulatedNode) -> ConfChange:
        assert leader.core is not None
        now = leader.core.configuration
        lost = self._lost_member(leader)
        if lost is not None:
            return ConfChange(remove=(lost,))
        learn: tuple[NodeId, ...] = ()
        if len(now.members) < MAX_MEMBERS and self.rng.random() < 0.6:
            blank = next((n.id for n in self.world.live() if not n.core or n.log.last_index() == 0), None)
            learn = (blank if blank is not None else self.world.add_blank().id,)
        promote = now.learners if self.rng.random() < 0.7 else ()
        remove: tuple[NodeId, ...] = ()
        if len(now.voters) > 1 and self.rng.random() < 0.5:
            remove = (now.members[self.rng.randrange(len(now.members))],)
        return ConfChange(learn, tuple(one for one in promote if one not in remove), remove)
