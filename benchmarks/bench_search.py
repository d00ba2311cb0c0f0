"""Time searches over all cells: evolution by the index table, against plain code that hashes, and predictor search.

python benchmarks/bench_search.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from plain_search import Plain, plain_evolution

from nplib import sources
from nplib.search import evolution, local_search, predictor_search
from nplib.search.proposers import make_proposer
from nplib.search.trainings import Trainings

POPULATION, TOURNAMENT = 100, 10
FIRST, BEST = 172, 100
MUTATION_RATES = 1 / 7, 1 / 5  # an edge's, an operation's


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that a call takes, and what it gives."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100, help="searches by the table (default 100)")
    parser.add_argument("--queries", type=int, default=2_000, help="queries of each (default 2,000)")
    parser.add_argument("--plain-repeats", type=int, default=3, help="searches by hashing (default 3)")
    parser.add_argument("--plain-queries", type=int, default=2_000, help="queries of each (default 2,000)")
    options = parser.parse_args()

    benchmark = sources.load("surrogate")
    trainings = Trainings.of(benchmark)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(trainings):,} cells")
    seconds, first = timed(lambda: evolution(trainings, 10, [0]))
    print(f"the first search, compiled or loaded:                     {seconds:6.2f} s ({first.queries} queries)")
    seconds, _ = timed(lambda: evolution(trainings, options.queries, range(options.repeats)))
    print(f"evolution, {options.repeats} searches to {options.queries:,} queries:             {seconds:6.2f} s")

    world = Plain(benchmark)
    ratios, plain_seconds = [], []
    for seed in range(options.plain_repeats):
        rules = options.plain_queries, POPULATION, TOURNAMENT, *MUTATION_RATES, np.random.default_rng([seed, 2])
        met = trainings.met(seed)
        plain, expected = timed(lambda met=met, rules=rules: plain_evolution(world, met, *rules))
        ours, found = timed(lambda seed=seed: evolution(trainings, options.plain_queries, [seed]))
        assert found.cells[0].tolist() == expected
        plain_seconds.append(plain)
        ratios.append(plain / ours)
    print(
        f"plain code that hashes, one search to {options.plain_queries:,} queries:       "
        f"{statistics.median(plain_seconds):6.2f} s, {statistics.median(ratios):.0f}x as long as ours, set-up and all "
        f"(from {min(ratios):.0f} to {max(ratios):.0f}; the same cells)"
    )
    seconds, _ = timed(lambda: local_search(trainings, options.queries, range(options.repeats)))
    print(f"local search, {options.repeats} searches to {options.queries:,} queries:          {seconds:6.2f} s")
    for name in ("gcn", "two-stage", "gp"):
        seconds, _ = timed(
            lambda name=name: predictor_search(trainings, make_proposer(name, benchmark.cells, FIRST), FIRST, BEST, [0])
        )
        print(f"predictor search ({name}), N = {FIRST}, K = {BEST}, all cells:".ljust(58) + f"{seconds:6.2f} s")


if __name__ == "__main__":
    main()
