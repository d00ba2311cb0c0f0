"""Both stages learn from the training cells alone, and a rejected cell never comes before an accepted one."""

from dataclasses import replace

import numpy as np
import pytest

from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2
from nplib.predictor import PredictorConfig
from nplib.studies.cross_validation import k_folds
from nplib.training import TrainingConfig, TrainingFailed, fit_predictors
from nplib.two_stage import TwoStageConfig, TwoStageFailed, fit_two_stage, held_out_probabilities
from nplib.two_stage.classification import NothingToJudge, classification_figures, passing
from nplib.two_stage.prediction import TwoStagePrediction

REGRESSOR = TrainingConfig(epochs=12, learning_rate=1e-3, batch_size=5, predictor=PredictorConfig(hidden=16, head=8))
CONFIG = TwoStageConfig(classifier=REGRESSOR.as_classifier(1e-2), regressor=REGRESSOR)
SEEDS = [3, 1]


@pytest.fixture(scope="module")
def cells(space):
    """120 cells, made-up accuracies that depend on them, and two rows of training cells."""
    rows = np.arange(5_000, 420_000, 3_400)[:120]
    graphs = space.cells[rows]
    convolutions = (space.operations[rows] == 0).sum(axis=1)
    accuracies = 0.88 + 0.018 * convolutions + np.random.default_rng(0).normal(0, 0.001, 120)
    return graphs, accuracies, np.stack([np.arange(60), np.arange(40, 100)])


@pytest.fixture(scope="module")
def fit(cells):
    graphs, accuracies, rows = cells
    return fit_two_stage(graphs, accuracies, SEEDS, CONFIG, training_cells=rows)


def test_the_classifier_knows_more_than_the_base_rate(cells, fit):
    graphs, accuracies, _ = cells
    passes = passing(accuracies)
    for accepted in fit.apply(graphs).accepted:
        figures = classification_figures(passes, accepted)
        assert figures["accuracy"] > max(passes.mean(), 1 - passes.mean()) + 0.1


def test_the_first_stage_is_the_network_trained_on_classes(cells, fit):
    graphs, accuracies, rows = cells
    classes = passing(accuracies).astype(float)
    alone = fit_predictors(graphs, classes, SEEDS, CONFIG.classifier, training_cells=rows)
    np.testing.assert_allclose(fit.apply(graphs).probabilities, 1 / (1 + np.exp(-alone.predict(graphs))), rtol=1e-12)


@pytest.mark.parametrize("second_stage", ["passing", "accepted"])
def test_the_second_stage_learns_from_the_training_cells_that_it_should(cells, fit, second_stage):
    graphs, accuracies, rows = cells
    other = fit_two_stage(
        graphs,
        accuracies,
        SEEDS,
        CONFIG,
        training_cells=rows,
        second_stage=second_stage,
        decision=0.4,
        classifier=fit.classifier,
    )
    accepted = other.apply(graphs).accepted
    expected = [
        row[passing(accuracies[row]) if second_stage == "passing" else accepted[m][row]] for m, row in enumerate(rows)
    ]
    assert all(np.array_equal(*pair) for pair in zip(other.second_stage_cells, expected, strict=True))
    alone = fit_predictors(graphs, accuracies, SEEDS, CONFIG.regressor, training_cells=expected)
    assert np.array_equal(other.apply(graphs).regressed, alone.predict(graphs))
    assert other.classifier is fit.classifier


def test_no_label_but_those_of_the_training_cells_is_looked_at(cells, fit):
    graphs, accuracies, rows = cells
    unknown = np.where(np.isin(np.arange(120), rows), accuracies, np.nan)
    again = fit_two_stage(graphs, unknown, SEEDS, CONFIG, training_cells=rows)
    assert np.array_equal(again.predict(graphs), fit.predict(graphs))
    with pytest.raises(TrainingFailed, match="accuracy of cell 100 is nan"):
        fit_two_stage(graphs, unknown, [0], CONFIG, training_cells=np.arange(120)[::10])


def test_accepted_cells_have_the_regressors_word_and_the_rejected_one_value(cells, fit):
    graphs, accuracies, rows = cells
    said = fit.apply(graphs)
    assert np.array_equal(fit.predict(graphs), said.accuracies)
    for m, row in enumerate(rows):
        accepted = said.probabilities[m] >= 0.5
        assert 0 < accepted.sum() < 120
        assert np.array_equal(said.accuracies[m, accepted], said.regressed[m, accepted])
        rejected_mean = accuracies[row][~passing(accuracies[row])].mean()
        assert np.unique(said.accuracies[m, ~accepted]).tolist() == [pytest.approx(rejected_mean)]


def test_the_rejected_are_ranked_below_the_accepted_by_probability(cells, fit):
    graphs, _, _ = cells
    said = fit.apply(graphs)
    for m, accepted in enumerate(said.accepted):
        assert said.scores[m, ~accepted].max() < said.scores[m, accepted].min()
        assert np.array_equal(np.argsort(said.scores[m, ~accepted]), np.argsort(said.logits[m, ~accepted]))
        assert np.array_equal(said.scores[m, accepted], said.regressed[m, accepted])


def test_ranks_hold_where_probabilities_are_all_alike_or_nothing_is_rejected():
    logits = np.array([[-800.0, 3.0, -900.0, -850.0], [9.0, 3.0, 5.0, 4.0], [-9.0, -3.0, -5.0, -4.0]])
    regressed = np.tile([0.9, 0.95, 1.7, 0.8], (3, 1))
    said = TwoStagePrediction(logits, regressed, 0.5, np.full(3, 0.85))
    orders = np.argsort(-said.scores, axis=1).tolist()
    assert orders == [[1, 0, 3, 2], [2, 1, 0, 3], [1, 3, 2, 0]]


def test_another_threshold_and_fewer_cells_change_nothing_else(cells, fit):
    graphs, _, _ = cells
    said = fit.apply(graphs)
    assert np.array_equal(said.at(0.9).accepted, said.probabilities >= 0.9)
    some = np.array([5, 90, 17])
    assert np.array_equal(said.on(some).accuracies, said.accuracies[:, some])
    assert np.array_equal(said.first(1).scores, said.scores[:1])
    assert np.array_equal(fit.classifier.first(1).predict(graphs), fit.classifier.predict(graphs)[:1])


def test_figures_are_those_of_each_seed(cells, fit):
    graphs, accuracies, _ = cells
    said = fit.apply(graphs)
    figures, passes = said.figures(accuracies), passing(accuracies)
    for m, accepted in enumerate(said.accepted):
        for name, value in classification_figures(passes, accepted).items():
            assert figures[name][m] == value
        assert figures["accepted"][m] == accepted.sum()
        assert figures["mse_percent2"][m] == mse_percent2(accuracies, said.accuracies[m])
        assert figures["kendall_tau"][m] == kendall_tau(accuracies, said.scores[m])
        for name, part in (("passing", passes), ("accepted", accepted)):
            assert figures[f"mse_percent2_{name}"][m] == mse_percent2(accuracies[part], said.regressed[m, part])
    with pytest.raises(NothingToJudge, match="lower the decision threshold"):
        said.at(1 - 1e-12).figures(accuracies)


def test_held_out_cells_are_judged_by_classifiers_that_have_not_seen_them(cells):
    graphs, accuracies, rows = cells
    row = rows[1][::-1]
    unknown = np.where(np.isin(np.arange(120), row), accuracies, np.nan)
    held_out = held_out_probabilities(graphs, unknown, SEEDS, CONFIG, training_cells=row, folds=3)
    assert held_out.shape == (2, 60)
    classes = passing(accuracies).astype(float)
    for training, fold in k_folds(60, 3, seed=SEEDS[1]):
        alone = fit_predictors(graphs, classes, [SEEDS[1]], CONFIG.classifier, training_cells=row[training])
        expected = 1 / (1 + np.exp(-alone.predict(graphs)[0, row[fold]]))
        np.testing.assert_allclose(held_out[1, fold], expected, atol=1e-4)


def test_each_seed_can_have_held_out_cells_of_its_own(cells):
    graphs, accuracies, rows = cells
    fast = replace(CONFIG, classifier=replace(CONFIG.classifier, epochs=2))
    both = held_out_probabilities(graphs, accuracies, SEEDS, fast, training_cells=rows, folds=3)
    for m, seed in enumerate(SEEDS):
        alone = held_out_probabilities(graphs, accuracies, [seed], fast, training_cells=rows[m], folds=3)
        np.testing.assert_allclose(both[m], alone[0], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"config": replace(CONFIG, above=0.5)},
            TwoStageFailed,
            "all of the 60 training cells of seed 3 are above 50 %",
        ),
        (
            {"config": replace(CONFIG, above=0.99)},
            TwoStageFailed,
            r"none of the 60 .* above 99 %.*8\d\.\d+ to 9\d\.\d+ %",
        ),
        (
            {"config": replace(CONFIG, above=0.95)},
            TwoStageFailed,
            r"\d of the 60 training cells of seed . pass .*holds 5",
        ),
        (
            {"second_stage": "accepted", "decision": 1 - 1e-9},
            TwoStageFailed,
            "0 of the 60 .* lower the decision thresh",
        ),
        ({"second_stage": "best"}, UserError, "second_stage is 'best'; there are passing, accepted"),
        ({"decision": 1.0}, UserError, "decision threshold is 1.0"),
        ({"training_cells": np.arange(121)}, UserError, "there are 120 cells"),
        ({"training_cells": np.array([0, 1, 5, 6])}, TrainingFailed, "4 cells to train on"),
    ],
    ids=["all pass", "none passes", "few pass", "few accepted", "stage", "decision", "out of range", "no batch"],
)
def test_what_cannot_be_trained_is_refused(cells, options, error, message):
    graphs, accuracies, rows = cells
    with pytest.raises(error, match=message):
        fit_two_stage(graphs, accuracies, SEEDS, **{"config": CONFIG, "training_cells": rows} | options)


def test_classifiers_of_other_seeds_are_refused(cells, fit):
    graphs, accuracies, rows = cells
    with pytest.raises(UserError, match=r"of seeds \(3, 1\), and \(1, 3\) are asked for"):
        fit_two_stage(graphs, accuracies, [1, 3], CONFIG, training_cells=rows, classifier=fit.classifier)


def test_folds_that_cannot_be_are_refused(cells):
    graphs, accuracies, _ = cells
    with pytest.raises(UserError, match="8 cells cannot be dealt into 9 folds"):
        held_out_probabilities(graphs, accuracies, [0], CONFIG, training_cells=np.arange(8), folds=9)
    one_passes = np.where(np.arange(120) == 7, 0.93, 0.9)
    with pytest.raises(TwoStageFailed, match="none of the 40 training cells of seed 0 are above 91 %"):
        held_out_probabilities(graphs, one_passes, [0], CONFIG, training_cells=np.arange(60), folds=3)


@pytest.mark.parametrize(
    "change", [{"above": 91}, {"classifier": REGRESSOR}, {"regressor": CONFIG.classifier}], ids=lambda c: next(iter(c))
)
def test_impossible_configurations_are_refused(change):
    with pytest.raises(UserError, match=next(iter(change))):
        TwoStageConfig(**change)


def test_the_classifier_is_the_regressor_but_for_loss_scale_and_rate():
    classifier = TwoStageConfig().classifier
    assert (classifier.loss, classifier.learning_rate) == ("cross_entropy", 2e-4)
    back = replace(classifier, loss="mse", learning_rate=1e-4, predictor=PredictorConfig())
    assert back == TrainingConfig()
