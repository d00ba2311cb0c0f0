"""Searches keep to their rules, and do what they say: each is held against plain code that hashes every proposal."""

import numpy as np
import pytest
import torch

from nplib.benchmark import FAILED_BELOW, Benchmark, MissingMetric, empty_metrics
from nplib.cell import Cell
from nplib.errors import UserError
from nplib.evolution import NUM_PAIRS, find_row, graph_of_row, graphs_of, mutate
from nplib.predictor import Graphs, PredictorConfig
from nplib.proposers import best_accepted, best_by_gp, best_predicted, best_untrained, make_proposer
from nplib.search import draw_cells, evolution, local_search, oracle, predictor_search, random_search
from nplib.space import NUM_INTERIOR, NUM_OPCODES
from nplib.training import TrainingConfig, fit_predictors
from nplib.trainings import BadSearch, Histories, Trainings, queries_to_reach, sample_efficiency
from nplib.two_stage import TwoStageConfig, classifier_config, fit_two_stage

SEEDS = (4, 0, 7)
FAST = TrainingConfig(epochs=3, predictor=PredictorConfig(hidden=8, head=8))
SEARCHES = {
    "oracle": oracle,
    "random search": random_search,
    "evolution": lambda *of: evolution(*of, population_size=20, tournament_size=5),
    "local search": local_search,
}


@pytest.fixture(scope="module")
def benchmark(surrogate, space) -> Benchmark:
    """The 2,532 cells of five vertices or fewer: near enough to each other for searches that go by neighbours."""
    rows = np.flatnonzero(space.num_vertices <= 5)
    return Benchmark.from_space(space, rows, surrogate.metrics[rows], source="surrogate")


@pytest.fixture(scope="module")
def trainings(benchmark) -> Trainings:
    return Trainings.of(benchmark)


@pytest.fixture(scope="module")
def graphs(benchmark) -> Graphs:
    return Graphs.from_benchmark(benchmark)


def made_up(validation, test=None, seconds=None) -> Histories:
    """Histories of these figures, a row a search."""
    validation = np.asarray(validation, dtype=float)
    unknown = np.full(validation.shape, np.nan)
    cells = np.tile(np.arange(validation.shape[1]), (len(validation), 1))
    test, seconds = (unknown if values is None else np.asarray(values, dtype=float) for values in (test, seconds))
    return Histories(tuple(range(len(validation))), cells, validation, test, seconds)


# The rules


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_training_costs_one_query_and_its_time_and_gives_one_of_the_runs(trainings, benchmark, search):
    history = search(trainings, 150, SEEDS)
    runs = np.stack([benchmark.values("validation_accuracy", 108, run) for run in range(3)], axis=1)
    times = np.stack([benchmark.values("training_time", 108, run) for run in range(3)], axis=1)
    tests = np.stack([benchmark.values("test_accuracy", 108, run) for run in range(3)], axis=1)
    assert history.cells.shape == (3, 150) and history.seeds == SEEDS
    for s in range(3):
        cells = history.cells[s]
        assert len(set(cells.tolist())) == 150
        is_run = (history.validation[s][:, None] == runs[cells]) & (history.seconds[s][:, None] == times[cells])
        assert is_run.any(axis=1).all()
        np.testing.assert_allclose(history.test[s], tests[cells].mean(axis=1), rtol=1e-12)


def test_what_a_cell_gives_depends_on_the_seed_alone(trainings):
    by_search = [dict(zip(h.cells[0], h.validation[0], strict=True)) for h in every_search(trainings, [3])]
    first = trainings.met(3)
    for seen in by_search:
        assert all(first[cell] == accuracy for cell, accuracy in seen.items())
    met = [trainings.runs_met(seed) for seed in (3, 4)]
    assert np.array_equal(trainings.runs_met(3), met[0]) and not np.array_equal(*met)
    # Of 2,532 draws, a third each: four standard deviations are 95.
    assert np.abs(np.bincount(met[0], minlength=3) - len(trainings) / 3).max() < 95


def every_search(trainings: Trainings, seeds) -> list[Histories]:
    return [search(trainings, 200, seeds) for search in SEARCHES.values()]


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_search_depends_on_its_seed_alone_and_a_longer_one_begins_with_a_shorter(trainings, search):
    together = search(trainings, 120, SEEDS)
    for s, seed in enumerate(SEEDS):
        alone = search(trainings, 80, [seed])
        assert np.array_equal(alone.cells[0], together.cells[s, :80])
        assert np.array_equal(alone.validation[0], together.to(80).validation[s])


def test_the_oracle_trains_the_best_first(trainings, benchmark):
    means = np.mean([benchmark.values("validation_accuracy", 108, run) for run in range(3)], axis=0)
    history = oracle(trainings, 500, [0, 1])
    assert np.array_equal(history.cells[0], history.cells[1])
    of_chosen = means[history.cells[0]]
    assert (np.diff(of_chosen) <= 1e-12).all()
    assert of_chosen.min() >= np.delete(means, history.cells[0]).max() - 1e-12


def test_random_cells_are_all_alike_likely(trainings):
    counts = np.zeros(len(trainings))
    for seed in range(200):
        counts[draw_cells(len(trainings), 250, seed)] += 1
    share = 250 / len(trainings)
    sd = (200 * share * (1 - share)) ** 0.5
    assert np.abs(counts - 200 * share).max() < 6 * sd
    assert abs(counts.std() / sd - 1) < 0.1


def test_every_cell_can_be_trained(trainings):
    for search in (oracle, random_search, local_search):
        (cells,) = search(trainings, len(trainings), [0]).cells
        assert np.array_equal(np.sort(cells), np.arange(len(trainings)))


# What is known


def test_without_test_accuracies_or_times_there_are_none(space):
    metrics = empty_metrics(30)
    metrics[:, 3, 0, 1, 2] = np.linspace(0.8, 0.94, 30)
    trainings = Trainings.of(Benchmark.from_space(space, np.arange(30), metrics))
    assert not trainings.has_test and not trainings.has_seconds and trainings.validation.shape == (30, 1)
    history = random_search(trainings, 30, [1])
    assert np.isnan(history.best_test).all() and np.isnan(history.elapsed).all()
    assert history.best_cell[0] == 29
    assert np.isnan(history.at_seconds(np.array([1e9]))).all()
    with pytest.raises(MissingMetric, match="compared by test accuracy"):
        sample_efficiency(history, history, 5)
    assert sample_efficiency(history, history, 5, by="validation").factor <= 1


def test_runs_that_not_every_cell_has_are_not_met(space):
    metrics = empty_metrics(30)
    metrics[:, 3, :, 1, 2:] = 0.9
    metrics[4, 3, 1, 1, 2] = np.nan
    metrics[5, 3, 0, 1, 3] = np.nan
    trainings = Trainings.of(Benchmark.from_space(space, np.arange(30), metrics))
    assert trainings.validation.shape == (30, 2)
    assert not trainings.has_test  # of run 0, which is met, a cell has none
    metrics[6, 3, :, 1, 2] = np.nan
    with pytest.raises(MissingMetric, match="validation_accuracy"):
        Trainings.of(Benchmark.from_space(space, np.arange(30), metrics))


# Histories


def test_histories_are_what_a_loop_finds():
    random = np.random.default_rng(0)
    validation = random.integers(880, 940, (6, 40)) / 1000  # with ties
    test, seconds = random.uniform(0.85, 0.94, (6, 40)), random.uniform(500, 4000, (6, 40))
    history = made_up(validation, test, seconds)
    grid = np.array([0.0, 400, 9_000, 30_000, 1e6])
    for s in range(6):
        best, place, spent = -1.0, -1, 0.0
        ended = []
        for q in range(40):
            spent += seconds[s, q]
            if validation[s, q] > best:
                best, place = validation[s, q], q
            ended.append((spent, test[s, place], best))
            assert history.best_validation[s, q] == best and history.best_place[s, q] == place
            assert history.best_test[s, q] == test[s, place]
            assert history.elapsed[s, q] == pytest.approx(spent, rel=1e-12)
        assert history.best_cell[s] == history.cells[s, place]
        for by, which in (("test", 1), ("validation", 2)):
            for time, found in zip(grid, history.at_seconds(grid, by)[s], strict=True):
                done = [row[which] for row in ended if row[0] <= time]
                assert found == done[-1] if done else np.isnan(found)


def test_time_is_up_when_the_training_ends_and_not_before():
    history = made_up([[0.9, 0.91]], [[0.8, 0.82]], [[10, 10]])
    assert history.at_seconds(np.array([9.9, 10, 19.9, 20])).tolist()[0][1:] == [0.8, 0.8, 0.82]


def test_only_as_many_queries_as_there_were(trainings):
    history = random_search(trainings, 20, SEEDS)
    assert history.to(7).queries == 7 and history.to(20).queries == 20
    for queries in (0, 21):
        with pytest.raises(BadSearch, match=f"{queries} queries are asked for, of searches that made 20"):
            history.to(queries)


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


# Proposers and predictor search


@pytest.mark.parametrize("count", [1, 3, 20, 30])
def test_the_best_untrained_are_those_of_a_sort(count):
    random = np.random.default_rng(count)
    for _ in range(50):
        scores = random.integers(0, 6, 40).astype(float)  # many ties
        trained = random.permutation(40)[:10]
        expected = sorted(set(range(40)) - set(trained.tolist()), key=lambda cell: (-scores[cell], cell))[:count]
        before = scores.copy()
        assert best_untrained(scores, trained, count).tolist() == expected
        assert np.array_equal(scores, before)


def by_scores(scores: np.ndarray):
    """A proposer that knows these scores, and a list of what it was told."""
    told = []

    def propose(cells, accuracies, trained, count, seeds):
        told.append((cells, accuracies, trained, count, seeds))
        return [best_untrained(scores, row, count) for row in trained]

    return propose, told


def test_a_perfect_predictor_trains_what_the_oracle_does(trainings):
    propose, _ = by_scores(trainings.mean_validation)
    history = predictor_search(trainings, propose, 30, 70, SEEDS)
    best = oracle(trainings, 130, SEEDS).cells[0].tolist()
    assert history.queries == 100
    for s, seed in enumerate(SEEDS):
        first = draw_cells(len(trainings), 30, seed).tolist()
        assert history.cells[s, :30].tolist() == first
        assert history.cells[s, 30:].tolist() == [cell for cell in best if cell not in first][:70]


@pytest.mark.parametrize("rounds", [1, 3, 7, 50])
def test_rounds_make_the_same_total_and_learn_from_all_before(trainings, rounds):
    propose, told = by_scores(np.random.default_rng(0).random(len(trainings)))
    history = predictor_search(trainings, propose, 30, 50, SEEDS, rounds=rounds)
    assert history.queries == 80 and len(told) == rounds
    assert np.array_equal(history.cells, predictor_search(trainings, propose, 30, 50, SEEDS).cells)
    known = 30
    for cells, accuracies, trained, count, seeds in told[:rounds]:
        assert tuple(seeds) == SEEDS and count in (50 // rounds, -(-50 // rounds))
        for s, seed in enumerate(SEEDS):
            before = history.cells[s, :known]
            assert np.array_equal(trained[s], before)
            met = trainings.met(seed)[before]
            assert np.array_equal(cells[s], before[met >= FAILED_BELOW])  # a failed training is not learned from
            assert np.array_equal(accuracies[s], met[met >= FAILED_BELOW])
        known += count
    assert known == 80


def test_failed_trainings_cost_a_query_and_teach_nothing(benchmark):
    metrics = benchmark.metrics.copy()
    failing = np.arange(0, len(benchmark), 2)
    metrics[failing, 3, :, 1, 2] = 0.1
    trainings = Trainings.of(
        Benchmark(
            **{
                name: getattr(benchmark, name)
                for name in ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
            },
            metrics=metrics,
        )
    )
    propose, told = by_scores(np.arange(len(trainings), dtype=float))
    history = predictor_search(trainings, propose, 40, 10, [1])
    assert not np.isin(told[0][0][0], failing).any() and np.isin(told[0][2][0], failing).any()
    assert history.queries == 50 and len(told[0][2][0]) == 40


@pytest.mark.parametrize("name", ["one stage", "two stages", "Gaussian process"])
def test_proposers_propose_the_best_that_they_predict_and_nothing_trained(trainings, graphs, name):
    two = TwoStageConfig(above=0.9, classifier=classifier_config(FAST), regressor=FAST)
    proposer = {
        "one stage": lambda: best_predicted(graphs, FAST),
        "two stages": lambda: best_accepted(graphs, two),
        "Gaussian process": lambda: best_by_gp(graphs),
    }[name]()
    history = predictor_search(trainings, proposer, 60, 20, SEEDS[:2])
    assert history.queries == 80
    for s, seed in enumerate(SEEDS[:2]):
        assert len(set(history.cells[s].tolist())) == 80
        met = trainings.met(seed)
        labels = np.full(len(trainings), np.nan)
        known = history.cells[s, :60]
        learned = known[met[known] >= FAILED_BELOW]
        labels[learned] = met[learned]
        if name == "Gaussian process":
            continue
        fit = (
            fit_predictors(graphs, labels, [seed], FAST, training_cells=learned)
            if name == "one stage"
            else fit_two_stage(graphs, labels, [seed], two, training_cells=learned)
        )
        scores = fit.predict(graphs)[0] if name == "one stage" else fit.scores(graphs)[0]
        proposed, others = scores[history.cells[s, 60:]], np.delete(scores, history.cells[s])
        assert proposed.min() >= others.max() - 1e-6 and (np.diff(proposed) <= 1e-6).all()


def test_proposers_have_names(graphs):
    for name in ("gcn", "two-stage", "gp"):
        assert callable(make_proposer(name, graphs, 100))
    with pytest.raises(UserError, match="no predictor is called 'oracle'; there are gcn, two-stage, gp"):
        make_proposer("oracle", graphs, 100)


# How many times as many


def test_queries_to_reach_counts_from_one():
    curve = np.array([0.1, 0.5, 0.5, 0.9])
    assert [queries_to_reach(curve, level) for level in (0.1, 0.3, 0.5, 0.9, 0.91)] == [1, 2, 2, 4, None]


def test_the_factor_of_known_curves():
    ours = made_up([[0.5, 0.9, 0.9]] * 4, [[0.5, 0.8, 0.8]] * 4)
    slow = np.concatenate([np.full(9, 0.6), np.full(6, 0.8)])
    other = made_up([np.linspace(0.5, 0.95, 15)] * 5, [slow] * 5)
    factor = sample_efficiency(ours, other, 2)
    assert (factor.needed, factor.factor, factor.low, factor.high, factor.most) == (10, 5, 5, 5, 15)
    assert factor.level == pytest.approx(0.8)
    by_validation = sample_efficiency(ours, other, 2, by="validation")
    assert by_validation.needed == int(np.argmax(np.linspace(0.5, 0.95, 15) >= 0.9)) + 1


def test_a_search_that_does_not_get_there_needs_infinitely_many():
    ours = made_up([[0.9]] * 3, [[0.9]] * 3)
    never = made_up(np.tile(np.linspace(0.5, 0.9, 10), (4, 1)), np.full((4, 10), 0.7))
    factor = sample_efficiency(ours, never, 1)
    assert factor.needed is None and factor.factor == factor.low == factor.high == np.inf
    # Half of its searches are there at once and half never: together, it depends on which are drawn.
    half = made_up(np.tile(np.linspace(0.5, 0.9, 10), (4, 1)), [[0.8] * 10] * 2 + [[0.95] * 10] * 2)
    factor = sample_efficiency(ours, half, 1)
    assert (factor.needed, factor.low, factor.high) == (None, 1, np.inf)


def test_a_search_is_as_efficient_as_itself_and_less_than_a_faster_one(trainings):
    slow, fast = random_search(trainings, 200, range(40)), oracle(trainings, 200, range(40))
    same = sample_efficiency(slow, slow, 100, by="validation", resamples=300)
    assert same.factor <= 1 and same.low <= 1 <= same.high
    better = sample_efficiency(fast, slow, 10, by="validation", resamples=300)
    assert better.low > 1 and better.low <= better.factor <= better.high
    again = sample_efficiency(fast, slow, 10, by="validation", resamples=300)
    assert again == better


def test_equal_means_are_equal_however_many_searches_they_are_of():
    """Sums in another order differ in the last digit, and that is no difference between searches."""
    random = np.random.default_rng(0)
    for _ in range(100):
        validation = random.uniform(0.9, 0.95, (int(random.integers(2, 60)), 30))
        history = made_up(validation, validation)
        assert sample_efficiency(history, history, 20, resamples=1).factor <= 1
        top = random.uniform(0.9, 0.95)
        ours, other = made_up([[top] * 5] * 10, [[top] * 5] * 10), made_up([[top] * 5] * 97, [[top] * 5] * 97)
        factor = sample_efficiency(ours, other, 5, resamples=20)
        assert (factor.needed, factor.low, factor.high) == (1, 0.2, 0.2)


# What cannot be


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("queries", [-1, 0, 2_533])
def test_there_cannot_be_so_many_queries(trainings, search, queries):
    with pytest.raises(BadSearch, match=rf"queries is {queries:,}; it must be from 1 to the 2,532 cells"):
        search(trainings, queries, [0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tournament_size": 0}, "tournament_size is 0"),
        ({"tournament_size": 21, "population_size": 20}, "no more than the population"),
        ({"population_size": 2_533}, "no more than 2,532 cells"),
        ({"mutation_rate": 0}, "mutation_rate is 0; it must be above 0"),
        ({"mutation_rate": 5.5}, "mutation_rate is 5.5"),
    ],
)
def test_evolution_refuses_sizes_that_do_not_fit(trainings, changes, message):
    with pytest.raises(BadSearch, match=message):
        evolution(trainings, 50, [0], **changes)


@pytest.mark.parametrize(
    ("first", "best", "rounds", "message"),
    [
        (0, 10, 1, "first is 0; it must be 1 or more"),
        (10, 0, 1, "best is 0; it must be 1 or more"),
        (10, 10, 0, "rounds is 0; it must be 1 or more"),
        (10, 10, 11, "10 proposed cells cannot be trained in 11 rounds"),
        (2_000, 533, 1, "the number of random and proposed cells is 2,533"),
    ],
)
def test_predictor_search_refuses_what_cannot_be(trainings, first, best, rounds, message):
    def propose(*_):
        raise AssertionError("fitted")

    with pytest.raises(BadSearch, match=message):
        predictor_search(trainings, propose, first, best, [0], rounds=rounds)


def test_threads_of_torch_are_as_before(trainings):
    before = torch.get_num_threads()
    evolution(trainings, 30, [0])
    assert torch.get_num_threads() == before
