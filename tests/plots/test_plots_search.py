"""Pictures of searches show what was found, and say when that is no measurement."""

from dataclasses import replace

import numpy as np
import pytest
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
    real_data_and_no_window,  # noqa: F401 - a fixture for all tests here
)

from nplib.benchmark import Benchmark, empty_metrics
from nplib.cell import INTERIOR_OPERATIONS as OPERATIONS
from nplib.cell import Cell
from nplib.plots import search as plots_search
from nplib.search.histories import Factor, Histories
from nplib.search.trainings import Trainings

VALIDATION = np.array([[0.90, 0.92, 0.91, 0.94], [0.91, 0.90, 0.93, 0.92]])
TEST = VALIDATION - 0.01
SECONDS = np.full((2, 4), 3600.0)
HISTORY = Histories((0, 1), np.arange(8).reshape(2, 4), VALIDATION, TEST, SECONDS)
LATE = replace(HISTORY, first=3)
FACTORS = {"test": Factor(0.92, 4, 2, 1, 3, 4, by_rival=True), "seen": Factor(0.95, 2, np.inf, 4, np.inf, 4, False)}
UNTESTED = Histories((0, 1), np.arange(8).reshape(2, 4), VALIDATION, np.full((2, 4), np.nan), SECONDS)


CHAIN = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])


def made_up_trainings() -> Trainings:
    chains = [Cell(np.eye(4, k=1, dtype=int), ["input", a, b, "output"]) for a in OPERATIONS for b in OPERATIONS][:8]
    benchmark = Benchmark.from_cells(chains, empty_metrics(8))
    return Trainings(benchmark, VALIDATION.reshape(8, 1), TEST.reshape(8), SECONDS.reshape(8, 1))


DRAWN = {
    "accuracy_by_queries": lambda: plots_search.accuracy_by_queries({"a": HISTORY, "b": LATE}, 1, 4, FACTORS),
    "found": lambda: plots_search.found({"a": HISTORY, "b": LATE}, [CHAIN], ["kept: 94.00 %"], "validation accuracy"),
    "accuracy_by_time": lambda: plots_search.accuracy_by_time({"a": HISTORY}, 3600 * np.array([0.5, 1, 2.5, 4, 9])),
    "seen_against_test": lambda: plots_search.seen_against_test(
        made_up_trainings(), {"best": np.array([3])}, ((0.8, 1.0), (0.9, 0.95))
    ),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(plots_search, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_a_search_is_drawn_beside_others_and_above_its_cells():
    curve, *cells = DRAWN["found"]().axes
    assert [line.get_label() for line in curve.lines] == ["a (2)", "b (2)"]
    np.testing.assert_allclose(curve.lines[0].get_ydata(), 100 * HISTORY.best_seen.mean(axis=0))
    assert [axes.get_title() for axes in cells] == ["kept: 94.00 %", *[""] * 5]


def test_the_mean_of_the_best_so_far_is_drawn_from_the_last_random_cell_on():
    seen, test = DRAWN["accuracy_by_queries"]().axes
    whole, late = seen.lines
    np.testing.assert_allclose(whole.get_ydata(), 100 * HISTORY.best_seen.mean(axis=0))
    np.testing.assert_array_equal(late.get_xdata(), [3, 4])
    np.testing.assert_allclose(test.lines[0].get_ydata(), 100 * HISTORY.best_test.mean(axis=0))
    assert whole.get_label() == "a (2)"


def test_a_factor_is_an_arrow_between_trainings_at_its_level():
    for panel, ends, text in zip(
        DRAWN["accuracy_by_queries"]().axes, ((2, 4), (2, 4)), ("limit 2 times", "2 times"), strict=True
    ):
        arrow, words = panel.texts
        assert sorted((arrow.xy[0], arrow.xyann[0])) == list(ends) and arrow.xy[1] == arrow.xyann[1]
        assert words.get_text() == text


def test_without_test_accuracies_there_is_one_panel():
    assert len(plots_search.accuracy_by_queries({"a": UNTESTED}, 1, 4).axes) == 1


def test_time_is_in_hours_and_no_further_than_all_searches_go():
    (line,) = DRAWN["accuracy_by_time"]().axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [1, 2.5, 4])
    np.testing.assert_allclose(line.get_ydata(), 100 * HISTORY.best_test.mean(axis=0)[[0, 1, 3]])


def test_chosen_cells_are_marked():
    for panel in DRAWN["seen_against_test"]().axes:
        marked = panel.lines[-1]
        np.testing.assert_allclose([marked.get_xdata()[0], marked.get_ydata()[0]], [94, 93])
