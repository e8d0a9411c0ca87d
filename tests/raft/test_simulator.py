"""The simulator: thousands of seeds, and that a seed is a proof that can be repeated."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from bleepstore.raft import log_view
from bleepstore.testing.simulator import Plan, run_seed
from bleepstore.testing.simulator import __main__ as command
from bleepstore.testing.simulator.catalog_machine import CATALOG_OPTIONS
from bleepstore.testing.simulator.plan import FAULTS
from tests.raft.mutants import AcknowledgesBeforeSync, ReadsBeforeCommitOfTerm

Record = Callable[[str, object], None]

EVENTS = 4000
SEEDS = 2000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_an_invariant(first: int, capsys: pytest.CaptureFixture[str], record_property: Record) -> None:
    status = command.main(["--first-seed", str(first), "--seeds", str(CHUNK), "--events", str(EVENTS)])
    said = capsys.readouterr().out
    assert status == 0, said
    record_property("figure", f"seeds {first}..{first + CHUNK - 1}: {said.strip()}")


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_no_seed_makes_the_catalogs_differ(
    first: int, capsys: pytest.CaptureFixture[str], record_property: Record
) -> None:
    status = command.main(["--first-seed", str(first), "--seeds", "20", "--events", str(EVENTS), "--catalog"])
    said = capsys.readouterr().out
    assert status == 0, said
    record_property("figure", f"with the catalog, seeds {first}..{first + 19}: {said.strip()}")


def test_no_seed_notices_where_memory_ends_and_storage_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_view, "TAIL_ENTRIES", 3)
    assert command.main(["--first-seed", "7000", "--seeds", "60", "--events", str(EVENTS)]) == 0


def test_the_seeds_see_what_they_should() -> None:
    """A check that never has anything to check proves nothing."""
    outcomes = [run_seed(seed, EVENTS) for seed in range(60)]
    assert sum(outcome.commits for outcome in outcomes) > 3_000
    assert sum(outcome.acknowledged for outcome in outcomes) > 3_000
    assert sum(outcome.reads for outcome in outcomes) > 1_000
    assert sum(outcome.term for outcome in outcomes) > 200
    assert sum(outcome.snapshots for outcome in outcomes) > 10
    assert sum(outcome.converged for outcome in outcomes) > 50
    assert {outcome.members for outcome in outcomes} >= {1, 2, 3, 4, 5}


def test_the_plans_mix_all_kinds_of_trouble() -> None:
    plans = [Plan.draw(random.Random(seed)) for seed in range(200)]
    assert {plan.nodes for plan in plans} == {1, 3, 5}
    assert {fault for plan in plans for fault in plan.faults} == set(FAULTS)
    assert any(not plan.faults for plan in plans)
    assert any(plan.drop for plan in plans)
    assert any(plan.duplicate for plan in plans)
    assert any(not plan.ordered for plan in plans)
    assert any(plan.disk != (0, 0) and plan.writes > 1 for plan in plans)


def test_a_seed_gives_the_same_run_everywhere() -> None:
    """Not the hash seed, nor the process, nor the order of sets decides anything."""
    script = (
        "from bleepstore.testing.simulator import run_seed\nfor seed in range(12):\n    print(run_seed(seed, 2000))\n"
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
    assert runs[0].count("Outcome") == 12


def test_a_violation_ends_with_a_line_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = functools.partial(run_seed, core_factory=ReadsBeforeCommitOfTerm)
    monkeypatch.setattr(command, "run_seed", wrong)
    assert command.main(["--seeds", "200", "--events", "4000"]) == 1
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


@pytest.mark.parametrize(("options", "least"), [({}, 30_000), (CATALOG_OPTIONS, 2_000)], ids=["core", "catalog"])
def test_the_simulator_is_fast_enough_to_find_something(
    options: dict[str, Any], least: int, record_property: Record
) -> None:
    begun = time.process_time()
    events = sum(run_seed(seed, EVENTS, **options).events for seed in range(100, 120))
    rate = events / (time.process_time() - begun)
    record_property("figure", f"simulator: {rate:,.0f} events per second of processor time (asked for: {least:,})")
    assert rate > least


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100_000, 110_000, 500))
def test_many_more_seeds(first: int) -> None:
    assert command.main(["--first-seed", str(first), "--seeds", "500", "--events", str(EVENTS)]) == 0
