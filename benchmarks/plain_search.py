"""Evolution and local search as one would write them: every proposal is a matrix, pruned and hashed.

Tests hold ours against them, and ``bench_search.py`` times both.
"""

from __future__ import annotations

import numpy as np

from nplib.benchmark import Benchmark
from nplib.cell import Cell

PAIRS = [(x, y) for y in range(1, 7) for x in range(y)]


class Plain:
    """Graphs of seven vertices as matrices and lists, each proposal pruned and hashed."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.row_of_hash = {name.decode(): row for row, name in enumerate(benchmark.hashes.tolist())}
        self.benchmark = benchmark

    def find(self, matrix: np.ndarray, interior: list[int]) -> int:
        """Row of the benchmark for a graph; -1 if there is none."""
        cell = Cell.from_codes(matrix, [-1, *interior, -2])
        return self.row_of_hash.get(cell.module_hash, -1) if cell.in_space else -1

    def graph(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
        """A cell as a graph; vertices that it lacks stand before the output, without edges."""
        cell = self.benchmark.cell(row)
        spare = 7 - cell.num_vertices
        kept = [*range(cell.num_vertices - 1), 6]
        matrix = np.zeros((7, 7), dtype=int)
        matrix[np.ix_(kept, kept)] = cell.matrix
        return matrix, [*cell.codes[1:-1].tolist(), *(int(rng.integers(0, 3)) for _ in range(spare))]


def plain_evolution(
    plain: Plain,
    accuracy: np.ndarray,
    queries: int,
    population_size: int,
    tournament_size: int,
    edge_rate: float,
    operation_rate: float,
    rng: np.random.Generator,
) -> list[int]:
    """Rows that regularised evolution trains, in order; random numbers are those of :mod:`nplib.search.mutation`."""
    trained: dict[int, None] = {}
    population: list[
        tuple[np.ndarray, list[int], int]
    ] = []  # oldest member last in its own place: places are reused in turn
    order, oldest = list(range(population_size)), 0
    while len(trained) < queries:
        if len(population) < population_size:
            row = int(rng.integers(0, len(accuracy)))
            if row in trained:
                continue
            population.append((*plain.graph(row, rng), row))
        else:
            drawn = []
            for i in range(tournament_size):
                j = int(rng.integers(i, population_size))
                order[i], order[j] = order[j], order[i]
                drawn.append(population[order[i]])
            matrix, interior, _ = max(drawn, key=lambda member: accuracy[member[2]])
            row = -1
            while row < 0:
                child, operations = matrix.copy(), list(interior)
                for x, y in PAIRS:
                    if rng.random() < edge_rate:
                        child[x, y] = 1 - child[x, y]
                for v in range(5):
                    if rng.random() < operation_rate:
                        operations[v] = (operations[v] + 1 + int(rng.integers(0, 2))) % 3
                row = plain.find(child, operations)
            population[oldest] = (child, operations, row)
            oldest = (oldest + 1) % population_size
        trained.setdefault(row)
    return list(trained)


def plain_climb(plain: Plain, accuracy: np.ndarray, queries: int, rng: np.random.Generator) -> list[int]:
    """Rows that local search trains, in order."""
    trained: dict[int, None] = {}
    moves = np.arange(31)
    while len(trained) < queries:
        here = int(rng.integers(0, len(accuracy)))
        if here in trained:
            continue
        trained[here] = None
        matrix, interior = plain.graph(here, rng)
        climbing = True
        while climbing and len(trained) < queries:
            best = (here, matrix, interior)
            rng.shuffle(moves)
            for move in moves.tolist():
                next_matrix, next_interior = matrix.copy(), list(interior)
                if move < 21:
                    next_matrix[PAIRS[move]] ^= 1
                else:
                    v, step = divmod(move - 21, 2)
                    next_interior[v] = (next_interior[v] + 1 + step) % 3
                row = plain.find(next_matrix, next_interior)
                if row < 0:
                    continue
                if row not in trained and len(trained) == queries:
                    break
                trained.setdefault(row)
                if accuracy[row] > accuracy[best[0]]:
                    best = (row, next_matrix, next_interior)
            climbing = best[0] != here
            here, matrix, interior = best
    return list(trained)
