"""What is said about noise is what a plain count over real runs, or a simulation with a known truth, gives."""

import json
import statistics

import numpy as np
import pytest

from nplib.benchmark import FALLBACK_ACCURACY, Benchmark, MissingMetric
from nplib.convert import convert_tfrecord
from nplib.errors import UserError
from nplib.metrics import kendall_tau
from nplib.predictor import PredictorConfig
from nplib.sources import load
from nplib.studies import published
from nplib.studies.noise import (
    BEST,
    FAILED,
    MEAN_OF_GOOD,
    NEXT_RUN,
    NO_RULE,
    Lesson,
    errors_by_group,
    fit_lessons,
    groups_of_cells,
    label_ceilings,
    label_rules,
    paired_labels,
    perfect_squared_errors,
    plausible_truth,
    rank_ceiling,
    run_noise,
    table_figures,
)
from nplib.training import TrainingConfig

SMALL = TrainingConfig(epochs=3, predictor=PredictorConfig(hidden=8, head=8))
EDGES = [0.8, 0.9]


@pytest.fixture(scope="module")
def runs(shared):
    """The real runs of 54 cells as plain lists, by metric."""
    cells = json.loads((shared / "nasbench101" / "only108_sample.json").read_text()).values()
    return {
        metric: [[run[f"final_{metric}"] for run in cell["108"]] for cell in cells]
        for metric in ("validation_accuracy", "test_accuracy")
    }


@pytest.fixture(scope="module")
def benchmark(shared, tmp_path_factory):
    target = tmp_path_factory.mktemp("noise") / "only108.hdf5"
    convert_tfrecord(shared / "nasbench101" / "only108_sample.tfrecord", target)
    return Benchmark.open(target)


def test_spread_between_runs(benchmark, runs):
    noise = run_noise(benchmark)
    deviations = [100 * statistics.stdev(cell) for cell in runs["validation_accuracy"]]
    assert noise["its median"] == pytest.approx(statistics.median(deviations))
    pooled = statistics.mean(deviation**2 for deviation in deviations) ** 0.5
    assert noise["standard deviation within a cell, validation (points)"] == pytest.approx(pooled)
    difference = np.mean(runs["validation_accuracy"]) - np.mean(runs["test_accuracy"])
    assert noise["validation minus test accuracy (points)"] == pytest.approx(100 * difference)


def test_known_figures_of_real_runs_come_out(benchmark):
    noise = run_noise(benchmark)
    for name, expected in published.WITHIN_CELL.items():
        assert noise[name] == pytest.approx(expected, abs=0.02), name


def test_a_cell_with_a_failed_run_counts_as_such_and_for_nothing_else(benchmark):
    metrics = benchmark.metrics.copy()
    metrics[0, 3, 1, :, 2:] = 0.1
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
    spoilt = run_noise(Benchmark(*(getattr(benchmark, name) for name in names), metrics))
    others = run_noise(Benchmark(*(getattr(benchmark, name)[1:] for name in names), metrics[1:]))
    assert spoilt.pop("runs that failed (below 20 %)") == pytest.approx(1 / (3 * len(benchmark)))
    assert others.pop("runs that failed (below 20 %)") == 0
    assert spoilt == pytest.approx(others)


def test_figures_of_a_table_are_of_means_over_runs(benchmark, runs):
    figures = table_figures(benchmark, "test_accuracy")
    means = [statistics.mean(cell) for cell in runs["test_accuracy"]]
    assert figures["mean"] == pytest.approx(statistics.mean(means))
    assert figures["standard deviation"] == pytest.approx(statistics.pstdev(means))
    assert figures["best single run"] == pytest.approx(max(map(max, runs["test_accuracy"])))
    assert set(figures) == set(published.KNOWN_FIGURES["test_accuracy"])


def test_one_run_is_not_enough(sample_path):
    with pytest.raises(MissingMetric, match="one of the three runs"):
        run_noise(load(sample_path))


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
    assert list(rules) == [NO_RULE, NEXT_RUN]
    assert rules[NO_RULE].min() < 0.1 < rules[NEXT_RUN].min()
    with pytest.raises(MissingMetric):
        sample.values(run=None)


# Whose the error is


def test_every_cell_is_in_one_group(small_surrogate):
    groups = groups_of_cells(small_surrogate.values(), EDGES)
    np.testing.assert_array_equal(np.sum(list(groups.values()), axis=0), 1)


def test_groups_go_by_accuracy():
    accuracies = np.array([0.1, 0.7, 0.8, 0.95])
    groups = {name: np.flatnonzero(cells).tolist() for name, cells in groups_of_cells(accuracies, EDGES).items()}
    assert groups == {FAILED: [0], "below 80 %": [1], "80 to 90 %": [2], "90 % and above": [3]}


def test_shares_of_the_error():
    true, predicted = np.array([0.9, 0.9, 0.5]), np.array([[0.91, 0.9, 0.8], [0.9, 0.92, 0.5]])
    poor = true < 0.8
    errors = errors_by_group(true, predicted, {"poor": poor, "good": ~poor, "none": np.full(3, False)})
    of = {name: rows for name, rows in errors.groupby("group")}
    assert of["poor"]["of_cells"].tolist() == [pytest.approx(1 / 3)] * 2
    np.testing.assert_allclose(of["poor"]["mse_percent2"], [900, 0], atol=1e-9)
    np.testing.assert_allclose(of["good"]["mse_percent2"], [0.5, 2])
    np.testing.assert_allclose(of["poor"]["of_error"], [900 / 901, 0], atol=1e-9)
    assert np.isnan(of["none"]["mse_percent2"]).all() and not of["none"]["of_error"].any()
    np.testing.assert_allclose(errors.groupby("seed")["of_error"].sum(), 1)


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


def test_the_ceiling_is_the_tau_of_the_truth_where_ranks_are_normal(simulated):
    truth = simulated[0]
    runs = truth[:, None] + np.random.default_rng(1).normal(0, 0.01, (len(truth), 3))
    ceiling = rank_ceiling(runs)
    assert ceiling.perfect == pytest.approx(kendall_tau(runs[:, 0], truth), abs=0.004)
    assert ceiling.run < kendall_tau(runs[:, 0], runs[:, 1:].mean(axis=1)) < ceiling.perfect


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


# One label a cell


@pytest.fixture(scope="module")
def one_label():
    """Accuracies of cells, with one run and the best of three that have the noise of real ones."""
    random = np.random.default_rng(0)
    truth = 0.945 - random.gamma(2.0, 0.012, 100_000).clip(0, 0.12)
    deviations = np.interp(truth, *published.WITHIN_CELL_BY_ACCURACY)
    runs = truth[:, None] + deviations[:, None] * random.standard_normal((len(truth), 3))
    return truth, runs


@pytest.mark.parametrize("best_of_three", [False, True])
@pytest.mark.parametrize("above", [0.8, 0.91])
def test_one_label_a_cell_tells_what_a_perfect_predictor_would_reach(one_label, best_of_three, above):
    truth, runs = one_label
    labels = runs.max(axis=1) if best_of_three else runs[:, 0]
    chosen = labels > above
    drawn = plausible_truth(labels, best_of_three=best_of_three)
    assert kendall_tau(labels[chosen], drawn[chosen]) == pytest.approx(
        kendall_tau(labels[chosen], truth[chosen]), abs=0.012
    )
    missed, known = (100 * (labels - accuracies)[chosen] for accuracies in (drawn, truth))
    assert (missed**2).mean() == pytest.approx((known**2).mean(), rel=0.06)


def test_a_failed_cell_tells_nothing_and_a_poor_one_what_it_is(one_label):
    labels = one_label[1][:, 0].copy()
    labels[:1000], labels[1000] = FALLBACK_ACCURACY, 0.5
    drawn = plausible_truth(labels)
    assert drawn[1000] == 0.5
    assert drawn[:1000].std() == pytest.approx(drawn[1001:].std(), rel=0.1)
    ceilings = label_ceilings(labels, {"failed too": np.arange(4000), "others": np.arange(1001, 4000)})
    assert ceilings["failed too"].kendall_tau[1] < ceilings["others"].kendall_tau[0]
    worse, better = ceilings["others"].kendall_tau
    assert 0.7 < worse < better < 1


def test_the_band_of_noise_holds_what_real_pairs_of_labels_show(sample_path, shared):
    test = load(shared / "nasbench101" / "test_run0_108.npy")
    sample = load(sample_path)
    pairs = paired_labels(test.values("test_accuracy"), sample.values(), test.indices(sample.hashes))
    most, least = pairs.loc[["expected, 100% of the noise", "expected, 85% of the noise"]].to_numpy()
    measured = pairs.loc["measured"]
    assert most[0] < measured.kendall_tau < least[0]
    assert least[1] < measured.mean_points < most[1]


# What predictors learn


def test_lessons_together_teach_what_each_teaches_alone(small_surrogate):
    graphs, labels = small_surrogate.cells, small_surrogate.accuracy_labels()
    other = labels - 0.01
    cells = np.random.default_rng(0).permutation(len(labels))
    first = [Lesson(cells[:40], labels[cells[:40]], 0), Lesson(cells[20:54], labels[cells[20:54]], 1)]
    second = [Lesson(cells[:40], other[cells[:40]], 0), Lesson(cells[:40], labels[cells[:40]].copy(), 0)]
    taught = fit_lessons(graphs, {"first": first, "second": second}, SMALL)
    assert taught["second"][1] is taught["first"][0] and len({*taught["first"], *taught["second"]}) == 3
    few = graphs[:50]
    for lesson, predictor in zip(first + second, taught["first"] + taught["second"], strict=True):
        learned = np.full(len(labels), np.nan)  # labels of no other cell are known
        learned[lesson.cells] = lesson.labels
        (alone,) = SMALL.fit(graphs, learned, [lesson.seed], training_cells=lesson.cells).predictors
        np.testing.assert_allclose(predictor.predict(few), alone.predict(few), atol=1e-6)
