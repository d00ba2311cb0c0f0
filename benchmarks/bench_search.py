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

from nplib import sources
from nplib.benchmark import Benchmark
from nplib.cell import Cell
from nplib.predictor import Graphs
from nplib.proposers import make_proposer
from nplib.search import evolution, local_search, predictor_search
from nplib.trainings import Trainings

POPULATION, TOURNAMENT = 100, 10
FIRST, BEST = 172, 100
PAIRS = [(x, y) for y in range(1, 7) for x in range(y)]


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that a call takes, and what it gives."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def plain_evolution(
    benchmark: Benchmark, rows: dict[bytes, int], accuracy: np.ndarray, queries: int, seed: int
) -> list[int]:
    """Regularised evolution that prunes and hashes every child; random numbers are drawn in the order of ours."""
    random = np.random.default_rng([seed, 2])
    trained: dict[int, None] = {}
    population: list[tuple[np.ndarray, list[int], float]] = []
    order, oldest = list(range(POPULATION)), 0
    while len(trained) < queries:
        if len(population) < POPULATION:
            row = int(random.integers(0, len(accuracy)))
            if row in trained:
                continue
            cell = benchmark.cell(row)
            spare = 7 - cell.num_vertices
            kept = [*range(cell.num_vertices - 1), 6]
            matrix = np.zeros((7, 7), dtype=np.int8)
            matrix[np.ix_(kept, kept)] = cell.matrix
            interior = [*cell.codes[1:-1].tolist(), *(int(random.integers(0, 3)) for _ in range(spare))]
            population.append((matrix, interior, accuracy[row]))
        else:
            drawn = []
            for i in range(TOURNAMENT):
                j = int(random.integers(i, POPULATION))
                order[i], order[j] = order[j], order[i]
                drawn.append(population[order[i]])
            parent = max(drawn, key=lambda member: member[2])
            found = None
            while found is None:
                matrix, interior = parent[0].copy(), list(parent[1])
                for pair in PAIRS:
                    if random.random() < 1 / 7:
                        matrix[pair] ^= 1
                for v in range(5):
                    if random.random() < 1 / 5:
                        interior[v] = (interior[v] + 1 + int(random.integers(0, 2))) % 3
                cell = Cell.from_codes(matrix, [-1, *interior, -2])
                found = rows.get(cell.module_hash.encode()) if cell.in_space else None
            row = found
            population[oldest] = (matrix, interior, accuracy[row])
            oldest = (oldest + 1) % POPULATION
        trained.setdefault(row)
    return list(trained)


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

    rows = {name: row for row, name in enumerate(benchmark.hashes.tolist())}
    ratios, plain_seconds = [], []
    for seed in range(options.plain_repeats):
        accuracy = trainings.met(seed)
        plain, expected = timed(
            lambda met=accuracy, seed=seed: plain_evolution(benchmark, rows, met, options.plain_queries, seed)
        )
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
            lambda name=name: predictor_search(
                trainings, make_proposer(name, Graphs.from_benchmark(benchmark), FIRST), FIRST, BEST, [0]
            )
        )
        print(f"predictor search ({name}), N = {FIRST}, K = {BEST}, all cells:".ljust(58) + f"{seconds:6.2f} s")


if __name__ == "__main__":
    main()
