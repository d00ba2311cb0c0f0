"""Figures of the front page show the numbers that they are given."""

import numpy as np
import plot_promises
import pytest
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
)

from nplib.plots import front

real_data_and_no_window = plot_promises.real_data_and_no_window
BY_LABELS = {
    "43": {"one stage": {"kendall_tau": [0.4, 0.5]}, "two stages": {"kendall_tau": [0.3, 0.4]}},
    "172": {"one stage": {"kendall_tau": [0.6, 0.7]}, "two stages": {"kendall_tau": [0.5, 0.6]}},
}
DRAWN = {
    "error_of_groups": lambda: front.error_of_groups({"failed": [0.2, 0.3], "good": [0.1, 0.1]}),
    "stages": lambda: front.stages(BY_LABELS, (0.84, 0.86)),
    "searches": lambda: front.searches({"evolution": {"43": [0.93, 0.94], "192": [0.94, 0.94]}}, "mean of runs"),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(front, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_bars_and_lines_are_means():
    (axes,) = DRAWN["error_of_groups"]().axes
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [25, 10])
    (axes,) = DRAWN["searches"]().axes
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [93.5, 94])
