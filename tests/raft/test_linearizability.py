"""The checker finds what is not linearizable, and the cluster's histories are linearizable under faults."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bleepstore import commands as c
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.cluster import CatalogStateMachine, LocalCluster, Member, unwrap
from bleepstore.commands import Done, Written
from bleepstore.errors import PreconditionFailed, ServiceUnavailable
from bleepstore.model import Acl, Inline, Owner
from bleepstore.preconditions import WriteCondition
from bleepstore.raft.node_settings import NodeSettings
from bleepstore.raft.state import Settings
from bleepstore.raft.transport import LinkFaults, MemoryNetwork
from bleepstore.testing.linearizability import (
    MAX_OPERATIONS,
    HistoryTooLong,
    Listing,
    Operation,
    find_violation,
    find_wrong_listing,
    is_linearizable,
    register_model,
)
from tests.raft.clusters import FAST, wait_for_leader

OWNER = Owner("alice", "Alice")


def op(what: str, called: float, returned: float | None, answer: Any = None, *arguments: Any) -> Operation:
    return Operation("k", what, arguments, called, returned, answer)


# -- the checker


def test_an_empty_and_a_sequential_history_are_linearizable() -> None:
    assert find_violation([]) is None
    history = [op("put", 0, 1, None, "a"), op("read", 2, 3, "a"), op("create", 4, 5, False, "b"), op("read", 6, 7, "a")]
    assert find_violation(history) is None


@pytest.mark.parametrize(
    "history",
    [
        [op("put", 0, 1, None, "a"), op("read", 2, 3, None)],  # a lost write
        [op("put", 0, 1, None, "a"), op("put", 2, 3, None, "b"), op("read", 4, 5, "a")],  # a stale read
        # two readers disagree about the order
        [op("put", 0, 9, None, "a"), op("read", 1, 2, "a"), op("read", 3, 4, None)],
        [op("create", 0, 9, True, "a"), op("create", 0, 9, True, "b")],  # two winners
        [op("create", 0, 9, False, "a"), op("create", 0, 9, False, "b")],  # none
        [op("read", 0, 1, "ghost")],  # out of nothing
        [op("put", 0, 1, None, "a"), op("delete", 2, 3), op("read", 4, 5, "a")],
        # without an answer it may happen once, not come and go
        [op("put", 0, None, None, "a"), op("read", 1, 2, "a"), op("read", 3, 4, None)],
    ],
)
def test_a_history_that_is_not_linearizable_is_found(history: list[Operation]) -> None:
    found = find_violation(history)
    assert found is not None
    assert found[0] == "k"


@pytest.mark.parametrize(
    "history",
    [
        [op("put", 0, 9, None, "a"), op("read", 1, 2, None), op("read", 3, 4, "a")],
        [op("put", 0, 9, None, "a"), op("put", 0, 9, None, "b"), op("read", 10, 11, "a")],
        [op("create", 0, 9, True, "a"), op("create", 0, 9, False, "b"), op("read", 10, 11, "a")],
        [op("put", 0, None, None, "a"), op("read", 5, 6, None), op("read", 7, 8, "a")],
        [op("put", 0, None, None, "a"), op("read", 5, 6, None)],
    ],
)
def test_operations_at_the_same_time_may_be_in_any_order(history: list[Operation]) -> None:
    assert find_violation(history) is None


def brute_force(history: list[Operation]) -> bool:
    """Every order of every subset that has all answered operations."""
    pending = [one for one in history if one.returned is None]
    answered = [one for one in history if one.returned is not None]
    for count in range(len(pending) + 1):
        for chosen in itertools.combinations(pending, count):
            for order in itertools.permutations([*answered, *chosen]):
                if _is_right(order):
                    return True
    return False


def _is_right(order: tuple[Operation, ...]) -> bool:
    for earlier, later in itertools.combinations(order, 2):
        if later.returned is not None and later.returned < earlier.called:
            return False
    state: Any = None
    for one in order:
        state, answer = register_model(state, one)
        if one.returned is not None and answer != one.answer:
            return False
    return True


def test_the_search_agrees_with_trying_every_order() -> None:
    rng = random.Random(5)
    verdicts = []
    for _ in range(400):
        times = rng.sample(range(20), 12)
        history = []
        for number in range(rng.randrange(2, 6)):
            called, returned = sorted(times[2 * number : 2 * number + 2])
            what = rng.choice(["put", "read", "create", "delete"])
            value = rng.choice("ab")
            answers: dict[str, list[Any]] = {
                "read": [None, "a", "b"], "put": [None], "create": [True, False], "delete": [None],
            }  # fmt: skip
            end = None if rng.randrange(5) == 0 else returned
            history.append(op(what, called, end, rng.choice(answers[what]), value))
        expected = brute_force(history)
        assert is_linearizable(sorted(history, key=lambda o: o.called), register_model, None) == expected, history
        verdicts.append(expected)
    assert 50 < sum(verdicts) < 350, "both verdicts must occur"


def test_keys_are_checked_apart_and_a_long_history_is_refused() -> None:
    good = [Operation("a", "put", ("x",), 0, 1), Operation("b", "read", (), 2, 3, None)]
    assert find_violation(good) is None
    with pytest.raises(HistoryTooLong):
        find_violation([op("read", i, i + 1) for i in range(MAX_OPERATIONS + 1)])


def test_a_history_of_the_greatest_length_is_checked_quickly() -> None:
    rng = random.Random(1)
    state, history = None, []
    for moment in range(MAX_OPERATIONS):
        one = op(rng.choice(["put", "read", "create"]), moment, moment + rng.random() * 8, None, str(moment))
        state, answer = register_model(state, one)
        history.append(Operation("k", one.what, one.arguments, one.called, one.returned, answer))
    assert find_violation(history) is None


CONTENTS = {0: (), 1: ("a",), 2: ("a", "b"), 3: ("b",)}


@pytest.mark.parametrize(
    ("listings", "complaint"),
    [
        ([Listing(0, 1, 2, ("a",))], "the log says"),  # a key is missing
        ([Listing(0, 1, 2, ("b", "a"))], "the log says"),  # not in order
        ([Listing(0, 1, 9, ("a",))], "the log says None"),  # an index that nobody reached
        ([Listing(6, 7, 1, ("a",))], "index 2 had been answered"),  # misses what was acknowledged at 5
        ([Listing(0, 1, 3, ("b",)), Listing(2, 3, 1, ("a",))], "index 3 had been answered"),  # goes back
    ],
)
def test_a_listing_that_the_log_does_not_explain_is_found(listings: list[Listing], complaint: str) -> None:
    found = find_wrong_listing(listings, CONTENTS, [(5, 2)])
    assert found is not None
    assert complaint in found


def test_a_listing_is_right_if_it_is_the_state_after_its_index_and_not_too_old() -> None:
    listings = [Listing(0, 9, 0, ()), Listing(0, 4, 1, ("a",)), Listing(6, 7, 2, ("a", "b")), Listing(6, 9, 3, ("b",))]
    assert find_wrong_listing(listings, CONTENTS, [(5, 2)]) is None


# -- the cluster

KEYS = ("red", "green", "blue", "white")


def listed(reader: Reader) -> tuple[tuple[str, str], ...]:
    """(key, ETag) of all objects, in the order of the listing."""
    page = reader.list_objects("photos", "", "", "", 1000)
    return tuple((one.key, one.etag) for one in page.objects)


class Journal:
    """Every command that any node applied, by its index: the log, also where it was compacted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: dict[int, bytes] = {}
        self._last = 0
        right = CatalogStateMachine.apply

        def apply(
            state_machine: CatalogStateMachine, batch: Sequence[tuple[int, bytes]], through: int
        ) -> Sequence[object]:
            for index, data in batch:
                assert self.commands.setdefault(index, data) == data, f"nodes apply different commands at {index}"
            self._last = max(self._last, through)
            return right(state_machine, batch, through)

        monkeypatch.setattr(CatalogStateMachine, "apply", apply)

    def replay(self) -> dict[int, tuple[tuple[str, str], ...]]:
        """What a listing shows after each index."""
        found = {}
        with contextlib.closing(Catalog(None)) as catalog:
            for index in range(1, self._last + 1):
                entries = [(index, *unwrap(self.commands[index]))] if index in self.commands else []
                catalog.apply_log(entries, index)
                with catalog.read() as reader:
                    found[index] = listed(reader)
        return found

    def indexes(self) -> dict[str, int]:
        """Request id -> where it took effect: the first of its entries."""
        found: dict[str, int] = {}
        for index in sorted(self.commands):
            found.setdefault(unwrap(self.commands[index])[1].request_id, index)
        return found


class Client(threading.Thread):
    """Puts, creates, deletes and reads keys through one member, and notes when it asked and what it was told."""

    def __init__(self, cluster: LocalCluster, number: int, seed: int, count: int, clock: itertools.count[int]) -> None:
        super().__init__(name=f"client-{number}")
        self.history: list[Operation] = []
        self.listings: list[Listing] = []
        self._cluster = cluster
        self._number = number
        self._rng = random.Random(seed * 1000 + number)
        self._count = count
        self._clock = clock
        self._thinking = threading.Event()

    def run(self) -> None:
        for step in range(self._count):
            member = self._cluster.members.get(self._rng.choice(self._cluster.ids))
            if member is not None:
                self._do(member, f"{self._number}-{step}")
            self._thinking.wait(self._rng.random() * 0.05)

    def _do(self, member: Member, value: str) -> None:
        key = self._rng.choice(KEYS)
        what = self._rng.choice(["put", "create", "delete", "read", "read", "list"])
        called = next(self._clock)
        try:
            if what == "list":
                self.listings.append(self._list(member, called))
                return
            answer = self._ask(member, what, key, value)
        except ServiceUnavailable:
            if what not in ("read", "list"):
                self.history.append(Operation(key, what, (value,), called, None))
            return
        self.history.append(Operation(key, what, (value,), called, next(self._clock), answer))

    def _list(self, member: Member, called: int) -> Listing:
        member.committer.read_barrier()
        with member.catalog.read() as reader:
            reader.connection.execute("BEGIN")  # index and listing are of one moment
            index = reader.applied_index()
            content = listed(reader)
            reader.connection.execute("ROLLBACK")
        return Listing(called, next(self._clock), index, content)

    def _ask(self, member: Member, what: str, key: str, value: str) -> Any:
        stamp: dict[str, Any] = {"request_id": value, "time_ms": 1}
        match what:
            case "read":
                member.committer.read_barrier()
                with member.catalog.read() as reader:
                    found = reader.find_object("photos", key, with_data=True)
                return None if found is None else (found.data or b"").decode()
            case "delete":
                result: Any = member.committer.submit(c.DeleteObject(**stamp, bucket="photos", key=key))
                return None
            case _:
                condition = WriteCondition(if_none_match=what == "create")
                data = Inline(value.encode())
                stamp |= {"bucket": "photos", "key": key, "owner": OWNER, "size": 1, "etag": value}
                result = member.committer.submit(c.PutObject(**stamp, data=data, condition=condition))
                if what == "put":
                    assert isinstance(result, Written)
                    return None
                assert isinstance(result, Written | PreconditionFailed), result
                return isinstance(result, Written)


def disturb(cluster: LocalCluster, network: MemoryNetwork, rng: random.Random, clients: list[Client]) -> int:
    """Cut, heal, crash and start nodes while the clients work; how many times."""
    count = 0
    pause = threading.Event()
    while any(client.is_alive() for client in clients):
        count += 1
        victim = rng.choice(cluster.ids)
        match rng.randrange(4):
            case 0:
                network.isolate(victim)
            case 1:
                network.set_faults(LinkFaults(lose=0.1, double=0.1, delay=0.4, corrupt=0.05))
            case 2:
                cluster.crash(victim)
                pause.wait(0.1)
                cluster.start(victim)
            case _:
                leader = cluster.leader()
                if leader is not None:
                    network.isolate(leader.id)
        pause.wait(0.25)
        network.heal()
        pause.wait(0.15)
    return count


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_clients_of_three_nodes_with_faults_see_one_catalog(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    rng = random.Random(seed)
    settings = NodeSettings(
        core=Settings(), tick_seconds=0.01, answer_ticks=150, retry_ticks=15, compact_after=60, keep_entries=20
    )
    assert settings.core == FAST.core
    with MemoryNetwork(seed=seed, as_bytes=True) as network, LocalCluster(
        tmp_path, network, settings=settings, rng=lambda: random.Random(rng.getrandbits(64))
    ) as cluster:  # fmt: skip
        leader = wait_for_leader(cluster)
        made = leader.committer.submit(
            c.CreateBucket(
                request_id="b", time_ms=0, bucket="photos", owner=OWNER, location="", acl=Acl.private(OWNER.id)
            )
        )
        assert made == Done()
        clock = itertools.count()
        clients = [Client(cluster, number, seed, 60, clock) for number in range(6)]
        for client in clients:
            client.start()
        assert disturb(cluster, network, rng, clients) > 3
        for client in clients:
            client.join()
        network.heal()
        history = [one for client in clients for one in client.history]
        answered = sum(one.returned is not None for one in history)
        assert answered > 150, f"only {answered} of {len(history)} operations were answered"
        assert find_violation(history) is None
        _check_listings(clients, journal)
        _check_equal_hashes(cluster)
        assert all(member.node.failure is None for member in cluster.members.values())


def _check_listings(clients: list[Client], journal: Journal) -> None:
    listings = [one for client in clients for one in client.listings]
    assert len(listings) > 15, f"only {len(listings)} listings were answered"
    assert len({one.content for one in listings}) > 5, "they see different states"
    indexes = journal.indexes()
    writes = [
        (one.returned, indexes[one.arguments[0]])
        for client in clients
        for one in client.history
        if one.returned is not None and one.what != "read"
    ]
    assert find_wrong_listing(listings, journal.replay(), writes) is None


def _check_equal_hashes(cluster: LocalCluster) -> None:
    wait_for_leader(cluster)
    for member in cluster.members.values():
        member.committer.read_barrier()
    assert len({member.state_machine.hash() for member in cluster.members.values()}) == 1
