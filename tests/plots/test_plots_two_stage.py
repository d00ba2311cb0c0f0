"""Pictures of decisions show what they are given, and say when that is no measurement."""

import numpy as np
import pytest
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
    real_data_and_no_window,  # noqa: F401 - a fixture for all tests here
)

from nplib.plots import two_stage as plots_two_stage
from nplib.two_stage.classification import precision_recall_curve

TRUE = np.array([0.85, 0.90, 0.92, 0.93, 0.94, 0.10])
ACCEPTED = np.array([False, True, False, True, True, False])
CURVE = precision_recall_curve(TRUE > 0.91, np.array([0.2, 0.6, 0.4, 0.9, 0.8, 0.1]))[:2]
BAND = (0.84, 0.86)
DRAWN = {
    "accepted_and_rejected": lambda: plots_two_stage.accepted_and_rejected(TRUE, ACCEPTED, above=0.91),
    "confusion": lambda: plots_two_stage.confusion(np.array([[200, 100], [50, 650]]), np.array([[9, 9], [np.nan, 1]])),
    "precision_and_recall": lambda: plots_two_stage.precision_and_recall({"a": [CURVE, CURVE]}, [(0.9, 0.7)], 0.5),
    "calibration": lambda: plots_two_stage.calibration([([0.1, 0.9], [0.2, 0.8])], np.array([[0.1, 0.9, 0.95]])),
    "wanted_and_kept": lambda: plots_two_stage.wanted_and_kept([0.9, 0.95], [[0.88, 0.94], [0.96, 0.97]]),
    "by_training_cells": lambda: plots_two_stage.by_training_cells(
        [43, 172],
        {"tau": {"one": [[0.4, 0.6], [0.7]], "two": [[0.3, 0.5], [0.6]]}, "MSE": {"one": [[4.0], [3.0]]}},
        {"tau": BAND},
    ),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(plots_two_stage, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_every_cell_is_in_one_of_the_histograms():
    full, _ = DRAWN["accepted_and_rejected"]().axes
    accepted, rejected = full.containers
    assert sum(bar.get_height() for bar in accepted) == ACCEPTED.sum()
    assert sum(bar.get_height() for bar in rejected) == (~ACCEPTED).sum()


def test_a_confusion_matrix_has_counts_spread_and_shares():
    texts = [text.get_text() for text in DRAWN["confusion"]().axes[0].texts]
    assert texts == ["200\n± 9\n20.0 %", "100\n± 9\n10.0 %", "50\n5.0 %", "650\n± 1\n65.0 %"]


def test_a_curve_ends_where_all_are_accepted():
    line = DRAWN["precision_and_recall"]().axes[0].lines[0]
    assert line.get_xdata()[-1] == 1
    assert set(zip(line.get_ydata(), line.get_xdata(), strict=True)) <= set(zip(*CURVE, strict=True))


def test_lines_join_the_means():
    means = [line.get_ydata() for line in DRAWN["by_training_cells"]().axes[0].lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(means, [[0.5, 0.7], [0.4, 0.6]])


def test_a_ceiling_is_drawn_where_one_is_given():
    with_band, without = DRAWN["by_training_cells"]().axes
    (band,) = with_band.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(BAND) and not without.patches
