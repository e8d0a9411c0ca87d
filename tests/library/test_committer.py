"""The committer: durable, in groups, and among processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import bleepstore
from bleepstore import commands as c
from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import Command, Done, Result
from bleepstore.committer import MAX_BATCH, DirectCommitter
from bleepstore.errors import BucketAlreadyOwnedByYou, PreconditionFailed, StoreClosed
from bleepstore.model import Acl, Owner
from bleepstore.preconditions import WriteCondition

OWNER = Owner("alice", "Alice")
SPAWN = multiprocessing.get_context("spawn")


def create(number: int, bucket: str | None = None) -> c.CreateBucket:
    return c.CreateBucket(
        request_id=f"r{number}",
        time_ms=number,
        bucket=bucket or f"bucket-{number}",
        owner=OWNER,
        location="",
        acl=Acl.private(OWNER.id),
    )


class GatedCatalog(Catalog):
    """Notes the size of each batch, and can hold a batch up until more commands wait."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()

    def apply_next(self, drain: Callable[[], Sequence[Command]]) -> list[Result]:
        def drain_gated() -> Sequence[Command]:
            commands = drain()
            self.batches.append(len(commands))
            self.entered.set()
            assert self.gate.wait(30)
            return commands

        return super().apply_next(drain_gated)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[GatedCatalog]:
    made = GatedCatalog(tmp_path / "catalog.db")
    yield made
    made.close()


def test_commands_that_wait_at_the_same_time_share_one_commit(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    catalog.gate.clear()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        first = pool.submit(committer.submit, create(0))
        assert catalog.entered.wait(30)
        others = [pool.submit(committer.submit, create(number)) for number in range(1, 20)]
        while len(committer._queue) < 19:
            pass
        catalog.gate.set()
        assert first.result() == Done()
        assert [other.result() for other in others] == [Done()] * 19
    assert catalog.batches == [1, 19]


def test_in_memory_there_is_no_commit_to_share() -> None:
    catalog = GatedCatalog(None)
    committer = DirectCommitter(catalog)
    counts: list[int] = []
    committer.on_commit = lambda count, _seconds: counts.append(count)
    catalog.gate.clear()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        first = pool.submit(committer.submit, create(0))
        assert catalog.entered.wait(30)
        others = [pool.submit(committer.submit, create(number)) for number in range(1, 20)]
        catalog.gate.set()
        assert {other.result() for other in [first, *others]} == {Done()}
    assert catalog.batches == counts == [1] * 20
    catalog.close()


def test_each_waiter_gets_its_own_result(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    names = [f"bucket-{number % 10}" for number in range(100)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: committer.submit(create(n, names[n])), range(100)))
    for name in set(names):
        of_name = [result for result, other in zip(results, names, strict=True) if other == name]
        assert of_name.count(Done()) == 1
        assert of_name.count(BucketAlreadyOwnedByYou(name)) == 9


def test_a_batch_is_bounded(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    catalog.gate.clear()
    count = MAX_BATCH + 10
    with concurrent.futures.ThreadPoolExecutor(count + 1) as pool:
        first = pool.submit(committer.submit, create(0))
        assert catalog.entered.wait(30)
        others = [pool.submit(committer.submit, create(number)) for number in range(1, count + 1)]
        while len(committer._queue) < count:
            pass
        catalog.gate.set()
        assert {other.result() for other in [first, *others]} == {Done()}
    assert catalog.batches[0] == 1
    assert max(catalog.batches) == MAX_BATCH
    assert sum(catalog.batches) == count + 1


def test_a_failure_reaches_every_waiter_and_spoils_nothing_after(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    with pytest.raises((AttributeError, AssertionError)):
        committer.submit("not a command")  # type: ignore[arg-type]  # what a bug would do
    assert committer.submit(create(1)) == Done()
    catalog.close()
    with pytest.raises(StoreClosed):
        committer.submit(create(2))


def test_what_was_acknowledged_is_seen_behind_a_read_barrier(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    for number in range(20):
        committer.submit(create(number))
        committer.read_barrier()
        with catalog.read() as reader:
            assert reader.connection.execute("SELECT count(*) FROM bucket").get == number + 1


# -- interrupts


class _Interrupt(BaseException):
    """What a signal raises in the main thread, as Ctrl-C does."""


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Interrupts the main thread, which a test must run in, once."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach only the main thread")
    main, raised = threading.get_ident(), threading.Event()

    def handle(_signal: int, _frame: object) -> None:
        if not raised.is_set():
            raised.set()
            raise _Interrupt

    def send() -> None:
        # A signal that comes just before the thread blocks is noticed only with the next one.
        while not raised.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    yield send
    signal.signal(signal.SIGUSR1, before)


def buckets(catalog: Catalog) -> list[str]:
    with catalog.read() as reader:
        return [str(row[0]) for row in reader.connection.execute("SELECT name FROM bucket ORDER BY name")]


def test_who_is_interrupted_while_waiting_takes_its_command_back(
    catalog: GatedCatalog, interrupt: Callable[[], None]
) -> None:
    committer = DirectCommitter(catalog)
    catalog.gate.clear()

    def interrupt_once_it_waits() -> None:
        while not committer._queue:
            pass
        interrupt()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        leader = pool.submit(committer.submit, create(0))
        assert catalog.entered.wait(30)
        helper = pool.submit(interrupt_once_it_waits)
        with pytest.raises(_Interrupt):
            committer.submit(create(1))
        helper.result()
        assert not committer._queue
        catalog.gate.set()
        assert leader.result() == Done()
        assert pool.submit(committer.submit, create(2)).result(30) == Done()
    assert buckets(catalog) == ["bucket-0", "bucket-2"]


def test_who_is_interrupted_while_committing_holds_nobody_up(
    catalog: GatedCatalog, interrupt: Callable[[], None]
) -> None:
    committer = DirectCommitter(catalog)
    catalog.gate.clear()

    def interrupt_once_it_commits() -> None:
        assert catalog.entered.wait(30)
        interrupt()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        helper = pool.submit(interrupt_once_it_commits)
        with pytest.raises(_Interrupt):
            committer.submit(create(0))
        helper.result()
        catalog.gate.set()
        assert pool.submit(committer.submit, create(1)).result(30) == Done()
    assert buckets(catalog) == ["bucket-1"]


def test_who_is_interrupted_before_its_turn_holds_nobody_up(
    catalog: GatedCatalog, interrupt: Callable[[], None], tmp_path: Path
) -> None:
    committer = DirectCommitter(catalog)
    other = Catalog(tmp_path / "catalog.db")
    behind: list[concurrent.futures.Future[Result]] = []

    def interrupt_once_it_waits() -> None:
        while not committer._queue:
            pass
        behind.append(pool.submit(committer.submit, create(1)))
        while len(committer._queue) < 2:
            pass
        interrupt()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with other.hold():
            helper = pool.submit(interrupt_once_it_waits)
            with pytest.raises(_Interrupt):
                committer.submit(create(0))
            helper.result()
        assert behind[0].result(30) == Done()
    other.close()
    assert buckets(catalog) == ["bucket-1"]


# -- several processes


def _work(path: str, worker: int, count: int) -> list[bool]:
    """Write keys of one's own, and race for keys that all want; which of those this process won."""
    won = []
    with bleepstore.open(path) as store:
        for number in range(count):
            store.put_object("photos", f"own/{worker}/{number}", f"{worker}-{number}".encode())
            try:
                store.put_object(
                    "photos", f"raced/{number}", str(worker).encode(), condition=WriteCondition(if_none_match=True)
                )
            except PreconditionFailed:
                won.append(False)
            else:
                won.append(True)
    return won


def test_processes_share_one_store_without_loss_and_without_locking_each_other_out(tmp_path: Path) -> None:
    workers, count = 3, 40
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=SPAWN) as pool:
            results = list(pool.map(_work, [str(tmp_path)] * workers, range(workers), [count] * workers))
        for number in range(count):
            winners = [worker for worker in range(workers) if results[worker][number]]
            with store.get_object("photos", f"raced/{number}") as found:
                assert winners == [int(found.read())], "exactly one process wins, and its bytes are there"
        for worker in range(workers):
            for number in range(count):
                with store.get_object("photos", f"own/{worker}/{number}") as found:
                    assert found.read() == f"{worker}-{number}".encode()


def test_one_thread_can_submit_for_many(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    outcomes = committer.submit_many([create(0), create(1), create(2, "bucket-0"), create(3)])
    assert [type(outcome.outcome()) for outcome in outcomes] == [Done, Done, BucketAlreadyOwnedByYou, Done]
    assert catalog.batches == [4]
    many = committer.submit_many([create(number) for number in range(10, 10 + MAX_BATCH + 5)])
    assert all(outcome.outcome() == Done() for outcome in many)
    assert catalog.batches == [4, MAX_BATCH, 5]
    assert committer.submit_many([]) == []


def test_those_who_submit_for_many_and_for_one_share_a_commit(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    catalog.gate.clear()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(committer.submit, create(0))
        assert catalog.entered.wait(30)
        many = pool.submit(committer.submit_many, [create(1), create(2)])
        one = pool.submit(committer.submit, create(3))
        while len(committer._queue) < 3:
            pass
        catalog.gate.set()
        assert first.result() == one.result() == Done()
        assert [outcome.outcome() for outcome in many.result()] == [Done()] * 2
    assert catalog.batches == [1, 3]


def test_a_failure_reaches_each_that_was_submitted(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    catalog.close()
    for outcome in committer.submit_many([create(0), create(1)]):
        with pytest.raises(StoreClosed):
            outcome.outcome()


def test_commands_can_be_gathered(catalog: GatedCatalog) -> None:
    committer = DirectCommitter(catalog)
    gathered: list[Command] = []

    def gather(command: Command) -> Result | None:
        gathered.append(command)
        return Done() if len(gathered) == 1 else None

    committer.gather = gather
    assert committer.submit(create(0)) == Done()
    assert catalog.batches == []
    assert committer.submit(create(1)) == Done()
    assert catalog.batches == [1]
