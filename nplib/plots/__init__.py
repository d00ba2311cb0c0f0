"""Figures: the only wing that draws. Every function returns its figure; ``use_style`` says whose data they show.

Figures of one subject stand in a module each: :mod:`~nplib.plots.noise`, :mod:`~nplib.plots.two_stage`,
:mod:`~nplib.plots.validation`, :mod:`~nplib.plots.search`, :mod:`~nplib.plots.few_labels`.
"""

from nplib.plots.cells import cell_in_network, draw_cell, draw_cells, message_passing
from nplib.plots.predictions import draw_scatter, learning_curves, predicted_against_true
from nplib.plots.results import (
    accuracy_by_budget,
    cumulative,
    deviations,
    draws,
    histogram_with_zoom,
    matrix,
    measured_beside_published,
    pairs,
    quantile_differences,
    run_spread,
)
from nplib.plots.style import DataNotNamed, finish, showing, use_style

__all__ = [
    "DataNotNamed",
    "accuracy_by_budget",
    "cell_in_network",
    "cumulative",
    "deviations",
    "draw_cell",
    "draw_cells",
    "draw_scatter",
    "draws",
    "finish",
    "histogram_with_zoom",
    "learning_curves",
    "matrix",
    "measured_beside_published",
    "message_passing",
    "pairs",
    "predicted_against_true",
    "quantile_differences",
    "run_spread",
    "showing",
    "use_style",
]
