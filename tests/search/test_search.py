"""Searches keep to their rules, and do what they say: each is held against plain code that hashes every proposal."""

import numpy as np
import pytest
import torch
from search_world import (  # noqa: F401 - fixtures among them
    FAST,
    SEARCHES,
    SEEDS,
    benchmark_fixture,
    graphs_fixture,
    trainings_fixture,
    with_accuracies,
)

from nplib.benchmark import FAILED_BELOW
from nplib.errors import UserError
from nplib.gp import GPConfig
from nplib.search import draw_cells, evolution, local_search, oracle, predictor_search, random_search
from nplib.search.mlp import MLPConfig
from nplib.search.proposers import PREDICTORS, best_predicted, best_untrained, make_proposer
from nplib.search.trainings import BadSearch, Histories, Trainings
from nplib.two_stage import TwoStageConfig

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
        is_run = (history.seen[s][:, None] == runs[cells]) & (history.seconds[s][:, None] == times[cells])
        assert is_run.any(axis=1).all()
        np.testing.assert_allclose(history.test[s], tests[cells].mean(axis=1), rtol=1e-12)


def test_what_a_cell_gives_depends_on_the_seed_alone(trainings):
    by_search = [dict(zip(h.cells[0], h.seen[0], strict=True)) for h in every_search(trainings, [3])]
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
        assert np.array_equal(alone.seen[0], together.to(80).seen[s])


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
    propose, _ = by_scores(trainings.mean_seen)
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
    failing = np.arange(0, len(benchmark), 2)
    accuracies = np.full(len(benchmark), np.nan)
    accuracies[failing] = 0.1
    trainings = Trainings.of(with_accuracies(benchmark, accuracies))
    propose, told = by_scores(np.arange(len(trainings), dtype=float))
    history = predictor_search(trainings, propose, 40, 10, [1])
    assert not np.isin(told[0][0][0], failing).any() and np.isin(told[0][2][0], failing).any()
    assert history.queries == 50 and len(told[0][2][0]) == 40


TWO = TwoStageConfig(above=0.9, classifier=FAST.as_classifier(), regressor=FAST)
CONFIGS = {"one stage": FAST, "two stages": TWO, "Gaussian process": GPConfig(), "plain": MLPConfig(epochs=5)}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_proposers_propose_the_best_that_they_predict_and_nothing_trained(trainings, graphs, config):
    """Whatever the predictor, and however many searches it is fitted for at once."""
    history = predictor_search(trainings, best_predicted(graphs, config), 60, 20, SEEDS[:2])
    assert history.queries == 80 and history.first == 60
    for s, seed in enumerate(SEEDS[:2]):
        assert len(set(history.cells[s].tolist())) == 80
        met, known = trainings.met(seed), history.cells[s, :60]
        learned = known[met[known] >= FAILED_BELOW]
        labels = np.full(len(trainings), np.nan)
        labels[learned] = met[learned]
        fit = config.fit(graphs, labels, [seed], training_cells=learned)
        scores = (fit.scores if config is TWO else fit.predict)(graphs)[0]
        proposed, others = scores[history.cells[s, 60:]], np.delete(scores, history.cells[s])
        assert proposed.min() >= others.max() - 1e-6 and (np.diff(proposed) <= 1e-6).all()


def test_acquisition_rules_are_what_they_say(trainings, graphs):
    cells = draw_cells(len(trainings), 60, 0)
    seen = trainings.met(0)[cells]
    mean, sd = GPConfig().fit(graphs[cells], seen, [0]).predictors[0].posterior(graphs)
    gain = np.random.default_rng(0).normal(size=4_000)  # the expected improvement, by drawing
    improvement = np.array(
        [np.maximum(m + s * gain - mean[cells].max(), 0).mean() for m, s in zip(mean, sd, strict=True)]
    )
    for rule, scores, least in (("bound", mean + sd, 10), ("improvement", improvement, 9)):
        (proposed,) = best_predicted(graphs, GPConfig(), rule)([cells], [seen], [cells], 10, [0])
        assert len(set(proposed) & set(best_untrained(scores, cells, 10))) >= least
    (drawn,) = best_predicted(graphs, GPConfig(), "thompson")([cells], [seen], [cells], 10, [0])
    assert len(set(drawn.tolist())) == 10 and not np.isin(drawn, cells).any()
    assert mean[drawn].mean() > np.quantile(mean, 0.9)
    with pytest.raises(
        UserError, match="no acquisition rule is called 'luck'; there are mean, improvement, bound, tho"
    ):
        best_predicted(graphs, GPConfig(), "luck")
    with pytest.raises(UserError, match="this predictor does not say how sure it is"):
        best_predicted(graphs, FAST, "bound")([cells], [seen], [cells], 10, [0])


def test_proposers_have_names(graphs):
    for name in PREDICTORS:
        assert callable(make_proposer(name, graphs, 100))
    with pytest.raises(UserError, match="no predictor is called 'oracle'; there are gcn, two-stage, gp, gp-plain, mlp"):
        make_proposer("oracle", graphs, 100)


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
