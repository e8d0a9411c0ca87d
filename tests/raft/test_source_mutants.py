"""Mutants by one change of the source each: every one is caught by what its table names, or harmless for the reason
that it gives. The default run tries every third of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bleepstore.raft import log_view
from bleepstore.raft.core import Raft
from bleepstore.testing.simulator import run_seed
from bleepstore.testing.simulator.plan import MIXES
from tests.raft import driver_checks, golden
from tests.raft.core_checks import CORE_CHECKS
from tests.raft.core_source_mutants import CORE_SOURCE_MUTANTS
from tests.raft.driver_source_mutants import DRIVER_SOURCE_MUTANTS
from tests.raft.election_source_mutants import ELECTION_SOURCE_MUTANTS
from tests.raft.level_source_mutants import LEVEL_SOURCE_MUTANTS
from tests.raft.part_checks import PART_CHECKS
from tests.raft.script import Script
from tests.raft.source_mutants import put_in_place
from tests.raft.state_checks import STATE_CHECKS

MUTANTS = {**CORE_SOURCE_MUTANTS, **ELECTION_SOURCE_MUTANTS, **DRIVER_SOURCE_MUTANTS, **LEVEL_SOURCE_MUTANTS}
CAUGHT = [name for name, mutant in MUTANTS.items() if not mutant.caught_by.startswith("harmless: ")]
CHECKS = {
    check.__name__.removeprefix("check_that_"): check
    for check in (*CORE_CHECKS, *PART_CHECKS, *STATE_CHECKS, *driver_checks.CHECKS)
}
Record = Callable[[str, object], None]


def what_is_found(by: str, folder: Path, patch: pytest.MonkeyPatch) -> str:
    """What a scenario, check or seed says of the program as it is; "": nothing is wrong."""
    run = named(by, folder, patch)
    try:
        return run()
    except Exception as error:  # noqa: BLE001  # a wrong core may fail in any way
        return f"{type(error).__name__}: {error}"


def named(by: str, folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What `by` names. If that does not exist nothing is found, so it must raise."""
    kind, name = by.split(" ", 1)
    if kind == "scenario":
        blocks = golden.parse((golden.FOLDER / f"{name}.txt").read_text())
        return lambda: "" if golden.run(blocks, lambda: Script(Raft)) == blocks else "it prints something else"
    if kind == "check":
        check = CHECKS[name]
        return lambda: check(folder) or ""
    if kind == "test":
        module, test = name.split()
        function = getattr(importlib.import_module(f"tests.raft.{module}"), f"test_{test}")
        return lambda: function() or ""
    assert "seed" in (kind, name.split()[0])

    def run() -> str:
        run_one_seed(by, patch)
        return ""

    return run


def run_one_seed(by: str, patch: pytest.MonkeyPatch) -> None:
    """ "[node ]seed NUMBER[ MIX][ of small memory]" """
    words = by.removesuffix(" of small memory").removeprefix("node ").split()
    options: dict[str, Any] = {"is_real": by.startswith("node ")}
    if len(words) > 2:
        assert words[2] in MIXES
        options["mix"] = words[2]
    if by.endswith(" of small memory"):
        patch.setattr(log_view, "TAIL_ENTRIES", 3)
    run_seed(int(words[1]), 4000, **options)


def try_mutant(name: str, folder: Path, patch: pytest.MonkeyPatch, record_property: Record) -> None:
    mutant = MUTANTS[name]
    put_in_place(patch, mutant)
    found = what_is_found(mutant.caught_by, folder, patch)
    record_property("figure", f"mutant {name!r}: caught by {mutant.caught_by} ({found[:90]})")
    assert found, f"{mutant.caught_by} does not catch {name!r}"


@pytest.mark.parametrize("name", CAUGHT[::3])
def test_the_source_mutant_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    try_mutant(name, tmp_path, monkeypatch, record_property)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for number, name in enumerate(CAUGHT) if number % 3])
def test_the_other_source_mutants_are_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    try_mutant(name, tmp_path, monkeypatch, record_property)


@pytest.mark.slow
@pytest.mark.parametrize(
    "by", sorted({MUTANTS[name].caught_by for name in CAUGHT if "seed " in MUTANTS[name].caught_by})
)
def test_the_seed_finds_nothing_wrong_with_the_right_program(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert what_is_found(by, tmp_path, monkeypatch) == ""


@pytest.mark.parametrize("check", [*CORE_CHECKS, *PART_CHECKS], ids=lambda check: check.__name__[len("check_that_") :])
def test_the_program(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


def test_what_catches_them_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CAUGHT:
        assert callable(named(MUTANTS[name].caught_by, tmp_path, monkeypatch)), name


def test_there_are_enough_of_them_and_the_page_on_raft_counts_them() -> None:
    assert len(CAUGHT) >= 60
    page = " ".join((Path(__file__).parent.parent.parent / "docs/explanation/raft.md").read_text().split())
    assert f"Another {len(MUTANTS)} are one change of the source each" in page
    assert f"{len(CAUGHT)} are caught, by the" in page
    assert f"and {len(MUTANTS) - len(CAUGHT)} are harmless" in page
