"""Pictures of estimates show what they are given, and say when that is no measurement."""

import numpy as np
import pytest
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
    real_data_and_no_window,  # noqa: F401 - a fixture for all tests here
)

from nplib.plots import validation as plots_validation

TRUTH, ESTIMATES, ERRORS = np.array([1.0, 2.0, 3.0]), np.array([1.1, 2.5, 2.0]), np.array([0.1, 0.2, 0.6])
BAND = (0.84, 0.86)
DRAWN = {
    "estimates_against_truth": lambda: plots_validation.estimates_against_truth(
        [(TRUTH, ESTIMATES, ERRORS, "one"), (TRUTH, ESTIMATES, ERRORS, "two")], logarithmic=[1]
    ),
    "concentration": lambda: plots_validation.concentration({"a": np.array([1.0, 3.0, 0.0, 0.0])}),
    "strategies": lambda: plots_validation.strategies({"first": TRUTH, "second": ESTIMATES}, "tau", BAND),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(plots_validation, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_estimates_whose_interval_misses_the_truth_stand_out():
    figure = DRAWN["estimates_against_truth"]()
    held, missed = figure.axes[0].containers
    np.testing.assert_array_equal(held.lines[0].get_xdata(), [1.0, 3.0])
    np.testing.assert_array_equal(missed.lines[0].get_ydata(), [2.5])
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]


def test_the_worst_cells_come_first():
    (line,) = DRAWN["concentration"]().axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [25, 50, 75, 100])
    np.testing.assert_allclose(line.get_ydata(), [75, 100, 100, 100])


def test_a_ceiling_stands_across_the_strategies():
    (band,) = DRAWN["strategies"]().axes[0].patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(BAND)
