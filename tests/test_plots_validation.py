"""Pictures of estimates show what they are given, and say when that is no measurement."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from nplib import plots, plots_validation

TRUTH, ESTIMATES, ERRORS = np.array([1.0, 2.0, 3.0]), np.array([1.1, 2.5, 2.0]), np.array([0.1, 0.2, 0.6])
DRAWN = {
    "estimates_against_truth": lambda: plots_validation.estimates_against_truth(
        [(TRUTH, ESTIMATES, ERRORS, "one"), (TRUTH, ESTIMATES, ERRORS, "two")], logarithmic=[1]
    ),
    "concentration": lambda: plots_validation.concentration({"a": np.array([1.0, 3.0, 0.0, 0.0])}),
    "strategies": lambda: plots_validation.strategies({"first": TRUTH, "second": ESTIMATES}, "error"),
}


@pytest.fixture(autouse=True)
def real_data_and_no_window():
    plt.switch_backend("agg")
    with plots.showing("sample"):
        yield


def test_every_function_is_tried_here():
    functions = inspect.getmembers(plots_validation, inspect.isfunction)
    assert {name for name, function in functions if function.__module__ == plots_validation.__name__} == set(DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    before = plt.get_fignums()
    for source, marked in (("surrogate", True), ("full", False)):
        with plots.showing(source):
            texts = [text.get_text() for text in draw().findobj(Text)]
        assert (plots.SURROGATE_MARK in texts) == marked
    assert plt.get_fignums() == before


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
