"""Evolution and local search are held against plain code that hashes every proposal."""

import numpy as np
import pytest
from plain_search import PAIRS, Plain, plain_climb, plain_evolution
from search_world import (  # noqa: F401 - fixtures among them
    SEARCHES,
    benchmark_fixture,
    trainings_fixture,
)

from nplib.search import evolution, local_search
from nplib.search.mutation import NUM_PAIRS, find_row, graph_of_row, graphs_of, mutate
from nplib.search.trainings import BadSearch
from nplib.space import NUM_INTERIOR, NUM_OPCODES


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
    ends = {name: search(trainings, 300, range(30)).best_seen[:, -1].mean() for name, search in SEARCHES.items()}
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
