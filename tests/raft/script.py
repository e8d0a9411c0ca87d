"""The interpreter of the golden scenarios: nodes whose every message, write and tick is ordered by hand.

A scenario is a text of blocks. A block is one or more commands, a line `----`, and what they print, up to an empty
line. `#` begins a comment. The commands are the methods of `Script` whose names begin with `do_`; README.txt beside the
scenarios lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from bleepstore.errors import BleepStoreError
from bleepstore.raft.core import Raft
from bleepstore.raft.messages import (
    AppendEntries,
    AppendReply,
    ConfChange,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ProposeRefused,
    Ready,
    Refusal,
    RequestVote,
    Role,
    SnapshotFetch,
    SnapshotMeta,
    TimeoutNow,
    VoteReply,
)
from bleepstore.raft.state import Settings
from bleepstore.raft.storage import MemoryLog
from bleepstore.testing.simulator.state_machines import ChainStateMachine

CLUSTER = "c"


class FixedRandom:
    """Timeouts without chance: the longest, so that a lease ends well before its holder campaigns itself. Every start
    of a node gets another incarnation.
    """

    def __init__(self) -> None:
        self.drawn = 0

    def randrange(self, stop: int, /) -> int:
        return stop - 1

    def getrandbits(self, k: int, /) -> int:
        self.drawn += 1
        return self.drawn


class RecordingStateMachine(ChainStateMachine):
    """Remembers which commands took effect, in order."""

    __slots__ = ("effects",)

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[str] = []

    def apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.COMMAND and entry.request_id not in self.done:
                self.effects.append(entry.request_id)
            super().apply((entry,))

    def crash(self, keep: int) -> None:
        super().crash(keep)
        self.effects = [one for one in self.effects if one in self.done]

    def copy(self) -> RecordingStateMachine:
        twin = super().copy()
        assert isinstance(twin, RecordingStateMachine)
        twin.effects = list(self.effects)
        return twin


class Node:
    """A node of a script: `log` and `state_machine` are durable."""

    def __init__(self, log: MemoryLog, state_machine: RecordingStateMachine) -> None:
        self.log = log
        self.state_machine = state_machine
        self.core: Raft | None = None
        self.writing: list[Ready] = []
        self.fetch: SnapshotFetch | None = None
        self.fetched: RecordingStateMachine | None = None
        self.lazy = False  # committed entries wait for `apply`
        self.waiting: list[Entry] = []


class ScriptError(Exception):
    """The scenario itself is wrong."""


class Script:
    """Runs the commands of one scenario and gathers what they print."""

    def __init__(
        self,
        core_factory: Callable[..., Raft] = Raft,
        make_state_machine: Callable[[], RecordingStateMachine] = RecordingStateMachine,
    ) -> None:
        self.core_factory = core_factory
        self.make_state_machine = make_state_machine
        self.settings = Settings()
        self.rng = FixedRandom()
        self.nodes: dict[str, Node] = {}
        self.flying: list[Message] = []
        self.lines: list[str] = []

    def run(self, command: str) -> None:
        """Execute one line."""
        name, *words = command.split()
        action: Callable[..., None] | None = getattr(self, f"do_{name.replace('-', '_')}", None)
        if action is None:
            raise ScriptError(f"unknown command {name!r}")
        positional = [word for word in words if "=" not in word]
        named = dict(word.split("=", 1) for word in words if "=" in word)
        action(*positional, **named)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def core(self, name: str) -> Raft:
        core = self.nodes[name].core
        if core is None:
            raise ScriptError(f"{name} is down")
        return core

    # --- the cluster ---

    def do_cluster(self, *names: str, **settings: str) -> None:
        self.settings = Settings(**{key: int(value) for key, value in settings.items()})
        beginning = SnapshotMeta(configuration=Configuration(tuple(names)))
        for name in names:
            self._add(name, beginning)

    def do_blank(self, name: str) -> None:
        self._add(name, SnapshotMeta())

    def _add(self, name: str, beginning: SnapshotMeta) -> None:
        self.nodes[name] = Node(MemoryLog(CLUSTER, name, beginning), self.make_state_machine())
        self.do_restart(name)

    def do_restart(self, name: str) -> None:
        node = self.nodes[name]
        node.writing, node.waiting, node.fetch, node.fetched = [], [], None, None
        try:
            node.core = self.core_factory(node.log, self.rng, node.state_machine.applied, self.settings)
        except BleepStoreError as error:
            self.say(f"{name} does not start: {error}")

    def do_crash(self, name: str, written: str = "0") -> None:
        """The first `written` of the writes under way have reached the disk, though nobody was told."""
        node = self.nodes[name]
        for ready in node.writing[: int(written)]:
            self._save(name, node, ready)
        node.core = None

    def do_power_cut(self, name: str, written: str = "0") -> None:
        """A crash that the state machine's last batches do not survive either, unless they were made durable."""
        self.do_crash(name, written)
        state_machine = self.nodes[name].state_machine
        state_machine.crash(state_machine.durable)

    def do_durable(self, name: str) -> None:
        self.say(f"{name}: state durable at {self.nodes[name].state_machine.make_durable()}")

    def do_wipe(self, name: str, new: str) -> None:
        """The disk is replaced: whoever comes back has a new id, but messages to the old one still reach it."""
        self.do_crash(name)
        self.do_blank(new)
        self.nodes[name] = self.nodes[new]

    def do_forget_state(self, name: str) -> None:
        """The state machine is lost, the log is not."""
        self.do_crash(name)
        self.nodes[name].state_machine = self.make_state_machine()

    # --- time, proposals ---

    def do_tick(self, name: str, count: str = "1") -> None:
        for _ in range(int(count)):
            self.core(name).tick()

    def do_campaign(self, name: str) -> None:
        """Tick until the election timeout."""
        core = self.core(name)
        for _ in range(core.election_timeout):
            if core.role in (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE):
                core.tick()

    def do_propose(self, name: str, request_id: str, data: str = "x") -> None:
        self._answer(name, self.core(name).propose(request_id, data.encode()))

    def do_conf(self, name: str, learn: str = "", promote: str = "", remove: str = "", level: str = "0") -> None:
        parts = [tuple(part.split(",")) if part else () for part in (learn, promote, remove)]
        change = ConfChange(learn=parts[0], promote=parts[1], remove=parts[2], level=int(level))
        self._answer(name, self.core(name).propose_conf(change))

    def do_transfer(self, name: str, to: str) -> None:
        self._answer(name, self.core(name).transfer_leadership(to))

    def do_read(self, name: str, context: str) -> None:
        self._answer(name, self.core(name).read_index(int(context)))

    def _answer(self, name: str, answer: object) -> None:
        if isinstance(answer, Refusal):
            self.say(f"{name} refuses: {answer.value}")

    # --- disk and state machine ---

    def do_process(self, *names: str) -> None:
        """Handle all Readys at once: write, send, apply."""
        for name in names:
            while self._take(name):
                self.do_saved(name)

    def do_take(self, name: str) -> None:
        """Take one Ready; its write is under way."""
        if not self._take(name):
            self.say(f"{name} has nothing to do")

    def do_saved(self, name: str) -> None:
        """The oldest write under way is durable."""
        node = self.nodes[name]
        if not node.writing:
            raise ScriptError(f"{name} writes nothing")
        ready = node.writing.pop(0)
        self._save(name, node, ready)
        self._send(ready.messages_after)
        self.core(name).advance(ready.token)

    def _take(self, name: str) -> bool:
        node = self.nodes[name]
        core = self.core(name)
        ready = core.ready()
        if ready is None:
            return False
        if ready.soft_state is not None:
            soft = ready.soft_state
            self.say(f"{name} is {soft.role.value} in term {soft.term}, leader {soft.leader}")
        self._send(ready.messages)
        node.writing.append(ready)
        for read in ready.reads:
            self.say(f"{name} may serve read {read.context} from {read.index} on")
        for context in ready.lost_reads:
            self.say(f"{name} has lost read {context}")
        if ready.fetch is not None:
            node.fetch = ready.fetch
            self.say(f"{name} wants a snapshot of {ready.fetch.source} at {ready.fetch.meta.index} or later")
        if ready.committed:
            node.waiting += ready.committed
            if not node.lazy:
                self.do_apply(name)
        return True

    def _save(self, name: str, node: Node, ready: Ready) -> None:
        if not ready.must_save:
            return
        parts = []
        if ready.snapshot is not None:
            parts.append(f"snapshot {ready.snapshot.index}/{ready.snapshot.term}")
        if ready.truncate_from is not None:
            parts.append(f"truncate {ready.truncate_from}")
        if ready.entries:
            parts.append(" ".join(map(_entry, ready.entries)))
        if ready.hard_state is not None:
            parts.append(_hard(ready.hard_state))
        self.say(f"{name} writes: {', '.join(parts)}")
        node.log.save(ready.hard_state, ready.truncate_from, ready.entries, ready.snapshot)
        if ready.snapshot is not None and node.fetched is not None:
            node.state_machine, node.fetched = node.fetched, None

    def do_lazy(self, name: str) -> None:
        """From now on the state machine of this node waits for `apply`."""
        self.nodes[name].lazy = True

    def do_apply(self, name: str) -> None:
        node = self.nodes[name]
        entries, node.waiting = node.waiting, []
        if not entries:
            raise ScriptError(f"{name} has nothing to apply")
        node.state_machine.apply(entries)
        self.say(f"{name} applies: {' '.join(map(_entry, entries))}")
        self.core(name).applied(node.state_machine.applied)

    def do_compact(self, name: str, index: str) -> None:
        meta = self.core(name).snapshot_meta(int(index))
        if meta is None:
            self.say(f"{name} cannot compact to {index}")
            return
        self.nodes[name].log.compact(meta)
        self.core(name).compacted(meta)

    def do_fetch(self, name: str) -> None:
        """The snapshot that the node wants arrives, as new as its source can make it."""
        node = self.nodes[name]
        if node.fetch is None:
            raise ScriptError(f"{name} wants no snapshot")
        source = self.nodes[node.fetch.source]
        meta = source.core.snapshot_meta(source.state_machine.applied) if source.core is not None else None
        node.fetch = None
        if meta is None:
            self.say(f"{name} gets no snapshot")
            self.core(name).snapshot_failed()
            return
        node.fetched = source.state_machine.copy()
        self._answer(name, self.core(name).install_snapshot(meta))

    # --- network ---

    def _send(self, messages: Sequence[Message]) -> None:
        for m in messages:
            self.say(f"  {_message(m)}")
            self.flying.append(m)

    def _on_links(self, links: Sequence[str]) -> list[Message]:
        return [m for m in self.flying if not links or f"{m.sender}>{m.to}" in links]

    def do_deliver(self, *links: str) -> None:
        """Deliver what flies on these links (a>b), or everything, in the order it was sent."""
        chosen = self._on_links(links)
        self.flying = [m for m in self.flying if not any(m is one for one in chosen)]
        for m in chosen:
            self._step(m)

    def _step(self, m: Message) -> None:
        node = self.nodes.get(m.to)
        if node is not None and node.core is not None:
            refusal = node.core.step(m)
            if refusal is not None:
                self.say(f"{m.to} refuses {type(m).__name__} of {m.sender}: {refusal.value}")

    def do_copy(self, *links: str) -> None:
        """What flies on these links arrives twice."""
        self.flying += self._on_links(links)

    def do_drop(self, *links: str) -> None:
        chosen = self._on_links(links)
        self.flying = [m for m in self.flying if not any(m is one for one in chosen)]

    def do_stabilize(self, *names: str) -> None:
        """Process these nodes and deliver among them until nothing happens any more."""
        for _ in range(200):
            before = len(self.lines)
            self.do_process(*(name for name in names if self.nodes[name].core is not None))
            inside = [m for m in self.flying if m.sender in names and m.to in names]
            self.flying = [m for m in self.flying if m.sender not in names or m.to not in names]
            for m in inside:
                self._step(m)
            if not inside and len(self.lines) == before:
                return
        raise ScriptError("no end of it")

    def do_quiet(self) -> None:
        """Forget what was printed in this block so far: it is beside the point."""
        self.lines.clear()

    # --- messages by hand ---

    def do_append(
        self, sender: str, to: str, term: str, prev: str, entries: str = "", commit: str = "0", kind: str = "1"
    ) -> None:
        """`entries` is a list like 3/2,4/2 of index/term."""
        index, prev_term = map(int, prev.split("/"))
        made = tuple(_made_entry(one, int(kind)) for one in entries.split(",") if one)
        self._step(AppendEntries(CLUSTER, sender, to, int(term), index, prev_term, made, int(commit)))

    def do_ask(self, sender: str, to: str, term: str, last: str, cluster: str = CLUSTER) -> None:
        """A vote request; `last` is index/term."""
        last_index, last_term = map(int, last.split("/"))
        self._step(RequestVote(cluster, sender, to, int(term), last_index, last_term))

    def do_ack(self, sender: str, to: str, term: str, index: str) -> None:
        self._step(AppendReply(CLUSTER, sender, to, int(term), int(index)))

    def do_vote(self, sender: str, to: str, term: str) -> None:
        self._step(VoteReply(CLUSTER, sender, to, int(term), granted=True))

    def do_timeout_now(self, sender: str, to: str, term: str) -> None:
        self._step(TimeoutNow(CLUSTER, sender, to, int(term)))

    def do_confirm(self, sender: str, to: str, term: str, read_round: str) -> None:
        self._step(HeartbeatReply(CLUSTER, sender, to, int(term), int(read_round)))

    def do_heartbeat(self, sender: str, to: str, term: str, commit: str) -> None:
        self._step(Heartbeat(CLUSTER, sender, to, int(term), int(commit), 0))

    # --- looking ---

    def do_status(self, *names: str) -> None:
        for name in names:
            node = self.nodes[name]
            if node.core is None:
                self.say(f"{name}: down, durable {_hard(node.log.initial_state().hard_state)}")
                continue
            core, log = node.core, node.core.log
            entries = " ".join(map(_entry, log.scan(log.first, log.last + 1)))
            begins = f"({log.first - 1}/{log.term(log.first - 1)}) " if log.first > 1 else ""
            self.say(
                f"{name}: {core.role.value} term {core.term} vote {core.vote} leader {core.leader}, "
                f"log {begins}[{entries}], stable {log.stable}, committed {log.committed}, applied {log.applied}"
            )

    def do_members(self, *names: str) -> None:
        for name in names:
            self.say(f"{name}: {_configuration(self.core(name).configuration)}")

    def do_effects(self, *names: str) -> None:
        for name in names:
            state_machine = self.nodes[name].state_machine
            self.say(f"{name}: state at {state_machine.applied}: {' '.join(state_machine.effects)}")

    def do_counters(self, *names: str) -> None:
        for name in names:
            for reason, count in sorted(self.core(name).counters.refused.items(), key=lambda item: item[0].name):
                self.say(f"{name}: {reason.name} {count}")

    def do_limit(self, name: str) -> None:
        self.say(f"{name} may compact to {self.core(name).compaction_limit()}")


def _made_entry(text: str, kind: int) -> Entry:
    index, term = map(int, text.split("/"))
    # A decoder of another version could let a kind through that this one does not know.
    return Entry(index, term, cast("EntryKind", kind) if kind > 3 else EntryKind(kind), b"", f"x{index}")


# --- rendering ---


def _entry(entry: Entry) -> str:
    what = {
        EntryKind.COMMAND: entry.request_id or "command",
        EntryKind.NOOP: "noop",
        EntryKind.CONFIGURATION: "conf",
    }[entry.kind]
    return f"{entry.index}/{entry.term}:{what}"


def _hard(hard: HardState) -> str:
    return f"term {hard.term} vote {hard.vote} commit {hard.commit}"


def _configuration(configuration: Configuration) -> str:
    parts = [f"voters {' '.join(configuration.voters) or 'none'}"]
    if configuration.is_joint:
        parts.append(f"outgoing {' '.join(configuration.voters_outgoing)}")
    if configuration.learners:
        parts.append(f"learners {' '.join(configuration.learners)}")
    return ", ".join(parts)


def _message(m: Message) -> str:
    head = f"{m.sender}>{m.to} {type(m).__name__} term {m.term}"
    if isinstance(m, AppendEntries):
        entries = " ".join(map(_entry, m.entries))
        return f"{head} after {m.prev_index}/{m.prev_term} [{entries}] commit {m.commit}"
    if isinstance(m, AppendReply):
        if m.rejected:
            return f"{head} rejects {m.index}, perhaps {m.hint_index}/{m.hint_term}"
        return f"{head} accepts {m.index}"
    if isinstance(m, InstallSnapshot):
        return f"{head} snapshot {m.meta.index}/{m.meta.term} ({_configuration(m.meta.configuration)})"
    names = ("last_index", "last_term", "pre", "transfer", "granted", "commit", "read_round", "context", "index")
    rest = [f"{name} {getattr(m, name)}" for name in names if getattr(m, name, False) is not False]
    if isinstance(m, ProposeRefused):
        rest = [f"{m.request_id}: {m.reason.value}"]
    return " ".join([head, *rest])
