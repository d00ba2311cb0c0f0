"""Pictures of noise show what they are given, and say when that is no measurement."""

import numpy as np
import pandas as pd
import pytest
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
    real_data_and_no_window,  # noqa: F401 - a fixture for all tests here
)

from nplib.plots import noise as plots_noise

SHARES = np.array([0.7, 0.3])
GROUPS = pd.DataFrame(
    {"group": ["good", "poor"] * 2, "of": ["cells"] * 2 + ["error"] * 2, "share": [0.7, 0.3, 0.3, 0.7]}
)
TAUS = pd.DataFrame({"cells": ["all", "all"], "predictor": ["172 cells"] * 2, "kendall_tau": [0.5, 0.6]})
RULES = pd.DataFrame(
    [("bare", "bare", 30.0), ("bare", "bare", 50.0), ("rule", "bare", 3.0), ("rule", "bare", 5.0)],
    columns=["learned from", "held against", "mse"],
)
LABELS = np.linspace(0.8, 0.95, 200)
DRAWN = {
    "error_by_group": lambda: plots_noise.error_by_group(GROUPS),
    "rank_ceilings": lambda: plots_noise.rank_ceilings(TAUS, {"all": (0.8, 0.9), "above 91 %": (0.6, 0.7)}),
    "residuals": lambda: plots_noise.residuals(LABELS, LABELS[None] + 0.01, (0.8, 0.95), (0.004, 0.002)),
    "rule_matrix": lambda: plots_noise.rule_matrix(RULES, "mse"),
    "what_sets_apart": lambda: plots_noise.what_sets_apart(
        ["energy", "gradient"], np.array([3.0, -2.0]), 0.5, (np.arange(2), SHARES, np.array([4, 0])), 0.01
    ),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(plots_noise, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_shares_are_drawn_in_percent_by_group():
    (axes,) = DRAWN["error_by_group"]().axes
    assert [bar.get_width() for bar in axes.patches if bar.get_width()] == pytest.approx([70, 30, 30, 70])


def test_every_number_of_a_matrix_is_written_with_its_spread():
    texts = [text.get_text() for text in DRAWN["rule_matrix"]().axes[0].texts]
    assert texts == ["40.00\n± 14.14", "4.00\n± 1.41"]
    (alone,) = plots_noise.rule_matrix(RULES[:1], "mse").axes[0].texts
    assert alone.get_text() == "30.00"


def test_what_is_missed_stands_beside_the_noise_of_a_run():
    (axes,) = DRAWN["residuals"]().axes
    band, _ = axes.collections
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(0.4, abs=0.02)
    points, zero = axes.lines
    np.testing.assert_allclose(np.array(points.get_ydata(), dtype=float), 1.0)
    assert set(zero.get_ydata()) == {0}


def test_predictors_stand_below_the_ceiling_of_their_cells():
    (axes,) = DRAWN["rank_ceilings"]().axes
    bands = [collection.get_paths()[0].get_extents() for collection in axes.collections if collection.get_paths()]
    assert {(0.8, 0.9), (0.6, 0.7)} <= {(round(band.ymin, 6), round(band.ymax, 6)) for band in bands}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all", "above 91 %"]
