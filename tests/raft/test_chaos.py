"""What clients of three stores see while everything fails is linearizable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bleepstore.testing.linearizability import Operation, find_violation
from tests.raft.chaos import FAULTS, Chaos, model

Record = Callable[[str, object], None]


@pytest.mark.parametrize(
    "history",
    [
        [("put", ("a",), None), ("swap", ("b", "c"), True)],
        [("put", ("a",), None), ("swap", ("a", "c"), False)],
        [("swap", (None, "c"), True)],
        [("put", ("a",), None), ("list", (), False)],
        [("put", ("a",), None), ("delete", (), None), ("list", (), True)],
    ],
)
def test_the_model_knows_wrong_answers(history: list[tuple[str, tuple[str, ...], object]]) -> None:
    operations = [
        Operation("k", what, arguments, 2 * number, 2 * number + 1, answer)
        for number, (what, arguments, answer) in enumerate(history)
    ]
    assert find_violation(operations, model) is not None


def test_chaos_is_linearizable(tmp_path: Path, record_property: Record) -> None:
    with Chaos(tmp_path, seed=1) as chaos:
        chaos.run(1000)
        seen = chaos.seen
    record_property("figure", f"chaos: {seen.operations} operations, {dict(seen.faults)}, {dict(seen.answered)}")
    assert seen.operations >= 1000
    assert sum(seen.faults.values()) >= 2
    assert min(seen.answered[one] for one in ("put", "create", "swap", "upload", "delete", "read", "list")) > 10


@pytest.mark.slow
def test_much_chaos_is_linearizable(tmp_path: Path, record_property: Record) -> None:
    with Chaos(tmp_path, seed=2) as chaos:
        chaos.run(1_000_000)
        seen = chaos.seen
    record_property("figure", f"chaos: {seen.operations} operations, {dict(seen.faults)}, {dict(seen.answered)}")
    assert set(seen.faults) == set(FAULTS)
