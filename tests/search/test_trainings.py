"""What searches trained is recorded as it was, and compared by what was found."""

import numpy as np
import pytest
from search_world import (  # noqa: F401 - fixtures among them
    SEEDS,
    benchmark_fixture,
    made_up,
    trainings_fixture,
)

from nplib.benchmark import Benchmark, MissingMetric, empty_metrics
from nplib.search import oracle, random_search
from nplib.search.trainings import BadSearch, Trainings, queries_to_reach, sample_efficiency

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
