"""Figures of a classifier are what their names say, and refuse what they cannot tell."""

import numpy as np
import pytest

from nplib.errors import UserError
from nplib.two_stage.classification import (
    NothingToJudge,
    average_precision,
    calibration_curve,
    choose_decision,
    classification_figures,
    passing,
    precision_recall_curve,
)


@pytest.fixture(params=[0, 1, 2])
def judged(request):
    """What is true of 300 cells, and probabilities that know something of it; many are equal."""
    random = np.random.default_rng(request.param)
    passes = random.uniform(size=300) < 0.6
    return passes, np.round(np.clip(0.3 * passes + random.uniform(0, 0.7, 300), 0, 1), 2)


def test_passing_is_what_the_split_calls_so(small_surrogate):
    accuracy = small_surrogate.values("validation_accuracy")
    stored = accuracy.astype(np.float32)
    edge = stored[17]  # a value that a label has
    assert np.array_equal(passing(accuracy, float(edge)), stored > edge)
    assert not passing(accuracy, float(edge))[17]


def test_every_cell_is_counted_once(judged):
    passes, probabilities = judged
    figures = classification_figures(passes, probabilities >= 0.5)
    pairs = list(zip(passes.tolist(), (probabilities >= 0.5).tolist(), strict=True))
    right, wrong, missed = (pairs.count(pair) for pair in ((True, True), (False, True), (True, False)))
    assert (figures["true_positives"], figures["false_positives"], figures["false_negatives"]) == (right, wrong, missed)
    assert figures["true_negatives"] == 300 - right - wrong - missed
    assert figures["precision"] == pytest.approx(right / (right + wrong))
    assert figures["recall"] == pytest.approx(right / (right + missed))
    assert figures["accuracy"] == pytest.approx(1 - (wrong + missed) / 300)
    assert figures["base_rate"] == pytest.approx(passes.mean())


def test_the_curve_has_the_figures_of_each_of_its_thresholds(judged):
    passes, probabilities = judged
    precision, recall, thresholds = precision_recall_curve(passes, probabilities)
    assert np.array_equal(thresholds, np.unique(probabilities)[::-1])
    for p, r, threshold in zip(precision, recall, thresholds, strict=True):
        figures = classification_figures(passes, probabilities >= threshold)
        assert (p, r) == (pytest.approx(figures["precision"]), pytest.approx(figures["recall"]))
    assert (np.diff(recall) >= 0).all() and recall[-1] == 1


def test_average_precision_is_one_of_a_perfect_score_and_the_base_rate_of_a_constant_one(judged):
    passes, probabilities = judged
    assert average_precision(passes, passes + 0.0) == 1
    assert average_precision(passes, np.zeros(300)) == pytest.approx(passes.mean())
    assert passes.mean() < average_precision(passes, probabilities) < 1


def test_the_calibration_of_probabilities_that_are_true_is_a_diagonal():
    random = np.random.default_rng(0)
    probabilities = random.uniform(size=200_000)
    promised, seen, counts = calibration_curve(random.uniform(size=200_000) < probabilities, probabilities, bins=8)
    assert counts.sum() == 200_000 and len(counts) == 8
    np.testing.assert_allclose(promised, (np.arange(8) + 0.5) / 8, atol=0.002)
    assert (np.abs(seen - promised) < 5 * np.sqrt(0.25 / counts)).all()


def test_the_last_bin_holds_certainty():
    promised, seen, counts = calibration_curve([True, False], [1.0, 0.0])
    assert (promised.tolist(), seen.tolist(), counts.tolist()) == ([0, 1], [0, 1], [1, 1])


@pytest.mark.parametrize("recall", [0.3, 0.7, 0.9, 1.0])
def test_a_chosen_threshold_keeps_the_wanted_recall_and_no_larger_one_does(judged, recall):
    passes, probabilities = judged
    decision = choose_decision(probabilities, passes, recall)
    larger = np.unique(probabilities)[np.unique(probabilities) > decision]
    assert classification_figures(passes, probabilities >= decision)["recall"] >= recall
    assert all((probabilities[passes] >= threshold).mean() < recall for threshold in larger)


def test_rows_of_probabilities_count_together():
    rows = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.4]])
    assert choose_decision(rows, np.array([True, False, True]), 0.75) == 0.5
    assert choose_decision(rows, np.array([[True, False, False], [False, True, False]]), 1.0) == 0.2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: classification_figures([True, False], [False, False]), NothingToJudge, "none of 2 cells is accepted"),
        (lambda: classification_figures([False, False], [True, False]), NothingToJudge, "none of 2 cells passes"),
        (lambda: classification_figures([True], [True, False]), UserError, r"shapes \(1,\) and \(2,\)"),
        (lambda: classification_figures([True, False], [0.4, 0.6]), UserError, "decisions are of type float64"),
        (lambda: precision_recall_curve([False], [0.3]), NothingToJudge, "none of 1 cells passes"),
        (lambda: precision_recall_curve([True, True], [0.3, np.nan]), UserError, "1 of 2 values are no finite"),
        (lambda: calibration_curve([True], [1.2]), UserError, "run from 1.2 to 1.2"),
        (lambda: calibration_curve([True], [0.2], bins=0), UserError, "bins is 0"),
        (lambda: choose_decision([0.9], [True], 1.5), UserError, "recall is 1.5"),
        (lambda: choose_decision([0.9], [False], 0.5), NothingToJudge, "none of 1 cells passes"),
    ],
)
def test_what_cannot_be_told_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
