"""Pictures of what few labels teach show what they are given, and say when that is no measurement."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Annotation
from plot_promises import (
    every_function_is_tried,
    is_closed_and_marked_on_the_surrogate_alone,
    real_data_and_no_window,  # noqa: F401 - a fixture for all tests here
)

from nplib.cell import CONV3X3, Cell
from nplib.features.signal import signal_of
from nplib.plots import few_labels as plots_few_labels

SIGNAL = signal_of(Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", CONV3X3, "output"]))
VALUES = np.array([[0.5, 0.1], [0.7, 0.3]])
FRAME = pd.DataFrame(
    [("one", 10, value) for value in VALUES[:, 0]] + [("one", 20, VALUES[0, 1])], columns=["predictor", "labels", "tau"]
)

DRAWN = {
    "signals": lambda: plots_few_labels.signals({"94.00 %": SIGNAL, "80.00 %": SIGNAL}),
    "by_labels": lambda: plots_few_labels.by_labels(FRAME, "tau", band=(0.8, 0.9)),
    "calibration": lambda: plots_few_labels.calibration([0.5, 0.9], {"10 labels": VALUES}),
    "bars": lambda: plots_few_labels.bars(["first", "second"], VALUES, "slope"),
}


def test_every_function_is_tried_here():
    assert every_function_is_tried(plots_few_labels, DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_are_closed_and_say_when_they_are_of_the_surrogate(draw):
    assert is_closed_and_marked_on_the_surrogate_alone(draw)


def test_signals_are_written_below_vertices_and_edges_are_as_thick_as_what_they_bring():
    forward, backward, *_ = DRAWN["signals"]().axes
    for panel, values in ((forward, SIGNAL.energy), (backward, SIGNAL.gradient)):
        notes = [note.get_text() for note in panel.findobj(Annotation)]
        assert notes == [f"{value:.2g}" for value in values]
    widths = [arrow.get_linewidth() for arrow in forward.findobj(FancyArrowPatch)]
    flows = [SIGNAL.flow[edge] for edge in SIGNAL.cell.edges]
    assert np.argsort(widths, kind="stable").tolist() == np.argsort(flows, kind="stable").tolist()
    assert len({arrow.get_linewidth() for arrow in backward.findobj(FancyArrowPatch)}) == 1


def test_means_are_drawn_with_a_standard_deviation_where_there_is_one():
    figure = DRAWN["by_labels"]()
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [0.6, 0.1])
    (bars,) = [part for part in axes.collections if isinstance(part, LineCollection)]
    heights = [np.ptp(segment[:, 1]) for segment in bars.get_segments() if len(segment)]
    assert heights[0] == pytest.approx(2 * VALUES[:, 0].std(ddof=1))
    assert "a perfect predictor" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_shares_are_in_percent():
    (container,) = DRAWN["calibration"]().axes[0].containers
    np.testing.assert_allclose(container.lines[0].get_xdata(), [50, 90])
    np.testing.assert_allclose(container.lines[0].get_ydata(), [60, 20])


def test_bars_are_as_long_as_means():
    np.testing.assert_allclose([bar.get_width() for bar in DRAWN["bars"]().axes[0].patches], [0.6, 0.2])
