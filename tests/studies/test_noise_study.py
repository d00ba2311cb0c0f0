"""What is said about noise is what a plain count or a simulation with a known truth gives."""

import numpy as np
import pytest
import torch

from nplib.benchmark import FALLBACK_ACCURACY, Benchmark, MissingMetric
from nplib.errors import UserError
from nplib.metrics import kendall_tau
from nplib.predictor import Graphs, PredictorConfig
from nplib.sources import load
from nplib.studies.noise_study import (
    ALL_FAILED,
    BEST,
    FAILED,
    FIRST_FAILED,
    MEAN,
    MEAN_OF_GOOD,
    MEDIAN,
    NEXT_RUN,
    NEXT_RUN_15,
    NO_RULE,
    Lesson,
    errors_by_group,
    fit_lessons,
    groups_of_cells,
    label_floors,
    label_rules,
    perfect_squared_errors,
    rank_ceiling,
)
from nplib.training import TrainingConfig, fit_predictor

SMALL = TrainingConfig(epochs=3, predictor=PredictorConfig(hidden=8, head=8))
EDGES = [0.8, 0.9]


def with_runs(benchmark: Benchmark, runs: list[list[float]]) -> Benchmark:
    """The first cells of a benchmark with these validation accuracies after 108 epochs."""
    count = len(runs)
    metrics = benchmark.metrics[:count].copy()
    metrics[:, 3, :, 1, 2] = runs
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
    return Benchmark(*(getattr(benchmark, name)[:count] for name in names), metrics)


@pytest.fixture(scope="module")
def simulated():
    """Accuracies of a hundred thousand cells and three runs of each, whose noise differs between cells."""
    random = np.random.default_rng(0)
    truth = random.normal(0.91, 0.02, 100_000)
    noise_sd = random.uniform(0.005, 0.015, len(truth))
    return truth, truth[:, None] + noise_sd[:, None] * random.standard_normal((len(truth), 3))


# Labels


def test_rules_make_the_labels_that_they_say(small_surrogate):
    cells = with_runs(small_surrogate, [[0.9, 0.8, 0.94], [0.1, 0.8, 0.9], [0.17, 0.9, 0.1], [0.1, 0.1, 0.1]])
    expected = {
        NO_RULE: [0.9, 0.1, 0.17, 0.1],
        NEXT_RUN: [0.9, 0.8, 0.9, FALLBACK_ACCURACY],
        NEXT_RUN_15: [0.9, 0.8, 0.17, FALLBACK_ACCURACY],
        MEAN: [0.88, 0.6, 0.39, 0.1],
        MEDIAN: [0.9, 0.8, 0.17, 0.1],
        MEAN_OF_GOOD: [0.88, 0.85, 0.9, FALLBACK_ACCURACY],
        BEST: [0.94, 0.9, 0.9, FALLBACK_ACCURACY],
    }
    rules = label_rules(cells)
    assert list(rules) == list(expected)
    for name, labels in expected.items():
        np.testing.assert_allclose(rules[name], labels, rtol=1e-6, err_msg=name)


def test_rules_of_several_runs_need_them(sample_path):
    sample = load(sample_path)
    rules = label_rules(sample)
    assert list(rules) == [NO_RULE, NEXT_RUN, NEXT_RUN_15]
    assert rules[NO_RULE].min() < 0.1 < rules[NEXT_RUN].min()
    with pytest.raises(MissingMetric):
        sample.values(run=None)


# Whose the error is


def test_every_cell_is_in_one_group(small_surrogate):
    runs = small_surrogate.values(run=None)
    for some in (runs, runs[:, :1]):
        groups = groups_of_cells(some, EDGES)
        np.testing.assert_array_equal(np.sum(list(groups.values()), axis=0), 1)


def test_groups_go_by_the_first_run():
    runs = np.array([[0.1, 0.1], [0.1, 0.9], [0.7, 0.1], [0.8, 0.9], [0.95, 0.95]])
    groups = {name: np.flatnonzero(cells).tolist() for name, cells in groups_of_cells(runs, EDGES).items()}
    assert groups == {
        ALL_FAILED: [0],
        FIRST_FAILED: [1],
        "below 80 %": [2],
        "80 to 90 %": [3],
        "90 % and above": [4],
    }
    assert np.flatnonzero(groups_of_cells(runs[:, :1], EDGES)[FAILED]).tolist() == [0, 1]


def test_shares_of_the_error():
    true, predicted = np.array([0.9, 0.9, 0.5]), np.array([[0.91, 0.9, 0.8], [0.9, 0.92, 0.5]])
    poor = true < 0.8
    errors = errors_by_group(true, predicted, {"poor": poor, "good": ~poor, "none": np.full(3, False)})
    assert errors["poor"].of_cells == pytest.approx(1 / 3)
    np.testing.assert_allclose(errors["poor"].mse_percent2, [900, 0], atol=1e-9)
    np.testing.assert_allclose(errors["good"].mse_percent2, [0.5, 2])
    np.testing.assert_allclose(errors["poor"].of_error, [900 / 901, 0], atol=1e-9)
    assert np.isnan(errors["none"].mse_percent2).all() and not errors["none"].of_error.any()


@pytest.mark.parametrize("memberships", [0, 2])
def test_groups_that_do_not_add_up_are_refused(memberships):
    groups = {"a": np.array([memberships > 0, False, True]), "b": np.array([memberships > 1, True, False])}
    with pytest.raises(UserError, match=f"cell 0 is in {memberships} of the groups"):
        errors_by_group(np.ones(3), np.ones((1, 3)), groups)


# What noise leaves


def test_a_perfect_predictor_errs_by_the_noise_however_cells_are_chosen_by_the_first_run(simulated):
    truth, runs = simulated
    squared = perfect_squared_errors(runs)
    for chosen in (runs[:, 0] > 0, runs[:, 0] > 0.91, runs[:, 0] < 0.88):
        true = (100 * (runs[chosen, 0] - truth[chosen])) ** 2
        standard_error = (squared[chosen] - true).std() / np.sqrt(chosen.sum())
        assert squared[chosen].mean() == pytest.approx(true.mean(), abs=4 * standard_error)


def test_whichever_run_is_the_first_the_noise_is_the_variance_within_cells(small_surrogate):
    runs = small_surrogate.values(run=None)
    means = np.mean([perfect_squared_errors(np.roll(runs, shift, axis=1)) for shift in range(3)], axis=0)
    np.testing.assert_allclose(means, (100 * runs).var(axis=1, ddof=1), atol=1e-9)


def test_what_noise_makes_of_other_labels(simulated):
    truth, runs = simulated
    floors = label_floors(runs)
    assert floors[NEXT_RUN] == pytest.approx(((100 * (runs[:, 0] - truth)) ** 2).mean(), rel=0.02)
    assert floors[MEAN_OF_GOOD] == pytest.approx(((100 * (runs.mean(axis=1) - truth)) ** 2).mean(), rel=0.02)
    # Whoever knows a cell also knows by how much the best of three is to be expected above its mean.
    noise_sd = (runs - truth[:, None]).std(axis=1).mean()
    alike = truth[:, None] + noise_sd * np.random.default_rng(1).standard_normal(runs.shape)
    above = 100 * (alike.max(axis=1) - truth)
    assert label_floors(alike)[BEST] == pytest.approx(above.var(), rel=0.02)


def test_the_ceiling_is_the_tau_of_the_truth_where_ranks_are_normal(simulated):
    truth = simulated[0]
    runs = truth[:, None] + np.random.default_rng(1).normal(0, 0.01, (len(truth), 3))
    ceiling = rank_ceiling(runs)
    assert ceiling.perfect == pytest.approx(kendall_tau(runs[:, 0], truth), abs=0.004)
    assert ceiling.mean_of_two_expected == pytest.approx(ceiling.mean_of_two, abs=0.004)
    assert ceiling.run < ceiling.mean_of_two < ceiling.perfect


def test_the_ceiling_holds_about_for_cells_chosen_by_their_first_run(simulated):
    truth, runs = simulated
    chosen = runs[:, 0] > 0.91
    ceiling, everywhere = rank_ceiling(runs[chosen]), rank_ceiling(runs)
    assert ceiling.perfect == pytest.approx(kendall_tau(runs[chosen, 0], truth[chosen]), abs=0.02)
    assert ceiling.perfect < everywhere.perfect


def test_runs_without_noise_and_runs_without_truth():
    same = np.repeat(np.arange(20.0)[:, None], 3, axis=1)
    assert rank_ceiling(same).perfect == pytest.approx(1)
    opposed = np.stack([np.arange(20.0), np.arange(20.0), -np.arange(20.0)], axis=1)
    assert np.isnan(rank_ceiling(opposed).perfect)


# What predictors learn


def test_lessons_together_teach_what_each_teaches_alone(small_surrogate):
    graphs, labels = Graphs.from_benchmark(small_surrogate), small_surrogate.accuracy_labels()
    other = labels - 0.01
    cells = np.random.default_rng(0).permutation(len(labels))
    lessons = [
        Lesson(cells[:40], labels[cells[:40]], 0),
        Lesson(cells[:40], other[cells[:40]], 0),
        Lesson(cells[20:54], labels[cells[20:54]], 1),
        Lesson(cells[:40], labels[cells[:40]].copy(), 0),
    ]
    predictors = fit_lessons(graphs, lessons, SMALL)
    assert predictors[3] is predictors[0] and len(set(predictors)) == 3
    few = graphs[torch.arange(50)]
    for lesson, predictor in zip(lessons, predictors, strict=True):
        learned = np.full(len(labels), np.nan)  # labels of no other cell are known
        learned[lesson.cells] = lesson.labels
        alone = fit_predictor(graphs, learned, lesson.seed, SMALL, training_cells=lesson.cells)
        np.testing.assert_allclose(predictor.predict(few), alone.predict(few), atol=1e-6)
