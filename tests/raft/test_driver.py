"""The driver keeps the order that `Ready` asks for, on a disk that loses power; and wrong drivers are found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bleepstore.errors import BleepStoreError
from tests.raft import driver_checks
from tests.raft.driver_mutants import DRIVER_MUTANTS
from tests.raft.state_checks import STATE_CHECKS

CHECKS = (*STATE_CHECKS, *driver_checks.CHECKS)  # the quick ones first
Record = Callable[[str, object], None]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_that_"))
def test_the_driver(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize("name", DRIVER_MUTANTS)
def test_the_wrong_driver_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    DRIVER_MUTANTS[name](monkeypatch)
    caught = ""
    for check in CHECKS:
        folder = tmp_path / check.__name__
        folder.mkdir()
        try:
            check(folder)
        except (AssertionError, BleepStoreError) as error:
            caught = f"{check.__name__} ({str(error)[:90]})"
            break
    record_property("figure", f"driver mutant {name!r}: caught by {caught}")
    assert caught, f"nothing catches {name!r}"
