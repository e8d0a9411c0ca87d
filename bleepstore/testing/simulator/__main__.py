"""`python -m bleepstore.testing.simulator`: run seeds, end non-zero with a replay line at the first violation."""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from bleepstore.testing.simulator.plan import MIXES
from bleepstore.testing.simulator.run import replay_line, run_seed


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bleepstore.testing.simulator", description=__doc__)
    parser.add_argument("--seeds", type=_count, default=100, help="how many seeds; 0: until told to stop")
    parser.add_argument("--events", type=_count, default=4000, help="events of chaos per seed")
    parser.add_argument("--first-seed", type=_count, default=0)
    parser.add_argument("--catalog", action="store_true", help="with the real catalog as the state machine")
    parser.add_argument("--mix", choices=sorted(MIXES), help="what kind of trouble; by default each seed chooses")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--progress", action="store_true", help="a progress bar (needs tqdm)")
    return parser


def _with_progress(seeds: Iterable[int], total: int | None) -> Iterable[int]:
    try:
        # Only the environment that soaks has it, and it ships no type information.
        tqdm = importlib.import_module("tqdm").tqdm
    except ModuleNotFoundError:
        sys.exit("--progress needs tqdm: pip install tqdm")
    bar: Iterable[int] = tqdm(seeds, total=total, unit="seed", smoothing=0.01)
    return bar


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {"trace": _say} if arguments.trace else {}
    if arguments.mix is not None:
        options["mix"] = arguments.mix
    if arguments.catalog:
        from bleepstore.testing.simulator.simulated_catalog import CATALOG_OPTIONS

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
    totals: Counter[str] = Counter()
    seed = given.first_seed
    try:
        for seed in numbers:
            figures = attrs.asdict(run_seed(seed, given.events, **options), recurse=False)
            totals["faults"] += figures.pop("happened").total()
            totals.update(figures, seeds=1)
    except KeyboardInterrupt:
        pass
    except Exception as error:  # whatever a seed provokes is a finding
        _say(f"seed {seed}: {type(error).__name__}: {error}")
        _say(replay_line(seed, given.events, catalog=given.catalog, mix=given.mix))
        if given.trace:
            raise
        return 1
    _say(summary(totals, time.perf_counter() - begun))
    return 0


def summary(totals: Counter[str], seconds: float) -> str:
    """What was run and what it has seen. `totals` is the sum of the fields of all outcomes, and `seeds`."""
    return (
        f"{totals['seeds']} seeds, {totals['events']} events, {totals['events'] / max(seconds, 1e-9):,.0f} events/s: "
        f"{totals['commits']} commits, {totals['acknowledged']} acknowledged, {totals['reads']} reads, "
        f"{totals['term']} terms, {totals['snapshots']} snapshots installed, {totals['nodes']} nodes, "
        f"{totals['faults']} faults, "
        f"{totals['converged']} converged; no violation"
    )


if __name__ == "__main__":
    sys.exit(main())
