"""The simulator: thousands of seeds, and that a seed is a proof that can be repeated."""

from __future__ import annotations

import functools
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from bleepstore.errors import BleepStoreError
from bleepstore.raft import log_view
from bleepstore.raft.messages import (
    Accepted,
    ConfChange,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Refusal,
    SnapshotMeta,
)
from bleepstore.raft.offers import OffersHeard
from bleepstore.raft.state import Settings
from bleepstore.testing.raft_log_contract import content, run
from bleepstore.testing.simulator import Plan, Violation, run_seed
from bleepstore.testing.simulator import __main__ as command
from bleepstore.testing.simulator.disk import SimulatedLog
from bleepstore.testing.simulator.plan import FAULTS, MIXES
from bleepstore.testing.simulator.run import Outcome, can_converge
from bleepstore.testing.simulator.simulated_catalog import CATALOG_OPTIONS, SimulatedCatalog, catalog_command
from bleepstore.testing.simulator.state_machines import ChainStateMachine, SimulatedStateMachine
from bleepstore.testing.simulator.world import World, tiny_command
from tests.raft.mutants import MUTANTS, AcknowledgesBeforeSync, KeepsConflictingEntries, ReadsBeforeCommitOfTerm

Record = Callable[[str, object], None]

EVENTS = 4000
#: In the default run, which is for everybody's changes; the slow tests run thousands.
DEFAULT_SEEDS = 40


def few_and(more: int, few: int) -> list[Any]:
    """(first seed, seeds) of a test: some in the default run, the others up to `more` in the long one."""
    return [pytest.param(0, few, id="few"), pytest.param(few, more - few, id="more", marks=pytest.mark.slow)]


def run_seeds(capsys: pytest.CaptureFixture[str], record_property: Record, first: int, seeds: int, *more: str) -> None:
    status = command.main(["--first-seed", str(first), "--seeds", str(seeds), "--events", str(EVENTS), *more])
    said = capsys.readouterr().out
    assert status == 0, said
    record_property("figure", f"seeds {' '.join(more)} {first}..{first + seeds - 1}: {said.strip()}")


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(("first", "seeds"), few_and(40, 6))
def test_no_seed_of_a_mix_breaks_an_invariant(
    mix: str, first: int, seeds: int, capsys: pytest.CaptureFixture[str], record_property: Record
) -> None:
    run_seeds(capsys, record_property, first, seeds, "--mix", mix)


@pytest.mark.parametrize(("first", "seeds"), few_and(60, 10))
def test_no_seed_makes_the_catalogs_differ(
    first: int, seeds: int, capsys: pytest.CaptureFixture[str], record_property: Record
) -> None:
    run_seeds(capsys, record_property, first, seeds, "--catalog")


@pytest.mark.parametrize(("first", "seeds"), few_and(60, 4))
def test_no_seed_notices_where_memory_ends_and_storage_begins(
    first: int,
    seeds: int,
    capsys: pytest.CaptureFixture[str],
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_view, "TAIL_ENTRIES", 3)
    run_seeds(capsys, record_property, 7000 + first, seeds)


@functools.cache
def first_outcomes() -> list[Outcome]:
    """Of the first seeds; one that breaks an invariant raises Violation."""
    return [run_seed(seed, EVENTS) for seed in range(DEFAULT_SEEDS)]


def test_no_seed_breaks_an_invariant_and_all_see_what_they_should() -> None:
    """A check that never has anything to check proves nothing."""
    outcomes = first_outcomes()
    assert sum(outcome.commits for outcome in outcomes) > 1_500
    assert sum(outcome.acknowledged for outcome in outcomes) > 1_000
    assert sum(outcome.reads for outcome in outcomes) > 500
    assert sum(outcome.term for outcome in outcomes) > 100
    assert sum(outcome.snapshots for outcome in outcomes) > 5
    assert sum(outcome.converged for outcome in outcomes) > 25
    assert {outcome.members for outcome in outcomes} >= {1, 2, 3, 4, 5}


def test_every_fault_really_happens() -> None:
    """Not only by name: a node that could be crashed, a write that was torn, a tail of the state that was lost."""
    tearing = [run_seed(seed, EVENTS, mix="tearing") for seed in range(10)]
    happened = sum((outcome.happened for outcome in [*first_outcomes(), *tearing]), Counter[str]())
    assert set(happened) == {*FAULTS, "lost_tail", "partly_written"}
    assert min(happened.values()) >= 5, happened


def quiet_plan(**changes: Any) -> Plan:
    """A plan in which nothing goes wrong by itself."""
    return attrs.evolve(
        Plan.draw(random.Random(0)), settings=Settings(), faults=(), skew=1.0, delay=(100, 300), drop=0.0, slow=0.0,
        duplicate=0.0, apply=(0, 0), lazy_commit=False, **{"disk": (0, 0), **changes},
    )  # fmt: skip


def test_a_disk_that_fails_ends_the_node_whether_the_write_was_done_or_not() -> None:
    landed: set[tuple[int, int]] = set()
    for seed in range(16):
        world = World(seed, plan=quiet_plan(nodes=1), is_real=seed % 4 > 1)
        world.populate()
        world.run(1000)
        (node,) = world.nodes.values()
        assert node.up
        before = node.log.last_index()
        node.break_disk("disk_error" if seed % 2 else "torn_write")
        world.propose(node)
        assert world.live() == [], "it ended"
        assert world.happened["torn_write"] + world.happened["disk_error"] == 1
        landed.add((seed % 2, node.log.last_index() - before))
        world.close()
    assert landed == {(1, 0), (1, 1), (0, 0)}, "a torn write is never there, one that raised may be"


def torn_logs(kind: type[SimulatedLog]) -> set[str]:
    """What a log may be after a save, or a compaction, that was torn."""
    found = set()
    for seed in range(60):
        log = kind("c", "a", SnapshotMeta(configuration=Configuration(("a",))))
        log.save(HardState(1, "b", 5), None, run(1, 9), None)
        rng, meta = random.Random(seed), SnapshotMeta(12, 3)
        if seed % 3 == 0:
            log.tear_compaction(rng, SnapshotMeta(5, 1))
        elif seed % 3 == 1:
            log.tear_save(rng, HardState(3, None, 12), None, (), meta)
        else:
            log.tear_save(rng, HardState(2, "a", 8), 6, run(6, 8, 2), None)
        found.add(repr(content(log)))
    return found


def test_a_torn_save_leaves_nothing_where_a_save_is_one_transaction() -> None:
    assert len(torn_logs(SimulatedLog)) == 1
    wrong = [options["make_log"] for options in MUTANTS.values() if "make_log" in options]
    assert len(wrong) == 7
    for kind in wrong:
        assert len(torn_logs(kind)) > 1, kind


def test_nothing_is_expected_of_a_cluster_whose_last_nodes_know_of_no_membership_that_they_could_elect_by() -> None:
    """A lost node is removed, and the leader is lost too when it alone knows that this is decided: of the four who were
    there two are left.
    """
    world = World(1, plan=quiet_plan(nodes=4), is_real=False)
    world.populate()
    world.run(2000)
    leader = world.leader()
    assert leader is not None
    assert leader.core is not None
    lost = next(node for node in world.live() if node is not leader)
    lost.wipe()
    assert can_converge(world)
    assert isinstance(leader.core.propose_conf(ConfChange(remove=(lost.id,))), Accepted)
    leader.drain()
    while lost.id not in leader.core.configuration.removed:
        world.run(1)
    assert can_converge(world)
    leader.wipe()
    assert not can_converge(world)
    world.close()


def test_what_was_refused_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though half of all messages arrive twice, and disks are full by turns. The check knows a leader that acts on each
    copy of an offer: it takes one and refuses the other.
    """
    plan = attrs.evolve(
        quiet_plan(nodes=3, client_every=300, fault_every=8000), faults=("disk_full",), duplicate=0.5, retry=0.0,
        reads=0.0, delay=(1000, 40_000), ordered=False,
    )  # fmt: skip
    outcomes = [run_seed(seed, 2000, plan=plan) for seed in (1, 3)]
    assert all(outcome.converged and outcome.happened["disk_full"] > 100 for outcome in outcomes)
    monkeypatch.setattr(OffersHeard, "is_new", lambda *_: True)
    with pytest.raises(Violation, match="its proposer was told that nothing came of it"):
        run_seed(1, 2000, plan=plan)


def test_a_cluster_that_is_far_behind_catches_up_though_what_waits_is_offered_again_and_again() -> None:
    """One entry goes into a message here, and the log grew faster than it went out."""
    outcome = run_seed(5_000_733, EVENTS)
    assert outcome.converged
    assert outcome.commits < 2 * outcome.acknowledged


def test_a_full_disk_refuses_proposals_here_and_those_that_are_passed_on() -> None:
    world = World(3, plan=quiet_plan(nodes=3), is_real=False)
    world.populate()
    world.run(2000)
    leader = world.leader()
    assert leader is not None
    assert leader.core is not None
    leader.set_full(True)
    last = leader.core.log.last
    for node in world.live():
        world.propose(node)
    world.run(200)
    assert leader.core.log.last == last
    assert leader.core.counters.refused[Refusal.NO_SPACE] >= 2
    world.close()


@pytest.mark.parametrize("make", [ChainStateMachine, SimulatedCatalog])
def test_a_crash_undoes_what_was_not_made_durable_and_no_more(make: Callable[[], SimulatedStateMachine]) -> None:
    make_command = tiny_command if make is ChainStateMachine else catalog_command
    rng = random.Random(1)
    entries = [Entry(n, 1, EntryKind.COMMAND, make_command(rng, n), f"r{n}") for n in range(1, 41)]
    state_machine, other = make(), make()
    state_machine.apply(entries[:20])
    assert state_machine.make_durable() == state_machine.durable == 20
    before = state_machine.digest()
    state_machine.apply(entries[20:30])
    state_machine.apply(entries[30:])
    state_machine.crash(40)
    assert state_machine.applied == 40
    state_machine.crash(20)
    assert (state_machine.applied, state_machine.digest()) == (20, before)
    state_machine.apply(entries[20:])
    other.apply(entries)
    assert state_machine.digest() == other.digest()
    twin = state_machine.copy()
    assert twin.durable == 40, "a snapshot that was installed is durable"
    for one in (state_machine, other, twin):
        one.close()


def test_what_a_lost_disk_was_about_to_write_holds_nothing() -> None:
    """What it had acknowledged counts, since those answers may still be on their way; nothing else does."""
    world = World(1, plan=quiet_plan(nodes=1, disk=(500, 15_000), writes=8), is_real=False)
    world.populate()
    world.run(3000)
    (node,) = world.nodes.values()
    assert node.core is not None
    written = node.log.last_index()
    for _ in range(3):
        world.propose(node)
    assert node.core.log.last > written
    term = node.core.term
    node.wipe()
    assert node.holds(written, node.log.term(written))
    assert not node.holds(written + 1, term)
    world.close()


@pytest.mark.parametrize("option", ["--seeds", "--events", "--first-seed"])
@pytest.mark.parametrize("value", ["-1", "1.5", "many", ""])
def test_a_count_that_is_none_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main([f"{option}={value}"])
    assert caught.value.code == 2
    assert "is not a whole number from 0 on" in capsys.readouterr().err


def test_an_acknowledgement_of_another_entry_is_a_violation() -> None:
    """The durable log is long enough, but holds something else there."""
    found = set()
    for seed in range(60):
        try:
            run_seed(seed, EVENTS, core_factory=KeepsConflictingEntries, is_real=False)
        except (Violation, BleepStoreError) as error:
            found.add(re.sub(r"\w+ acknowledges entry \d+ of term \d+, durable is one of term \d+", "it", str(error)))
    assert "it" in found, found


def test_the_plans_mix_all_kinds_of_trouble() -> None:
    plans = [Plan.draw(random.Random(seed)) for seed in range(200)]
    assert {plan.nodes for plan in plans} == {1, 3, 5}
    assert {fault for plan in plans for fault in plan.faults} == set(FAULTS)
    assert any(not plan.faults for plan in plans)
    assert any(plan.drop for plan in plans)
    assert any(plan.duplicate for plan in plans)
    assert any(not plan.ordered for plan in plans)
    assert any(plan.disk != (0, 0) and plan.writes > 1 for plan in plans)
    assert any(plan.nodes == 5 and plan.reads > 0.5 and "change_members" in plan.faults for plan in plans)


def test_a_seed_gives_the_same_run_everywhere() -> None:
    """Not the hash seed, nor the process, nor the order of sets decides anything."""
    script = (
        "from bleepstore.testing.simulator import run_seed\nfor seed in range(6):\n    print(run_seed(seed, 2000))\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert runs[0].count("Outcome") == 6


def test_a_violation_ends_with_a_line_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = functools.partial(run_seed, core_factory=ReadsBeforeCommitOfTerm)
    monkeypatch.setattr(command, "run_seed", wrong)
    assert command.main(["--mix", "reading", "--seeds", "200", "--events", "4000"]) == 1
    violation, replay = capsys.readouterr().out.splitlines()
    assert "Violation" in violation
    assert replay.startswith("replay: python -m bleepstore.testing.simulator --first-seed ")
    words = replay.split()
    assert command.main(words[words.index("--first-seed") :][:-1]) == 1
    assert capsys.readouterr().out.splitlines()[0] == violation


def test_the_trace_of_a_replay_tells_what_happened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--seeds", "20", "--events", "4000", "--trace"]) == 0
    told = capsys.readouterr().out
    assert "crashes" in told
    assert "healed" in told
    monkeypatch.setattr(command, "run_seed", functools.partial(run_seed, core_factory=AcknowledgesBeforeSync))
    with pytest.raises(AssertionError, match="acknowledges"):
        command.main(["--seeds", "20", "--events", "4000", "--trace"])


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"is_real": False}, 30_000),
        ({"is_real": True}, 20_000),
        ({"is_real": False, **CATALOG_OPTIONS}, 2_000),
        ({"is_real": True, **CATALOG_OPTIONS}, 2_000),
    ],
    ids=["core", "node", "core with the catalog", "node with the catalog"],
)
def test_the_simulator_is_fast_enough_to_find_something(
    options: dict[str, Any], least: int, record_property: Record
) -> None:
    begun = time.process_time()
    events = sum(run_seed(seed, EVENTS, **options).events for seed in range(100, 105))
    rate = events / (time.process_time() - begun)
    record_property("figure", f"simulator: {rate:,.0f} events per second of processor time (asked for: {least:,})")
    assert rate > least


@pytest.mark.slow
@pytest.mark.parametrize("first", [*range(DEFAULT_SEEDS, 2040, 500), *range(100_000, 110_000, 500)])
def test_many_more_seeds(first: int) -> None:
    assert command.main(["--first-seed", str(first), "--seeds", "500", "--events", str(EVENTS)]) == 0
