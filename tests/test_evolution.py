"""Evolution and local search are held against plain code that hashes every proposal."""

import numpy as np
import pytest
from search_world import (  # noqa: F401 - fixtures among them
    SEARCHES,
    benchmark_fixture,
    trainings_fixture,
)

from nplib.benchmark import Benchmark
from nplib.cell import Cell
from nplib.evolution import NUM_PAIRS, find_row, graph_of_row, graphs_of, mutate
from nplib.search import evolution, local_search
from nplib.space import NUM_INTERIOR, NUM_OPCODES
from nplib.trainings import BadSearch

# Evolution and local search, held against plain code


class Plain:
    """Graphs of seven vertices as matrices and lists, each proposal pruned and hashed."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.row_of_hash = {name.decode(): row for row, name in enumerate(benchmark.hashes.tolist())}
        self.cells = [benchmark.cell(row) for row in range(len(benchmark))]

    def find(self, matrix: np.ndarray, interior: list[int]) -> int:
        cell = Cell.from_codes(matrix, [-1, *interior, -2])
        return self.row_of_hash.get(cell.module_hash, -1) if cell.in_space else -1

    def graph(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
        cell = self.cells[row]
        spare = 7 - cell.num_vertices
        kept = [*range(cell.num_vertices - 1), 6]
        matrix = np.zeros((7, 7), dtype=int)
        matrix[np.ix_(kept, kept)] = cell.matrix
        return matrix, [*cell.codes[1:-1].tolist(), *(int(rng.integers(0, 3)) for _ in range(spare))]


PAIRS = [(x, y) for y in range(1, 7) for x in range(y)]


def plain_evolution(plain, accuracy, queries, population_size, tournament_size, edge_rate, operation_rate, rng):
    trained, population = {}, []  # oldest member last in its own place: places are reused in turn
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


def plain_climb(plain, accuracy, queries, rng):
    trained = {}
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


@pytest.fixture(scope="module")
def plain(benchmark) -> Plain:
    return Plain(benchmark)


@pytest.mark.parametrize(("population_size", "tournament_size", "rate"), [(20, 5, 1.0), (7, 7, 0.5), (30, 1, 2.0)])
def test_evolution_is_that_of_plain_code(trainings, plain, population_size, tournament_size, rate):
    sizes = {"population_size": population_size, "tournament_size": tournament_size, "mutation_rate": rate}
    found = evolution(trainings, 60, [2, 5], **sizes)
    for s, seed in enumerate((2, 5)):
        rng = np.random.default_rng([seed, 2])
        rates = rate / 7, rate / 5
        expected = plain_evolution(plain, trainings.met(seed), 60, population_size, tournament_size, *rates, rng)
        assert found.cells[s].tolist() == expected


def test_local_search_is_that_of_plain_code(trainings, plain):
    found = local_search(trainings, 150, [2, 5])
    for s, seed in enumerate((2, 5)):
        expected = plain_climb(plain, trainings.met(seed), 150, np.random.default_rng([seed, 3]))
        assert found.cells[s].tolist() == expected


def test_evolution_and_local_search_find_more_than_random_search(trainings):
    ends = {name: search(trainings, 300, range(30)).best_validation[:, -1].mean() for name, search in SEARCHES.items()}
    assert ends["evolution"] > ends["random search"] and ends["local search"] > ends["random search"]


def test_evolution_gives_up_where_it_was_told_to(trainings):
    with pytest.raises(BadSearch, match=r"seed 3 proposed 40 cells and found only \d+ different ones of 200: raise"):
        evolution(trainings, 200, [3], population_size=20, most_proposals=40)


# Graphs as numbers


@pytest.mark.parametrize("of", ["small", "few vertices"])
def test_a_cell_as_a_graph_is_found_again(small_surrogate, benchmark, of):
    cells = small_surrogate if of == "small" else benchmark
    graphs, rng = graphs_of(cells), np.random.default_rng(0)
    for row in range(len(cells)):
        bits, opcode = graph_of_row(graphs, row, rng)
        assert find_row(graphs, bits, opcode) == row


def test_graphs_are_found_as_by_hash_or_not_at_all(benchmark, plain):
    graphs, random = graphs_of(benchmark), np.random.default_rng(1)
    found = 0
    for _ in range(4_000):
        matrix = np.triu(random.random((7, 7)) < 0.3, 1).astype(int)
        interior = random.integers(0, 3, 5).tolist()
        bits = sum(int(matrix[pair]) << place for place, pair in enumerate(PAIRS))
        opcode = sum(code * 3**v for v, code in enumerate(interior))
        row = plain.find(matrix, interior)
        assert find_row(graphs, bits, opcode) == row
        found += row >= 0
    assert 400 < found < 3_600


def test_mutations_are_as_frequent_as_they_say():
    rng, draws = np.random.default_rng(3), 20_000
    bits, opcode = 0b1010_0110_0111_0001_0110_1, 0 + 1 * 3 + 2 * 9 + 0 * 27 + 2 * 81
    flips, steps = np.zeros(NUM_PAIRS), np.zeros((NUM_INTERIOR, 3))
    for _ in range(draws):
        child_bits, child_opcode = mutate(bits, opcode, 1 / 7, 1 / 5, rng)
        assert 0 <= child_bits < 2**NUM_PAIRS and 0 <= child_opcode < NUM_OPCODES
        flips += [(bits ^ child_bits) >> pair & 1 for pair in range(NUM_PAIRS)]
        for v in range(NUM_INTERIOR):
            steps[v, (child_opcode // 3**v - opcode // 3**v) % 3] += 1

    def far(counts: np.ndarray, share: float) -> np.ndarray:
        return np.abs(counts - draws * share) / (draws * share * (1 - share)) ** 0.5

    assert far(flips, 1 / 7).max() < 5
    assert far(steps[:, 0], 4 / 5).max() < 5
    assert far(steps[:, 1:], 1 / 10).max() < 5
