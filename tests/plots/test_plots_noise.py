"""Pictures of noise show what they are given, and say when that is no measurement."""

import numpy as np
import pytest
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
    real_data_and_no_window,  # noqa: F401 - a fixture for all tests here
)

from nplib.plots import noise as plots_noise

SHARES = np.array([0.7, 0.3])
LINES = {"run": SHARES, "perfect": SHARES + 0.1}
DRAWN = {
    "error_by_group": lambda: plots_noise.error_by_group(
        ["good", "poor"], SHARES, {"rule": SHARES[::-1]}, {"noise": SHARES, "the rest": 2 * SHARES}
    ),
    "rank_ceilings": lambda: plots_noise.rank_ceilings(
        [("epochs", [4, 108], LINES), ("split", ["all", "denoise-91"], LINES)], {"172 cells": (SHARES - 0.1, SHARES)}
    ),
    "rule_matrix": lambda: plots_noise.rule_matrix(
        np.array([[[30.0, 50.0], [2.0, 2.0]], [[3.0, 5.0], [1.0, 1.0]]]),
        ["no rule", "next run"],
        ["no rule", "next run, 20 %"],
        logarithmic=True,
    ),
    "what_sets_apart": lambda: plots_noise.what_sets_apart(
        ["energy", "gradient"], np.array([3.0, -2.0]), 0.5, (np.arange(2), SHARES, np.array([4, 0])), 0.01
    ),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(plots_noise, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_parts_of_an_error_stand_side_by_side_and_add_up():
    shares, parts = DRAWN["error_by_group"]().axes
    assert [bar.get_width() for bar in shares.patches] == pytest.approx([70, 30, 30, 70])
    noise, rest = parts.containers
    np.testing.assert_allclose([bar.get_x() for bar in rest], [bar.get_width() for bar in noise])
    assert len(plots_noise.error_by_group(["good", "poor"], SHARES, {}).axes) == 1


def test_every_figure_of_a_matrix_is_written_with_its_spread():
    texts = [text.get_text() for text in DRAWN["rule_matrix"]().axes[0].texts]
    assert texts == ["40.00\n± 14.14", "2.00\n± 0.00", "4.00\n± 1.41", "1.00\n± 0.00"]
    (alone,) = plots_noise.rule_matrix(np.ones((1, 1, 1)), ["a"], ["b"]).axes[0].texts
    assert alone.get_text() == "1.00\n± n/a"


def test_predictors_stand_in_the_last_panel():
    first, last = DRAWN["rank_ceilings"]().axes
    assert len(first.containers) == 0 and len(last.containers) == 1
