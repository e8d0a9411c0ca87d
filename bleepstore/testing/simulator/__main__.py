"""`python -m bleepstore.testing.simulator`: run seeds, end non-zero with a replay line at the first violation."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from bleepstore.testing.simulator.run import Outcome, replay_line, run_seed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bleepstore.testing.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds; 0: until told to stop")
    parser.add_argument("--events", type=int, default=4000, help="events of chaos per seed")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--catalog", action="store_true", help="with the real catalog as the state machine")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--progress", action="store_true", help="a progress bar (needs tqdm)")
    return parser


def _with_progress(seeds: Iterable[int], total: int | None) -> Iterable[int]:
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(seeds, total=total, unit="seed", smoothing=0.01)
    return bar


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {"trace": _say} if arguments.trace else {}
    if arguments.catalog:
        from bleepstore.testing.simulator.catalog_machine import CATALOG_OPTIONS

        options |= CATALOG_OPTIONS
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 after a violation."""
    given = _parser().parse_args(arguments)
    options = _options(given)
    numbers: Iterable[int] = itertools.count(given.first_seed)
    if given.seeds:
        numbers = range(given.first_seed, given.first_seed + given.seeds)
    if given.progress:
        numbers = _with_progress(numbers, given.seeds or None)
    begun = time.perf_counter()
    outcomes: list[Outcome] = []
    seed = given.first_seed
    try:
        for seed in numbers:
            outcomes.append(run_seed(seed, given.events, **options))
    except KeyboardInterrupt:
        pass
    except Exception as error:  # whatever a seed provokes is a finding
        _say(f"seed {seed}: {type(error).__name__}: {error}")
        _say(replay_line(seed, given.events, catalog=given.catalog))
        if given.trace:
            raise
        return 1
    _say(summary(outcomes, time.perf_counter() - begun))
    return 0


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """What was run and what it has seen."""

    def total(name: str) -> int:
        return sum(getattr(outcome, name) for outcome in outcomes)

    events = total("events")
    return (
        f"{len(outcomes)} seeds, {events} events, {events / max(seconds, 1e-9):,.0f} events/s: "
        f"{total('commits')} commits, "
        f"{total('acknowledged')} acknowledged, {total('reads')} reads, {total('term')} terms, "
        f"{total('snapshots')} snapshots installed, {total('nodes')} nodes, "
        f"{sum(outcome.converged for outcome in outcomes)} converged; no violation"
    )


if __name__ == "__main__":
    sys.exit(main())
