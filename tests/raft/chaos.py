"""Chaos over three nodes in this process with a store on each: clients write, write on conditions, upload in parts,
delete, read and list, while nodes crash, are cut off, lose their disks, find them slow or full, and clocks disagree.
What the clients saw is given to the checker of linearizability, segment by segment.

The bytes of all stores are in one backend, as in a cluster with a provider behind it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from bleepstore import Store
from bleepstore.backends.memory import MemoryBackend
from bleepstore.clock import Stamps
from bleepstore.cluster import LeaderLease, LocalCluster, Member, clocks_of, create_member
from bleepstore.errors import BleepStoreError, NoSuchKey, PreconditionFailed
from bleepstore.jobs.parts import Parts
from bleepstore.model import CompletedPart
from bleepstore.preconditions import WriteCondition
from bleepstore.raft.messages import ConfChange, Configuration, NodeId
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.state import Settings as CoreSettings
from bleepstore.raft.storage import LogStorage
from bleepstore.raft.transport import LinkFaults, MemoryNetwork
from bleepstore.store.engine import Engine
from bleepstore.store.settings import Settings
from bleepstore.testing.linearizability import Operation, find_violation, register_model
from tests.cluster_store import KEYS

SETTINGS = NodeSettings(
    core=CoreSettings(election_ticks=10), tick_seconds=0.01, answer_ticks=100, retry_ticks=10,
    compact_after=60, keep_entries=20, space_ticks=50,
)  # fmt: skip
BUCKET = "photos"
CLIENTS = 6
#: Keys live for so many operations of all clients, so that the history of each stays short enough to be checked.
OPERATIONS_PER_GENERATION, KEYS_PER_GENERATION = 400, 4
#: Bodies above it are in the backend.
INLINE_LIMIT = 200
FAULTS = (
    "crash", "crash leader", "isolate leader", "partition", "loss", "slow disk", "full disk", "lost disk", "stop",
)  # fmt: skip
#: The hosts' clocks are off by up to this.
MAX_SKEW_MS = 600_000


def model(state: Hashable, operation: Operation) -> tuple[Hashable, Any]:
    """A register, and besides what replaces one value by another, and a listing that shows whether there is any."""
    match operation.what:
        case "swap":
            old, new = operation.arguments
            return (new, True) if state == old and state is not None else (state, False)
        case "list":
            return state, state is not None
        case _:
            return register_model(state, operation)


@attrs.define
class Seen:
    """What has happened."""

    operations: int = 0
    answered: Counter[str] = attrs.field(factory=Counter)
    faults: Counter[str] = attrs.field(factory=Counter)


class Chaos:
    """Use it in a `with` block."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seen = Seen()
        self._rng = random.Random(seed)
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._network = self._stack.enter_context(MemoryNetwork(seed=seed))
        self._cluster = self._stack.enter_context(
            LocalCluster(folder, self._network, settings=SETTINGS, rng=lambda: random.Random(self._rng.random()))
        )
        self._backend = MemoryBackend()
        self._slow: set[NodeId] = set()
        self._down: list[NodeId] = []
        self._latest: dict[str, tuple[str, str]] = {}  # key -> (value, etag) that was written last, perhaps
        self._stores: dict[NodeId, Store] = {}
        for member in self._cluster.members.values():
            self._open(member)
        self._numbers = itertools.count()
        self._history: list[Operation] = []
        self._segment = 0

    def __enter__(self) -> Self:
        self._retry(lambda store: store.create_bucket(BUCKET))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for store in self._stores.values():
            with contextlib.suppress(BleepStoreError):
                store.close()
        self._stack.close()

    # --- nodes ---

    def _open(self, member: Member) -> None:
        skew = self._rng.randrange(-MAX_SKEW_MS, MAX_SKEW_MS)

        def clock() -> int:
            return time.time_ns() // 1_000_000 + skew

        steady, wall = clocks_of(member.state_machine, clock)
        parts = Parts(member.catalog, member.committer, self._backend, steady, wall, Stamps(steady, wall))
        assert member.catalog.path is not None
        engine = Engine(
            parts, Settings(inline_limit=INLINE_LIMIT, clock=clock), close=lambda: None,
            folder=member.catalog.path.parent, lease=LeaderLease(member.node), open_keys=lambda: KEYS,
        )  # fmt: skip
        log: Any = _SlowLog(member.node._log, lambda: member.id in self._slow)
        member.node._driver._log = log
        self._stores[member.id] = Store(engine)

    def _retry(self, ask: Callable[[Store], object]) -> None:
        """Of one store after the other, until one answers."""
        for number in range(200):
            store = list(self._stores.values())[number % len(self._stores)]
            try:
                ask(store)
            except BleepStoreError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("nobody answers")

    def _crash(self, node: NodeId) -> None:
        store = self._stores.pop(node)
        self._cluster.crash(node)
        with contextlib.suppress(BleepStoreError):
            store.close()

    def _leader(self) -> NodeId | None:
        leader = self._cluster.leader()
        return None if leader is None else leader.id

    # --- what goes wrong; each is undone by `_mend` ---

    def _break_something(self) -> None:
        nodes = list(self._cluster.members)
        node = self._rng.choice(nodes)
        leader = self._leader() or node
        fault = self._rng.choice(FAULTS)
        self.seen.faults[fault] += 1
        match fault:
            case "crash" | "crash leader":
                self._down.append(node if fault == "crash" else leader)
                self._crash(self._down[0])
            case "stop":
                self._down.append(leader)
                self._stores.pop(leader).close()
                self._cluster.stop(leader)
            case "isolate leader":
                self._network.isolate(leader)
            case "partition":
                other = self._rng.choice([one for one in nodes if one != node])
                self._network.cut(node, other)
                if self._rng.random() < 0.5:
                    self._network.cut(other, node)
            case "loss":
                self._network.set_faults(LinkFaults(lose=0.1, double=0.1, delay=0.3))
            case "slow disk":
                self._slow.add(leader)
            case "full disk":
                self._set_free(leader, self._rng.choice([0, 32 << 20]))
            case _:
                self._lose_disk(node)

    def _set_free(self, node: NodeId, count: int) -> None:
        driver = self._cluster.members[node].node._driver
        driver._host = attrs.evolve(driver._host, free_bytes=lambda: count)

    def _lose_disk(self, node: NodeId) -> None:
        """The node is gone for good; another one takes its part, with an id of its own."""
        self._crash(node)
        shutil.rmtree(self._folder / node)
        made = self._folder / f"new-{next(self._numbers)}"
        identity = create_member(made, self._cluster.cluster)
        made.rename(self._folder / identity.node)
        member = self._cluster.start(identity.node)
        self._change(ConfChange(learn=(identity.node,)), lambda now: identity.node in now.learners)
        self._change(ConfChange(promote=(identity.node,)), lambda now: identity.node in now.voters)
        self._change(ConfChange(remove=(node,)), lambda now: node in now.removed)
        self._open(member)

    def _change(self, change: ConfChange, is_done: Callable[[Configuration], bool]) -> None:
        """Waits until it is in force: of four voters of which one is gone, none may lose its disk."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            leader = self._cluster.leader()
            if leader is not None:
                now = leader.node.core.configuration
                if is_done(now) and not now.is_joint:
                    return
                with contextlib.suppress(BleepStoreError):
                    leader.propose_change(change)
            time.sleep(0.01)
        members = {one.id: (one.node.status, one.node.core.configuration) for one in self._cluster.members.values()}
        raise AssertionError(f"{change} is not done: {members}")

    def _mend(self) -> None:
        self._network.heal()
        self._slow.clear()
        for node in list(self._cluster.members):
            self._set_free(node, 1 << 40)
        while self._down:
            self._open(self._cluster.start(self._down.pop()))

    # --- clients ---

    def run(self, operations: int, *, segment: int = 20_000) -> None:
        """Raises AssertionError if what the clients saw is not linearizable."""
        while self.seen.operations < operations:
            self._history = []
            self._latest = {}
            self._segment += 1  # the next one has keys of its own
            self._run_segment(min(segment, operations - self.seen.operations))
            violation = find_violation(self._history, model)
            assert violation is None, violation
            self.seen.operations += len(self._history)

    def _run_segment(self, operations: int) -> None:
        left = iter(range(operations))
        lock = threading.Lock()
        errors: list[BaseException] = []

        def client(seed: int) -> None:
            rng = random.Random(seed)
            while not errors:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                try:
                    self._operate(rng)
                except BaseException as error:  # noqa: BLE001  # for the thread of the test
                    errors.append(error)

        clients = [threading.Thread(target=client, args=(self._rng.getrandbits(30),)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        while any(one.is_alive() for one in clients):
            clients[0].join(self._rng.uniform(0.05, 0.25))
            self._break_something()
            clients[0].join(self._rng.uniform(0.02, 0.25))
            self._mend()
        for one in clients:
            one.join()
        if errors:
            raise errors[0]

    def _operate(self, rng: random.Random) -> None:
        number = next(self._numbers)
        generation = number // OPERATIONS_PER_GENERATION
        key = f"{self._segment:05}-{generation:07}-{rng.randrange(KEYS_PER_GENERATION)}"
        stores = list(self._stores.values())
        store = stores[rng.randrange(len(stores))]
        value, padding = f"{number}", "x" * rng.choice((0, 0, 2 * INLINE_LIMIT))
        kind = rng.choice(("put", "put", "create", "swap", "upload", "delete", "read", "read", "list"))
        try:
            what, arguments, act = self._prepare(kind, store, key, value, padding)
        except BleepStoreError:
            self.seen.answered[f"{kind} not begun"] += 1
            return
        called = time.monotonic()
        answer, returned = None, None
        try:
            answer = act()
            returned = time.monotonic()
            self.seen.answered[kind] += 1
        except BleepStoreError:  # whether it was done is unknown
            self.seen.answered[f"{kind} without an answer"] += 1
        if returned is not None or what not in ("read", "list"):
            self._history.append(Operation(key, what, arguments, called, returned, answer))
        if arguments:
            md5 = hashlib.md5((value + padding).encode(), usedforsecurity=False)
            etag = f"{_md5(md5.digest())}-1" if kind == "upload" else md5.hexdigest()
            self._latest[key] = (value, etag)

    def _prepare(
        self, kind: str, store: Store, key: str, value: str, padding: str
    ) -> tuple[str, tuple[Any, ...], Callable[[], Any]]:
        """(what it is to the model, its arguments, what does it)."""
        body = (value + padding).encode()
        match kind:
            case "put":
                return "put", (value,), lambda: _none(store.put_object(BUCKET, key, body))
            case "create":
                condition = WriteCondition(if_none_match=True)
                return "create", (value,), lambda: _put_if(store, key, body, condition)
            case "swap":
                old, etag = self._latest.get(key, ("", _md5(b"")))
                condition = WriteCondition(if_match=etag)
                return "swap", (old, value), lambda: _put_if(store, key, body, condition)
            case "upload":
                upload = store.create_upload(BUCKET, key)
                part = store.put_part(BUCKET, key, upload.upload_id, 1, body)
                parts = [CompletedPart(number=1, etag=part.etag)]
                return "put", (value,), lambda: _none(store.complete_upload(BUCKET, key, upload.upload_id, parts))
            case "delete":
                return "delete", (), lambda: _none(store.delete_object(BUCKET, key))
            case "read":
                return "read", (), lambda: _read(store, key)
            case _:
                return "list", (), lambda: bool(store.list_objects(BUCKET, prefix=key).objects)


def _none(_: object) -> None:
    """The model expects no answer."""


def _put_if(store: Store, key: str, body: bytes, condition: WriteCondition) -> bool:
    """Whether the condition held."""
    try:
        store.put_object(BUCKET, key, body, condition=condition)
    except (PreconditionFailed, NoSuchKey):
        return False
    return True


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _read(store: Store, key: str) -> str | None:
    try:
        with store.get_object(BUCKET, key) as found:
            return b"".join(found).decode().rstrip("x")
    except NoSuchKey:
        return None


class _SlowLog:
    """A log whose saves take a while when `is_slow`."""

    def __init__(self, log: LogStorage, is_slow: Callable[[], bool]) -> None:
        self._log = log
        self._is_slow = is_slow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def save(self, *what: Any) -> None:
        if self._is_slow():
            time.sleep(0.03)
        self._log.save(*what)
