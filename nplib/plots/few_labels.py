"""Pictures of what few labels teach a predictor; drawn as those of :mod:`nplib.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nplib.features.signal import CellSignal
from nplib.plots.cells import draw_cell
from nplib.plots.style import BLUE, GREY, PALETTE, columns, finish, legend_above, show_ceiling


def signals(cells: Mapping[str, CellSignal]) -> Figure:
    """Signal and gradient in several cells, a row each.

    Left: the energy of every tensor, and edges as thick as their part of what the next vertex reads. Right: the energy
    of the gradient at every tensor.

    Args:
        cells: Mapping of titles to CellSignal.
    """
    figure, grid = plt.subplots(len(cells), 2, figsize=(9.4, 2.5 * len(cells)), squeeze=False)
    for row, (title, signal) in zip(grid, cells.items(), strict=True):
        draw_cell(signal.cell, row[0], f"{title}: signal", signal.flow, [f"{e:.2g}" for e in signal.energy])
        draw_cell(signal.cell, row[1], "gradient", notes=[f"{g:.2g}" for g in signal.gradient])
    return finish(figure)


def by_labels(frame: pd.DataFrame, what: str, band: tuple[float, float] | None = None) -> Figure:
    """How well predictors rank against the number of labels: means over draws, with a standard deviation.

    Args:
        frame (DataFrame): A row a draw: predictor, labels, tau.
        what (str): Label of the axis.
        band ((low, high), optional): What a perfect predictor would reach.
    """
    figure, axes = columns(1, width=6.6, height=4.6)
    if band is not None:
        show_ceiling(axes[0], band)
    sns.lineplot(
        frame,
        x="labels",
        y="tau",
        hue="predictor",
        style="predictor",
        errorbar="sd",
        err_style="bars",
        markers=True,
        dashes=False,
        ax=axes[0],
    )
    counts = sorted(frame["labels"].unique())
    axes[0].set(xscale="log", xlabel="labelled cells", ylabel=what)
    axes[0].set_xticks(counts, [str(count) for count in counts])
    axes[0].set_xticks([], minor=True)
    legend_above(figure, axes[0], most_columns=3)
    return finish(figure)


def calibration(levels: Sequence[float], shares: Mapping[str, np.ndarray]) -> Figure:
    """Which share of cells lies in intervals that should hold a given share; on the line both are alike.

    Args:
        levels (sequence of float, length L): From 0 to 1.
        shares: Mapping of names to arrays, shape (draws, L).
    """
    figure, axes = columns(1, width=4.6, height=4.4)
    axes[0].plot([0, 100], [0, 100], color=GREY, linewidth=1)
    for colour, (name, of_draws) in zip(PALETTE, shares.items(), strict=False):
        spread = 100 * of_draws.std(axis=0, ddof=1) if len(of_draws) > 1 else 0
        axes[0].errorbar(
            100 * np.asarray(levels), 100 * of_draws.mean(axis=0), spread, fmt="o-", color=colour, label=name
        )
    axes[0].set(xlabel="should hold (% of cells)", ylabel="hold (% of unseen cells)", xlim=(0, 100), ylim=(0, 100))
    axes[0].set_aspect("equal")
    axes[0].legend(fontsize=9)
    return finish(figure)


def bars(names: Sequence[str], values: np.ndarray, what: str) -> Figure:
    """A bar a name: the mean over draws and one standard deviation.

    Args:
        names: Sequence of str, length S.
        values: Array, shape (draws, S).
        what (str): Label of the axis.
    """
    figure, axes = columns(1, width=7.4, height=0.26 * len(names) + 1.0)
    rows = np.arange(len(names))[::-1]
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else None
    axes[0].barh(rows, values.mean(axis=0), xerr=spread, color=BLUE, height=0.65, alpha=0.85)
    axes[0].axvline(0, color=GREY, linewidth=1)
    axes[0].set(xlabel=what, yticks=rows, ylim=(-0.7, len(names) - 0.3))
    axes[0].set_yticklabels(names, fontsize=8)
    return finish(figure)
