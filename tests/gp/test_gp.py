"""The Gaussian-process predictor learns from the cells it is given, says how sure it is, and ranks real cells well."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nplib import sources
from nplib._files import TargetExists
from nplib.errors import UserError
from nplib.features import NAMES, columns_of, features_of
from nplib.gp import GPConfig, GPFailed, Priors, fit_gps
from nplib.gp.files import load_gp, save_gp
from nplib.gp.targets import TARGETS, ScoreMap, target_values
from nplib.metrics import kendall_tau, mse_percent2
from nplib.predictor import BadWeights

SCALES = ("log_gap", "rank_normal", "rank")
BAG = GPConfig(members=4, column_share=0.5, feature_sets=(NAMES,), targets=SCALES, priors=Priors(weight_sd=1.5))


@pytest.fixture(scope="module")
def cells(space):
    """120 cells and made-up accuracies that depend on them."""
    rows = np.arange(5_000, 420_000, 3_450)[:120]
    graphs = space.cells[rows]
    depth = features_of(graphs)[:, NAMES.index("mean_conv3x3_uniform")]
    noise = np.random.default_rng(0).normal(0, 0.003, len(rows))
    return graphs, 0.88 + 0.02 * depth.astype(np.float64) + noise


@pytest.fixture(scope="module")
def fitted(cells):
    return fit_gps(*cells, [0], training_cells=np.arange(40)).predictors[0]


@pytest.fixture(scope="module")
def bag(cells):
    return fit_gps(*cells, [3], BAG, training_cells=np.arange(40)).predictors[0]


# Scales


@pytest.mark.parametrize("name", TARGETS)
def test_scales_increase_and_lead_back_to_the_accuracies(name):
    labels = np.array([0.93, 0.86, 0.91, 0.94, 0.91, 0.95, 0.872])
    scores = target_values(name, labels)
    assert scores.mean() == pytest.approx(0) and scores.std() == pytest.approx(1)
    assert (np.diff(scores[np.argsort(labels, kind="stable")]) >= 0).all()
    back = ScoreMap.through(scores, labels)
    np.testing.assert_allclose(back.accuracies(scores), labels)
    accuracies = back.accuracies(np.linspace(-4, 4, 99))
    assert (np.diff(accuracies) > 0).all() and accuracies.min() >= 0 and accuracies.max() < 0.97
    np.testing.assert_allclose([back.score(accuracy) for accuracy in accuracies], np.linspace(-4, 4, 99), atol=1e-9)
    assert back.score(0.97) == np.inf


def test_expected_accuracies_are_means_over_the_normal_distribution():
    labels = np.random.default_rng(0).uniform(0.7, 0.95, 60)
    back = ScoreMap.through(target_values("log_gap", labels), labels)
    scores = np.linspace(-3, 3, 7)
    normal = np.random.default_rng(1).normal(size=400_000)
    drawn = [back.accuracies(score + 0.5 * normal).mean() for score in scores]
    np.testing.assert_allclose(back.expected(scores, 0.5), drawn, atol=1e-3)


def test_labels_below_the_floor_are_alike_and_none_is_infinite():
    labels = np.array([0.1, 0.5, 0.84, 0.9, 0.93, 1.0])
    scores = target_values("log_gap", labels)
    assert scores[0] == scores[1] == scores[2] < scores[3] and np.isfinite(scores).all()
    low = target_values("log_gap", labels[:3])
    assert (np.diff(low) > 0).all(), "where all are below the floor, they are told apart"


# Fits


def test_it_learns_and_ranks_as_its_score_does(cells, fitted):
    graphs, accuracies = cells
    predicted = fitted.predict(graphs)
    mean, _ = fitted.posterior(graphs)
    assert predicted.shape == (120,) and predicted.dtype == np.float64
    assert kendall_tau(accuracies[40:], predicted[40:]) > 0.7
    assert np.abs(predicted[40:] - accuracies[40:]).mean() < 0.006
    np.testing.assert_array_equal(np.argsort(predicted), np.argsort(mean))


def test_the_same_seed_gives_the_same_numbers_whoever_is_fitted_beside_it(cells, bag):
    graphs, accuracies = cells
    fit = fit_gps(graphs, accuracies, [0, 3], BAG, training_cells=np.arange(40))
    assert fit.seeds == (0, 3) and fit.first(1).seeds == (0,)
    predicted = fit.predict(graphs)
    np.testing.assert_array_equal(predicted[1], bag.predict(graphs))
    assert not np.array_equal(predicted[0], predicted[1]), "seeds must differ"
    np.testing.assert_allclose(bag.predict(graphs, batch_size=7), predicted[1], atol=1e-6)


def test_each_seed_can_have_its_own_cells_and_other_labels_need_not_be_known(cells):
    graphs, accuracies = cells
    sets = [np.arange(10, 60), np.arange(30)]
    unknown = np.where(np.arange(120) < 60, accuracies, np.nan)
    fit = fit_gps(graphs, unknown, [0, 0], training_cells=sets)
    for row, predicted in zip(sets, fit.predict(graphs), strict=True):
        alone = fit_gps(graphs, accuracies, [0], training_cells=row).predict(graphs)[0]
        np.testing.assert_array_equal(predicted, alone)


def test_members_of_a_pair_have_different_features(bag):
    first, second = bag.columns[:2]
    assert len(first) == len(second) == round(len(NAMES) / 2)
    assert len(np.union1d(first, second)) == 2 * len(first)


def test_the_order_of_labelled_cells_does_not_matter(cells, fitted):
    graphs, accuracies = cells
    shuffled = fit_gps(graphs, accuracies, [0], training_cells=np.random.default_rng(1).permutation(40))
    np.testing.assert_allclose(shuffled.predict(graphs)[0], fitted.predict(graphs), atol=1e-5)


def test_what_other_cells_are_at_hand_does_not_matter(cells, fitted):
    graphs, accuracies = cells
    fewer = fit_gps(graphs[:45], accuracies[:45], [0], training_cells=np.arange(40)).predictors[0]
    np.testing.assert_array_equal(fewer.predict(graphs), fitted.predict(graphs))


def test_a_cell_is_predicted_alike_alone_and_among_others(cells, fitted):
    graphs, _ = cells
    np.testing.assert_allclose(fitted.predict(graphs[50:53]), fitted.predict(graphs)[50:53], atol=1e-6)


def test_labels_beyond_those_of_the_hyper_parameters_are_learned_from(cells):
    graphs, accuracies = cells
    few = replace(GPConfig(), hyper_cells=30)
    errors = []
    for count in (30, 90):
        predicted = fit_gps(graphs, accuracies, [0], few, training_cells=np.arange(count)).predict(graphs)[0]
        errors.append(mse_percent2(accuracies[90:], predicted[90:]))
    assert errors[1] < errors[0]


def test_a_cell_measured_twice_is_taken_as_two_labels(cells):
    graphs, accuracies = cells
    twice = fit_gps(graphs, accuracies, [0], training_cells=np.r_[np.arange(40), np.arange(40)]).predictors[0]
    once = fit_gps(graphs, accuracies, [0], training_cells=np.arange(40)).predictors[0]
    assert np.isfinite(twice.predict(graphs)).all()
    assert twice.posterior(graphs[:40])[1].mean() < once.posterior(graphs[:40])[1].mean()


def test_members_take_sets_of_features_in_turn(cells):
    graphs, accuracies = cells
    sets = ("skips", "num_edges", "width"), ("width", "mean_conv3x3_uniform")
    config = GPConfig(members=2, feature_sets=sets)
    predictor = fit_gps(graphs, accuracies, [0], config, training_cells=np.arange(40)).predictors[0]
    named = [{config.features[column] for column in columns} for columns in predictor.columns]
    assert named == [set(names) for names in sets]
    alone = [
        fit_gps(graphs, accuracies, [0], GPConfig(feature_sets=(names,)), training_cells=np.arange(40)).predictors[0]
        for names in sets
    ]
    mean = np.mean([each.posterior(graphs)[0] for each in alone], axis=0)
    np.testing.assert_allclose(predictor.posterior(graphs)[0], mean, atol=1e-5)


# Uncertainty


@pytest.mark.parametrize("name", ["fitted", "bag"])
def test_quantiles_intervals_and_chances_agree(cells, request, name):
    graphs, accuracies = cells
    predictor = request.getfixturevalue(name)
    low, high = predictor.accuracy_interval(graphs, 0.8)
    middle = predictor.map.accuracies(predictor.posterior(graphs)[0])
    assert (low < middle).all() and (middle < high).all() and (low >= 0).all() and (high <= 1).all()
    for index in (41, 77):
        one = graphs[index : index + 1]
        np.testing.assert_allclose(predictor.chance_above(one, high[index]), 0.1, atol=1e-3)
    inside = (low <= accuracies) & (accuracies <= high)
    assert 0.65 < inside[40:].mean() < 0.95


def test_it_is_surer_of_cells_that_it_has_seen(cells, fitted):
    _, sd = fitted.posterior(cells[0])
    assert sd[:40].mean() < sd[40:].mean()


@pytest.mark.parametrize("name", ["fitted", "bag"])
def test_joint_draws_have_the_moments_of_the_posterior(cells, request, name):
    graphs = cells[0][35:60]
    predictor = request.getfixturevalue(name)
    draws = predictor.sample(graphs, 20_000, np.random.default_rng(0))
    mean, sd = predictor.posterior(graphs)
    assert draws.shape == (20_000, 25)
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * sd / np.sqrt(20_000) + 1e-3).all()
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.05)
    X = columns_of(graphs, predictor.config.features).astype(np.float64)
    joint = [member.joint(X[:, chosen]) for member, chosen in zip(predictor.members, predictor.columns, strict=True)]
    means, covariances = (np.stack([np.asarray(part) for part in parts]) for parts in zip(*joint, strict=True))
    expected = covariances.mean(axis=0) + np.cov(means.T, bias=True)
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.05 * expected.max())


def test_equal_cells_can_be_drawn_together(cells, fitted):
    graphs = cells[0][[70, 70, 71]]
    draws = fitted.sample(graphs, 100, np.random.default_rng(0))
    assert np.abs(draws[:, 0] - draws[:, 1]).max() < 0.05 < np.abs(draws[:, 0] - draws[:, 2]).max()


def test_the_feature_that_labels_depend_on_is_relevant(cells):
    graphs, accuracies = cells
    names = ("num_edges", "mean_conv3x3_uniform", "width", "num_maxpool", "log_parameters")
    predictor = fit_gps(graphs, accuracies, [0], GPConfig(feature_sets=(names,))).predictors[0]
    relevance = dict(zip(predictor.config.features, predictor.relevance(), strict=True))
    assert max(relevance, key=relevance.get) == "mean_conv3x3_uniform"


# What cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training_cells": np.arange(2)}, "2 cells to learn from; a Gaussian process needs at least 3"),
        ({"training_cells": np.arange(1)}, "1 cells to learn from"),
        ({"accuracies": np.full(120, 0.9)}, "all 120 cells to learn from have the accuracy 0.9"),
        ({"accuracies": np.r_[np.full(119, 0.9), np.nan]}, "accuracy of cell 119 is nan"),
        ({"accuracies": np.linspace(80, 95, 120)}, "as a fraction between 0 and 1"),
        ({"training_cells": np.zeros(10_001, dtype=int)}, "give 10,000 at most"),
        ({"training_cells": np.arange(100, 130)}, "there are 120 cells"),
        ({"seeds": []}, "no seeds"),
        ({"seeds": [-1]}, "seeds are"),
        ({"accuracies": np.zeros(3)}, "give one for each"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
    ids=["two", "one", "constant", "nan", "percent", "many", "range", "no seed", "seed", "accuracies", "device"],
)
def test_bad_arguments_are_refused(cells, options, message):
    graphs, accuracies = cells
    with pytest.raises(UserError, match=message):
        fit_gps(graphs, **({"accuracies": accuracies, "seeds": [0]} | options))


def test_labels_that_nothing_can_be_learned_from_have_an_error_of_their_own(cells):
    with pytest.raises(GPFailed):
        fit_gps(cells[0], np.full(120, 0.9), [0])


def test_three_labels_are_enough(cells):
    graphs, accuracies = cells
    predicted = fit_gps(graphs, accuracies, [0], training_cells=[4, 50, 90]).predict(graphs)
    assert np.isfinite(predicted).all() and 0.8 < predicted.min() < predicted.max() < 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": 0}, "members is 0"),
        ({"column_share": 0.0}, "column_share is 0"),
        ({"feature_sets": (("num_edges", "beauty"),)}, "feature_sets names 'beauty'.*feature_table"),
        ({"feature_sets": ()}, "feature_sets is"),
        ({"feature_sets": ((),)}, "feature_sets has"),
        ({"feature_sets": ("width", "skips")}, "feature_sets has 'width'"),
        ({"feature_sets": (("width", "width"),)}, "twice in one set"),
        ({"members": 1, "feature_sets": (("width",), ("skips",))}, "members is 1 for 2 feature_sets"),
        ({"targets": ("log",)}, "targets names 'log'.*log_gap"),
        ({"iterations": 0}, "iterations is 0"),
        ({"hyper_cells": 2}, "hyper_cells is 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(GPConfig(), **change)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90])
def test_impossible_coverage_is_refused(cells, fitted, coverage):
    with pytest.raises(UserError, match="between 0 and 1"):
        fitted.accuracy_interval(cells[0], coverage)


# Files


def test_saved_predictors_come_back(cells, bag, tmp_path):
    path = tmp_path / "gp.safetensors"
    save_gp(path, bag)
    loaded = load_gp(path)
    assert (loaded.config, loaded.seed) == (bag.config, 3)
    np.testing.assert_array_equal(loaded.predict(cells[0]), bag.predict(cells[0]))
    with pytest.raises(TargetExists):
        save_gp(path, bag)
    save_gp(path, bag, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["gp.safetensors"]


def test_files_that_are_no_predictor_are_refused(bag, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "gp.safetensors"
    with pytest.raises(BadWeights, match="cannot be read"):
        load_gp(path)
    save_gp(path, bag)
    with safe_open(path, "pt") as file:
        state, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    del about["digest"]
    save_file(state, path, {})
    with pytest.raises(BadWeights, match="holds no configuration"):
        load_gp(path)
    for change in ({"members": 3}, {"beauty": 1}, {"feature_sets": [["beauty"]]}):
        save_file(state, path, about | {"gp": json.dumps(json.loads(about["gp"]) | change)})
        with pytest.raises(BadWeights, match="configuration"):
            load_gp(path)
    save_file({name: tensor for name, tensor in state.items() if name != "labels"}, path, about)
    with pytest.raises(BadWeights, match="do not fit"):
        load_gp(path)


# Real cells


def test_172_real_labels_rank_all_others(sample_path):
    benchmark = sources.load(str(sample_path))
    graphs, labels = benchmark.cells, benchmark.accuracy_labels()
    orders = [np.random.RandomState(seed).permutation(len(labels)) for seed in (500, 501, 502)]
    fit = fit_gps(graphs, labels, [0, 1, 2], training_cells=[order[:172] for order in orders])
    taus, errors, covered = [], [], []
    for order, predictor in zip(orders, fit.predictors, strict=True):
        others = torch.as_tensor(order[172:])
        predicted = predictor.predict(graphs[others])
        taus.append(kendall_tau(labels[others], predicted))
        errors.append(mse_percent2(labels[others], predicted))
        low, high = predictor.accuracy_interval(graphs[others], 0.9)
        covered.append(np.mean((low <= labels[others]) & (labels[others] <= high)))
    assert np.mean(taus) > 0.8, "the graph network reaches .65"
    assert np.mean(errors) < 2, "the graph network's is 2.2 to 2.5 points²"
    assert 0.85 < np.mean(covered) < 0.95


# Nothing chosen by any other label


def test_a_plain_predictor_depends_on_no_constant_about_accuracy(cells):
    """Accuracies shifted and squeezed alike give the same ranking: the scale is taken from the labels alone."""
    graphs, accuracies = cells
    plain = replace(GPConfig.plain(), members=4)
    drawn = np.arange(40)
    (here,) = fit_gps(graphs, accuracies, [0], plain, training_cells=drawn).predict(graphs)
    (there,) = fit_gps(graphs, 0.5 * accuracies - 0.2, [0], plain, training_cells=drawn).predict(graphs)
    assert kendall_tau(here, there) > 0.999


def test_members_of_a_plain_predictor_have_a_random_part_of_all_columns(cells):
    graphs, accuracies = cells
    (model,) = fit_gps(graphs, accuracies, [0], GPConfig.plain(), training_cells=np.arange(30)).predictors
    assert len(model.members) == 16
    assert {len(chosen) for chosen in model.columns} == {round(0.3 * 2 * len(NAMES))}
    assert len({tuple(chosen) for chosen in model.columns}) == 16


def test_whole_numbers_are_priors_too():
    _, sd = Priors(amplitude_sd=1, length=1, length_sd=1, weight_sd=1).of(5)
    assert sd[0] == 0.7 and (sd > 0).all()


def test_labels_with_failed_trainings_are_no_obstacle(cells):
    graphs, accuracies = cells
    failed = accuracies.copy()
    failed[:4] = 0.1
    for config in (GPConfig(), replace(GPConfig.plain(), members=4)):
        (said,) = fit_gps(graphs, failed, [0], config, training_cells=np.arange(60)).predict(graphs)
        assert np.isfinite(said).all() and kendall_tau(accuracies[60:], said[60:]) > 0.3
