"""The benchmark that needs no other program runs. Its figures are for people: they fail nothing."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_structure


def test_the_structure_can_be_counted(capsys: pytest.CaptureFixture[str]) -> None:
    bench_structure.main(server=True)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 16


def test_two_runs_give_the_same_figures() -> None:
    assert list(bench_structure.structure()) == list(bench_structure.structure())
