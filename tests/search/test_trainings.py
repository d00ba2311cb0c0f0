"""What trainings would give is what the benchmark has, and the judge is who was asked."""

import numpy as np
import pytest

from nplib.benchmark import FAILED_BELOW, Benchmark, MissingMetric, UnknownCell, empty_metrics
from nplib.search import random_search
from nplib.search.histories import factor_at
from nplib.search.trainings import Trainings


@pytest.fixture
def one_run(space) -> Benchmark:
    """Thirty cells of which nothing is known but the test accuracy of one run."""
    metrics = empty_metrics(30)
    metrics[:, 3, 0, 1, 3] = np.random.default_rng(0).uniform(0.85, 0.94, 30)
    return Benchmark.from_space(space, np.arange(40_000, 40_030), metrics)


# What is known


def test_without_test_accuracies_or_times_there_are_none(space):
    metrics = empty_metrics(30)
    metrics[:, 3, 0, 1, 2] = np.linspace(0.8, 0.94, 30)
    trainings = Trainings.of(Benchmark.from_space(space, np.arange(30), metrics))
    assert not trainings.has_test and not trainings.has_seconds and trainings.seen.shape == (30, 1)
    history = random_search(trainings, 30, [1])
    assert np.isnan(history.best_test).all() and np.isnan(history.elapsed).all()
    assert history.best_cell[0] == 29
    assert np.isnan(history.at_seconds(np.array([1e9]))).all()
    with pytest.raises(MissingMetric, match="compared by test accuracy"):
        factor_at(history, history, 5)
    assert factor_at(history, history, 5, by="seen").factor <= 1


def test_runs_that_not_every_cell_has_are_not_met(space):
    metrics = empty_metrics(30)
    metrics[:, 3, :, 1, 2:] = 0.9
    metrics[4, 3, 1, 1, 2] = np.nan
    metrics[5, 3, 0, 1, 3] = np.nan
    trainings = Trainings.of(Benchmark.from_space(space, np.arange(30), metrics))
    assert trainings.seen.shape == (30, 2)
    assert not trainings.has_test  # of run 0, which is met, a cell has none
    metrics[6, 3, :, 1, 2:] = np.nan
    with pytest.raises(MissingMetric, match="validation_accuracy"):
        Trainings.of(Benchmark.from_space(space, np.arange(30), metrics))


def test_where_only_one_run_of_test_is_known_a_search_chooses_and_is_judged_by_it(one_run):
    trainings = Trainings.of(one_run)
    accuracies = one_run.values("test_accuracy", 108, 0)
    assert trainings.metric == "test_accuracy" and trainings.judge == "the run that it chose by"
    np.testing.assert_array_equal(trainings.seen[:, 0], accuracies)
    np.testing.assert_array_equal(trainings.test, accuracies)
    history = random_search(trainings, 20, [0, 1])
    np.testing.assert_array_equal(history.best_seen, history.best_test)


def test_another_benchmark_can_judge(one_run, surrogate):
    trainings = Trainings.of(one_run, judge=surrogate)
    assert trainings.judge == "mean test accuracy by the surrogate"
    runs = surrogate.values("test_accuracy", 108, None)
    history = random_search(trainings, 20, [0])
    for cell, seen, test in zip(history.cells[0], history.seen[0], history.test[0], strict=True):
        of_judge = runs[surrogate.index(one_run.hashes[cell])]
        assert seen == one_run.values("test_accuracy", 108, 0)[cell]
        assert test == pytest.approx(of_judge[of_judge >= FAILED_BELOW].mean(), rel=1e-12)
    with pytest.raises(UnknownCell, match="holds no cell of module hash"):
        Trainings.of(surrogate, judge=one_run)
