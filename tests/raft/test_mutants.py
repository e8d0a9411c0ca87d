"""The mutation gate: every core and driver that is wrong on purpose is caught, by a golden scenario or by a seed.

The right core passes the same scenarios (test_scenarios.py) and the same seeds (test_simulator.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bleepstore.errors import BleepStoreError
from bleepstore.raft.core import Raft
from bleepstore.testing.simulator import Violation, run_seed
from tests.raft import golden
from tests.raft.driver_mutants import DRIVER_MUTANTS, DRIVER_SEEDS
from tests.raft.mutants import BY_SCENARIOS, MUTANTS
from tests.raft.script import Script, ScriptError

#: How many seeds are tried.
MAX_SEEDS = 200


def scenarios_that_catch(options: dict[str, Any]) -> list[str]:
    """The scenarios that print something else with a wrong core."""
    factory = options.get("core_factory", Raft)
    caught = []
    for path in golden.scenario_files():
        blocks = golden.parse(path.read_text())
        try:
            results = golden.run(blocks, lambda: Script(factory))
        except (ScriptError, Violation, BleepStoreError):
            caught.append(path.stem)
            continue
        if results != blocks:
            caught.append(path.stem)
    return caught


def seeds_until_caught(options: dict[str, Any]) -> tuple[int, str] | None:
    """(how many seeds it took, what the simulator said), or None."""
    options = {"is_real": False, **options}
    first = options.pop("first_seed", 0)
    for seed in range(first, first + MAX_SEEDS):
        try:
            run_seed(seed, 4000, **options)
        except (Violation, BleepStoreError) as error:
            return seed - first + 1, str(error)
    return None


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, record_property: Callable[[str, object], None]) -> None:
    options = MUTANTS[name]
    if name in BY_SCENARIOS:
        scenarios = scenarios_that_catch(options)
        assert scenarios, f"no scenario catches {name!r}"
        record_property("figure", f"mutant {name!r}: caught by scenarios: {', '.join(scenarios)}")
    else:
        by_seed = seeds_until_caught(options)
        assert by_seed is not None, f"no seed catches {name!r}"
        record_property("figure", f"mutant {name!r}: caught by {by_seed[0]} seeds ({by_seed[1][:90]})")


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIVER_SEEDS)
def test_the_wrong_driver_is_caught_by_a_seed(
    name: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """With the real node in the simulator; test_driver.py catches all of them by what they do step by step."""
    DRIVER_MUTANTS[name](monkeypatch)
    by_seed = seeds_until_caught({"is_real": True, "first_seed": DRIVER_SEEDS[name]})
    assert by_seed is not None, f"no seed catches {name!r}"
    record_property("figure", f"driver mutant {name!r}: caught by {by_seed[0]} seeds ({by_seed[1][:90]})")


def test_the_right_core_is_not_caught() -> None:
    assert scenarios_that_catch({}) == []
