"""The benchmark that needs no other program runs. Its figures are for people: they fail nothing."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_structure


def test_the_structure_can_be_counted_and_two_runs_give_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    bench_structure.main(server=True)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 16
    again = [f"| {' | '.join(row)} |" for row in bench_structure.structure()]
    assert rows[-len(again) :] == again
